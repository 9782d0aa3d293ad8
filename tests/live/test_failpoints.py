# SPDX-License-Identifier: GPL-2.0-or-later
"""A coordinator lost or moved, and a mount lost, at every step of every operation.

Each case prepares something, arms a fail-point for one request of one mount, makes the system call,
which must end as if nothing had been, and looks at what came of it from two nodes. A point of
csvfs/edge/failpoint.def at which nothing was crashed fails the suite.
"""
import contextlib
import errno
import mmap
import os
import subprocess
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import BUILD, CSVADM, Cluster, Ctl
from failpoints import CHANGES, CRASH, CUT, STOP, FailPoints, of_group
from lablib import wait_until
from long import long
from posix_drive import ROOT, Agent, popen_in
from test_csvfs import FENCE, VOL, Load, check_clean, csvfsd, holders, mount_ids

HOME = f"{VOL}/d"
BLOCK = 4096
SECONDS = 90        # until whatever was broken is over
APPEND, FRESH = os.O_WRONLY | os.O_APPEND, os.O_CREAT | os.O_EXCL | os.O_WRONLY


# --- one of each kind of change: what is there before, the call, what must be seen afterwards

Case = namedtuple("Case", "op prepare act check")


def file_with(a, name, data=b"abc"):
    a.do("spool", name, data)


def is_gone(a, name):
    assert a.fails("lstat", name) == 2, name


def holds(a, name, data):
    assert a.do("content", name) == data, name


def mode_of(a, name):
    return a.do("look", name)["mode"] & 0o7777


def nlink(a, name):
    return a.do("look", name)["nlink"]


def blocks(letters):
    return b"".join(x.encode() * BLOCK for x in letters)


def opened(a, name, flags, *mode):
    return a.do("open", name, flags, *mode)


def has_links(count, *names):
    def check(a, n):
        for name in names or ("",):
            assert nlink(a, n + name) == count
    return check


def chmod_check(a, n):
    assert mode_of(a, n) == 0o640
    holds(a, n, b"abc")


def cut(a, n, _):
    a.do("truncate", n, 2)


def orphan_before(a, n):
    file_with(a, n)
    return opened(a, n, os.O_RDONLY)


def orphan_unlink(a, n, fd):
    a.do("unlink", n)
    assert a.do("look_fd", fd)["nlink"] == 0
    assert a.do("pread", fd, 10, 0) == b"abc"
    a.do("close", fd)


def replace_before(a, n):
    file_with(a, n, b"new")
    file_with(a, n + ".old", b"old")
    return opened(a, n + ".old", os.O_RDONLY)


def replace(a, n, fd):
    a.do("rename", n, n + ".old")
    assert a.do("look_fd", fd)["nlink"] == 0
    assert a.do("pread", fd, 10, 0) == b"old"
    a.do("close", fd)


def replace_check(a, n):
    is_gone(a, n)
    holds(a, n + ".old", b"new")


def create(a, n, _):
    fd = opened(a, n, FRESH, 0o600)
    assert a.do("write", fd, b"made") == 4
    a.do("close", fd)


def append_before(a, n):
    file_with(a, n)
    return opened(a, n, APPEND)


def append(a, n, fd):
    assert a.do("write", fd, b"def") == 3
    a.do("close", fd)


def gap_before(a, n):
    file_with(a, n)
    return opened(a, n, os.O_WRONLY)


def gap(a, n, fd):
    assert a.do("pwrite", fd, b"end", 5000) == 3
    a.do("close", fd)


def attribute_check(a, n):
    assert a.do("getxattr", n, "user.x") == b"value"


def attribute_before(a, n):
    file_with(a, n)
    a.do("setxattr", n, "user.x", b"value")


def no_attribute(a, n):
    assert a.fails("getxattr", n, "user.x") == 61


def four(a, n):
    file_with(a, n, blocks("abcd"))
    return opened(a, n, os.O_RDWR)


def punch(a, n, fd):
    a.do("fallocate", fd, 3, BLOCK, BLOCK)
    a.do("close", fd)


def copy_before(a, n):
    file_with(a, n, blocks("abcd"))
    file_with(a, n + ".to", b"x")
    return opened(a, n, os.O_RDONLY), opened(a, n + ".to", os.O_WRONLY)


def copy(a, n, fds):
    assert a.do("copy_file_range", *fds, 2 * BLOCK, 0, BLOCK) == 2 * BLOCK
    for fd in fds:
        a.do("close", fd)


def points_to(a, n):
    assert a.do("readlink", n) == "to"


CASES = {
    "chmod": Case("SETATTR", file_with, lambda a, n, _: a.do("chmod", n, 0o640), chmod_check),
    "cut": Case("SETATTR", file_with, cut, lambda a, n: holds(a, n, b"ab")),
    "mknod": Case("MKNOD", lambda a, n: None, lambda a, n, _: a.do("mknod", n, 0o10600),
                  has_links(1)),
    "mkdir": Case("MKDIR", lambda a, n: None, lambda a, n, _: a.do("mkdir", n),
                  has_links(2)),
    "unlink": Case("UNLINK", file_with, lambda a, n, _: a.do("unlink", n), is_gone),
    "orphan": Case("UNLINK", orphan_before, orphan_unlink, is_gone),
    "rmdir": Case("RMDIR", lambda a, n: a.do("mkdir", n), lambda a, n, _: a.do("rmdir", n),
                  is_gone),
    "symlink": Case("SYMLINK", lambda a, n: None, lambda a, n, _: a.do("symlink", "to", n),
                    points_to),
    "rename": Case("RENAME", replace_before, replace, replace_check),
    "link": Case("LINK", file_with, lambda a, n, _: a.do("link", n, n + ".2"),
                 has_links(2, "", ".2")),
    "create": Case("CREATE", lambda a, n: None, create, lambda a, n: holds(a, n, b"made")),
    "append": Case("WRITE", append_before, append, lambda a, n: holds(a, n, b"abcdef")),
    "gap": Case("WRITE", gap_before, gap, lambda a, n: holds(a, n, b"abc" + bytes(4997) + b"end")),
    "setxattr": Case("SETXATTR", file_with, lambda a, n, _: a.do(
        "setxattr", n, "user.x", b"value", os.XATTR_CREATE), attribute_check),
    "removexattr": Case("REMOVEXATTR", attribute_before,
                        lambda a, n, _: a.do("removexattr", n, "user.x"), no_attribute),
    "punch": Case("FALLOCATE", four, punch,
                  lambda a, n: holds(a, n, blocks("a") + bytes(BLOCK) + blocks("cd"))),
    "copy": Case("COPY_RANGE", copy_before, copy,
                 lambda a, n: holds(a, n + ".to", b"x" + bytes(BLOCK - 1) + blocks("ab"))),
}


def test_each_change_has_its_case():
    assert {case.op for case in CASES.values()} == set(CHANGES)


# --- the stage

class Stage:
    """Three nodes, one volume. n3 makes the calls, n1 looks and has a load of its own; n2 has no program
    for long: its mount may die."""

    def __init__(self, make_lab):
        self.c = c = Cluster(make_lab(3, bin=BUILD)).create()
        c.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--param",
              "bmc_socket=/run/lab/bmc.sock")
        self.points = FailPoints(c.lab)
        c.volume()
        c.lab.run("n1", f"mkdir {HOME}")
        self.load, self.count = Load(c), 0
        self.load.start("n1", "append", "names")
        self.load.wait_progress(2)
        self.threads = ThreadPoolExecutor(4)
        self.a, self.b = (Agent(popen_in(c.lab, node, HOME)) for node in ("n3", "n1"))
        self.mount = int(mount_ids(c)["n3"], 16)

    def end(self):
        for agent in (self.a, self.b):
            agent.end()
        self.threads.shutdown()
        self.load.stop()
        assert self.load.check("n1") > 10
        assert not self.c.events("n1", "fence-begin")
        check_clean(self.c)

    def name(self, what):
        self.count += 1
        return f"{what}.{self.count}"

    def show(self):
        return self.c.volume_show("vol", "n1")

    def begin(self, call, *args):
        return self.threads.submit(call, *args)

    def wait_next(self, term, timeout=60):
        """A coordinator of a later term serves."""
        def serves():
            show = self.show()
            return show["term"] > term and show["work"] == "online"
        self.c.wait("n1", serves, f"a coordinator after term {term}", timeout)
        # A node on which they die again and again is not asked for a while.
        with contextlib.suppress(Ctl):
            self.c.ctl("n1", "volume", "clear", "vol")

    def wait_fired(self, count, what):
        wait_until(lambda: self.points.fired() >= count, SECONDS, f"{what} is passed")

    @contextlib.contextmanager
    def armed(self, what, *point, **match):
        """The coordinator dies: the point must be passed, and another one serve afterwards."""
        show, before = self.show(), self.points.fired()
        self.points.arm((*point, match))
        try:
            yield show
            self.wait_fired(before + 1, f"{what}: {point[0]}")
        finally:
            self.points.disarm()
        self.wait_next(show["term"])

    def case(self, case, body):
        """Prepares it, has body(op, act) do it, looks at what has come of it from two nodes."""
        n, k = self.name(case), CASES[case]
        kept = k.prepare(self.a, n)
        body(k.op, lambda: self.begin(k.act, self.a, n, kept).result(SECONDS))
        for agent in (self.a, self.b):
            self.begin(k.check, agent, n).result(SECONDS)

    def crash(self, case, point, action):
        """The coordinator dies at that point of that call."""
        def body(op, act):
            with self.armed(case, point, action, op=op, mount=self.mount):
                act()
        self.case(case, body)

    def crash_twice(self, what, first, second, act):
        """One coordinator dies at the first point, the next at the second one; both are
        (point, action, conditions)."""
        show, before = self.show(), self.points.fired()
        self.points.arm(first, second)
        try:
            act()
            self.wait_fired(before + 2, f"{what}: {first[0]}, {second[0]}")
        finally:
            self.points.disarm()
        self.wait_next(show["term"] + 1)

    def move(self, case, point):
        """The coordinator is told to move while the call is at that point."""
        def body(op, act):
            show, before = self.show(), self.points.fired()
            to = next(n for n in ("n1", "n2") if n != show["node"])
            self.points.arm((point, STOP, {"op": op, "mount": self.mount}))
            call = self.begin(act)
            self.wait_fired(before + 1, f"{case}: {point}")
            self.c.ctl("n1", "volume", "move", "vol", "--to", to)
            self.c.wait("n1", lambda: self.show()["work"] != "online", "it is moving")
            self.points.go()
            call.result(SECONDS)
            self.wait_next(show["term"])
        self.case(case, body)

    # --- what others need

    @contextlib.contextmanager
    def on_n2(self):
        agent = Agent(popen_in(self.c.lab, "n2", HOME))
        try:
            yield agent
        finally:
            agent.end()

    def mount_dies(self, what, point, call, *args, **match):
        """call(*args) while the process that serves n2's mount dies at that point: the next one goes
        on with it."""
        old, before = mount_ids(self.c)["n2"], self.points.fired()
        self.points.arm((point, CRASH, {"mount": int(old, 16), **match}))
        result = self.begin(call, *args)
        self.wait_fired(before + 1, f"{what}: {point}")
        result.result(SECONDS)
        assert mount_ids(self.c)["n2"] == old

    def wait_mount(self, old):
        self.c.wait("n1", lambda: mount_ids(self.c).get("n2", old) != old, "n2 is mounted anew", 60)
        self.c.wait_volume(timeout=60)

    def wait_no_orphan(self):
        """Seen where the XFS is mounted, which nobody else sees."""
        def has_none():
            node = self.show()["node"]
            pid, = csvfsd(self.c, node, "coordinate")
            found = self.c.lab.run(node, f"nsenter -t {pid} -m sh -c 'ls /run/clusterd/csv-*/.csv/orphans'")
            return not found.stdout.split()
        self.c.wait("n1", has_none, "no orphan is left", SECONDS)

    def wait_passes(self, point, op, count):
        wait_until(lambda: self.points.passes(point, op) >= count, SECONDS, f"{op} passes {point}")

    def kill_mount(self):
        old = mount_ids(self.c)["n2"]
        pid, = holders(self.c, "n2")
        self.c.lab.run("n2", f"kill -9 {pid}")
        return old

    def granted(self, agent, node, n):
        """A file that this agent's node may write to by itself, and does."""
        self.c.lab.run("n1", [CSVADM, "prealloc", f"{HOME}/{n}", "--size", "2M"])
        fd = opened(agent, n, os.O_RDWR | os.O_DIRECT)
        self.granted_again(agent, node, fd)
        return fd

    def granted_again(self, agent, node, fd):
        def direct():
            before = self.direct_writes(node)
            agent.do("direct_write", fd, b"g" * BLOCK, 1 << 20)
            return self.direct_writes(node) > before
        wait_until(direct, SECONDS, f"{node} writes directly")

    def direct_writes(self, node):
        own, = [m for m in self.c.volume_show("vol", node)["mounts"] if m["node"] == node]
        return own["io"]["direct_writes"]


@pytest.fixture(scope="module")
def stage(make_module_lab):
    s = Stage(make_module_lab)
    yield s
    s.end()


# --- every change, at every step

STEPS = of_group("CHANGE")


def test_a_call_survives_the_loss_of_its_coordinator(stage):
    """Each kind of change once, each step at least once."""
    for number, case in enumerate(CASES):
        stage.crash(case, STEPS[number % len(STEPS)], CUT if number % 2 else CRASH)
    stage.move("append", "MARKED")
    for step in STEPS:
        assert stage.points.passes(step) > 0, step


@long
@pytest.mark.parametrize("step", STEPS)
def test_each_change_survives_it_at_each_step(stage, step):
    for case in CASES:
        for action in (CRASH, CUT):
            stage.crash(case, step, action)


@long
@pytest.mark.parametrize("case", CASES)
def test_each_change_survives_the_loss_of_two_coordinators(stage, case):
    """The second one while it repeats the request, or reads its answer from the disk."""
    match = {"op": CASES[case].op, "mount": stage.mount}
    for first, second, action in (("INTENDED", "REDO", CUT), ("INTENDED", "DID", CUT),
                                  ("DID", "MARKED", CUT), ("DID", "MARKED", CRASH),
                                  ("MARKED", "REPLAY", CUT), ("FORCED", "REPLAY", CRASH)):
        stage.case(case, lambda op, act, f=first, s=second, a=action: stage.crash_twice(
            case, (f, CRASH, match), (s, a, match), act))


@long
@pytest.mark.parametrize("step", STEPS)
def test_a_change_survives_a_move_at_each_step(stage, step):
    for case in ("append", "rename", "create", "orphan", "copy"):
        stage.move(case, step)


# --- all other points: what leads there

def change(*cases, **match):
    """Within these changes; match: of nobody's request in particular."""
    def run(s, point, action):
        for case in cases:
            if not match:
                s.crash(case, point, action)
                continue

            def body(op, act, case=case):
                with s.armed(case, point, action, **match):
                    act()
            s.case(case, body)
    return run


def first_change(s, point, action):
    """Of a mount that is new."""
    s.wait_mount(s.kill_mount())
    n = s.name("first")
    with s.armed(n, point, action, mount=int(mount_ids(s.c)["n2"], 16)):
        s.c.lab.run("n2", f"mkdir {HOME}/{n}")
    has_links(2)(s.b, n)


def repeated(first, cases=("append", "create", "unlink")):
    """The next coordinator dies there, too."""
    def run(s, point, action):
        for case in cases:
            match = {"op": CASES[case].op, "mount": s.mount}
            s.case(case, lambda op, act, m=match, case=case: s.crash_twice(
                case, (first, CRASH, m), (point, action, m), act))
    return run


def begins(s, point, action):
    """A coordinator that is about to begin."""
    match = {"op": "WRITE", "mount": s.mount}
    for case in ("append", "gap"):
        s.case(case, lambda op, act, case=case: s.crash_twice(
            case, ("DID", CRASH, match), (point, action, {}), act))


def ends(s, point, action):
    """One that is told to move away; under the load of n1."""
    with s.armed("a move", point, action) as show:
        to = next(n for n in ("n1", "n2") if n != show["node"])
        s.c.ctl("n1", "volume", "move", "vol", "--to", to)
    s.case("append", lambda op, act: act())
    s.load.wait_progress(2)


def open_counted(s, point, action):
    n = s.name("open")
    file_with(s.b, n)
    with s.armed(n, point, action, op="OPEN", mount=s.mount):
        fd = opened(s.a, n, os.O_RDONLY)
    s.b.do("unlink", n)
    assert s.a.do("look_fd", fd)["nlink"] == 0
    assert s.a.do("pread", fd, 10, 0) == b"abc"
    s.a.do("close", fd)
    s.wait_no_orphan()


def last_close(s, point, action):
    """Of a file that has no name any more."""
    n = s.name("last")
    file_with(s.b, n)
    fd = opened(s.a, n, os.O_RDONLY)
    s.b.do("unlink", n)
    with s.armed(n, point, action):
        s.a.do("close", fd)
    s.wait_no_orphan()


def locking(s, point, action):
    n = s.name("lock")
    file_with(s.b, n)
    a, b = opened(s.a, n, os.O_RDWR), opened(s.b, n, os.O_RDWR)
    with s.armed(n, point, action, op="LOCK", mount=s.mount):
        s.a.do("lockf", a, os.F_LOCK, 0)
    assert s.b.fails("lockf", b, os.F_TLOCK, 0) == 11
    with s.armed(n, point, action, op="UNLOCK", mount=s.mount):
        s.a.do("lockf", a, os.F_ULOCK, 0)
    s.b.do("lockf", b, os.F_TLOCK, 0)
    before = s.points.passes("LOCK_STEP", "LOCK")
    waiter = s.c.lab.popen("n3", ["/usr/bin/python3", "-c", f"""
import os
fd = os.open("{HOME}/{n}", os.O_RDWR)
print(os.getpid(), flush=True)
os.lockf(fd, os.F_LOCK, 0)
"""], stdout=subprocess.PIPE, text=True)
    with waiter:
        pid = int(waiter.stdout.readline())
        s.wait_passes("LOCK_STEP", "LOCK", before + 1)
        with s.armed(n, point, action, op="CANCEL_LOCK", mount=s.mount):
            s.c.lab.run("n3", f"kill -9 {pid}")
        waiter.communicate(timeout=SECONDS)
    s.b.do("lockf", b, os.F_ULOCK, 0)
    s.a.do("lockf", a, os.F_TLOCK, 0)
    s.a.do("close", a)
    s.b.do("close", b)


def recall(s, point, action):
    n = s.name("recall")
    fd = s.granted(s.a, "n3", n)
    with s.armed(n, point, action):
        s.b.do("truncate", n, 1 << 20)
    for agent in (s.a, s.b):
        assert agent.do("look", n)["size"] == 1 << 20
    s.a.do("close", fd)


def ask(s, point, action):
    n = s.name("ask")
    fd = s.granted(s.a, "n3", n)
    s.a.do("utime", n, (1, 1))
    s.granted_again(s.a, "n3", fd)
    with s.armed(n, point, action):
        assert s.b.do("look", n)["mtime"] > 10**18
    s.a.do("close", fd)


def grant(s, point, action):
    n = s.name("grant")
    s.c.lab.run("n1", [CSVADM, "prealloc", f"{HOME}/{n}", "--size", "2M"])
    fd = opened(s.a, n, os.O_RDWR | os.O_DIRECT)
    with s.armed(n, point, action, op="GRANT", mount=s.mount):
        for i in range(20):
            s.a.do("direct_write", fd, b"%04d" % i * 1024, i * BLOCK)
    s.granted_again(s.a, "n3", fd)
    want = b"".join(b"%04d" % i * 1024 for i in range(20))
    assert s.b.do("content", n)[:20 * BLOCK] == want
    s.a.do("close", fd)


def mount_dropped(s, point, action):
    n = s.name("dropped")
    with s.on_n2() as agent:
        agent.do("spool", n, b"abc")
        opened(agent, n, os.O_RDONLY)
        s.b.do("unlink", n)
        old = s.kill_mount()
        with s.armed(n, point, action):
            pass
        s.wait_mount(old)
    s.wait_no_orphan()


def mount_asks(s, point, action):
    """A request of it; what it has asked for happens once."""
    n = s.name("asks")
    s.b.do("spool", n, b"abc")
    with s.on_n2() as agent:
        fd = opened(agent, n, APPEND)
        s.mount_dies(n, point, agent.do, "write", fd, b"def", op="WRITE")
    for agent in (s.a, s.b):
        holds(agent, n, b"abcdef")


def mount_reconnects(s, point, action):
    """To the next coordinator, and dies then; the others are not held up."""
    def lose():
        show = s.show()
        pid, = csvfsd(s.c, show["node"], "coordinate")
        s.c.lab.run(show["node"], f"kill -9 {pid}")
        s.wait_next(show["term"])
    s.mount_dies(point, point, lose)
    s.case("append", lambda op, act: act())


def mount_forgets(s, point, action):
    n = s.name("forgets")
    s.b.do("spool", n, b"abc")
    with s.on_n2() as agent:
        holds(agent, n, b"abc")
        s.mount_dies(n, point, s.b.do, "chmod", n, 0o640)
    assert mode_of(s.a, n) == mode_of(s.b, n) == 0o640


def mount_gives_back(s, point, action):
    n = s.name("back")
    with s.on_n2() as agent:
        s.granted(agent, "n2", n)
        s.mount_dies(n, point, s.b.do, "truncate", n, 1 << 20)
    for agent in (s.a, s.b):
        assert agent.do("look", n)["size"] == 1 << 20


def mount_writes(s, point, action):
    """By itself: what was not answered is written again."""
    n, before = s.name("writes"), s.points.fired()
    s.c.lab.run("n1", [CSVADM, "prealloc", f"{HOME}/{n}", "--size", "2M"])

    def write(agent):
        fd = opened(agent, n, os.O_RDWR | os.O_DIRECT)
        while s.points.fired() == before:
            agent.do("direct_write", fd, b"w" * BLOCK, 1 << 20)
    with s.on_n2() as agent:
        s.mount_dies(n, point, write, agent)
    seen = s.b.do("content", n)
    assert seen[1 << 20:][:BLOCK] == b"w" * BLOCK
    assert not seen[:1 << 20].strip(b"\0") and len(seen) == 2 << 20
    holds(s.a, n, seen)


def mount_flushes(s, point, action):
    """What it has written before is there for who comes after it."""
    n = s.name("flushes")
    with s.on_n2() as agent:
        fd = s.granted(agent, "n2", n)
        s.mount_dies(n, point, agent.do, "close", fd)
    assert s.b.do("content", n)[1 << 20:][:BLOCK] == b"g" * BLOCK


def place_of(lab, pattern):
    """Where on the LUN this block lies."""
    with open(os.path.join(lab.dir, "lun.img"), "rb") as f:
        with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            at = m.find(pattern)
            assert at >= 0 and m.find(pattern, at + 1) < 0
            return at


def write_is_lost(s, point, action):
    """By the coordinator, which dies before it says so; the next one has a path."""
    n, page = s.name("lost"), os.urandom(BLOCK)
    file_with(s.b, n, page)
    a, b = opened(s.a, n, os.O_WRONLY), opened(s.b, n, os.O_RDWR)
    at = place_of(s.c.lab, page)
    with s.armed(n, point, action) as show:
        s.c.lab.lun_fault(show["node"], "fail", "write", str(at), str(at + BLOCK))
        call = s.begin(s.a.ask, ROOT, "pwrite", a, b"x" * BLOCK, 0)
        wait_until(lambda: not s.points.armed(), SECONDS, "the write is lost")
        s.c.lab.lun_fault(show["node"], "ok")
        # What the dead one has found is the result, or it is done by the next one.
        assert call.result(SECONDS) in ((0, BLOCK), (errno.EIO, None))
    assert s.a.do("pwrite", a, b"x" * BLOCK, 0) == BLOCK
    for agent, fd in ((s.a, a), (s.b, b)):
        agent.ask(ROOT, "fsync", fd)        # it may have heard of it
        agent.do("fsync", fd)
        agent.do("close", fd)
        holds(agent, n, b"x" * BLOCK)


LEADS = {
    "FAILURE_NOTED": write_is_lost, "FAILURE_KNOWN": write_is_lost,
    "ORPHAN_LINKED": change("orphan", "rename"),
    "DATA_WRITTEN": change("append", "gap", "copy"),
    "MOUNT_MADE": first_change, "SLOT_MADE": first_change,
    "FORCING": change("chmod", op=None), "GROUP_FORCED": change("chmod", op=None),
    "REDO": repeated("INTENDED"), "REPLAY": repeated("FORCED"),
    "OPENED": open_counted, "RELEASED": last_close, "REAPING": last_close, "REAPED": last_close,
    "LOCK_STEP": locking, "LOCK_TOLD": locking,
    "RECALLING": recall, "RECALLED": recall, "ASKING": ask, "TOLD": ask,
    "GRANT_MARKED": grant, "GRANT_FORCED": grant, "GRANT_EMPTIED": grant, "GRANT_ISSUED": grant,
    "DROPPING": mount_dropped, "DROP_CLOSED": mount_dropped, "DROPPED": mount_dropped,
    "MOUNT_SENDING": mount_asks, "MOUNT_SENT": mount_asks, "MOUNT_ANSWERED": mount_asks,
    "MOUNT_RECLAIMING": mount_reconnects, "MOUNT_RESENDING": mount_reconnects,
    "MOUNT_RESENT": mount_reconnects,
    "MOUNT_BREAK": mount_forgets, "MOUNT_BROKEN": mount_forgets,
    "MOUNT_RECALL": mount_gives_back, "MOUNT_RETURNED": mount_gives_back,
    "MOUNT_GRANTED": mount_writes, "MOUNT_WRITTEN": mount_writes, "MOUNT_FLUSHED": mount_flushes,
    **dict.fromkeys(of_group("START"), begins), **dict.fromkeys(of_group("END"), ends),
}


def test_something_leads_to_each_point():
    assert set(LEADS) == set(of_group("REQUEST", "START", "END", "MOUNT"))


@long
@pytest.mark.parametrize("point", LEADS)
def test_everything_survives_it_at_every_other_point(stage, point):
    for action in (CRASH,) if point.startswith("MOUNT_") else (CRASH, CUT):
        LEADS[point](stage, point, action)
    assert stage.points.passes(point) > 0
