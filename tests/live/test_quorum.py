# SPDX-License-Identifier: GPL-2.0-or-later
"""Votes that follow who is here, on real corosync."""
import os

import pytest
from cluster import BUILD, Cluster
from lablib import poll
from long import long

FENCE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab", "fence_lab")


@pytest.fixture
def cluster(make_lab):
    """make(n): a cluster of n nodes that takes votes of the absent after two seconds."""
    def make(nodes):
        c = Cluster(make_lab(nodes, bin=BUILD)).create()
        c.ctl("n1", "quorum", "set", "--absent-ms", "2000")
        c.first = max(e["id"] for e in c.events("n1"))  # before it, it took shape in some order
        return c
    return make


def voters(c, via):
    return [v["node"] for v in c.quorum(via)["votes"] if v["vote"]]


def runs(c, node, program="clusterd"):
    """The outside look: does the program run on the node?"""
    return c.lab.run(node, ["pgrep", "-x", program], check=False).code == 0


def later(c, via, kind):
    """Events of that kind since the cluster was whole."""
    return [e for e in c.events(via, kind) if e["id"] > c.first]


def reasons(c, via, kind):
    return [(e["object"], e["text"].split(";")[0]) for e in later(c, via, kind)]


@long
def test_a_cluster_shrinks_to_its_last_node_and_starts_with_it(cluster):
    c = cluster(3)
    q = c.quorum("n2")
    assert (q["may_lose_at_once"], q["may_lose_in_turn"], q["must_stay"]) == (1, 1, [])
    c.lab.kill("n3")
    c.wait("n1", lambda: voters(c, "n1") == ["n1"] and later(c, "n1", "vote-taken")[1],
           "n3 and n2 have lost their votes")
    assert reasons(c, "n1", "vote-taken") == [("n3", "it has been absent too long"),
                                              ("n2", "the number of votes is kept odd")]
    q = c.quorum("n2")
    assert q["is_quorate"] and q["must_stay"] == ["n1"] and q["may_lose_next"] == ["n2"]
    c.ctl("n2", "group", "create", "two")
    c.lab.kill("n2")
    c.wait("n1", lambda: c.quorum("n1")["present"] == ["n1"] and c.quorum("n1")["is_quorate"],
           "n1 serves alone")
    c.ctl("n1", "group", "create", "alone")

    c.lab.kill("n1")
    for node in ("n2", "n3"):
        c.lab.start(node)
    for node in ("n2", "n3"):
        c.wait(node, lambda n=node: c.quorum(n)["present"] == ["n2", "n3"] and
               c.quorum(n)["phase"] == "inquorate", "two of three, and no quorum", 60)
    # They could hold a lease by now, twice over.
    assert not poll(lambda: c.quorum("n2")["is_quorate"] or c.quorum("n3")["is_quorate"], 10)
    assert c.quorum("n2")["would_help"] == c.quorum("n3")["would_help"] == ["n1"]
    code, text = c.fails("n3", "group", "create", "never")
    assert code == 6 and "no quorum" in text

    c.lab.start("n1")
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again", 60)
    c.wait_same()
    assert [g["name"] for g in c.ctl("n3", "group", "list")] == ["alone", "two"]
    assert voters(c, "n3") == ["n1", "n2", "n3"]


def test_of_two_nodes_the_vote_moves_before_its_node_stops(cluster):
    c = cluster(2)
    q = c.quorum("n2")
    assert voters(c, "n2") == ["n1"] and q["must_stay"] == ["n1"]
    assert (q["may_lose_at_once"], q["may_lose_in_turn"]) == (0, 0)
    assert [v["configured"] for v in q["votes"]] == [1, 0]
    c.lab.service("n1", "stop", "clusterd")
    c.wait("n2", lambda: c.quorum("n2")["present"] == ["n2"] and c.quorum("n2")["is_quorate"],
           "n2 serves alone")
    c.ctl("n2", "group", "create", "kept")
    assert ("n1", "it is stopping, being fenced, or quarantined") in reasons(c, "n2", "vote-taken")
    c.lab.service("n1", "start", "clusterd")
    c.wait("n1", lambda: c.is_whole("n1") and voters(c, "n1") == ["n1"], "the vote is back")
    c.ctl("n1", "node", "drain", "n1")
    c.wait("n1", lambda: voters(c, "n1") == ["n2"], "a drain moves the vote")
    c.ctl("n1", "node", "resume", "n1")
    c.wait("n1", lambda: voters(c, "n1") == ["n1"], "and a resume brings it back")
    c.ctl("n2", "quorum", "set", "--priority", "n1=50")
    c.wait("n1", lambda: voters(c, "n1") == ["n2"], "a lower priority sits out")


def test_a_node_that_stops_gives_its_vote_up_first(cluster):
    c = cluster(3)
    c.ctl("n1", "quorum", "set", "--absent-ms", "600000")
    c.lab.service("n3", "stop", "clusterd")
    c.wait("n1", lambda: voters(c, "n1") == ["n1"], "n3 has left, n2 sits out")
    assert reasons(c, "n1", "vote-taken")[0] == ("n3", "it is stopping, being fenced, or quarantined")
    c.lab.service("n2", "stop", "clusterd")
    c.wait("n1", lambda: c.quorum("n1")["present"] == ["n1"] and c.quorum("n1")["is_quorate"],
           "n1 serves alone")
    for node in ("n2", "n3"):
        c.lab.service(node, "start", "clusterd")
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again")


def test_a_cluster_that_is_stopped_starts_with_any_majority(cluster):
    c = cluster(3)
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--wait")
    code, text = c.fails("n2", "cluster", "stop")
    assert code == 8 and "--confirm bank" in text
    c.ctl("n2", "cluster", "stop", "--confirm", "bank")
    for node in c.lab.nodes:
        assert poll(lambda n=node: not runs(c, n), 60), f"{node}: clusterd has not ended"
    assert c.where("g-d") == []
    for node in ("n2", "n3"):
        c.lab.service(node, "start", "clusterd")
    c.wait("n3", lambda: c.quorum("n3")["is_quorate"], "two of three start it")
    c.wait("n3", lambda: c.group("n3", "g")["work"] == "online", "its group is back")
    assert c.events("n3", "cluster-started") and not c.events("n3", "node-lost")
    began = [e["id"] for e in c.events("n3", "setting-changed") if "stopping" in e["object"]][0]
    ended = c.events("n3", "cluster-started")[0]["id"]
    assert not [e for e in c.events("n3", "vote-taken") if began < e["id"] < ended]
    c.lab.service("n1", "start", "clusterd")
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again")


@long
def test_a_cluster_that_is_stopped_leaves_no_volume_mounted(cluster):
    c = cluster(3)
    c.volume()
    c.ctl("n1", "group", "create", "g", "--volumes", "vol")
    c.ctl("n1", "resource", "create", "d", "--group", "g", "--agent", "ocf:heartbeat:Dummy",
          "--param", "state=/run/d.state")
    c.ctl("n1", "group", "start", "g", "--to", "n2", "--wait")
    c.lab.run("n3", "echo kept > /cluster/vol/file")
    c.ctl("n1", "cluster", "stop", "--confirm", "bank")
    for node in c.lab.nodes:
        assert poll(lambda n=node: not runs(c, n), 90), f"{node}: clusterd has not ended"
        assert not runs(c, node, "csvfsd") and not c.has_state(node, "d")
    for node in c.lab.nodes:
        c.lab.service(node, "start", "clusterd")
    c.wait_volume(timeout=60)
    c.wait_group("n1", "g", work="online", timeout=60)
    assert c.lab.run("n1", "cat /cluster/vol/file").stdout == "kept\n"
    assert not c.events("n1", "node-lost")


@long
def test_without_dynamic_votes_the_absent_keep_theirs(cluster):
    c = cluster(3)
    c.ctl("n2", "quorum", "set", "--dynamic", "off")
    assert [(e["object"], e["text"].split(",")[0]) for e in c.events("n3", "setting-changed")] == \
        [("quorum.absent_ms", "to 2000 from its default"),
         ("quorum.dynamic", "to off from its default")]
    c.lab.kill("n3")
    c.wait("n1", lambda: c.quorum("n1")["present"] == ["n1", "n2"] and
           c.quorum("n1")["is_quorate"], "two of three")
    assert not poll(lambda: c.quorum("n1")["votes_total"] != 3, 6)
    assert c.quorum("n1")["may_lose_in_turn"] == 0
    c.ctl("n1", "quorum", "set", "--dynamic", "on")
    c.wait("n1", lambda: voters(c, "n1") == ["n1"], "n3 has lost its vote after all")


def test_what_cannot_be_set_is_refused(make_lab):
    c = Cluster(make_lab(1, bin=BUILD)).create()
    for code, words in ((2, []), (2, ["--dynamic", "perhaps"]), (2, ["--absent-ms", "999"]),
                        (2, ["--absent-ms", "soon"]), (2, ["--priority", "n1"]),
                        (2, ["--priority", "n1=256"]), (3, ["--priority", "n9=1"]),
                        (2, ["--absent-ms", "5000", "--dynamic", "yes"])):
        got, text = c.fails("n1", "quorum", "set", *words)
        assert (got, bool(text)) == (code, True), f"{words}: exit {got}: {text}"
    assert c.quorum("n1")["absent_ms"] == 30000 and not c.events("n1", "setting-changed")


def test_the_time_of_a_failover_is_a_sum_of_named_terms(cluster):
    c = cluster(3)
    f = c.quorum("n1")["failover"]
    assert [t["term"] for t in f["terms"]] == \
        ["token", "consensus", "exchange", "witness", "lease", "fence", "start"]
    ms = {t["term"]: t["ms"] for t in f["terms"]}
    assert ms["token"] == 1000 and ms["consensus"] >= ms["token"] and ms["lease"] > 0
    assert ms["fence"] is None and f["total_ms"] is None
    c.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--timeout-ms",
          "7000", "--param", "bmc_socket=/run/lab/bmc.sock")
    c.dummy("g", "a", "b", start_ms=3000)
    f = c.quorum("n1")["failover"]
    ms = {t["term"]: t["ms"] for t in f["terms"]}
    assert ms["fence"] == 14000 and ms["start"] == 6000
    assert f["total_ms"] == sum(ms.values())
    text = c.lab.run("n1", [os.path.join(BUILD, "clusterd", "clusterctl"), "quorum", "show"])
    assert "may_lose_in_turn" in text.stdout and "token" in text.stdout
    assert f"a failover takes {f['total_ms']} ms at worst" in text.stdout
