# SPDX-License-Identifier: GPL-2.0-or-later
"""What was decided is decided again from the database as it was, on every node, also after a crash."""
import os

import pytest
from cluster import BUILD, CTL, Cluster

HERE = os.path.dirname(os.path.realpath(__file__))
FENCE = os.path.realpath(os.path.join(HERE, "..", "lab", "fence_lab"))


@pytest.fixture
def cluster3(make_lab):
    return Cluster(make_lab(3, bin=BUILD)).create()


def decisions(c, via="n1"):
    """Those that the events of today led to, by number."""
    shown = [c.ctl(via, "event", "show", str(e["id"])) for e in c.events(via)
             if e["kind"] in ("group-start", "group-stop")]
    return {s["decision"]["id"]: s["decision"] for s in shown if s["decision"]}


def test_each_decision_is_made_again_from_what_there_was(cluster3):
    c = cluster3
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
          "bmc_socket=/run/lab/bmc.sock")
    for name in ("a", "b", "c", "d"):
        c.dummy("g" + name, name)
        c.ctl("n1", "group", "start", "g" + name, "--wait")
    c.ctl("n1", "group", "move", "ga", "--to", "n3", "--wait")
    before = c.wait_same(), c.status("n1")["applied"]
    on = [n for n in ("ga", "gb", "gc", "gd") if c.group("n1", n)["node"] == "n3"]
    c.lab.kill("n3")
    for name in on:
        c.wait("n1", lambda name=name: c.group("n1", name)["work"] == "online" and
               c.group("n1", name)["node"] != "n3", f"{name} online elsewhere", 90)
    c.wait("n1", lambda: c.is_whole("n1"), "n3 is back", 90)
    found = decisions(c)
    assert len(found) >= 5 + len(on)
    applied = c.wait_same(), c.status("n2")["applied"]
    for number, made in found.items():
        # n3 has its log from before the crash, and fetched the rest.
        for via in ("n1", "n3") if number % 2 else ("n2", "n3"):
            again = c.ctl(via, "simulate", "decision", str(number))
            assert again["is_same"] and again["applied"] == number - 1, again
            assert again["decision"]["text"] == again["replayed"]["text"] == made["text"]
            assert again["at"] <= made["at"] and again["orders"]
    assert (c.wait_same(), c.status("n2")["applied"]) == applied, "it changed something"

    # Before the crash the planner was at rest; when n3 was fenced, it was not.
    still = c.ctl("n2", "simulate", "replay", "--at", str(before[1]))
    assert still["orders"] == [] and "orders nothing" in still["summary"]
    fenced = c.events("n1", "node-fenced")[-1]
    then = c.ctl("n2", "simulate", "replay", "--at", str(fenced["index"]))
    assert {o["name"] for o in then["orders"] if o["action"] == "start"} == set(on)
    by_time = c.ctl("n1", "simulate", "replay", "--at", then["at"])
    assert by_time["applied"] >= fenced["index"] and by_time["at"] <= then["at"]


def test_what_cannot_be_looked_at_is_refused_with_what_to_do(cluster3):
    c = cluster3
    c.dummy("ga", "a")
    c.ctl("n1", "group", "start", "ga", "--wait")
    number = c.ctl("n1", "group", "explain", "ga")["decision"]["id"]
    applied = c.status("n1")["applied"]
    assert c.ctl("n1", "simulate", "replay", "--at", "1")["applied"] == 1
    for at, code, words in (("0", 2, "neither an index of the log, from 1, nor a time"),
                            ("yesterday", 2, "nor a time such as"),
                            ("2026-11-26", 2, "nor a time such as"),
                            (str(applied + 1000), 3, "is yet to come"),
                            ("1999-12-31T00:00:00Z", 3, "does not reach back so far")):
        assert c.fails("n1", "simulate", "replay", "--at", at)[0] == code
        assert words in c.fails("n1", "simulate", "replay", "--at", at)[1]
    code, text = c.fails("n1", "simulate", "decision", str(number + 1))
    assert code == 3 and "group explain" in text
    # For people.
    text = c.lab.run("n1", [CTL, "simulate", "decision", str(number)]).stdout
    assert text.startswith("the planner decides the same: start of ga on "), text
    assert "\nthen    " in text and "\nagain   " in text and "quorum" not in text
    # A node that is in no quorum looks as well.
    c.lab.kill("n2")
    c.lab.kill("n3")
    c.wait("n1", lambda: not c.quorum("n1")["is_quorate"], "no quorum")
    assert c.ctl("n1", "simulate", "decision", str(number))["is_same"]
