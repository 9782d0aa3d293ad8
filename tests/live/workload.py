#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""workload KIND DIR NAME: works on a shared volume until the file NAME.stop in /run appears.

Every operation that the system has acknowledged goes, after that, as a line to /run/NAME.log. Any
error ends it with exit code 1 and the error on standard error: an application sees no trouble of
the cluster, so there must be none. Exactly-once shows by itself: a repeated unlink would give
ENOENT, a repeated exclusive creation EEXIST, a repeated append two records.

  append   records to DIR/log, which all nodes share, O_APPEND
  names    create, rename, link, unlink in DIR/names, where all nodes work, under names of its own
  data     writes blocks of a file of its own and reads them back
  rmtree   makes and removes small trees
"""
import os
import shutil
import sys

BLOCK = 8192


class Work:
    def __init__(self, directory, name):
        self.dir, self.name, self.count = directory, name, 0
        self.stop = f"/run/{name}.stop"
        self.log = os.open(f"/run/{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def acknowledged(self, what):
        os.write(self.log, f"{self.count} {what}\n".encode())

    def run(self, step):
        while not os.path.exists(self.stop):
            step(self)
            self.count += 1


def append(work):
    if work.count == 0:
        work.fd = os.open(f"{work.dir}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    record = f"{work.name} {work.count} {'x' * (work.count % 50)}\n".encode()
    if os.write(work.fd, record) != len(record):
        raise OSError("a short append")
    work.acknowledged("append")


def names(work):
    d = f"{work.dir}/names"
    os.makedirs(d, exist_ok=True)
    a, b, c = (f"{d}/{work.name}.{work.count}.{x}" for x in "abc")
    fd = os.open(a, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, work.name.encode())
    os.close(fd)
    os.rename(a, b)
    os.link(b, c)
    if os.stat(c).st_nlink != 2 or os.path.exists(a):
        raise OSError(f"{b}: not what was made")
    os.unlink(b)
    if work.count % 4:
        os.unlink(c)
        work.acknowledged("gone")
    else:
        work.acknowledged("kept")


def data(work):
    path = f"{work.dir}/{work.name}.data"
    if work.count == 0:
        work.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    at = (work.count * 7 % 64) * BLOCK
    block = bytes([work.count % 251 + 1]) * BLOCK
    if os.pwrite(work.fd, block, at) != BLOCK:
        raise OSError("a short write")
    if work.count % 8 == 0:
        os.fsync(work.fd)
    if os.pread(work.fd, BLOCK, at) != block:
        raise OSError(f"{path}: another block at {at} than was written")
    work.acknowledged(f"block {at} {block[0]}")


def rmtree(work):
    top = f"{work.dir}/{work.name}.tree"
    os.mkdir(top)
    for i in range(3):
        os.mkdir(f"{top}/{i}")
        with open(f"{top}/{i}/file", "xb") as f:
            f.write(b"leaf")
        os.symlink("file", f"{top}/{i}/link")
    shutil.rmtree(top)
    if os.path.lexists(top):
        raise OSError(f"{top} is still there")
    work.acknowledged("tree")


def main():
    kind, directory, name = sys.argv[1:4]
    Work(directory, name).run({"append": append, "names": names, "data": data,
                               "rmtree": rmtree}[kind])


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        sys.exit(1)
