#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""posix_look DIR: what POSIX promises of a file system, tried in DIR as root. One line per check
that fails; exit code 1 if there is one. Run on a local XFS it prints nothing: what is asked here is
what a local file system gives.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import sys
import time

failures = []
libc = ctypes.CDLL(None, use_errno=True)
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def want(condition, text):
    if not condition:
        raise AssertionError(text)


def fails(error, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except OSError as e:
        want(e.errno == error, f"{errno.errorcode[e.errno]} instead of {errno.errorcode[error]}")
        return
    raise AssertionError(f"no {errno.errorcode[error]}")


def put(path, data=b""):
    with open(path, "wb") as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def as_user(uid, gid, function, groups=()):
    """Runs function in a child with these ids; its exception is ours."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = b""
        try:
            os.setgroups(list(groups))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            function()
        except (OSError, AssertionError) as e:
            text = str(e).encode() or b"failed"
        os.write(w, text)
        os._exit(0)
    os.close(w)
    text = os.read(r, 4096)
    os.close(r)
    os.waitpid(pid, 0)
    want(not text, text.decode())


@check
def a_file_has_what_was_written():
    put("f", b"hello" * 10000)
    want(get("f") == b"hello" * 10000, "other content")
    st = os.stat("f")
    want(st.st_size == 50000 and stat.S_ISREG(st.st_mode) and st.st_nlink == 1, f"{st}")


@check
def exclusive_creation_is_exclusive():
    os.close(os.open("x", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    fails(errno.EEXIST, os.open, "x", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


@check
def names_are_found_or_not():
    fails(errno.ENOENT, os.stat, "none")
    put("plain")
    fails(errno.ENOTDIR, os.stat, "plain/below")
    fails(errno.ENAMETOOLONG, os.stat, "n" * 256)
    put("n" * 255)
    os.unlink("n" * 255)
    fails(errno.ENOENT, os.unlink, "none")
    fails(errno.EISDIR, os.open, ".", os.O_WRONLY)
    os.mkdir("d")
    fails(errno.ENOTDIR, os.rmdir, "plain")
    put("d/f")
    fails(errno.ENOTEMPTY, os.rmdir, "d")
    fails(errno.EEXIST, os.mkdir, "d")


@check
def rename_replaces_and_keeps():
    put("a", b"a")
    put("b", b"b")
    os.rename("a", "b")
    want(get("b") == b"a" and not os.path.exists("a"), "not replaced")
    os.mkdir("dir1")
    os.mkdir("dir2")
    put("dir2/f")
    fails(errno.EEXIST, os.rename, "dir1", "dir2")        # XFS; POSIX allows ENOTEMPTY, too
    fails(errno.EISDIR, os.rename, "b", "dir1")
    fails(errno.ENOTDIR, os.rename, "dir1", "b")
    fails(errno.EINVAL, os.rename, "dir2", "dir2/below")
    put("c", b"c")
    os.link("c", "c2")
    os.rename("c", "c2")
    want(os.path.exists("c") and os.path.exists("c2"), "two links of one inode: nothing to do")


def renameat2(a, b, flags):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


@check
def rename_has_its_flags():
    put("ra", b"a")
    put("rb", b"b")
    fails(errno.EEXIST, renameat2, "ra", "rb", 1)
    renameat2("ra", "rb", 2)
    want(get("ra") == b"b" and get("rb") == b"a", "not exchanged")
    renameat2("ra", "rc", 1)


@check
def links_share_an_inode():
    put("l1", b"1")
    os.link("l1", "l2")
    want(os.stat("l1").st_ino == os.stat("l2").st_ino and os.stat("l1").st_nlink == 2, "apart")
    os.unlink("l1")
    want(os.stat("l2").st_nlink == 1 and get("l2") == b"1", "lost")
    os.mkdir("ld")
    fails(errno.EPERM, os.link, "ld", "ld2")


@check
def symbolic_links_are_followed_by_us():
    os.symlink("target/of/it", "s")
    want(os.readlink("s") == "target/of/it", "other target")
    fails(errno.ENOENT, os.stat, "s")
    want(stat.S_ISLNK(os.lstat("s").st_mode) and os.lstat("s").st_size == 12, "no link")
    os.symlink("s2", "s2")
    fails(errno.ELOOP, os.stat, "s2")
    fails(errno.EINVAL, os.readlink, ".")


@check
def an_open_file_outlives_its_name():
    fd = os.open("gone", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"still here")
    os.unlink("gone")
    want(os.pread(fd, 20, 0) == b"still here", "content lost")
    want(os.fstat(fd).st_nlink == 0, f"nlink {os.fstat(fd).st_nlink}")
    os.pwrite(fd, b"STILL", 0)
    want(os.pread(fd, 20, 0) == b"STILL here", "cannot be written any more")
    os.close(fd)
    put("over", b"old")
    fd = os.open("over", os.O_RDONLY)
    put("new", b"new")
    os.rename("new", "over")
    want(os.read(fd, 10) == b"old" and get("over") == b"new", "replaced under an open file")
    os.close(fd)


@check
def a_removed_directory_is_empty_and_dead():
    os.mkdir("dead")
    fd = os.open("dead", os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir("dead")
    fails(errno.ENOENT, os.open, "f", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.close(fd)


@check
def truncation_cuts_and_fills_with_zeros():
    put("t", b"0123456789")
    os.truncate("t", 4)
    os.truncate("t", 8)
    want(get("t") == b"0123\0\0\0\0", f"{get('t')}")
    put("t", b"again")
    want(get("t") == b"again", "O_TRUNC")
    with open("t", "r+b") as f:
        f.seek(1 << 40)
        f.write(b"far")
    want(os.stat("t").st_size == (1 << 40) + 3 and os.stat("t").st_blocks < 1000, "not sparse")


@check
def holes_are_found():
    fd = os.open("h", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * 65536, 0)
    os.pwrite(fd, b"y" * 65536, 1 << 20)
    want(os.lseek(fd, 0, os.SEEK_HOLE) == 65536, "hole")
    want(os.lseek(fd, 65536, os.SEEK_DATA) == 1 << 20, "data")
    fails(errno.ENXIO, os.lseek, fd, 2 << 20, os.SEEK_DATA)
    libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(65536))
    want(os.pread(fd, 10, 0) == b"\0" * 10, "punched")
    want(libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(4 << 20)) == 0 and
         os.fstat(fd).st_size == 4 << 20, "allocated")
    want(libc.fallocate(fd, 1, ctypes.c_long(0), ctypes.c_long(8 << 20)) == 0 and
         os.fstat(fd).st_size == 4 << 20, "KEEP_SIZE")
    os.close(fd)


@check
def appends_go_to_the_end():
    a = os.open("ap", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    b = os.open("ap", os.O_WRONLY | os.O_APPEND)
    for i in range(20):
        os.write(a if i % 2 else b, f"{i:03} ".encode())
    want(get("ap") == b"".join(f"{i:03} ".encode() for i in range(20)), f"{get('ap')}")


@check
def attributes_stay():
    put("at")
    os.chmod("at", 0o4751)
    os.chown("at", 12, 34)
    st = os.stat("at")
    want((st.st_uid, st.st_gid) == (12, 34), "owner")
    os.utime("at", ns=(1_000_000_007, 2_000_000_009))
    st = os.stat("at")
    want((st.st_atime_ns, st.st_mtime_ns) == (1_000_000_007, 2_000_000_009), "times")
    before = time.time() - 2
    put("at", b"x")
    want(os.stat("at").st_mtime >= before and os.stat("at").st_ctime >= before, "mtime")


@check
def extended_attributes_stay():
    put("xa")
    os.setxattr("xa", "user.one", b"1")
    os.setxattr("xa", "user.big", b"b" * 3000)
    want(sorted(os.listxattr("xa")) == ["user.big", "user.one"], f"{os.listxattr('xa')}")
    want(os.getxattr("xa", "user.big") == b"b" * 3000, "value")
    fails(errno.EEXIST, os.setxattr, "xa", "user.one", b"2", os.XATTR_CREATE)
    fails(errno.ENODATA, os.setxattr, "xa", "user.no", b"2", os.XATTR_REPLACE)
    os.removexattr("xa", "user.one")
    fails(errno.ENODATA, os.getxattr, "xa", "user.one")
    fails(errno.ENODATA, os.removexattr, "xa", "user.one")


@check
def directories_are_listed_whole():
    os.mkdir("many")
    wanted = {f"file-{i:05}-{'n' * 40}" for i in range(1000)}
    for name in wanted:
        os.close(os.open(f"many/{name}", os.O_CREAT | os.O_WRONLY))
    want(set(os.listdir("many")) == wanted, "not what was made")
    with os.scandir("many") as entries:
        for entry in entries:
            os.unlink(entry.path)
    want(os.listdir("many") == [], "removal while it is read misses some")
    os.rmdir("many")
    want(os.stat(".").st_nlink >= 2, "nlink")


@check
def special_files_are_made():
    os.mkfifo("fifo", 0o640)
    want(stat.S_ISFIFO(os.stat("fifo").st_mode), "fifo")
    os.mknod("dev", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    want(os.stat("dev").st_rdev == os.makedev(1, 3), "device number")
    fails(errno.EACCES, open, "dev", "rb")        # mounted nodev


@check
def who_may_not_does_not():
    os.mkdir("private", 0o700)
    put("private/f", b"secret")
    put("readable", b"r")
    os.chmod("readable", 0o644)

    def stranger():
        fails(errno.EACCES, os.stat, "private/f")
        fails(errno.EACCES, os.open, "readable", os.O_WRONLY)
        fails(errno.EACCES, os.open, "new", os.O_WRONLY | os.O_CREAT)
        fails(errno.EPERM, os.chmod, "readable", 0o777)
        fails(errno.EPERM, os.chown, "readable", 1234, 1234)
    os.chmod(".", 0o755)
    as_user(1234, 1234, stranger)


@check
def new_files_belong_to_their_maker():
    os.mkdir("open")
    os.chmod("open", 0o777)
    os.mkdir("sgid")
    os.chown("sgid", 0, 77)
    os.chmod("sgid", 0o2777)

    def maker():
        os.umask(0o027)
        os.close(os.open("open/f", os.O_CREAT | os.O_WRONLY, 0o666))
        st = os.stat("open/f")
        want((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (1234, 4321, 0o640), f"{st}")
        os.mkdir("sgid/d")
        st = os.stat("sgid/d")
        want((st.st_uid, st.st_gid) == (1234, 77) and st.st_mode & stat.S_ISGID, f"{st}")
        os.mknod("sgid/p", stat.S_IFREG | 0o2775)
        want(not os.stat("sgid/p").st_mode & stat.S_ISGID, "S_ISGID of a foreign group")
    as_user(1234, 4321, maker)


@check
def sticky_directories_protect():
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    put("sticky/roots")
    as_user(1234, 1234, lambda: fails(errno.EPERM, os.unlink, "sticky/roots"))


@check
def a_write_takes_suid_away():
    put("suid", b"x")
    os.chown("suid", 1234, 1234)
    os.chmod("suid", 0o6777)

    def writer():
        fd = os.open("suid", os.O_WRONLY)
        os.write(fd, b"y")
        os.close(fd)
    as_user(1235, 1235, writer)
    want(stat.S_IMODE(os.stat("suid").st_mode) == 0o777, oct(os.stat("suid").st_mode))


@check
def memory_maps_for_reading_work():
    put("m", b"mapped" * 1000)
    fd = os.open("m", os.O_RDWR)
    m = mmap.mmap(fd, 6000, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    want(m[:6] == b"mapped", "content")
    m[0:1] = b"M"
    want(get("m")[:1] == b"m", "a private map is private")
    m.close()
    os.close(fd)


@check
def copies_are_made():
    put("c1", os.urandom(200000))
    a, b = os.open("c1", os.O_RDONLY), os.open("c2", os.O_RDWR | os.O_CREAT)
    done = 0
    while done < 200000:
        n = os.copy_file_range(a, b, 200000 - done, done, done)
        want(n > 0, "copy_file_range ends early")
        done += n
    want(get("c1") == get("c2"), "another copy")
    os.close(a)
    os.close(b)


@check
def synchronising_works():
    fd = os.open("sync", os.O_WRONLY | os.O_CREAT | os.O_SYNC)
    os.write(fd, b"x" * 100000)
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    d = os.open(".", os.O_RDONLY)
    os.fsync(d)
    os.close(d)


@check
def direct_io_works():
    fd = os.open("direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    page = mmap.mmap(-1, 1 << 20)
    page.write(b"d" * (1 << 20))
    want(os.pwritev(fd, [page], 0) == 1 << 20, "short")
    want(os.preadv(fd, [page], 0) == 1 << 20 and page[:4] == b"dddd", "read")
    os.close(fd)


@check
def the_size_of_the_file_system_is_told():
    s = os.statvfs(".")
    want(s.f_blocks > 1000 and 0 < s.f_bavail <= s.f_blocks and s.f_namemax == 255, f"{s}")


@check
def what_is_executable_runs():
    put("script", b"#!/bin/sh\nexit 7\n")
    os.chmod("script", 0o755)
    want(os.waitstatus_to_exitcode(os.system(os.path.abspath("script"))) == 7, "exit code")


def in_child(function):
    """What a process of its own makes of it: the name of the error, or what it returns."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            answer = str(function())
        except OSError as e:
            answer = errno.errorcode[e.errno]
        os.write(w, answer.encode())
        os._exit(0)
    os.close(w)
    answer = os.read(r, 100).decode()
    os.close(r)
    os.waitpid(pid, 0)
    return answer


def asks(kind, start, length):
    """(type, start, length, process) of the lock that is in the way."""
    with open("l", "r+b") as f:
        raw = fcntl.fcntl(f, fcntl.F_GETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0))
    found, _, start, length, pid = struct.unpack("hhqqi4x", raw)
    return None if found == fcntl.F_UNLCK else (found, start, length, pid)


def tries(how, start=0, length=0):
    with open("l", "r+b") as f:
        fcntl.lockf(f, how | fcntl.LOCK_NB, length, start)


@check
def byte_ranges_are_locked_by_processes():
    put("l", b"x" * 100)
    fd = os.open("l", os.O_RDWR)
    me = os.getpid()
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 10)
    fcntl.lockf(fd, fcntl.LOCK_SH, 10, 40)
    for how, start, length, wanted in (
            (fcntl.LOCK_EX, 10, 1, "EAGAIN"), (fcntl.LOCK_SH, 19, 5, "EAGAIN"),
            (fcntl.LOCK_SH, 20, 0, "None"), (fcntl.LOCK_EX, 20, 0, "EAGAIN"),
            (fcntl.LOCK_EX, 0, 10, "None"), (fcntl.LOCK_EX, 50, 0, "None")):
        got = in_child(lambda h=how, s=start, n=length: tries(h, s, n))
        want(got == wanted, f"lock {how} {start} {length}: {got}")
    want(in_child(lambda: asks(fcntl.F_WRLCK, 0, 0)) == str((fcntl.F_WRLCK, 10, 10, me)), "getlk")
    fcntl.lockf(fd, fcntl.LOCK_UN, 2, 14)               # in the middle
    want(in_child(lambda: tries(fcntl.LOCK_EX, 14, 2)) == "None", "the middle is free")
    want(in_child(lambda: asks(fcntl.F_RDLCK, 15, 0)) == str((fcntl.F_WRLCK, 16, 4, me)), "split")
    fcntl.lockf(fd, fcntl.LOCK_SH, 10, 10)              # down, and one
    want(in_child(lambda: asks(fcntl.F_WRLCK, 0, 0)) == str((fcntl.F_RDLCK, 10, 10, me)), "down")
    want(in_child(lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 10)) == "EAGAIN",
         "a child has not what its parent has")
    os.close(os.open("l", os.O_RDONLY))                 # any descriptor
    want(in_child(lambda: tries(fcntl.LOCK_EX)) == "None", "a close gives all up")
    os.close(fd)


@check
def whole_files_are_locked_by_open_files():
    put("l", b"")
    a, b = os.open("l", os.O_RDONLY), os.open("l", os.O_RDONLY)
    fcntl.flock(a, fcntl.LOCK_SH)
    fcntl.flock(b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fails(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(b, fcntl.LOCK_UN)
    fcntl.flock(os.dup(a), fcntl.LOCK_EX | fcntl.LOCK_NB)
    fails(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    want(in_child(lambda: fcntl.flock(a, fcntl.LOCK_EX | fcntl.LOCK_NB)) == "None",
         "a child has the same open file")
    want(in_child(lambda: tries(fcntl.LOCK_EX)) == "None", "two families")
    fcntl.flock(a, fcntl.LOCK_UN)
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(a)
    os.close(b)


def remarks():
    """What csvfs refuses and says so (doc/csvfs.md)."""
    put("rm", b"x" * 4096)
    fd = os.open("rm", os.O_RDWR)
    try:
        mmap.mmap(fd, 4096).close()
        failures.append("MAP_SHARED for writing: not refused")
    except OSError as e:
        want(e.errno == errno.ENODEV, f"MAP_SHARED: {e}")
    want(libc.fallocate(fd, 8, ctypes.c_long(0), ctypes.c_long(4096)) < 0 and
         ctypes.get_errno() == errno.EOPNOTSUPP, "COLLAPSE_RANGE: the kernel's FUSE has none")
    os.close(fd)


def main():
    os.chdir(sys.argv[1])
    os.umask(0o022)
    for function in CHECKS + ([remarks] if "--csvfs" in sys.argv else []):
        os.mkdir(function.__name__)
        os.chdir(function.__name__)
        try:
            function()
        except (AssertionError, OSError) as e:
            failures.append(f"{function.__name__}: {e}")
        os.chdir("..")
    for line in failures:
        print(line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
