#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""posix_agent DIR: makes system calls in DIR for a program elsewhere, as root, on stdin and stdout.

A request is a pickle of (who, call, arguments, options), who being (uid, gid, other groups): each
of them is a process of its own, which keeps its descriptors and its umask. The answer is a pickle of
(errno, 0 or None) and (0, result). A call is a function of os, or one of those below.
"""
import ctypes
import errno
import hashlib
import mmap
import os
import pickle
import socket
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def look_of(st):
    return {"ino": st.st_ino, "mode": st.st_mode, "nlink": st.st_nlink, "uid": st.st_uid,
            "gid": st.st_gid, "rdev": st.st_rdev, "size": st.st_size, "atime": st.st_atime_ns,
            "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns}


def look(path):
    return look_of(os.lstat(path))


def look_through(path):
    return look_of(os.stat(path))


def look_fd(fd):
    return look_of(os.fstat(fd))


def rename2(a, b, flags):
    check(libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


def fallocate(fd, mode, offset, length):
    check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def tmpfile(directory, mode):
    return os.open(directory, os.O_TMPFILE | os.O_RDWR, mode)


def link_fd(fd, path):
    os.link(f"/proc/self/fd/{fd}", path, follow_symlinks=True)


def bind(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)


def connect(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)


def execute(path):
    """The exit code; raises what execve(2) says."""
    r, w = os.pipe()                        # close-on-exec
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("/dev/null", os.O_RDWR), 2)
        try:
            os.execv(path, [path])
        except OSError as e:
            os.write(w, str(e.errno).encode())
        os._exit(126)
    os.close(w)
    error = os.read(r, 10)
    os.close(r)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if error:
        raise OSError(int(error), "")
    return code


def may(path, mode):
    """access(2) for the ids that count for files."""
    if not os.access(path, mode, effective_ids=True):
        raise OSError(errno.EACCES, "")


def access(path, mode):
    check(libc.access(os.fsencode(path), mode))


def names(path):
    return sorted(os.listdir(path))


def snapshot(path):
    """{name: attributes, and a digest of what it holds} of all below it."""
    found = {}
    for directory, below, files in os.walk(path):
        for name in [""] + below + files:
            each = os.path.join(directory, name).rstrip("/")
            st = os.lstat(each)
            found[os.path.relpath(each, path)] = dict(
                look_of(st), atime=0, names=sorted(below + files) if not name else (),
                holds=hashlib.sha1(content(each)).digest() if stat.S_ISREG(st.st_mode) else
                os.readlink(each) if stat.S_ISLNK(st.st_mode) else "")
    return found


def spool(path, data):
    """A whole file, written."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)


def content(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
    finally:
        os.close(fd)


def mapped(fd, offset, length, is_shared, writes):
    """What a map of it shows."""
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writes else 0)
    with mmap.mmap(fd, length, mmap.MAP_SHARED if is_shared else mmap.MAP_PRIVATE, protection,
                   offset=offset) as m:
        return m[:]


def aligned(size):
    return memoryview(mmap.mmap(-1, (size + 4095) // 4096 * 4096 or 4096))[:size]


def direct_read(fd, length, offset):
    page = aligned(length)
    n = os.preadv(fd, [page], offset)
    return bytes(page[:n])


def direct_write(fd, data, offset):
    page = aligned(len(data))
    page[:] = data
    return os.pwritev(fd, [page], offset)



CALLS = {f.__name__: f for f in (
    look, look_through, look_fd, rename2, fallocate, tmpfile, link_fd, bind, connect, execute, may,
    access, names, snapshot, spool, content, mapped, direct_read, direct_write)}


def plain(value):
    if isinstance(value, os.statvfs_result):
        return {"namemax": value.f_namemax, "bsize": value.f_bsize, "frsize": value.f_frsize}
    return sorted(value) if isinstance(value, list) else value      # of names


def answer(request):
    name, args, options = request
    try:
        return 0, plain(CALLS.get(name, getattr(os, name, None))(*args, **options))
    except OSError as e:
        return e.errno or errno.EIO, None
    except ValueError:                      # Python refuses before the kernel is asked
        return errno.EINVAL, None


def person(who, r, w):
    uid, gid, groups = who
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.umask(0o022)
    libc.prctl(4, 1, 0, 0, 0)               # PR_SET_DUMPABLE: /proc/self stays its own
    with os.fdopen(r, "rb") as requests, os.fdopen(w, "wb") as answers:
        while True:
            try:
                request = pickle.load(requests)
            except EOFError:
                os._exit(0)
            pickle.dump(answer(request), answers)
            answers.flush()


def start(who, others):
    asks, answers = os.pipe(), os.pipe()
    if os.fork() == 0:
        for f in others:
            f.close()
        os.close(asks[1])
        os.close(answers[0])
        person(who, asks[0], answers[1])
    os.close(asks[0])
    os.close(answers[1])
    return os.fdopen(asks[1], "wb"), os.fdopen(answers[0], "rb")


def main():
    os.chdir(sys.argv[1])
    people = {}
    inp, out = sys.stdin.buffer, sys.stdout.buffer
    pickle.dump("ready", out)
    out.flush()
    while True:
        try:
            who, *request = pickle.load(inp)
        except EOFError:
            return
        if who not in people:
            people[who] = start(who, [f for pair in people.values() for f in pair] + [inp])
        pickle.dump(request, people[who][0])
        people[who][0].flush()
        pickle.dump(pickle.load(people[who][1]), out)
        out.flush()


if __name__ == "__main__":
    main()
