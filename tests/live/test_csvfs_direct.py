# SPDX-License-Identifier: GPL-2.0-or-later
"""Granted files on real nodes: no message for steady I/O, one truth for all, no error for a path."""
import os
import subprocess
import time

import pytest
from cluster import BUILD, CSVADM, Cluster
from lablib import wait_until
from test_csvfs import FENCE, VOL, check_clean, coordinator, csvfsd, mount_ids, move_to

WORK = os.path.join(os.path.dirname(os.path.realpath(__file__)), "direct_io.py")
MIB = 1 << 20


def make_volume(make_lab, **options):
    c = Cluster(make_lab(3, bin=BUILD, **options)).create()
    c.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.volume()
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: io(c, n)["state"] == "active", "the path to the LUN is open")
    return c


@pytest.fixture
def vol3(make_lab):
    """Three nodes with power switches and one volume that each of them can reach."""
    return make_volume(make_lab)


def io(c, node):
    """What this node's mount does by itself."""
    own, = [m for m in c.volume_show("vol", node)["mounts"] if m["node"] == node]
    return own["io"]


def prealloc(c, node, name, mib):
    c.lab.run(node, [CSVADM, "prealloc", f"{VOL}/{name}", "--size", f"{mib}M"], timeout=120)


def settled(c, node):
    """Counters that have stopped moving: they are told once a second."""
    before = None

    def is_still():
        nonlocal before
        now = io(c, node)
        same, before = now == before, now
        time.sleep(1.1)         # the interval in which they are told
        return same
    wait_until(is_still, 30, f"{node}: counters stand still")
    return before


class Work:
    """direct_io.py on nodes."""

    def __init__(self, c):
        self.c, self.runs = c, {}

    def start(self, node, what, name, *words):
        key = f"{node}-{what}-{name}"
        self.runs[key] = (node, self.c.lab.popen(
            node, [WORK, what, f"{VOL}/{name}", key, *words], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True))
        return key

    def progress(self, key):
        node = self.runs[key][0]
        text = self.c.lab.run(node, f"wc -c < /run/{key}.log", check=False).stdout.strip()
        first = self.c.lab.run(node, f"head -1 /run/{key}.log", check=False).stdout.strip()
        return (int(text or 0), first)

    def wait_progress(self, timeout=60):
        for key, (_, process) in self.runs.items():
            for _ in range(2):
                before = self.progress(key)

                def moved(k=key, b=before, p=process):
                    assert p.poll() is None, f"{k}: {p.stderr.read()}"
                    return self.progress(k) != b
                wait_until(moved, timeout, f"{key} gets on")

    def forget(self, node):
        for key in [k for k, run in self.runs.items() if run[0] == node]:
            self.runs.pop(key)[1].communicate(timeout=30)

    def stop(self, timeout=60):
        for key, (node, _) in self.runs.items():
            self.c.lab.run(node, f"touch /run/{key}.stop")
        out = {}
        for key, (_, process) in self.runs.items():
            text, error = process.communicate(timeout=timeout)
            assert process.returncode == 0, f"{key}: {error}"
            out[key] = text
        self.runs = {}
        return out


def check_file(c, node, name):
    result = c.lab.run(node, [WORK, "check", f"{VOL}/{name}", f"{node}-check"], timeout=120,
                       check=False)
    assert result.code == 0, result.stderr


def test_steady_io_on_a_granted_file_costs_the_coordinator_nothing(vol3):
    c, work = vol3, Work(vol3)
    prealloc(c, "n1", "disk", 16)
    for node in c.lab.nodes:
        work.start(node, "random", "disk")
    for key, (_, process) in work.runs.items():
        assert process.stdout.readline() == "ready\n", f"{key}: {process.stderr.read()}"
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: io(c, n)["granted_files"] == 1 and
               io(c, n)["direct_writes"] > 0, "it is granted")
    work.wait_progress()
    before = {n: io(c, n) for n in c.lab.nodes}
    for node in c.lab.nodes:
        wait_until(lambda n=node: io(c, n)["direct_writes"] > before[n]["direct_writes"] + 200,
                   60, f"{node} writes")
    after = {n: io(c, n) for n in c.lab.nodes}
    work.stop()
    for node in c.lab.nodes:
        assert after[node]["requests"] == before[node]["requests"], (before[node], after[node])
        assert after[node]["redirected_bytes"] == 0
    check_clean(c)
