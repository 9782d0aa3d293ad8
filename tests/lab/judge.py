# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges what the attributed LUN has noted (lunlog.py) by what the csvfsds have given away
(csvfs/edge/trace.h):

  data      a node writes blocks of csv-data while it coordinates, or under a grant for writing:
            one was issued before the write began, and not taken back before it ended
  control   the term is written by who begins to coordinate, and by nobody whose term is over;
            a node's slot by that node; all else by nobody while the volume is in use
  grants    no block is out for writing under two files, no file to two who are each alone
  fence     from the moment a node is said to be off until it is on again nothing comes from it,
            and nothing of it reaches the store from the moment that it is cut off

What came before the first coordinator began is the work of those who made the volume. Of what
lies beside the volume on the LUN only the fence is judged.
"""
import bisect
import os
from collections import Counter, namedtuple

import lunlog
from common import LabError, read

MIB = 1 << 20
# doc/format-lun.md
CONTROL, CONTROL_BYTES, DATA = MIB, 16 * MIB, 17 * MIB
TERMS = (0x10000, 0x110000)
RECORD_BYTES = 4096
SLOTS, SLOT_BYTES = 0x200000, 0x10000
GPT_BYTES = 64 << 10
SHUT_OFFSET = 1 << 62           # disk.py: what a loop that was shut still sends
FOREVER = 1 << 63
MOST = 20                       # sentences

Event = namedtuple("Event", "ns node words")


class Term:
    def __init__(self, number, node, begin):
        self.number, self.node, self.begin, self.end = number, node, begin, FOREVER


class Grant:
    """Extents that a node may write from `begin` to `end`."""

    def __init__(self, key, node, term, mode, begin, extents):
        self.key, self.node, self.term, self.mode = key, node, term, mode
        self.begin, self.end = begin, FOREVER
        self.extents = sorted(extents)
        self.starts = [e[0] for e in self.extents]

    def cover(self, start, end):
        """Pieces of [start, end) that lie in its extents."""
        for i in range(max(0, bisect.bisect_right(self.starts, start) - 1), len(self.extents)):
            at, length = self.extents[i]
            if at >= end:
                break
            if at + length > start:
                yield max(at, start), min(at + length, end)


def parse_trace(node, text):
    """Events of one node's csvfsds; a line that is not whole yet is left out."""
    events = []
    for line in text.splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and words:
            events.append(Event(int(words[0]), node, words[1:]))
    return events


class Ledger:
    """Who was allowed what, when."""

    def __init__(self, events):
        self.terms, self.grants, self.wrong = [], [], []
        self.mounts, self.maps, self.living, self.reclaimed = {}, {}, {}, set()
        for e in sorted(events):
            getattr(self, "on_" + e.words[0])(e, *e.words[1:])

    def first(self):
        return min((t.begin for t in self.terms), default=FOREVER)

    def term(self, number):
        for t in self.terms:
            if t.number == int(number):
                return t
        raise LabError(f"trace: term {number} has never begun")

    def on_mount(self, e, mount):
        self.mounts[mount] = e.node

    def on_begin(self, e, number):
        new = Term(int(number), e.node, e.ns)
        for t in self.terms:
            if t.number < new.number:
                t.end = min(t.end, e.ns)
            else:
                new.end = new.begin             # one that comes too late
        self.terms.append(new)

    def on_end(self, e, number):
        t = self.term(number)
        t.end = min(t.end, e.ns)

    def on_map(self, _e, handle, *extents):
        self.maps[handle] = [tuple(int(x) for x in text.split("+")) for text in extents]

    def on_issue(self, e, number, mount, handle, key, mode):
        if self.term(number).end < e.ns:
            self.wrong.append(f"term {number} is over and n{e.node} still grants inode {handle}")
        new = Grant(key, self.mounts.get(mount, 0), int(number), mode, e.ns, self.maps[handle])
        for old in [g for g in self.living.values() if (g.mount, g.handle) == (mount, handle)]:
            # Asked for again while it has it: one right that goes on, under another number.
            if old.extents == new.extents and old.mode != "read":
                new.begin = old.begin
            self._end(old.key, e.ns)
        new.mount, new.handle = mount, handle
        for old in self.living.values():
            self._compare(old, new)
        self.living[key] = new
        self.grants.append(new)

    def _compare(self, old, new):
        """Two that are out at the same time."""
        what = None
        if old.handle == new.handle:
            if "sole" in (old.mode, new.mode) and "read" not in (old.mode, new.mode):
                what = "each alone"
        elif {old.mode, new.mode} != {"read"} and \
                any(any(old.cover(at, at + length)) for at, length in new.extents):
            what = "with blocks of both"
        if what:
            self.wrong.append(f"n{new.node} is granted {new.key} ({new.mode}, inode {new.handle}) "
                              f"while n{old.node} has {old.key} ({old.mode}, inode {old.handle}), {what}")

    def _end(self, key, ns):
        grant = self.living.pop(key, None)
        if grant:
            grant.end = ns

    def on_reclaim(self, _e, number, _mount, _handle, key, _mode):
        self.reclaimed.add((int(number), key))

    def on_open(self, e, number):
        """Every mount has told what it has; what none has told has gone back meanwhile."""
        for key, grant in list(self.living.items()):
            if grant.term < int(number) and (int(number), key) not in self.reclaimed:
                self._end(key, e.ns)

    def on_done(self, e, _number, _mount, _handle, key, _mode):
        self._end(key, e.ns)

    def on_gone(self, e, _number, mount):
        for key in [k for k, g in self.living.items() if g.mount == mount]:
            self._end(key, e.ns)

    def coordinates(self, r):
        return any(t.node == r.node and t.begin <= r.begin and r.end <= t.end for t in self.terms)


class Judge:
    def __init__(self, records, events, volume_bytes):
        self.volume_bytes = volume_bytes
        self.records, self.ledger = records, Ledger(events)
        self.data_end = (volume_bytes - GPT_BYTES) // MIB * MIB
        self.counts = Counter()
        self.wrong = list(self.ledger.wrong)
        self.writers = {}               # node: its grants for writing that may still count
        self._judge()

    def _say(self, r, why):
        self.counts["violations"] += 1
        if len(self.wrong) < MOST:
            self.wrong.append(f"{lunlog.text(r)}: {why}")

    def _judge(self):
        self._judge_fences()
        waiting = sorted((g for g in self.ledger.grants if g.mode != "read"),
                         key=lambda g: g.begin, reverse=True)
        first = self.ledger.first()
        for r in sorted((r for r in self.records if r.op & lunlog.CHANGES and r.done),
                        key=lambda r: r.begin):
            while waiting and waiting[-1].begin <= r.begin:
                g = waiting.pop()
                self.writers.setdefault(g.node, []).append(g)
            if r.begin < first:
                self.counts["before"] += 1
            elif r.offset >= self.volume_bytes:
                self.counts["beside"] += 1
            else:
                self._judge_write(r)

    def _judge_write(self, r):
        start, end = r.offset, r.offset + r.length
        if self.ledger.coordinates(r) and (start >= DATA or self._is_term(start, end)):
            self.counts["coordinator" if start >= DATA else "term"] += 1
            if end > self.data_end:
                self._say(r, "it reaches past csv-data")
        elif start < DATA:
            self._judge_control(r, start, end)
        else:
            self._judge_data(r, start, end)

    @staticmethod
    def _is_term(start, end):
        return any(CONTROL + t <= start and end <= CONTROL + t + RECORD_BYTES for t in TERMS)

    def _judge_control(self, r, start, end):
        slot = CONTROL + SLOTS + (r.node - 1) * SLOT_BYTES
        if slot <= start and end <= slot + SLOT_BYTES:
            self.counts["slot"] += 1
        elif self._is_term(start, end):
            self._say(r, "a term, and it does not coordinate" + self._terms(r))
        else:
            self._say(r, "a place of csv-control, or of the partition table, that is not its")

    def _judge_data(self, r, start, end):
        mine = self.writers.get(r.node, [])
        mine[:] = [g for g in mine if g.end >= r.begin]
        pieces = sorted(p for g in mine if r.end <= g.end for p in g.cover(start, end))
        at = start
        for piece_start, piece_end in pieces:
            if piece_start <= at:
                at = max(at, piece_end)
        if at >= end:
            self.counts["granted"] += 1
        else:
            self._say(r, f"from {at} on it lies in no grant of n{r.node}" + self._who(at, r)
                      + self._terms(r))

    def _who(self, at, r):
        """Whose those blocks were."""
        words = []
        for g in self.ledger.grants:
            if any(g.cover(at, at + 1)) and g.begin <= r.end:
                words.append(f"n{g.node} had {g.key} ({g.mode}, inode {g.handle}) from "
                             f"{g.begin / 1e9:.6f} to "
                             + (f"{g.end / 1e9:.6f}" if g.end != FOREVER else "now"))
        return "; of these blocks " + ", ".join(words[-3:]) if words else ""

    def _terms(self, r):
        words = [f"term {t.number} from {t.begin / 1e9:.6f} to "
                 + (f"{t.end / 1e9:.6f}" if t.end != FOREVER else "now")
                 for t in self.ledger.terms if t.node == r.node]
        return "; it had " + ", ".join(words[-3:]) if words else ""

    def _judge_fences(self):
        """By the times at which they came: what was held when the node was cut off ends later."""
        cut, off = {}, {}
        for r in self.records:
            if r.op == lunlog.ON:
                cut.pop(r.node, None)
                off.pop(r.node, None)
            elif r.op in (lunlog.CUT, lunlog.OFF):
                (cut if r.op == lunlog.CUT else off).setdefault(r.node, r.begin)
            elif r.op & lunlog.CHANGES and r.offset < SHUT_OFFSET:
                if r.node in off and r.begin > off[r.node]:
                    self._say(r, "the node was said to be off, "
                              + ("and it reached the store" if r.done else "and it still writes"))
                elif r.node in cut and r.done:
                    self._say(r, "the node was cut off, and it reached the store")


def judge(lab):
    """The judge of a lab with an attributed LUN, of all that has happened so far."""
    status = lab.status()
    records = lunlog.load(status["lun_log"])    # first: what allows a write is noted before it
    events = []
    for node in status["nodes"]:
        path = os.path.join(node["dir"], "log", "csvfsd.trace")
        events += parse_trace(node["number"], read(path) or "")
    return Judge(records, events, lab.volume_bytes or status["lun_bytes"])
