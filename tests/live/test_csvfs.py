# SPDX-License-Identifier: GPL-2.0-or-later
"""The shared volume on real nodes: one name space, exactly once, nothing acknowledged lost."""
import os
import re
import subprocess

import pytest
from cluster import BUILD, CSVADM, Cluster
from lablib import wait_until
from long import long

HERE = os.path.dirname(os.path.realpath(__file__))
FENCE = os.path.join(HERE, "..", "lab", "fence_lab")
WORK = os.path.join(HERE, "workload.py")
LOOK = os.path.join(HERE, "posix_look.py")
VOL = "/cluster/vol"
KINDS = ("append", "names", "data", "rmtree")


def fenced_volume(make_lab, **options):
    """Three nodes with power switches and one volume, its coordinator on n1 or wherever."""
    c = Cluster(make_lab(3, bin=BUILD, **options)).create()
    c.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.volume()
    return c


@pytest.fixture
def vol3(make_lab):
    return fenced_volume(make_lab)


def coordinator(c, via="n1"):
    return c.volume_show("vol", via)["node"]


def mount_ids(c, via="n1"):
    return {m["node"]: m["id"] for m in c.volume_show("vol", via)["mounts"] if "id" in m}


def move_to(c, node, via="n1"):
    if coordinator(c, via) != node:
        c.ctl(via, "volume", "move", "vol", "--to", node, "--wait=60", timeout=90)
    assert coordinator(c, via) == node


class Load:
    """workload.py on nodes: started, stopped, and its log compared with what the volume has."""

    def __init__(self, c):
        self.c, self.runs = c, {}

    def start(self, node, *kinds):
        for kind in kinds:
            name = f"{node}-{kind}"
            self.runs[name] = (node, kind, self.c.lab.popen(
                node, [WORK, kind, VOL, name], stderr=subprocess.PIPE, text=True))

    def acknowledged(self, name):
        node = self.runs[name][0]
        return self.c.lab.run(node, f"cat /run/{name}.log", check=False).stdout.splitlines()

    def wait_progress(self, more=15, timeout=60):
        """Each of them gets on: so and so many further operations."""
        before = {n: len(self.acknowledged(n)) for n in self.runs}

        def moved(name):
            process = self.runs[name][2]
            assert process.poll() is None, f"{name}: {process.stderr.read()}"
            return len(self.acknowledged(name)) >= before[name] + more
        for name in self.runs:
            wait_until(lambda n=name: moved(n), timeout, f"{name} gets on")

    def forget(self, node):
        """The node has crashed: its programs with it."""
        for name in [n for n, run in self.runs.items() if run[0] == node]:
            self.runs.pop(name)[2].communicate(timeout=30)

    def stop(self):
        for name, (node, _, _) in self.runs.items():
            self.c.lab.run(node, f"touch /run/{name}.stop")
        for name, (_, _, process) in self.runs.items():
            _, error = process.communicate(timeout=60)
            assert process.returncode == 0, f"{name}: {error}"

    def check(self, via):
        """What was acknowledged is there, once."""
        run = self.c.lab.run
        log = run(via, f"cat {VOL}/log", check=False).stdout.splitlines()
        kept = set(run(via, f"ls {VOL}/names", check=False).stdout.split())
        seen = {}
        for line in log:
            key = tuple(line.split()[:2])
            assert key not in seen, f"appended twice: {key}"
            seen[key] = line
        for name, (_, kind, _) in self.runs.items():
            lines = self.acknowledged(name)
            assert lines, f"{name} has done nothing"
            for line in lines:
                number, what = line.split()[:2]
                if kind == "append":
                    assert (name, number) in seen, f"append {number} of {name} is lost"
                elif kind == "names":
                    for letter in "abc":
                        there = f"{name}.{number}.{letter}" in kept
                        assert there == (what == "kept" and letter == "c"), \
                            f"{name}.{number}.{letter}: {there}, and {what}"
            if kind == "append":
                numbers = [int(k[1]) for k in seen if k[0] == name]
                assert numbers == sorted(numbers), f"{name}: out of order"
        return len(log)


def check_clean(c, via="n1"):
    """The file system is whole: all nodes stop, and xfs_repair looks."""
    c.ctl(via, "volume", "delete", "vol", "--confirm", "vol")
    c.wait(via, lambda: c.ctl(via, "volume", "list") == [], "the volume is gone", 60)
    result = c.lab.run(via, [CSVADM, "check", "/dev/lab/lun"], timeout=120, check=False)
    assert result.code == 0, result.stdout + result.stderr


# --- one name space

def test_all_nodes_see_one_volume(vol3):
    c, run = vol3, vol3.lab.run
    run("n1", f"mkdir {VOL}/d && echo from n1 > {VOL}/d/f")
    assert run("n2", f"cat {VOL}/d/f").stdout == "from n1\n"
    run("n2", f"echo from n2 >> {VOL}/d/f && mv {VOL}/d/f {VOL}/d/g && chmod 640 {VOL}/d/g")
    assert run("n3", f"cat {VOL}/d/g; stat -c '%a %i' {VOL}/d/g").stdout.startswith(
        "from n1\nfrom n2\n640 ")
    numbers = {run(n, f"stat -c '%i %s %Y' {VOL}/d/g").stdout for n in c.lab.nodes}
    assert len(numbers) == 1
    assert run("n1", f"ls -A {VOL}").stdout == "d\n"
    assert run("n1", f"stat {VOL}/.csv", check=False).code != 0
    assert run("n3", f"stat -f -c %T {VOL}").stdout.strip() in ("fuseblk", "fuse", "UNKNOWN (0x65735546)")
    assert c.ctl("n1", "lock", "list")
    show = c.volume_show()
    assert {m["node"]: m["state"] for m in show["mounts"]} == dict.fromkeys(c.lab.nodes, "mounted")
    assert show["term"] > 0 and show["node"] in c.lab.nodes


def test_posix_holds_on_every_node(vol3):
    """On the coordinator's node and on others, at the same time: the answers of a local XFS."""
    looks = {}
    for node in vol3.lab.nodes:
        vol3.lab.run(node, f"mkdir {VOL}/{node}")
        looks[node] = vol3.lab.popen(node, [LOOK, f"{VOL}/{node}", "--csvfs"],
                                     stdout=subprocess.PIPE, text=True)
    for node, look in looks.items():
        out, _ = look.communicate(timeout=400)
        assert look.returncode == 0, f"{node}: {out}"


def test_an_unlinked_file_lives_while_another_node_has_it_open(vol3):
    c = vol3
    move_to(c, "n1")
    holder = c.lab.popen("n2", ["python3", "-c", f"""
import os, sys
f = open("{VOL}/held", "w+b", 0)
f.write(b"kept")
print("open", flush=True)
sys.stdin.readline()
f.seek(0)
assert f.read() == b"kept" and os.fstat(f.fileno()).st_nlink == 0
print("fine", flush=True)
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "open\n"
    c.lab.run("n3", f"rm {VOL}/held")
    assert c.lab.run("n2", f"ls {VOL}/held", check=False).code != 0
    c.lab.kill("n1")                     # the coordinator, which knew that it is open
    c.wait("n2", lambda: coordinator(c, "n2") in ("n2", "n3"), "another coordinator", 60)
    out, _ = holder.communicate("go\n", timeout=60)
    assert out == "fine\n" and holder.returncode == 0


# --- the coordinator moves and dies, work goes on

@long
def test_the_coordinator_moves_under_load(vol3):
    c, load = vol3, Load(vol3)
    for node in c.lab.nodes:
        load.start(node, *KINDS)
    load.wait_progress()
    for node in ("n2", "n3", "n1", "n3"):
        move_to(c, node)
        load.wait_progress()
    load.stop()
    assert load.check("n2") > 100
    check_clean(c)


def test_the_coordinator_crashes_under_load(vol3):
    c, load = vol3, Load(vol3)
    move_to(c, "n1")
    for node in ("n2", "n3"):
        load.start(node, *KINDS)
    load.wait_progress()
    c.lab.kill("n1")
    load.wait_progress()
    c.wait_volume(via="n2", nodes=["n2", "n3"])
    load.stop()
    load.check("n3")
    c.wait_volume(via="n2")              # the fence has switched n1 on again
    check_clean(c, "n2")


def test_a_node_with_a_mount_crashes_and_is_recovered(vol3):
    c, load, victim, other = vol3, Load(vol3), "n3", "n2"
    move_to(c, "n1")
    for node in c.lab.nodes:
        load.start(node, "append", "names")
    load.wait_progress()
    dead = mount_ids(c)[victim]
    c.lab.kill(victim)
    load.forget(victim)
    load.wait_progress()
    c.wait("n1", lambda: mount_ids(c).get(victim) != dead, "the dead mount is recovered")
    kinds = [e["kind"] for e in c.events("n1")]
    assert kinds.index("node-fenced") < kinds.index("volume-recovered")
    load.stop()
    load.check(other)
    assert coordinator(c) == "n1"
    c.wait_volume()                      # the fence has switched it on again
    check_clean(c)


def csvfsd(c, node, role):
    """Process ids of that csvfsd in the node; of a mount the one that serves."""
    what = "mount --held" if role == "mount" else role
    out = c.lab.run(node, ["pgrep", "-f", f"csvfsd {what} "], check=False).stdout
    return [int(p) for p in out.split()]


def holders(c, node):
    """Of mounts: those without which they are over."""
    out = c.lab.run(node, ["pgrep", "-x", "csvfsd-hold"], check=False).stdout
    return [int(p) for p in out.split()]


@long
def test_a_killed_coordinator_process_is_replaced_without_a_fence(vol3):
    c, load = vol3, Load(vol3)
    move_to(c, "n2")
    for node in c.lab.nodes:
        load.start(node, "append", "names")
    load.wait_progress()
    for _ in range(3):
        node = coordinator(c)
        pid, = csvfsd(c, node, "coordinate")
        c.lab.run(node, f"kill -9 {pid}")
        load.wait_progress()
    load.stop()
    load.check("n1")
    assert not c.events("n1", "fence-begin")
    check_clean(c)


def test_a_mount_whose_holder_is_killed_is_mounted_anew_and_harms_nobody_else(vol3):
    c, load = vol3, Load(vol3)
    load.start("n1", "append", "names")
    load.start("n2", "append", "names")
    load.wait_progress()
    before = mount_ids(c)
    pid, = holders(c, "n3")
    c.lab.run("n3", f"kill -9 {pid}")
    load.wait_progress()
    c.wait("n1", lambda: mount_ids(c).get("n3", before["n3"]) != before["n3"],
           "mounted under a new incarnation")
    c.wait_volume()
    assert "log" in c.lab.run("n3", f"ls {VOL}").stdout
    load.stop()
    load.check("n3")


FLOOD = """
import select, socket, sys
held, was_full = [], False
while not select.select([sys.stdin], [], [], 0)[0]:     # its end is ours
    while len(held) < 80:
        held.append(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5))
    gone = select.select(held, [], [], 0.01)[0]         # sent away
    for s in gone:
        held.remove(s)
        s.close()
    if gone and not was_full:
        was_full = True
        print("full", flush=True)
"""


@long
def test_strangers_at_the_coordinators_port_keep_no_mount_out(vol3):
    """80 who connect and say nothing, and come again when they are sent away."""
    c = vol3
    move_to(c, "n1")
    port = c.volume_show("vol")["port"]
    flood = c.lab.popen("n2", ["/usr/bin/python3", "-c", FLOOD, "10.77.0.1", str(port)],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert flood.stdout.readline() == "full\n"
        before = mount_ids(c)
        pid, = holders(c, "n3")
        c.lab.run("n3", f"kill -9 {pid}")
        c.wait("n1", lambda: mount_ids(c).get("n3", before["n3"]) != before["n3"],
               "mounted under a new incarnation", 30)
        c.wait("n3", lambda: c.lab.run("n3", ["timeout", "5", "ls", VOL]).code == 0, "served", 30)
        assert c.lab.run("n3", f"echo in > {VOL}/f && cat {VOL}/f").stdout == "in\n"
        assert flood.poll() is None
        log = c.lab.run("n1", "cat /var/log/clusterd.log").stdout
        assert "a connection is refused" not in log     # a place is left for who can prove it
        assert 0 < log.count("could not prove") < 10
    finally:
        flood.communicate(timeout=20)


@long
def test_clusterd_can_be_restarted_under_a_volume(vol3):
    c, load = vol3, Load(vol3)
    for node in c.lab.nodes:
        load.start(node, "append")
    load.wait_progress()
    where, term = coordinator(c), c.volume_show()["term"]
    for node in c.lab.nodes:
        c.lab.service(node, "kill", "clusterd")
        c.lab.service(node, "start", "clusterd")
        c.wait(node, lambda n=node: c.is_whole(n), "whole again")
        load.wait_progress(5)
    load.stop()
    load.check("n1")
    show = c.wait_volume()
    assert (show["node"], show["term"]) == (where, term)


@long
def test_a_stopped_coordinator_does_not_outlast_the_next_clusterd(vol3):
    """It never attaches to the new daemon, which has neither child nor line to end it by."""
    c, load = vol3, Load(vol3)
    move_to(c, "n2")
    load.start("n1", "append")
    load.wait_progress()
    pid, = csvfsd(c, "n2", "coordinate")
    c.lab.run("n2", f"kill -STOP {pid}")
    c.lab.service("n2", "kill", "clusterd")
    c.lab.service("n2", "start", "clusterd")
    load.wait_progress(timeout=120)
    assert pid not in csvfsd(c, "n2", "coordinate")
    load.stop()
    load.check("n1")
    assert not c.events("n1", "fence-begin")
    check_clean(c)


def test_a_lun_that_a_node_does_not_have_is_refused_there_with_the_reason(vol3):
    c = vol3
    move_to(c, "n1")
    c.lab.run("n2", "mv /dev/lab/lun /dev/lab/away")
    code, text = c.fails("n1", "volume", "move", "vol", "--to", "n2", "--wait=60")
    assert code != 0 and "no such device" in text
    c.lab.run("n2", "mv /dev/lab/away /dev/lab/lun")
    c.wait_volume()
    check_clean(c)


@long
def test_a_coordinator_that_loses_its_disk_hands_over(vol3):
    """Its path to the LUN is gone, the node is not: nobody is fenced, nobody sees an error."""
    c, load = vol3, Load(vol3)
    move_to(c, "n1")
    for node in c.lab.nodes:
        load.start(node, "append", "names")
    load.wait_progress()
    c.lab.disk("n1", "eio")
    c.wait("n2", lambda: coordinator(c, "n2") in ("n2", "n3"), "another coordinator", 60)
    load.wait_progress()
    c.lab.disk("n1", "ok")
    load.stop()
    load.check("n1")
    assert not c.events("n2", "fence-begin")
    check_clean(c, "n2")


# --- partitions

@long
def test_a_cut_off_coordinator_stops_before_others_take_over(vol3):
    """The minority's work waits; the others go on after the fence, with all that was acknowledged."""
    c, load = vol3, Load(vol3)
    move_to(c, "n1")
    load.start("n2", *KINDS)
    load.start("n3", *KINDS)
    load.wait_progress()
    c.lab.cut("n1")
    c.wait("n2", lambda: coordinator(c, "n2") in ("n2", "n3"), "another coordinator", 60)
    load.wait_progress()
    load.stop()
    load.check("n2")
    kinds = [(e["kind"], e["object"]) for e in c.events("n2")]
    assert ("node-fenced", "n1") in kinds


@long
def test_without_quorum_the_coordinator_unmounts_by_itself(make_lab):
    """No fence device here: whoever loses the lease leaves nothing mounted, and comes back."""
    c = Cluster(make_lab(3, bin=BUILD)).create()
    c.volume()
    move_to(c, "n1")
    load = Load(c)
    load.start("n1", "append")
    load.wait_progress()
    c.lab.cut("n1")
    c.lab.cut("n2", "n3")                # nobody has quorum
    wait_until(lambda: not csvfsd(c, "n1", "coordinate"), 30, "the coordinator ends by its lease")
    assert not c.lab.run("n1", "ls /sys/fs/xfs").stdout.count(os.path.basename(loop_of(c, "n1")))
    c.lab.heal()
    load.wait_progress(timeout=90)
    load.stop()
    load.check("n2")


def loop_of(c, node):
    return c.lab.run(node, "readlink /dev/lab/lun").stdout.strip()


# --- administration

@long
def test_a_clean_stop_takes_the_volume_along(vol3):
    c = vol3
    move_to(c, "n3")
    load = Load(c)
    load.start("n1", "append")
    load.wait_progress()
    c.lab.service("n3", "stop", "clusterd")
    load.wait_progress()
    assert not csvfsd(c, "n3", "mount") and not csvfsd(c, "n3", "coordinate")
    show = c.volume_show()
    assert show["node"] != "n3" and "n3" not in [m["node"] for m in show["mounts"]]
    assert not c.events("n1", "fence-begin")
    load.stop()
    load.check("n1")


def test_bad_volumes_are_refused_with_a_reason(vol3):
    c = vol3
    code, text = c.fails("n1", "volume", "create", "vol", "--device", "/dev/lab/lun")
    assert code == 4 and "vol" in text
    code, text = c.fails("n1", "volume", "create", "other", "--device", "/dev/lab/lun")
    assert code in (4, 8)
    code, text = c.fails("n1", "volume", "create", "other", "--device", "/dev/null")
    assert code == 8 and "/dev/null" in text
    code, text = c.fails("n1", "volume", "show", "none")
    assert code == 3
    code, text = c.fails("n1", "volume", "move", "vol", "--to", "n9")
    assert code == 3
    code, text = c.fails("n1", "volume", "delete", "vol")
    assert code == 8 and "--confirm" in text
    result = c.lab.run("n2", [CSVADM, "format", "/dev/lab/lun", "--name", "x", "--cluster",
                              c.status("n1")["cluster"]["uuid"]], check=False)
    assert result.code == 8 and re.search("csv:vol|in use", result.stderr)
