# SPDX-License-Identifier: GPL-2.0-or-later
"""Each state of a node that an administrator sees; and one that is lost again and again is quarantined."""
import pytest
from cluster import BUILD, Cluster
from long import long


@pytest.fixture
def cluster3(make_lab):
    return Cluster(make_lab(3, bin=BUILD)).create()


def node(c, via, name):
    return c.ctl(via, "node", "show", name)


def wait_state(c, via, name, state, timeout=60):
    c.wait(via, lambda: node(c, via, name)["state"] == state, f"{name} is {state}", timeout)
    return node(c, via, name)["reason"]


def flap(c, name, times):
    """Its machine crashes, and boots by itself; nobody has fenced it."""
    for _ in range(times):
        c.lab.kill(name)
        wait_state(c, "n1", name, "lost")
        c.lab.start(name)
        c.wait("n1", lambda: node(c, "n1", name)["state"] in ("up", "quarantined"), "it is back", 60)


@long
def test_a_node_that_is_lost_too_often_is_quarantined_until_it_is_cleared(cluster3):
    c = cluster3
    code, text = c.fails("n1", "quorum", "set", "--quarantine-max", "1001")
    assert code == 2 and "0 to 1000" in text
    code, text = c.fails("n1", "node", "quarantine-clear", "n3")
    assert code == 4 and "not quarantined" in text
    c.ctl("n1", "quorum", "set", "--quarantine-max", "1")
    c.dummy("g")
    flap(c, "n3", 1)
    assert node(c, "n1", "n3")["state"] == "up" and node(c, "n1", "n3")["losses"] == 1
    c.ctl("n1", "group", "start", "g", "--to", "n3", "--wait")

    flap(c, "n3", 1)
    reason = wait_state(c, "n2", "n3", "quarantined")
    assert "lost 2 times within 1 h" in reason and "node quarantine-clear n3" in reason
    event, = c.events("n1", "node-quarantined")
    assert event["object"] == "n3" and event["text"].count(":") >= 5 and "UTC" in event["text"]
    c.wait("n1", lambda: node(c, "n1", "n3")["vote"] == 0, "its vote is taken", 60)
    c.wait("n1", lambda: c.group("n1", "g")["node"] in ("n1", "n2"), "g is elsewhere")
    code, text = c.fails("n1", "group", "move", "g", "--to", "n3")
    assert code == 8 and "quarantined" in text

    # Boots and restarts change nothing.
    c.lab.service("n3", "kill", "clusterd")
    c.lab.service("n3", "start", "clusterd")
    c.wait("n3", lambda: node(c, "n3", "n3")["state"] == "quarantined", "it says so itself", 60)
    assert c.quorum("n1")["is_quorate"] and c.where("g-d") != ["n3"]

    # A second one would leave one of three: it is told, and stays.
    c.ctl("n1", "quorum", "set", "--quarantine-ms", "86400000")
    flap(c, "n2", 2)
    c.wait("n1", lambda: c.events("n1", "node-flaps"), "it is told")
    assert "no majority" in c.events("n1", "node-flaps")[0]["text"]
    assert node(c, "n1", "n2")["state"] == "up"

    c.ctl("n1", "node", "quarantine-clear", "n3")
    wait_state(c, "n1", "n3", "up")
    c.wait("n1", lambda: node(c, "n1", "n3")["vote"] == 1, "its vote is back", 60)
    c.ctl("n1", "group", "move", "g", "--to", "n3", "--wait")
    c.wait_same()


@long
def test_each_state_of_a_node_is_shown_with_its_reason(cluster3):
    c = cluster3
    assert node(c, "n1", "n2")["state"] == "up" and node(c, "n1", "n2")["reason"] == ""
    c.ctl("n1", "node", "drain", "n3")
    assert "node resume n3" in wait_state(c, "n2", "n3", "draining")
    c.ctl("n1", "node", "resume", "n3")
    wait_state(c, "n2", "n3", "up")

    # corosync there, clusterd not: daemon-lost for as long as a lease, then lost.
    c.lab.service("n3", "freeze", "clusterd")
    assert "clusterd" in wait_state(c, "n1", "n3", "daemon-lost")
    wait_state(c, "n1", "n3", "lost")
    c.lab.service("n3", "thaw", "clusterd")
    wait_state(c, "n1", "n3", "up")

    c.lab.cut("n3")
    assert "votes are here" in wait_state(c, "n3", "n3", "isolated")
    assert node(c, "n3", "n1")["state"] == "?"
    assert "fence device" in wait_state(c, "n1", "n3", "lost")
    c.lab.heal("n3")
    wait_state(c, "n1", "n3", "up")
    c.lab.run("n3", ["pkill", "-TERM", "-x", "clusterd"])
    wait_state(c, "n1", "n3", "left")
