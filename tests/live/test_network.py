# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks have roles: mounts and migrations go over the one that says so."""
import re

import pytest
from cluster import BUILD, Cluster


@pytest.fixture
def cluster3(make_lab):
    return Cluster(make_lab(3, bin=BUILD)).create()


def used(c):
    return {n["name"]: set(n["used_for"]) for n in c.ctl("n1", "network", "list")}


def served_at(c, node):
    """Addresses to which the node's mounts are connected, as its kernel says."""
    port = c.volume_show(via=node)["port"]
    out = c.lab.run(node, ["ss", "-Htn", "state", "established", f"dport = :{port}"]).stdout
    return {re.search(r"(\S+):\d+\s*$", line).group(1) for line in out.splitlines() if line.strip()}


def test_a_volume_is_served_over_the_network_for_it(cluster3):
    c = cluster3
    c.wait("n1", lambda: used(c) == {"net0": {"cluster", "redirect"},
                                     "net1": {"cluster", "migration"}}, "defaults")
    assert c.ctl("n1", "network", "show", "net1")["addresses"]["n2"] == "10.77.1.2"
    for code, words, text in ((3, ["net7", "--metric", "1"], "net7"),
                              (2, ["net1"], "nothing to set"),
                              (2, ["net1", "--role", "storage"], "storage"),
                              (2, ["net1", "--role", "redirect"], "cluster, too")):
        got, message = c.fails("n1", "network", "set", *words)
        assert got == code and text in message, (words, got, message)
    c.volume()
    here = c.volume_show()["node"]
    away = next(n for n in c.lab.nodes if n != here)
    number = here[1:]
    c.wait(away, lambda: served_at(c, away) == {f"10.77.0.{number}"}, "over the first network")
    c.ctl("n1", "network", "set", "net1", "--role", "cluster,redirect", "--metric", "1")
    assert used(c)["net1"] == {"cluster", "redirect"}
    assert "migration" in used(c)["net0"]       # nobody has that role now
    assert served_at(c, away) == {f"10.77.0.{number}"}
    c.ctl("n1", "volume", "move", "vol", "--to", away, "--wait=60", timeout=90)
    c.wait_volume()
    c.wait(here, lambda: served_at(c, here) == {f"10.77.1.{away[1:]}"}, "over the second network")
    c.wait_same()
