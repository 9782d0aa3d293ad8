#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""posix_stress DIR OPERATIONS SEED PROCESSES: all operations by chance in one tree, by many at once.

Names are few, so processes meet. An operation may fail as others can make it fail, and in no other
way: one line for each that does, and exit code 1.
"""
import ctypes
import errno as E
import mmap
import os
import random
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
DIRS = [""] + [f"{a}/" for a in "pq"] + [f"p/{a}/" for a in "rs"]
NAMES = [f"n{i}" for i in range(8)]
PATHS = {E.ENOENT, E.ENOTDIR}
OPENS = PATHS | {E.EISDIR, E.ENXIO, E.ELOOP}
MAKES = PATHS | {E.EEXIST}


class Stress:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.held = []                      # descriptors

    def path(self):
        return self.r.choice(DIRS) + self.r.choice(NAMES)

    def number(self, most=300000):
        return self.r.randrange(most) if self.r.random() < 0.5 else \
            self.r.randrange(most // 4096) * 4096

    def fd(self, flags=os.O_RDWR):
        """One that is held, or a new one that may be held from now on."""
        if self.held and self.r.random() < 0.6:
            return self.r.choice(self.held)
        fd = os.open(self.path(), flags | os.O_NONBLOCK | os.O_NOFOLLOW)
        self.held.append(fd)
        if len(self.held) > 6:
            os.close(self.held.pop(0))
        return fd

    # --- operations: what they may fail with, besides success

    def create(self):
        fd = os.open(self.path(), os.O_CREAT | os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW |
                     self.r.choice((0, os.O_EXCL, os.O_TRUNC, os.O_APPEND)), 0o644)
        os.close(fd)
    create.may = OPENS | MAKES

    def mkdir(self):
        os.mkdir(self.r.choice(DIRS[1:]).rstrip("/") if self.r.random() < 0.5 else self.path())
    mkdir.may = MAKES

    def mkfifo(self):
        os.mkfifo(self.path())
    mkfifo.may = MAKES

    def symlink(self):
        os.symlink(self.r.choice(NAMES), self.path())
    symlink.may = MAKES

    def link(self):
        os.link(self.path(), self.path(), follow_symlinks=False)
    link.may = MAKES | {E.EPERM}

    def unlink(self):
        os.unlink(self.path())
    unlink.may = PATHS | {E.EISDIR}

    def rmdir(self):
        os.rmdir(self.path())
    rmdir.may = PATHS | {E.ENOTEMPTY}

    def rename(self):
        flags = self.r.choice((0, 0, 1, 2))
        if libc.renameat2(-100, self.path().encode(), -100, self.path().encode(), flags):
            raise OSError(ctypes.get_errno(), "")
    rename.may = MAKES | {E.EISDIR, E.ENOTEMPTY, E.EINVAL}

    def write(self):
        os.pwrite(self.fd(), self.r.randbytes(self.r.randrange(1, 20000)), self.number())
    write.may = OPENS | {E.ESPIPE, E.EAGAIN, E.EBADF}

    def append(self):
        fd = os.open(self.path(), os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.write(fd, b"appended" * 100)
        finally:
            os.close(fd)
    append.may = OPENS

    def read(self):
        os.pread(self.fd(), 20000, self.number())
    read.may = OPENS | {E.ESPIPE, E.EAGAIN}

    def direct(self):
        fd = os.open(self.path(), os.O_RDWR | os.O_DIRECT | os.O_NONBLOCK | os.O_NOFOLLOW)
        page = mmap.mmap(-1, 8192)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                page.write(self.r.randbytes(8192))
                os.pwritev(fd, [page], self.r.randrange(30) * 4096)
                os.preadv(fd, [page], self.r.randrange(30) * 4096)
        finally:
            os.close(fd)
            page.close()
    direct.may = OPENS | {E.EINVAL}

    def truncate(self):
        path = self.path()
        if stat.S_ISREG(os.lstat(path).st_mode):
            os.truncate(path, self.number())
    truncate.may = OPENS | {E.EINVAL}

    def ftruncate(self):
        os.ftruncate(self.fd(), self.number())
    ftruncate.may = OPENS | {E.EINVAL}

    def allocate(self):
        mode = self.r.choice((0, 1, 3, 16, 17))
        if libc.fallocate(self.fd(), mode, ctypes.c_long(self.number()),
                          ctypes.c_long(self.number() + 1)):
            raise OSError(ctypes.get_errno(), "")
    allocate.may = OPENS | {E.ENODEV, E.ESPIPE, E.EBADF, E.EOPNOTSUPP}

    def copy(self):
        a, b = self.fd(), self.fd()
        os.copy_file_range(a, b, self.number(60000) + 1, self.number(), self.number())
    copy.may = OPENS | {E.EINVAL, E.EISDIR, E.EBADF, E.ESPIPE, E.EXDEV, E.EOPNOTSUPP}

    def sync(self):
        self.r.choice((os.fsync, os.fdatasync))(self.fd())
    sync.may = OPENS | {E.EINVAL}

    def seek(self):
        os.lseek(self.fd(), self.number(), self.r.choice((os.SEEK_HOLE, os.SEEK_DATA)))
    seek.may = OPENS | {E.ESPIPE}

    def chmod(self):
        os.chmod(self.path(), self.r.randrange(0o10000) | 0o700)
    chmod.may = PATHS | {E.ELOOP}

    def chown(self):
        os.lchown(self.path(), self.r.randrange(3), self.r.randrange(3))
    chown.may = PATHS

    def utime(self):
        os.utime(self.path(), ns=(self.number() * 10 ** 9, self.number()), follow_symlinks=False)
    utime.may = PATHS

    def xattr(self):
        path, name = self.path(), self.r.choice(("user.a", "user.b", "trusted.c"))
        what = self.r.randrange(4)
        if what == 0:
            os.setxattr(path, name, self.r.randbytes(self.r.randrange(2000)))
        elif what == 1:
            os.removexattr(path, name)
        elif what == 2:
            os.getxattr(path, name)
        else:
            os.listxattr(path)
    xattr.may = PATHS | {E.ENODATA, E.EPERM, E.ELOOP}

    def acl(self):
        path, r = self.path(), self.r
        text = (2).to_bytes(4, "little")
        for tag, who in ((1, -1), (2, r.randrange(9)), (4, -1), (16, -1), (32, -1)):
            text += tag.to_bytes(2, "little") + r.randrange(8).to_bytes(2, "little") + \
                who.to_bytes(4, "little", signed=True)
        os.setxattr(path, f"system.posix_acl_{r.choice(('access', 'default'))}", text)
    acl.may = PATHS | {E.EACCES, E.ELOOP, E.EOPNOTSUPP}

    def look(self):
        path = self.path()
        os.lstat(path)
        os.stat(path)
        os.readlink(path)
    look.may = PATHS | {E.ELOOP, E.EINVAL}

    def names(self):
        with os.scandir(self.r.choice(DIRS) or ".") as entries:
            for entry in entries:
                entry.inode()
    names.may = PATHS | {E.ELOOP}

    def statvfs(self):
        os.statvfs(".")
    statvfs.may = set()

    OPERATIONS = ("create", "create", "create", "mkdir", "mkdir", "mkfifo", "symlink", "link",
                  "unlink", "unlink", "rmdir", "rename", "rename", "write", "write", "append", "read",
                  "direct", "truncate", "ftruncate", "allocate", "copy", "sync", "seek", "chmod",
                  "chown", "utime", "xattr", "acl", "look", "names", "statvfs")

    def run(self, count):
        """Lines of what must not have happened."""
        bad, done = [], 0
        for _ in range(count):
            name = self.r.choice(self.OPERATIONS)
            operation = getattr(self, name)
            try:
                operation()
                done += 1
            except OSError as e:
                if e.errno not in operation.may:
                    bad.append(f"{name}: {E.errorcode.get(e.errno, e.errno)}")
        for fd in self.held:
            os.close(fd)
        if done < count // 10:
            bad.append(f"only {done} of {count} operations have done something")
        return bad


def main():
    os.chdir(sys.argv[1])
    count, seed, processes = int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    children = []
    for i in range(processes):
        pid = os.fork()
        if pid == 0:
            bad = Stress(f"{seed}-{i}").run(count)
            for line in sorted(set(bad)):
                print(f"process {i}: {line} ({bad.count(line)} times)", flush=True)
            os._exit(1 if bad else 0)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
