# SPDX-License-Identifier: GPL-2.0-or-later
"""The shutdown of a machine empties its node first; a restart of clusterd touches nothing.

What a shutdown runs is taken from the unit that is installed. That systemd does with the unit what it
is written for is looked at with a systemd of its own, process 1 of a name space.
"""
import configparser
import os
import re
import shutil
import subprocess

import pytest
from cluster import BUILD, CTL, Cluster
from lablib import wait_until
from long import long
from witness import FENCE, Witness

UNIT = os.path.join(BUILD, "clusterd", "clusterd.service")
SYSTEMD = "/usr/lib/systemd/systemd"
VMS = 10
SMALL = {"memory": 64, "mem": 4, "dirty": 4, "append": "interval=500 sweep=20000"}


def unit_lines(section="Service"):
    """The unit's settings: name to list of values."""
    parser = configparser.RawConfigParser(strict=False, dict_type=Settings, comment_prefixes="#",
                                          delimiters="=")
    parser.optionxform = str
    parser.read(UNIT)
    return parser._sections[section]            # pylint: disable=protected-access


class Settings(dict):
    """A setting may be there more than once."""

    def __setitem__(self, key, value):
        if key in self and isinstance(value, list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def sbindir():
    return os.path.dirname(unit_lines()["ExecStart"].split()[0])


def exec_stop(is_shutdown):
    """What systemd runs before it stops the unit, for a shell; it says whether the machine stops."""
    line = unit_lines()["ExecStop"].lstrip("-").replace(os.path.join(sbindir(), "clusterctl"), CTL)
    word = "stopping" if is_shutdown else "running"
    return f"mkdir -p /run/fake && printf '#!/bin/sh\\necho {word}\\n' > /run/fake/systemctl && " \
        f"chmod +x /run/fake/systemctl && export PATH=/run/fake:$PATH && {line}"


def shut_down(c, node, timeout=900):
    """As systemd would: ExecStop, SIGTERM to what is left, the machine goes. What ExecStop said."""
    said = c.lab.run(node, exec_stop(True), timeout=timeout, check=False)
    c.lab.stop(node)
    return said


def leave_task(c, via):
    return [t for t in c.ctl(via, "task", "list") if t["verb"] == "node-leave"][-1]


@pytest.fixture
def shop(make_lab):
    """Three nodes, a volume; make(n) has that many small witnesses on n1."""
    c = Cluster(make_lab(3, bin=BUILD)).create()
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.volume()
    c.vms = []

    def make(count, **options):
        for i in range(count):
            w = Witness(c, f"w{i}", **{**SMALL, **options})
            c.vms.append(w)
            w.create()
            c.ctl("n1", "vm", "start", w.name, "--to", "n1", "--wait=90", timeout=120)
        for w in c.vms:
            w.wait_alive("n1")
        return c.vms
    c.make = make
    yield c
    for w in c.vms:
        w.close()


@long
def test_a_node_with_ten_vms_that_shuts_down_migrates_ten_vms(shop):
    c, vms = shop, shop.make(VMS)
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--wait")
    said = shut_down(c, "n1")
    assert said.code == 0, said
    assert "everything was moved" in said.stderr and "groups left" in said.stderr, said
    for w in vms:
        assert w.node("n2") in ("n2", "n3")
        w.wait_alive(w.node("n2"))
        assert len(w.boots()) == 1, "it is the same machine"
    c.wait_group("n2", "g", work="online")
    moved = {e["object"] for e in c.events("n2", "migration-end") if ", done" in e["text"]}
    assert moved == {w.name for w in vms}
    states = {n["name"]: n["state"] for n in c.ctl("n2", "node", "list")}
    assert states == {"n1": "left", "n2": "up", "n3": "up"}
    assert not c.events("n2", "node-lost") and not c.events("n2", "fence-begin")
    assert leave_task(c, "n2")["state"] == "done"
    c.lab.start("n1")
    c.wait("n2", lambda: c.is_whole("n2"), "n1 is up again, and not paused", 90)
    for w in vms:
        w.stop("n2")
        assert w.judge("n2") == []


@long
def test_what_cannot_be_moved_in_time_is_stopped_and_named_and_the_shutdown_goes_on(shop):
    """One is migrated slower than the time allows, one may run nowhere else."""
    c, (slow, alone) = shop, shop.make(2, mem=32, dirty=512)
    c.ctl("n1", "vm", "set", alone.name, "--possible", "n1")
    c.ctl("n1", "placement", "set", "--leave-ms", "5000")
    c.ctl("n1", "vm", "migrate", slow.name, "--to", "n2", "--bandwidth", "1000000", "--no-wait")
    wait_until(lambda: slow.show()["phase"] == "memory", 60, "its memory is being sent")
    said = shut_down(c, "n1")
    assert said.code == 0, said
    assert c.events("n2", "node-leave-late")
    reason = leave_task(c, "n2")["reason"]
    assert "stopped, not migrated" in reason and slow.name in reason and alone.name in reason
    assert re.search(f"not running now: .*{alone.name}", reason), reason
    why = {e["object"]: e["text"] for e in c.events("n2", "group-stop")}
    assert "time to migrate it is over" in why[slow.name], why
    assert "no other node" in why[alone.name], why
    assert {n["name"]: n["state"] for n in c.ctl("n2", "node", "list")}["n1"] == "left"
    assert not c.events("n2", "node-lost")
    c.wait("n2", lambda: slow.node("n2") in ("n2", "n3"), "it is started elsewhere", 60)
    slow.wait_alive(slow.node("n2"))
    c.lab.start("n1")
    c.wait("n2", lambda: alone.node("n2") == "n1", "it is back with its node", 120)
    alone.wait_alive("n1")
    for w in (slow, alone):
        w.stop("n2")
        assert w.judge("n2") == []


@long
def test_a_cancelled_leave_has_the_node_stay(shop):
    c, (w,) = shop, shop.make(1, mem=32, dirty=512)
    c.ctl("n1", "vm", "migrate", w.name, "--to", "n2", "--bandwidth", "1000000", "--no-wait")
    with c.lab.popen("n1", ["/bin/sh", "-c", exec_stop(True)], stdout=subprocess.PIPE,
                     stderr=subprocess.STDOUT, text=True) as p:
        c.wait("n2", lambda: leave_task(c, "n2")["state"] == "running", "it leaves")
        c.ctl("n3", "task", "cancel", str(leave_task(c, "n2")["id"]))
        assert p.wait(60) == 1
        assert "cancelled" in p.stdout.read()
    c.wait("n2", lambda: c.is_whole("n2"), "it stays")
    for t in c.ctl("n2", "task", "list"):
        if t["state"] == "running":
            c.ctl("n2", "task", "cancel", str(t["id"]))
    c.wait("n2", lambda: w.show("n2")["work"] == "online", "it runs")
    w.wait_alive()
    assert len(w.boots()) == 1
    w.stop()
    assert w.judge() == []


def test_a_drained_node_is_still_drained_after_its_reboot(shop):
    c = shop
    c.ctl("n1", "node", "drain", "n3")
    assert shut_down(c, "n3").code == 0
    c.lab.start("n3")
    c.wait("n1", lambda: {n["name"]: n["state"] for n in c.ctl("n1", "node", "list")}["n3"] ==
           "draining", "it is back as it was", 60)


def test_a_restart_of_the_unit_touches_nothing(shop):
    """ExecStop does nothing, and the signal is the one of the unit."""
    c, (w,) = shop, shop.make(1)
    c.dummy("g", monitor_ms=500)
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--wait")
    qemu = c.lab.run("n1", ["pgrep", "-x", "qemu-system-x86"]).stdout
    assert c.lab.run("n1", exec_stop(False)).code == 0
    signal = unit_lines()["RestartKillSignal"][3:]
    old = c.lab.run("n1", ["pgrep", "-x", "clusterd"]).stdout.split()[0]
    c.lab.run("n1", ["kill", f"-{signal}", old])
    c.lab.run("n1", f"while kill -0 {old} 2>/dev/null; do :; done", timeout=20)
    c.lab.service("n1", "start", "clusterd")
    c.wait("n1", lambda: c.is_whole("n1"), "back")
    c.wait_group("n1", "g", work="online", node="n1")
    w.wait_alive("n1")
    assert c.lab.run("n1", ["pgrep", "-x", "qemu-system-x86"]).stdout == qemu
    assert c.has_state("n1", "g-d") and len(w.boots()) == 1
    for kind in ("migration-end", "node-leaving", "node-lost", "fence-begin", "group-stop"):
        assert not c.events("n1", kind), kind
    w.stop()
    assert w.judge() == []


SERVICE = "/sys/fs/cgroup/clusterd.service"


def start_as_service(c, node, argv):
    """As systemd does: in the group of the unit, where nobody else may be."""
    c.lab.run(node, f"mkdir -p {SERVICE} && test -z \"$(cat {SERVICE}/cgroup.procs)\" && "
                    "export PATH=/usr/sbin:/usr/bin:/sbin:/bin && "
                    f"setsid sh -c 'echo 0 > {SERVICE}/cgroup.procs; exec {argv} "
                    ">> /var/log/clusterd.log 2>&1' < /dev/null > /dev/null 2>&1 &")
    c.wait(node, lambda: c.is_whole(node), "it is up", 60)


def groups_of(c, node, program):
    """The control groups of these processes."""
    text = c.lab.run(node, f"for p in $(pgrep -x {program}); do sed -n 's/^0:://p' "
                           "/proc/$p/cgroup; done").stdout
    return set(text.split())


def test_as_a_service_all_that_outlives_clusterd_is_below_its_group(shop):
    c = shop
    argv = " ".join(c.lab.run("n1", "tr '\\0' '\\n' < /proc/$(pgrep -x clusterd)/cmdline")
                    .stdout.split())
    c.lab.service("n1", "stop", "clusterd")
    start_as_service(c, "n1", argv)
    c.wait_volume()
    w, = c.make(1)
    assert groups_of(c, "n1", "clusterd") == {"/clusterd.service/clusterd"}
    for program in ("csvfsd", "vm-host", "qemu-system-x86"):
        groups = groups_of(c, "n1", program)
        assert groups and all(g.startswith("/clusterd.service/") for g in groups), groups
        assert "/clusterd.service/clusterd" not in groups
    qemu = c.lab.run("n1", ["pgrep", "-x", "qemu-system-x86"]).stdout
    c.lab.run("n1", "p=$(pgrep -x clusterd) && kill -USR2 $p && "
                    "while kill -0 $p 2>/dev/null; do :; done", timeout=20)
    start_as_service(c, "n1", argv)
    w.wait_alive("n1")
    assert c.lab.run("n1", ["pgrep", "-x", "qemu-system-x86"]).stdout == qemu
    assert len(w.boots()) == 1 and not c.events("n1", "node-lost")
    w.stop()
    assert w.judge() == []


# ---- the unit, and systemd

def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("there is no systemd-analyze")
    write_units(tmp_path)
    result = subprocess.run([program, "verify", "--man=no", str(tmp_path / "clusterd.service")],
                            capture_output=True, text=True, timeout=120, check=False,
                            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    assert result.returncode == 0 and "clusterd.service" not in result.stderr, result.stderr


def test_the_times_of_the_unit_are_more_than_a_leave_takes_and_less_than_a_reboot_waits():
    from_unit = int(re.fullmatch(r"(\d+)min", unit_lines()["TimeoutStopSec"])[1]) * 60
    waits = int(re.search(r"--wait=(\d+)", unit_lines()["ExecStop"])[1])
    assert 1200 + 120 < waits < from_unit < 1800


DAEMON = """#!/bin/bash
name=$1 log={dir}/log
say() {{ echo "$name $1" >> "$log"; }}
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
if [ "$name" = clusterd ]; then         # with a child that outlives it, as it has
    mkdir -p "$group/clusterd" "$group/vm" && echo $$ > "$group/clusterd/cgroup.procs"
    if [ -z "$(cat "$group/vm/cgroup.procs")" ]; then
        setsid sleep 1000 & echo $! > "$group/vm/cgroup.procs"; disown
    fi
    mountpoint -q {dir}/mnt || mount -t tmpfs none {dir}/mnt
fi
say "started, child $(cat "$group/vm/cgroup.procs" 2> /dev/null)"
trap 'say TERM; exit 0' TERM
trap 'say USR2; exit 0' USR2
while :; do sleep 0.1; done
"""

CTL_STUB = """#!/bin/sh
echo "clusterctl $*" >> {dir}/log
sleep 1
echo "clusterctl ends, $(mountpoint {dir}/mnt)" >> {dir}/log
"""

RUN = """#!/bin/bash
mount --make-rprivate / && mount -t tmpfs none /run && mkdir /run/lock || exit 1
# A /dev of its own: systemd sets modes in it, and that of the machine is everybody's.
mount -t tmpfs -o mode=755 none /dev && mkdir /dev/pts /dev/shm || exit 1
while read -r name minor; do
    mknod -m 666 /dev/$name c 1 $minor || exit 1
done <<END
null 3
zero 5
full 7
random 8
urandom 9
END
umount -l /sys/fs/cgroup
mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 1
export container=lxc SYSTEMD_UNIT_PATH={dir} PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec {systemd} --system --unit=all.target --log-target=console
"""

TARGETS = ("sysinit", "basic", "shutdown", "reboot", "umount", "final", "local-fs", "local-fs-pre")


def write_units(path):
    """The unit with its programs replaced by ours, and what it needs, in a folder of its own."""
    def write(name, text, mode=0o644):
        (path / name).write_text(text.format(dir=path, systemd=SYSTEMD))
        (path / name).chmod(mode)
    write("daemon", DAEMON, 0o755)
    write("clusterctl", CTL_STUB, 0o755)
    write("run", RUN, 0o755)
    with open(UNIT, encoding="ascii") as f:
        text = f.read().replace(os.path.join(sbindir(), "clusterctl"), f"{path}/clusterctl")
    assert f"{path}/clusterctl" in text
    text = text.replace(f"{sbindir()}/clusterd --foreground", f"{path}/daemon clusterd")
    (path / "clusterd.service").write_text(text)
    write("corosync.service", "[Service]\nType=exec\nExecStart={dir}/daemon corosync\n")
    write("all.target", "[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\n"
                        "Wants=clusterd.service\n")


class Machine:
    """systemd as process 1 of name spaces."""

    def __init__(self, path):
        self.path = path
        write_units(path)
        (path / "mnt").mkdir()
        for name in TARGETS:
            text = open(f"/usr/lib/systemd/system/{name}.target", encoding="utf-8").read()
            (path / f"{name}.target").write_text(
                re.sub("^Wants=.*$", "", text, flags=re.M).replace(
                    "[Unit]", "[Unit]\nWants=local-fs.target" if name == "sysinit" else "[Unit]"))
        shutil.copy("/usr/lib/systemd/system/systemd-reboot.service", path)
        self.group = cgroup2() + f"/clusterd-systemd-{os.getpid()}"
        os.mkdir(self.group)
        self.out = open(path / "out", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec unshare -mpiuCf --mount-proc '
             '--kill-child "$1"', self.group, str(path / "run")],
            stdout=self.out, stderr=self.out, stdin=subprocess.DEVNULL)

    def ctl(self, *words):
        first = children(self.process.pid)[0]
        subprocess.run(["nsenter", "-t", str(first), "-m", "-p", "-i", "-u", "-C", "systemctl",
                        *words], check=True, timeout=60, capture_output=True)

    def log(self):
        try:
            return (self.path / "log").read_text().splitlines()
        except FileNotFoundError:
            return []

    def wait(self, line, count=1):
        wait_until(lambda: len([w for w in self.log() if w.startswith(line)]) >= count, 60,
                   f"{line} {count} times")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.out.close()
        wait_until(lambda: not alive(self.group), 20, "nobody is left")
        for folder, _, _ in os.walk(self.group, topdown=False):
            os.rmdir(folder)


def cgroup2():
    with open("/proc/mounts", encoding="utf-8") as f:
        return next((w.split()[1] for w in f if w.split()[2] == "cgroup2"), None)


def alive(group):
    with open(f"{group}/cgroup.events", encoding="ascii") as f:
        return "populated 1" in f.read()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(n) for n in f.read().split()]


@pytest.fixture
def machine(tmp_path):
    if not os.path.exists(SYSTEMD) or not cgroup2():
        pytest.skip("there is no systemd, or no cgroup2")
    m = Machine(tmp_path)
    yield m
    m.close()


def test_systemd_tells_restart_stop_and_shutdown_apart(machine):
    m = machine
    m.wait("clusterd started")
    m.ctl("restart", "clusterd")
    m.wait("clusterd started", 2)
    assert m.log().count("clusterd USR2") == 1 and "clusterd TERM" not in m.log()
    m.ctl("restart", "corosync")
    m.wait("clusterd started", 3)
    assert m.log().count("clusterd USR2") == 2 and "clusterd TERM" not in m.log()
    m.ctl("stop", "clusterd")
    assert m.log()[-1] == "clusterd TERM"
    assert not [w for w in m.log() if w.startswith("clusterctl")]
    m.ctl("start", "clusterd")
    m.wait("clusterd started", 4)
    starts = {w for w in m.log() if w.startswith("clusterd started")}
    assert len(starts) == 1 and re.fullmatch(r"clusterd started, child \d+", *starts), \
        "the child outlives them all"
    before = len(m.log())
    m.ctl("reboot")
    m.process.wait(60)
    asked, ended, *rest = m.log()[before:]
    assert asked == "clusterctl node leave --wait=1500 --reason the machine shuts down"
    assert ended.startswith("clusterctl ends, ") and ended.endswith("is a mountpoint")
    assert rest == ["clusterd TERM", "corosync TERM"]
