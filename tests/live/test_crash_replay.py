# SPDX-License-Identifier: GPL-2.0-or-later
"""The power goes at any moment of a workload: from the log of the LUN, all that was answered is there,
and what is sent again has happened once. CRASH_SEED=N: other workloads and moments; CRASH_MOMENTS=N:
so many, at most, in each of the long tests.
"""
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections import Counter

import attributed
import crash_backing
import crash_model
import crash_points
import pytest
import syscalls
from cluster import BUILD, CSVADM, Cluster
from common import command
from crash_points import Crash, History, Images, Promises, Xfs
from long import long
from test_csvfs import VOL, check_clean, move_to
from test_csvfs_direct import io

POSIX = os.path.join(os.path.dirname(os.path.realpath(__file__)), "crash_posix.py")
LUN_BYTES = 320 << 20
PR_SET_PDEATHSIG = 1
SEED = os.environ.get("CRASH_SEED", "1")
MOMENTS = int(os.environ.get("CRASH_MOMENTS", "800"))


@pytest.fixture
def folder():
    """For images: in memory, if there is some."""
    path = tempfile.mkdtemp(prefix="clusterd-crash-",
                            dir="/dev/shm" if shutil.disk_usage("/dev/shm").free > 1 << 30 else "/var/tmp")
    yield path
    shutil.rmtree(path)


def apart(work, *args):
    """work(*args) in a process whose mounts nobody else sees, and end with it."""
    def run(pipe):
        syscalls.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
            pipe.send((work(*args), None))
        except Crash as e:
            pipe.send((None, e))
        except Exception as e:      # pylint: disable=W0718
            pipe.send((None, RuntimeError(f"{type(e).__name__}: {e}")))
            raise
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=run, args=(theirs,))
    process.start()
    theirs.close()
    result, error = ours.recv()
    process.join()
    if error:
        raise error
    return result


class Recorded:
    """A workload on csvfs, and what the LUN has noted of it."""

    def __init__(self, make_lab, folder, seed, workers, count, writes, nodes=1):
        """The last node works, the first one coordinates."""
        lab = make_lab(nodes, bin=BUILD, lun="attributed", lun_data=True, lun_size="320M")
        c, at = Cluster(lab).create(), lab.nodes[-1]
        c.volume()
        move_to(c, "n1")
        c.wait(at, lambda: io(c, at)["state"] == "active", "the path to the LUN is open")
        lab.run(at, [CSVADM, "prealloc", f"{VOL}/disk", "--size", "1M"])
        out = os.path.join(lab.dir, "shared", "did")
        lab.run(at, [POSIX, VOL, out, str(seed), str(workers), str(count), str(writes)],
                timeout=500)
        c.wait(at, lambda: io(c, at)["direct_writes"] > 20, "it was granted")
        with open(out, encoding="ascii") as f:
            self.did = json.load(f)
        self.log, self.data = os.path.join(folder, "log"), os.path.join(folder, "data")
        for path in (self.log, self.data):
            shutil.copyfile(os.path.join(lab.dir, "lun", os.path.basename(path)), path)
        check_clean(c)

    def history(self, **options):
        return History(self.log, self.data, **options)

    def check(self, folder, seed, most=None, every=1, **options):
        def work():
            history = self.history(**options)
            images = Images(history, LUN_BYTES, folder)
            moments = history.moments(self.did["begin"], self.did["end"], every, most, seed)
            try:
                return crash_points.check_xfs(
                    images, Promises(self.did["workers"], self.did["disk"]), moments, seed)
            finally:
                images.close()
        return apart(work)


def test_whatever_moment_the_power_goes_what_was_answered_is_there(make_lab, folder):
    r = Recorded(make_lab, folder, SEED, 3, 40, 200)
    counts = r.check(folder, SEED, 40)
    print(counts)
    assert counts["points"] >= 40 and counts["unsure"] > 0
    # The same disk, if it did not do what flushes ask for: found.
    with pytest.raises(Crash):
        r.check(folder, SEED, 40, forgets=lambda flush: flush.end > r.did["begin"])


def test_a_node_flushes_what_it_has_written_itself(make_lab, folder):
    """Its granted writes count as on the disk only by its own flushes: nobody else's help."""
    r = Recorded(make_lab, folder, SEED, 1, 30, 200, nodes=2)
    assert {w.node for w in r.history().writes if r.did["begin"] < w.begin < r.did["end"]} == {1, 2}
    counts = r.check(folder, SEED, 40, is_narrow=True)
    print(counts)
    assert counts["points"] >= 40 and counts["unsure"] > 100
    with pytest.raises(Crash, match="disk: sector"):
        r.check(folder, SEED, 40, is_narrow=True, forgets=lambda flush: flush.node == 2)


# --- each request once

TOOL = os.path.join(BUILD, "tests", "live", "backing_tool")


def record_requests(folder, seed, workers, count, is_lying=False):
    """A workload on the coordinator's file system alone. Mounts: only in a process apart()."""
    lun, at = os.path.join(folder, "store"), os.path.join(folder, "live")
    os.mkdir(at)
    with open(lun, "wb") as f:
        f.truncate(LUN_BYTES)
    server = attributed.Server(folder, lun, ["n1"], attributed.program(BUILD), keeps_data=True)
    try:
        loop = crash_points.DataLoop(server.path("n1"), LUN_BYTES)
        command(["mkfs.xfs", "-q", loop.dev])
        syscalls.mount(loop.dev, at, "xfs", 0, "nouuid")
        try:
            tool = crash_backing.Tool(TOOL, at, is_lying)
            try:
                did = crash_backing.work(tool, crash_points.handle_of(at), seed, workers, count)
            finally:
                tool.close()
        finally:
            syscalls.umount(at)
            loop.close()
    finally:
        server.close()
    os.unlink(lun)
    return did, server.log, server.data


def replay_requests(folder, seed, count=100, most=None, is_lying=False, always=None):
    """Counts; and of each way of resending, how often."""
    def work():
        did, log, data = record_requests(folder, seed, 4, count, is_lying)
        history, promises = History(log, data), Promises(did["workers"])
        images, at = Images(history, LUN_BYTES, folder), os.path.join(folder, "at")
        modes = Counter()
        os.mkdir(at)

        def look(ns):
            promises.advance(ns)
            with Xfs(images.path, images.bytes, at, is_writable=True):
                tool = crash_backing.Tool(TOOL, at)
                try:
                    modes.update(crash_backing.resend(tool, promises, ns, always))
                finally:
                    tool.close()
                crash_backing.check_once(
                    promises, ns, lambda w: crash_model.look(os.path.join(at, f"w{w}")))
        try:
            counts = crash_points.play(images, history.moments(did["begin"], did["end"], 1, most, seed),
                                       seed, look)
        finally:
            images.close()
        return dict(counts, new=modes[crash_backing.NEW], redo=modes[crash_backing.REDO],
                    replay=modes[crash_backing.REPLAY])
    return apart(work)


def test_what_is_sent_again_after_a_crash_has_happened_once(folder):
    counts = replay_requests(folder, SEED, most=40)
    print(counts)
    assert counts["points"] >= 40
    assert counts["new"] and counts["redo"] and counts["replay"]


@pytest.mark.parametrize("mode,word", [(crash_backing.NEW, "File exists|otherwise|and not"),
                                       (crash_backing.REPLAY, "is not there|Protocol error|and not")])
def test_a_coordinator_that_does_not_look_at_its_records_is_found(folder, mode, word):
    """One does all anew, one believes that all is done."""
    with pytest.raises(Crash, match=word):
        replay_requests(folder, SEED, most=40, always=mode)


def test_answers_before_the_log_is_forced_are_found(folder):
    with pytest.raises(Crash, match="answered"):
        replay_requests(folder, SEED, most=40, is_lying=True)


@long
def test_thousands_of_moments(make_lab, folder):
    r = Recorded(make_lab, folder, f"{SEED}.long", 4, 150, 400)
    counts = r.check(folder, SEED, most=MOMENTS)
    print(counts)
    assert counts["points"] >= MOMENTS


@long
def test_thousands_of_resends(folder):
    counts = replay_requests(folder, f"{SEED}.long", count=200, most=MOMENTS)
    print(counts)
    assert counts["points"] >= MOMENTS and counts["redo"] > MOMENTS / 10
