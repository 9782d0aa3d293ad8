# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab itself: what every other live test stands on."""
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import xml.dom.minidom

import pytest

import disk
import rpc
from common import HERE
from lablib import Lab, LabError, poll, wait_until
from long import long

LAB = os.path.join(HERE, "lab")
FENCE = os.path.join(HERE, "fence_lab")
DIRECT_WRITE = "dd if=/dev/zero of=/dev/lab/lun bs=4096 count=1 seek=256 oflag=direct"
MOUNT = "mkfs.xfs -q -f {dev} && mkdir -p /cluster/v && mount -o nouuid {dev} /cluster/v"


def fence(lab, action, plug=None, socket_path=None, **more):
    """Runs fence_lab as a cluster would: key=value on stdin. Returns the CompletedProcess."""
    lines = {"action": action, "bmc_socket": socket_path or os.path.join(lab.dir, "bmc.sock")}
    lines.update(more)
    if plug:
        lines["plug"] = plug
    return subprocess.run([FENCE], input="".join(f"{k}={v}\n" for k, v in lines.items()),
                          capture_output=True, text=True, timeout=90, check=False)


def lun_hash(lab):
    with open(os.path.join(lab.dir, "lun.img"), "rb") as f:
        return hashlib.sha256(f.read(64 << 20)).hexdigest()


def accepts_write(dev):
    return any(disk._test_write(dev, position) for position in (0, 4096, 1 << 20))


# --- up, down ---

def test_up_forms_one_ring(lab3):
    views = [lab3.ring(n) for n in lab3.nodes]
    assert [v["members"] for v in views] == [[1, 2, 3]] * 3
    assert len({v["ring_id"] for v in views}) == 1
    assert all(v["quorate"] for v in views)
    for n in lab3.nodes:
        links = lab3.run(n, ["corosync-cfgtool", "-s"]).stdout
        assert links.count("LINK ID") == 2 and "disconnected" not in links


def test_a_node_looks_like_a_machine(lab3):
    seen = {}
    for n in lab3.nodes:
        out = lab3.run(n, "hostname; cat /etc/hostname /etc/machine-id "
                          "/proc/sys/kernel/random/boot_id; getent hosts n1 | cut -d' ' -f1; "
                          "ls /proc | grep -c '^[0-9]'").stdout.split()
        assert out[0] == out[1] == n
        assert out[4] == "10.77.0.1"
        assert int(out[5]) < 20
        seen[n] = (out[2], out[3])
        lab3.run(n, f"echo {n} > /run/x; echo {n} > /dev/shm/x; echo {n} > /var/lib/clusterd/x; "
                    f"echo {n} > /tmp/x; echo {n} > /etc/clusterd/x")
        lab3.run(n, "ping -c1 -W2 10.77.1.3 >/dev/null || "
                    "test -z \"$(command -v ping)\"")
    assert len({i for pair in seen.values() for i in pair}) == 6
    for n in lab3.nodes:
        text = lab3.run(n, "cat /run/x /dev/shm/x /var/lib/clusterd/x /tmp/x /etc/clusterd/x")
        assert set(text.stdout.split()) == {n}
    assert not os.path.exists("/etc/clusterd/x") and not os.path.exists("/run/x")


def test_run_passes_streams_and_exit_codes(lab1):
    result = lab1.run("n1", "cat; echo oops >&2; exit 7", stdin="hello", check=False)
    assert (result.code, result.stdout, result.stderr) == (7, "hello", "oops\n")
    assert lab1.run("n1", "kill -9 $$", check=False).code == 137
    assert lab1.run("n1", ["no-such-program"], check=False).code == 127


def test_cli_exit_codes_and_named_errors(lab3):
    def lab(*argv):
        return subprocess.run([LAB, "--dir", lab3.dir] + list(argv), capture_output=True,
                              text=True, timeout=60, check=False)
    assert lab("status").returncode == 0
    assert [n["name"] for n in json.loads(lab("status", "--json").stdout)["nodes"]] == lab3.nodes
    assert lab("run", "n2", "--", "sh", "-c", "exit 3").returncode == 3
    assert lab("up", "17").returncode == 2
    assert lab("bogus").returncode == 2
    assert lab("disk", "n1", "upside-down").returncode == 2
    for argv, word in ((("up", "2"), "is up here"), (("kill", "n9"), "no node 'n9'"),
                       (("start", "n1"), "it is on"), (("disk", "n1", "hang"), "--disk-faults"),
                       (("service", "n1", "kill", "x"), "no service 'x'")):
        done = lab(*argv)
        assert done.returncode == 1 and word in done.stderr, (argv, done)


@long
def test_down_leaves_nothing_after_repeated_ups(make_lab):
    lab = make_lab(2)
    for _ in range(3):
        lab.down()
        assert lab.leftovers() == []
        assert not os.path.exists(lab.dir)
        lab.down()                              # idempotent
        lab.up()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_up_cleans_up(make_lab, lab_dir, number):
    lab = Lab(4, dir=lab_dir(), bin="")
    process = subprocess.Popen([LAB, "--dir", lab.dir, "up", "4"], stderr=subprocess.PIPE,
                               text=True, preexec_fn=lambda: signal.signal(
                                   signal.SIGINT, signal.default_int_handler))
    assert "is up" in process.stderr.readline()         # in the middle
    process.send_signal(number)
    assert process.wait(60) == 1
    assert "interrupted" in process.stderr.read()
    assert lab.leftovers() == []
    process.stderr.close()


@long
def test_up_that_dies_is_taken_down(make_lab, lab_dir):
    lab = Lab(4, dir=lab_dir(), bin="")
    process = subprocess.Popen([LAB, "--dir", lab.dir, "up", "4"], stderr=subprocess.PIPE,
                               text=True)
    process.stderr.readline()
    process.kill()
    process.wait()
    process.stderr.close()
    wait_until(lambda: not lab.is_up(), 60, "end of labd after its client died")
    lab.down()
    assert lab.leftovers() == []


def test_down_after_the_daemon_was_killed(make_lab):
    lab = make_lab(2)
    loop = lab.node("n1")["loop"]
    disk.add_partition(loop, 1, 1 << 20, 512 << 20)
    lab.run("n1", MOUNT.format(dev=loop + "p1"))
    os.kill(lab.status()["pid"], signal.SIGKILL)
    wait_until(lambda: not lab.is_up(), 10, "death of labd")
    assert lab.leftovers() != []
    lab.down()
    assert lab.leftovers() == [] and not os.path.exists(loop + "p1")


@long
def test_two_labs_side_by_side(make_lab):
    one, two = make_lab(3), make_lab(2)
    assert one.ring("n1")["members"] == [1, 2, 3]
    assert two.ring("n1")["members"] == [1, 2]
    one.run("n1", "echo one > /var/lib/clusterd/x; " + DIRECT_WRITE)
    assert two.run("n1", "cat /var/lib/clusterd/x", check=False).code == 1
    one.kill("n1")
    one.down()
    assert two.ring("n2")["members"] == [1, 2]
    two.run("n2", DIRECT_WRITE)                 # /dev/lab outlives the other lab


@long
def test_slow_sixteen_nodes_form_one_ring(make_lab):
    begin = time.monotonic()
    lab = make_lab(16)
    assert lab.ring("n16")["members"] == list(range(1, 17))
    lab.kill("n7")
    lab.wait_ring("n1", [i for i in range(1, 17) if i != 7], 20)
    lab.start("n7")
    lab.wait_ring("n7", list(range(1, 17)), 20)
    assert time.monotonic() - begin < 60


# --- network ---

def test_cut_splits_and_heal_rejoins(lab3):
    lab3.cut("n1")
    lab3.wait_ring("n1", [1])
    lab3.wait_ring("n2", [2, 3])
    assert not lab3.ring("n1")["quorate"] and lab3.ring("n3")["quorate"]
    lab3.heal("n1")
    for n in lab3.nodes:
        lab3.wait_ring(n, [1, 2, 3])


def test_one_network_cut_leaves_the_ring_whole(lab3):
    def links():
        return lab3.run("n1", ["corosync-cfgtool", "-s"]).stdout
    lab3.cut("n1", "n2", network="migration")
    wait_until(lambda: "disconnected" in links(), 20, "link 1 of n1 to n2 down")
    assert lab3.ring("n1")["members"] == [1, 2, 3]
    assert len(lab3.status()["cuts"]) == 2
    lab3.heal()
    wait_until(lambda: "disconnected" not in links(), 20, "link 1 of n1 to n2 up")


def test_one_way_cut_drops_one_direction(lab3):
    lab3.cut("n1", "n2", one_way=True)
    assert {(c["from"], c["to"]) for c in lab3.status()["cuts"]} == {("n1", "n2")}
    lab3.heal("n1", "n2")
    assert lab3.status()["cuts"] == []


# --- death ---

def test_kill_is_detected_and_start_boots_anew(lab3):
    before = lab3.node("n1")
    lab3.run("n1", "echo kept > /var/lib/clusterd/x; echo lost > /run/x")
    begin = time.monotonic()
    lab3.kill("n1")
    lab3.wait_ring("n2", [2, 3], 10)
    assert time.monotonic() - begin < 5
    after = lab3.node("n1")
    assert after["state"] == "off"
    assert not os.path.exists(f"/proc/{before['pid']}")
    with pytest.raises(LabError, match="it is off"):
        lab3.enter("n1")
    lab3.start("n1")
    lab3.wait_ring("n1", [1, 2, 3])
    assert lab3.node("n1")["boot_id"] != before["boot_id"]
    boot_id = lab3.run("n1", "cat /proc/sys/kernel/random/boot_id").stdout.strip()
    assert boot_id == lab3.node("n1")["boot_id"]
    assert lab3.run("n1", "cat /var/lib/clusterd/x; test ! -e /run/x").stdout == "kept\n"


@long
def test_nothing_is_written_after_a_kill(lab3):
    writer = lab3.popen("n1", ["sh", "-c", "while :; do dd if=/dev/urandom of=/dev/lab/lun bs=1M "
                                           "count=8 oflag=direct 2>/dev/null; done"])
    first = lun_hash(lab3)
    wait_until(lambda: lun_hash(lab3) != first, 20, "first write of n1")
    lab3.kill("n1")
    frozen = lun_hash(lab3)
    assert writer.wait(10) == 137
    assert not accepts_write(lab3.node("n1")["loop"])
    lab3.run("n2", "dd if=/dev/lab/lun of=/dev/null bs=1M count=8 iflag=direct")
    lab3.start("n1")
    assert lun_hash(lab3) == frozen


def test_a_mounted_xfs_dies_with_its_node(lab3):
    """Really dead: what was not synced is lost, and the log has to be replayed."""
    lab3.run("n1", MOUNT.format(dev="/dev/lab/lun"))
    lab3.run("n1", "echo a > /cluster/v/synced; sync; echo b > /cluster/v/unsynced")
    loop = os.path.basename(lab3.node("n1")["loop"])
    assert lab3.node("n1")["xfs"] == [loop]
    lab3.kill("n1")
    assert lab3.node("n1")["xfs"] == [] and not disk.is_xfs_alive(loop)
    assert not accepts_write(f"/dev/{loop}")
    lab3.run("n2", "mkdir -p /cluster/v; mount -o nouuid /dev/lab/lun /cluster/v")
    assert lab3.run("n2", "ls /cluster/v").stdout.split() == ["synced"]
    assert lab3.run("n2", "xfs_repair -n /dev/lab/lun", check=False).code != 0      # mounted
    lab3.run("n2", "umount /cluster/v; xfs_repair -n /dev/lab/lun")


def test_a_partition_and_a_stacked_loop_die_with_the_node(lab3):
    """The kernel remembers a partition's size when its disk shrinks: it must be shut as well."""
    loop = lab3.node("n1")["loop"]
    disk.add_partition(loop, 1, 1 << 20, 512 << 20)
    lab3.run("n1", MOUNT.format(dev=loop + "p1"))
    upper = lab3.run("n1", "losetup -f --show -o 600M --sizelimit 300M /dev/lab/lun"
                     .replace("600M", str(600 << 20)).replace("300M", str(300 << 20)))
    upper = upper.stdout.strip()
    lab3.run("n1", f"mkfs.xfs -q -f {upper} && mkdir -p /cluster/u && mount {upper} /cluster/u")
    assert len(lab3.node("n1")["xfs"]) == 2
    lab3.kill("n1")
    assert lab3.node("n1")["xfs"] == []
    assert not accepts_write(loop + "p1") and not accepts_write(loop)
    assert int(upper[len("/dev/loop"):]) not in [
        n for n in disk.bound_loops() if disk._backing_device(n) == os.stat(loop).st_rdev]
    lab3.start("n1")                            # a rebooted node finds no stale partition
    assert disk.partitions(int(loop[len("/dev/loop"):])) == []


def test_freeze_and_thaw(lab3):
    lab3.freeze("n2")
    lab3.wait_ring("n1", [1, 3])
    with pytest.raises(LabError, match="frozen"):
        lab3.run("n2", ["true"])
    lab3.thaw("n2")
    for n in lab3.nodes:
        lab3.wait_ring(n, [1, 2, 3])
    lab3.service("n2", "freeze", "corosync")
    lab3.freeze("n2")
    lab3.kill("n2")                             # a frozen node can be killed
    assert lab3.node("n2")["state"] == "off"
    lab3.start("n2")                            # and nothing of it is frozen any more
    lab3.wait_ring("n1", [1, 2, 3])


# --- disk ---

def test_disk_eio_and_ok(lab3):
    lab3.run("n1", DIRECT_WRITE)
    lab3.disk("n1", "eio")
    assert lab3.run("n1", DIRECT_WRITE, check=False).code != 0
    lab3.run("n2", DIRECT_WRITE)
    lab3.disk("n1", "ok")
    lab3.run("n1", DIRECT_WRITE)


def test_disk_hang_and_kill_of_a_hung_node(make_lab):
    lab = make_lab(2, disk_faults=True)
    lab.disk("n1", "eio")
    failed = lab.run("n1", DIRECT_WRITE, check=False)
    assert failed.code != 0 and "Input/output error" in failed.stderr
    lab.disk("n1", "ok")
    lab.disk("n1", "hang")
    with lab.popen("n1", ["sh", "-c", DIRECT_WRITE], stderr=subprocess.DEVNULL) as process:
        assert not poll(lambda: process.poll() is not None, 0.5)
        lab.run("n2", DIRECT_WRITE)
        lab.status()
        lab.disk("n1", "ok")
        assert process.wait(10) == 0
    lab.run("n1", MOUNT.format(dev="/dev/lab/lun"))
    lab.disk("n1", "hang")
    with lab.popen("n1", ["dd", "if=/dev/zero", "of=/cluster/v/f", "bs=1M", "count=4",
                          "oflag=direct"], stderr=subprocess.DEVNULL) as process:
        lab.kill("n1")
        assert process.wait(10) in (137, 1)
    assert lab.node("n1")["state"] == "off" and lab.node("n1")["xfs"] == []
    lab.start("n1")
    lab.run("n1", DIRECT_WRITE)


# --- services ---

@long
def test_a_service_that_ends_is_reported_and_not_restarted(lab3):
    lab3.service("n3", "kill", "corosync")
    assert lab3.node("n3")["services"]["corosync"] == {"state": "exited", "code": -9}
    lab3.wait_ring("n1", [1, 2])
    lab3.service("n3", "start", "corosync")
    lab3.wait_ring("n3", [1, 2, 3])
    lab3.service("n3", "freeze", "corosync")
    lab3.wait_ring("n1", [1, 2])
    lab3.run("n3", ["true"])                    # the rest of the node goes on
    lab3.service("n3", "thaw", "corosync")
    lab3.wait_ring("n3", [1, 2, 3])
    lab3.service("n3", "stop", "corosync")
    assert lab3.node("n3")["services"]["corosync"]["state"] == "exited"


def test_clusterd_runs_where_it_is_found(make_lab, tmp_path):
    program = tmp_path / "clusterd"
    program.write_text("#!/bin/sh\necho \"hello $*\"\nexit 5\n")
    program.chmod(0o755)
    lab = make_lab(1, bin=str(tmp_path))
    wait_until(lambda: lab.node("n1")["services"]["clusterd"]["state"] == "exited", 10,
               "end of the fake clusterd")
    assert lab.node("n1")["services"]["clusterd"]["code"] == 5
    assert lab.run("n1", "cat /var/log/clusterd.log").stdout.startswith("hello --foreground ")


def test_stop_is_orderly(lab3):
    lab3.stop("n3")
    assert lab3.node("n3")["state"] == "off"
    lab3.wait_ring("n1", [1, 2])


# --- fence_lab ---

def test_fence_metadata_is_xml_with_the_actions():
    done = subprocess.run([FENCE, "--action", "metadata"], capture_output=True, text=True,
                          timeout=20, check=True)
    actions = {a.getAttribute("name") for a in
               xml.dom.minidom.parseString(done.stdout).getElementsByTagName("action")}
    assert {"on", "off", "reboot", "status", "monitor", "list", "metadata",
            "validate-all"} <= actions


def test_fence_off_status_on_reboot(lab3):
    assert fence(lab3, "monitor").returncode == 0
    assert fence(lab3, "list").stdout.split() == ["n1,n1", "n2,n2", "n3,n3"]
    assert fence(lab3, "status", "n1").returncode == 0
    boot_id = lab3.node("n1")["boot_id"]
    inside = lab3.run("n2", [FENCE, "--action", "off", "--plug", "n1"])     # by LAB_BMC
    assert "Powered OFF" in inside.stdout
    assert fence(lab3, "status", "n1").returncode == 2
    assert fence(lab3, "off", "n1").returncode == 0
    assert fence(lab3, "on", "n1").returncode == 0
    assert fence(lab3, "status", "n1").returncode == 0
    assert fence(lab3, "reboot", None, port="n1").returncode == 0
    assert lab3.node("n1")["boot_id"] != boot_id
    assert fence(lab3, "validate-all", "n1").returncode == 0
    assert lab3.run("n3", [FENCE, "-o", "off", "-n", "n3"], check=False).code == 137   # itself


def test_fence_does_not_lie_about_what_it_cannot_reach(lab3):
    assert fence(lab3, "off", "n9").returncode == 1
    assert fence(lab3, "status", "n9").returncode == 1
    assert fence(lab3, "off").returncode == 1
    assert fence(lab3, "explode", "n1").returncode == 1
    assert fence(lab3, "off", "n1", socket_path="/nonexistent/bmc").returncode == 1
    pid = lab3.status()["pid"]
    os.kill(pid, signal.SIGSTOP)                # a BMC that takes and never answers
    try:
        assert fence(lab3, "off", "n1", power_timeout="1").returncode == 1
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("answer", [b'{"ok": true, "power": "on"}\n', b'{"ok": true}\n',
                                    b"\xff\xfe\n", b"[]\n", b""])
def test_fence_does_not_believe_a_bmc_without_a_second_look(lab_dir, answer):
    path = os.path.join(lab_dir(), "bmc")
    listener = rpc.listen(path)

    def lie():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.recv(4096)
                sock.sendall(answer)
    threading.Thread(target=lie, daemon=True).start()
    try:
        assert fence(None, "off", "n1", socket_path=path).returncode == 1
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        os.unlink(path)


@long
def test_fence_does_not_lie_while_a_file_system_lives(lab1):
    """Someone outside holds the node's mount: not off, until they let go."""
    lab1.run("n1", MOUNT.format(dev="/dev/lab/lun"))
    fd = os.open(f"/proc/{lab1.node('n1')['pid']}/root/cluster/v", os.O_RDONLY)
    try:
        off = fence(lab1, "off", "n1")
        assert off.returncode == 1 and "XFS" in off.stderr
        assert fence(lab1, "status", "n1").returncode == 1
        assert fence(lab1, "on", "n1").returncode == 1
        assert lab1.node("n1")["state"] == "failed"
        with pytest.raises(OSError):            # and yet it writes nothing any more
            os.fsync(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    finally:
        os.close(fd)
    assert fence(lab1, "off", "n1").returncode == 0
    assert fence(lab1, "status", "n1").returncode == 2
    assert fence(lab1, "on", "n1").returncode == 0


def test_one_hanging_request_does_not_block_others(lab3):
    """A client that sends half a line costs a thread, nothing else."""
    with rpc.connect(os.path.join(lab3.dir, "ctl.sock"), 5) as half:
        half.sendall(b'{"op": "st')
        assert lab3.status()["nodes"][0]["state"] == "on"
        assert fence(lab3, "status", "n1").returncode == 0


def test_the_lock_of_dev_lab_is_shared(lab1):
    fd = os.open(disk.DEV_LAB, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    disk.release_dev_lab()
    assert os.path.isdir(disk.DEV_LAB)
