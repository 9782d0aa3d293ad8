# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the log of the attributed LUN: struct lund_record of lund.h."""
import struct
from collections import namedtuple

RECORD = struct.Struct("=7QiHBB")
READ, WRITE, FLUSH, DISCARD, ZERO, ON, CUT, OFF = (1 << i for i in range(8))
CHANGES = WRITE | DISCARD | ZERO
IS_CUT, IS_TORN = 1, 2
NAMES = {READ: "read", WRITE: "write", FLUSH: "flush", DISCARD: "discard", ZERO: "zero", ON: "on",
         CUT: "cut", OFF: "off"}

Record = namedtuple("Record", "serial begin end offset length done data error op node flags")


def parse(data):
    """All whole records."""
    return [Record._make(r) for r in RECORD.iter_unpack(data[:len(data) // RECORD.size *
                                                             RECORD.size])]


def load(path):
    with open(path, "rb") as f:
        return parse(f.read())


def text(r):
    """A record for people; times in seconds since the machine's start."""
    words = f"n{r.node} {NAMES[r.op]}"
    if r.op & (READ | CHANGES):
        words += f" of {r.length} at {r.offset}"
    words += f", {r.begin / 1e9:.6f} to {r.end / 1e9:.6f}"
    if r.error:
        words += f", error {r.error}"
    return words + (", refused: cut off" if r.flags & IS_CUT else "") \
        + (f", torn after {r.done}" if r.flags & IS_TORN else "")
