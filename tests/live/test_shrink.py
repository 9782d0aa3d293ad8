# SPDX-License-Identifier: GPL-2.0-or-later
"""Four of five nodes are no majority of a cluster that has shrunk to the fifth."""
import concurrent.futures
import os

from cluster import BUILD, Cluster
from lablib import poll

FENCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "lab", "fence_lab"))
FIRST, OTHERS = "n1", ["n2", "n3", "n4", "n5"]
TWO_LEASES = 10         # seconds: whoever may act has acted by then


def voters(c):
    return [v["node"] for v in c.quorum(FIRST)["votes"] if v["vote"]]


def shrunk(make_lab):
    """n1 alone is left of five, and runs a group; the others know how to fence n1, and only n1."""
    c = Cluster(make_lab(5, bin=BUILD)).create()
    c.ctl(FIRST, "fence", "create", "bmc", "--agent", FENCE, "--nodes", FIRST, "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.ctl(FIRST, "quorum", "set", "--absent-ms", "1000")
    c.dummy("g")
    c.ctl(FIRST, "group", "start", "g", "--to", FIRST, "--wait")
    for node in reversed(OTHERS):
        c.lab.service(node, "kill", "clusterd")
        c.wait(FIRST, lambda n=node: n not in voters(c) and len(voters(c)) % 2 and
               c.quorum(FIRST)["is_quorate"], f"it goes on without {node}", 60)
    assert voters(c) == [FIRST]
    return c


def test_four_of_five_do_not_act_after_the_cluster_has_shrunk_to_the_fifth(make_lab):
    c = shrunk(make_lab)
    c.lab.cut(FIRST)
    for node in OTHERS:
        c.lab.service(node, "start", "clusterd")
    for node in OTHERS:
        c.wait(node, lambda n=node: c.quorum(n)["present"] == OTHERS, "a ring of four", 60)

    def acts():
        """What the four do, and they must not."""
        return [n for n in OTHERS if c.quorum(n)["is_quorate"]] or \
            c.where("g-d") != [FIRST] or c.lab.node(FIRST)["state"] != "on"
    with concurrent.futures.ThreadPoolExecutor() as at_once:
        refused = [at_once.submit(c.fails, n, "group", "create", f"never-{n}") for n in OTHERS]
        assert not poll(acts, TWO_LEASES), "four nodes act that are no majority"
    for node, answer in zip(OTHERS, refused):
        q = c.quorum(node)
        assert (q["phase"], q["would_help"]) == ("inquorate", [FIRST])
        code, text = answer.result()
        assert code == 6 and "no quorum" in text
    c.ctl(FIRST, "group", "create", "alone")        # all the time, the fifth serves

    c.lab.heal()
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again", 90)
    c.wait_same()
    assert [g["name"] for g in c.ctl("n5", "group", "list")] == ["alone", "g"]
    assert c.where("g-d") == [FIRST] and not c.events(FIRST, "fence-begin")
