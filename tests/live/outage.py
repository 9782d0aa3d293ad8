# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster with a witness and a group on each node, and a fence device that waits for a gate.

So what a node has stopped by itself is seen before its power goes.
"""
import os
import time

from cluster import Cluster
from lablib import wait_until
from witness import FENCE, Witness

STILL_SECONDS = 3       # without a stamp, twenty of which come in a second
GATE = """#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# fence_lab, which lets no power be cut until the file `open` is there.
request=$(cat)
case "$request" in
*action=off*|*action=reboot*)
    : >"{dir}/asked"
    until [ -e "{dir}/open" ]; do sleep 0.1; done ;;
esac
printf '%s\\n' "$request" | {fence}
"""


class Outage:
    """The cluster, a witness and a group for each of its nodes, and the gate."""

    def __init__(self, lab, device="/dev/lab/lun"):
        self.c = c = Cluster(lab).create()
        self.dir = os.path.join(lab.dir, "shared")
        os.makedirs(self.dir, exist_ok=True)
        agent = os.path.join(self.dir, "fence_gate")
        with open(agent, "w", encoding="ascii") as f:
            f.write(GATE.format(dir=self.dir, fence=FENCE))
        os.chmod(agent, 0o755)
        c.ctl("n1", "fence", "create", "bmc", "--agent", agent, "--timeout-ms", "300000",
              "--param", "bmc_socket=/run/lab/bmc.sock")
        c.volume(device=device)
        self.vms = {}
        for node in lab.nodes:
            w = self.vms[node] = Witness(c, f"vm-{node}", memory=64, mem=8, dirty=16)
            w.create()
            c.ctl("n1", "vm", "start", w.name, "--to", node, "--wait=60", timeout=90)
            w.wait_alive(node)
            c.dummy(f"g-{node}")
            c.ctl("n1", "group", "start", f"g-{node}", "--to", node, "--wait")
        self.pids = {n: self.qemu(n) for n in lab.nodes}

    def close(self):
        for w in self.vms.values():
            w.close()

    def qemu(self, node):
        """The process of the node's machine, by a look at the node."""
        return self.c.lab.run(node, ["pgrep", "-x", "qemu-system-x86"], check=False).stdout.split()

    def open_gate(self):
        open(os.path.join(self.dir, "open"), "w", encoding="ascii").close()

    def is_asked(self):
        return os.path.exists(os.path.join(self.dir, "asked"))

    def last_stamp(self, node):
        """Of the machine that was started on the node; by time.monotonic()."""
        return max(t for t, n, _ in self.vms[node].stamps(node))

    def wait_still(self, node):
        wait_until(lambda: time.monotonic() - self.last_stamp(node) > STILL_SECONDS, 60,
                   f"the machine of {node} stands still")

    def check_untouched(self):
        """Every machine is the process that it was, where it was, and nobody was fenced."""
        for node, w in self.vms.items():
            w.wait_alive(node, timeout=120)
            assert len(w.boots()) == 1 and self.qemu(node) == self.pids[node]
            assert w.judge(node) == []
        assert not self.is_asked() and not self.c.events("n1", "fence-begin")
