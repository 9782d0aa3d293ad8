# SPDX-License-Identifier: GPL-2.0-or-later
"""Failures age: restarts within a period, failovers within a period, and another try later."""
import pytest
from cluster import BUILD, Cluster
from lablib import wait_until


@pytest.fixture
def cluster2(make_lab):
    return Cluster(make_lab(2, bin=BUILD)).create()


def break_it(c, failures):
    """Its resource fails where it runs; the group has failed so often then."""
    node, = c.where("a")
    c.lab.run(node, "rm /run/a.state")
    c.wait("n1", lambda: c.group("n1", "g")["failures"] == failures, f"failure {failures}")


def test_what_fails_again_and_again_is_given_up_and_tried_again_later(cluster2):
    c = cluster2
    c.dummy("g", "a", monitor_ms=200, restart_max=0)
    code, text = c.fails("n1", "group", "set", "g")
    assert code == 2 and "nothing to set" in text
    code, text = c.fails("n1", "group", "set", "g", "--retry-ms", "10")
    assert code == 2 and "retry_ms" in text
    c.ctl("n1", "group", "set", "g", "--failover-max", "1", "--retry-ms", "4000")
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--wait")

    break_it(c, 1)
    c.wait_group("n1", "g", work="online", node="n2", failovers=1)
    break_it(c, 2)
    gave_up, = c.events("n1", "group-gave-up")
    assert gave_up["object"] == "g"
    assert "after 1 failovers within 6 h" in gave_up["text"] and "4 s" in gave_up["text"]

    # Nobody asks for it: the cluster tries it again by itself, with its failures forgotten.
    c.wait("n1", lambda: c.events("n1", "group-retry"), "tried again")
    c.wait_group("n1", "g", work="online", failovers=0)
    assert len(c.where("a")) == 1

    # Without a retry it waits for somebody, and says so.
    c.ctl("n1", "group", "set", "g", "--retry-ms", "0")
    break_it(c, 3)
    c.wait_group("n1", "g", work="online", failovers=1)
    break_it(c, 4)
    g = c.wait_group("n1", "g", work="failed", node=None)
    assert "failed again after 1 failovers within 6 h" in g["explain"]
    assert "'group start'" in g["explain"] and "monitor" in g["explain"]
    assert c.where("a") == [] and c.ctl("n1", "lock", "list") == []
    c.ctl("n1", "group", "start", "g", "--wait")
    assert c.group("n1", "g")["failovers"] == 0 and len(c.where("a")) == 1
    assert len(c.events("n1", "group-gave-up")) == 2 and len(c.events("n1", "group-retry")) == 1
    c.wait_same()


def test_restarts_in_place_are_forgotten_after_their_period(cluster2):
    c = cluster2
    c.dummy("g", "a", monitor_ms=200, restart_max=1, restart_ms=2000)
    c.ctl("n1", "group", "start", "g", "--to", "n2", "--wait")
    for times in (1, 2):
        c.lab.run("n2", "rm /run/a.state")
        c.wait("n1", lambda n=times: len(c.events("n1", "resource-restarted")) == n, "restarted")
        wait_until(lambda: c.has_state("n2", "a"), 10, "running again")
        c.wait("n1", lambda: c.ctl("n1", "resource", "show", "a")["restarts"] == 0, "forgotten")
    g = c.wait_group("n1", "g", work="online", node="n2")
    assert g["failures"] == 0 and g["failovers"] == 0
    c.wait_same()
