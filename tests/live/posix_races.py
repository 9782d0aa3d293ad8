# SPDX-License-Identifier: GPL-2.0-or-later
"""What several nodes do to the same files at once, each with a rule that must hold whatever comes
first. actors: an Agent for each party, on nodes of their own or not; each race makes its directory.
"""
import errno
import os
import threading
import time

from posix_drive import ROOT

PIECE = 1 << 16
TICK_NS = 10_000_000            # times of files are those of the last tick of a clock
KEY = "system.posix_acl_access"


def together(*functions):
    """Each in a thread; the first exception is ours."""
    failures = []

    def run(function):
        try:
            function()
        except Exception as e:  # of a thread: told by the one that waits for it
            failures.append(e)
    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


class Until:
    """Others go on until the one that counts has done its work."""

    def __init__(self):
        self.is_over = threading.Event()

    def counted(self, function):
        def run():
            try:
                function()
            finally:
                self.is_over.set()
        return run

    def others(self, function):
        def run():
            rounds = 0
            while not self.is_over.is_set() or not rounds:
                function()
                rounds += 1
        return run


def uniform(data, what):
    assert len(data) in (0, PIECE), f"{what}: {len(data)} bytes"
    assert not data or data == data[:1] * PIECE, f"{what}: parts of two writes, {set(data)}"
    return data[0] if data else None


def appends_of_all_are_whole_and_in_order(actors, d, rounds):
    def writer(i):
        def run():
            fd = actors[i].do("open", f"{d}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            for n in range(rounds):
                line = f"{i} {n} {'x' * (n * 997 % 20000)}\n".encode()
                assert actors[i].do("write", fd, line) == len(line)
            actors[i].do("close", fd)
        return run
    together(*(writer(i) for i in range(len(actors))))
    lines = actors[0].do("content", f"{d}/log").decode().split("\n")[:-1]
    seen = [[] for _ in actors]
    for line in lines:
        i, n, text = line.split(" ")
        assert len(text) == int(n) * 997 % 20000, f"a torn record: {line[:40]}"
        seen[int(i)].append(int(n))
    assert seen == [list(range(rounds))] * len(actors)


def a_replaced_name_is_always_there(actors, d, rounds):
    """rename(2) over a name, against those who look it up."""
    until = Until()
    actors[0].do("spool", f"{d}/f", b"0" * 100)

    def replaces():
        for n in range(1, rounds + 1):
            actors[0].do("spool", f"{d}/new", f"{n:0100}".encode())
            actors[0].do("rename", f"{d}/new", f"{d}/f")

    def looks(actor, last):
        def run():
            data = actor.do("content", f"{d}/f")
            assert len(data) == 100, "half a file"
            assert int(data) >= last[0], f"{int(data)} after {last[0]}: back in time"
            last[0] = int(data)
        return run
    together(until.counted(replaces), *(until.others(looks(a, [0])) for a in actors[1:]))


def a_moved_name_is_in_one_place(actors, d, rounds):
    """All move a file to and fro: it is never lost and never there twice."""
    for name in ("a", "b"):
        actors[0].do("mkdir", f"{d}/{name}")
    actors[0].do("spool", f"{d}/a/x", b"one")

    def mover(i):
        def run():
            for n in range(rounds):
                source, target = ("a", "b") if (i + n) % 2 else ("b", "a")
                error, _ = actors[i].ask(ROOT, "rename", f"{d}/{source}/x", f"{d}/{target}/x")
                assert error in (0, errno.ENOENT), errno.errorcode[error]
        return run
    together(*(mover(i) for i in range(len(actors))))
    there = [actors[1].do("names", f"{d}/{n}") for n in ("a", "b")]
    assert sorted(there) == [[], ["x"]], there


def directories_never_hold_each_other(actors, d, rounds):
    for n in range(rounds):
        for name in ("a", "b"):
            actors[0].do("mkdir", f"{d}/{name}{n}")
        errors = [0, 0]

        def mover(i, source, target, n=n, errors=errors):
            def run():
                errors[i], _ = actors[i].ask(ROOT, "rename", f"{d}/{source}{n}",
                                             f"{d}/{target}{n}/in")
            return run
        together(mover(0, "a", "b"), mover(1, "b", "a"))
        assert sorted(errors)[0] == 0 and sorted(errors)[1] in (errno.ENOENT, errno.EINVAL), errors
        assert len([x for x in actors[2].do("names", d) if x[1:] == str(n)]) == 1


def an_opened_file_outlives_its_name(actors, d, rounds):
    """unlink(2) against open(2): who has got it open has all of it."""
    until = Until()
    opened = [0]

    def removes():
        for n in range(rounds):
            actors[0].do("spool", f"{d}/new", b"%010d" % n + b"." * 5000)
            actors[0].do("rename", f"{d}/new", f"{d}/f")
            actors[0].do("unlink", f"{d}/f")

    def opens(actor):
        def run():
            error, fd = actor.ask(ROOT, "open", f"{d}/f", os.O_RDWR)
            assert error in (0, errno.ENOENT), errno.errorcode[error]
            if error:
                return
            opened[0] += 1
            data = actor.do("pread", fd, 6000, 0)
            assert data[10:] == b"." * 5000, f"{len(data)} bytes left"
            assert actor.do("pwrite", fd, b"mine", 0) == 4
            assert actor.do("pread", fd, 4, 0) == b"mine"
            assert actor.do("look_fd", fd)["nlink"] in (0, 1)
            actor.do("close", fd)
        return run
    together(until.counted(removes), *(until.others(opens(a)) for a in actors[1:]))
    return opened[0]


def one_of_all_makes_it_and_one_removes_it(actors, d, rounds):
    makes = (("open", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), ("mkdir", 0o755),
             ("mkfifo", 0o644), ("link",))
    actors[0].do("spool", f"{d}/source", b"")
    for n in range(rounds):
        call, *args = makes[n % len(makes)]
        results = [None] * len(actors)

        def attempt(i, name, args, results=results):
            def run():
                error, fd = actors[i].ask(ROOT, name, *args)
                results[i] = error
                if name == "open" and not error:
                    actors[i].do("close", fd)
            return run
        paths = [f"{d}/source", f"{d}/x"] if call == "link" else [f"{d}/x", *args]
        together(*(attempt(i, call, paths) for i in range(len(actors))))
        assert sorted(results) == [0] + [errno.EEXIST] * (len(actors) - 1), (call, results)
        call = "rmdir" if call == "mkdir" else "unlink"
        together(*(attempt(i, call, [f"{d}/x"]) for i in range(len(actors))))
        assert sorted(results) == [0] + [errno.ENOENT] * (len(actors) - 1), (call, results)


def a_write_and_a_truncation_follow_one_another(actors, d, rounds):
    until = Until()
    writer = actors[0].do("open", f"{d}/f", os.O_RDWR | os.O_CREAT, 0o644)
    seen = set()

    def writes():
        for n in range(rounds):
            assert actors[0].do("pwrite", writer, bytes([n % 255 + 1]) * PIECE, 0) == PIECE

    def truncates():
        for size in (0, PIECE):
            actors[1].do("truncate", f"{d}/f", size)

    def reads(actor):
        def run():
            seen.add(uniform(actor.do("content", f"{d}/f")[:PIECE], "write against truncation"))
        return run
    together(until.counted(writes), until.others(truncates),
             *(until.others(reads(a)) for a in actors[2:]))
    assert seen - {None, 0}, "no write has been seen"


def a_copy_has_one_write_of_its_source(actors, d, rounds):
    until, done, last = Until(), [0], [0]
    source = actors[0].do("open", f"{d}/from", os.O_RDWR | os.O_CREAT, 0o644)
    actors[0].do("pwrite", source, bytes(PIECE), 0)
    actors[0].do("spool", f"{d}/to", bytes(PIECE))
    a = actors[1].do("open", f"{d}/from", os.O_RDONLY)
    b = actors[1].do("open", f"{d}/to", os.O_RDWR)

    def writes():
        for n in range(1, min(rounds, 255) + 1):
            assert actors[0].do("pwrite", source, bytes([n]) * PIECE, 0) == PIECE
            done[0] = n

    def copies():
        least = done[0]
        assert actors[1].do("copy_file_range", a, b, PIECE, 0, 0) == PIECE
        copied = uniform(actors[1].do("pread", b, PIECE, 0), "copy")
        assert copied >= least, f"a copy of {copied} when {least} had been written"

    def reads():
        now = uniform(actors[2].do("content", f"{d}/to"), "copy, read elsewhere")
        assert now >= last[0], f"{now} after {last[0]}"
        last[0] = now
    together(until.counted(writes), until.others(copies), until.others(reads))


def times_and_sizes_tell_of_writes_elsewhere(actors, d, rounds, name="f", size=PIECE, direct=False):
    """stat(2) against writes: what was answered is seen, and no time goes back."""
    until, done, last = Until(), [0], {}
    if not direct:
        actors[0].do("spool", f"{d}/{name}", bytes(size))
    flags = os.O_RDWR | (os.O_DIRECT if direct else 0)
    fd = actors[0].do("open", f"{d}/{name}", flags)

    def writes():
        for n in range(rounds):
            before = time.time_ns()
            offset = n * 4096 % size
            if direct:
                actors[0].do("direct_write", fd, bytes([n % 256]) * 4096, offset)
            else:
                actors[0].do("pwrite", fd, bytes([n % 256]) * 4096, offset)
            done[0] = before

    def stats(i):
        def run():
            least = done[0]
            look = actors[i].do("look", f"{d}/{name}")
            assert look["mtime"] >= least - TICK_NS, \
                f"written {(least - look['mtime']) / 1e9} s after the time that is told"
            assert look["mtime"] >= last.get(i, 0), f"back by {last[i] - look['mtime']} ns"
            assert look["size"] == size
            last[i] = look["mtime"]
        return run
    together(until.counted(writes), *(until.others(stats(i)) for i in range(1, len(actors))))


def an_acl_holds_at_once_everywhere(actors, d, rounds):
    from posix_matrix import acl
    who = (1004, 9, ())
    path = f"{d}/x"
    for a in actors:
        a.ask(ROOT, "spool", path, b"")
    fds = [a.do("open", path, os.O_RDONLY) for a in actors]
    for n in range(rounds):
        may = n % 2 == 0
        setter, asker = actors[n % len(actors)], actors[(n // 2 + 1) % len(actors)]
        setter.do("setxattr", path, KEY, acl(7, 0, 0, 7, users=((1004, 6 if may else 0),)))
        for a in (asker, *actors):
            error, fd = a.ask(who, "open", path, os.O_RDWR)
            assert error == (0 if may else errno.EACCES), f"{n}: {error}"
            if not error:
                a.do("close", fd, who=who)
        wanted = setter.do("getxattr", path, KEY)
        for a, fd in zip(actors, fds):
            assert a.do("getxattr", fd, KEY) == wanted, "the descriptor has an older one"
            assert a.do("getxattr", path, KEY) == wanted
    for a, fd in zip(actors, fds):
        a.do("close", fd)


def a_descriptor_gives_no_rights_that_its_owner_has_lost(actors, d, rounds):
    from posix_matrix import OWNER, STRANGER, acl
    for n in range(max(1, rounds // 20)):
        path = f"{d}/{n}"
        actors[0].do("spool", path, b"")
        actors[0].do("chown", path, *OWNER[:2])
        fd = actors[1].do("open", path, os.O_RDWR, who=OWNER)
        actors[1].do("fchmod", fd, 0o640, who=OWNER)
        actors[2].do("chown", path, *STRANGER[:2])
        for call in (("fchmod", fd, 0o666), ("fchown", fd, -1, 2001), ("setxattr", fd, KEY, acl()),
                     ("utime", fd, (1, 1))):
            error = actors[1].fails(*call, who=OWNER)
            assert error == errno.EPERM, f"{call[0]}: {errno.errorcode[error]}"
        assert actors[0].do("look", path)["mode"] & 0o7777 == 0o640
        actors[1].do("pwrite", fd, b"still open", 0, who=OWNER)
        actors[1].do("close", fd, who=OWNER)


def a_listing_has_each_lasting_name_once(actors, d, rounds):
    """readdir(3) while others make and remove names in between."""
    until = Until()
    lasting = {f"lasting-{i:04}-{'n' * 60}" for i in range(300)}
    for i, name in enumerate(sorted(lasting)):
        actors[i % len(actors)].do("spool", f"{d}/{name}", b"")
    turn = [0]

    def changes():
        turn[0] += 1
        names = [f"{d}/passing-{turn[0]}-{i}" for i in range(5)]
        for name in names:
            actors[1].do("spool", name, b"")
        for name in names:
            actors[1].do("unlink", name)

    def lists(actor):
        def run():
            for _ in range(max(3, rounds // 10)):
                names = actor.do("names", d)
                assert len(names) == len(set(names)), "a name comes twice"
                assert lasting <= set(names), f"{len(lasting - set(names))} names are missing"
        return run
    together(until.counted(lists(actors[0])), until.counted(lists(actors[2])),
             until.others(changes))


RACES = (appends_of_all_are_whole_and_in_order, a_replaced_name_is_always_there,
         a_moved_name_is_in_one_place, directories_never_hold_each_other,
         an_opened_file_outlives_its_name, one_of_all_makes_it_and_one_removes_it,
         a_write_and_a_truncation_follow_one_another, a_copy_has_one_write_of_its_source,
         times_and_sizes_tell_of_writes_elsewhere, an_acl_holds_at_once_everywhere,
         a_descriptor_gives_no_rights_that_its_owner_has_lost,
         a_listing_has_each_lasting_name_once)
