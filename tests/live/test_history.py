# SPDX-License-Identifier: GPL-2.0-or-later
"""What sixteen clients on five nodes were answered, while whoever numbers the entries was killed.

Changes, and reads behind a change through the same node, are linearizable for each key. A plain read
shows what its node has applied: it may be old, but on one connection it never goes back, it is never
older than what that connection was told is done, and it never shows what nobody wrote.
"""
import pytest
from cluster import BUILD, Cluster
from history import FIRST, Clients
from lablib import wait_until
from linearizable import DEFAULT, UNKNOWN, Op, order, shortest_bad
from long import long

CLIENTS = 16
KEYS = ["a", "b", "c", "d"]
MORE = 30           # changes that must be acknowledged while something is broken


# ---- the checker itself

def ops(*rows):
    """From (verb, value, begin, end, answer)."""
    return [Op(i, *row) for i, row in enumerate(rows)]


CREATE = ("create", None, 0, 1, "done")
GOOD = {
    "one after the other": ops(CREATE, ("set", 5, 2, 3, "done"), ("read", None, 4, 5, 5)),
    "a read beside a set may see either": ops(
        CREATE, ("set", 5, 2, 9, "done"), ("read", None, 3, 4, DEFAULT), ("read", None, 5, 6, 5)),
    "two sets at the same time, in either order": ops(
        CREATE, ("set", 5, 2, 9, "done"), ("set", 6, 2, 9, "done"), ("read", None, 10, 11, 5)),
    "an unknown set that came later": ops(
        CREATE, ("set", 5, 2, 3, UNKNOWN), ("read", None, 4, 5, DEFAULT), ("read", None, 6, 7, 5)),
    "an unknown set that never came": ops(
        CREATE, ("set", 5, 2, 3, UNKNOWN), ("read", None, 4, 5, DEFAULT)),
    "an unknown deletion explains an absence": ops(
        CREATE, ("delete", None, 2, 3, UNKNOWN), ("set", 5, 4, 5, "absent"),
        ("create", None, 6, 7, "done")),
}
BAD = {
    "an acknowledged set is lost": ops(CREATE, ("set", 5, 2, 3, "done"), ("read", None, 4, 5, DEFAULT)),
    "an acknowledged creation is lost": ops(CREATE, ("read", None, 2, 3, None)),
    "a read goes back": ops(CREATE, ("set", 5, 2, 9, "done"), ("read", None, 3, 4, 5),
                            ("read", None, 5, 6, DEFAULT)),
    "a value that nobody wrote": ops(CREATE, ("read", None, 2, 3, 77)),
    "a value before it was written": ops(CREATE, ("read", None, 2, 3, 5), ("set", 5, 4, 5, "done")),
    "a creation is done twice": ops(CREATE, ("create", None, 2, 3, "done")),
    "a creation that was sent again finds itself": ops(("create", None, 0, 1, "exists")),
    "a deletion is done twice": ops(CREATE, ("delete", None, 2, 3, "done"),
                                    ("delete", None, 4, 5, "done")),
    "what was deleted is back": ops(CREATE, ("delete", None, 2, 3, "done"),
                                    ("set", 5, 4, 5, "done")),
    "an unknown set takes effect twice": ops(
        CREATE, ("set", 5, 2, 3, UNKNOWN), ("set", 6, 4, 5, "done"), ("read", None, 6, 7, 5),
        ("set", 8, 8, 9, "done"), ("read", None, 10, 11, 5)),
    "two nodes see two sets in two orders": ops(
        CREATE, ("set", 5, 2, 9, "done"), ("set", 6, 2, 9, "done"), ("read", None, 3, 4, 5),
        ("read", None, 5, 6, 6), ("read", None, 7, 8, 5)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_has_an_order(name):
    found = order(GOOD[name])
    assert found is not None
    assert [o for o in GOOD[name] if o.answer != UNKNOWN and o not in found] == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_has_none(name):
    assert order(BAD[name]) is None
    assert order(shortest_bad(BAD[name])) is None


def test_a_long_good_history_is_decided_and_one_lost_set_in_it_found():
    good = ops(CREATE, *(("set", i, 2 * i + 2, 2 * i + 3.5, "done") for i in range(400)),
               *(("delete", None, 100 + i, 101 + i, UNKNOWN) for i in range(8)),
               ("read", None, 900, 901, 399))
    assert order(good) is not None
    assert order(good[:-1] + ops(("read", None, 900, 901, 300))) is None


# ---- the cluster

def sequencer(c, nodes):
    """The node that numbers entries, by whichever of these knows one."""
    found = []

    def ask():
        found[:] = [q["sequencer"] for q in map(c.quorum, nodes) if q["is_quorate"]]
        return found and found[0]
    wait_until(ask, 60, "a sequencer")
    return found[0]


def killed_process(c, victim):
    c.lab.service(victim, "kill", "clusterd")
    yield
    c.lab.service(victim, "start", "clusterd")


def stopped_corosync(c, victim):
    c.lab.service(victim, "freeze", "corosync")
    yield
    c.lab.service(victim, "thaw", "corosync")


def cut_off(c, victim):
    """With one more, so that two stand against three."""
    other = next(n for n in reversed(c.lab.nodes) if n != victim)
    for node in c.lab.nodes:
        if node not in (victim, other):
            c.lab.cut(victim, node)
            c.lab.cut(other, node)
    yield
    c.lab.heal()


def crashed(c, victim):
    c.lab.kill(victim)
    yield
    c.lab.start(victim)


FAULTS = (killed_process, stopped_corosync, cut_off, crashed)


def check_looks(clients):
    """Plain reads of keys that one client alone sets, to numbers that grow."""
    count = 0
    for client in clients.all:
        newest = {}
        for life, key, value, begin, end in client.looks:
            number = FIRST if value == DEFAULT else value
            writer = next(o for o in clients.all if o.own == key)
            written = [(n, o) for n, k, o in writer.history if k == key and o.begin <= end]
            assert value == DEFAULT or value in [o.value for _, o in written], \
                f"{client.node}: {key} {value}: nobody wrote that"
            assert number >= newest.get((life, key), 0), f"{client.node}: {key} went back to {value}"
            newest[life, key] = number
            if writer is client:
                told = [o.value for n, o in written if n == life and o.answer == "done" and
                        o.end <= begin]
                assert number >= max(told, default=0), f"{client.node}: own write is not there"
            count += 1
    return count


@long
def test_answers_are_linearizable_while_leaders_are_killed(make_lab):
    c = Cluster(make_lab(5, bin=BUILD)).create()
    clients = Clients(c, CLIENTS, KEYS)
    try:
        for fault in FAULTS:
            victim = sequencer(c, c.lab.nodes)
            others = [n for n in c.lab.nodes if n != victim]
            broken = fault(c, victim)
            next(broken)
            lived = [n for n in others if fault is not cut_off or n != others[-1]]
            before = clients.acknowledged(lived)
            wait_until(lambda b=before, n=lived: clients.acknowledged(n) > b + MORE, 60,
                       f"{fault.__name__} of {victim}: changes go on without it")
            next(broken, None)
            before = clients.acknowledged([victim])
            wait_until(lambda b=before, v=victim: clients.acknowledged([v]) > b + MORE, 60,
                       f"{victim} takes part again after {fault.__name__}")
    finally:
        clients.end()
    assert not [o.trouble for o in clients.all if o.trouble]
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again", 60)
    c.wait_same()
    clients.read_all()
    histories = clients.histories()
    for key, history in sorted(histories.items()):
        assert order(history) is not None, f"{key}: no order explains\n" + \
            "\n".join(map(str, shortest_bad(history)[-30:]))
    assert check_looks(clients) > 100
    unknown = sum(o.answer == UNKNOWN for h in histories.values() for o in h)
    print(f"{sum(map(len, histories.values()))} operations, {unknown} of unknown outcome")
    assert sum(o.acknowledged for o in clients.all) > 1000
