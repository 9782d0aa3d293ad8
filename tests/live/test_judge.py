# SPDX-License-Identifier: GPL-2.0-or-later
"""The attributed LUN and its judge: each planted violation is found, and faults are what they say."""
import mmap
import os
import signal
import subprocess

import lunlog
import pytest
from cluster import BUILD, CSVADM
from judge import CONTROL, DATA, TERMS, Judge, judge, parse_trace
from lablib import LabError, wait_until
from test_csvfs import VOL, coordinator, move_to
from test_csvfs_direct import make_volume

MIB = 1 << 20
LUN = "/dev/lab/lun"


# --- by what is noted alone

def write(ns, node, offset, length=4096, op=lunlog.WRITE, took=10, **more):
    r = lunlog.Record(0, ns, ns + took, offset, length, length, 0, 0, op, node, 0)
    return r._replace(**more)


def mark(ns, node, op):
    return write(ns, node, 0, 0, op, 0)


TRACE = {1: """100 mount 0a
110 begin 5
120 open 5
200 map 7.1 18874368+1048576
201 issue 5 0b 7.1 5.1 write
205 issue 5 0c 7.1 5.2 read
400 done 5 0b 7.1 5.1 none
600 end 5
""", 2: """90 mount 0b
700 begin 6
720 open 6
""", 3: """90 mount 0c
"""}
FILE = 18 * MIB
FREE = 100 * MIB


def verdict(*records, trace=TRACE):
    events = []
    for node, text in trace.items():
        events += parse_trace(node, text)
    return Judge(list(records), events, 1 << 30)


@pytest.mark.parametrize("record", [
    write(50, 2, FREE), write(50, 2, 0),                    # who makes the volume
    write(130, 1, FREE), write(112, 1, CONTROL + TERMS[0]), write(130, 1, FREE, op=lunlog.DISCARD),
    write(710, 2, FREE), write(710, 2, CONTROL + TERMS[1]),
    write(300, 2, FILE), write(300, 2, FILE + MIB - 4096), write(210, 2, FILE, took=190),
    write(130, 2, CONTROL + 0x210000),
    write(130, 2, FREE, done=0, error=5),
    write(130, 2, 1 << 30),                                 # beside the volume
])
def test_what_is_allowed(record):
    assert verdict(record).wrong == []


@pytest.mark.parametrize("record,word", [
    (write(130, 2, FREE), "no grant"), (write(130, 2, FREE, op=lunlog.DISCARD), "no grant"),
    (write(130, 2, FREE, op=lunlog.ZERO), "no grant"),
    (write(300, 2, FILE - 4096), "no grant"), (write(300, 2, FILE + MIB), "no grant"),
    (write(300, 2, FILE + MIB - 4096, 8192), "no grant"),
    (write(195, 2, FILE), "no grant"),                      # before it was given
    (write(195, 2, FILE, took=20), "no grant"),
    (write(395, 2, FILE), "no grant"),                      # it ends after it was given back
    (write(410, 2, FILE), "n2 had 5.1"),
    (write(300, 3, FILE), "no grant"),                      # for reading
    (write(601, 1, FREE), "it had term 5"), (write(595, 1, FREE), "it had term 5"),
    (write(601, 1, CONTROL + TERMS[0]), "a term"), (write(130, 3, CONTROL + TERMS[0]), "a term"),
    (write(130, 1, CONTROL), "not its"), (write(130, 1, 0), "not its"),
    (write(130, 3, CONTROL + 0x210000), "not its"),
    (write(130, 1, (1 << 30) - 4096), "past csv-data"),
    (write(300, 2, FREE, done=512, error=5, flags=lunlog.IS_TORN), "no grant"),
])
def test_what_is_not(record, word):
    wrong, = verdict(record).wrong
    assert word in wrong, wrong


def test_a_coordinator_is_over_when_the_next_one_begins():
    trace = TRACE | {1: TRACE[1].replace("600 end 5\n", "")}
    assert verdict(write(690, 1, FREE), trace=trace).wrong == []
    assert verdict(write(690, 1, FREE, took=20), trace=trace).wrong
    late = trace | {3: "90 mount 0c\n800 begin 4\n"}
    assert verdict(write(810, 3, FREE), trace=late).wrong


def test_who_is_over_grants_nothing():
    trace = TRACE | {1: TRACE[1] + "710 map 7.1 18874368+4096\n711 issue 5 0b 7.1 5.9 write\n"}
    assert "over" in verdict(trace=trace).wrong[0]


def test_grants_outlive_their_coordinator_if_the_mounts_say_so():
    trace = TRACE | {1: TRACE[1].replace("400 done 5 0b 7.1 5.1 none\n", "")}
    kept = trace | {2: TRACE[2].replace("720 open", "715 reclaim 6 0b 7.1 5.1 write\n720 open")}
    assert verdict(write(650, 2, FILE), trace=trace).wrong == []
    assert verdict(write(730, 3, FILE), trace=kept).wrong
    # Term 6 is n2's, and what is granted to it there does not show: by the mount of n3.
    swap = kept | {2: kept[2].replace("mount 0b", "mount 0c"), 3: "90 mount 0b\n"}
    assert verdict(write(730, 3, FILE), trace=swap).wrong == []
    gone = swap | {2: swap[2] + "725 gone 6 0b\n"}
    assert verdict(write(730, 3, FILE), trace=gone).wrong
    untold = swap | {2: swap[2].replace("715 reclaim 6 0b 7.1 5.1 write\n", "")}
    assert verdict(write(730, 3, FILE), trace=untold).wrong


@pytest.mark.parametrize("line,word", [
    ("map 8.1 18878464+4096\n251 issue 5 0c 8.1 5.9 read", "blocks of both"),
    ("map 8.1 19922944+4096\n251 issue 5 0c 8.1 5.9 write", None),
    ("map 7.1 18874368+1048576\n251 issue 5 0a 7.1 5.9 sole", "each alone"),
    ("map 7.1 18874368+1048576\n251 issue 5 0a 7.1 5.9 write", None),
    ("map 7.1 18874368+1048576\n251 issue 5 0a 7.1 5.9 read", None),
])
def test_grants_that_contradict_each_other(line, word):
    wrong = verdict(trace=TRACE | {1: TRACE[1] + f"250 {line}\n"}).wrong
    assert [word in w for w in wrong] == ([True] if word else []), wrong


def test_a_grant_that_is_asked_for_again_goes_on():
    again = TRACE[1].replace("400 done", "300 map 7.1 18874368+1048576\n"
                             "301 issue 5 0b 7.1 5.3 write\n400 done").replace("5.1 none", "5.3 none")
    trace = TRACE | {1: again}
    assert verdict(write(290, 2, FILE, took=20), trace=trace).wrong == []
    assert verdict(write(395, 2, FILE), trace=trace).wrong


def test_fences():
    cut, off, on = (mark(ns, 1, op) for ns, op in ((300, lunlog.CUT), (310, lunlog.OFF),
                                                  (400, lunlog.ON)))
    refused = {"done": 0, "error": 5, "flags": lunlog.IS_CUT}
    assert verdict(write(130, 1, FREE), cut, off, on, write(410, 1, FREE)).wrong == []
    assert verdict(cut, write(290, 1, FREE, took=30, **refused), off).wrong == []
    assert verdict(cut, write(305, 1, FREE, **refused), off).wrong == []
    assert verdict(cut, off, write(320, 1, 1 << 62, **refused)).wrong == []
    assert "still writes" in verdict(cut, off, write(320, 1, FREE, **refused)).wrong[0]
    assert "reached" in verdict(cut, write(305, 1, FREE), off).wrong[0]
    assert "reached" in verdict(cut, off, write(320, 1, FREE)).wrong[0]
    assert verdict(cut, off, write(320, 2, FREE), trace={1: "1000 begin 1\n"}).wrong == []


# --- planted in a lab

def raw(c, node, at, check=True):
    """One block, past everything."""
    return c.lab.run(node, f"dd if=/dev/zero of={LUN} bs=4096 count=1 seek={at // 4096} "
                           "oflag=direct conv=notrunc", check=check)


class Watch:
    """Sentences that the judge says since the last time."""

    def __init__(self, lab):
        self.lab, self.seen = lab, set()
        lab.is_judged = False

    def news(self):
        wrong = {w.partition(": ")[0]: w for w in judge(self.lab).wrong}    # by what was done
        new = [wrong[k] for k in wrong if k not in self.seen]
        self.seen.update(wrong)
        return new


@pytest.fixture
def watched(make_lab):
    c = make_volume(make_lab)
    move_to(c, "n1")
    watch = Watch(c.lab)
    assert watch.news() == []
    return c, watch


def extent_of(c, mount_node):
    """Where the first block lies that was ever granted."""
    trace = [line.split() for line in c.lab.run(mount_node, "cat /var/log/csvfsd.trace").stdout.splitlines()]
    return [int(w[3].partition("+")[0]) for w in trace if w[1] == "map"][-1]


def test_writes_outside_grants_are_found(watched):
    c, watch = watched
    far = (1 << 30) - 16 * MIB
    raw(c, "n1", far)                                       # it coordinates
    assert watch.news() == []
    raw(c, "n3", far)
    wrong, = watch.news()
    assert wrong.startswith("n3 write") and "no grant" in wrong
    c.lab.run("n3", [CSVADM, "prealloc", f"{VOL}/disk", "--size", "4M"])
    user = c.lab.popen("n3", ["/bin/sh", "-c", f"exec 3<>{VOL}/disk && dd if=/dev/zero of={VOL}/disk "
                              "bs=1M count=4 oflag=direct conv=notrunc && echo written && read x"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert user.stdout.readline() == "written\n"
    at = extent_of(c, "n1")
    raw(c, "n3", at)                                        # it has been granted
    assert watch.news() == []
    raw(c, "n2", at)
    wrong, = watch.news()
    assert "n3 had" in wrong
    c.lab.run("n2", f"truncate -s 0 {VOL}/disk")
    raw(c, "n3", at)
    wrong, = watch.news()
    assert "n3 had" in wrong and "to now" not in wrong
    user.communicate("\n", timeout=30)
    c.lab.run("n3", f"dd if=/dev/zero of={LUN} bs=512 count=1 oflag=direct conv=notrunc")
    wrong, = watch.news()
    assert "not its" in wrong


def test_writes_of_a_former_coordinator_are_found(watched):
    c, watch = watched
    move_to(c, "n2")
    assert watch.news() == []
    raw(c, "n1", DATA + 64 * MIB)
    wrong, = watch.news()
    assert wrong.startswith("n1 write") and "it had term" in wrong
    raw(c, "n1", CONTROL + TERMS[0])
    wrong, = watch.news()
    assert "a term" in wrong
    assert coordinator(c) == "n2"


def test_a_write_after_the_fence_is_refused_and_found(watched):
    """Through a descriptor of before, past the loop that the lab has shut: nothing of it arrives."""
    c, watch = watched
    status = c.lab.status()
    fd = os.open(f"/proc/{status['pid']}/root{c.lab.dir}/lun/n3", os.O_RDWR)
    try:
        page = mmap.mmap(-1, 4096)
        page[:] = b"x" * 4096
        at = (1 << 30) - 16 * MIB
        assert os.pwritev(fd, [page], at) == 4096
        assert len(watch.news()) == 1                       # no grant
        c.lab.kill("n3")
        assert watch.news() == []
        page[:] = b"y" * 4096
        with pytest.raises(OSError, match="Input/output"):
            os.pwritev(fd, [page], at)
        wrong, = watch.news()
        assert "said to be off, and it still writes" in wrong
        with open(status["lun"], "rb") as lun:
            lun.seek(at)
            assert lun.read(4096) == b"x" * 4096
    finally:
        os.close(fd)
    wait_until(lambda: c.lab.node("n3")["state"] == "on", 60, "the fence has switched it on again")
    c.lab.run("n3", f"dd if={LUN} of=/dev/null bs=4096 count=1 iflag=direct")
    assert watch.news() == []


# --- faults

@pytest.fixture
def lab2(make_lab):
    return make_lab(2, bin=BUILD, services=False)


def block(lab, node, n, letter, check=False):
    return lab.run(node, f"head -c 4096 /dev/zero | tr '\\0' {letter} | "
                         f"dd of={LUN} bs=4096 seek={n} oflag=direct conv=notrunc", check=check)


def seen(lab, node, n):
    return lab.run(node, f"dd if={LUN} bs=4096 skip={n} count=1 iflag=direct | tr -d '\\n'").stdout


def test_what_one_node_has_written_all_read_and_it_is_noted(lab2):
    block(lab2, "n1", 5, "a", check=True)
    assert seen(lab2, "n2", 5) == "a" * 4096
    block(lab2, "n2", 6, "b", check=True)
    assert seen(lab2, "n1", 6) == "b" * 4096
    lab2.run("n1", f"blkdiscard -o 20480 -l 4096 {LUN} && sync {LUN}")
    assert seen(lab2, "n2", 5) == "\0" * 4096
    log = lunlog.load(lab2.status()["lun_log"])
    noted = [(r.node, r.op, r.offset, r.length) for r in log if r.op & lunlog.CHANGES]
    assert noted == [(1, lunlog.WRITE, 20480, 4096), (2, lunlog.WRITE, 24576, 4096),
                     (1, lunlog.DISCARD, 20480, 4096)]
    assert any(r.op == lunlog.FLUSH and r.node == 1 for r in log)
    assert all(r.begin <= r.end and not r.error for r in log)


def test_io_errors_are_of_one_node_and_of_some_operations(lab2):
    lab2.lun_fault("n1", "fail", "write")
    assert "Input/output" in block(lab2, "n1", 1, "a").stderr
    assert seen(lab2, "n1", 1) == "\0" * 4096
    block(lab2, "n2", 1, "b", check=True)
    lab2.lun_fault("n1", "fail", "read,flush")
    block(lab2, "n1", 2, "a", check=True)
    assert lab2.run("n1", f"dd if={LUN} bs=4096 count=1 iflag=direct", check=False).code != 0
    lab2.lun_fault("n1", "ok")
    assert seen(lab2, "n1", 1) == "b" * 4096


def test_a_torn_write_leaves_its_beginning(lab2):
    lab2.lun_fault("n1", "tear", 1, 512)
    block(lab2, "n1", 1, "a", check=True)
    assert "Input/output" in block(lab2, "n1", 2, "b").stderr
    assert "Input/output" in block(lab2, "n1", 3, "c").stderr
    assert seen(lab2, "n2", 2) == "b" * 512 + "\0" * 3584
    assert seen(lab2, "n2", 3) == "\0" * 4096
    torn, = [r for r in lunlog.load(lab2.status()["lun_log"]) if r.flags & lunlog.IS_TORN]
    assert (torn.done, torn.error) == (512, 5)


def test_what_hangs_waits_and_a_crash_ends_it(lab2):
    lab2.disk("n1", "hang")
    hung = lab2.popen("n1", ["dd", "if=/dev/zero", f"of={LUN}", "bs=4096", "count=1", "seek=9",
                             "oflag=direct", "conv=notrunc"], stderr=subprocess.DEVNULL)
    block(lab2, "n2", 9, "b", check=True)
    assert hung.poll() is None
    lab2.disk("n1", "ok")
    assert hung.wait(timeout=30) == 0
    assert seen(lab2, "n2", 9) == "\0" * 4096
    lab2.disk("n1", "hang")
    hung = lab2.popen("n1", ["dd", "if=/dev/urandom", f"of={LUN}", "bs=4096", "count=1", "seek=9",
                             "oflag=direct", "conv=notrunc"], stderr=subprocess.DEVNULL)
    lab2.kill("n1")
    assert hung.wait(timeout=30) != 0
    assert seen(lab2, "n2", 9) == "\0" * 4096
    lab2.start("n1")
    block(lab2, "n1", 9, "c", check=True)


def test_a_slow_disk_is_slow(lab2):
    lab2.lun_fault("n1", "delay", 300, "write")
    block(lab2, "n1", 1, "a", check=True)
    slow, = [r for r in lunlog.load(lab2.status()["lun_log"]) if r.op == lunlog.WRITE]
    assert slow.end - slow.begin >= 300_000_000


@pytest.mark.parametrize("words", [("burn",), ("fail", "everything"), ("tear", "1"), ("delay", "5")])
def test_faults_that_there_are_not_are_refused(lab2, words):
    with pytest.raises(LabError, match="lun|unknown|wrong"):
        lab2.lun_fault("n1", *words)


def test_lund_killed_leaves_a_machine_that_goes_on(lab2):
    """Its mounts end with it: I/O fails, nothing hangs, the lab goes down as ever."""
    lab2.run("n1", f"mkfs.xfs -q {LUN} && mkdir /tmp/m && mount {LUN} /tmp/m && touch /tmp/m/f")
    group = os.path.join(os.path.dirname(lab2.node("n1")["cgroup"]), "lund")
    with open(os.path.join(group, "cgroup.kill"), "w", encoding="ascii") as f:
        f.write("1")
    wait_until(lambda: block(lab2, "n2", 1, "a").code != 0, 20, "I/O fails")
    lab2.kill("n1")
    lab2.is_judged = False


def test_without_labd_down_leaves_nothing(lab2):
    """lund and its mounts end with the lab's control group, the loops on them are found by name."""
    lab2.run("n1", f"mkfs.xfs -q {LUN} && mkdir /tmp/m && mount {LUN} /tmp/m && touch /tmp/m/f")
    lab2.disk("n2", "hang")
    hung = lab2.popen("n2", ["dd", "if=/dev/zero", f"of={LUN}", "bs=4096", "count=1",
                             "oflag=direct"], stderr=subprocess.DEVNULL)
    os.kill(lab2.status()["pid"], signal.SIGKILL)
    lab2.labd.wait(20)
    lab2.down()
    assert hung.wait(timeout=30) != 0
    assert lab2.leftovers() == []
