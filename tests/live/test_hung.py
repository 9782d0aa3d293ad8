# SPDX-License-Identifier: GPL-2.0-or-later
"""clusterctl answers while an agent, the LUN and a mount of it hang."""
import subprocess

import pytest
from cluster import BUILD, Cluster
from lablib import wait_until

TIMEOUT = "2"       # seconds, the product's own: what is later is an error of clusterctl
LOOKS = (["status"], ["node", "list"], ["quorum", "show"], ["group", "list"], ["group", "show", "g"],
         ["resource", "list"], ["volume", "list"], ["volume", "show", "vol"], ["vm", "list"],
         ["task", "list"], ["event", "list"], ["lock", "list"], ["fence", "list"])


@pytest.fixture
def hung(make_lab):
    """An agent's start that does not end on n1; every disk; a write to the volume on each node."""
    c = Cluster(make_lab(3, bin=BUILD, disk_faults=True)).create()
    c.volume()
    c.ctl("n1", "group", "create", "g")
    c.ctl("n1", "resource", "create", "slow", "--group", "g", "--agent", "ocf:heartbeat:Delay",
          "--start-ms", "3600000", "--param", "startdelay=3000")
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--no-wait")
    for node in c.lab.nodes:
        c.lab.disk(node, "hang")
    c.writers = [c.lab.popen(n, ["sh", "-c", f"echo {n} > /cluster/vol/{n} && sync /cluster/vol/{n}"],
                             stderr=subprocess.DEVNULL) for n in c.lab.nodes]
    try:
        yield c
    finally:
        for node in c.lab.nodes:
            c.lab.disk(node, "ok")
        for w in c.writers:
            w.wait(60)


def sleeps(c):
    """The start action of the agent, by its sleep of fifty minutes."""
    return c.lab.run("n1", ["pgrep", "-f", "^sleep 3000"], check=False).code == 0


def test_clusterctl_answers_within_two_seconds_whatever_hangs(hung):
    c = hung
    wait_until(lambda: sleeps(c), 30, "the agent hangs")
    for node in c.lab.nodes:
        for words in LOOKS:
            c.ctl(node, *words, "--timeout", TIMEOUT)
    assert sleeps(c) and [w.poll() for w in c.writers] == [None] * 3, "all of it hangs still"
    c.ctl("n2", "group", "create", "h")             # and a change is committed
    assert c.group("n3", "g")["work"] == "starting"
