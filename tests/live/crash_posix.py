#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""crash_posix.py FOLDER OUT SEED WORKERS OPERATIONS WRITES: changes files in FOLDER, each worker in one of its own,
and writes to OUT what it did when (CLOCK_BOOTTIME, ns), as JSON: {"workers": [[operation...]...],
"disk": [...]}. One more writes blocks of a granted file, and syncs it now and then.
"""
import ctypes
import json
import mmap
import os
import random
import sys
import threading
import time

from crash_model import BLOCK, DISK_BLOCKS, SECTOR, Maker, pattern

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def call(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Posix:
    """Carries out operations below a folder, as an application does; each is one request."""

    def __init__(self, folder):
        self.folder = folder

    def at(self, name):
        return os.path.join(self.folder, name) if name else self.folder

    def run(self, op):
        """Everything before and after the one request is outside [begin, ack]."""
        getattr(self, "do_" + op["do"])(op, **{k: v for k, v in op.items() if k != "do"})

    @staticmethod
    def timed(op, work):
        op["begin"] = now()
        result = work()
        op["ack"] = now()
        return result

    def with_file(self, op, name, work):
        fd = os.open(self.at(name), os.O_RDWR)
        try:
            self.timed(op, lambda: work(fd))
        finally:
            os.close(fd)

    def do_mkdir(self, op, name, mode):
        self.timed(op, lambda: os.mkdir(self.at(name), mode))

    def do_create(self, op, name, mode):
        os.close(self.timed(op, lambda: os.open(self.at(name), os.O_RDWR | os.O_CREAT | os.O_EXCL,
                                                mode)))

    def do_write(self, op, name, at, length, tag):
        data = pattern(tag, length)
        self.with_file(op, name, lambda fd: _whole(os.pwrite(fd, data, at), length))

    def do_append(self, op, name, length, tag):
        data = pattern(tag, length)
        fd = os.open(self.at(name), os.O_WRONLY | os.O_APPEND)
        self.timed(op, lambda: _whole(os.write(fd, data), length))
        os.close(fd)

    def do_truncate(self, op, name, size):
        self.timed(op, lambda: os.truncate(self.at(name), size))

    def do_chmod(self, op, name, mode):
        self.timed(op, lambda: os.chmod(self.at(name), mode))

    def do_rename(self, op, name, to):
        self.timed(op, lambda: os.rename(self.at(name), self.at(to)))

    def do_exchange(self, op, name, to):
        one, two = self.at(name).encode(), self.at(to).encode()
        self.timed(op, lambda: call(LIBC.renameat2(AT_FDCWD, one, AT_FDCWD, two,
                                                   RENAME_EXCHANGE)))

    def do_link(self, op, name, to):
        self.timed(op, lambda: os.link(self.at(name), self.at(to)))

    def do_symlink(self, op, name, target):
        self.timed(op, lambda: os.symlink(target, self.at(name)))

    def do_unlink(self, op, name):
        self.timed(op, lambda: os.unlink(self.at(name)))

    def do_rmdir(self, op, name):
        self.timed(op, lambda: os.rmdir(self.at(name)))

    def do_setxattr(self, op, name, key, length, tag):
        self.timed(op, lambda: os.setxattr(self.at(name), key, pattern(tag, length)))

    def do_removexattr(self, op, name, key):
        self.timed(op, lambda: os.removexattr(self.at(name), key))

    def do_fallocate(self, op, name, mode, at, length):
        self.with_file(op, name, lambda fd: call(LIBC.fallocate(
            fd, mode, ctypes.c_long(at), ctypes.c_long(length))))

    def do_clone(self, op, name, to):
        source = os.open(self.at(name), os.O_RDONLY)
        size = os.fstat(source).st_size
        self.with_file(op, to, lambda fd: _whole(os.copy_file_range(source, fd, size, 0, 0), size))
        os.close(source)

    def do_fsync(self, op, name):
        self.with_file(op, name, os.fsync)


def _whole(done, wanted):
    assert done == wanted, f"{done} of {wanted} bytes"


def sector(number, seq):
    """What says which write of which sector it is."""
    return (b"%08d %08d " % (number, seq)).ljust(SECTOR, b".")


class Pace:
    """Lets one thread get on as far as the others have."""

    def __init__(self, total):
        self.total, self.done, self.news = total, 0, threading.Condition()

    def step(self, count=1):
        with self.news:
            self.done += count
            self.news.notify_all()

    def wait(self, share):
        with self.news:
            self.news.wait_for(lambda: self.done >= share * self.total)


def write_disk(path, seed, count, pace):
    """Writes of one to four blocks, whose sectors say which one it was; a sync every few."""
    rng, log = random.Random(f"{seed} disk"), []
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, 4 * BLOCK)
    for seq in range(1, count + 1):
        blocks, at = rng.randrange(1, 5), rng.randrange(DISK_BLOCKS - 4)
        first, last = at * BLOCK // SECTOR, (at + blocks) * BLOCK // SECTOR
        page[:blocks * BLOCK] = b"".join(sector(n, seq) for n in range(first, last))
        op = {"first": first, "last": last, "seq": seq, "begin": now()}
        _whole(os.pwritev(fd, [memoryview(page)[:blocks * BLOCK]], at * BLOCK), blocks * BLOCK)
        op["ack"] = now()
        log.append(op)
        pace.wait((seq - 50) / count)       # the first ones are on the way to the grant
        if rng.random() < 0.2:
            op = {"seq": 0, "begin": now()}
            os.fsync(fd)
            op["ack"] = now()
            log.append(op)
    os.close(fd)
    return log


def main():
    folder, out, seed = sys.argv[1:4]
    workers, count, writes = (int(w) for w in sys.argv[4:7])
    os.umask(0)
    done, failed = {"workers": [[] for _ in range(workers)], "disk": []}, []

    pace = Pace(workers * count)

    def work(number):
        try:
            maker, posix = Maker(seed, number), Posix(os.path.join(folder, f"w{number}"))
            for _ in range(count):
                op = maker.make()
                done["workers"][number].append(op)
                posix.run(op)
                pace.step()
        except (OSError, AssertionError) as e:
            failed.append(f"worker {number}: {op}: {e}")
            pace.step(count)

    def disk():
        try:
            done["disk"] = write_disk(os.path.join(folder, "disk"), seed, writes, pace)
        except (OSError, AssertionError) as e:
            failed.append(f"disk: {e}")

    for number in range(workers):
        os.mkdir(os.path.join(folder, f"w{number}"), 0o755)
    done["begin"] = now()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    threads += [threading.Thread(target=disk)] if writes else []
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    done["end"] = now()
    with open(out, "w", encoding="ascii") as f:
        json.dump(done, f)
    if failed:
        sys.exit("; ".join(failed))


if __name__ == "__main__":
    main()
