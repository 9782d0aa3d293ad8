# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that serves a mount is killed, or replaced, under whoever uses it: the next one goes
on with the same mount. Nothing is executed twice, no program gets an error, no lock is lost."""
import pytest
from cluster import BUILD
from lablib import wait_until
from long import long
from test_csvfs import VOL, Load, check_clean, coordinator, csvfsd, holders, mount_ids, move_to
from test_csvfs_direct import Work, check_file, grows, io, make_volume, prealloc
from test_csvfs_locks import Locker
from witness import witness_cluster

STAMPS = 40     # of the guest, between two deaths


@pytest.fixture
def vol3(make_lab):
    return make_volume(make_lab)


def other_serves(c, node, old):
    def is_another():
        pids = csvfsd(c, node, "mount")
        return pids and pids != old
    c.wait(node, is_another, "another process serves the mount", 30)


def kill_server(c, node):
    pid, = csvfsd(c, node, "mount")
    c.lab.run(node, f"kill -9 {pid}")
    other_serves(c, node, [pid])


def replace_server(c, node):
    old = csvfsd(c, node, "mount")
    pid, = holders(c, node)
    c.lab.run(node, f"kill -HUP {pid}")
    other_serves(c, node, old)


def same_mounts(c, before, via="n1"):
    assert mount_ids(c, via) == before
    assert "mount-gone" not in [e["kind"] for e in c.events(via)]


def test_programs_go_on_and_nothing_happens_twice(vol3):
    c, load = vol3, Load(vol3)
    for node in c.lab.nodes:
        load.start(node, "append", "names")
    load.wait_progress()
    before = mount_ids(c)
    for node in c.lab.nodes:
        kill_server(c, node)
        load.wait_progress()
    said = [e["text"] for e in c.events("n1") if e["kind"] == "volume-io"]
    for node in c.lab.nodes:
        assert any(node in t and "was ended by signal 9" in t for t in said), said
        replace_server(c, node)
    load.wait_progress()
    # All that the node does for the volume, at once.
    here = coordinator(c)
    pids = csvfsd(c, here, "mount") + csvfsd(c, here, "coordinate")
    c.lab.run(here, "kill -9 " + " ".join(map(str, pids)))
    load.wait_progress()
    load.stop()
    load.check("n1")
    same_mounts(c, before)
    check_clean(c)


def test_granted_files_are_written_through_deaths(vol3):
    c, work = vol3, Work(vol3)
    prealloc(c, "n1", "disk", 16)
    before = mount_ids(c)
    for node in c.lab.nodes:
        work.start(node, "random", "disk")
    work.wait_progress()
    for node in c.lab.nodes:
        kill_server(c, node)
        work.wait_progress()
        grows(c, node, "direct_writes")
    work.stop()
    for node in c.lab.nodes:
        check_file(c, node, "disk")
    same_mounts(c, before)
    check_clean(c)


def test_locks_are_kept_and_waited_for(vol3):
    c = vol3
    a, b, d = (Locker(c, n) for n in ("n1", "n2", "n3"))
    assert a.ask("lock f ex 0 10") == "ok" and a.ask("lock f sh 20 10") == "ok"
    d.say("lock f ex 5 1")
    d.wait_blocked()
    kill_server(c, "n1")
    assert b.ask("try f ex 0 1") == "EAGAIN" and b.ask("try f ex 25 1") == "EAGAIN"
    kill_server(c, "n3")
    d.wait_blocked()
    assert not d.has_answered()
    kill_server(c, "n1")
    assert a.ask("unlock f 0 10") == "ok"
    assert d.answer() == "ok"
    assert b.ask("try f ex 5 1") == "EAGAIN" and b.ask("try f ex 0 1") == "ok"
    # A new coordinator hears of them from the process that serves now.
    here = coordinator(c)
    pid, = csvfsd(c, here, "coordinate")
    c.lab.run(here, f"kill -9 {pid}")
    kill_server(c, "n1")
    assert b.ask("try f ex 5 1") == "EAGAIN" and b.ask("try f ex 25 1") == "EAGAIN"
    for locker in (a, d):
        locker.end()
    assert b.ask("lock f ex 0 100") == "ok"
    b.end()


def test_who_waits_for_a_lock_and_dies_with_the_process_leaves_the_line(vol3):
    """Nobody is passed over for one who is not there any more."""
    c = vol3
    a, b, d = (Locker(c, n) for n in ("n1", "n2", "n3"))
    assert a.ask("lock f ex") == "ok"
    d.say("lock f ex")
    d.wait_blocked()
    pid, = csvfsd(c, "n3", "mount")
    c.lab.run("n3", f"kill -STOP {pid}; kill -9 {d.pid}; kill -9 {pid}")
    other_serves(c, "n3", [pid])
    d.process.wait(30)
    b.say("lock f ex")
    b.wait_blocked()
    a.end()
    assert b.answer() == "ok"
    b.end()


@pytest.fixture
def w(make_lab):
    w = witness_cluster(make_lab(3, bin=BUILD), is_direct=True)
    for node in w.c.lab.nodes:
        w.c.wait(node, lambda n=node: io(w.c, n)["state"] == "active", "the LUN's path is open")
    yield w
    w.close()


def test_a_machine_does_not_notice(w):
    c, here = w.c, w.node()
    before = mount_ids(c)
    wait_until(lambda: io(c, here)["granted_files"] == 1, 30, "its disk is granted")
    for _ in range(3):
        kill_server(c, here)
        w.wait_alive(here, more=STAMPS)
    replace_server(c, here)
    w.wait_alive(here, more=STAMPS)
    move_to(c, here)
    pids = csvfsd(c, here, "mount") + csvfsd(c, here, "coordinate")
    c.lab.run(here, "kill -9 " + " ".join(map(str, pids)))
    w.wait_alive(here, more=STAMPS)
    assert w.node() == here and len(w.boots()) == 1
    same_mounts(c, before)
    w.stop()
    assert w.judge() == []
    c.ctl("n1", "vm", "delete", w.name, "--confirm", w.name)
    check_clean(c)


@long
def test_a_clusterd_that_was_restarted_can_end_a_mount(vol3):
    """It is no child of the new one, and who speaks for it is not who holds it."""
    c = vol3
    before = mount_ids(c)
    c.lab.service("n3", "kill", "clusterd")
    c.lab.service("n3", "start", "clusterd")
    c.wait("n3", lambda: c.is_whole("n3"), "whole again")
    pid, = csvfsd(c, "n3", "mount")
    c.lab.run("n3", f"kill -STOP {pid}")
    c.wait("n1", lambda: mount_ids(c).get("n3", before["n3"]) != before["n3"], "mounted anew", 120)
    assert c.lab.run("n3", f"echo alive > {VOL}/f && cat {VOL}/f").stdout == "alive\n"
    check_clean(c)
