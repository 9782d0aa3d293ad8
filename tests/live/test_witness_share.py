# SPDX-License-Identifier: GPL-2.0-or-later
"""A share witness and disk-only, on real corosync: a folder that all nodes see, loop devices."""
import os
import shutil
import tempfile

import pytest
from cluster import BUILD, Cluster
from lablib import poll
from long import long
from witnessed import D_MS, LONG, groups, serves, votes, wait_serving

DISK = "/dev/lab/lun"
QUIET = 30  # long enough to take it over, if that were possible
FIFO = "/run/hangs"


def wait_whole(c):
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.quorum(n)["is_quorate"] and
               votes(c, n) == c.lab.nodes + ["witness"] and
               c.quorum(n)["witness_knows"] == c.lab.nodes and not c.quorum(n)["warning"],
               "whole, and the share knows all", LONG)


def never_serves(c, node, seconds=QUIET):
    assert not poll(lambda: c.quorum(node)["is_quorate"], seconds)
    code, text = c.fails(node, "group", "create", "never")
    assert code == 6 and "no quorum" in text


class Share:
    """A folder that every node sees at the same path, and what may happen to it on one node."""

    def __init__(self, lab, path):
        self.lab, self.path = lab, path

    def lose(self, node):
        self.lab.run(node, f"mount -t tmpfs lost {self.path}")

    def find(self, node):
        self.lab.run(node, f"umount {self.path}")

    def hang(self, node):
        """Whoever opens the file of the claim waits, as on a server that does not answer."""
        self.lab.run(node, f"mkfifo {FIFO} && mount --bind {FIFO} {self.path}/clusterd-claim")

    def go_on(self, node):
        """Whoever waits is let go; what it reads there is nothing."""
        self.lab.run(node, f"umount -l {self.path}/clusterd-claim; "
                           f"for i in 1 2 3; do timeout 1 sh -c ': <> {FIFO}'; done; true")


@pytest.fixture
def folder():
    """Where every node sees it; gone after the lab."""
    path = tempfile.mkdtemp(prefix="share-", dir=BUILD)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def cluster(folder, make_lab):
    """Two nodes and a share; votes of the absent stay for an hour."""
    def make(**options):
        c = Cluster(make_lab(2, bin=BUILD, **options)).create()
        c.share = Share(c.lab, folder)
        c.ctl("n1", "quorum", "set", "--absent-ms", "3600000")
        c.ctl("n1", "quorum", "set", "--mode", "node-share", "--witness", c.share.path,
              "--io-ms", D_MS)
        wait_whole(c)
        return c
    return make


def test_of_two_nodes_and_a_share_any_one_may_be_lost(cluster):
    c = cluster()
    q = c.quorum("n2")
    assert q["mode"] == "node-share" and q["witness"] == c.share.path
    assert q["witness_reached_by"] == ["n1", "n2"] and q["witness_owner"] == "-"
    assert (q["votes_total"], q["may_lose_at_once"], q["must_stay"]) == (3, 1, [])
    assert {t["term"]: t["ms"] for t in q["failover"]["terms"]}["witness"] == 11 * int(D_MS)

    for lost, other in (("n1", "n2"), ("n2", "n1")):
        c.lab.kill(lost)
        wait_serving(c, other, [other])
        q = c.quorum(other)
        assert q["reason"] == "majority-with-witness" and q["witness_owner"] == other
        assert q["witness_knows"] == [other]
        kept = serves(c, other)
        c.lab.start(lost)
        wait_whole(c)
        assert kept in groups(c, lost) and c.quorum(lost)["witness_owner"] == "-"

    for node in c.lab.nodes:
        c.share.lose(node)
    c.wait("n1", lambda: c.quorum("n1")["witness_reached_by"] == [], "nobody reaches it", LONG)
    for node in c.lab.nodes:
        serves(c, node)
    q = c.quorum("n1")
    assert q["reason"] == "majority" and "mounted" in q["witness_reason"]
    for node in c.lab.nodes:
        c.share.find(node)
    wait_whole(c)
    c.wait_same()


def test_who_was_not_there_does_not_start_alone_with_the_share(cluster):
    c = cluster()
    c.lab.kill("n1")
    wait_serving(c, "n2", ["n2"])
    kept = serves(c, "n2")
    c.lab.kill("n2")
    c.lab.start("n1")  # it has never heard of that group
    c.wait("n1", lambda: c.quorum("n1")["witness_state"] == "knows others", "it looks", LONG)
    never_serves(c, "n1")
    q = c.quorum("n1")
    assert q["reason"] == "witness-not-claimed" and q["witness_knows"] == ["n2"]
    assert q["would_help"] == ["n2"] and "none of the nodes here" in q["witness_reason"]
    c.lab.start("n2")
    wait_whole(c)
    assert kept in groups(c, "n1")
    c.wait_same()


@long
def test_two_nodes_that_do_not_hear_each_other_exactly_one_serves(cluster):
    c = cluster()
    c.lab.cut("n1", "n2")
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.quorum(n)["present"] == [n], "split", 60)
    assert poll(lambda: [n for n in c.lab.nodes if c.quorum(n)["is_quorate"]], LONG)
    (winner,) = [n for n in c.lab.nodes if c.quorum(n)["is_quorate"]]
    (loser,) = set(c.lab.nodes) - {winner}
    kept = serves(c, winner)
    never_serves(c, loser)
    assert c.quorum(winner)["is_quorate"]
    c.lab.heal()
    wait_whole(c)
    assert kept in groups(c, loser)


@long
def test_a_share_that_hangs_under_its_owner_takes_the_vote_and_not_the_daemon(cluster):
    c = cluster()
    c.lab.kill("n1")
    wait_serving(c, "n2", ["n2"])
    c.share.hang("n2")
    # It answers while the share does not.
    c.wait("n2", lambda: c.quorum("n2")["reason"] == "witness-not-claimed", "no renewal", 60)
    q = c.quorum("n2")
    assert not q["is_quorate"] and q["witness_owner"] == "-"
    assert c.fails("n2", "group", "create", "never")[0] == 6
    c.share.go_on("n2")
    wait_serving(c, "n2", ["n2"])
    serves(c, "n2")


def test_a_folder_that_is_of_another_cluster_is_no_witness(folder, make_lab):
    c = Cluster(make_lab(1, bin=BUILD)).create()
    with open(os.path.join(folder, "clusterd-witness"), "wb") as f:
        f.write(b"another cluster's".ljust(4096))
    code, text = c.fails("n1", "quorum", "set", "--mode", "node-share", "--witness", folder)
    assert code == 8 and "another cluster" in text
    for expected, words in ((2, ["--mode", "node-share"]),
                            (2, ["--mode", "node-share", "--disk", DISK]),
                            (2, ["--mode", "node-share", "--witness", "share"]),
                            (2, ["--mode", "node-majority", "--witness", folder]),
                            (2, ["--mode", "node-disk", "--witness", folder]),
                            (8, ["--mode", "node-share", "--witness", "/none"]),
                            (8, ["--mode", "node-share", "--witness", DISK]),
                            (8, ["--mode", "disk-only", "--disk", DISK])):
        code, text = c.fails("n1", "quorum", "set", *words)
        assert (code, bool(text)) == (expected, True), f"{words}: exit {code}: {text}"
    assert c.quorum("n1")["mode"] == "node-majority" and not c.events("n1", "quorum-mode")


# --- disk-only

def wait_sole(c):
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.quorum(n)["is_quorate"] and
               c.quorum(n)["present"] == c.lab.nodes and votes(c, n) == ["witness"],
               "the disk alone votes", LONG)


@long
def test_with_disk_only_the_last_node_goes_on_and_nobody_without_the_disk(make_lab):
    c = Cluster(make_lab(3, bin=BUILD, lun_size="128M")).create()
    words = ("quorum", "set", "--mode", "disk-only", "--disk", DISK, "--io-ms", D_MS)
    code, text = c.fails("n1", *words)
    assert code == 8 and "everything stops" in text
    c.ctl("n1", *words, "--confirm", "bank")
    wait_sole(c)
    q = c.quorum("n3")
    assert q["mode"] == "disk-only" and "disk-only" in q["warning"]
    assert (q["votes_total"], q["may_lose_at_once"], q["must_stay"]) == (1, 2, [])
    assert "disk-only" in c.events("n2", "quorum-mode")[-1]["text"]

    c.lab.kill("n1")
    c.lab.kill("n2")
    wait_serving(c, "n3", ["n3"])
    kept = serves(c, "n3")
    q = c.quorum("n3")
    assert (q["witness_owner"], q["may_lose_at_once"], q["must_stay"]) == ("n3", 0, ["n3"])
    c.lab.disk("n3", "eio")
    c.wait("n3", lambda: not c.quorum("n3")["is_quorate"], "the disk is lost", 60)
    never_serves(c, "n3", 10)
    c.lab.disk("n3", "ok")
    wait_serving(c, "n3", ["n3"])
    c.lab.kill("n3")
    c.lab.start("n1")  # what the last has answered is on the disk
    wait_serving(c, "n1", ["n1"])
    assert kept in groups(c, "n1")
    for node in ("n2", "n3"):
        c.lab.start(node)
    wait_sole(c)

    # And back: the nodes get their votes before the disk loses its own.
    c.ctl("n2", "quorum", "set", "--mode", "node-majority")
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.quorum(n)["reason"] == "majority" and
               votes(c, n) == c.lab.nodes, "the nodes vote", LONG)
    serves(c, "n3")
