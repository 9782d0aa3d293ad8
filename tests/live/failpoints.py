# SPDX-License-Identifier: GPL-2.0-or-later
"""Fail-points of csvfsd (csvfs/edge/failpoint.h) on the nodes of a lab: armed, counted, let go."""
import mmap
import os
import re
import struct

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.path.join(HERE, "..", "..", "csvfs")
CRASH, CUT, STOP = 1, 2, 3                  # enum failpoint_action
ACTION, POINT, OP, MOUNT, SKIP, FIRED, NEXT, PASSES = 0, 1, 2, 3, 4, 5, 6, 16
OPS = 32


def _read(name):
    with open(os.path.join(SOURCE, name), encoding="ascii") as f:
        return f.read()


# {name: (number, group)}
POINTS = {name: (number, group) for number, (name, group) in enumerate(
    re.findall(r"^X\((\w+), (\w+),", _read("edge/failpoint.def"), re.M))}
# {name: (number, kind)}
OPERATIONS = {name: (int(number), kind) for number, name, kind in re.findall(
    r"^\s*X\((\d+), (\w+), \w+, (QUERY|CHANGE|STATE), \w+\)", _read("core/proto.h"), re.M)}
CHANGES = [name for name, (_, kind) in OPERATIONS.items() if kind == "CHANGE"]


def of_group(*groups):
    return [name for name, (_, group) in POINTS.items() if group in groups]


class FailPoints:
    """The file of all nodes. It must be there before csvfsd is."""

    def __init__(self, lab):
        path = os.path.join(lab.dir, "shared", "failpoints")        # tests/lab/labd.py
        size = 8 * (PASSES + len(POINTS) * OPS)
        with open(path, "w+b") as f:
            f.truncate(size)
            self.map = mmap.mmap(f.fileno(), size)
        self.fifo = path + ".go"
        os.mkfifo(self.fifo)

    def _get(self, word):
        return struct.unpack_from("=Q", self.map, 8 * word)[0]

    def _set(self, word, value):
        struct.pack_into("=Q", self.map, 8 * word, value)

    def _arm(self, at, point, action, op=None, mount=0, skip=0):
        for word, value in ((POINT, POINTS[point][0]), (OP, OPERATIONS[op][0] if op else 0),
                            (MOUNT, mount), (SKIP, skip), (ACTION, action)):
            self._set(at + word, value)

    def arm(self, first, second=None):
        """Each (point, action, conditions); the second one when the first has been done."""
        self.disarm()
        if second:
            self._arm(NEXT, *second[:2], **second[2])
        self._arm(0, *first[:2], **first[2])

    def disarm(self):
        self._set(ACTION, 0)
        self._set(NEXT, 0)

    def armed(self):
        """It has not been done yet."""
        return self._get(ACTION) != 0

    def fired(self):
        return self._get(FIRED)

    def go(self):
        """Lets one that stands still go on; waits until there is one."""
        with open(self.fifo, "wb") as f:
            f.write(b"g")

    def passes(self, point, op=None):
        """How often that point was passed, on all nodes."""
        first = PASSES + POINTS[point][0] * OPS
        words = [first + OPERATIONS[op][0]] if op else range(first, first + OPS)
        return sum(self._get(w) for w in words)
