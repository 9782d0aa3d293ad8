# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk witness: two nodes and a disk, four nodes split in half, on real corosync and loop devices."""
import pytest
from cluster import BUILD, Cluster
from lablib import poll
from long import long, long_but
from witnessed import D_MS, LONG, groups, serves, votes, wait_serving

DISK = "/dev/lab/lun"


def split(c, one, other):
    for a in one:
        for b in other:
            c.lab.cut(a, b)


def wait_whole(c, via=None):
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.quorum(n)["is_quorate"] and
               votes(c, n) == c.lab.nodes + ["witness"], "whole, with the witness's vote", LONG)


@pytest.fixture
def cluster(make_lab):
    """make(n): a cluster of n nodes with a disk witness; votes of the absent stay for an hour."""
    def make(nodes, witness=True, **options):
        c = Cluster(make_lab(nodes, bin=BUILD, lun_size="128M", **options)).create()
        c.ctl("n1", "quorum", "set", "--absent-ms", "3600000")
        if witness:
            c.ctl("n1", "quorum", "set", "--mode", "node-disk", "--disk", DISK, "--io-ms", D_MS)
            wait_whole(c)
        return c
    return make


def test_of_two_nodes_and_a_witness_any_one_may_be_lost(cluster):
    c = cluster(2)
    q = c.quorum("n2")
    assert q["mode"] == "node-disk" and q["witness"] == DISK
    assert q["witness_reached_by"] == ["n1", "n2"] and q["witness_owner"] == "-"
    assert (q["votes_total"], q["may_lose_at_once"], q["must_stay"]) == (3, 1, [])
    assert {t["term"]: t["ms"] for t in q["failover"]["terms"]}["witness"] == 8 * int(D_MS)

    c.lab.kill("n1")  # the one that alone carried the vote before
    wait_serving(c, "n2", ["n2"])
    q = c.quorum("n2")
    assert q["reason"] == "majority-with-witness" and q["witness_owner"] == "n2"
    kept = serves(c, "n2")
    c.lab.start("n1")
    wait_whole(c)
    assert kept in groups(c, "n1") and c.quorum("n1")["witness_owner"] == "-"

    c.lab.kill("n2")
    wait_serving(c, "n1", ["n1"])
    serves(c, "n1")
    c.lab.start("n2")
    wait_whole(c)

    for node in c.lab.nodes:
        c.lab.disk(node, "eio")
    c.wait("n1", lambda: c.quorum("n1")["witness_reached_by"] == [], "nobody reaches it", LONG)
    for node in c.lab.nodes:
        serves(c, node)
    assert c.quorum("n1")["reason"] == "majority"
    # It loses its vote after a minute, and has it back.
    c.wait("n1", lambda: votes(c, "n1") == ["n1"], "a dead witness has no vote", 150)
    taken = [(e["object"], e["text"].split(";")[0]) for e in c.events("n1", "vote-taken")]
    assert ("witness", "no node has reached it for 60 s") in taken
    for node in c.lab.nodes:
        c.lab.disk(node, "ok")
    wait_whole(c)


def test_what_one_has_answered_with_the_witness_the_other_finds_on_it(cluster):
    c = cluster(2)
    c.lab.kill("n1")
    wait_serving(c, "n2", ["n2"])
    kept = serves(c, "n2")
    c.lab.kill("n2")
    c.lab.start("n1")  # it has never heard of that group, and is alone with the witness
    wait_serving(c, "n1", ["n1"])
    assert kept in groups(c, "n1")
    late = serves(c, "n1")
    c.lab.start("n2")
    wait_whole(c)
    c.wait_same()
    assert {kept, late} <= groups(c, "n2")


@long
def test_two_nodes_that_do_not_hear_each_other_exactly_one_serves(cluster):
    c = cluster(2)
    split(c, ["n1"], ["n2"])
    c.wait("n1", lambda: c.quorum("n1")["present"] == ["n1"], "split", 60)
    c.wait("n2", lambda: c.quorum("n2")["present"] == ["n2"], "split", 60)
    assert poll(lambda: [n for n in c.lab.nodes if c.quorum(n)["is_quorate"]], LONG)
    # Long enough for the other to take it over, if it could.
    winners = set()
    assert not poll(lambda: winners.update(n for n in c.lab.nodes if c.quorum(n)["is_quorate"])
                    or len(winners) > 1, 20)
    (winner,) = winners
    (loser,) = set(c.lab.nodes) - winners
    kept = serves(c, winner)
    code, text = c.fails(loser, "group", "create", "never")
    assert code == 6 and "no quorum" in text
    c.lab.heal()
    wait_whole(c)
    assert kept in groups(c, loser)


@pytest.mark.parametrize("nodes,witness",
                         long_but([(4, True), (4, False), (16, True), (16, False)], (4, True)))
def test_a_split_in_half(cluster, nodes, witness):
    c = cluster(nodes, witness)
    halves = c.lab.nodes[:nodes // 2], c.lab.nodes[nodes // 2:]
    split(c, *halves)
    for half in halves:
        for node in half:
            c.wait(node, lambda n=node, h=half: c.quorum(n)["present"] == h, "split", 60)
    assert poll(lambda: [h for h in halves if all(c.quorum(n)["is_quorate"] for n in h)], LONG)
    serving = [n for n in c.lab.nodes if c.quorum(n)["is_quorate"]]
    assert serving in halves
    if not witness:
        assert serving == halves[0]  # the last node sits out: its half is the smaller one
    kept = serves(c, serving[0])
    assert kept in groups(c, serving[1])
    for node in set(c.lab.nodes) - set(serving):
        assert c.fails(node, "group", "create", "never")[0] == 6


@long
def test_a_disk_that_hangs_under_its_owner_takes_the_vote_and_not_the_daemon(cluster):
    c = cluster(2, disk_faults=True)
    c.lab.kill("n1")
    wait_serving(c, "n2", ["n2"])
    c.lab.disk("n2", "hang")
    # It answers while its disk does not.
    c.wait("n2", lambda: c.quorum("n2")["reason"] == "witness-not-claimed", "no renewal", 60)
    q = c.quorum("n2")
    assert not q["is_quorate"] and q["witness_owner"] == "-"
    assert c.fails("n2", "group", "create", "never")[0] == 6
    c.lab.disk("n2", "ok")
    wait_serving(c, "n2", ["n2"])
    serves(c, "n2")


@long
def test_of_two_halves_the_one_that_reaches_the_disk_serves(cluster):
    c = cluster(2)
    c.lab.disk("n1", "eio")
    c.wait("n2", lambda: c.quorum("n2")["witness_reached_by"] == ["n2"], "n1 lost its path", LONG)
    split(c, ["n1"], ["n2"])
    wait_serving(c, "n2", ["n2"])
    serves(c, "n2")
    assert not c.quorum("n1")["is_quorate"]


def test_a_disk_that_carries_something_is_no_witness(cluster):
    c = cluster(2, witness=False)
    c.lab.run("n1", f"printf data | dd of={DISK} bs=4096 seek=16 conv=fsync status=none")
    code, text = c.fails("n1", "quorum", "set", "--mode", "node-disk", "--disk", DISK)
    assert code == 8 and "no witness of this cluster" in text
    for expected, words in ((2, ["--mode", "node-disk"]), (2, ["--mode", "witness"]),
                            (2, ["--mode", "node-majority", "--disk", DISK]),
                            (2, ["--mode", "node-disk", "--disk", "lun"]),
                            (2, ["--mode", "node-disk", "--disk", DISK, "--io-ms", "1"]),
                            (8, ["--mode", "node-disk", "--disk", "/dev/none"])):
        code, text = c.fails("n1", "quorum", "set", *words)
        assert (code, bool(text)) == (expected, True), f"{words}: exit {code}: {text}"
    assert c.quorum("n2")["mode"] == "node-majority" and not c.events("n2", "quorum-mode")
