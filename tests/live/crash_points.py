# SPDX-License-Identifier: GPL-2.0-or-later
"""What the LUN may hold if all power had gone at a moment, from the log of the attributed LUN with
its data, and whether that is what was promised.

A moment is a time. What reached the LUN before the last flush that had ended by then is there; of
the rest, what a disk with a volatile cache may have kept: `whole`, all that had ended; `cache`,
of each write all, nothing or some sectors, of those under way, too.
"""
import array
import bisect
import ctypes
import errno
import fcntl
import mmap
import os
import random
import subprocess

import crash_model
import disk
import lunlog
import syscalls
from judge import DATA, GPT_BYTES, MIB

SECTOR = 512
SLOWEST_NS = 10**9              # a write that takes longer may be taken for one that had not begun
FS_IOC_GETVERSION = 0x80087601
LIBC = ctypes.CDLL(None, use_errno=True)


class Crash(Exception):
    """A promise that was not kept."""


class History:
    """The writes of a log, in the order in which they ended.

    is_narrow: a flush covers what came from its own node, and not all that the LUN has in its cache.
    So it is seen whether a node flushes what it has written, however often others do.
    forgets(flush): planted: the disk does not do what these flushes ask for.
    """

    def __init__(self, log_path, data_path, is_narrow=False, forgets=None):
        self.records = [r for r in lunlog.load(log_path)
                        if r.op == lunlog.FLUSH and not r.error or r.op & lunlog.CHANGES and r.done]
        with open(data_path, "rb") as f:
            self.data = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        self.writes = [r for r in self.records if r.op & lunlog.CHANGES]
        flushes = [r for r in self.records if r.op == lunlog.FLUSH and not (forgets and forgets(r))]
        # Each flush covers what had ended when it began; later ones never less than earlier ones.
        self.is_narrow, self.flushes = is_narrow, {}
        for f in flushes:
            ends, covered = self.flushes.setdefault(f.node if is_narrow else 0, ([], []))
            ends.append(f.end)
            covered.append(max([f.begin] + covered[-1:]))

    def is_sure(self, r, ns):
        """Is the write on the disk at that moment, whatever becomes of the cache?"""
        ends, covered = self.flushes.get(r.node if self.is_narrow else 0, ((), ()))
        i = bisect.bisect_right(ends, ns)
        return i > 0 and r.end <= covered[i - 1]

    def bytes_of(self, r):
        if r.op == lunlog.WRITE:
            return self.data[r.data - 1:r.data - 1 + r.done]
        return bytes(r.done)

    def moments(self, begin, end, every=1, most=None, seed=0):
        """Right before and after the end of each flush, and after every n-th write; or so many of
        them, at random."""
        found, count = [], 0
        for r in self.records:
            if not begin <= r.end <= end:
                continue
            if r.op == lunlog.FLUSH:
                found += [r.end - 1, r.end]
            else:
                count += 1
                found += [r.end] if count % every == 0 else []
        if most is not None and len(found) > most:
            found = random.Random(seed).sample(found, most)
        return sorted(set(found))


class Images:
    """Images of moments that do not go back. In memory if there is room."""

    def __init__(self, history, lun_bytes, folder):
        self.history, self.folder = history, folder
        self.base, self.path = os.path.join(folder, "image.base"), os.path.join(folder, "image")
        self.fd = os.open(self.base, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self.fd, lun_bytes)
        self.bytes, self.next, self.unsure = lun_bytes, 0, []

    def _apply(self, fd, r, start=0, end=None):
        if r.op != lunlog.WRITE and start == 0 and end is None:
            _punch(fd, r.offset, r.done)
        else:
            os.pwrite(fd, self.history.bytes_of(r)[start:end], r.offset + start)

    def make(self, ns, kind, rng):
        """The image of a moment, to be thrown away after use; returns how many writes were not sure
        to be there."""
        writes = self.history.writes
        while self.next < len(writes) and writes[self.next].end <= ns:
            self.unsure.append(writes[self.next])
            self.next += 1
        unsure = []
        for r in self.unsure:
            if self.history.is_sure(r, ns):
                self._apply(self.fd, r)
            else:
                unsure.append(r)
        self.unsure = unsure
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _copy(self.fd, fd, self.bytes)
            return self._apply_rest(fd, ns, kind, rng)
        finally:
            os.close(fd)

    def _apply_rest(self, fd, ns, kind, rng):
        if kind == "whole":
            for r in self.unsure:
                self._apply(fd, r)
            return len(self.unsure)
        unsure = self.unsure + self._under_way(ns)
        for r in unsure:
            fate = rng.randrange(3)
            if fate == 0:
                self._apply(fd, r)
            elif fate == 1 and r.done > SECTOR:
                for at in range(0, r.done, SECTOR):
                    if rng.random() < 0.5:
                        self._apply(fd, r, at, at + SECTOR)
        return len(unsure)

    def _under_way(self, ns):
        found = []
        for i in range(self.next, len(self.history.writes)):
            r = self.history.writes[i]
            if r.begin > ns + SLOWEST_NS:
                break
            found += [r] if r.begin <= ns else []
        return found

    def close(self):
        os.close(self.fd)
        for path in (self.base, self.path):
            if os.path.exists(path):
                os.unlink(path)


def _punch(fd, offset, length):
    if LIBC.fallocate(fd, crash_model.PUNCH | crash_model.KEEP, ctypes.c_long(offset),
                      ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


def _copy(source, target, length):
    """What there is of a sparse file."""
    os.ftruncate(target, length)
    at = 0
    while True:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            return
        end = os.lseek(source, at, os.SEEK_HOLE)
        while at < end:
            piece = os.pread(source, min(end - at, 4 * MIB), at)
            os.pwrite(target, piece, at)
            at += len(piece)


def handle_of(path):
    """Inode number and generation: an XFS file handle."""
    fd = os.open(path, os.O_RDONLY)
    try:
        generation = array.array("l", [0])
        fcntl.ioctl(fd, FS_IOC_GETVERSION, generation)
        return os.fstat(fd).st_ino, generation[0] & 0xffffffff
    finally:
        os.close(fd)


class DataLoop(disk.Loop):
    """A loop on csv-data of an image."""

    def _info(self, offset):
        length = (self.size - GPT_BYTES) // MIB * MIB - DATA
        return disk.INFO64.pack(0, 0, 0, DATA, length, 0, 0, 0, disk.LO_AUTOCLEAR, b"", b"", b"",
                                0, 0)


class Xfs:
    """The XFS of an image, mounted: its log is replayed. Then nothing is wrong with it."""

    def __init__(self, path, lun_bytes, at, is_writable=False):
        self.loop, self.at = DataLoop(path, lun_bytes, direct=False), at
        self.flags = 0 if is_writable else 1        # MS_RDONLY

    def __enter__(self):
        try:
            syscalls.mount(self.loop.dev, self.at, "xfs", self.flags, "nouuid")
        except OSError as e:
            self.loop.close()
            raise Crash(f"it cannot be mounted: {e}")
        return self.at

    def __exit__(self, kind, *_):
        syscalls.umount(self.at)
        try:
            if kind is None:
                done = subprocess.run(["xfs_repair", "-n", self.loop.dev], text=True, check=False,
                                      capture_output=True)
                if done.returncode:
                    raise Crash(f"xfs_repair: {(done.stdout + done.stderr)[-600:]}")
        finally:
            self.loop.close()


class Promises:
    """What was answered when, and what a tree has to be at a moment (which do not go back)."""

    def __init__(self, workers, written=()):
        self.workers, self.written = workers, list(written)
        self.trees = [crash_model.Tree() for _ in workers]
        self.done = [0] * len(workers)

    def advance(self, ns):
        for w, ops in enumerate(self.workers):
            while self.done[w] < len(ops) and ops[self.done[w]]["ack"] <= ns:
                self.trees[w].apply(ops[self.done[w]])
                self.done[w] += 1

    def under_way(self, w, ns):
        """The operation that had begun and was not answered, or None."""
        ops = self.workers[w]
        return ops[self.done[w]] if self.done[w] < len(ops) and \
            ops[self.done[w]]["begin"] <= ns else None

    def check_worker(self, w, ns, path):
        """As after all that was answered, or after the one that was under way, too."""
        found, before = crash_model.look(path), crash_model.shown(self.trees[w])
        wrong, op = crash_model.difference(found, before), self.under_way(w, ns)
        if not wrong:
            return
        if op:
            tree = self.trees[w].copy()
            tree.apply(op)
            after = crash_model.shown(tree)
            if not crash_model.difference(found, after):
                return
            if op["do"] in crash_model.IN_PARTS and crash_model.is_between(found, before, after):
                return
        raise Crash(f"worker {w}, {self.done[w]} operations answered, under way: "
                    f"{crash_model.told(op)}: {wrong}")

    def check_disk(self, ns, path):
        """Each sector is what was there at the last sync, or what was written later."""
        with open(path, "rb") as f:
            data = f.read()
        synced = max((op["begin"] for op in self.written if not op["seq"] and op["ack"] <= ns),
                     default=0)
        allowed = {}
        for op in self.written:
            if not op["seq"] or op["begin"] > ns:
                continue
            for n in range(op["first"], op["last"]):
                if op["ack"] <= synced:
                    allowed[n] = {op["seq"]}
                else:
                    allowed.setdefault(n, {0}).add(op["seq"])
        for n in range(len(data) // SECTOR):
            head = data[n * SECTOR:(n + 1) * SECTOR].rstrip(b".").split()
            seq = 0 if data[n * SECTOR:(n + 1) * SECTOR] == bytes(SECTOR) else \
                int(head[1]) if len(head) == 2 and head[0] == b"%08d" % n else -1
            if seq not in allowed.get(n, {0}):
                raise Crash(f"disk: sector {n}: write {seq}, and not one of {allowed.get(n, {0})}")


def play(images, moments, seed, look, kinds=("whole", "cache")):
    """look(ns) at the image of each moment, which it may change. Returns counts; a Crash says when."""
    rng, counts = random.Random(seed), {"points": 0, "unsure": 0}
    for ns in moments:
        for kind in kinds:
            unsure = images.make(ns, kind, rng)
            if kind == "cache" and not unsure:
                continue                # it is the same
            try:
                look(ns)
            except (Crash, OSError, ValueError) as e:
                raise Crash(f"at {ns / 1e9:.9f}, {kind}, seed {seed}: {e}") from e
            counts["points"] += 1
            counts["unsure"] += unsure
    return counts


def check_xfs(images, promises, moments, seed):
    """At each moment, by XFS alone: the log is replayed, all is there, nothing is to be repaired."""
    at = os.path.join(images.folder, "at")
    os.makedirs(at, exist_ok=True)

    def look(ns):
        promises.advance(ns)
        with Xfs(images.path, images.bytes, at) as root:
            for w in range(len(promises.workers)):
                promises.check_worker(w, ns, os.path.join(root, f"w{w}"))
            if promises.written:
                promises.check_disk(ns, os.path.join(root, "disk"))
    return play(images, moments, seed, look)
