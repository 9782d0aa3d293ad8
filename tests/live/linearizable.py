# SPDX-License-Identifier: GPL-2.0-or-later
"""Is there one order of all operations on a key that gives every answer that was given?

A key is absent or has a value. Operations and their answers:

  create        "done", or "exists": it is there already. Its value is then DEFAULT
  delete        "done", or "absent"
  set VALUE     "done", or "absent". No two operations set the same value
  read          the value, None if it is absent

An operation takes effect at one moment between its begin and its end. One whose answer is UNKNOWN
takes effect at any moment after its begin, or never; one that was refused belongs in no history.

The search is that of Wing and Gong, with Lowe's memory of what was tried: order what is under way in
every possible way, and go back when an operation has ended that fits nowhere.
"""
import collections

UNKNOWN = "unknown"
DEFAULT = "default"
FOREVER = float("inf")
STEPS_MAX = 2_000_000       # a history that takes more is not decided

Op = collections.namedtuple("Op", "client verb value begin end answer")


class Undecided(Exception):
    """The search was given up."""


def effect(state, op):
    """(answer, state after it) of an operation that takes effect now."""
    if op.verb == "read":
        return state, state
    if op.verb == "create":
        return ("done", DEFAULT) if state is None else ("exists", state)
    if state is None:
        return "absent", None
    return "done", None if op.verb == "delete" else op.value


class Entry:
    """Begin or end of an operation, in the list of those that are not ordered yet."""

    def __init__(self, at, number, end=None):
        self.at, self.number, self.end = at, number, end
        self.before = self.after = None

    def unlink(self):
        self.before.after = self.after
        if self.after:
            self.after.before = self.before

    def relink(self):
        self.before.after = self
        if self.after:
            self.after.before = self


def entries(ops):
    """Head of the list. Of a begin and an end at the same moment the begin comes first: they overlap."""
    all_of_them = []
    for number, op in enumerate(ops):
        end = Entry(FOREVER if op.answer == UNKNOWN else op.end, number)
        all_of_them += [Entry(op.begin, number, end), end]
    all_of_them.sort(key=lambda e: (e.at, e.end is None))
    head = before = Entry(-FOREVER, -1)
    for e in all_of_them:
        before.after, e.before = e, before
        before = e
    return head


def is_needless(op, seen):
    """Of a lost answer to a set nobody saw the value: leaving it out changes no other answer."""
    return op.answer == UNKNOWN and (op.verb == "read" or
                                     op.verb == "set" and op.value not in seen)


def order(ops, state=None):
    """The operations in an order that explains every answer, or None if there is none."""
    seen = {op.answer for op in ops if op.verb == "read"}
    ops = [op for op in ops if not is_needless(op, seen)]
    head, done, tried, stack = entries(ops), 0, set(), []
    e = head.after
    while e and e.at < FOREVER:             # what is left has no answer that needs an explanation
        op = ops[e.number]
        if e.end:
            answer, after = effect(state, op)
            now = (done | 1 << e.number, after)
            if op.answer in (UNKNOWN, answer) and now not in tried:
                tried.add(now)
                if len(tried) > STEPS_MAX:
                    raise Undecided(f"{len(ops)} operations, {len(tried)} steps")
                stack.append((e, state))
                done, state = now
                e.end.unlink()
                e.unlink()
                e = head.after
            else:
                e = e.after
        elif not stack:
            return None
        else:
            e, state = stack.pop()
            done &= ~(1 << e.number)
            e.relink()
            e.end.relink()
            e = e.after
    return [ops[e.number] for e, _ in stack]


def shortest_bad(ops):
    """The ops up to the first end that no order explains, the last lines of what to look at."""
    ends = sorted(op.end for op in ops if op.answer != UNKNOWN)
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if order(until(ops, ends[middle])) is None:
            high = middle
        else:
            low = middle + 1
    return until(ops, ends[low])


def until(ops, moment):
    """The history as it was known at that moment."""
    return [op if op.answer == UNKNOWN or op.end <= moment else op._replace(answer=UNKNOWN)
            for op in ops if op.begin <= moment]
