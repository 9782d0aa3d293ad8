# SPDX-License-Identifier: GPL-2.0-or-later
"""What files hold: random calls on a few files, each call on a node by chance, against a model.

Calls follow one another, so each must see all that came before it, wherever that was. A run is its
seed: what failed once fails again.
"""
import errno
import os
import random

from posix_drive import ROOT

KEEP, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
BLOCK = 4096


class Wrong(AssertionError):
    """The file is not as the model."""


class Mixer:
    """files: {path: largest size}. grain: what offsets and sizes are multiples of, mostly."""

    def __init__(self, actors, files, seed, grain=1, moves=True):
        self.actors, self.files, self.grain, self.moves = actors, files, grain, moves
        self.r = random.Random(f"{seed}-{sorted(files)}")
        self.model = {p: bytearray() for p in files}
        self.fds, self.log, self.counts = {}, [], {}
        for p in files:
            self.fd(0, p)

    def load(self):
        """Takes the files for what they are now."""
        for p in self.files:
            self.model[p] = bytearray(self.actors[0].do("content", p))

    # --- descriptors: a plain, an appending and a direct one for each node and file

    FLAGS = {"plain": os.O_RDWR, "append": os.O_RDWR | os.O_APPEND,
             "direct": os.O_RDWR | os.O_DIRECT, "sync": os.O_RDWR | os.O_SYNC}

    def fd(self, actor, path, kind="plain"):
        key = (actor, path, kind)
        if key not in self.fds:
            self.fds[key] = self.actors[actor].do("open", path, self.FLAGS[kind] | os.O_CREAT, 0o644)
        return self.fds[key]

    def reopen(self, a, p):
        for kind in self.FLAGS:
            fd = self.fds.pop((a, p, kind), None)
            if fd is not None:
                self.actors[a].do("close", fd)

    # --- chance

    def number(self, most, grain=None):
        grain = grain or (self.grain if self.r.random() < 0.98 else 1)
        return self.r.randrange(most // grain + 1) * grain

    def span(self, path, least=1, grain=None):
        """A range within the largest size: offset, length > 0."""
        most = self.files[path]
        offset = self.number(most - max(least, grain or self.grain), grain)
        length = min(self.number(min(most - offset, 1 << 17), grain) or max(least, grain or 1),
                     most - offset)
        return offset, length

    def data(self, n):
        return self.r.randbytes(n) if self.r.random() < 0.9 else bytes(n)

    # --- the model

    def put(self, path, offset, data):
        m = self.model[path]
        if not data:
            return
        if len(m) < offset:
            m.extend(bytes(offset - len(m)))
        m[offset:offset + len(data)] = data

    def size_to(self, path, size):
        m = self.model[path]
        del m[size:]
        m.extend(bytes(size - len(m)))

    def want(self, is_right, text):
        if not is_right:
            raise Wrong(text)

    def same(self, path, offset, length, got):
        wanted = bytes(self.model[path][offset:offset + length])
        if wanted != got:
            at = next((i for i, (x, y) in enumerate(zip(wanted, got)) if x != y),
                      min(len(wanted), len(got)))
            bad = [i for i in range(at, min(len(wanted), len(got))) if wanted[i] != got[i]]
            end = bad[-1] + 1 if bad else at
            raise Wrong(f"{path}: read of {length} at {offset} gave {len(got)} bytes, not as "
                        f"written from {offset + at} on ({len(wanted)} wanted, {len(bad)} wrong up "
                        f"to {offset + end}, {got[at:end].count(0)} of them zeros)")

    # --- calls

    def do(self, a, name, *args):
        self.log.append(f"{len(self.log)}: node {a}: {name}"
                        f"{tuple(x if not isinstance(x, bytes) else f'{len(x)} bytes' for x in args)}")
        return self.actors[a].do(name, *args)

    def pwrite(self, a, p):
        offset, n = self.span(p)
        data = self.data(n)
        kind = "plain" if self.r.random() < 0.8 else "sync"
        done = 0
        while done < n:
            done += self.do(a, "pwrite", self.fd(a, p, kind), data[done:], offset + done)
        self.put(p, offset, data)

    def pread(self, a, p):
        offset, n = self.span(p)
        self.same(p, offset, n, self.do(a, "pread", self.fd(a, p), n, offset))

    def append(self, a, p):
        room = self.files[p] - len(self.model[p])
        data = self.data(min(room, self.r.randrange(1, 9000)))
        if data:
            self.want(self.do(a, "write", self.fd(a, p, "append"), data) == len(data), "short")
            self.put(p, len(self.model[p]), data)

    def ftruncate(self, a, p):
        size = self.number(self.files[p])
        self.do(a, "ftruncate", self.fd(a, p), size)
        self.size_to(p, size)

    def truncate(self, a, p):
        size = self.number(self.files[p])
        self.do(a, "truncate", p, size)
        self.size_to(p, size)

    def empty(self, a, p):
        if self.r.random() < 0.2:
            self.do(a, "spool", p, b"new")
            self.model[p][:] = b"new"

    def direct_write(self, a, p):
        offset, n = self.span(p, BLOCK, BLOCK)
        n = max(n // BLOCK * BLOCK, BLOCK)
        data = self.data(n)
        self.want(self.do(a, "direct_write", self.fd(a, p, "direct"), data, offset) == n, "short")
        self.put(p, offset, data)

    def direct_read(self, a, p):
        offset, n = self.span(p, BLOCK, BLOCK)
        n = max(n // BLOCK * BLOCK, BLOCK)
        self.same(p, offset, n, self.do(a, "direct_read", self.fd(a, p, "direct"), n, offset))

    def punch(self, a, p):
        offset, n = self.span(p)
        self.do(a, "fallocate", self.fd(a, p), PUNCH | KEEP, offset, n)
        n = max(0, min(n, len(self.model[p]) - offset))
        self.put(p, offset, bytes(n))

    def zero(self, a, p):
        offset, n = self.span(p)
        keep = self.r.choice((0, KEEP))
        self.do(a, "fallocate", self.fd(a, p), ZERO | keep, offset, n)
        if keep:
            n = max(0, min(n, len(self.model[p]) - offset))
        self.put(p, offset, bytes(n))

    def allocate(self, a, p):
        offset, n = self.span(p)
        keep = self.r.choice((0, KEEP))
        self.do(a, "fallocate", self.fd(a, p), keep, offset, n)
        if not keep and len(self.model[p]) < offset + n:
            self.size_to(p, offset + n)

    def move(self, a, p):
        """Collapse or insert; where it is refused nothing may have happened."""
        m = self.model[p]
        mode = self.r.choice((COLLAPSE, INSERT))
        offset, n = self.span(p, BLOCK, BLOCK)
        n = max(n // BLOCK * BLOCK, BLOCK)
        self.log.append(f"{len(self.log)}: node {a}: fallocate {mode} {offset} {n}")
        error, _ = self.actors[a].ask(ROOT, "fallocate", self.fd(a, p), mode, offset, n)
        if not self.moves:
            self.want(error == errno.EOPNOTSUPP, f"{error}")
        elif mode == COLLAPSE and offset + n < len(m):
            self.want(not error, f"{error}")
            del m[offset:offset + n]
        elif mode == INSERT and offset < len(m):
            self.want(not error, f"{error}")
            m[offset:offset] = bytes(n)
            if len(m) > self.files[p]:
                self.do(a, "ftruncate", self.fd(a, p), self.files[p])
                self.size_to(p, self.files[p])
        else:
            self.want(error == errno.EINVAL, f"{error}")

    def copy(self, a, p):
        source = self.r.choice(list(self.files))
        m = self.model[source]
        self.refresh(a, source)
        if not m:
            return
        from_offset, n = self.span(source)
        to_offset = self.number(self.files[p] - 1)
        n = min(n, self.files[p] - to_offset, max(0, len(m) - from_offset))
        if not n or (source == p and abs(from_offset - to_offset) < n):
            return
        data, done = bytes(m[from_offset:from_offset + n]), 0
        while done < n:
            more = self.do(a, "copy_file_range", self.fd(a, source), self.fd(a, p), n - done,
                           from_offset + done, to_offset + done)
            self.want(more > 0, "a copy ends early")
            done += more
        self.put(p, to_offset, data)

    def refresh(self, a, p):
        """The kernel looks at the size that it has seen last: csvfsd(8)."""
        self.actors[a].do("look_fd", self.fd(a, p))

    def mapped(self, a, p):
        size = len(self.model[p])
        if size:
            self.refresh(a, p)
            offset = self.r.randrange(size) // BLOCK * BLOCK
            n = min(size - offset, 20000)
            self.same(p, offset, n, self.do(a, "mapped", self.fd(a, p), offset, n, False,
                                            self.r.random() < 0.5))

    def sync(self, a, p):
        self.do(a, self.r.choice(("fsync", "fdatasync")), self.fd(a, p))

    def seek(self, a, p):
        """A hole has nothing but zeros, and so has all before data."""
        m, fd = self.model[p], self.fd(a, p)
        offset = self.number(self.files[p])
        error, data = self.actors[a].ask(ROOT, "lseek", fd, offset, os.SEEK_DATA)
        self.log.append(f"{len(self.log)}: node {a}: SEEK_DATA {offset} of {p}: {error} {data}")
        self.want(error in (0, errno.ENXIO), f"SEEK_DATA: {error}")
        end = len(m) if error else data
        self.want(not any(m[offset:end]), f"{p}: SEEK_DATA at {offset} skips data: {error} {data}")
        error, hole = self.actors[a].ask(ROOT, "lseek", fd, offset, os.SEEK_HOLE)
        if offset >= len(m):
            self.want(error == errno.ENXIO, f"SEEK_HOLE at the end: {error}")
            return
        self.want(not error and offset <= hole <= len(m), f"SEEK_HOLE at {offset}: {error} {hole}")
        error, data = self.actors[a].ask(ROOT, "lseek", fd, hole, os.SEEK_DATA)
        self.want(not any(m[hole:len(m) if error else data]), f"{p}: a hole at {hole} has data")

    def size(self, a, p):
        looks = [self.actors[a].do("look", p)["size"],
                 self.actors[a].do("look_fd", self.fd(a, p))["size"]]
        self.want(looks == [len(self.model[p])] * 2, f"{p}: size {looks}, not {len(self.model[p])}")

    def whole(self, a, p):
        self.same(p, 0, self.files[p] + 1, self.actors[a].do("content", p))

    def heal(self, a, p):
        """Written to its end again, in whole blocks: a file that can be granted."""
        size, piece = self.files[p], 1 << 18
        if len(self.model[p]) == size and self.r.random() < 0.8:
            return
        self.do(a, "ftruncate", self.fd(a, p), size)
        self.size_to(p, size)
        for offset in range(0, size, piece):
            data = self.r.randbytes(min(piece, size - offset))
            self.want(self.do(a, "pwrite", self.fd(a, p), data, offset) == len(data), "short")
            self.put(p, offset, data)

    WEIGHTS = {"pwrite": 14, "pread": 14, "append": 5, "ftruncate": 4, "truncate": 3, "empty": 1,
               "direct_write": 8, "direct_read": 8, "punch": 3, "zero": 3, "allocate": 2, "move": 2,
               "copy": 5, "mapped": 4, "reopen": 3, "sync": 3, "seek": 4, "size": 5, "whole": 2}
    # Those that leave a preallocated file granted, and few of those that do not.
    STEADY = {"pwrite": 12, "pread": 12, "direct_write": 20, "direct_read": 20, "mapped": 2,
              "sync": 4, "size": 5, "seek": 1, "reopen": 2, "whole": 1, "zero": .2, "append": .1,
              "ftruncate": .1, "punch": .1, "copy": .1, "heal": 1}

    def verdicts(self):
        """What each node reads after something has gone wrong."""
        return [f"{p} on {i}: {'right' if a.ask(ROOT, 'content', p)[1] == self.model[p] else 'wrong'}"
                for p in self.files for i, a in enumerate(self.actors)]

    def run(self, steps, weights=None):
        weights = weights or self.WEIGHTS
        try:
            for _ in range(steps):
                name, = self.r.choices(list(weights), list(weights.values()))
                a, p = self.r.randrange(len(self.actors)), self.r.choice(list(self.files))
                getattr(self, name)(a, p)
                self.counts[name] = self.counts.get(name, 0) + 1
            for p in self.files:
                for a in range(len(self.actors)):
                    self.whole(a, p)
        except (Wrong, OSError) as e:
            raise AssertionError(f"{e}; now {self.verdicts()}; the last calls:\n" +
                                 "\n".join(self.log[-25:])) from e
        return self.counts
