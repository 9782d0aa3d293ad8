# SPDX-License-Identifier: GPL-2.0-or-later
"""Where groups run, on real nodes: owners, failback after a crash, affinity, and why it was so."""
import os

import pytest
from cluster import BUILD, Cluster

HERE = os.path.dirname(os.path.realpath(__file__))
FENCE = os.path.realpath(os.path.join(HERE, "..", "lab", "fence_lab"))


@pytest.fixture
def cluster3(make_lab):
    return Cluster(make_lab(3, bin=BUILD)).create()


def test_a_group_goes_back_to_its_preferred_owner_and_is_kept_apart(cluster3):
    c = cluster3
    for name in ("a", "b"):
        c.dummy("g" + name, name)
    c.ctl("n1", "group", "set", "ga", "--preferred", "n3,n2", "--failback", "immediate",
          "--priority", "high")
    c.ctl("n1", "affinity", "create", "pair", "--groups", "ga,gb", "--keep", "apart")
    c.ctl("n1", "group", "start", "ga", "--wait")
    c.ctl("n1", "group", "start", "gb", "--to", "n2", "--wait")
    assert c.where("a") == ["n3"] and c.where("b") == ["n2"]
    code, text = c.fails("n1", "group", "move", "gb", "--to", "n3")
    assert code == 8 and "kept apart from ga" in text

    # n2 is preferred next, and has the other: it goes to n1, and back when n3 is there again.
    c.ctl("n1", "node", "drain", "n3")
    c.wait_group("n1", "ga", work="online", node="n1")
    why = c.ctl("n1", "group", "explain", "ga")["decision"]
    assert why["node"] == "n1" and why["verdict"]["n2"] == "affinity"
    assert why["verdict"]["n3"] == "paused"
    c.ctl("n1", "node", "resume", "n3")
    g = c.wait_group("n1", "ga", work="online", node="n3")
    assert g["priority"] == 150 and c.where("a") == ["n3"]
    stop = [e for e in c.events("n1", "group-stop") if "is back" in e["text"]][-1]
    shown = c.ctl("n1", "event", "show", str(stop["id"]))
    assert shown["decision"]["action"] == "move" and shown["decision"]["node"] == "n3"
    c.wait_same()


def test_after_a_crash_waves_go_by_priority_and_the_node_has_its_group_back(cluster3):
    c = cluster3
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
          "bmc_socket=/run/lab/bmc.sock")
    for name, priority in (("db", "high"), ("app", "low"), ("lab", "no-auto-start")):
        c.dummy("g" + name, name)
        c.ctl("n1", "group", "set", "g" + name, "--priority", priority)
        c.ctl("n1", "group", "start", "g" + name, "--to", "n3", "--wait")
    c.ctl("n1", "group", "set", "gdb", "--preferred", "n3", "--failback", "immediate")
    c.lab.kill("n3")
    c.wait("n1", lambda: c.group("n1", "gapp")["work"] == "online" and
           c.group("n1", "gapp")["node"] != "n3", "gapp online elsewhere", 90)
    events = c.events("n1")
    up = [e["id"] for e in events if e["kind"] == "group-report" and e["object"] == "gdb"][-1]
    begun = [e["id"] for e in events if e["kind"] == "group-start" and e["object"] == "gapp"][-1]
    assert begun > up, "the lower wave did not wait"
    g = c.group("n1", "glab")
    assert g["work"] == "offline" and "no-auto-start" in g["explain"]

    # The fence device boots the node again.
    c.wait_group("n1", "gdb", work="online", node="n3", timeout=90)
    assert c.where("db") == ["n3"] and c.where("app") != ["n3"]
