# SPDX-License-Identifier: GPL-2.0-or-later
"""A stop that fails: what can be killed is killed, what cannot be proven over has its node fenced.

The agent is ocf:odd:stubborn of tests/agents, laid over the nodes' agents until they reboot.
"""
import os

import pytest
from cluster import BUILD, Cluster
from long import long_but

HERE = os.path.dirname(os.path.realpath(__file__))
FENCE = os.path.realpath(os.path.join(HERE, "..", "lab", "fence_lab"))
AGENT = os.path.join(HERE, "..", "agents", "resource.d", "odd", "stubborn")
STATE = "/run/stubborn.state"

INSTALL = """
mkdir -p /run/odd/odd && cat >/run/odd/odd/stubborn && chmod 755 /run/odd/odd/stubborn &&
mount -t overlay -o lowerdir=/run/odd:/usr/lib/ocf/resource.d overlay /usr/lib/ocf/resource.d
"""


def install(c, node):
    with open(AGENT, encoding="utf-8") as f:
        c.lab.run(node, INSTALL, stdin=f.read())


def daemon_of(c, node):
    """Is the agent's daemon alive? Looked at from outside."""
    return c.lab.run(node, f"kill -0 $(cat {STATE})", check=False).code == 0


def stubborn(c, where, **params):
    """Group g with the agent, online there; its stop is tried within a few seconds."""
    more = [w for k, v in params.items() for w in ("--param", f"{k}={v}")]
    c.ctl("n2", "group", "create", "g")
    c.ctl("n2", "resource", "create", "stubborn", "--group", "g", "--agent", "ocf:odd:stubborn",
          "--stop-ms", "3000", *more)
    c.ctl("n2", "group", "start", "g", "--to", where, "--wait")
    assert daemon_of(c, where)


@pytest.fixture
def odd3(make_lab):
    c = Cluster(make_lab(3, bin=BUILD)).create()
    for node in c.lab.nodes:
        install(c, node)
    return c


@pytest.fixture
def fenced3(odd3):
    odd3.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
             "bmc_socket=/run/lab/bmc.sock")
    return odd3


def test_what_a_failed_stop_has_left_is_killed_and_nobody_is_fenced(fenced3):
    c = fenced3
    stubborn(c, "n3")
    c.ctl("n1", "group", "move", "g", "--to", "n1", "--wait")
    assert not daemon_of(c, "n3") and daemon_of(c, "n1")
    report = [e["text"] for e in c.events("n1", "group-report") if "killed" in e["text"]]
    assert report and report[0].startswith("offline on n3: ") and "does not want to" in report[0]
    c.ctl("n1", "group", "stop", "g", "--wait")
    assert not daemon_of(c, "n1")
    assert not c.events("n1", "fence-wanted") and not c.events("n1", "fence-begin")
    assert c.lab.run("n1", "ls /sys/fs/cgroup").stdout.count("ocf-") == 0


@pytest.mark.parametrize("victim", long_but(["n1", "n3"], "n1"))         # n1 is the sequencer
def test_a_node_on_which_nothing_proves_the_end_is_fenced(fenced3, victim):
    c = fenced3
    stubborn(c, victim, forever=1)
    c.ctl("n2", "group", "move", "g", "--to", "n2", "--no-wait")
    c.wait("n2", lambda: c.group("n2", "g")["work"] == "online" and
           c.group("n2", "g")["node"] == "n2" and c.events("n2", "node-fenced"), "fenced", 40)
    wanted = c.events("n2", "fence-wanted")
    assert [e["object"] for e in wanted] == [victim]
    assert wanted[0]["text"].startswith("group g: stubborn: stop ")
    kinds = [e["kind"] for e in c.ctl("n2", "fence", "history") if e["object"] == victim]
    assert kinds.index("fence-wanted") < kinds.index("fence-begin") < kinds.index("node-fenced")
    assert daemon_of(c, "n2")
    c.wait("n2", lambda: c.is_whole("n2"), "the node comes back", 40)
    c.wait_same()
    assert {e["object"] for e in c.events("n2", "fence-begin")} == {victim}


def test_without_a_device_and_where_it_is_not_wanted_it_stays_and_says_so(odd3):
    c = odd3
    stubborn(c, "n3", forever=1)
    c.ctl("n1", "group", "set", "g", "--on-stop-failure", "block")
    c.ctl("n1", "group", "stop", "g", "--no-wait")
    c.wait("n1", lambda: c.group("n1", "g")["fence_wanted"], "stuck")
    g = c.group("n1", "g")
    assert (g["work"], g["node"], g["on_stop_failure"]) == ("failed", "n3", "block")
    assert "on-stop-failure is block" in g["explain"]
    assert [k["name"] for k in c.ctl("n1", "lock", "list")] == ["grp:g"]
    c.ctl("n1", "group", "set", "g", "--on-stop-failure", "fence")
    assert "no fence device covers it" in c.group("n1", "g")["explain"]
    assert not daemon_of(c, "n3"), "what could be killed was killed"
    # Somebody ends it by hand, and asks again.
    c.lab.run("n3", f"rm {STATE}")
    c.ctl("n1", "group", "stop", "g", "--wait")
    assert c.ctl("n1", "lock", "list") == [] and not c.events("n1", "fence-begin")


def test_nobody_is_fenced_at_the_price_of_quorum(odd3):
    c = odd3
    c.ctl("n1", "quorum", "set", "--dynamic", "off")    # else n2's vote is taken in the end
    stubborn(c, "n3", forever=1)
    c.lab.kill("n2")
    c.wait("n1", lambda: c.quorum("n1")["is_quorate"] and c.quorum("n1")["votes_present"] == 2,
           "quorum of n1 and n3")
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--nodes", "n3", "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.ctl("n1", "group", "stop", "g", "--no-wait")
    c.wait("n1", lambda: c.group("n1", "g")["fence_wanted"], "stuck")
    c.ctl("n1", "group", "create", "h")         # each entry is followed by a look at what to do
    c.ctl("n1", "group", "create", "i")
    assert "as soon as" in c.group("n1", "g")["explain"] and not c.events("n1", "fence-begin")
    c.lab.start("n2")
    c.wait("n1", lambda: c.events("n1", "node-fenced") and c.group("n1", "g")["work"] == "offline",
           "with n2 back n3 is fenced", 40)
