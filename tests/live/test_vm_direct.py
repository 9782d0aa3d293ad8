# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM whose disk is a granted file: whatever node it is on reads and writes the LUN by itself, and
goes on through the coordinator while it cannot. The witness writes, reads back and is judged."""
import pytest
from cluster import BUILD
from lablib import wait_until
from long import long
from test_csvfs import check_clean, coordinator, move_to
from test_csvfs_direct import grows, io
from witness import witness_cluster

STAMPS = 100            # some seconds of steady writing
FEW = 10                # between a look at the stamps and one at the counters, a second old at most


@pytest.fixture
def w(make_lab):
    """Disks that can fail, the coordinator on a node that the VM is not on."""
    w = witness_cluster(make_lab(3, bin=BUILD, disk_faults=True), is_direct=True)
    for node in w.c.lab.nodes:
        w.c.wait(node, lambda n=node: io(w.c, n)["state"] == "active", "the LUN's path is open")
    move_to(w.c, others(w)[0])
    yield w
    w.close()


def others(w):
    here = w.node()
    return [n for n in w.c.lab.nodes if n != here]


def migrate(w, to):
    w.c.ctl(to, "vm", "migrate", w.name, "--to", to, "--wait=120", timeout=150)
    assert w.node() == to
    w.wait_alive(to)


def steady(w, is_sole=True):
    """It writes for a while, and the coordinator hears nothing of it; but of each fsync if it is
    not the only mount with a grant to write: where it was before a migration keeps one."""
    here = w.node()
    assert here != coordinator(w.c)
    wait_until(lambda: io(w.c, here)["granted_files"] == 1, 30, f"{here}: its disk is granted")
    w.wait_alive(here)
    before = io(w.c, here)
    w.wait_alive(here, more=STAMPS)
    # Counts are told once a second.
    for count in ("direct_writes", "direct_reads"):
        wait_until(lambda c=count: io(w.c, here)[c] >= before[c] + STAMPS - FEW, 10, count)
    after = io(w.c, here)
    writes = after["direct_writes"] - before["direct_writes"]
    asked = after["requests"] - before["requests"]
    assert asked == 0 if is_sole else asked <= writes + FEW, (before, after)
    assert after["redirected_bytes"] == before["redirected_bytes"]


def lose_path(w):
    here = w.node()
    w.c.lab.disk(here, "eio")
    w.c.wait(here, lambda: io(w.c, here)["state"] == "redirected", "redirected")
    grows(w.c, here, "redirected_bytes")
    w.wait_alive(here, more=STAMPS // 2)


def find_path(w, node):
    w.c.lab.disk(node, "ok")
    w.c.wait(node, lambda: io(w.c, node)["state"] == "active", "active")


def end(w):
    assert len(w.boots()) == 1
    w.stop()
    assert w.judge() == []
    w.c.ctl("n1", "vm", "delete", w.name, "--confirm", w.name)
    check_clean(w.c)


def test_a_vm_does_its_io_itself_wherever_it_is(w):
    steady(w)
    here, to = w.node(), next(n for n in others(w) if n != coordinator(w.c))
    for node in (to, here):
        migrate(w, node)
        steady(w, is_sole=False)
    end(w)


@long
def test_a_vm_goes_on_without_its_path_and_comes_back_to_it(w):
    here = w.node()
    for _ in range(2):
        steady(w)
        lose_path(w)
        find_path(w, here)
        grows(w.c, here, "direct_writes")
    steady(w)
    end(w)


@long
def test_a_vm_leaves_a_node_without_a_path_and_arrives_at_one(w):
    """Also the other way: what is redirected is no reason not to migrate."""
    here, to = w.node(), next(n for n in others(w) if n != coordinator(w.c))
    lose_path(w)
    migrate(w, to)
    steady(w, is_sole=False)
    migrate(w, here)
    assert io(w.c, here)["state"] == "redirected"
    w.wait_alive(here, more=STAMPS // 2)
    find_path(w, here)
    steady(w, is_sole=False)
    end(w)
