# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines on the cluster: they run once, move while they run, and survive their node.

What counts is what the witness says from inside (witness.py), not our own logs.
"""
import json
import os
import random

import pytest
from cluster import BUILD
from lablib import wait_until
from long import long, long_but
from witness import Witness, witness_cluster

MIGRATIONS = 20
CANCELS = 20


@pytest.fixture
def vm3(make_lab):
    """Three nodes with power switches, one volume, the witness running on one of them."""
    w = witness_cluster(make_lab(3, bin=BUILD))
    yield w
    w.close()


def other(w, *nodes):
    return next(n for n in w.c.lab.nodes if n not in nodes)


def migrate(w, to, via="n1", timeout=120):
    w.c.ctl(via, "vm", "migrate", w.name, "--to", to, f"--wait={timeout}", timeout=timeout + 30)


def check(w, via="n1"):
    w.stop(via)
    assert w.judge(via) == []


def test_a_vm_starts_and_stops_by_its_power_button(vm3):
    w = vm3
    show = w.show()
    assert show["work"] == "online" and show["uuid"] and show["definition"]["name"] == "web1"
    assert any(lock["name"] == f"vm:{show['uuid']}" for lock in w.c.ctl("n1", "lock", "list"))
    check(w)
    with w.lock:
        assert any("WITNESS OFF" in text for _, _, text in w.lines)
    assert not any(lock["name"].startswith("vm:") for lock in w.c.ctl("n1", "lock", "list"))


def test_a_vm_host_that_hangs_is_killed_by_a_stop_and_nobody_is_fenced(make_lab):
    w = witness_cluster(make_lab(3, bin=BUILD), vm_options=("--stop-ms", "4000"))
    try:
        node = w.node()
        assert w.c.lab.run(node, ["pgrep", "-x", "qemu-system-x86"], check=False).code == 0
        w.c.lab.run(node, ["pkill", "-STOP", "-x", "vm-host"])
        w.c.ctl("n1", "vm", "stop", w.name, "--wait=60", timeout=90)
        assert w.c.lab.run(node, ["pgrep", "-x", "qemu-system-x86"], check=False).code == 1
        assert any("killed" in e["text"] for e in w.c.events("n1", "group-report"))
        assert not w.c.events("n1", "fence-wanted")
        assert w.judge() == []
    finally:
        w.close()


def test_migrations_back_and_forth_lose_nothing(vm3):
    w = vm3
    for i in range(MIGRATIONS):
        to = other(w, w.node())
        migrate(w, to)
        assert w.node() == to
        w.wait_alive(to)
    assert len(w.boots()) == 1
    check(w)


@long
def test_a_cancelled_migration_goes_on_where_it_was(vm3):
    """At any moment before the storage handle moves; after it, a cancel is refused."""
    w, dice = vm3, random.Random(7)
    ends = {"cancelled": 0, "done": 0}
    for i in range(CANCELS):
        here = w.node()
        to = other(w, here)
        task = w.c.ctl("n1", "vm", "migrate", w.name, "--to", to, "--no-wait")["task"]
        moment = dice.choice(["queued", "setup", "memory", "state", "storage-handle", "online"])
        wait_until(lambda: reached(w, task, moment), 60, f"phase {moment}")
        try:
            w.c.ctl("n1", "task", "cancel", str(task))
        except Exception as e:                          # noqa: B902 - Ctl, with its code
            assert e.code == 4, e
        wait_until(lambda: w.c.ctl("n1", "task", "show", str(task))["state"] != "running", 60,
                   "the task ends")
        state = w.c.ctl("n1", "task", "show", str(task))["state"]
        ends[state] = ends.get(state, 0) + 1
        assert w.node() == (to if state == "done" else here)
        w.wait_alive(w.node())
    assert ends["cancelled"] > 0
    assert len(w.boots()) == 1
    check(w)


PHASES = ["queued", "check", "setup", "memory", "state", "storage-handle", "online", "ended"]


def reached(w, task, phase, via="n1"):
    t = w.c.ctl(via, "task", "show", str(task))
    now = t.get("migration", {}).get("phase", "ended") if t["state"] == "running" else "ended"
    return PHASES.index(now) >= PHASES.index(phase)


def slow_migration(w, to, via, phase):
    """Under way to that node, in that phase of its long course."""
    task = w.c.ctl(via, "vm", "migrate", w.name, "--to", to, "--bandwidth", "2000000",
                   "--no-wait")["task"]
    wait_until(lambda: reached(w, task, phase, via), 60, f"phase {phase}")
    return task


@long
def test_either_node_dies_in_the_midst_of_a_migration(vm3):
    """The destination: it goes on where it was. The source: it is started anew after the fence."""
    w, c = vm3, vm3.c
    here = w.node()
    to = other(w, here)
    via = other(w, here, to)
    task = slow_migration(w, to, via, "memory")
    c.lab.kill(to)
    c.wait(via, lambda: c.ctl(via, "task", "show", str(task))["state"] == "failed", "it fails", 60)
    w.wait_alive(here)
    assert w.node(via) == here and len(w.boots()) == 1
    c.wait(via, lambda: c.is_whole(via), "the destination is back", 90)
    c.wait_volume(via=via)
    task = slow_migration(w, to, via, "memory")
    c.lab.kill(here)
    c.wait(via, lambda: w.node(via) not in (here, None) and w.show(via)["work"] == "online",
           "it runs elsewhere", 90)
    assert c.ctl(via, "task", "show", str(task))["state"] == "failed"
    w.wait_alive(w.node(via))
    assert len(w.boots()) == 2
    check(w, via)


@pytest.mark.parametrize("victim", long_but(["node", "coordinator"], "node"))
def test_a_vm_survives_its_node(vm3, victim):
    """It runs again elsewhere after the fence, and what it had acknowledged is on its disk."""
    w, c = vm3, vm3.c
    here = w.node()
    coordinator = c.volume_show("vol")["node"]
    if victim == "node" and coordinator == here:
        c.ctl("n1", "volume", "move", "vol", "--to", other(w, here), "--wait=60", timeout=90)
    if victim == "coordinator" and coordinator != here:
        c.ctl("n1", "volume", "move", "vol", "--to", here, "--wait=60", timeout=90)
    via = other(w, here)
    c.lab.kill(here)
    c.wait(via, lambda: w.node(via) not in (here, None) and w.show(via)["work"] == "online",
           "it runs elsewhere", 90)
    w.wait_alive(w.node(via))
    assert len(w.boots()) == 2
    check(w, via)


def test_a_vm_without_quorum_stands_still_and_is_not_lost(vm3):
    """All links down for a while: it pauses, is not killed, and nobody starts a second one."""
    w, c = vm3, vm3.c
    here = w.node()
    for node in c.lab.nodes:
        c.lab.cut(node)
    wait_until(lambda: not moves(w), 60, "the machine stands still")
    c.lab.heal()
    w.wait_alive(timeout=120)
    assert len(w.boots()) <= 2
    if len(w.boots()) == 1:
        assert w.node() == here
    check(w)


def moves(w):
    before = len(w.stamps())
    try:
        wait_until(lambda: len(w.stamps()) > before, 2, "a stamp")
        return True
    except Exception:                                   # noqa: B902 - LabError: none came
        return False


def test_a_minority_stops_its_vm_before_the_majority_starts_it(vm3):
    w, c = vm3, vm3.c
    here = w.node()
    c.lab.cut(here)
    via = other(w, here)
    c.wait(via, lambda: w.node(via) not in (here, None) and w.show(via)["work"] == "online",
           "it runs in the majority", 90)
    w.wait_alive(w.node(via))
    c.lab.heal()
    c.wait(here, lambda: c.is_whole(here), "the minority is back", 90)
    check(w, via)


def test_clusterd_is_killed_and_no_vm_is_touched(vm3):
    w, c = vm3, vm3.c
    for node in c.lab.nodes:
        c.lab.service(node, "kill", "clusterd")
        c.lab.service(node, "start", "clusterd")
        c.wait(node, lambda n=node: c.is_whole(n), "whole again")
        w.wait_alive()
    assert len(w.boots()) == 1 and not c.events("n1", "fence-begin")
    check(w)


def test_clusterd_is_killed_where_a_migration_arrives(vm3):
    """At the transfer or about it: the agent does not take the arriving machine for a failed one."""
    w, c = vm3, vm3.c
    for moment in ("memory", "state", "storage-handle", "online"):
        here = w.node()
        to = other(w, here)
        task = c.ctl(here, "vm", "migrate", w.name, "--to", to, "--no-wait")["task"]
        wait_until(lambda t=task, m=moment: reached(w, t, m, here), 60, f"phase {moment}")
        c.lab.service(to, "kill", "clusterd")
        c.lab.service(to, "start", "clusterd")
        wait_until(lambda t=task: c.ctl(here, "task", "show", str(t))["state"] != "running", 90,
                   "the task ends")
        c.wait(to, lambda n=to: c.is_whole(n), "whole again")
        w.wait_alive(w.node(here))
    assert len(w.boots()) == 1
    check(w)


def test_a_dead_vm_host_takes_its_qemu_along_and_is_restarted(vm3):
    w, c = vm3, vm3.c
    here = w.node()
    c.lab.run(here, "pkill -9 -x vm-host")
    wait_until(lambda: len(w.boots()) == 2, 60, "it boots again")
    w.wait_alive()
    check(w)


def test_a_vm_whose_mount_is_killed_is_started_anew(vm3):
    """Its disk is gone with the mount that it was open on; the next mount is another."""
    w, c = vm3, vm3.c
    here = w.node()
    c.lab.run(here, ["pkill", "-9", "-f", "csvfsd mount "])
    wait_until(lambda: len(w.boots()) == 2, 90, "it boots again")
    assert any("mount that its disk was on" in e["text"] for e in c.events("n1"))
    w.wait_alive()
    check(w)


@long
def test_a_vm_whose_mount_is_killed_while_it_migrates_goes_on_or_is_started_anew(vm3):
    """At the end of the migration the source may neither hand over nor go on."""
    w, c = vm3, vm3.c
    for phase in ("memory", "state"):
        here = w.node()
        task = slow_migration(w, other(w, here), here, phase)
        c.lab.run(here, ["pkill", "-9", "-f", "csvfsd mount "])
        wait_until(lambda t=task: c.ctl(here, "task", "show", str(t))["state"] != "running", 120,
                   "the task ends")
        w.wait_alive(timeout=120)
    check(w)


RUN = "/run/clusterd/vm"


def second(w, name):
    """Another witness on the same volume, which speaks for itself."""
    twin = Witness(w.c, name)
    twin.definition["append"] = twin.definition["append"].replace(f"vm={name}", "vm=second")
    return twin.create()


def test_a_vm_may_be_called_as_the_files_of_anothers_vm_host(vm3):
    """Each is found and ended by what its vm-host has written of it; a monitor writes nothing."""
    w, c = vm3, vm3.c
    here, uuid = w.node(), w.show()["uuid"]
    twin = second(w, f"vm-{uuid}")
    try:
        c.ctl(here, "vm", "start", twin.name, "--to", here, "--wait=60", timeout=90)
        twin.wait_alive(here)
        for vm in (w, twin):
            record = c.lab.run(here, f"cat {RUN}/vm-{vm.show()['uuid']}.json").stdout
            assert json.loads(record)["qemu_pid"] > 0
        file = f"stat -c '%i %Y' {RUN}/definition-{twin.name}.json"
        before = c.lab.run(here, file).stdout
        c.lab.run(here, "pkill -9 -x vm-host")      # noticed by a monitor, as a failure
        for vm in (w, twin):
            wait_until(lambda v=vm: len(v.boots()) == 2, 60, f"{vm.name} boots again")
            vm.wait_alive(here)
        assert c.lab.run(here, file).stdout == before
        check(twin)
        check(w)
    finally:
        twin.close()


def test_a_vm_whose_definition_cannot_be_written_starts_elsewhere(vm3):
    """An old one that lies there is not taken in its place."""
    w, c = vm3, vm3.c
    here = w.node()
    twin = second(w, "web2")
    try:
        c.lab.run(here, f"mkdir -p {RUN}/definition-web2.json/x")
        code, text = c.fails(here, "vm", "start", "web2", "--to", here, "--wait=60")
        assert code == 1 and f"instead of {here}" in text
        assert twin.node() != here
        twin.wait_alive(twin.node())
        log = os.path.join(c.lab.dir, here, "log", "clusterd.log")
        with open(log, encoding="utf-8", errors="replace") as f:
            assert "definition-web2.json: " in f.read()
        check(twin)
    finally:
        twin.close()


def test_bad_input_is_refused_with_a_reason(vm3):
    w, c = vm3, vm3.c
    task = c.ctl("n1", "vm", "migrate", "web1", "--to", w.node())["task"]
    assert c.ctl("n1", "task", "show", str(task))["reason"] == "already so"
    code, text = c.fails("n1", "vm", "migrate", "web1", "--to", "n9")
    assert code == 3
    code, text = c.fails("n1", "vm", "migrate", "none", "--to", "n2")
    assert code == 3
    c.ctl("n1", "node", "drain", other(w, w.node()), "--no-wait")
    code, text = c.fails("n1", "vm", "migrate", "web1", "--to", other(w, w.node()))
    assert code == 8 and "paused" in text
    c.lab.run("n1", "echo '{\"schema\": 1}' > /run/bad.json")
    code, text = c.fails("n1", "vm", "create", "bad", "--file", "/run/bad.json")
    assert code == 2 and "vcpus" in text
