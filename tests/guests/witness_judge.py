#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""witness_judge [--slack SECONDS] IMAGE [LOG...]: did this VM run twice, or lose anything?

IMAGE is the witness's disk: a file or block device, raw. LOG has lines of its serial line from any
number of nodes, as `<monotonic seconds> <node> <line>`; README.md describes the lines.
Prints one sentence for each violation. Exit codes: 0 none, 1 violations, 2 wrong usage.

From Python: judge(image, logs) -> list of sentences.
"""
import argparse
import collections
import os
import re
import struct
import sys

BLOCK = 4096
MAGIC = b"WITNESS1"
CRC_START = 12
FIELDS = struct.Struct("<IQQQQQIIIII32s")
SLACK_SECONDS = 0.1     # by which two readers of serial lines may see them in the wrong order
RING_SLOTS_MAX = 1 << 16

Record = collections.namedtuple(
    "Record", "ring incarnation sequence after sweeps uptime_ms damage faults errors "
              "damage_before faults_before vm")
Line = collections.namedtuple(
    "Line", "time node text kind incarnation number sequence sweeps damage faults after")

SUFFIX = re.compile(r" \[([0-9a-f]{16})\.(\d+)\]$")
STAMP = re.compile(r"W ([0-9a-f]{16}) (\d+) (\d+) (\d+) (\d+) \[")
BOOT = re.compile(r"WITNESS BOOT incarnation ([0-9a-f]{16}) after (\d+) ")
KIND = re.compile(r"WITNESS ([A-Z]+) ")
BAD_KINDS = ("DAMAGE", "FAULT", "STOP")
BAD_LINES = 5           # of each kind, are told one by one


# ---- the disk

def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc32c_table()


def crc32c(data):
    table, crc = CRC32C, 0xffffffff
    for byte in data:
        crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8)
    return crc ^ 0xffffffff


def decode(block):
    """A Record; None of a block that was never written; False of one that is torn or foreign."""
    if len(block) == BLOCK and not block.strip(b"\0"):
        return None
    if len(block) < BLOCK or block[:8] != MAGIC:
        return False
    if struct.unpack_from("<I", block, 8)[0] != crc32c(block[CRC_START:BLOCK]):
        return False
    fields = FIELDS.unpack_from(block, CRC_START)
    return Record(*fields[:-1], fields[-1].rstrip(b"\0").decode("utf-8", "replace"))


def read_ring(image):
    """What decode() says of each slot; the first whole record tells how many there are."""
    slots, ring = [], None
    with open(image, "rb") as f:
        size = f.seek(0, os.SEEK_END)
        f.seek(0)
        blocks = min(size // BLOCK, RING_SLOTS_MAX)
        while len(slots) < (ring or blocks):
            slots.append(decode(f.read(BLOCK)))
            if slots[-1] and not ring:
                ring = min(slots[-1].ring, blocks)
    return slots


def ranges(numbers):
    """"3, 5 to 9" of sorted numbers."""
    runs = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)


class Disk:
    """The ring of an image, and what is wrong with it by itself."""

    def __init__(self, image):
        self.slots = read_ring(image)
        self.ring = len(self.slots)
        self.records = sorted((r for r in self.slots if r), key=lambda r: r.sequence)
        self.newest = self.records[-1].sequence if self.records else 0

    def at(self, sequence):
        return self.slots[sequence % self.ring] if self.ring else None

    def oldest(self):
        """The first stamp that must be there. A torn one may have begun to replace the oldest."""
        torn = self.at(self.newest + 1) is False
        return max(1, self.newest - self.ring + 1 + torn)

    def violations(self):
        yield from self.slot_violations()
        yield from self.incarnation_violations()
        names = sorted({r.vm for r in self.records})
        if len(names) > 1:
            yield f"disk: stamps of several VMs: {', '.join(names)}"
        if len({r.ring for r in self.records}) > 1:
            yield "disk: stamps of rings of different sizes"

    def slot_violations(self):
        missing = []
        for sequence in range(self.oldest(), self.newest + 1):
            record = self.at(sequence)
            if not record or record.sequence != sequence:
                missing.append(sequence)
        if missing:
            yield f"disk: lost stamps {ranges(missing)}, although {self.newest} is there"
        for slot, record in enumerate(self.slots):
            if record is False and slot != (self.newest + 1) % self.ring:
                yield f"disk: slot {slot} is torn or foreign, and is not the next to be written"
            elif record and record.sequence % self.ring != slot:
                yield f"disk: slot {slot} has stamp {record.sequence}, which belongs elsewhere"

    def incarnation_violations(self):
        seen, last = set(), None
        for record in self.records:
            name = f"{record.incarnation:016x}"
            if last and record.incarnation != last.incarnation:
                if record.incarnation in seen:
                    yield (f"disk: incarnation {name} wrote stamp {record.sequence} after another "
                           f"one had taken over: it ran twice")
                elif record.after != record.sequence - 1:
                    yield (f"disk: incarnation {name} began after stamp {record.after}, its first "
                           f"here is {record.sequence}")
            elif last and record.sweeps < last.sweeps:
                yield f"disk: incarnation {name}: its memory went back at stamp {record.sequence}"
            seen.add(record.incarnation)
            last = record
        yield from self.count_violations()

    def count_violations(self):
        """An incarnation's last counts, and what it found of earlier ones."""
        for record in {r.incarnation: r for r in self.records}.values():
            name = f"{record.incarnation:016x}"
            if record.damage:
                yield f"disk: incarnation {name} lost memory {record.damage} times"
            if record.faults:
                yield f"disk: incarnation {name} found {record.faults} foreign or lost stamps"
        if self.records and self.records[0].damage_before:
            yield f"disk: earlier incarnations lost memory {self.records[0].damage_before} times"
        if self.records and self.records[0].faults_before:
            yield (f"disk: earlier incarnations found {self.records[0].faults_before} foreign or "
                   f"lost stamps")


# ---- the serial lines

def parse_line(raw):
    """A Line, of any text; its kind is "W", BOOT, DAMAGE ... or None if it is not a whole one."""
    when, node, text = (raw.rstrip("\r\n").split(" ", 2) + ["", ""])[:3]
    suffix = SUFFIX.search(text)
    line = Line(float(when), node, text, None, None, None, None, None, None, None, None)
    if not suffix:
        return line
    line = line._replace(incarnation=suffix.group(1), number=int(suffix.group(2)))
    stamp, boot, kind = STAMP.match(text), BOOT.match(text), KIND.match(text)
    if stamp:
        sequence, sweeps, damage, faults = (int(n) for n in stamp.groups()[1:])
        return line._replace(kind="W", sequence=sequence, sweeps=sweeps, damage=damage,
                             faults=faults)
    if boot:
        return line._replace(kind="BOOT", after=int(boot.group(2)))
    return line._replace(kind=kind.group(1)) if kind else line


def read_logs(logs):
    lines = []
    for log in logs:
        with open(log, encoding="utf-8", errors="replace") as f:
            lines += [parse_line(raw) for raw in f if raw.strip()]
    return sorted(lines, key=lambda line: line.time)


def said(line):
    return f"on {line.node} at {line.time:.3f}"


class Serial:
    """All lines of all nodes, by time, and what is wrong with them by themselves."""

    def __init__(self, lines, slack):
        self.lines, self.slack = lines, slack
        self.stamps = [line for line in lines if line.kind == "W"]
        self.numbered = collections.defaultdict(list)
        for line in lines:
            if line.incarnation:
                self.numbered[line.incarnation].append(line)

    def violations(self):
        for name, lines in self.numbered.items():
            yield from self.one_place_violations(name, lines)
        yield from self.overlap_violations()
        yield from self.sequence_violations()
        yield from self.word_violations()

    def one_place_violations(self, name, lines):
        """Lines of an incarnation have one order; its times must be in that order, too."""
        latest, twice, back = None, [], []
        for line in sorted(lines, key=lambda line: line.number):
            if latest and line.number == latest.number:
                twice.append((latest, line))
            elif latest and line.time < latest.time - self.slack:
                back.append((latest, line))
            if not latest or line.number > latest.number or line.time > latest.time:
                latest = line
        if twice:
            first, second = twice[0]
            yield (f"serial: incarnation {name} said {len(twice)} lines twice, the first "
                   f"{said(first)} and {said(second)}: it ran twice")
        if back:
            first, second = back[0]
            yield (f"serial: incarnation {name} spoke {said(first)}, although it was past that "
                   f"{said(second)}: it ran at two places at once")

    def overlap_violations(self):
        """Oracle W: from an incarnation's first line to its last, no other one speaks."""
        spans = sorted((lines[0].time, lines[-1].time, name)
                       for name, lines in self.numbered.items())
        for i, (start, end, name) in enumerate(spans):
            for other_start, other_end, other in spans[i + 1:]:
                if other_start < end - self.slack:
                    nodes = sorted({line.node for line in
                                    self.numbered[name] + self.numbered[other]})
                    yield (f"serial: incarnations {name} and {other} both ran from "
                           f"{other_start:.3f} to {min(end, other_end):.3f} "
                           f"on {', '.join(nodes)}")
            assert start <= end

    def sequence_violations(self):
        """No stamp is acknowledged twice, or after a later one; none is forgotten at a boot."""
        newest, by_sequence, twice, back = None, {}, [], []
        for line in sorted(self.stamps, key=lambda line: line.sequence):
            first = by_sequence.setdefault(line.sequence, line)
            if first is not line:
                twice.append((first, line))
            elif newest and line.time < newest.time - self.slack:
                back.append((newest, line))
            if not newest or line.time > newest.time:
                newest = line
        if twice:
            first, second = twice[0]
            yield (f"serial: {len(twice)} stamps were written twice, the first, {first.sequence}, "
                   f"{said(first)} and {said(second)}")
        if back:
            first, second = back[0]
            yield (f"serial: the sequence went back {len(back)} times, the first from "
                   f"{first.sequence} {said(first)} to {second.sequence} {said(second)}")
        yield from self.boot_violations()

    def boot_violations(self):
        known, stamps = 0, iter(self.stamps)
        stamp = next(stamps, None)
        for boot in (line for line in self.lines if line.kind == "BOOT"):
            while stamp and stamp.time < boot.time - self.slack:
                known = max(known, stamp.sequence)
                stamp = next(stamps, None)
            if boot.after < known:
                yield (f"serial: incarnation {boot.incarnation} began after {boot.after} "
                       f"{said(boot)}, but {known} had been written: the disk went back")

    def word_violations(self):
        """What the guest itself found."""
        for kind in BAD_KINDS:
            lines = [line for line in self.lines if line.kind == kind]
            yield from (f"serial: {said(line)}: {line.text}" for line in lines[:BAD_LINES])
            if len(lines) > BAD_LINES:
                yield f"serial: {len(lines) - BAD_LINES} more lines of WITNESS {kind}"
        for name, lines in self.numbered.items():
            damage = max((line.damage for line in lines if line.kind == "W"), default=0)
            if damage and not any(line.kind == "DAMAGE" for line in lines):
                yield f"serial: incarnation {name} lost memory {damage} times"


def disk_against_serial(disk, serial):
    """Every stamp that was acknowledged is on the disk, or a later one in its slot."""
    lost = collections.defaultdict(list)
    for line in serial.stamps:
        if line.sequence < disk.oldest():
            continue
        record = disk.at(line.sequence) if line.sequence <= disk.newest else None
        if not record or record.sequence != line.sequence:
            lost["disk: acknowledged, but not there: stamps "].append(line.sequence)
        elif f"{record.incarnation:016x}" != line.incarnation:
            lost["disk: acknowledged by one incarnation, there from another: stamps "].append(
                line.sequence)
    for what, sequences in lost.items():
        yield what + ranges(sorted(set(sequences)))


def judge(image, logs=(), slack=SLACK_SECONDS):
    """Sentences that say what went wrong; none if all is well."""
    disk = Disk(image)
    serial = Serial(read_logs(logs), slack)
    found = list(disk.violations()) + list(serial.violations())
    return found + list(disk_against_serial(disk, serial))


def main():
    parser = argparse.ArgumentParser(usage="witness_judge [--slack SECONDS] IMAGE [LOG...]")
    parser.add_argument("--slack", type=float, default=SLACK_SECONDS)
    parser.add_argument("image")
    parser.add_argument("logs", nargs="*")
    options = parser.parse_args()
    try:
        found = judge(options.image, options.logs, options.slack)
    except (OSError, ValueError) as e:
        print(f"witness_judge: {e}", file=sys.stderr)
        return 2
    for sentence in found:
        print(sentence)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
