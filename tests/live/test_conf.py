# SPDX-License-Identifier: GPL-2.0-or-later
"""corosync.conf is the cluster's: its times; and a ring that is not encrypted is not joined."""
import os
import re

import pytest
from cluster import BUILD, Cluster
from lablib import wait_until

CONF = "/etc/corosync/corosync.conf"
NODES = ["n1", "n2", "n3"]


def edit(lab, node, pattern, to=""):
    text, n = re.subn(pattern, to, lab.run(node, ["cat", CONF]).stdout, flags=re.M)
    assert n
    lab.run(node, f"cat > {CONF}", stdin=text)


def in_force(lab, node):
    cmap = lab.run(node, ["corosync-cmapctl"]).stdout
    return tuple(int(re.search(rf"^runtime.config.totem.{k} \(u32\) = (\d+)", cmap, re.M).group(1))
                 for k in ("token", "consensus"))


@pytest.fixture
def lab(make_lab):
    return make_lab(3, bin=BUILD)


def test_slower_times_are_replaced_and_told_and_can_be_set(lab):
    for node in NODES:
        edit(lab, node, r"^ *token(_coefficient)?: .*\n")
    edit(lab, "n2", r"^ *cluster_name", "    join: 77\n    cluster_name")
    lab.run("n1", ["corosync-cfgtool", "-R"])
    wait_until(lambda: in_force(lab, "n3") == (3650, 4380), 60, "corosync's own times")
    c = Cluster(lab).create()
    for node in NODES:
        c.wait(node, lambda n=node: in_force(lab, n) == (1750, 2100), "the cluster's times", 60)
    assert "token 3650 instead of 1750" in c.events("n1", "conf-adopted")[0]["text"]
    c.wait("n1", lambda: {e["object"] for e in c.events("n1", "conf-replaced")} == set(NODES), "told")
    assert any("join 77 instead of 50" in e["text"] and e["object"] == "n2"
               for e in c.events("n1", "conf-replaced"))
    assert "to_logfile: yes" in lab.run("n1", ["cat", CONF]).stdout

    code, text = c.fails("n1", "quorum", "set", "--token-ms", "100")
    assert code == 2 and "500 to 30000" in text
    c.ctl("n1", "quorum", "set", "--token-ms", "1500")
    for node in NODES:
        c.wait(node, lambda n=node: in_force(lab, n) == (1500, 1800), "the times that were set", 60)
        c.wait(node, lambda n=node: {t["term"]: t["ms"] for t in c.quorum(n)["failover"]["terms"]}
               ["token"] == 1500, "quorum show knows them")
    assert c.quorum("n1")["is_quorate"]


def test_times_that_are_quick_enough_are_kept(lab):
    c = Cluster(lab).create()
    assert c.quorum("n1")["token_ms"] == 1000 and in_force(lab, "n2") == (1000, 1200)
    assert not c.events("n1", "conf-adopted")


def test_a_ring_that_is_not_encrypted_is_named_and_not_joined(lab):
    c = Cluster(lab).create()
    for node in NODES:
        edit(lab, node, r"crypto_(cipher|hash): .*", r"crypto_\1: none")
    lab.run("n1", ["corosync-cfgtool", "-R"])
    c.wait("n1", lambda: {e["object"] for e in c.events("n1", "conf-failed")
                          if "not encrypted" in e["text"]} == set(NODES), "all tell it", 60)
    assert c.quorum("n1")["is_quorate"]
    lab.service("n3", "kill", "clusterd")
    lab.run("n3", f"{os.path.join(BUILD, 'clusterd', 'clusterd')} --foreground > /run/said 2>&1; echo $? >> /run/said",
            timeout=60)
    said = lab.run("n3", ["cat", "/run/said"]).stdout
    assert "not encrypted" in said and "crypto_cipher: aes256" in said
    assert said.strip().endswith("1")
