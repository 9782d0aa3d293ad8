# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes are added to a cluster that runs, and evicted from it; corosync.conf follows everywhere."""
import os
import re

import pytest

from cluster import BUILD, Cluster
from long import long

CONF = "/etc/corosync/corosync.conf"
ADDRESSES = "10.77.0.4,10.77.1.4"
BLOCK = re.compile(r"\n    node \{\n        nodeid: 4\n.*?\n    \}", re.S)


@pytest.fixture
def three_of_four(make_lab):
    """A cluster of n1 to n3, whose corosync does not know the fourth, which is off."""
    lab = make_lab(4, bin=BUILD)
    lab.kill("n4")
    text, n = BLOCK.subn("", lab.run("n1", ["cat", CONF]).stdout)
    assert n == 1
    for node in ("n1", "n2", "n3"):
        lab.run(node, f"cat > {CONF}", stdin=text)
    lab.run("n1", ["corosync-cfgtool", "-R"])
    c = Cluster(lab)
    c.ctl("n1", "cluster", "create", c.name, "--nodes", "n1,n2,n3")
    for node in ("n1", "n2", "n3"):
        c.wait(node, lambda n=node: votes(c, n) == {"n1": 1, "n2": 1, "n3": 1}, "three votes")
    return c


def votes(c, via):
    return {n["name"]: n["vote"] for n in c.ctl(via, "node", "list")}


def state(c, via, node):
    return c.ctl(via, "node", "show", node)["state"]


def runs_with(c, node):
    """Names and version in the file of a node, and in its corosync."""
    text = c.lab.run(node, ["cat", CONF]).stdout
    cmap = c.lab.run(node, ["corosync-cmapctl"]).stdout
    return (re.findall(r"name: (n\d)", text), re.findall(r"config_version: (\d+)", text),
            sorted(re.findall(r"^nodelist\.node\.\d+\.name \(str\) = (\S+)", cmap, re.M)),
            re.findall(r"^totem\.config_version \(u64\) = (\d+)", cmap, re.M))


def is_everywhere(c, nodes, names):
    seen = [runs_with(c, n) for n in nodes]
    return all(f == names and r == names and v == w == seen[0][1] != [] for f, v, r, w in seen)


def bring(c, node="n4"):
    """What an administrator does: the two files, corosync, clusterd."""
    text = c.lab.run("n1", ["cat", CONF]).stdout
    with open(os.path.join(c.lab.dir, node, "etc-corosync", "corosync.conf"), "w") as f:
        f.write(text)
    c.lab.start(node)


def test_a_node_is_added_evicted_and_added_again(three_of_four):
    c, old, names = three_of_four, ["n1", "n2", "n3"], ["n1", "n2", "n3", "n4"]
    c.ctl("n2", "quorum", "set", "--priority", "n1=50")     # of four it is n1 that sits out
    c.ctl("n2", "node", "add", "n4", "--address", ADDRESSES)
    assert state(c, "n1", "n4") == "never seen"
    c.wait("n1", lambda: is_everywhere(c, old, names), "all corosyncs know n4", 60)
    assert "to_logfile: yes" in c.lab.run("n1", ["cat", CONF]).stdout
    bring(c)
    c.wait("n1", lambda: state(c, "n4", "n4") == "up", "n4 is up", 60)
    c.dummy("g")
    c.ctl("n1", "group", "move", "g", "--to", "n4", "--wait=30")
    c.wait_group("n4", "g", node="n4", work="online")

    code, text = c.fails("n1", "node", "evict", "n4", "--confirm", "n4")
    assert code == 8 and "stop clusterd" in text
    c.lab.run("n4", ["pkill", "-TERM", "-x", "clusterd"])
    c.wait("n1", lambda: state(c, "n1", "n4") == "left", "n4 has left", 60)
    code, text = c.fails("n1", "node", "evict", "n4")
    assert code == 8 and "--confirm n4" in text
    c.ctl("n1", "node", "evict", "n4", "--confirm", "n4")
    c.wait("n1", lambda: votes(c, "n1") == {"n1": 1, "n2": 1, "n3": 1}, "n4 is gone", 60)
    c.wait("n1", lambda: is_everywhere(c, old, old), "no corosync knows n4", 60)
    c.wait_same(old)

    c.lab.kill("n4")
    c.ctl("n3", "node", "add", "n4", "--address", ADDRESSES, "--nodeid", "4")
    c.wait("n1", lambda: is_everywhere(c, old, names), "all corosyncs know n4 again", 60)
    bring(c)
    c.wait("n1", lambda: state(c, "n4", "n4") == "up", "n4 is up again", 60)
    c.wait("n1", lambda: sum(votes(c, "n4").values()) == 3, "of four one sits out", 60)
    c.lab.kill("n1")
    c.wait("n2", lambda: state(c, "n2", "n1") in ("lost", "fencing"), "n1 is lost")
    c.wait("n2", lambda: c.quorum("n2")["is_quorate"], "the others go on")
    c.wait_same(names[1:])


@long
def test_a_node_that_was_away_gets_the_new_list(three_of_four):
    c, names = three_of_four, ["n1", "n2", "n3", "n4"]
    c.lab.kill("n3")
    c.wait("n1", lambda: state(c, "n1", "n3") in ("lost", "fencing"), "n3 is lost")
    c.ctl("n1", "node", "add", "n4", "--address", ADDRESSES)
    c.wait("n1", lambda: is_everywhere(c, ["n1", "n2"], names), "both corosyncs know n4", 60)
    c.lab.start("n3")
    c.wait("n1", lambda: is_everywhere(c, ["n1", "n2", "n3"], names), "n3's knows it, too", 60)


def test_bad_nodes_are_refused_with_a_reason(three_of_four):
    c = three_of_four
    for code, words, text in (
            (4, ["n1", "--address", ADDRESSES], "member already"),
            (4, ["n4", "--address", "10.77.0.2,10.77.1.4"], "address of n2"),
            (4, ["n4", "--address", ADDRESSES, "--nodeid", "3"], "nodeid 3"),
            (2, ["n4", "--address", "10.77.0.4"], "two networks"),
            (2, ["n4", "--address", "10.77.0.4,x y"], "no address"),
            (2, ["n4"], "--address")):
        got, message = c.fails("n1", "node", "add", *words)
        assert got == code and text in message, f"{words}: {got}: {message}"
    # A file with which the cluster would be unsafe is named, and not made safe-looking.
    c.lab.run("n2", f"sed -i 's/crypto_cipher: aes256/crypto_cipher: none/' {CONF}")
    c.ctl("n1", "node", "add", "n4", "--address", ADDRESSES)
    c.wait("n1", lambda: any("not encrypted" in e["text"] for e in c.events("n1", "conf-failed")
                             if e["object"] == "n2"), "n2 says why it cannot")
    assert "n4" not in c.lab.run("n2", ["cat", CONF]).stdout
    assert "4" not in runs_with(c, "n1")[2]


@long
def test_the_key_is_changed_while_the_cluster_is_stopped(make_lab):
    """As doc/recovery.md says it; who comes with the old key stays alone."""
    c = Cluster(make_lab(3, bin=BUILD)).create()
    c.ctl("n1", "cluster", "stop", "--confirm", c.name)
    for node in c.lab.nodes:
        c.lab.run(node, "while pgrep -x clusterd; do :; done", timeout=60)
    for node in c.lab.nodes:
        c.lab.service(node, "stop", "corosync")
    old = c.lab.run("n1", "base64 /etc/corosync/authkey").stdout
    c.lab.run("n1", "corosync-keygen")
    new = c.lab.run("n1", "base64 /etc/corosync/authkey").stdout
    assert new != old
    bring_key(c, "n2", new)
    for node in c.lab.nodes:
        c.lab.service(node, "start", "corosync")
        c.lab.service(node, "start", "clusterd")
    c.lab.wait_ring("n1", [1, 2])
    c.wait("n1", lambda: c.quorum("n1")["votes_present"] == 2, "two nodes are the cluster")
    assert c.lab.ring("n3")["members"] == [3] and not c.quorum("n3")["is_quorate"]
    for service in ("clusterd", "corosync"):
        c.lab.service("n3", "stop", service)
    bring_key(c, "n3", new)
    for service in ("corosync", "clusterd"):
        c.lab.service("n3", "start", service)
    c.wait("n3", lambda: c.is_whole("n3"), "with the new key it is one of them", 60)
    c.wait_same()


def bring_key(c, node, key):
    c.lab.run(node, "umask 377 && base64 -d > /etc/corosync/authkey.new && "
                    "mv -f /etc/corosync/authkey.new /etc/corosync/authkey", stdin=key)
