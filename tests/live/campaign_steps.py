# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of a campaign: which ones a seed gives, in segments after each of which all is healed.

What comes next depends on the seed alone, not on what the cluster does: a run that failed can be
played again, or its first half. Bound: at any moment two of the four nodes at most are off, frozen,
cut off or without one of their daemons, and two at most have a sick disk; so when all is healed, all
comes back. (Two nodes that are gone may take the quorum along: then the rest waits.)
"""
import random
from collections import namedtuple

NODES = ("n1", "n2", "n3", "n4")
GROUPS = ("g1", "g2", "g3")
MOST_DOWN = MOST_SICK = 2
LENGTHS = (4, 6, 8, 10, 12, 14)
PAUSES = (0, 0, 0.2, 0.5, 0.5, 1, 1, 2, 3, 5)
OPS = ("read", "write", "flush", "read,write", "write,flush", "read,write,discard", "all")

Step = namedtuple("Step", "number name words pause")


class Seer:
    """One segment as it is planned."""

    def __init__(self, seed, segment):
        self.dice = random.Random(f"{seed}-{segment}")
        self.down, self.sick, self.drained, self.cut = {}, set(), set(), False

    def node(self, among=NODES):
        return self.dice.choice(sorted(among))

    def well(self):
        return [n for n in NODES if n not in self.down]

    # Each gives the words of a step, or None: not now.

    def may_fall(self, how):
        """A node that falls, so or so."""
        if len(self.down) >= MOST_DOWN:
            return None
        node = self.node(self.well())
        self.down[node] = how
        return node

    def crash(self):
        return self.may_fall("off")

    def freeze_node(self):
        return self.may_fall("frozen")

    def freeze_service(self):
        node = self.may_fall("service")
        return node and (node, self.dice.choice(("clusterd", "corosync")))

    def kill_service(self):
        """Started again at once, or left as it is: then the others fence the node."""
        service, again = self.dice.choice(("clusterd", "clusterd", "corosync")), self.dice.random() < 0.6
        if again and service == "clusterd":
            return self.node(), service, "and start"
        node = self.may_fall("service")
        return node and (node, service)

    def stop_service(self):
        node = self.may_fall("service")
        return node and (node, "clusterd")

    def cut_off(self):
        node = self.may_fall("cut")
        self.cut = self.cut or bool(node)
        return node

    def cut_pair(self):
        one, other = self.dice.sample(NODES, 2)
        self.cut = True
        return one, other, self.dice.choice(("cluster", "migration", "both"))

    def cut_one_way(self):
        one, other = self.dice.sample(NODES, 2)
        self.cut = True
        return one, other

    def heal_net(self):
        if not self.cut:
            return None
        self.cut = False
        self.down = {n: how for n, how in self.down.items() if how != "cut"}
        return ()

    def raise_node(self):
        fallen = [n for n, how in self.down.items() if how != "cut"]
        if not fallen:
            return None
        node = self.node(fallen)
        del self.down[node]
        return node

    def may_sicken(self):
        well = [n for n in NODES if n not in self.sick]
        if len(self.sick) >= MOST_SICK:
            return None
        node = self.node(well)
        self.sick.add(node)
        return node

    def disk(self):
        node = self.may_sicken()
        what = self.dice.choice((("fail", self.dice.choice(OPS)), ("fail", "all"), ("hold",),
                                 ("delay", str(self.dice.choice((20, 200, 1500))), "all"),
                                 ("tear", str(self.dice.randrange(40)), "512")))
        return node and (node, *what)

    def heal_disk(self):
        if not self.sick:
            return None
        node = self.node(self.sick)
        self.sick.discard(node)
        return node

    def kill_csvfsd(self):
        return self.dice.choice(("mount", "coordinate")), self.node()

    def stop_csvfsd(self):
        return self.dice.choice(("mount", "coordinate")), self.node(), \
            str(self.dice.choice((1, 4, 9)))

    def kill_program(self):
        return self.node()

    def kill_vm(self):
        return self.dice.choice(("vm-host", "qemu"))

    def volume_move(self):
        return self.node()

    def redirect(self):
        return (self.dice.choice(("on", "off")), *self.dice.choice(((), (self.node(),))))

    def drain(self):
        if self.drained:
            return None
        self.drained.add(self.node())
        return min(self.drained)

    def resume(self):
        return self.drained.pop() if self.drained else None

    def group_move(self):
        return self.dice.choice(GROUPS), self.node()

    def resource_fail(self):
        return self.dice.choice(GROUPS)

    def vm_migrate(self):
        return self.node()

    def fence_run(self):
        return self.node()

    def balance(self):
        return ()

    def dwell(self):
        """So long that what has a deadline of half a minute, or a minute and a half, meets it."""
        return str(self.dice.choice((35, 35, 100)))


WEIGHTS = {
    "crash": 8, "freeze_node": 4, "freeze_service": 4, "kill_service": 8, "stop_service": 2,
    "cut_off": 5, "cut_pair": 4, "cut_one_way": 1, "heal_net": 8, "raise_node": 12, "disk": 10,
    "heal_disk": 8, "kill_csvfsd": 10, "stop_csvfsd": 3, "kill_program": 3, "kill_vm": 2,
    "volume_move": 8, "redirect": 4, "drain": 3, "resume": 3, "group_move": 6, "resource_fail": 2,
    "vm_migrate": 6, "fence_run": 1, "balance": 1, "dwell": 0.6}


def segment_of(seed, number, first, stretch=1):
    """The steps of a segment, numbered from `first` on."""
    seer, steps = Seer(seed, number), []
    length = seer.dice.choice(LENGTHS) * stretch
    while len(steps) < length:
        name, = seer.dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        words = getattr(seer, name)()
        if words is None:
            continue
        words = (words,) if isinstance(words, str) else words
        steps.append(Step(first + len(steps), name, words, seer.dice.choice(PAUSES)))
    return steps


def segments(seed, count, stretch=1):
    """(number, steps) until so many steps are reached; the last one may be cut short.
    stretch: how many times as long a segment is."""
    number = done = 0
    while done < count:
        steps = segment_of(seed, number, done + 1, stretch)[:count - done]
        yield number, steps
        number, done = number + 1, done + len(steps)
