# SPDX-License-Identifier: GPL-2.0-or-later
"""csvfs on two machines with kernels of their own: both mount it, one loses its power, the other goes
on, and what was acknowledged is there."""
import os

import pytest
from guests import settled
from ring import GuestCluster

HERE = os.path.dirname(os.path.realpath(__file__))
WORKLOAD = os.path.join(HERE, "..", "live", "workload.py")
VOL, DISK = "/cluster/vol", "/dev/vdc"
KINDS = ("append", "names", "data")
LONG = 300


@pytest.fixture(scope="module")
def cluster(make_guests):
    c = GuestCluster(make_guests()).start()
    for node in c.lab.nodes:
        install(c.lab, node)
    c.volume(device=DISK)
    return c


def install(g, node):
    with open(WORKLOAD, "rb") as f:
        g.put(node, "/root/workload", f.read(), 0o755)


def acknowledged(g, name):
    return g.run(name.split("-")[0], f"cat /run/{name}.log", check=False).stdout.splitlines()


def wait_progress(g, names, more=10):
    for name in names:
        before = len(acknowledged(g, name))
        settled(g, name, lambda n=name, b=before: len(acknowledged(g, n)) >= b + more, LONG,
                f"{name} gets on")


def move_to(c, node):
    if c.volume_show()["node"] != node:
        c.ctl("n1", "volume", "move", "vol", "--to", node, "--wait=300", timeout=360)
        c.wait_volume()
    assert c.volume_show()["node"] == node


def check_appended(log, name, lines):
    """Each acknowledged record is there, once, in order."""
    own = [int(line.split()[1]) for line in log if line.split()[0] == name]
    assert own == sorted(set(own)), f"{name}: twice, or out of order"
    lost = {int(line.split()[0]) for line in lines} - set(own)
    assert not lost, f"{name}: lost {sorted(lost)[:5]}"


def test_one_name_space_of_two_kernels(cluster):
    g = cluster.lab
    g.run("n1", f"mkdir {VOL}/d && echo from n1 > {VOL}/d/f")
    assert g.run("n2", f"cat {VOL}/d/f").stdout == "from n1\n"
    g.run("n2", f"echo from n2 >> {VOL}/d/f && mv {VOL}/d/f {VOL}/d/g && chmod 640 {VOL}/d/g")
    assert g.run("n1", f"cat {VOL}/d/g").stdout == "from n1\nfrom n2\n"
    assert len({g.run(n, f"stat -c '%i %s %Y %a' {VOL}/d/g").stdout for n in g.nodes}) == 1
    for node in g.nodes:    # of each node's own kernel: one XFS in all, two mounts of FUSE
        assert f" {VOL} fuse" in g.run(node, "cat /proc/mounts").stdout
    coordinator = cluster.volume_show()["node"]
    xfs = {n: g.run(n, "ls /sys/fs/xfs 2>/dev/null | grep -vc stats", check=False).stdout.strip()
           for n in g.nodes}
    assert [n for n in g.nodes if xfs[n] == "1"] == [coordinator], xfs


def test_a_file_is_written_directly_by_both_kernels(cluster):
    """A preallocated file: each node's own I/O on the disk, read by the other."""
    g, path = cluster.lab, f"{VOL}/raw"
    g.run("n1", f"csvadm prealloc {path} --size {8 << 20}")
    for round_, (writer, reader) in enumerate((("n1", "n2"), ("n2", "n1"), ("n1", "n2"))):
        word = f"{writer} wrote {round_}"
        g.run(writer, f"(echo {word}; head -c 1048576 /dev/zero) | dd of={path} bs=64k count=1 "
                      "iflag=fullblock oflag=direct conv=notrunc seek=3 status=none")
        assert g.run(reader, f"dd if={path} bs=64k count=1 skip=3 iflag=direct status=none | "
                             "head -1").stdout == word + "\n"


def test_the_coordinators_machine_loses_its_power(cluster):
    """Both write; n2 coordinates and is switched off in the middle; n1 goes on without an error."""
    g = cluster.lab
    move_to(cluster, "n2")
    names = [f"{node}-{kind}" for node in g.nodes for kind in KINDS]
    running = {name: g.popen(name.split("-")[0], ["/root/workload", name.split("-")[1], VOL, name],
                             timeout=4 * LONG) for name in names}
    wait_progress(g, names)
    # What it acknowledged is read before the power goes: its own record is lost with it.
    lines = {name: acknowledged(g, name) for name in names if name.startswith("n2")}
    g.kill("n2")
    own = [name for name in names if name.startswith("n1")]
    wait_progress(g, own)
    cluster.wait("n1", lambda: cluster.volume_show()["node"] == "n1", "n1 coordinates", LONG)
    events = [e["kind"] for e in cluster.events("n1")]
    assert "node-fenced" in events and "volume-recovered" in events
    wait_progress(g, own)
    for name in own:
        g.run("n1", f"touch /run/{name}.stop")
        result = running[name].wait()
        assert result.code == 0, f"{name}: {result.stderr}"
        lines[name] = acknowledged(g, name)
    check_content(g, lines)


def check_content(g, lines):
    log = g.run("n1", f"cat {VOL}/log").stdout.splitlines()
    kept = set(g.run("n1", f"ls {VOL}/names").stdout.split())
    for name, acked in lines.items():
        kind = name.split("-")[1]
        assert acked, f"{name} has done nothing"
        if kind == "append":
            check_appended(log, name, acked)
        elif kind == "names":
            for line in acked:
                number, what = line.split()[:2]
                assert (f"{name}.{number}.c" in kept) == (what == "kept"), f"{name}: {line}"
                assert not {f"{name}.{number}.a", f"{name}.{number}.b"} & kept


def test_it_comes_back_and_the_file_system_is_whole(cluster):
    g = cluster.lab
    cluster.rejoin("n2")
    cluster.wait_volume(timeout=LONG)
    assert g.run("n2", f"tail -n 1 {VOL}/log").stdout == g.run("n1", f"tail -n 1 {VOL}/log").stdout
    cluster.ctl("n1", "volume", "delete", "vol", "--confirm", "vol")
    cluster.wait("n1", lambda: cluster.ctl("n1", "volume", "list") == [], "the volume is gone", LONG)
    result = g.run("n1", ["csvadm", "check", DISK], check=False)
    assert result.code == 0, result.stdout + result.stderr
