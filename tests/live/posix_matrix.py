# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts for posix_drive.play(): every call on every kind of file, by everybody.

What is right, the same scripts say on a local XFS.
"""
import errno
import os
import stat
import struct

from posix_drive import ROOT, clocks, looks

NOREPLACE, EXCHANGE = 1, 2
NULL = os.makedev(1, 3)
RUNS = b"#!/bin/sh\nexit 3\n"

# --- errors by kind of file

KINDS = {
    "nothing": lambda s, p: None,
    "file": lambda s, p: s.quiet("spool", p, b"content"),
    "directory": lambda s, p: s.quiet("mkdir", p),
    "full directory": lambda s, p: (s.quiet("mkdir", p), s.quiet("spool", f"{p}/below", b"b")),
    "link to a file": lambda s, p: s.quiet("symlink", "other", p),
    "link to a directory": lambda s, p: s.quiet("symlink", "dir", p),
    "dangling link": lambda s, p: s.quiet("symlink", "nowhere", p),
    "link to itself": lambda s, p: s.quiet("symlink", os.path.basename(p), p),
    "fifo": lambda s, p: s.quiet("mkfifo", p),
    "socket": lambda s, p: s.quiet("bind", p),
    "character device": lambda s, p: s.quiet("mknod", p, stat.S_IFCHR | 0o666, NULL),
    "block device": lambda s, p: s.quiet("mknod", p, stat.S_IFBLK | 0o666, os.makedev(7, 0)),
}
VARIANTS = ("{}", "{}/", "{}/.", "{}/..", "{}/below", "{}/none/x")


def opening(flags, mode=0o644):
    def run(s, p, d, who=ROOT):
        agent = s.any()
        error, fd = s.call("open", p, flags | os.O_NONBLOCK, mode, agent=agent, shown=False,
                           who=who)
        if not error:
            s.quiet("close", fd, agent=agent, who=who)
    return run


def on_open(flags, name, *args):
    """A call on a descriptor."""
    def run(s, p, d, who=ROOT):
        agent = s.any()
        error, fd = agent.ask(who, "open", p, flags | os.O_NONBLOCK)
        if not error:
            s.call(name, fd, *args, agent=agent, who=who)
            s.quiet("close", fd, agent=agent, who=who)
    return run


def plain(name, *args, **options):
    return lambda s, p, d, who=ROOT: s.call(name, p, *args, who=who, **options)


def to(name, target, *args):
    return lambda s, p, d, who=ROOT: s.call(name, p, f"{d}/{target}", *args, who=who)


def onto(name, source, *args):
    return lambda s, p, d, who=ROOT: s.call(name, f"{d}/{source}", p, *args, who=who)


R, W, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
CREAT, EXCL, TRUNC = os.O_CREAT, os.O_EXCL, os.O_TRUNC
NOFOLLOW, DIRECTORY, PATH, APPEND = os.O_NOFOLLOW, os.O_DIRECTORY, os.O_PATH, os.O_APPEND
PUNCH, KEEP = 2, 1

CALLS = {
    "open R": opening(R), "open W": opening(W), "open RW": opening(RW),
    "open TRUNC": opening(W | TRUNC), "open APPEND": opening(W | APPEND),
    "open CREAT": opening(W | CREAT), "open CREAT EXCL": opening(W | CREAT | EXCL),
    "open CREAT TRUNC": opening(RW | CREAT | TRUNC, 0o4755),
    "open CREAT NOFOLLOW": opening(W | CREAT | NOFOLLOW), "open CREAT R": opening(R | CREAT, 0),
    "open NOFOLLOW": opening(R | NOFOLLOW), "open DIRECTORY": opening(R | DIRECTORY),
    "open DIRECTORY W": opening(W | DIRECTORY), "open PATH": opening(PATH | NOFOLLOW),
    "open DIRECT": opening(R | os.O_DIRECT), "open NOATIME": opening(R | os.O_NOATIME),
    "open SYNC": opening(RW | os.O_SYNC),
    "mkdir": plain("mkdir", 0o750), "mkfifo": plain("mkfifo", 0o640), "bind": plain("bind"),
    "mknod file": plain("mknod", stat.S_IFREG | 0o640),
    "mknod chr": plain("mknod", stat.S_IFCHR | 0o640, NULL),
    "mknod bad": plain("mknod", stat.S_IFDIR | 0o640),
    "unlink": plain("unlink"), "rmdir": plain("rmdir"),
    "link to new": to("link", "new"), "link to file": to("link", "other"),
    "link to dir": to("link", "dir"), "link from file": onto("link", "other"),
    "link from dir": onto("link", "dir"), "link from none": onto("link", "none"),
    "symlink": lambda s, p, d, who=ROOT: s.call("symlink", "target", p, who=who),
    "symlink of nothing": lambda s, p, d, who=ROOT: s.call("symlink", "", p, who=who),
    "rename to new": to("rename", "new"), "rename to file": to("rename", "other"),
    "rename to dir": to("rename", "dir"), "rename to full": to("rename", "full"),
    "rename to itself": lambda s, p, d, who=ROOT: s.call("rename", p, p, who=who),
    "rename into itself": lambda s, p, d, who=ROOT: s.call("rename", p, f"{p}/in", who=who),
    "rename from file": onto("rename", "other"), "rename from dir": onto("rename", "full"),
    "rename NOREPLACE": to("rename2", "new", NOREPLACE),
    "rename NOREPLACE taken": to("rename2", "other", NOREPLACE),
    "rename EXCHANGE": to("rename2", "other", EXCHANGE),
    "rename EXCHANGE dir": to("rename2", "full", EXCHANGE),
    "rename EXCHANGE none": to("rename2", "new", EXCHANGE),
    "rename bad flags": to("rename2", "new", 3), "rename WHITEOUT": to("rename2", "new", 8),
    "chmod": plain("chmod", 0o4711), "chown": plain("chown", 1, 2),
    "lchown": plain("lchown", 3, 4), "chown of nothing": plain("chown", -1, -1),
    "truncate": plain("truncate", 3), "truncate far": plain("truncate", 1 << 30),
    "truncate too far": plain("truncate", (1 << 63) - 1), "truncate below": plain("truncate", -1),
    "utime": plain("utime", ns=(10 ** 18, 2 * 10 ** 18)), "utime now": plain("utime"),
    "utime of link": plain("utime", ns=(10 ** 18, 10 ** 18), follow_symlinks=False),
    "setxattr": plain("setxattr", "user.x", b"1"),
    "setxattr trusted": plain("setxattr", "trusted.x", b"1"),
    "setxattr unknown": plain("setxattr", "unknown.x", b"1"),
    "setxattr nameless": plain("setxattr", "user.", b"1"),
    "setxattr long name": plain("setxattr", "user." + "n" * 251, b"1"),
    "setxattr too big": plain("setxattr", "user.x", b"v" * 65537),
    "setxattr REPLACE": plain("setxattr", "user.x", b"1", os.XATTR_REPLACE),
    "getxattr": plain("getxattr", "user.x"), "removexattr": plain("removexattr", "user.x"),
    "listxattr": plain("listxattr"), "getacl": plain("getxattr", "system.posix_acl_access"),
    "access R": plain("access", os.R_OK), "access X": plain("access", os.X_OK),
    "access bad": plain("access", 8), "readlink": plain("readlink"), "names": plain("names"),
    "statvfs": plain("statvfs"), "execute": plain("execute"), "connect": plain("connect"),
    "read": on_open(R, "read", 100), "read too early": on_open(R, "pread", 1, -1),
    "write": on_open(RW, "write", b"more"), "write to a reader": on_open(R, "write", b"m"),
    "write far": on_open(W, "pwrite", b"m", (1 << 63) - 2),
    "read of a writer": on_open(W, "read", 1), "ftruncate": on_open(RW, "ftruncate", 1),
    "ftruncate of a reader": on_open(R, "ftruncate", 1), "fsync": on_open(R, "fsync"),
    "fdatasync": on_open(R, "fdatasync"), "fchmod": on_open(R, "fchmod", 0o600),
    "fchown": on_open(R, "fchown", 7, 8), "seek hole": on_open(R, "lseek", 0, os.SEEK_HOLE),
    "seek data": on_open(R, "lseek", 100, os.SEEK_DATA), "seek bad": on_open(R, "lseek", 0, 9),
    "fallocate": on_open(RW, "fallocate", 0, 0, 8192),
    "fallocate keep": on_open(RW, "fallocate", KEEP, 0, 1 << 20),
    "fallocate nothing": on_open(RW, "fallocate", 0, 0, 0),
    "fallocate below": on_open(RW, "fallocate", 0, -1, 10),
    "fallocate too far": on_open(RW, "fallocate", 0, (1 << 62), (1 << 62)),
    "fallocate of a reader": on_open(R, "fallocate", 0, 0, 10),
    "punch": on_open(RW, "fallocate", PUNCH | KEEP, 0, 4), "punch alone": on_open(
        RW, "fallocate", PUNCH, 0, 4), "zero": on_open(RW, "fallocate", 16, 2, 100),
    "map": on_open(R, "mapped", 0, 4, False, False),
    "map for writing": on_open(R, "mapped", 0, 4, False, True),
    "map shared": on_open(R, "mapped", 0, 4, True, False),
    "tmpfile": lambda s, p, d, who=ROOT: s.call("tmpfile", p, 0o600, who=who, shown=False),
    "truncate same": lambda s, p, d, who=ROOT: s.call("truncate", p, len(RUNS), who=who),
    "read NOATIME": on_open(R | os.O_NOATIME, "read", 100),
    "collapse": on_open(RW, "fallocate", 8, 0, 4096),
}
def errors_of(kind, variant, share):
    """All calls, or a share of them, on this kind of file under this name."""
    def script(s):
        for call, run in CALLS.items():
            if s.random.random() >= share or (call.startswith("seek") and "dir" in kind):
                continue                    # XFS keeps no size of directories for lseek(2)
            d = f"{s.directory}/{call.replace(' ', '_')}"
            s.quiet("mkdir", d)
            s.quiet("spool", f"{d}/other", b"other")
            s.quiet("mkdir", f"{d}/dir")
            if "full" in call or call == "rename from dir":
                s.quiet("mkdir", f"{d}/full")
                s.quiet("mkdir", f"{d}/full/sub")
            KINDS[kind](s, f"{d}/x")
            run(s, variant.format(f"{d}/x"), d)
            for name in ("x", "other", "new"):
                looks(s, f"{d}/{name}")
    return script


# --- long names

def long_names(s):
    d = s.directory
    names = {"255": "n" * 255, "256": "n" * 256, "255 below": "n" * 255 + "/x",
             "path 4095": f"{d}/" + "./" * ((4095 - len(d) - 2) // 2) + "p",
             "path 4096": f"{d}/" + "./" * ((4096 - len(d) - 1) // 2) + "p" * (len(d) % 2 + 1)}
    s.quiet("spool", f"{d}/other", b"")
    for label, name in names.items():
        path = name if label.startswith("path") else f"{d}/{name}"
        for call in ("mkdir", "open CREAT", "mkfifo", "symlink", "link from file", "unlink",
                     "rmdir", "rename from file", "chmod", "truncate", "readlink", "setxattr",
                     "names", "access R", "utime", "lchown"):
            CALLS[call](s, path, d)
            s.any().ask(ROOT, "unlink", path)
            s.any().ask(ROOT, "rmdir", path)
            s.any().ask(ROOT, "spool", f"{d}/other", b"")
    s.call("symlink", "t" * 4095, f"{d}/l")
    s.call("symlink", "t" * 4096, f"{d}/m")
    looks(s, f"{d}/l")


# --- who may what

OWNER, MEMBER, ALSO, STRANGER = (1001, 2001, ()), (1002, 2001, ()), (1003, 9, (5, 2001)), (1004, 9, ())
PEOPLE = (ROOT, OWNER, MEMBER, ALSO, STRANGER)
NEEDS_DIR = ("unlink", "rename to new", "rename from file", "open CREAT", "mkdir", "mkfifo",
             "symlink", "link to new", "link from file", "names x", "rename EXCHANGE")
NEEDS_FILE = ("open R", "open W", "open RW", "open TRUNC", "open APPEND", "open NOATIME", "truncate",
              "access R", "access X", "execute", "setxattr", "getxattr", "listxattr", "getacl",
              "chmod", "chown", "chown of nothing", "utime", "utime now", "setxattr trusted",
              "removexattr", "ftruncate", "fchmod", "fallocate", "setacl", "chgrp", "readlink")
ENTRY = struct.Struct("<HHI")
NOBODY = 0xffffffff


def acl(user=6, group=4, other=0, mask=7, users=(), groups=()):
    """As setxattr(2) takes it."""
    entries = [(0x01, user, NOBODY), *((0x02, p, u) for u, p in sorted(dict(users).items())),
               (0x04, group, NOBODY), *((0x08, p, g) for g, p in sorted(dict(groups).items()))]
    if users or groups:
        entries.append((0x10, mask, NOBODY))
    entries.append((0x20, other, NOBODY))
    return struct.pack("<I", 2) + b"".join(ENTRY.pack(*e) for e in entries)


CALLS["names x"] = lambda s, p, d, who=ROOT: s.call("names", d, who=who)
CALLS["setacl"] = plain("setxattr", "system.posix_acl_access", acl(users=((1004, 7),)))
CALLS["chgrp"] = plain("chown", -1, 5)


def rights(call, is_dir, share):
    """One call, by everybody, for modes of the directory and of the file."""
    modes = [(d, 0o644) for d in (0o777, 0o1777, 0o700, 0o070, 0o007, 0o555, 0o333, 0o1733, 0o110)]
    if not is_dir:
        modes = [(0o755, f) for f in (0o777, 0o700, 0o070, 0o007, 0o444, 0o222, 0o111, 0o607,
                                      0o6755, 0o2766, 0)]

    def script(s):
        for dir_mode, file_mode in modes:
            for who in PEOPLE:
                if s.random.random() >= share:
                    continue
                d = f"{s.directory}/{dir_mode:o}.{file_mode:o}.{who[0]}"
                s.quiet("mkdir", d)
                for name in ("x", "other"):
                    s.quiet("spool", f"{d}/{name}", RUNS)
                    s.quiet("chown", f"{d}/{name}", *OWNER[:2])
                    s.quiet("chmod", f"{d}/{name}", file_mode)
                s.quiet("chown", d, *OWNER[:2])
                s.quiet("chmod", d, dir_mode)
                path = f"{d}/new" if call in ("open CREAT", "mkdir", "mkfifo", "symlink",
                                              "link from file") else f"{d}/x"
                CALLS[call](s, path, d, who=who)
                for name in ("x", "new", "other"):
                    looks(s, f"{d}/{name}")
    return script


def rarely(s, share):
    """Of the scripts below a tenth of the calls is enough in a hurry."""
    return s.random.random() >= max(share, 0.1)


def two_directories(s, share):
    """Sticky directories, directories of others, and what moves between them."""
    for sticky in (0o777, 0o1777):
        for owner in (OWNER, STRANGER):
            for who in (OWNER, MEMBER, STRANGER):
                for kind in ("file", "directory", "full directory"):
                    if rarely(s, share):
                        continue
                    d = f"{s.directory}/{sticky:o}.{owner[0]}.{who[0]}.{kind.replace(' ', '')}"
                    for name in (d, f"{d}/a", f"{d}/b"):
                        s.quiet("mkdir", name)
                    KINDS[kind](s, f"{d}/a/x")
                    s.quiet("spool", f"{d}/b/y", b"")
                    s.quiet("chown", f"{d}/a/x", *OWNER[:2])
                    s.quiet("chown", f"{d}/b/y", *MEMBER[:2])
                    s.quiet("chown", f"{d}/a", *owner[:2])
                    s.quiet("chmod", f"{d}/a", sticky)
                    s.quiet("chmod", f"{d}/b", 0o1777)
                    s.call("rename", f"{d}/a/x", f"{d}/b/new", who=who)
                    s.call("rename", f"{d}/b/y", f"{d}/a/x", who=who)
                    s.call("rename2", f"{d}/a/x", f"{d}/b/y", EXCHANGE, who=who)
                    s.call("unlink" if kind == "file" else "rmdir", f"{d}/a/x", who=who)
                    for name in ("a", "b"):
                        s.call("names", f"{d}/{name}")


# --- ACLs

def random_acl(r):
    return acl(r.randrange(8), r.randrange(8), r.randrange(8), r.randrange(8),
               [(u, r.randrange(8)) for u in r.sample((1001, 1002, 1003, 1004), r.randrange(3))],
               [(g, r.randrange(8)) for g in r.sample((9, 5, 2001), r.randrange(3))])


def random_acls(times):
    """ACLs by chance, set, changed by chmod and inherited: what each person may, and what is told."""
    def script(s):
        r, d = s.random, s.directory
        for i in range(times):
            p = f"{d}/{i}"
            default = r.random() < 0.5
            s.quiet("mkdir", p, 0o755)
            if default:
                s.call("setxattr", p, "system.posix_acl_default", random_acl(r))
            who, umask = r.choice(PEOPLE), r.choice((0, 0o022, 0o077))
            s.quiet("chmod", p, r.choice((0o777, 0o2777)))
            agent = s.any()
            s.quiet("umask", umask, who=who, agent=agent)
            make, mode = r.choice(("mkdir", "mkfifo", "mknod", "open")), \
                r.choice((0o777, 0o666, 0o640, 0o4711))
            if make == "open":
                opening(W | CREAT, mode)(Here(s, agent), f"{p}/x", p, who=who)
            else:
                s.call(make, f"{p}/x", mode, who=who, agent=agent)
            s.quiet("umask", 0o022, who=who, agent=agent)
            if r.random() < 0.6:
                s.call("setxattr", f"{p}/x", "system.posix_acl_access", random_acl(r), who=who)
            if r.random() < 0.4:
                s.call("chmod", f"{p}/x", r.choice((0o777, 0o2755, 0o640, 0o070)), who=who)
            if r.random() < 0.2:
                s.call("removexattr", f"{p}/x", "system.posix_acl_access", who=who)
            if r.random() < 0.3:
                s.call("setxattr", p, "system.posix_acl_access", random_acl(r))
            looks(s, f"{p}/x")
            for name in ("access", "default"):
                s.call("getxattr", f"{p}/x", f"system.posix_acl_{name}")
            s.call("listxattr", f"{p}/x", who=who)
            for one in PEOPLE:
                for mode in r.sample((os.R_OK, os.W_OK, os.X_OK), 2):
                    s.call("may", f"{p}/x", mode, who=one)
            if make in ("mknod", "open"):
                opening(RW)(s, f"{p}/x", p, who=r.choice(PEOPLE))
    return script


def acl_corners(s):
    """What is no ACL, and ACLs of what has none."""
    d = s.directory
    for kind in KINDS:
        p = f"{d}/{kind.replace(' ', '')}"
        KINDS[kind](s, p)
        for name in ("access", "default"):
            key = f"system.posix_acl_{name}"
            s.call("setxattr", p, key, acl(users=((7, 7),)))
            s.call("setxattr", p, key, acl(), os.XATTR_CREATE)
            s.call("setxattr", p, key, acl(7, 5, 1))            # no more than a mode
            s.call("getxattr", p, key)
            s.call("setxattr", p, key, acl(users=((7, 6),), mask=4), who=STRANGER)
            s.call("removexattr", p, key)
            s.call("removexattr", p, key)
            s.call("setxattr", p, key, b"")
            s.call("setxattr", p, key, b"bad")
            s.call("setxattr", p, key, acl(users=((7, 6),))[:-8])   # without others
        looks(s, p)
    p = f"{d}/many"
    s.quiet("spool", p, b"")
    s.call("setxattr", p, "system.posix_acl_access", acl(users=[(u, 6) for u in range(500)]))
    s.call("may", p, os.W_OK, who=(499, 499, ()))
    s.call("may", p, os.W_OK, who=(500, 500, ()))


# --- times

def times(s, share):
    """What each call does to the times of a file and of its directory."""
    d = s.directory
    files = {"file": RUNS, "empty": b""}
    calls = ("open R", "open TRUNC", "open CREAT", "chmod", "chown", "chown of nothing", "truncate far",
             "utime now", "setxattr", "removexattr", "link to new", "unlink", "rename to new",
             "rename from file", "read", "write", "ftruncate", "fchmod",
             "fallocate", "fallocate keep", "punch", "zero", "getxattr", "access R", "fsync", "map",
             "execute", "map shared", "truncate same", "read NOATIME")
    for kind, data in files.items():
        for call in calls:
            if rarely(s, share):
                continue
            p = f"{d}/{kind}.{call.replace(' ', '_')}"
            s.quiet("mkdir", p)
            for name in ("x", "other"):
                s.quiet("spool", f"{p}/{name}", data)
                s.quiet("chmod", f"{p}/{name}", 0o755)
                s.quiet("utime", f"{p}/{name}", ns=(10 ** 18, 10 ** 18))
            s.quiet("setxattr", f"{p}/x", "user.x", b"0")
            clocks(s, (p, f"{p}/x", f"{p}/other"), lambda c=call, q=p: CALLS[c](s, f"{q}/x", q))
    p = f"{d}/dir"
    s.quiet("mkdir", p)
    for call in ("mkdir", "mkfifo", "symlink", "open CREAT"):
        clocks(s, (d, p), lambda c=call: CALLS[c](s, f"{p}/{c.replace(' ', '')}", p))
    clocks(s, (p,), lambda: s.call("names", p))
    clocks(s, (f"{p}/symlink",), lambda: s.call("readlink", f"{p}/symlink"))
    clocks(s, (d, p), lambda: s.call("rename", f"{p}/mkdir", f"{d}/moved"))
    clocks(s, (d, f"{d}/moved"), lambda: s.call("rmdir", f"{d}/moved"))


# --- privileges

def privileges(s, share):
    """suid and sgid: who takes them away with what."""
    acts = ("write", "ftruncate", "truncate far", "open TRUNC", "fallocate", "punch", "chown",
            "chgrp", "chown of nothing", "chmod", "setxattr", "utime now", "setacl")
    for mode in (0o6777, 0o2767, 0o4776, 0o2666):
        for act in acts:
            for who in PEOPLE:
                if rarely(s, share):
                    continue
                p = f"{s.directory}/{mode:o}.{act.replace(' ', '_')}.{who[0]}"
                s.quiet("spool", p, b"privileged")
                s.quiet("chown", p, *OWNER[:2])
                s.quiet("chmod", p, mode)
                CALLS[act](s, p, s.directory, who=who)
                looks(s, p)
    agent = s.any()
    s.quiet("spool", s.at("from"), b"8" * 8192)
    for who in PEOPLE:
        p = s.at(f"copy.{who[0]}")
        s.quiet("spool", p, b"privileged")
        s.quiet("chmod", p, 0o6777)
        a = s.quiet("open", s.at("from"), R, agent=agent, who=who)
        b = s.quiet("open", p, W, agent=agent, who=who)
        s.call("copy_file_range", a, b, 100, 0, 3, agent=agent, who=who)
        looks(s, p)
        for fd in (a, b):
            s.quiet("close", fd, agent=agent, who=who)


def new_files(s):
    """Owner, group and mode of what is made, where and by whom."""
    r = s.random
    for mode in (0o777, 0o2777, 0o3777):
        for who in PEOPLE:
            p = f"{s.directory}/{mode:o}.{who[0]}"
            s.quiet("mkdir", p)
            s.quiet("chown", p, 1, 2001)
            s.quiet("chmod", p, mode)
            agent = s.any()
            for i, call in enumerate(("mkdir", "mkfifo", "symlink", "open CREAT", "mknod file", "bind")):
                s.quiet("umask", r.choice((0, 0o027, 0o077)), who=who, agent=agent)
                CALLS[call](Here(s, agent), f"{p}/{i}", p, who=who)
                looks(s, f"{p}/{i}")
            s.call("mknod", f"{p}/sgid", stat.S_IFREG | 0o6775, who=who, agent=agent)
            looks(s, f"{p}/sgid")
            s.quiet("umask", 0o022, who=who, agent=agent)


class Here:
    """A stage of which one agent makes all calls."""

    def __init__(self, stage, agent):
        self.stage, self.agent = stage, agent

    def any(self):
        return self.agent

    def call(self, *args, **options):
        return self.stage.call(*args, **dict(options, agent=self.agent))

    def quiet(self, *args, **options):
        return self.stage.quiet(*args, **dict(options, agent=self.agent))


def busy(s):
    """Programs that run, directories that are in use, loops of links."""
    d = s.directory
    agent = s.any()
    for i in range(42):
        s.quiet("symlink", f"l{i + 1}", f"{d}/l{i}")
    s.quiet("spool", f"{d}/l42", b"end")
    for i in (0, 2, 3, 10):
        s.call("content", f"{d}/l{i}")
    s.quiet("spool", f"{d}/runs", RUNS)
    s.quiet("chmod", f"{d}/runs", 0o755)
    fd = s.quiet("open", f"{d}/runs", W, agent=agent)
    s.call("execute", f"{d}/runs", agent=agent)         # ETXTBSY
    s.quiet("close", fd, agent=agent)
    s.call("execute", f"{d}/runs", agent=agent)
    s.quiet("mkdir", f"{d}/used")
    fd = s.quiet("open", f"{d}/used", R, agent=agent)
    s.call("rmdir", f"{d}/used")
    for call in ("mkdir", "open CREAT", "symlink", "link from file", "mkfifo"):
        s.quiet("spool", f"{d}/other", b"")
        path = f"/proc/self/fd/{fd}/new"
        CALLS[call](Here(s, agent), path, d)
    s.call("names", f"/proc/self/fd/{fd}", agent=agent)
    s.quiet("close", fd, agent=agent)


def gone_but_open(s):
    """A file without a name, and one that was never given one."""
    d, agent = s.directory, s.any()
    for name in ("unlinked", "replaced"):
        fd = s.quiet("open", f"{d}/{name}", RW | CREAT, agent=agent)
        if name == "unlinked":
            s.quiet("unlink", f"{d}/{name}")
        else:
            s.quiet("spool", f"{d}/new", b"")
            s.quiet("rename", f"{d}/new", f"{d}/{name}")
        for call in (("write", b"more"), ("ftruncate", 2), ("fchmod", 0o600), ("fchown", 3, 4),
                     ("pread", 10, 0), ("setxattr", "user.x", b"1"), ("getxattr", "user.x"),
                     ("fallocate", 0, 0, 4096), ("fsync",), ("utime",)):
            s.call(call[0], fd, *call[1:], agent=agent)
        error, found = agent.ask(ROOT, "look_fd", fd)
        s.note("nlink, size", error or (found["nlink"], found["size"]))
        s.call("link_fd", fd, f"{d}/again", agent=agent)
        s.quiet("close", fd, agent=agent)


# --- by chance

def random_calls(times):
    """Any call on any name by anybody, in one small tree; then what has become of it."""
    def script(s):
        r, d = s.random, s.directory
        names = ["x", "other", "new", "dir", "full", "dir/x", "full/x", "full/sub", "new/x"]
        s.quiet("mkdir", f"{d}/dir")
        s.quiet("mkdir", f"{d}/full")
        s.quiet("spool", f"{d}/other", RUNS)
        s.quiet("spool", f"{d}/full/x", b"content")
        for name in ("dir", "full", "other"):
            s.quiet("chown", f"{d}/{name}", *OWNER[:2])
        calls = [c for c in CALLS if c not in ("execute", "connect", "tmpfile", "chown of nothing",
                                               "map shared", "collapse") and "seek" not in c]
        for _ in range(times):
            CALLS[r.choice(calls)](s, f"{d}/{r.choice(names)}", d,
                                   who=ROOT if r.random() < 0.4 else r.choice(PEOPLE))
        for name in names:
            looks(s, f"{d}/{name}")
            s.call("listxattr", f"{d}/{name}")
    return script


# --- all

def cases(share):
    """(name, function) of each; share: of the calls, below 1 to be done sooner."""
    made = [(f"{kind} as {variant.format('x')}", errors_of(kind, variant, share))
            for kind in KINDS for variant in VARIANTS]
    made += [(f"right to {call}", rights(call, call in NEEDS_DIR, share))
             for call in NEEDS_DIR + NEEDS_FILE]
    made += [(f"random {i}", random_calls(max(20, int(200 * share)))) for i in range(12)]
    made += [(f"acls {i}", random_acls(max(2, int(12 * share)))) for i in range(8)]
    made += [(f.__name__, lambda s, f=f: f(s, share)) for f in (two_directories, times, privileges)]
    made += [(f.__name__, f) for f in (long_names, acl_corners, new_files, busy, gone_but_open)]
    return made


# Where the kernel's FUSE or libfuse leaves us no choice: csvfsd(8) has them all. Case, call, what a
# local XFS gives, what csvfs gives.
KNOWN = (
    ("", "chown.*-1, -1", "EPERM", "None"),         # suid or sgid, and not the owner
    ("", "tmpfile", "done|EACCES", "ENOTSUP"),
    ("", "mapped.*True, False", ".*", "ENODEV"),
    ("", "fallocate.*, 8, 0, 4096", "EINVAL|None", "ENOTSUP"),
    ("times", "times of .*read_NOATIME/x", r"\[\]", r"\['atime'\]"),
    ("times", "times of .*truncate_same/x", r"\[\]", r"\['mtime', 'ctime'\]"),
    ("times", "times of .*map_shared/x", r".*", r".*"),
)

# What the suite must have met at least once, or it does not look.
MUST_MEET = {errno.errorcode[e] for e in (
    errno.EPERM, errno.ENOENT, errno.ENXIO, errno.EBADF, errno.EACCES, errno.EEXIST, errno.ENOTDIR,
    errno.EISDIR, errno.EINVAL, errno.ETXTBSY, errno.EFBIG, errno.ENAMETOOLONG, errno.ENOTEMPTY,
    errno.ELOOP, errno.ENODATA, errno.EOPNOTSUPP, errno.E2BIG, errno.ERANGE)}
