# SPDX-License-Identifier: GPL-2.0-or-later
"""What clusterctl simulate and cluster can-lose say, and whether it is true."""
import json
import os

import pytest
from cluster import BUILD, CTL, Cluster

FENCE = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab",
                                      "fence_lab"))
GROUPS = {"a": "n3", "b": "n3", "c": "n1"}


@pytest.fixture
def whatif3(make_lab):
    """Three nodes without a fence device; what runs where is in GROUPS."""
    c = Cluster(make_lab(3, bin=BUILD)).create()
    for name, node in GROUPS.items():
        c.dummy(name)
        c.ctl("n1", "group", "start", name, "--to", node, "--wait")
    return c


def places(data):
    """{group: (change, node in the end)}"""
    return {o["name"]: (o["change"], o["node"]) for o in data["outcome"]}


def can_lose(c, nodes, via="n1"):
    """Exit code, data and sentence of can-lose."""
    r = c.lab.run(via, [CTL, "cluster", "can-lose", nodes, "--json"], check=False)
    return r.code, json.loads(r.stdout), r.stderr


def test_what_is_simulated_is_what_happens_when_the_node_is_killed(whatif3):
    c = whatif3
    # Nothing could prove that n3 is off: what runs there would be blocked.
    code, data, text = can_lose(c, "n3")
    assert code == 1 and places(data)["a"][0] == "lost", data
    assert "waiting to fence n3" in text and "no fence device covers n3" in data["notes"][0]
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
          "bmc_socket=/run/lab/bmc.sock")
    before = c.wait_same(), c.status("n2")["applied"]

    said = {via: c.ctl(via, "simulate", "node-loss", "n3") for via in c.lab.nodes}
    assert places(said["n1"]) == places(said["n2"]) == places(said["n3"])
    assert said["n2"]["keeps_running"] and said["n2"]["quorum"]["votes_present"] == 2
    assert places(said["n2"])["c"] == ("stays", "n1")
    assert {o["name"] for o in said["n2"]["orders"]} == {"a", "b"}
    drained = c.ctl("n1", "simulate", "node-drain", "n1")
    assert [o["action"] for o in drained["orders"]] == ["stop", "start"]
    failed = c.ctl("n1", "simulate", "group-fail", "c")
    assert places(failed)["c"][0] == "moves"
    assert c.fails("n1", "simulate", "node-return", "n2") == \
        (4, "simulate node-return: node n2 is here")
    assert c.fails("n1", "simulate", "node-loss", "n9")[0] == 3

    assert can_lose(c, "n3")[0] == 0
    code, data, text = can_lose(c, "n2,n3")
    assert code == 1 and not data["quorum"]["is_quorate"] and "no quorum" in text
    assert {o[0] for o in places(data).values()} == {"lost"}
    table = c.lab.run("n1", [CTL, "cluster", "can-lose", "n2,n3"], check=False).stdout
    assert "quorum  NO (minority): 1 of 3 votes, 2 needed" in table
    assert (c.wait_same(), c.status("n2")["applied"]) == before, "a simulation changed something"

    c.lab.kill("n3")
    for name in GROUPS:
        c.wait_group("n1", name, work="online", node=places(said["n1"])[name][1])
        assert c.where(f"{name}-d") == [places(said["n1"])[name][1]]
