# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration as a whole: history, versions, dry runs, show and apply, checkpoints."""
import json
import os
import re
import threading

import pytest
from cluster import BUILD, CTL, Cluster
from long import long

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
FILE = "/run/config.json"
WHOLE = {
    ("affinity", "create"): ["away", "--groups", "web,idle", "--keep", "apart"],
    ("fence", "set"): ["--max", "2"],
    ("group", "unmanage"): ["web"],
    ("placement", "set"): ["--wave-ms", "20000"],
    ("resource", "set"): ["idle-d", "--restart-max", "7"],
    ("config", "apply"): ["--file", FILE],
    ("config", "checkpoint-create"): ["more"],
    ("config", "checkpoint-delete"): ["old"],
    ("config", "rollback"): ["old"],
    ("secret", "set"): ["pin", "--file", "/etc/hostname"],
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
    ("node", "leave"): [],
    ("node", "evict"): None,        # of a node that is stopped only: refused here
    ("node", "resume"): None,       # nobody is drained: it would change nothing
    ("node", "set"): ["n1", "--memory", "65536"],
    ("quorum", "set"): ["--priority", "n1=7", "--absent-ms", "20000"],
    ("resource", "create"): ["more", "--group", "off", "--agent", "ocf:heartbeat:Dummy"],
    ("resource", "delete"): ["idle-d"],
    ("task", "cancel"): None,       # no task runs
    ("vm", "create"): ["small", "--file", VM_FILE],
    ("cluster", "create"): None,
}


def dry(c, *words, code=0):
    r = c.lab.run("n1", [CTL, *words, "--dry-run", "--json"], check=False, timeout=60)
    assert r.code == code, f"{words}: {r.code}: {r.stderr}"
    return json.loads(r.stdout or "null") if r.code in (0, 10) else r.stderr


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


@long
def test_no_dry_run_changes_anything(two):
    c = two
    c.ctl("n1", "config", "checkpoint-create", "old")
    c.ctl("n1", "group", "set", "idle", "--failover-max", "8")
    c.lab.run("n1", f"cat > {FILE}", stdin=json.dumps({"groups": [{"name": "off",
                                                                  "priority": 9}]}))
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
    ("cluster", "start"): [],
    ("cluster", "upgrade"): ["--confirm", "bank"],
    ("network", "set"): ["nope", "--metric", "5"],
    ("node", "evict"): ["n2", "--confirm", "n2"],
    ("node", "resume"): ["n1"],
    ("node", "set"): ["nope", "--memory", "1"],
    ("task", "cancel"): ["77"],
    ("vm", "migrate"): ["nope", "--to", "n2"],
    ("vm", "clone"): ["nope", "more"],
    ("vm", "snapshot-create"): ["nope", "more"],
    ("vm", "snapshot-delete"): ["nope", "more"],
    ("vm", "snapshot-revert"): ["nope", "more"],
    ("volume", "balance"): [],
    ("volume", "redirect"): ["nope", "on"],
    ("vm", "set"): ["nope", "--priority", "high"],
    ("volume", "create"): ["nope", "--device", "/dev/null"],
    ("volume", "move"): ["nope", "--to", "n2"],
}
REFUSED = {("cluster", "create"): 2, ("cluster", "start"): 2,
           ("cluster", "upgrade"): 4, ("node", "evict"): 8,
           ("volume", "balance"): 0, ("node", "resume"): 0, ("volume", "create"): 8}


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


# ---- the document

def document(c, via="n1"):
    data = c.ctl(via, "config", "show")
    return {k: v for k, v in data.items() if k != "version"}


def apply(c, doc, *more, via="n1", fails=None):
    """config apply of a document; its commands, or the sentence of the refusal."""
    path = f"/tmp/config-{os.getpid()}.json"
    c.lab.run(via, ["/usr/bin/python3", "-c", f"import sys; open({path!r}, 'w')"
                    ".write(sys.stdin.read())"], stdin=json.dumps(doc))
    try:
        if fails is None:
            return [row["command"] for row in
                    c.ctl(via, "config", "apply", "--file", path, *more)["commands"]]
        code, text = c.fails(via, "config", "apply", "--file", path, *more)
        assert code == fails, text
        return text
    finally:
        c.lab.run(via, ["rm", "-f", path])


def make_rich(c):
    """Of everything something, with other values than the defaults."""
    c.ctl("n1", "quorum", "set", "--priority", "n1=50", "--absent-ms", "20000")
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--nodes", "n1", "--level", "2",
          "--timeout-ms", "20000", "--param", "bmc_socket=/run/lab/bmc.sock", "--param",
          "pin=12 34=5")
    c.dummy("web", "web-ip", "web-d", restart_max=7, monitor_ms=5000)
    c.ctl("n1", "group", "create", "db", "--priority", "200")
    c.ctl("n1", "group", "set", "db", "--failover-max", "4", "--failover-ms", "5000",
          "--retry-ms", "0", "--on-stop-failure", "block")
    c.ctl("n1", "resource", "create", "db-d", "--group", "db", "--agent", "ocf:heartbeat:Dummy",
          "--param", "state=/run/db.state")
    c.ctl("n1", "affinity", "create", "away", "--groups", "web,db", "--keep", "apart")
    with open(VM_FILE, encoding="utf-8") as f:
        definition = {**json.load(f), "name": "vm1", "disks": []}
    return {"vms": [{"name": "vm1", "uuid": definition["uuid"], "definition": definition}]}


def test_what_is_shown_makes_a_fresh_cluster_the_same(make_lab):
    c = Cluster(make_lab(2, bin=BUILD)).create()
    extra = make_rich(c)
    assert apply(c, extra)
    doc = document(c)
    assert [g["name"] for g in doc["groups"]] == ["db", "vm1", "web"]
    assert {r["name"]: r["params"] for r in doc["resources"]}["db-d"] == {"state": "/run/db.state"}
    assert doc["fences"][0]["params"]["pin"] == "12 34=5" and doc["fences"][0]["nodes"] == ["n1"]
    assert doc["affinities"] == [{"name": "away", "groups": ["web", "db"], "is_apart": True,
                                  "is_soft": False}]
    assert {s["key"]: s["value"] for s in doc["settings"]}["quorum.priority/n1"] == "50"
    assert apply(c, doc) == [] and apply(c, doc, "--prune") == []
    assert document(c) == doc
    before = c.wait_same()
    c.ctl("n2", "group", "start", "web", "--wait")      # state is no configuration
    assert document(c, "n2") == doc and c.wait_same() != before

    other = Cluster(make_lab(2, bin=BUILD)).create()
    done = apply(other, doc, "--reason", "rebuilt")
    assert document(other) == doc
    assert apply(other, doc, "--prune") == []
    history = other.ctl("n2", "config", "history")
    assert [h["reason"] for h in history].count("rebuilt") == len(done) > 10
    assert len({h["index"] for h in history if h["reason"] == "rebuilt"}) == 1, "one entry"
    other.ctl("n1", "group", "start", "web", "--wait")
    assert other.where("web-d")
    other.wait_same()


def test_a_document_is_applied_whole_or_not_at_all(two):
    c = two
    doc = document(c)
    before = c.wait_same(), c.status("n1")["applied"]

    def bad(change, place, code=2, *more):
        new = json.loads(json.dumps(doc))
        change(new)
        text = apply(c, new, *more, fails=code)
        assert place in text, text
        assert (c.wait_same(), c.status("n1")["applied"]) == before

    web = next(i for i, g in enumerate(doc["groups"]) if g["name"] == "web")
    res = next(i for i, r in enumerate(doc["resources"]) if r["name"] == "web-d")
    bad(lambda d: d["groups"][web].update(priority=256), f"groups[{web}].priority (web)")
    bad(lambda d: d["groups"][web].update(priority="high"), f"groups[{web}].priority: a number")
    bad(lambda d: d["groups"][web].update(colour="red"), f"groups[{web}].colour: there is no such")
    bad(lambda d: d["groups"][web].update(work="online"), f"groups[{web}].work: there is no such")
    bad(lambda d: d["groups"].append({"name": "web"}), "web is there twice")
    bad(lambda d: d["groups"].append({"priority": 3}), "groups[3].name: a name")
    bad(lambda d: d.update(shapes=[]), "shapes: there is no such section")
    bad(lambda d: d["nodes"].append({"name": "n9"}), "nodes[2] (n9)", 3)
    bad(lambda d: d["resources"].append({"name": "x", "group": "nope", "agent": "ocf:a:b"}),
        "(x): no group nope", 3)
    bad(lambda d: d["resources"].append({"name": "x", "group": "web"}), "agent: missing")
    bad(lambda d: d["fences"][0]["params"].update(password="hunter2"), "fences[0].params.password")
    # web runs: its agent stays, and it is not deleted.
    bad(lambda d: d["resources"][res].update(agent="ocf:heartbeat:Delay"),
        f"resources[{res}].agent (web-d): agent cannot be changed now", 8)
    bad(lambda d: (d["groups"].pop(web), d["resources"].pop(res)), "resource web-d is not offline",
        8, "--prune")
    # The good half of a bad document is not done either.
    bad(lambda d: (d["groups"].insert(0, {"name": "aaa"}), d["groups"][web + 1].update(
        possible=["n1", "n9"])), "there is no node n9")
    assert c.where("web-d") == ["n1"]
    c.ctl("n1", "config", "checkpoint-create", "now")       # the version of the whole stays
    seen = c.ctl("n1", "config", "show")["version"]
    c.ctl("n2", "group", "set", "off", "--failover-max", "9")
    assert "config has version" in apply(c, doc, "--if-version", str(seen), fails=4)


@long
def test_a_rollback_brings_back_what_was_deleted_and_takes_away_what_came(two):
    c = two
    c.ctl("n1", "fence", "delete", "bmc")       # or it has n2 back before we want it
    c.ctl("n1", "config", "checkpoint-create", "good", "--reason", "before the change")
    doc = document(c)
    assert [r["name"] for r in c.ctl("n2", "config", "checkpoint-list")] == ["good"]
    assert c.fails("n1", "config", "checkpoint-create", "good")[0] == 4
    c.ctl("n1", "resource", "delete", "idle-d")
    c.ctl("n1", "group", "delete", "idle")
    c.ctl("n1", "group", "set", "web", "--failover-max", "3")
    c.ctl("n1", "group", "create", "new")
    found = {(d["change"], d["object"], d["field"]) for d in
             c.ctl("n1", "config", "diff", "--from", "good")}
    assert found == {("removed", "group/idle", ""), ("removed", "resource/idle-d", ""),
                     ("changed", "group/web", "failover_max"), ("added", "group/new", "")}
    before = c.wait_same()
    said = dry(c, "config", "rollback", "good", "--detailed-exit", code=10)
    assert len(said["commands"]) >= 4 and c.wait_same() == before
    c.lab.kill("n2")                    # it gets checkpoint and rollback when it is back
    c.wait("n1", lambda: c.quorum("n1")["is_quorate"], "n1 goes on", 60)
    c.ctl("n1", "config", "rollback", "good", "--reason", "did not work")
    assert document(c) == doc
    assert c.ctl("n1", "config", "diff", "--from", "good") == []
    assert c.group("n1", "idle")["work"] == "offline" and c.group("n1", "web")["work"] == "online"
    c.ctl("n1", "group", "create", "running")
    c.ctl("n1", "resource", "create", "running-d", "--group", "running", "--agent",
          "ocf:heartbeat:Dummy", "--param", "state=/run/r.state")
    c.ctl("n1", "group", "start", "running", "--wait")
    code, text = c.fails("n1", "config", "rollback", "good")
    assert code == 8 and "running-d is not offline" in text
    assert c.group("n1", "running")["work"] == "online"
    c.ctl("n1", "group", "stop", "running", "--wait")
    c.ctl("n1", "config", "rollback", "good")
    assert document(c) == doc
    c.lab.start("n2")
    c.wait("n2", lambda: document(c, "n2") == doc, "n2 has it, too", 60)
    assert c.ctl("n2", "config", "diff", "--from", "good") == []
    c.wait_same()
