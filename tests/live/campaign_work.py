#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""campaign_work run|verify|snapshot|reset ACCOUNTS VOLUME [NODE NUMBER LIFE]

run: works on a volume of a campaign until the file ACCOUNTS/stop appears, five kinds of work at a
time, and keeps an account of each: `> N WHAT` before a call, `< N` when the system has answered, in
a file ACCOUNTS/WHO.KIND that outlives the node. WHO is node, life and count: after the mount has
died under it (ENOTCONN) it goes on with the next one as somebody else. Whatever is wrong, any other
error too, goes to ACCOUNTS/WHO.wrong.

  append   records to `log`, which all nodes share, O_APPEND
  names    create, rename, link, unlink, trees under names of its own; one name that all want
  count    adds one to a number, under a lock that all nodes want
  blocks   stamped blocks of `disk`, a granted file of which each node owns a fourth
  rough    a file of its own: written, cut, punched, cloned, renamed, against a model

verify: says what of the accounts is not so, with nobody at work. What was answered is there, what
was under way may be, nothing else is. snapshot: what this node sees of all that. reset: as new.
"""
import errno
import fcntl
import hashlib
import json
import mmap
import os
import random
import shutil
import struct
import sys
import threading
import time
import zlib
from collections import Counter

ENDING = (errno.EIO, errno.ENOLCK)              # of one that is unmounted, to what is under way
KINDS = ("append", "names", "count", "blocks", "rough")
LOST = (errno.ENOTCONN, errno.ECONNABORTED)     # what a dead mount says: csvfs.md
BLOCK, SECTOR = 4096, 512
DISK_BLOCKS = 1024
NODES = 4
HEAD = struct.Struct("<IQI16s")                 # block, sequence, crc; writer
PACE = 0.2          # seconds between two calls of one kind, about: five people share two cores
ENDING_SECONDS = 60
ROUGH_MAX = 640 * BLOCK
LIBC = None


class Wrong(Exception):
    """What must not be."""


class Account:
    """The file in which one worker writes what it does."""

    def __init__(self, directory, who, kind):
        self.fd = os.open(f"{directory}/{who}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.count = 0

    def begin(self, *what):
        self.count += 1
        self._line(">", self.count, *what)
        return self.count

    def done(self, *what):
        self._line("<", self.count, *what)

    def _line(self, *words):
        os.write(self.fd, (" ".join(str(w) for w in words) + "\n").encode())


class Op:
    """A call of an account: whether it was answered, and with what."""

    def __init__(self, who, number, what):
        self.who, self.number, self.what, self.answer = who, number, what, None

    @property
    def is_done(self):
        return self.answer is not None


def load(directory, kind):
    """{who: [Op]} of that kind."""
    accounts = {}
    for name in sorted(os.listdir(directory)):
        who, _, of = name.rpartition(".")
        if of != kind:
            continue
        ops = accounts[who] = []
        with open(f"{directory}/{name}", encoding="ascii") as f:
            for line in f:
                sign, number, *words = line.split()
                if sign == ">":
                    ops.append(Op(who, int(number), words))
                else:
                    ops[-1].answer = words
    return accounts


# ---- what files hold

def stamp(number, seq, who):
    head = HEAD.pack(number, seq, 0, who.encode())
    body = head + bytes([seq & 0xff]) * (BLOCK - len(head))
    return HEAD.pack(number, seq, zlib.crc32(body), who.encode()) + body[len(head):]


def unstamp(data):
    """(number, sequence, writer), None of zeros, False of what is torn or foreign."""
    if data == bytes(BLOCK):
        return None
    number, seq, crc, who = HEAD.unpack(data[:HEAD.size])
    return (number, seq, who.rstrip(b"\0").decode("latin-1")) \
        if crc == zlib.crc32(HEAD.pack(number, seq, 0, who) + data[HEAD.size:]) else False


def noise(who, number, length):
    return random.Random(f"{who} {number}").randbytes(length)


def libc():
    global LIBC                                                 # pylint: disable=W0603
    if not LIBC:
        import ctypes
        LIBC = ctypes.CDLL(None, use_errno=True)
    return LIBC


def punch(fd, offset, length):
    import ctypes
    if libc().fallocate(fd, 3, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


class Page:
    """Direct I/O wants memory that is aligned."""

    def __init__(self, blocks=4):
        self.memory = memoryview(mmap.mmap(-1, blocks * BLOCK))

    def read(self, fd, offset, length=BLOCK):
        part = self.memory[:length]
        return bytes(part[:os.preadv(fd, [part], offset)])

    def write(self, fd, offset, data):
        part = self.memory[:len(data)]
        part[:] = data
        return os.pwritev(fd, [part], offset)


class Model:
    """A rough file as its account says: its bytes, under its name, and those of its clones."""

    def __init__(self, who):
        self.who, self.files = who, {}

    def apply(self, number, verb, name, *args):
        files = self.files
        if verb == "create":
            files[name] = bytearray()
        elif verb == "rename":
            files[args[0]] = files.pop(name)
        elif verb == "clone":
            files[args[0]] = bytearray(files[name])
        elif verb == "unlink":
            del files[name]
        elif verb in ("write", "direct"):
            self._put(files[name], int(args[0]), noise(self.who, number, int(args[1])))
        elif verb == "punch":
            f, at, n = files[name], int(args[0]), int(args[1])
            n = max(0, min(n, len(f) - at))
            f[at:at + n] = bytes(n)
        elif verb == "truncate":
            f, size = files[name], int(args[0])
            del f[size:]
            f.extend(bytes(size - len(f)))
        else:
            raise ValueError(verb)

    @staticmethod
    def _put(f, at, data):
        f.extend(bytes(max(0, at - len(f))))
        f[at:at + len(data)] = data


# ---- the kinds of work

class Worker:
    """One kind of work of one life on one node."""

    def __init__(self, kind, accounts, volume, node, number, life):
        self.kind, self.accounts, self.volume = kind, accounts, volume
        self.node, self.number, self.life, self.lives = node, number, life, 0
        self.who, self.account = f"{node}.{life}.0", None
        self.dice = random.Random(f"{node} {life} {kind}")
        self.seq = (int(life) * 1000) << 24     # of blocks: grows over all lives

    def goes_on(self):
        return not os.path.exists(f"{self.accounts}/stop")

    def run(self):
        try:
            while self.goes_on():
                root = self.wait_mount()
                if root is None:
                    return
                self.lives += 1
                self.who = f"{self.node}.{self.life}.{self.lives}"
                self.account = Account(self.accounts, self.who, self.kind)
                try:
                    self.work(root)
                except OSError as e:
                    if e.errno not in LOST and not (e.errno in ENDING and self.ends(root)):
                        raise
                    self.note("lost", f"{self.kind}: {e}")
                finally:
                    os.close(root)
        except (Wrong, OSError, AssertionError) as e:
            at = f"call {self.account.count}" if self.account else "before its first call"
            self.note("wrong", f"{self.kind}, {at}: {type(e).__name__}: {e}")

    @staticmethod
    def ends(root):
        """Whether the mount is about to end."""
        deadline = time.monotonic() + ENDING_SECONDS
        while time.monotonic() < deadline:
            try:
                os.listdir(root)
            except OSError as e:
                if e.errno in LOST:
                    return True
            time.sleep(PACE)
        return False

    def note(self, what, text):
        with open(f"{self.accounts}/{self.who}.{what}", "a", encoding="utf-8") as f:
            f.write(text + "\n")

    def wait_mount(self):
        """A descriptor of its root: what is under a mount point is nobody's volume."""
        while self.goes_on():
            try:
                fd = os.open(self.volume, os.O_RDONLY | os.O_DIRECTORY)
                if os.fstat(fd).st_dev != os.stat(os.path.dirname(self.volume)).st_dev:
                    return fd
                os.close(fd)
            except OSError as e:
                if e.errno not in LOST + (errno.ENOENT,):
                    raise
            time.sleep(PACE)
        return None

    def work(self, root):
        step = getattr(self, self.kind)
        self.root, self.fds = root, {}
        try:
            while self.goes_on():
                step()
                time.sleep(self.dice.random() * 2 * PACE)
        finally:
            for fd in self.fds.values():
                os.close(fd)

    def open(self, name, flags, mode=0o600):
        return os.open(name, flags, mode, dir_fd=self.root)

    def keep(self, key, name, flags):
        """Opened once, as most programs do."""
        if key not in self.fds:
            self.fds[key] = self.open(name, flags)
        return self.fds[key]

    def append(self):
        n = self.account.begin("append")
        fd = self.keep("log", "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        record = f"{self.who} {n} {'x' * (n % 50)}\n".encode()
        if os.write(fd, record) != len(record):
            raise Wrong("a short append")
        self.account.done()

    def names(self):
        what = self.dice.choices(("gone", "kept", "tree", "race"), (4, 3, 1, 4))[0]
        if what == "race":
            return self.race()
        n = self.account.begin(what)
        if what == "tree":
            self.tree(f"names/{self.who}.{n}.t")
        else:
            a, b, c = (f"names/{self.who}.{n}.{x}" for x in "abc")
            fd = self.open(a, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, self.who.encode())
            os.close(fd)
            os.rename(a, b, src_dir_fd=self.root, dst_dir_fd=self.root)
            os.link(b, c, src_dir_fd=self.root, dst_dir_fd=self.root)
            if os.stat(c, dir_fd=self.root).st_nlink != 2:
                raise Wrong(f"{c}: not two names")
            os.unlink(b, dir_fd=self.root)
            if what == "gone":
                os.unlink(c, dir_fd=self.root)
        self.account.done()

    def tree(self, top):
        os.mkdir(top, dir_fd=self.root)
        for i in range(2):
            os.mkdir(f"{top}/{i}", dir_fd=self.root)
            os.close(self.open(f"{top}/{i}/file", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.symlink("file", f"{top}/{i}/link", dir_fd=self.root)
        shutil.rmtree(top, dir_fd=self.root)

    def race(self):
        """All nodes want the same name at the same half second: one of them gets it."""
        moment = int(time.time() * 2)
        if moment == getattr(self, "moment", 0):
            return
        self.moment = moment
        self.account.begin("race", moment)
        try:
            fd = self.open(f"race/{moment}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            self.account.done("lost")
            return
        os.write(fd, self.who.encode())
        os.close(fd)
        self.account.done("won")

    def count(self):
        name, lock = self.dice.choice((("count.posix", fcntl.lockf), ("count.flock", fcntl.flock)))
        fd = self.keep(name, name, os.O_RDWR)
        self.account.begin(name)
        lock(fd, fcntl.LOCK_EX)
        value = int(os.pread(fd, 16, 0)) + 1
        if os.pwrite(fd, b"%015d\n" % value, 0) != 16:
            raise Wrong("a short write")
        self.account.done(value)
        lock(fd, fcntl.LOCK_UN)

    def blocks(self):
        fd = self.keep("disk", "disk", os.O_RDWR | os.O_DIRECT)
        if getattr(self, "of", None) != self.who:       # what was under way may still be done
            self.of, self.page, self.mine, self.seen = self.who, Page(), {}, {}
        if self.dice.random() < 0.6:
            number = self.dice.randrange(DISK_BLOCKS // NODES) * NODES + self.number
            self.seq += 1
            self.account.begin(number, self.seq)
            if self.page.write(fd, number * BLOCK, stamp(number, self.seq, self.who)) != BLOCK:
                raise Wrong("a short write")
            if self.dice.random() < 0.1:
                os.fsync(fd)
            self.account.done()
            self.mine[number] = self.seq
        number = self.dice.choice(list(self.mine)) if self.mine and self.dice.random() < 0.3 else \
            self.dice.randrange(DISK_BLOCKS)
        self.look_at(number, self.page.read(fd, number * BLOCK))

    def look_at(self, number, data):
        """What another is writing this moment may be torn; verify() finds what stays so."""
        found = unstamp(data)
        if found is False:
            if number in self.mine:
                raise Wrong(f"block {number}, its own, is torn or foreign")
            return
        seq = found[1] if found else 0
        if found and found[0] != number:
            raise Wrong(f"block {number} is block {found[0]} of {found[2]}")
        if number in self.mine and seq != self.mine[number]:
            raise Wrong(f"block {number} has {seq}, {self.mine[number]} was written")
        if seq < self.seen.get(number, 0):
            raise Wrong(f"block {number} went back from {self.seen[number]} to {seq}")
        self.seen[number] = seq

    # --- a file of its own

    def rough(self):
        if getattr(self, "of", None) != self.who:
            self.of, self.name = self.who, f"rough/{self.who}.a"
            self.model, self.page = Model(self.who), Page(64)
            self.call("create", self.name)
            for at in range(0, 1 << 20, 1 << 18):       # large enough to be granted
                self.call("direct", self.name, at, 1 << 18)
        pick = self.dice.choices(
            ("direct", "write", "read", "truncate", "punch", "clone", "unlink", "rename", "sync"),
            (30, 8, 25, 2, 2, 1, 1, 1, 2))[0]
        getattr(self, "pick_" + pick)()

    def call(self, verb, name, *args):
        n = self.account.begin(verb, name, *args)
        getattr(self, "do_" + verb)(n, name, *args)
        self.account.done()
        self.model.apply(n, verb, name, *args)

    def rough_fd(self, name, flags=os.O_RDWR | os.O_DIRECT):
        return self.keep((name, flags), name, flags)

    def forget(self, name):
        for key in [k for k in self.fds if k[0] == name]:
            os.close(self.fds.pop(key))

    def any_file(self):
        return self.dice.choice(sorted(self.model.files))

    def pick_direct(self):
        name = self.any_file()
        blocks = self.dice.randrange(1, 5)
        at = self.dice.randrange(max(1, len(self.model.files[name]) // BLOCK - blocks + 1))
        self.call("direct", name, at * BLOCK, blocks * BLOCK)

    def do_direct(self, n, name, at, length):
        if self.page.write(self.rough_fd(name), at, noise(self.who, n, length)) != length:
            raise Wrong("a short write")

    def pick_write(self):
        name = self.any_file()
        self.call("write", name, self.dice.randrange(len(self.model.files[name]) + 1),
                  self.dice.randrange(1, 9000))

    def do_write(self, n, name, at, length):
        if os.pwrite(self.rough_fd(name, os.O_RDWR), noise(self.who, n, length), at) != length:
            raise Wrong("a short write")

    def pick_read(self):
        name = self.any_file()
        blocks = len(self.model.files[name]) // BLOCK
        if blocks:
            at = self.dice.randrange(blocks) * BLOCK
            n = min(self.dice.randrange(1, 9), blocks - at // BLOCK) * BLOCK
            if self.page.read(self.rough_fd(name), at, n) != self.model.files[name][at:at + n]:
                raise Wrong(f"{name}: not what was written, from {at} to {at + n}")

    def pick_truncate(self):
        self.call("truncate", self.any_file(), self.dice.randrange(ROUGH_MAX // BLOCK) * BLOCK)

    def do_truncate(self, _n, name, size):
        os.ftruncate(self.rough_fd(name), size)

    def pick_punch(self):
        self.call("punch", self.any_file(), self.dice.randrange(200) * BLOCK,
                  self.dice.randrange(1, 60) * BLOCK)

    def do_punch(self, _n, name, at, length):
        punch(self.rough_fd(name), at, length)

    def pick_clone(self):
        name = self.any_file()
        if len(self.model.files) < 4:
            self.call("clone", name, f"rough/{self.who}.c{self.account.count}")

    def do_clone(self, _n, name, new):
        source = self.rough_fd(name, os.O_RDWR)
        fd = self.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            at, size = 0, os.fstat(source).st_size
            while at < size:
                more = os.copy_file_range(source, fd, size - at, at, at)
                if not more:
                    raise Wrong("a copy ends early")
                at += more
        finally:
            os.close(fd)

    def pick_unlink(self):
        clones = [f for f in sorted(self.model.files) if f != self.name]
        if clones:
            self.call("unlink", self.dice.choice(clones))

    def do_unlink(self, _n, name):
        os.unlink(name, dir_fd=self.root)
        self.forget(name)

    def pick_rename(self):
        new = f"rough/{self.who}.r{self.account.count}"
        self.call("rename", self.name, new)
        self.name = new

    def do_rename(self, _n, name, new):
        os.rename(name, new, src_dir_fd=self.root, dst_dir_fd=self.root)
        self.forget(name)

    def do_create(self, _n, name):
        os.close(self.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def pick_sync(self):
        os.fsync(self.rough_fd(self.any_file()))


# ---- what became of it

class Verifier:
    """Compares a volume that nobody changes with the accounts."""

    def __init__(self, accounts, volume):
        self.accounts, self.volume, self.wrong = accounts, volume, []
        self.counts = {}

    def want(self, is_so, text):
        if not is_so:
            self.wrong.append(text)

    def ops(self, kind):
        """Of all accounts; only the last of each may have no answer."""
        found = []
        for who, ops in load(self.accounts, kind).items():
            self.want(all(o.is_done for o in ops[:-1]), f"{who}.{kind}: a call without an answer")
            found += ops
        self.counts[kind] = sum(o.is_done for o in found)
        return found

    def names_in(self, directory):
        return set(os.listdir(f"{self.volume}/{directory}"))

    def content(self, name):
        with open(f"{self.volume}/{name}", "rb") as f:
            return f.read()

    def run(self):
        for kind in KINDS:
            getattr(self, "verify_" + kind)()
        return self.wrong

    def verify_append(self):
        told = {(o.who, o.number): o for o in self.ops("append")}
        seen, last = set(), {}
        for line in self.content("log").decode("latin-1").splitlines():
            who, number, *filler = line.split(" ")
            key = (who, int(number)) if number.isdigit() else None
            if key not in told or filler != ["x" * (key[1] % 50)]:
                self.want(False, f"log: a record that nobody wrote: {line[:80]!r}")
                continue
            self.want(key not in seen, f"log: {key} is there twice")
            self.want(last.get(who, 0) < key[1], f"log: {key} after {last.get(who)}")
            seen.add(key)
            last[who] = key[1]
        for key, o in told.items():
            self.want(key in seen or not o.is_done, f"log: {key} was answered, and is lost")

    def verify_names(self):
        there, races = self.names_in("names"), {}
        for o in self.ops("names"):
            if o.what[0] == "race":
                races.setdefault(o.what[1], []).append(o)
                continue
            mine = {f"{o.who}.{o.number}.{x}" for x in "abct"}
            kept = {f"{o.who}.{o.number}.c"} if o.what[0] == "kept" else set()
            if o.is_done:
                self.want(there & mine == kept, f"names: {o.who} {o.number}, {o.what[0]}: "
                                                f"{sorted(there & mine)}")
                if kept & there:
                    self.want(self.content(f"names/{min(kept)}") == o.who.encode(),
                              f"names/{min(kept)}: not what was written")
            there -= mine
        self.want(not there, f"names: made by nobody: {sorted(there)[:5]}")
        self.verify_races(races)

    def verify_races(self, races):
        there = self.names_in("race")
        for moment, ops in races.items():
            won = [o.who for o in ops if o.answer == ["won"]]
            perhaps = [o.who for o in ops if not o.is_done]
            self.want(len(won) <= 1, f"race/{moment}: made by {won}")
            if moment not in there:
                self.want(not won and all(o.answer != ["lost"] for o in ops),
                          f"race/{moment}: was there, and is lost")
                continue
            holds = self.content(f"race/{moment}").decode("latin-1")
            makers = won or (perhaps and perhaps + [""])
            self.want(holds in makers, f"race/{moment}: of {holds!r}, made by {makers}")
        self.want(there <= set(races), f"race: made by nobody: {sorted(there - set(races))[:5]}")

    def verify_count(self):
        every = self.ops("count")
        for name in ("count.posix", "count.flock"):
            self.verify_counter(name, [o for o in every if o.what[0] == name])

    def verify_counter(self, name, ops):
        values = [int(o.answer[0]) for o in ops if o.is_done]
        open_ = sum(not o.is_done for o in ops)
        twice = {v for v, n in Counter(values).items() if n > 1}
        self.want(not twice, f"{name}: under one lock by two: {sorted(twice)[:5]}")
        now = int(self.content(name))
        self.want(len(values) <= now <= len(values) + open_,
                  f"{name}: {now}, {len(values)} were counted and {open_} perhaps")

    def verify_blocks(self):
        newest, perhaps = {}, {}
        with open(f"{self.accounts}/blocks.before", encoding="ascii") as f:
            newest.update((int(k), v) for k, v in json.load(f).items())
        for o in self.ops("blocks"):
            number, seq = int(o.what[0]), int(o.what[1])
            if o.is_done:
                newest[number] = max(seq, newest.get(number, 0))
            else:
                perhaps.setdefault(number, []).append(seq)
        data = self.content("disk")
        self.want(len(data) == DISK_BLOCKS * BLOCK, f"disk: {len(data)} bytes")
        self.blocks = {}
        for number in range(len(data) // BLOCK):
            self.verify_block(number, data[number * BLOCK:(number + 1) * BLOCK],
                              newest.get(number, 0), perhaps.get(number, []))

    def verify_block(self, number, data, newest, perhaps):
        """An answered write, or a later one of which nobody knows. Such a one may be torn."""
        found = unstamp(data)
        seq = found[1] if found else 0
        later = [p for p in perhaps if p > newest]
        self.blocks[number] = seq
        if found is False and later:
            return
        self.want(found is not False, f"disk: block {number} is torn or foreign: {data[:48].hex()}")
        self.want(not found or found[0] == number, f"disk: block {number} is another: {found}")
        self.want(seq == newest or seq in later,
                  f"disk: block {number} has {seq}, {newest} was answered, {later} perhaps")

    def verify_rough(self):
        there = self.names_in("rough")
        accounts = {}
        for o in self.ops("rough"):
            accounts.setdefault(o.who, []).append(o)
        for who, ops in accounts.items():
            mine = {n for n in there if n.startswith(f"{who}.")}
            there -= mine
            self.verify_rough_of(who, ops, mine)
        self.want(not there, f"rough: made by nobody: {sorted(there)[:5]}")

    def verify_rough_of(self, who, ops, mine):
        model = Model(who)
        for o in ops:
            if o.is_done:
                model.apply(o.number, *o.what)
        before = model.files
        last = None if ops[-1].is_done else ops[-1]
        after = before
        if last:
            later = Model(who)
            later.files = {k: bytearray(v) for k, v in before.items()}
            later.apply(last.number, *last.what)
            after = later.files
        names = {f"rough/{n}" for n in mine}
        if last and last.what[0] == "clone" and names == set(after):
            before = dict(before)
            before[last.what[2]] = None         # half a clone is no clone: whatever it holds
            after = before
        self.want(names in (set(before), set(after)),
                  f"rough: {sorted(names)}, not {sorted(before)} nor {sorted(after)}")
        for name in names & (set(before) | set(after)):
            self.verify_content(name, before.get(name), after.get(name), last)

    def verify_content(self, name, before, after, last):
        if before is after is None:         # of one that was being cloned nothing is known
            return
        data = self.content(name)
        if data in (before, after):
            return
        wrote = last and last.what[0] in ("write", "direct") and last.what[1] == name
        if wrote and before is not None and after is not None and \
                len(data) in (len(before), len(after)) and mixed(data, before, after):
            return
        good = after if after is not None else before
        at = next((i for i, (x, y) in enumerate(zip(data, good)) if x != y),
                  min(len(data), len(good)))
        self.want(False, f"{name}: {len(data)} bytes, not as written from {at} on, of "
                         f"{len(good)}; the last call: {last and last.what}")


def mixed(data, before, after):
    """Each sector from before a write or from after it."""
    for at in range(0, len(data), SECTOR):
        now = data[at:at + SECTOR]
        if now not in (bytes(before[at:at + SECTOR]), bytes(after[at:at + SECTOR])):
            return False
    return True


def verify(accounts, volume):
    v = Verifier(accounts, volume)
    wrong = v.run()
    with open(f"{accounts}/blocks.after", "w", encoding="ascii") as f:
        json.dump(v.blocks, f)
    print(json.dumps({"wrong": wrong[:20], "counts": v.counts}))


def snapshot(_accounts, volume):
    """{name: what this node sees}; not of what machines change."""
    found = {}
    for directory, below, files in os.walk(volume):
        for name in below + files:
            path = os.path.join(directory, name)
            key, st = os.path.relpath(path, volume), os.lstat(path)
            if key.endswith(".img"):
                continue
            found[key] = [st.st_mode, st.st_nlink, st.st_ino]
            if name in files and not os.path.islink(path):
                with open(path, "rb") as f:
                    found[key] += [st.st_size, hashlib.sha1(f.read()).hexdigest()]
    print(json.dumps(found))


def reset(accounts, volume):
    """A volume with nothing to remember but the blocks of `disk`; and accounts of nothing."""
    for name in ("names", "race", "rough"):
        shutil.rmtree(f"{volume}/{name}", ignore_errors=True)
        os.mkdir(f"{volume}/{name}")
    for name, holds in (("log", b""), ("count.posix", b"%015d\n" % 0),
                        ("count.flock", b"%015d\n" % 0)):
        with open(f"{volume}/{name}", "wb") as f:
            f.write(holds)
    before = "{}"
    if os.path.exists(f"{accounts}/blocks.after"):
        with open(f"{accounts}/blocks.after", encoding="ascii") as f:
            before = f.read()
    for name in os.listdir(accounts):
        os.unlink(f"{accounts}/{name}")
    with open(f"{accounts}/blocks.before", "w", encoding="ascii") as f:
        f.write(before)


def run(accounts, volume, node, number, life):
    threads = [threading.Thread(target=Worker(kind, accounts, volume, node, int(number), life).run)
               for kind in KINDS]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def main():
    what, *words = sys.argv[1:]
    {"run": run, "verify": verify, "snapshot": snapshot, "reset": reset}[what](*words)


if __name__ == "__main__":
    main()
