# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes are updated to a next version one after the other, while a group runs and clients write.

The next version is tests/next/clusterd: the same source with one field and one command more. Which
program a node runs stands in its /etc/clusterd/build.
"""
import os

import pytest
from cluster import BUILD, Cluster
from common import read
from history import Api, Clients
from lablib import LabError, wait_until
from linearizable import order, shortest_bad
from long import long

NOW = os.path.join(BUILD, "clusterd", "clusterd")
NEXT = os.path.join(BUILD, "tests", "next", "clusterd")
KEYS = ["a", "b"]
MORE = 20           # changes that must be acknowledged between two steps


class Upgrade(Cluster):
    """A cluster whose nodes can run either program."""

    def install(self, node, program):
        self.lab.run(node, f"mkdir -p /etc/clusterd; echo {program} > /etc/clusterd/build")

    def update(self, node, program):
        """As an administrator does it: what runs there moves off, and nothing is fenced."""
        self.lab.service(node, "stop", "clusterd")
        self.install(node, program)
        self.lab.service(node, "start", "clusterd")
        self.wait(node, lambda: self.is_whole(node), "every node is up", 60)

    def version(self, node):
        return self.ctl(node, "cluster", "version")

    def look(self):
        """What this build is: the version in force, and what it says of itself."""
        shown = self.version("n1")
        own, = [n for n in shown["nodes"] if n["node"] == "n1"]
        low, high = own["lowest"], own["highest"]
        self.now = shown["in_force"]
        self.speaks = f"speaks {high} only" if low == high else f"speaks {low} to {high}"

    def in_force(self):
        return {node: self.version(node)["in_force"] for node in self.lab.nodes}

    def remark(self, node, group, text):
        api = Api(self.lab, node)
        try:
            return api.ask("group.remark", name=group, remark=text)
        finally:
            api.close()

    def log(self, node):
        return read(os.path.join(self.lab.dir, node, "log", "clusterd.log"), "")

    def state(self, node, of):
        return next(n for n in self.ctl(node, "node", "list") if n["name"] == of)


@pytest.fixture
def upgrade3(make_lab, tmp_path):
    for folder in ("csvfs", "migrate"):
        (tmp_path / folder).symlink_to(os.path.join(BUILD, folder))
    script = tmp_path / "clusterd" / "clusterd"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n"
                      f'exec "$(cat /etc/clusterd/build 2>/dev/null || echo {NOW})" "$@"\n')
    script.chmod(0o755)
    return Upgrade(make_lab(3, bin=str(tmp_path))).create()


def go_on(clients, nodes):
    """All have one database, and clients change it through each of them."""
    clients.rest(True)
    clients.c.wait_same()
    clients.rest(False)
    before = {n: clients.acknowledged([n]) for n in nodes}
    wait_until(lambda: all(clients.acknowledged([n]) > before[n] + MORE for n in nodes), 60,
               f"changes go on through {' '.join(nodes)}")


def refused(c, node, *reasons):
    """The new command, and the new version; both say who is in the way."""
    reply = c.remark(node, "web", "new")
    assert reply["code"] == 8, reply
    assert f"group-remark needs version {c.now + 1}, {c.now} is in force" in reply["text"]
    code, text = c.fails(node, "cluster", "upgrade", "--confirm", "bank")
    assert code == 8 and f"version {c.now + 1} cannot be put in force" in text, text
    shown = c.version(node)
    assert shown["in_force"] == c.now
    for reason in reasons:
        assert reason in reply["text"]
        assert reason in text
        assert reason in shown["reason"]


def update_all_but_n3(c, clients):
    c.update("n1", NEXT)
    refused(c, "n1", f"n2 {c.speaks}")
    go_on(clients, c.lab.nodes)
    c.update("n2", NEXT)
    refused(c, "n2", f"n3 {c.speaks}")
    go_on(clients, c.lab.nodes)
    c.update("n2", NOW)                                 # the way back is open
    refused(c, "n1", f"n2 {c.speaks}")
    go_on(clients, c.lab.nodes)
    c.update("n2", NEXT)


def raise_version(c):
    reply = c.remark("n1", "web", "new")
    assert reply["code"] == 8 and "every node speaks" in reply["text"], reply
    code, text = c.fails("n1", "cluster", "upgrade")
    assert code == 8 and "no node can go back" in text, text
    c.ctl("n2", "cluster", "upgrade", "--confirm", "bank")
    c.wait("all", lambda: set(c.in_force().values()) == {c.now + 1}, "the new version")
    upgraded = c.events("n3", "upgraded")
    assert len(upgraded) == 1 and "root@n2 asked for it" in upgraded[0]["text"], upgraded
    assert c.fails("n1", "cluster", "upgrade", "--confirm", "bank")[0] == 4


@long
def test_node_by_node_while_a_group_runs_and_clients_write(upgrade3):
    c = upgrade3
    c.look()
    c.dummy("web")
    c.ctl("n1", "group", "start", "web")
    c.wait_group("n1", "web", work="online")
    clients = Clients(c, 6, KEYS)
    try:
        update_all_but_n3(c, clients)
        c.lab.service("n3", "stop", "clusterd")         # down, and not updated: in the way
        c.wait("n1", lambda: c.state("n1", "n3")["state"] == "left", "n3 has left")
        refused(c, "n1", f"n3, which is down, {c.speaks}")
        c.lab.service("n3", "start", "clusterd")
        c.wait("n3", lambda: c.is_whole("n3"), "every node is up", 60)
        c.update("n3", NEXT)
        go_on(clients, c.lab.nodes)
        assert set(c.in_force().values()) == {c.now}
        assert "remark" not in c.group("n1", "web")
        raise_version(c)
        go_on(clients, c.lab.nodes)
    finally:
        clients.end()
    assert c.remark("n3", "web", "new")["code"] == 0
    c.wait("n1", lambda: c.group("n1", "web")["remark"] == "new", "the new field")
    c.wait_same()
    c.wait_group("n1", "web", work="online")
    assert len(c.where("web-d")) == 1
    assert not [e for e in c.events("n1") if e["kind"] in ("node-lost", "fence-begin",
                                                           "database-wrong")]
    assert not [o.trouble for o in clients.all if o.trouble]
    clients.read_all()
    for key, history in sorted(clients.histories().items()):
        assert order(history) is not None, f"{key}: no order explains\n" + \
            "\n".join(map(str, shortest_bad(history)[-30:]))


def test_an_old_clusterd_after_the_raise_is_incompatible_and_says_so_on_both_sides(upgrade3):
    c = upgrade3
    c.look()
    for node in c.lab.nodes:
        c.update(node, NEXT)
    raise_version_of(c)
    c.lab.service("n3", "stop", "clusterd")
    c.install("n3", NOW)
    c.lab.service("n3", "start", "clusterd")            # its file is of the new version
    wait_until(lambda: f"version {c.now + 1} is in force in it, this clusterd" in c.log("n3"), 20,
               "n3 says why it does not start")
    assert "Nothing was changed" in c.log("n3")
    c.lab.run("n3", "rm -rf /var/lib/clusterd/cluster.db*")
    wait_until(lambda: starts(c, "n3"), 20, "n3's clusterd can be started again")
    wanted = f"version {c.now + 1} is in force, its clusterd"
    c.wait("n1", lambda: c.state("n1", "n3")["state"] == "incompatible", "n3 is incompatible")
    assert wanted in c.state("n1", "n3")["reason"]
    assert f"{c.speaks}: update it" in c.state("n1", "n3")["reason"]
    c.wait("n3", lambda: c.quorum("n3")["reason"] == "incompatible-version", "n3 knows it, too")
    assert wanted in c.quorum("n3")["text"] and wanted in c.quorum("n1")["refused"][0]["text"]
    c.update("n3", NEXT)
    assert set(c.in_force().values()) == {c.now + 1}


def raise_version_of(c):
    c.ctl("n1", "cluster", "upgrade", "--confirm", "bank")
    c.wait("all", lambda: set(c.in_force().values()) == {c.now + 1}, "the new version")


def starts(c, node):
    """The process that refused may not be reaped yet."""
    try:
        c.lab.service(node, "start", "clusterd")
    except LabError:
        return False
    return True
