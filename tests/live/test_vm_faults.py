# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migrations on a cluster of which a node or the network dies, in each phase.

The tests share one cluster and one VM; a failed one takes both down, the next makes them anew.
Short phases are held: a process that the phase waits for is stopped for a moment, as a busy machine
would, and goes on after the fault. What counts is what the witness says; it is judged after each.
"""
import contextlib
import datetime
import itertools
import json
import os
import re
import signal
import socket
import time

import pytest
from cluster import BUILD
from conftest import dump_logs
from lablib import poll, wait_until
from long import long, long_but
from witness import witness_cluster

PHASES = ("check", "setup", "memory", "state", "storage-handle", "online")
FAULTS = ("source", "destination", "migration link", "both links")
SLOW = 2000000          # bytes per second: a migration that lasts
SECONDS = 60
TRIES = 4               # of hitting a phase; each ends in a migration that nothing happens to
NEXT = {"none": 0, **{p: i for i, p in enumerate(PHASES + ("done", "failed", "cancelled"), 1)}}


class Field:
    """The cluster with its VM, made when it is first wanted, and again after a failure."""

    def __init__(self, make):
        self.make, self.w = make, None
        self.hits = []          # (phase, fault, how it ended, boots)

    def get(self):
        if not self.w:
            self.w = witness_cluster(self.make(3, bin=BUILD))
            self.w.c.ctl("n1", "quorum", "set", "--quarantine-max", "0")    # nodes are lost often
        return self.w

    def drop(self, name):
        w, self.w = self.w, None
        if w:
            w.close()
            dump_logs(w.c.lab, name)
            w.c.lab.down()


@pytest.fixture(scope="module")
def field(make_module_lab):
    f = Field(make_module_lab)
    yield f
    for hit in f.hits:
        print(*hit)
    if f.w:
        f.w.close()


@pytest.fixture
def w(field, request):
    yield field.get()
    if getattr(request.node, "lab_failed", False):
        field.drop(request.node.name)


# ---- what goes on in a node, without the time that a program in it takes

class Node:
    """Its processes and sockets, seen from the host."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        entry = lab.node(name)
        self.pid, self.cgroup = entry["pid"], entry["cgroup"]

    def pids(self, comm):
        """Of the processes with this name, the oldest first."""
        found = []
        for folder, _, _ in os.walk(self.cgroup):
            with contextlib.suppress(OSError):
                with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as f:
                    found += [int(p) for p in f.read().split()]
        return sorted(p for p in found if self._comm(p) == comm)

    @staticmethod
    def _comm(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                return f.read().strip()
        except OSError:
            return None

    def vm_host(self, uuid):
        """Its `status`, or None if it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(1)
                s.connect(f"/proc/{self.pid}/root/run/clusterd/vm/vm-{uuid}.sock")
                s.sendall(b'{"command": "status"}\n')
                with s.makefile() as lines:
                    return json.loads(lines.readline())["status"]
        except (OSError, ValueError):
            return None


class Migration:
    """One under way, in a phase in which it stays for now."""

    def __init__(self, w, phase):
        self.w, self.phase, self.stopped = w, phase, []
        self.uuid, here = w.show()["uuid"], w.node()
        self.source = Node(w.c.lab, here)
        self.destination = Node(w.c.lab, next(n for n in w.c.lab.nodes if n != here))
        self.third = next(n for n in w.c.lab.nodes
                          if n not in (here, self.destination.name))
        self.qemu, = self.source.pids("qemu-system-x86")
        options = ["--bandwidth", str(SLOW)] if phase == "memory" else []
        self.task = w.c.ctl(self.third, "vm", "migrate", w.name, "--to", self.destination.name,
                            "--no-wait", *options)["task"]

    # --- where it is

    def source_phase(self):
        status = self.source.vm_host(self.uuid)
        return status["migration"]["phase"] if status else "none"

    def wait_source(self, phase):
        """True: it is in that phase now; False: it is past it."""
        def at():
            seen = self.source_phase()
            return seen if NEXT[seen] >= NEXT[phase] else None
        return wait_until(at, SECONDS, f"source in phase {phase}", interval=0.001) == phase

    def wait_destination(self, comm):
        """The pid of its newest process of that name."""
        return wait_until(lambda: self.destination.pids(comm), SECONDS,
                          f"{comm} on the destination", interval=0.001)[-1]

    # --- holding it there

    def stop(self, pid):
        os.kill(pid, signal.SIGSTOP)
        self.stopped.append(pid)

    def let_go(self):
        for pid in self.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stopped = []

    def hold(self):
        """True: it is in its phase and stays there for the next seconds."""
        way = getattr(self, "hold_" + self.phase.replace("-", "_"))
        return way() and self.source_phase() == self.phase

    def hold_check(self):
        self.stop(self.wait_destination("vm-host"))
        return self.wait_source("check")

    def hold_setup(self):
        self.wait_source("check")
        self.stop(self.qemu)
        return self.wait_source("setup")

    def hold_memory(self):
        return self.wait_source("memory")

    def hold_state(self):
        if self.wait_source("memory"):
            self.stop(self.wait_destination("vm-host"))
        return self.wait_source("state")

    def hold_storage_handle(self):
        if self.wait_source("state"):
            self.stop(self.source.pids("clusterd")[0])
        return self.wait_source("storage-handle")

    def hold_online(self):
        """The destination has said that all is there, and its QEMU does not run yet."""
        self.wait_source("memory")
        wait_until(lambda: self.has_loaded() or NEXT[self.source_phase()] > NEXT["state"], SECONDS,
                   "all is loaded", interval=0.001)
        self.stop(self.wait_destination("qemu-system-x86"))
        return self.wait_source("online")

    def has_loaded(self):
        status = self.destination.vm_host(self.uuid)
        return status and status["migration"]["text"] == "waits for the lock"

    # --- its end

    def is_running(self):
        return self.w.c.ctl(self.third, "task", "show", str(self.task))["state"] == "running"

    def wait_end(self, timeout=SECONDS):
        self.w.c.wait(self.third, lambda: not self.is_running(), "the task ends", timeout)

    def end_event(self):
        """(how, in which phase) as the cluster's events tell it, which lags behind vm-host."""
        text = self.w.c.events(self.third, "migration-end")[-1]["text"]
        return re.match(r"to \S+, (\w+) in phase ([\w-]+): ", text).groups()


def migration_in(w, phase):
    """One that is held in that phase; others are let go on to their end."""
    for _ in range(TRIES):
        m = Migration(w, phase)
        try:
            if m.hold():
                return m
        finally:
            if m.source_phase() != phase:
                m.let_go()
        m.let_go()
        m.wait_end()
        w.wait_alive(w.node(m.third))
    raise AssertionError(f"phase {phase} was not hit in {TRIES} migrations")


# ---- faults

# By turns, as fences are let loose three a minute. Two of a kind that lasts, unless all are wanted.
ALL = bool(os.environ.get("VM_FAULTS_ALL"))
CASES = [(phase, fault) for phase, fault in itertools.product(PHASES, FAULTS)
         if ALL or fault != "both links" or phase in ("memory", "storage-handle")]
# Last, what may leave a QEMU that cannot stop, and is killed for it after the case has ended.
CASES.sort(key=lambda case: case[1] == "both links")
CUTS = ("migration link", "both links")
ENDURE_SECONDS = 6      # longer than a connection is waited for, and than the lease


def endure(m, fault):
    """The migration link stays cut until the migration has come to its end by itself; one that has
    not met its other side yet goes on when the cut is over. When both links are cut corosync makes
    rings without end, as the third node hears both: nothing is decided until the cut is over, and
    the machine stands still."""
    if fault == "both links" or m.phase == "check":
        poll(lambda: not m.is_running(), ENDURE_SECONDS)
        assert fault == "both links" or m.is_running()
    else:
        m.wait_end()


def is_capped(m):
    """No further fence is let loose for now: three a minute, whatever they are for."""
    now = datetime.datetime.now(datetime.timezone.utc)
    begun = [datetime.datetime.fromisoformat(e["at"].replace("Z", "+00:00"))
             for e in m.w.c.events(m.third, "fence-begin")]
    return len([t for t in begun if (now - t).total_seconds() < 65]) >= 3


def strike(m, fault):
    """A source that crashes is fenced, unless that would have to wait; a destination boots by
    itself, and its later boot is the proof."""
    lab = m.w.c.lab
    if fault in CUTS:
        lab.cut(m.source.name, m.destination.name,
                network="migration" if fault == "migration link" else None)
        return
    victim = m.source.name if fault == "source" else m.destination.name
    boots_itself = fault == "destination" or is_capped(m)
    lab.kill(victim)
    if boots_itself:
        lab.start(victim)


def boots_allowed(fault, phase):
    """How often it may have been started anew: only with its node, and never with two alive."""
    if fault == "migration link":
        return {0}
    if fault == "source":
        # What it had asked for when it crashed may have been done.
        return {"online": {0}, "storage-handle": {0, 1}}.get(phase, {1})
    if fault == "destination":
        return {1} if phase == "online" else {0, 1} if phase == "storage-handle" else {0}
    return {0, 1}           # one of two nodes that do not hear each other is fenced


def runs(w, via, since):
    """It is online on a node, and stamps since then, all of the last second, are that node's."""
    show = w.show(via)
    now = time.monotonic()
    fresh = [n for t, n, _ in w.stamps() if t > max(since, now - 1)]
    return show["work"] == "online" and len(fresh) >= 5 and set(fresh) == {show["node"]}


def whole(w, via):
    """As before the fault: each node has its vote and the volume."""
    for node in w.c.lab.nodes:
        w.c.wait(node, lambda n=node: w.c.is_whole(n), "whole again", 90)
    w.c.wait_volume(via=via, timeout=60)


@pytest.mark.parametrize("phase,fault", long_but(CASES, ("memory", "source"),
                                                  ("storage-handle", "destination"),
                                                  ("online", "migration link")))
def test_a_fault_in_a_phase(w, field, phase, fault):
    """Never two, nothing lost, and one of them runs afterwards without an administrator."""
    c, boots = w.c, len(w.boots())
    m = migration_in(w, phase)
    strike(m, fault)
    m.let_go()
    struck = time.monotonic()
    if fault in CUTS:
        endure(m, fault)
    if fault == "both links":
        c.lab.heal()
    c.wait(m.third, lambda: runs(w, m.third, struck), "it runs, and nobody was asked", 90)
    c.lab.heal()
    m.wait_end()
    whole(w, m.third)
    c.wait(m.third, lambda: runs(w, m.third, time.monotonic() - 1), "it still runs")
    more = len(w.boots()) - boots
    field.hits.append((phase, fault, m.end_event(), more))
    assert w.judge(m.third) == []
    assert more in boots_allowed(fault, phase), m.end_event()


@long
def test_each_phase_was_hit(field):
    """By what the source's vm-host said of itself when the fault came."""
    assert {hit[:2] for hit in field.hits} == set(CASES)
