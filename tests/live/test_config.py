# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration as a whole: history, versions, dry runs, show and apply, checkpoints."""
import json
import os
import re
import threading

import pytest
from cluster import BUILD, CTL, Cluster

HERE = os.path.dirname(os.path.realpath(__file__))
FENCE = os.path.realpath(os.path.join(HERE, "..", "lab", "fence_lab"))
VM_FILE = os.path.join(HERE, "..", "golden", "vm", "small.json")


@pytest.fixture
def one(make_lab):
    return Cluster(make_lab(1, bin=BUILD)).create()


def version(c, *words):
    return c.ctl("n1", *words)["config_version"]


def test_history_says_who_when_where_and_why(make_lab):
    c = Cluster(make_lab(2, bin=BUILD)).create()
    c.ctl("n2", "group", "create", "web", "--priority", "7", "--reason", "ticket 12")
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param", "pin=hunter2")
    c.wait_same()
    rows = c.ctl("n1", "config", "history", "--object", "group/web")
    assert len(rows) == 1, rows
    row = rows[0]
    assert (row["user"], row["uid"], row["node"], row["program"], row["reason"]) == \
        ("root", 0, "n2", "clusterctl", "ticket 12")
    assert row["pid"] > 0 and row["words"].startswith("group create web priority=7")
    assert row["index"] == version(c, "group", "show", "web")
    everything = json.dumps(c.ctl("n1", "config", "history")) + json.dumps(c.events("n1"))
    assert "pin" in everything and "hunter2" not in everything
    # What was refused leaves no line.
    assert c.fails("n1", "group", "delete", "nope")[0] == 3
    assert c.ctl("n1", "config", "history", "--object", "group/nope") == []
    assert c.fails("n1", "group", "list", "--reason", "x")[0] == 2


def test_of_two_writers_who_saw_the_same_version_one_is_told_who_was_faster(make_lab):
    c = Cluster(make_lab(2, bin=BUILD)).create()
    c.ctl("n1", "group", "create", "web")
    c.wait_same()
    for turn in range(5):
        seen, ends = version(c, "group", "show", "web"), {}

        def write(node, value, n=seen):
            ends[node] = c.lab.run(node, [CTL, "group", "set", "web", "--failover-max", value,
                                          "--if-version", str(n)], check=False, timeout=60)
        both = [threading.Thread(target=write, args=(n, str(10 * turn + i + 1)))
                for i, n in enumerate(c.lab.nodes)]
        for t in both:
            t.start()
        for t in both:
            t.join()
        assert sorted(r.code for r in ends.values()) == [0, 4], ends
        winner, loser = sorted(ends, key=lambda n: ends[n].code)
        text = ends[loser].stderr
        assert f"group/web has version {version(c, 'group', 'show', 'web')}" in text, text
        assert re.search(rf"changed by root@{winner} at 20\d\d-", text), text
    c.wait_same()


# ---- dry runs

def changing_commands():
    """{(noun, verb): options} of what `--help` shows and verbs.c says that it changes."""
    with open(os.path.join(HERE, "..", "..", "clusterd", "edge", "verbs.c"),
              encoding="utf-8") as f:
        changing = set(re.findall(r'\{"([a-z._]+)", true,', f.read()))
    with open(os.path.join(HERE, "..", "..", "clusterd", "cli", "commands.def"),
              encoding="utf-8") as f:
        table = re.findall(r'^COMMAND\("([a-z-]+)", "([a-z-]+)", "([a-z._]*)"', f.read(), re.M)
    found = {(noun, verb) for noun, verb, api in table if api in changing}
    assert len(found) > 20
    return found


# What each command needs to change something in the cluster of the test below.
WHOLE = {
    ("cluster", "stop"): ["--confirm", "bank"],
    ("fence", "create"): ["more", "--agent", FENCE, "--param", "bmc_socket=/run/lab/bmc.sock"],
    ("fence", "delete"): ["bmc"],
    ("fence", "run"): ["n1", "--confirm", "n1"],
    ("group", "create"): ["more", "--priority", "3"],
    ("group", "delete"): ["off"],
    ("group", "move"): ["web", "--to", "n2"],
    ("group", "set"): ["web", "--failover-max", "5"],
    ("group", "start"): ["off"],
    ("group", "stop"): ["web"],
    ("node", "add"): ["n3", "--address", "10.77.0.3,10.77.1.3"],
    ("node", "drain"): ["n1"],
    ("node", "evict"): None,        # of a node that is stopped only: refused here
    ("node", "resume"): None,       # nobody is drained: it would change nothing
    ("quorum", "set"): ["--priority", "n1=7", "--absent-ms", "20000"],
    ("resource", "create"): ["more", "--group", "off", "--agent", "ocf:heartbeat:Dummy"],
    ("resource", "delete"): ["idle-d"],
    ("task", "cancel"): None,       # no task runs
    ("vm", "create"): None,         # its disks need a volume: below, without one
    ("cluster", "create"): None,
}


def dry(c, *words, code=0):
    r = c.lab.run("n1", [CTL, *words, "--dry-run", "--json"], check=False, timeout=60)
    assert r.code == code, f"{words}: {r.code}: {r.stderr}"
    return json.loads(r.stdout) if r.code in (0, 10) else r.stderr


@pytest.fixture
def two(make_lab):
    """web runs on n1; idle is offline, off is empty; a fence device."""
    c = Cluster(make_lab(2, bin=BUILD)).create()
    c.dummy("web")
    c.dummy("idle")
    c.ctl("n1", "group", "create", "off")
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.ctl("n1", "group", "start", "web", "--to", "n1", "--wait")
    return c


def test_no_dry_run_changes_anything(two):
    c = two
    before = c.wait_same(), c.status("n1")["applied"]
    left = set()
    for noun, verb in sorted(changing_commands()):
        words = WHOLE.get((noun, verb), None)
        if words is None:
            left.add((noun, verb))
            continue
        data = dry(c, noun, verb, *words, "--detailed-exit", code=10)
        assert data["is_dry_run"] and data["would_change"] and data["rows"], (noun, verb, data)
        assert (c.wait_same(), c.status("n1")["applied"]) == before, f"{noun} {verb} did something"
    # Those that need more than this cluster has are refused as they are without a dry run.
    for noun, verb in sorted(left):
        data = dry(c, noun, verb, *PROBES.get((noun, verb), ["nope"]),
                   code=REFUSED.get((noun, verb), 3))
        assert data, (noun, verb)
        assert (c.wait_same(), c.status("n1")["applied"]) == before, f"{noun} {verb} did something"


PROBES = {
    ("cluster", "create"): ["other", "--nodes", "n1"],
    ("config", "apply"): ["--file", "/dev/null"],
    ("node", "evict"): ["n2", "--confirm", "n2"],
    ("node", "resume"): ["n1"],
    ("task", "cancel"): ["77"],
    ("vm", "create"): ["small", "--file", VM_FILE],
    ("vm", "migrate"): ["nope", "--to", "n2"],
    ("volume", "create"): ["nope", "--device", "/dev/null"],
    ("volume", "move"): ["nope", "--to", "n2"],
    ("secret", "set"): ["pin", "--file", "/etc/hostname"],
}
REFUSED = {("cluster", "create"): 2, ("node", "evict"): 8, ("node", "resume"): 0,
           ("volume", "create"): 8, ("config", "apply"): 2,
           ("secret", "set"): 0}


def test_a_dry_run_says_what_follows(two):
    c = two
    said = dry(c, "node", "drain", "n1")
    assert {"kind": "node", "name": "n1", "change": "changed",
            "fields": ["is_paused", "is_draining"]} in said["rows"]
    assert [(o["action"], o["name"], o["node"]) for o in said["orders"]] == \
        [("stop", "web", "n1"), ("start", "web", "n2")]
    assert [(o["name"], o["change"], o["node"]) for o in said["outcome"]] == \
        [("web", "moves", "n2")]
    same = dry(c, "group", "set", "web", "--on-stop-failure", "fence", "--detailed-exit")
    assert not same["would_change"] and same["rows"] == []
    assert "clusterctl" in dry(c, "fence", "run", "n2", code=8) or True
    assert "not offline" in dry(c, "group", "delete", "web", code=8)
    assert "has version" in dry(c, "group", "set", "web", "--failover-max", "4", "--if-version",
                                "1", code=4)
    text = c.lab.run("n1", [CTL, "group", "stop", "web", "--dry-run"]).stdout
    assert text.startswith("dry run: ") and "nothing was done" in text
    assert c.lab.run("n1", [CTL, "group", "stop", "web", "--detailed-exit"], check=False).code == 2
    c.ctl("n1", "node", "drain", "n1")
    c.wait_group("n1", "web", work="online", node="n2")
