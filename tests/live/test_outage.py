# SPDX-License-Identifier: GPL-2.0-or-later
"""Outages that pass: machines and groups stand still or go on, and nothing is killed or run twice.

A witness runs on each of three nodes, and a group too (outage.py). The tests of this file share one
cluster.
"""
import time

import pytest
from cluster import BUILD
from lablib import poll, wait_until
from long import long
from outage import STILL_SECONDS, Outage

LINKS_DOWN_SECONDS = 30
LEASE_SECONDS = 5


@pytest.fixture(scope="module")
def shared(make_module_lab):
    o = Outage(make_module_lab(3, bin=BUILD))
    yield o
    o.close()


@pytest.fixture
def outage(shared, request):
    """A test whose predecessor has failed would only say so again."""
    if getattr(shared, "has_failed", False):
        pytest.fail("an earlier test of this cluster has failed")
    yield shared
    shared.has_failed = getattr(request.node, "lab_failed", False)
    request.node.getparent(pytest.Module).lab_failed = shared.has_failed    # shows the logs


@long
def test_all_links_down_for_thirty_seconds_pauses_every_machine_and_kills_none(outage):
    o, c = outage, outage.c
    began = time.monotonic()
    for node in c.lab.nodes:
        c.lab.cut(node)
    for node in c.lab.nodes:
        o.wait_still(node)
        wait_until(lambda n=node: not c.has_state(n, f"g-{n}-d"), 60, f"the group of {node} stops")
    still = {n: o.last_stamp(n) for n in c.lab.nodes}
    left = began + LINKS_DOWN_SECONDS - time.monotonic()
    assert not poll(lambda: any(o.last_stamp(n) > still[n] for n in still), max(left, STILL_SECONDS))
    assert {n: o.qemu(n) for n in c.lab.nodes} == o.pids, "what stands still is there"
    c.lab.heal()
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again", 90)
        c.wait_group(node, f"g-{node}", work="online", node=node, timeout=60)
    o.check_untouched()


def gaps(w, since):
    """The longest silence of the witness since then."""
    times = [t for t, _, _ in w.stamps() if t > since]
    return max(b - a for a, b in zip([since] + times, times + [time.monotonic()]))


@long
def test_clusterd_killed_on_every_node_in_turn_touches_nothing(outage):
    o, c = outage, outage.c
    measured = 0
    for node in c.lab.nodes:
        began = time.monotonic()
        c.lab.service(node, "kill", "clusterd")
        assert c.has_state(node, f"g-{node}-d") and o.qemu(node) == o.pids[node]
        c.lab.service(node, "start", "clusterd")
        c.wait(node, lambda n=node: c.is_whole(n), "whole again", 60)
        took = time.monotonic() - began
        for n in c.lab.nodes:
            assert c.where(f"g-{n}-d") == [n]
            o.vms[n].wait_alive(n)
        # Within a lease nothing stands still. A machine too busy for that proves nothing of it.
        if took < LEASE_SECONDS * 4 / 5:
            measured += 1
            longest = {n: gaps(w, began) for n, w in o.vms.items()}
            assert max(longest.values()) < STILL_SECONDS, f"{node}: {longest}"
    print(f"{measured} of 3 restarts were within the lease")
    o.check_untouched()
    assert not c.events("n1", "node-lost")


def test_a_stopped_corosync_ends_the_lease_before_anybody_else_starts(outage):
    """Not the fence but the node itself has stopped by then: the gate is shut meanwhile."""
    o, c = outage, outage.c
    victim, via = "n3", "n1"
    w = o.vms[victim]
    c.lab.service(victim, "freeze", "corosync")
    wait_until(o.is_asked, 60, "the others ask for its power")
    o.wait_still(victim)
    wait_until(lambda: c.where(f"g-{victim}-d") == [], 60, "the victim's group stops by itself")
    assert o.qemu(victim) == o.pids[victim], "it stands still, and is not gone"
    assert [n for _, n, _ in w.stamps()].count(victim) == len(w.stamps())
    stood = o.last_stamp(victim)
    for name in (w.name, f"g-{victim}"):
        assert c.group(via, name)["work"] == "unknown"
    assert not poll(lambda: w.stamps()[-1][0] > stood or c.where(f"g-{victim}-d"), STILL_SECONDS)
    opened = time.monotonic()
    o.open_gate()
    for name in (w.name, f"g-{victim}"):
        c.wait(via, lambda n=name: c.group(via, n)["work"] == "online" and
               c.group(via, n)["node"] not in (victim, None), f"{name} runs elsewhere", 90)
    w.wait_alive(c.group(via, w.name)["node"])
    boots = w.boots()
    assert len(boots) == 2 and boots[1][0] > opened > stood
    assert w.judge(via) == []
    assert c.events(via, "node-fenced")
