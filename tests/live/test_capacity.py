# SPDX-License-Identifier: GPL-2.0-or-later
"""Room: what a loss would leave no room for is not started, and what has none after one waits."""
import os

import pytest
from cluster import BUILD, CTL, Cluster


@pytest.fixture
def cluster3(make_lab):
    return Cluster(make_lab(3, bin=BUILD)).create()


def node(c, name, via="n1"):
    return c.ctl(via, "node", "show", name)


def test_a_start_is_refused_and_after_a_crash_the_low_priority_waits_for_room(cluster3):
    c = cluster3
    # Each node says what it has; an administrator says otherwise.
    cores = os.cpu_count()
    for name in c.lab.nodes:
        c.wait("n1", lambda n=name: node(c, n)["cores"] == cores, f"{name} says what it has")
        assert node(c, name)["capacity_mib"] == node(c, name)["memory_mib"] - 1024
        c.ctl("n1", "node", "set", name, "--memory", "4096", "--cpu", "400")
    assert node(c, "n2")["memory"] == "0/4096" and node(c, "n2")["free_cpu_pct"] == 400

    for name, memory, priority in (("db", 3072, "high"), ("app", 3072, "low"),
                                   ("web", 2048, "medium")):
        c.dummy("g" + name, name)
        c.ctl("n1", "group", "set", "g" + name, "--memory", str(memory), "--priority", priority)
    c.ctl("n1", "placement", "set", "--survive", "1")
    c.ctl("n1", "group", "start", "gdb", "--to", "n3", "--wait")
    c.ctl("n1", "group", "start", "gapp", "--to", "n2", "--wait")
    assert c.status("n1")["admission"] == {"survive": 1, "is_survived": True, "text": ""}

    # On n1 it would have no room elsewhere, should that be lost.
    code, text = c.fails("n1", "group", "start", "gweb", "--to", "n1")
    assert code == 8 and "survive 1" in text and "is lost, 'gweb' has no room" in text
    code, text = c.fails("n1", "group", "move", "gapp", "--to", "n3")
    assert code == 8 and "3072 MiB asked, 1024 MiB free" in text
    assert c.where("web") == []

    # Whoever does not ask to survive gets it started, and is not warned; who does is.
    c.ctl("n1", "placement", "set", "--survive", "0")
    c.ctl("n1", "group", "start", "gweb", "--to", "n1", "--wait")
    c.ctl("n1", "placement", "set", "--survive", "1")
    shown = c.status("n1")["admission"]
    assert not shown["is_survived"] and "is lost, 'gweb' has no room" in shown["text"]
    plain = c.lab.run("n1", [CTL, "status"], timeout=30).stdout
    assert "WARNING 1 lost would not be survived: if " in plain and "2048/4096" in plain

    # Both on n3, which is lost: there is room for one of them on n1, and for none on n2.
    c.ctl("n1", "group", "stop", "gweb", "--wait")
    c.ctl("n1", "node", "set", "n3", "--memory", "8192")
    c.ctl("n1", "group", "move", "gapp", "--to", "n3", "--wait")
    c.ctl("n1", "node", "set", "n2", "--memory", "1024")
    assert c.where("db") == c.where("app") == ["n3"]
    c.lab.kill("n3")
    c.wait("n1", lambda: node(c, "n3")["state"] == "lost", "n3 is lost")
    c.ctl("n1", "fence", "confirm", "n3", "--confirm", "n3")
    c.wait_group("n1", "gdb", work="online", node="n1")
    c.wait("n1", lambda: "waits for room" in c.group("n1", "gapp")["explain"], "gapp waits")
    why = c.group("n1", "gapp")["explain"]
    assert "n1: 3072 MiB asked, 1024 MiB free" in why and "n2: 3072 MiB asked, 1024 MiB free" in why
    assert c.where("db") == ["n1"] and c.where("app") == []

    # It starts when its node is back; what runs stays where it is.
    c.lab.start("n3")
    c.wait_group("n1", "gapp", work="online", node="n3", timeout=90)
    assert c.where("db") == ["n1"] and c.where("app") == ["n3"]
    c.wait_same()
