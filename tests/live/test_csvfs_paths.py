# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths that are lost and come back, to the LUN and to the coordinator, under programs that look at
what they read: nobody sees an error, nobody is fenced."""
import time

import pytest
from lablib import wait_until
from long import long
from test_csvfs import Load, check_clean, coordinator, move_to
from test_csvfs_direct import Work, check_file, grows, io, make_volume, prealloc, start_writers

PORTS = "5420-5519"         # csvfs/edge/server_impl.h


@pytest.fixture
def sick3(make_lab):
    c = make_volume(make_lab, disk_faults=True)
    move_to(c, "n1")
    return c


def start_all(c):
    """Direct I/O that is verified, and requests, on every node."""
    work, load = Work(c), Load(c)
    prealloc(c, "n1", "disk", 8)
    start_writers(c, work)
    for node in c.lab.nodes:
        load.start(node, "append", "names", "data")
    load.wait_progress()
    return work, load


def end_all(c, work, load):
    work.wait_progress(120)
    load.wait_progress(timeout=120)
    work.stop()
    load.stop()
    load.check("n2")
    check_file(c, "n3", "disk")
    assert not c.events("n2", "fence-begin"), c.events("n2", "fence-begin")
    check_clean(c, "n2")


@long
def test_direct_and_redirected_in_turn(sick3):
    """Every second another way for one node, then for all; each block is what was written last."""
    c, (work, load) = sick3, start_all(sick3)
    for turn in range(10):
        node = ("n2", "n3", "n1", None)[turn % 4]
        which = ["--node", node] if node else []
        seen = node or "n2"
        began = time.monotonic()
        for how, state in (("on", "redirected"), ("off", "active")):
            c.ctl("n1", "volume", "redirect", "vol", how, *which)
            c.wait(seen, lambda n=seen, s=state: io(c, n)["state"].endswith(s), f"{seen} is {state}")
            grows(c, seen, "redirected_bytes" if how == "on" else "direct_writes")
        while time.monotonic() < began + 1:
            work.progress(f"{seen}-own-disk")
    end_all(c, work, load)


@long
@pytest.mark.parametrize("fault", ("eio", "hang"))
def test_a_path_that_comes_and_goes(sick3, fault):
    """Of a node that does not coordinate: redirected, and direct again, nobody fenced."""
    c, (work, load) = sick3, start_all(sick3)
    for node in ("n2", "n3", "n2"):
        c.lab.disk(node, fault)
        c.wait(node, lambda n=node: io(c, n)["state"] == "redirected", "redirected")
        load.wait_progress()
        c.lab.disk(node, "ok")
        c.wait(node, lambda n=node: io(c, n)["state"] == "active", "active")
        grows(c, node, "direct_writes")
    assert coordinator(c) == "n1"
    end_all(c, work, load)


@long
def test_the_coordinators_path_is_lost(sick3):
    """It moves; the node goes on through the next one."""
    c, (work, load) = sick3, start_all(sick3)
    c.lab.disk("n1", "eio")
    c.wait("n2", lambda: coordinator(c, "n2") in ("n2", "n3"), "another coordinator", 60)
    load.wait_progress(timeout=120)
    c.wait("n1", lambda: io(c, "n1")["state"] == "redirected", "redirected", 60)
    c.lab.disk("n1", "ok")
    c.wait("n1", lambda: io(c, "n1")["state"] == "active", "active", 60)
    end_all(c, work, load)


@long
def test_the_coordinators_path_hangs(sick3):
    """What is under way might land later, so nobody takes over: all wait, and then go on."""
    c, (work, load) = sick3, start_all(sick3)
    c.lab.disk("n1", "hang")
    c.wait("n1", lambda: io(c, "n1")["state"] == "redirected", "redirected", 60)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 35, 40, "longer than anybody is silent")
    assert coordinator(c, "n2") == "n1"
    c.lab.disk("n1", "ok")
    c.wait("n1", lambda: io(c, "n1")["state"] == "active", "active", 60)
    end_all(c, work, load)


@long
@pytest.mark.parametrize("fault", ("eio", "hang"))
def test_nobody_has_a_path(sick3, fault):
    """All wait, none with an error; when the LUN is back all go on by themselves."""
    c, (work, load) = sick3, start_all(sick3)
    for node in c.lab.nodes:
        c.lab.disk(node, fault)
    before = {n: load.acknowledged(n) for n in load.runs}
    wait_until(lambda: all(p.poll() is None for _, _, p in load.runs.values()), 5, "they wait")
    c.wait("n2", lambda: c.volume_show("vol", "n2")["work"] != "online" or
           io(c, "n2")["state"] != "active", "it is shown", 120)
    for name, (_, _, process) in load.runs.items():
        assert process.poll() is None, f"{name}: {process.stderr.read()}"
        assert len(load.acknowledged(name)) >= len(before[name])
    for node in c.lab.nodes:
        c.lab.disk(node, "ok")
    if c.volume_show("vol", "n2")["work"] != "online":
        c.ctl("n2", "volume", "clear", "vol")
    c.wait("n2", lambda: c.volume_show("vol", "n2")["work"] == "online", "a coordinator", 180)
    end_all(c, work, load)


@long
def test_a_node_does_not_reach_the_coordinator(sick3):
    """Its requests wait, its direct I/O does not, nobody is killed or fenced; then all goes on."""
    c, (work, load) = sick3, start_all(sick3)
    prealloc(c, "n1", "other", 8)
    work.start("n3", "random", "other")
    work.wait_progress()
    for _ in range(2):
        c.lab.run("n3", "nft add table ip wall && nft 'add chain ip wall out { type filter hook "
                        "output priority 0; }' && nft add rule ip wall out tcp dport "
                        f"{PORTS} ip daddr 10.77.0.1 drop")
        grows(c, "n3", "direct_writes")
        for name in ("n1-names", "n2-append"):
            seen = len(load.acknowledged(name))
            wait_until(lambda n=name, s=seen: len(load.acknowledged(n)) > s + 15, 60, f"{name} gets on")
        grows(c, "n3", "direct_writes")
        c.lab.run("n3", "nft delete table ip wall")
        work.wait_progress(120)
        load.wait_progress(timeout=120)
    assert coordinator(c) == "n1"
    assert "mount-gone" not in [e["kind"] for e in c.events("n1")]
    end_all(c, work, load)
