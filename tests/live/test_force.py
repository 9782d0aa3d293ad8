# SPDX-License-Identifier: GPL-2.0-or-later
"""Forced quorum, and what a node held that the cluster does not have, on real corosync."""
import json
import os

import pytest
from cluster import BUILD, CTL, Cluster
from lablib import poll, wait_until
from long import long

FENCE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab", "fence_lab")
DB = "/var/lib/clusterd/cluster.db"
END = ("import sqlite3; d = sqlite3.connect('file:%s?mode=ro', uri=True);"
       "print(d.execute('SELECT max(idx) FROM log').fetchone()[0])" % DB)


@pytest.fixture
def cluster5(make_lab):
    return Cluster(make_lab(5, bin=BUILD)).create()


def fenced(c):
    c.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--param",
          "timeout=5")


def log_end(c, node):
    """The outside look: the newest entry on the node's disk."""
    return int(c.lab.run(node, ["/usr/bin/python3", "-c", END]).stdout)


def force(c, via, down, *words, confirm="bank", timeout=60):
    return c.ctl(via, "cluster", "start", "--force-quorum", "--down", ",".join(down),
                 "--confirm", confirm, "--timeout", "50", *words, timeout=timeout)


def refused(c, via, *words):
    return c.fails(via, "cluster", "start", *words)


def inquorate(c, nodes):
    for node in nodes:
        c.wait(node, lambda n=node: c.quorum(n)["phase"] == "inquorate" and
               c.quorum(n)["present"] == sorted(nodes), "a view without quorum", 60)


def saved_event(c, via, node, timeout=60):
    c.wait(via, lambda: [e for e in c.events(via, "history-saved") if e["object"] == node],
           f"what {node} held is reported", timeout)
    return [e for e in c.events(via, "history-saved") if e["object"] == node][-1]


def saved_file(c, node, event):
    """Header and entries of the file that the event names."""
    path = event["text"].split(" in ")[-1]
    lines = c.lab.run(node, ["cat", path]).stdout.splitlines()
    return json.loads(lines[0]), [json.loads(line) for line in lines[1:]]


def commands(entries):
    """Those of the entries; of a change, what stands in it."""
    return [one for e in entries for one in e.get("commands", [e])]


def entries_that_never_commit(c):
    """
    Groups called ghost... are on the disks of n1 and n5 only; then those two and n4 are gone for
    good. The others stood still, and end before corosync has handed them what came meanwhile.
    """
    still = ["n2", "n3", "n4"]
    c.wait_same()
    stops = [c.lab.popen(n, ["sh", "-c", "kill -STOP $(pgrep -x clusterd)"]) for n in still]
    for p in stops:
        assert p.wait(timeout=60) == 0
    stream = c.lab.popen("n1", ["sh", "-c", f"for i in $(seq 1000); do {CTL} group create ghost$i "
                                "--timeout 1 >/dev/null 2>&1; done"])
    wait_until(lambda: min(log_end(c, "n1"), log_end(c, "n5")) > max(log_end(c, n) for n in still),
               60, "n1 and n5 have on their disks what the others have not")
    for node in ("n1", "n5", "n4"):
        c.lab.kill(node)
    stream.wait(timeout=60)
    for node in ("n2", "n3"):
        c.lab.service(node, "kill", "clusterd")
    for node in ("n2", "n3"):
        wait_until(lambda n=node: c.lab.run(n, ["pgrep", "-x", "clusterd"], check=False).code,
                   20, f"clusterd of {node} is over")
        c.lab.service(node, "start", "clusterd")


def test_two_of_five_go_on_and_who_returns_keeps_what_it_held_aside(cluster5):
    c = cluster5
    fenced(c)
    for node in ("n4", "n2"):
        c.dummy(f"g-{node}")
        c.ctl("n1", "group", "start", f"g-{node}", "--to", node, "--wait")
    code, text = refused(c, "n2", "--force-quorum", "--confirm", "bank")
    assert code == 4 and "there is quorum" in text

    entries_that_never_commit(c)
    inquorate(c, ["n2", "n3"])
    down = ["n1", "n4", "n5"]
    words = ["--force-quorum", "--down"]
    assert refused(c, "n2", "--confirm", "bank")[0] == 2
    code, text = refused(c, "n2", *words, "n1,n4", "--confirm", "bank")
    assert code == 8 and "not listed: n5;" in text
    code, text = refused(c, "n2", *words, "n1,n3,n4,n5", "--confirm", "bank")
    assert code == 8 and "in corosync's ring: n3;" in text
    code, text = refused(c, "n2", *words, "n9", "--confirm", "bank")
    assert code == 3 and "n9" in text
    for confirm in ([], ["--confirm", "bonk"]):
        code, text = refused(c, "n2", *words, ",".join(down), *confirm)
        assert code == 8 and "--confirm bank" in text and "n1,n4,n5" in text
    assert not c.quorum("n2")["is_quorate"]

    force(c, "n3", down)
    status = c.status("n3")["cluster"]
    assert status["forced_down"] == down and status["forced_by"] == "root@n3"
    assert "not back yet: n1,n4,n5" in c.lab.run(
        "n3", [os.path.join(BUILD, "clusterd", "clusterctl"), "cluster", "status"]).stdout
    for node in ("n2", "n3"):
        c.wait(node, lambda n=node: c.quorum(n)["is_quorate"] and
               c.quorum(n)["votes_total"] <= 2, "quorum of those who are here", 60)
    c.wait("n2", lambda: c.group("n2", "g-n4")["work"] == "online" and
           c.group("n2", "g-n4")["node"] != "n4", "g-n4 online elsewhere", 90)
    assert c.where("g-n4-d")[0] in ("n2", "n3") and len(c.where("g-n4-d")) == 1
    kinds = [(e["kind"], e["object"]) for e in c.events("n2")]
    assert kinds.index(("quorum-forced", "bank")) < kinds.index(("node-fenced", "n4"))
    forced = c.events("n2", "quorum-forced")[-1]["text"]
    assert "root@n3" in forced and "n1,n4,n5" in forced

    for node in down:
        c.wait("n2", lambda n=node: ("node-fenced", n) in
               [(e["kind"], e["object"]) for e in c.events("n2")], f"{node} is fenced", 60)
    for node in down:  # the device switches a node on again, unless the sequencer moves meanwhile
        if not poll(lambda n=node: c.lab.node(n)["state"] == "on", 10):
            c.lab.start(node)
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again", 120)
    for node in ("n1", "n5"):
        event = saved_event(c, "n2", node)
        head, entries = saved_file(c, node, event)
        assert head["node"] == node and head["is_known"] and head["missing"] == 0
        ghosts = {e["fields"]["name"] for e in commands(entries)
                  if e.get("command") == "group_create"}
        assert ghosts and all(g.startswith("ghost") for g in ghosts)
        assert not ghosts & {g["name"] for g in c.ctl("n2", "group", "list")}
        assert entries[0]["index"] == head["common"] + 1
        assert f"{len(entries)} entries after {head['common']}" in event["text"]
    assert not [e for e in c.events("n2", "history-saved") if e["object"] in ("n2", "n3", "n4")]
    c.wait_same()
    assert {"g-n2", "g-n4"} <= {g["name"] for g in c.ctl("n5", "group", "list")}
    c.wait("n2", lambda: c.status("n2")["cluster"]["forced_down"] == [] and
           c.events("n2", "quorum-forced-over"), "all are back", 60)


def cut_halves(c, one, other):
    for a in one:
        for b in other:
            c.lab.cut(a, b)


@long
def test_who_acted_without_the_cluster_stops_and_its_changes_are_kept_aside(cluster5):
    """The administrator is wrong: those whom he calls down go on, and change things."""
    c = cluster5
    c.dummy("g")
    c.dummy("h")
    few, many = ["n1", "n2"], ["n3", "n4", "n5"]
    cut_halves(c, few, many)
    inquorate(c, few)
    c.wait("n3", lambda: c.quorum("n3")["is_quorate"] and c.quorum("n3")["present"] == many,
           "the others go on", 60)
    c.ctl("n3", "group", "start", "g", "--to", "n4", "--wait", timeout=60)
    c.ctl("n3", "group", "create", "theirs")
    force(c, "n1", many)
    for node in few:
        c.wait(node, lambda n=node: c.quorum(n)["is_quorate"], "forced", 60)
    c.wait("n1", lambda: {n["name"]: n["state"] for n in c.ctl("n1", "node", "list")}["n5"] ==
           "lost", "lost, and no device that could fence it", 60)
    c.ctl("n1", "group", "create", "ours")
    assert c.has_state("n4", "g-d")

    # Both are wrong about the other; when they meet, the forced history is the cluster's.
    c.lab.heal()
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: c.is_whole(n), "whole again", 120)
    for node in many:
        head, entries = saved_file(c, node, saved_event(c, "n1", node))
        names = [(e.get("command"), e.get("fields", {}).get("name"))
                 for e in commands(entries)]
        assert ("group_create", "theirs") in names and ("group_order", "g") in names
        assert head["replaced_by"]["epoch"]["generation"] > 1
        assert {e["epoch"]["generation"] for e in entries} == {1}
    c.wait_same()
    assert sorted(g["name"] for g in c.ctl("n4", "group", "list")) == ["g", "h", "ours"]
    assert c.where("g-d") == [], "what only they had ordered runs nowhere"
    assert c.group("n4", "g")["work"] == "offline"
    c.ctl("n4", "group", "start", "g", "--to", "n4", "--wait", timeout=60)


@long
def test_an_administrators_word_stands_for_a_fence_and_says_whose_it_is(make_lab):
    c = Cluster(make_lab(3, bin=BUILD)).create()
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n3", "--wait")
    code, text = c.fails("n1", "fence", "confirm", "n3", "--confirm", "n3")
    assert code == 8 and "in corosync's ring" in text
    c.lab.kill("n3")
    c.wait("n1", lambda: c.group("n1", "g")["work"] == "unknown", "it waits", 60)
    code, text = c.fails("n1", "fence", "confirm", "n3")
    assert code == 8 and "--confirm n3" in text
    assert c.where("g-d") == [] and c.group("n1", "g")["work"] == "unknown"
    c.ctl("n1", "fence", "confirm", "n3", "--confirm", "n3")
    c.wait_group("n1", "g", 60, work="online")
    assert c.where("g-d") in (["n1"], ["n2"])
    said = c.events("n1", "fence-confirmed")[-1]
    assert said["object"] == "n3" and "root@n1" in said["text"]
    assert said in c.ctl("n1", "fence", "history")
    c.lab.start("n3")
    c.wait("n3", lambda: c.is_whole("n3"), "a later boot is admitted", 60)


def test_a_blank_node_forces_nothing(make_lab):
    c = Cluster(make_lab(1, bin=BUILD))
    c.wait("n1", lambda: c.quorum("n1")["phase"] == "unconfigured", "clusterd answers")
    code, text = refused(c, "n1", "--force-quorum", "--confirm", "bank")
    assert code == 8 and "holds no history" in text
