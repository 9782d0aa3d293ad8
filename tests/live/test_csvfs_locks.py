# SPDX-License-Identifier: GPL-2.0-or-later
"""File locks of a volume: what one node has locked, no other gets, whatever dies between."""
import os
import select
import subprocess
import time

import pytest
from lablib import wait_until
from long import long, long_but
from test_csvfs import VOL, coordinator, csvfsd, fenced_volume, holders, mount_ids, move_to

HERE = os.path.dirname(os.path.realpath(__file__))
LOCKER = os.path.join(HERE, "locker.py")
F = f"{VOL}/f"


@pytest.fixture
def vol3(make_lab):
    return fenced_volume(make_lab)


class Locker:
    """locker.py on a node."""

    def __init__(self, c, node, *opens):
        self.c, self.node = c, node
        self.process = c.lab.popen(node, [LOCKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   bufsize=0)
        self.rest = b""
        self.pid = int(self.answer())
        for name, path in opens or [("f", F)]:
            assert self.ask(f"open {name} {path}") == "ok"

    def say(self, command):
        self.process.stdin.write(command.encode() + b"\n")

    def answer(self, timeout=60):
        end = time.monotonic() + timeout
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.process.stdout], [], [], left)[0], \
                f"no answer on {self.node}"
            more = os.read(self.process.stdout.fileno(), 4096)
            assert more, f"the locker on {self.node} has ended"
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def ask(self, command, timeout=60):
        self.say(command)
        return self.answer(timeout)

    def has_answered(self):
        return b"\n" in self.rest or bool(select.select([self.process.stdout], [], [], 0)[0])

    def wait_blocked(self):
        """Until the kernel has it in fcntl(2) or flock(2)."""
        def is_blocked():
            text = self.c.lab.run(self.node, f"cat /proc/{self.pid}/syscall", check=False).stdout
            return text.split(" ")[0] in ("72", "73")
        wait_until(is_blocked, 30, f"{self.node} waits for a lock")

    def signal(self, name):
        self.c.lab.run(self.node, f"kill -{name} {self.pid}")

    def kill(self):
        self.signal("KILL")
        self.process.wait(30)

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


def three(c, *opens):
    return [Locker(c, n, *opens) for n in ("n1", "n2", "n3")]


# --- what a lock is

def test_a_lock_of_one_node_keeps_the_others_out(vol3):
    a, b, d = three(vol3)
    assert a.ask("lock f ex 0 10") == "ok"
    for other in (b, d):
        assert other.ask("try f ex 5 1") == "EAGAIN"
        assert other.ask("try f sh 9 1") == "EAGAIN"
        assert other.ask("test f ex 0 0") == "ex 0 10 0"        # whose it is, no other node knows
        assert other.ask("try f ex 10 10") == ("ok" if other is b else "EAGAIN")
    assert a.ask("test f sh 10 1") == "ex 10 10 0"
    same = Locker(vol3, "n1")
    assert same.ask("test f sh 3 1") == f"ex 0 10 {a.pid}"
    # Down to reading in the middle, up again, and split by an unlock.
    assert a.ask("try f sh 2 4") == "ok"
    assert d.ask("try f sh 2 4") == "ok" and d.ask("try f sh 1 1") == "EAGAIN"
    assert a.ask("try f ex 2 4") == "EAGAIN"
    assert d.ask("unlock f") == "ok" and a.ask("try f ex 2 4") == "ok"
    assert a.ask("unlock f 4 2") == "ok"
    assert d.ask("try f ex 4 2") == "ok" and d.ask("try f ex 3 1") == "EAGAIN"
    assert d.ask("test f ex 6 1") == "ex 6 4 0"
    # Two families that know nothing of each other.
    assert a.ask("tryflock f ex") == "ok"
    assert b.ask("tryflock f sh") == "EAGAIN"
    assert b.ask("try f ex 100 1") == "ok"
    # flock knows open files, fcntl processes.
    assert a.ask("dup f g") == "ok" and a.ask("tryflock g ex") == "ok"
    assert a.ask(f"open h {F}") == "ok" and a.ask("tryflock h sh") == "EAGAIN"
    assert a.ask("try h ex 0 1") == "ok"


def test_a_close_gives_up_what_posix_says(vol3):
    a, b, _ = three(vol3)
    assert a.ask("try f ex") == "ok" and a.ask(f"open g {F}") == "ok"
    assert b.ask("try f sh") == "EAGAIN"
    assert a.ask("close g") == "ok"                 # any descriptor of the file
    assert b.ask("try f ex") == "ok" and b.ask("unlock f") == "ok"
    # flock and OFD locks go with the last reference to the open file, soon after that close.
    for verb in ("tryflock", "tryofd"):
        assert a.ask(f"open g {F}") == "ok" and a.ask(f"{verb} g ex") == "ok"
        assert a.ask("dup g h") == "ok" and a.ask("close g") == "ok"
        assert b.ask(f"{verb} f ex") == "EAGAIN"
        assert a.ask("close h") == "ok"
        assert b.ask(f"{verb[3:]} f ex") == "ok"    # waits
        assert b.ask("flock f un" if verb == "tryflock" else "close f") == "ok"


# --- waiting

@pytest.mark.parametrize("how", long_but(["unlock", "close", "kill", "crash"], "kill", "crash"))
def test_who_waits_gets_it_when_the_holder_lets_go(vol3, how):
    c = vol3
    move_to(c, "n1")
    holder, waiter = Locker(c, "n3"), Locker(c, "n2")
    assert holder.ask("lock f ex") == "ok"
    assert holder.ask("flock f ex") == "ok"
    waiter.say("lock f ex")
    waiter.wait_blocked()
    assert not waiter.has_answered()
    if how == "unlock":
        assert holder.ask("unlock f") == "ok"
    elif how == "close":
        assert holder.ask("close f") == "ok"
    elif how == "kill":
        holder.kill()
    else:
        c.lab.kill("n3")
    assert waiter.answer(90) == "ok"
    if how == "unlock":
        assert holder.ask("flock f un") == "ok"
    assert waiter.ask("flock f ex") == "ok"
    if how == "crash":
        kinds = [e["kind"] for e in c.events("n1")]
        assert "node-fenced" in kinds


def test_a_signal_ends_a_wait_and_nothing_is_left_of_it(vol3):
    a, b, d = three(vol3)
    assert a.ask("lock f ex") == "ok" and a.ask("flock f ex") == "ok"
    for wait, again in (("lock f ex", "unlock f"), ("flock f ex", "flock f un")):
        b.say(wait)
        b.wait_blocked()
        b.signal("USR1")
        assert b.answer() == "EINTR"
        d.say(wait)
        d.wait_blocked()
        assert a.ask(again) == "ok"
        assert d.answer() == "ok"                   # not behind one who has given up
        assert d.ask(again) == "ok"
        assert a.ask(wait) == "ok"
    b.say("lock f sh")
    b.wait_blocked()
    b.kill()
    assert a.ask("unlock f") == "ok" and d.ask("try f ex") == "ok"


def test_signals_race_with_grants_and_no_lock_is_lost(vol3):
    """A waiter is interrupted at any moment, also when the lock is just given to it."""
    a, b, d = three(vol3)
    seen = set()
    for i in range(60):
        assert a.ask("lock f ex") == "ok"
        b.say("lock f ex")
        if i % 3:
            b.wait_blocked()
        a.say("unlock f")
        b.signal("USR1")
        assert a.answer() == "ok"
        got = b.answer()
        seen.add(got)
        if got == "ok":
            assert b.ask("unlock f") == "ok"
        assert d.ask("lock f ex") == "ok" and d.ask("unlock f") == "ok"
    assert seen <= {"ok", "EINTR"}


def test_a_deadlock_across_nodes_is_found(vol3):
    a, b, d = three(vol3, ("f", F), ("g", f"{VOL}/g"), ("h", f"{VOL}/h"))
    assert [a.ask("lock f ex"), b.ask("lock g ex"), d.ask("lock h ex")] == ["ok"] * 3
    a.say("lock g ex")
    a.wait_blocked()
    b.say("lock h sh")
    b.wait_blocked()
    # b's request is in line for sure when it shows in the circle.
    wait_until(lambda: d.ask("lock f ex") == "EDEADLK" if not d.has_answered() else False, 30,
               "the circle is seen")
    assert d.ask("unlock h") == "ok" and b.answer() == "ok"
    assert b.ask("unlock g") == "ok" and a.answer() == "ok"


# --- the coordinator goes

def counted(c, node, name):
    return int(c.lab.run(node, f"cat {VOL}/{name}").stdout)


def count_on_all(c, verb, name, times, per_node=2, nodes=("n1", "n2", "n3")):
    c.lab.run(nodes[0], f"echo -n 0 > {VOL}/{name}")
    who = [Locker(c, n, ("f", f"{VOL}/{name}")) for n in nodes for _ in range(per_node)]
    for w in who:
        w.say(f"{verb} {VOL}/{name} {times}")
    return who


def wait_count(c, node, name, least):
    wait_until(lambda: counted(c, node, name) >= least, 120, f"{least} are counted")


@long
@pytest.mark.parametrize("verb", ["count", "flocks"])
def test_a_counter_under_the_lock_is_exact(vol3, verb):
    who = count_on_all(vol3, verb, "number", 100)
    assert [w.answer(300) for w in who] == ["ok"] * len(who)
    assert counted(vol3, "n2", "number") == 100 * len(who)


@pytest.mark.parametrize("verb", ["count", pytest.param("flocks", marks=long)])
def test_a_counter_is_exact_while_the_coordinator_moves_and_is_killed(vol3, verb):
    c, per = vol3, 150
    who = count_on_all(c, verb, "number", per)
    at = 0
    for node in ("n2", "n3", None, "n1", None):
        at += 40
        wait_count(c, "n1", "number", at)
        if node:
            move_to(c, node)
        else:
            where = coordinator(c)
            pid, = csvfsd(c, where, "coordinate")
            c.lab.run(where, f"kill -9 {pid}")
    assert [w.answer(300) for w in who] == ["ok"] * len(who)
    assert counted(c, "n2", "number") == per * len(who)


def test_locks_and_waits_outlive_the_coordinators_node(vol3):
    c = vol3
    move_to(c, "n1")
    holder, waiter, other = Locker(c, "n2"), Locker(c, "n3"), Locker(c, "n2", ("g", f"{VOL}/g"))
    assert holder.ask("lock f ex 0 10") == "ok" and holder.ask("lock f sh 20 5") == "ok"
    assert other.ask("flock g ex") == "ok"
    waiter.say("lock f ex 0 10")
    waiter.wait_blocked()
    c.lab.kill("n1")
    c.wait("n2", lambda: coordinator(c, "n2") in ("n2", "n3"), "another coordinator", 60)
    third = Locker(c, "n3", ("f", F), ("g", f"{VOL}/g"))
    assert third.ask("try f sh 3 1") == "EAGAIN"
    assert third.ask("try f ex 20 1") == "EAGAIN" and third.ask("try f sh 20 1") == "ok"
    assert third.ask("tryflock g sh") == "EAGAIN"
    assert not waiter.has_answered()
    assert holder.ask("unlock f 0 10") == "ok"
    assert waiter.answer() == "ok"
    third.say("flock g sh")
    third.wait_blocked()
    other.kill()
    assert third.answer() == "ok"


# --- many

def test_more_waiters_than_slots_stop_nobody(vol3):
    c = vol3
    move_to(c, "n1")
    holder = Locker(c, "n2")
    assert holder.ask("lock f ex") == "ok"
    crowd = c.lab.popen("n3", ["/usr/bin/python3", "-c", f"""
import fcntl, os, sys
n, pids = 300, []
for i in range(n):
    pids.append(os.fork())
    if not pids[-1]:
        f = open("{F}", "r+b")
        fcntl.lockf(f, fcntl.LOCK_EX)
        with open("{VOL}/order", "ab", 0) as log:
            log.write(b"%d\\n" % i)
        os._exit(0)
print("forked", flush=True)
sys.stdin.readline()
for pid in pids[250:]:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
print("killed", flush=True)
ended = [os.wait()[1] for _ in range(250)]
print("ended", sum(ended), flush=True)
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert crowd.stdout.readline() == "forked\n"

    def waiting():
        out = c.lab.run("n3", "cat /proc/[0-9]*/syscall | grep -c '^72 '", check=False).stdout
        return int(out or 0)
    wait_until(lambda: waiting() >= 300, 60, "all wait")
    # More than there are slots (64) and threads (256): the mount does all else as ever.
    c.lab.run("n3", f"for i in $(seq 50); do echo $i > {VOL}/x.$i; done; cat {VOL}/x.50; "
              f"ls {VOL}", timeout=30)
    other = Locker(c, "n3", ("g", f"{VOL}/g"))
    assert other.ask("lock g ex") == "ok" and other.ask("unlock g") == "ok"
    pid, = csvfsd(c, "n1", "coordinate")
    c.lab.run("n1", f"kill -9 {pid}")
    crowd.stdin.write("go\n")                       # signals are answered meanwhile, too
    crowd.stdin.flush()
    assert crowd.stdout.readline() == "killed\n"
    assert holder.ask("unlock f") == "ok"
    assert crowd.communicate(timeout=120)[0] == "ended 0\n"
    order = c.lab.run("n2", f"cat {VOL}/order").stdout.split()
    assert sorted(map(int, order)) == list(range(250))


SQL = """
import sqlite3, sys
path, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
db = sqlite3.connect(path, timeout=120, isolation_level=None)
for i in range(n):
    db.execute("begin immediate")
    (last,) = db.execute("select coalesce(max(id), 0) from t").fetchone()
    db.execute("insert into t values (?, ?, ?)", (last + 1, name, i))
    db.execute("update total set n = n + 1")
    db.execute("commit")
"""


def test_sqlite_writers_on_two_nodes_keep_the_database_whole(vol3):
    c, db = vol3, f"{VOL}/db.sqlite"
    c.lab.run("n1", ["sqlite3", db, "create table t(id integer primary key, who, i);"
                     "create table total(n); insert into total values (0);"])
    runs = [c.lab.popen(node, ["/usr/bin/python3", "-c", SQL, db, f"{node}.{i}", "25"],
                        stderr=subprocess.PIPE, text=True)
            for node in ("n1", "n2") for i in range(2)]
    for run in runs:
        _, error = run.communicate(timeout=200)
        assert run.returncode == 0, error
    out = c.lab.run("n3", ["sqlite3", db, "pragma integrity_check; select count(*), max(id) from t;"
                           "select n from total;"]).stdout
    assert out.split() == ["ok", "100|100", "100"]


def test_a_mount_that_is_killed_loses_its_locks(vol3):
    c = vol3
    holder, waiter = Locker(c, "n3"), Locker(c, "n2")
    assert holder.ask("lock f ex") == "ok"
    waiter.say("lock f ex")
    waiter.wait_blocked()
    before = mount_ids(c)
    pid, = holders(c, "n3")
    c.lab.run("n3", f"kill -9 {pid}")
    assert waiter.answer(90) == "ok"
    holder.kill()
    c.wait("n1", lambda: mount_ids(c).get("n3", before["n3"]) != before["n3"],
           "mounted under a new incarnation")


def test_directories_are_locked_for_their_node_only(vol3):
    """The kernel does it without asking; it is in csvfsd(8)."""
    c = vol3
    c.lab.run("n1", f"mkdir {VOL}/d && flock -n {VOL}/d true")
    script = f"exec 9< {VOL}/d && flock -n 9 && flock -n {VOL}/d true"
    assert c.lab.run("n1", script, check=False).code == 1
    assert c.lab.run("n2", f"flock -n {VOL}/d true").code == 0
