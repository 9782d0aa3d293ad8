# SPDX-License-Identifier: GPL-2.0-or-later
"""Granted files on real nodes: no message for steady I/O, one truth for all, no error for a path."""
import os
import subprocess

import pytest
from cluster import CSVADM
from judge import judge
from lablib import wait_until
from long import long
from test_csvfs import VOL, check_clean, coordinator, csvfsd, fenced_volume, mount_ids, move_to

WORK = os.path.join(os.path.dirname(os.path.realpath(__file__)), "direct_io.py")
MIB = 1 << 20


def make_volume(make_lab, **options):
    c = fenced_volume(make_lab, **options)
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: io(c, n)["state"] == "active", "the path to the LUN is open")
    return c


@pytest.fixture
def vol3(make_lab):
    """Three nodes with power switches and one volume that each of them can reach."""
    return make_volume(make_lab)


def io(c, node):
    """What this node's mount does by itself."""
    own, = [m for m in c.volume_show("vol", node)["mounts"] if m["node"] == node]
    return own["io"]


def prealloc(c, node, name, mib):
    c.lab.run(node, [CSVADM, "prealloc", f"{VOL}/{name}", "--size", f"{mib}M"], timeout=120)


class Work:
    """direct_io.py on nodes."""

    def __init__(self, c):
        self.c, self.runs = c, {}

    def start(self, node, what, name, *words):
        key = f"{node}-{what}-{name}"
        self.runs[key] = (node, self.c.lab.popen(
            node, [WORK, what, f"{VOL}/{name}", key, *words], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True))
        return key

    def progress(self, key):
        node = self.runs[key][0]
        return self.c.lab.run(node, f"cat /run/{key}.log", check=False).stdout.strip()

    def wait_progress(self, timeout=60):
        for key, (_, process) in self.runs.items():
            for _ in range(2):
                before = self.progress(key)

                def moved(k=key, b=before, p=process):
                    assert p.poll() is None, f"{k}: {p.stderr.read()}"
                    return self.progress(k) != b
                wait_until(moved, timeout, f"{key} gets on")

    def forget(self, node):
        for key in [k for k, run in self.runs.items() if run[0] == node]:
            self.runs.pop(key)[1].communicate(timeout=30)

    def stop(self, timeout=60):
        for key, (node, _) in self.runs.items():
            self.c.lab.run(node, f"touch /run/{key}.stop")
        out = {}
        for key, (_, process) in self.runs.items():
            text, error = process.communicate(timeout=timeout)
            assert process.returncode == 0, f"{key}: {error}"
            out[key] = text
        self.runs = {}
        return out


def check_file(c, node, name):
    result = c.lab.run(node, [WORK, "check", f"{VOL}/{name}", f"{node}-check"], timeout=120,
                       check=False)
    assert result.code == 0, result.stderr


def test_prealloc_makes_whole_files_or_none(vol3):
    c = vol3

    def fails(name, size):
        return c.lab.run("n2", [CSVADM, "prealloc", f"{VOL}/{name}", "--size", size], check=False)
    prealloc(c, "n2", "disk", 2)
    assert c.lab.run("n3", f"stat -c '%s %b' {VOL}/disk").stdout == f"{2 * MIB} 4096\n"
    assert fails("disk", "2M").code == 8 and "exists" in fails("disk", "2M").stderr
    for size in ("1000", "1M5", "-1", "1048577"):
        assert fails("other", size).code == 2, size
    result = fails("other", "1T")
    assert result.code == 8 and "No space" in result.stderr
    assert c.lab.run("n1", f"ls {VOL}").stdout == "disk\n"


def test_steady_io_on_a_granted_file_costs_the_coordinator_nothing(vol3):
    c, work = vol3, Work(vol3)
    prealloc(c, "n1", "disk", 16)
    for node in c.lab.nodes:
        work.start(node, "random", "disk")
    for key, (_, process) in work.runs.items():
        assert process.stdout.readline() == "ready\n", f"{key}: {process.stderr.read()}"
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: io(c, n)["granted_files"] == 1 and
               io(c, n)["direct_writes"] > 0, "it is granted")
    work.wait_progress()
    before = {n: io(c, n) for n in c.lab.nodes}
    for node in c.lab.nodes:
        wait_until(lambda n=node: io(c, n)["direct_writes"] > before[n]["direct_writes"] + 200,
                   60, f"{node} writes")
    after = {n: io(c, n) for n in c.lab.nodes}
    work.stop()
    for node in c.lab.nodes:
        assert after[node]["requests"] == before[node]["requests"], (before[node], after[node])
        assert after[node]["redirected_bytes"] == 0
    check_clean(c)


# --- coherence

def start_writers(c, work, nodes=("n1", "n2", "n3")):
    """On each node one that writes, one that reads what it and the others have written."""
    logs = [f"{VOL}/{node}.log" for node in nodes]
    for i, node in enumerate(nodes):
        work.start(node, "own", "disk", str(i), str(len(nodes)), logs[i])
    work.wait_progress()
    for node in nodes:
        work.start(node, "watch", "disk", *logs)


def test_what_was_written_on_one_node_is_read_on_all(vol3):
    """O_DIRECT and buffered; the logs tell through the volume itself what was written."""
    c, work = vol3, Work(vol3)
    prealloc(c, "n2", "disk", 8)
    start_writers(c, work)
    for _ in range(5):
        work.wait_progress()
    for node in c.lab.nodes:
        assert io(c, node)["direct_writes"] > 20, io(c, node)
    work.stop()
    if c.lab.config["lun"]:             # what conftest.py judges is there to be judged
        assert judge(c.lab).counts["granted"] > 40
    check_file(c, "n3", "disk")
    check_clean(c)


@long
def test_blocks_that_others_get_show_nothing_of_who_had_them(vol3):
    """Cut, punched and removed under load; the next file takes the blocks at once."""
    c, work = vol3, Work(vol3)
    ways = (f"truncate -s 0 {VOL}/old", f"fallocate -p -o 0 -l {4 * MIB} {VOL}/old",
            f"rm {VOL}/old")
    for number, way in enumerate(ways * 2):
        prealloc(c, "n1", "old", 4)
        for node in ("n2", "n3"):
            work.start(node, "rough", "old")
        work.wait_progress()
        c.lab.run("n1", way, timeout=60)
        prealloc(c, "n1", f"new{number}", 4)
        work.wait_progress()
        check_file(c, "n2", f"new{number}")
        work.stop()
        check_file(c, "n3", f"new{number}")
        c.lab.run("n1", f"rm -f {VOL}/old /run/*-rough-old.stop")
        for node in ("n2", "n3"):
            c.lab.run(node, "rm -f /run/*.stop /run/*.log")
    for number in range(len(ways) * 2):
        check_file(c, "n1", f"new{number}")
    check_clean(c)


def test_attributes_tell_of_what_was_written_directly(vol3):
    c, run = vol3, vol3.lab.run
    prealloc(c, "n1", "disk", 4)
    run("n2", f"chmod 4755 {VOL}/disk && touch -d '2001-01-01' {VOL}/disk")
    work = Work(c)
    work.start("n2", "random", "disk")
    work.wait_progress()
    before = float(run("n3", f"stat -c %.Y {VOL}/disk").stdout)
    assert before > 1e9
    work.wait_progress()
    assert float(run("n3", f"stat -c %.Y {VOL}/disk").stdout) > before
    work.stop()
    run("n3", f"touch -d '2001-01-01' {VOL}/disk")
    assert run("n1", f"stat -c %.4Y {VOL}/disk").stdout.startswith("978")


SECTORS = '''
import os, struct, sys
fd, mine, last = os.open(sys.argv[1], os.O_RDWR), int(sys.argv[2]), 0
for n in range(1, int(sys.argv[3]) + 1):
    at = (n % 8) * 4096 + mine * 512
    os.pwrite(fd, struct.pack("<Q", n) * 64, at)
    got = os.pread(fd, 512, at)
    assert got == struct.pack("<Q", n) * 64, (n, got[:8])
'''


@long
def test_two_nodes_write_sectors_of_one_block_and_lose_none(vol3):
    """Read, changed and written back by each of them, one would undo what the other has written."""
    c, count = vol3, 160
    prealloc(c, "n1", "disk", 4)
    work = Work(c)
    work.start("n3", "random", "disk")      # of other blocks in the end: it is out for writing
    work.wait_progress()
    work.stop()
    runs = [c.lab.popen(node, ["/usr/bin/python3", "-c", SECTORS, f"{VOL}/disk", str(mine),
                               str(count)], stderr=subprocess.PIPE, text=True)
            for mine, node in enumerate(("n1", "n2", "n1", "n2"))]
    for process in runs:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    read = "import sys; sys.stdout.write(open(sys.argv[1], 'rb').read(32768).hex())"
    data = bytes.fromhex(c.lab.run("n3", ["/usr/bin/python3", "-c", read, f"{VOL}/disk"]).stdout)
    for n in range(count - 7, count + 1):
        for mine in range(4):
            at = (n % 8) * 4096 + mine * 512
            assert int.from_bytes(data[at:at + 8], "little") == n, (n, mine)
    check_clean(c)


# --- fsync

@long
def test_an_fsync_after_the_path_is_lost_is_done_by_the_coordinator(sick3):
    """No error: what was written is in the LUN's cache, which is everybody's."""
    c = sick3
    prealloc(c, "n1", "disk", 4)
    script = '''
import mmap, os, sys
fd, page = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT), mmap.mmap(-1, 4096)
page[:] = b"x" * 4096
for i in range(4):
    os.pwrite(fd, page, 2097152 + i * 4096)
print("written", flush=True)
sys.stdin.readline()
os.fsync(fd)
os.fdatasync(fd)
print("synced", flush=True)
'''
    writer = c.lab.popen("n2", ["/usr/bin/python3", "-c", script, f"{VOL}/disk"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "written\n"
    c.wait("n2", lambda: io(c, "n2")["direct_writes"] >= 4, "it has written directly")
    c.lab.disk("n2", "eio")
    out, _ = writer.communicate("go\n", timeout=60)
    assert out == "synced\n" and writer.returncode == 0
    c.lab.disk("n2", "ok")
    c.wait("n2", lambda: io(c, "n2")["state"] == "active", "active")
    read = "import sys; print(open(sys.argv[1], 'rb').read()[2097152:2113536] == b'x' * 16384)"
    assert c.lab.run("n3", ["/usr/bin/python3", "-c", read, f"{VOL}/disk"]).stdout == "True\n"
    check_clean(c)


# --- the path is lost and comes back

@pytest.fixture
def sick3(make_lab):
    """As vol3, with disks that can fail and hang; n2 does not coordinate."""
    c = make_volume(make_lab, disk_faults=True)
    move_to(c, "n1")
    return c


def grows(c, node, counter):
    before = io(c, node)[counter]
    wait_until(lambda: io(c, node)[counter] > before, 30, f"{node}: {counter} grows")


@long
def test_a_node_whose_disk_fails_goes_on_through_the_coordinator(sick3):
    c, work = sick3, Work(sick3)
    prealloc(c, "n1", "disk", 8)
    start_writers(c, work)
    for _ in range(2):
        c.lab.disk("n2", "eio")
        c.wait("n2", lambda: io(c, "n2")["state"] == "redirected", "redirected")
        assert "error" in io(c, "n2")["block"]
        grows(c, "n2", "redirected_bytes")
        work.wait_progress()
        c.lab.disk("n2", "ok")
        c.wait("n2", lambda: io(c, "n2")["state"] == "active", "active")
        grows(c, "n2", "direct_writes")
        assert io(c, "n2")["block"] == "" and io(c, "n2")["block_ms"] == 0
        work.wait_progress()
    assert io(c, "n3")["redirected_bytes"] == 0
    work.stop()
    check_clean(c)


@long
def test_a_node_whose_disk_hangs_goes_on_through_the_coordinator(sick3):
    """What hangs waits; what comes later does not."""
    c, work, late = sick3, Work(sick3), Work(sick3)
    prealloc(c, "n1", "disk", 8)
    prealloc(c, "n1", "other", 8)
    work.start("n2", "random", "disk")
    work.start("n3", "random", "disk")
    work.wait_progress()
    c.lab.disk("n2", "hang")
    c.wait("n2", lambda: io(c, "n2")["state"] == "redirected", "redirected")
    assert "answer" in io(c, "n2")["block"]
    late.start("n2", "random", "other")
    late.wait_progress()
    grows(c, "n2", "redirected_bytes")
    c.lab.disk("n2", "ok")
    c.wait("n2", lambda: io(c, "n2")["state"] == "active", "active")
    work.wait_progress()
    grows(c, "n2", "direct_writes")
    work.stop()
    late.stop()
    check_clean(c)


# --- coordinators and nodes come and go

@long
def test_direct_io_goes_on_while_the_coordinator_dies_and_moves(vol3):
    c, work = vol3, Work(vol3)
    prealloc(c, "n1", "disk", 8)
    start_writers(c, work)
    for _ in range(2):
        node = coordinator(c)
        pid, = csvfsd(c, node, "coordinate")
        c.lab.run(node, f"kill -9 {pid}")
        work.wait_progress()
    for node in ("n2", "n3"):
        move_to(c, node)
        work.wait_progress()
    work.stop()
    check_file(c, "n1", "disk")
    check_clean(c)


def test_blocks_of_a_crashed_writer_are_freed_only_after_its_fence(vol3):
    c, work = vol3, Work(vol3)
    move_to(c, "n1")
    prealloc(c, "n1", "disk", 8)
    work.start("n3", "random", "disk")
    work.wait_progress()
    grows(c, "n3", "direct_writes")
    dead = mount_ids(c)["n3"]
    c.lab.kill("n3")
    work.forget("n3")
    cut = c.lab.popen("n1", ["truncate", "-s", "0", f"{VOL}/disk"])
    assert cut.wait(timeout=60) == 0
    kinds = [(e["kind"], e["object"]) for e in c.events("n1")]
    assert ("node-fenced", "n3") in kinds
    prealloc(c, "n2", "next", 8)
    check_file(c, "n1", "next")
    c.wait("n1", lambda: mount_ids(c).get("n3", dead) != dead, "the dead mount is recovered", 60)
    c.wait_volume()
    check_clean(c)
