# SPDX-License-Identifier: GPL-2.0-or-later
"""clusterd on real corosync: membership, quorum, database, groups."""
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest
from cluster import BUILD, CTL, Cluster, Ctl
from lablib import wait_until
from long import long, long_but


@pytest.fixture
def cluster3(make_lab):
    return Cluster(make_lab(3, bin=BUILD)).create()


FENCE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab", "fence_lab")


@pytest.fixture
def fenced3(cluster3):
    """Three nodes whose power the cluster can cut."""
    cluster3.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--param",
                 "bmc_socket=/run/lab/bmc.sock")
    return cluster3


# --- forming

def test_three_blank_nodes_become_one_cluster(cluster3):
    cluster3.wait_same()
    for node in cluster3.lab.nodes:
        q = cluster3.quorum(node)
        assert (q["votes_total"], q["votes_needed"]) == (3, 2)
        assert q["may_lose_next"] == ["n1", "n2", "n3"]
    code, text = cluster3.fails("n2", "cluster", "create", "other", "--nodes", "n2")
    assert code == 4 and "belongs to a cluster already" in text


def test_a_node_that_is_not_a_member_is_refused_with_the_reason(make_lab):
    lab = make_lab(3, bin=BUILD)
    c = Cluster(lab)
    c.wait("n1", lambda: c.quorum("n1")["phase"] == "unconfigured", "clusterd answers")
    c.ctl("n1", "cluster", "create", "two", "--nodes", "n1,n2")
    c.wait("n2", lambda: c.quorum("n2")["is_quorate"], "quorum of two")
    assert c.quorum("n1")["refused"][0]["name"] == "n3"
    assert c.quorum("n1")["refused"][0]["reason"] == "not-a-member"
    assert c.quorum("n3")["phase"] == "refused" and c.quorum("n3")["reason"] == "not-a-member"


@long
def test_a_seventeenth_node_is_refused(make_lab):
    c = Cluster(make_lab(1, bin=BUILD))
    c.wait("n1", lambda: c.quorum("n1")["phase"] == "unconfigured", "clusterd answers")
    code, text = c.fails("n1", "cluster", "create", "big", "--nodes",
                         ",".join(f"n{i}" for i in range(1, 18)))
    assert code == 8 and "at most 16" in text


def test_sixteen_nodes_form_a_quorate_cluster(make_lab):
    c = Cluster(make_lab(16, bin=BUILD)).create()
    assert c.quorum("n16")["votes_total"] == 15
    assert len(c.status("n9")["nodes"]) == 16
    c.wait_same()


# --- quorum lost and found

def test_a_minority_refuses_changes_and_comes_back_as_a_puller(cluster3):
    c = cluster3
    c.lab.cut("n1")
    c.wait("n1", lambda: not c.quorum("n1")["is_quorate"], "no quorum alone")
    c.wait("n2", lambda: c.quorum("n2")["is_quorate"], "quorum of two")
    assert c.quorum("n1")["would_help"] == ["n2", "n3"]
    code, text = c.fails("n1", "group", "create", "lost")
    assert code == 6 and "no quorum" in text
    c.ctl("n2", "group", "create", "kept")
    assert {n["name"]: n["state"] for n in c.ctl("n2", "node", "list")}["n1"] == "lost"
    c.lab.heal()
    c.wait("n1", lambda: c.is_whole("n1"), "back in the cluster")
    c.wait_same()
    assert [g["name"] for g in c.ctl("n1", "group", "list")] == ["kept"]


def test_an_empty_disk_is_filled_again_and_never_votes_before(cluster3):
    c = cluster3
    c.ctl("n1", "group", "create", "g")
    c.lab.kill("n2")
    c.lab.kill("n3")
    c.lab.start("n3")
    c.wait("n3", lambda: c.is_whole("n3") or c.quorum("n3")["is_quorate"], "quorum of n1, n3")
    c.lab.kill("n3")
    shutil.rmtree(os.path.join(c.lab.dir, "n2", "lib-clusterd"))
    os.mkdir(os.path.join(c.lab.dir, "n2", "lib-clusterd"), 0o700)
    c.lab.start("n2")
    c.wait("n1", lambda: "n2" in c.quorum("n1")["present"], "n2 in the ring")
    assert not c.quorum("n1")["is_quorate"], "an empty disk was counted as a vote"
    c.lab.start("n3")
    c.wait("n2", lambda: c.is_whole("n2"), "n2 filled")
    c.wait_same()
    assert c.group("n2", "g")["name"] == "g"


def test_no_acknowledged_change_is_lost_when_nodes_are_killed(cluster3):
    c = cluster3
    acknowledged, stop = [], threading.Event()

    def write(node):
        n = 0
        while not stop.is_set():
            n += 1
            name = f"{node}-{n}"
            try:
                c.ctl(node, "group", "create", name)
                acknowledged.append(name)
            except Ctl:
                pass

    writers = [threading.Thread(target=write, args=(n,)) for n in ("n2", "n3")]
    for w in writers:
        w.start()
    try:
        for victim in ("n1", "n1"):
            before = len(acknowledged)
            c.lab.kill(victim)
            wait_until(lambda b=before: len(acknowledged) > b + 10, 30, "writes go on without n1")
            c.lab.start(victim)
            c.wait(victim, lambda v=victim: c.is_whole(v), "back")
    finally:
        stop.set()
        for w in writers:
            w.join()
    c.wait_same()
    for node in c.lab.nodes:
        there = {g["name"] for g in c.ctl(node, "group", "list")}
        assert set(acknowledged) <= there
    assert len(acknowledged) > 20


@long
def test_a_node_that_missed_more_than_the_log_keeps_gets_a_snapshot(cluster3):
    c = cluster3
    c.lab.kill("n3")
    c.wait("n1", lambda: c.quorum("n1")["is_quorate"] and c.quorum("n1")["votes_present"] == 2,
           "quorum of two")
    requests = "".join(json.dumps({"verb": "node.drain" if i % 2 else "node.resume",
                                   "args": {"name": "n3"}}) + "\n" for i in range(2600))
    c.lab.run("n1", ["/usr/bin/python3", "-c", PIPE], stdin=requests, timeout=120)
    c.lab.start("n3")
    c.wait("n3", lambda: c.quorum("n3")["is_quorate"] and c.quorum("n3")["votes_present"] == 3,
           "n3 has caught up", 60)
    c.wait_same()
    log = open(os.path.join(c.lab.dir, "n3", "log", "clusterd.log"), encoding="utf-8").read()
    assert "installing a snapshot and" in log


# Sends lines to the API socket and reads a reply for each.
PIPE = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/clusterd/api.sock")
f = s.makefile("rw")
for line in sys.stdin:
    f.write(line)
    f.flush()
    assert '"code":0' in f.readline()
"""


# --- groups

def test_a_group_starts_moves_and_stops_in_order(cluster3):
    c = cluster3
    c.dummy("g", "a", "b")
    c.ctl("n1", "group", "start", "g", "--wait")
    g = c.group("n3", "g")
    assert g["work"] == "online" and c.where("a") == c.where("b") == [g["node"]]
    assert [(k["name"], k["mode"], k["node"]) for k in c.ctl("n2", "lock", "list")] == \
        [("grp:g", "EX", g["node"])]
    to = "n3" if g["node"] != "n3" else "n2"
    c.ctl("n2", "group", "move", "g", "--to", to, "--wait")
    assert c.where("a") == c.where("b") == [to]
    c.ctl("n2", "group", "stop", "g", "--wait")
    assert c.where("a") == c.where("b") == [] and c.ctl("n1", "lock", "list") == []
    tasks = c.ctl("n1", "task", "list")
    assert [(t["verb"], t["state"]) for t in tasks] == \
        [("group-start", "done"), ("group-move", "done"), ("group-stop", "done")]
    reasons = [e["text"] for e in c.events("n1", "group-start") if e["text"].startswith("on ")]
    assert all(": " in text for text in reasons) and reasons


def test_a_failed_resource_is_restarted_then_the_group_fails_over(cluster3):
    c = cluster3
    c.dummy("g", "a", monitor_ms=300, restart_max=1)
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--wait")
    c.lab.run("n1", "rm /run/a.state")
    c.wait("n2", lambda: c.events("n2", "resource-restarted"), "restarted in place")
    wait_until(lambda: c.has_state("n1", "a"), 10, "running again")
    c.wait_group("n2", "g", work="online", node="n1")
    c.lab.run("n1", "rm /run/a.state")
    g = c.wait_group("n2", "g", work="online", failures=1)
    assert g["node"] in ("n2", "n3") and c.where("a") == [g["node"]]


def test_a_group_that_fails_everywhere_says_so(cluster3):
    c = cluster3
    c.ctl("n1", "group", "create", "g")
    c.ctl("n1", "resource", "create", "bad", "--group", "g", "--agent", "ocf:heartbeat:Dummy",
          "--param", "state=/nonexistent/bad.state")
    c.ctl("n1", "group", "start", "g", "--no-wait")
    c.wait("n1", lambda: "failed on every node" in c.group("n1", "g")["explain"], "explained")
    assert c.group("n1", "g")["failures"] == 3 and c.group("n1", "g")["work"] == "offline"


def test_drain_moves_groups_away_and_keeps_them_away(cluster3):
    c = cluster3
    for i in range(4):
        c.dummy(f"g{i}")
        c.ctl("n1", "group", "start", f"g{i}", "--to", "n2", "--wait")
    c.ctl("n1", "node", "drain", "n2")
    for i in range(4):
        c.wait("n1", lambda n=f"g{i}": c.group("n1", n)["work"] == "online" and
               c.group("n1", n)["node"] != "n2", "moved off n2")
    code, text = c.fails("n1", "group", "move", "g0", "--to", "n2")
    assert code == 8 and "paused" in text
    c.ctl("n1", "node", "resume", "n2")
    c.ctl("n1", "group", "move", "g0", "--to", "n2", "--wait")


@long
def test_killing_clusterd_touches_nothing_that_runs_and_fences_nobody(fenced3):
    c = fenced3
    for node in c.lab.nodes:
        c.dummy(f"g-{node}", monitor_ms=500)
        c.ctl("n1", "group", "start", f"g-{node}", "--to", node, "--wait")
    boots = {n: c.ctl("n1", "node", "show", n)["boot"] for n in c.lab.nodes}
    for node in c.lab.nodes:
        c.lab.service(node, "kill", "clusterd")
        other = "n1" if node != "n1" else "n2"
        c.wait(other, lambda o=other: c.quorum(o)["votes_present"] == 2, "view without it")
        assert c.has_state(node, f"g-{node}-d"), "what runs does not need the daemon"
        c.lab.service(node, "start", "clusterd")
        c.wait(node, lambda n=node: c.is_whole(n), "back")
        c.wait_group(node, f"g-{node}", work="online", node=node)
        assert c.where(f"g-{node}-d") == [node]
    c.wait_same()
    assert not c.events("n1", "fence-begin") and not c.events("n1", "node-lost")
    assert boots == {n: c.ctl("n1", "node", "show", n)["boot"] for n in c.lab.nodes}


def test_a_node_whose_clusterd_stays_away_is_fenced(fenced3):
    c = fenced3
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n3", "--wait")
    c.lab.service("n3", "kill", "clusterd")
    c.wait("n1", lambda: c.group("n1", "g")["work"] == "online" and
           c.group("n1", "g")["node"] != "n3", "failed over")
    assert c.events("n1", "node-fenced")


def test_a_clean_stop_empties_the_node_and_is_no_loss(cluster3):
    c = cluster3
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n3", "--wait")
    c.lab.service("n3", "stop", "clusterd")
    c.wait("n1", lambda: c.group("n1", "g")["work"] == "online" and
           c.group("n1", "g")["node"] != "n3", "moved")
    c.wait("n1", lambda: {n["name"]: n["state"] for n in c.ctl("n1", "node", "list")}["n3"] ==
           "left", "left cleanly")
    assert not c.events("n1", "node-lost")


def test_a_minority_stops_its_work_and_nobody_starts_it_before_a_fence(cluster3):
    c = cluster3
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--wait")
    c.lab.cut("n1")
    c.wait("n2", lambda: c.group("n2", "g")["work"] == "unknown", "majority has seen the loss")
    assert "waiting to fence n1" in c.group("n2", "g")["explain"]
    wait_until(lambda: not c.has_state("n1", "g-d"), 20, "the minority has stopped")
    assert c.where("g-d") == []
    c.lab.heal()
    c.wait_group("n2", "g", work="online", node="n1")
    wait_until(lambda: c.has_state("n1", "g-d"), 20, "it runs again where it was")
    assert c.where("g-d") == ["n1"]


# --- the command line

BAD = [
    (2, ["group", "create"]), (2, ["group", "create", "a", "b"]), (2, ["group"]),
    (2, ["group", "create", "-x"]), (2, ["group", "create", "x" * 200]),
    (2, ["group", "create", "a b"]), (2, ["group", "create", "g", "--priority", "many"]),
    (2, ["group", "create", "g", "--priority", "999"]), (2, ["nonsense"]),
    (2, ["node", "list", "--frob"]), (2, ["cluster", "create", "x"]),
    (3, ["group", "start", "nope"]), (3, ["group", "show", "nope"]),
    (3, ["group", "delete", "nope"]), (3, ["group", "stop", "nope"]),
    (3, ["group", "move", "nope", "--to", "n1"]), (3, ["group", "start", "g", "--to", "n9"]),
    (3, ["node", "show", "n9"]), (3, ["node", "drain", "n9"]), (3, ["node", "resume", "n9"]),
    (3, ["resource", "show", "nope"]), (3, ["resource", "delete", "nope"]),
    (3, ["resource", "create", "r", "--group", "nope", "--agent", "ocf:heartbeat:Dummy"]),
    (2, ["resource", "create", "r", "--group", "g"]),
    (2, ["resource", "create", "r", "--group", "g", "--agent", "a", "--param", "novalue"]),
    (2, ["group", "set", "g", "--on-stop-failure", "reboot"]), (2, ["group", "set", "g"]),
    (3, ["group", "set", "nope", "--on-stop-failure", "block"]),
    (3, ["task", "show", "999"]), (3, ["task", "wait", "999"]), (3, ["task", "cancel", "999"]),
    (2, ["task", "show", "abc"]), (2, ["task", "wait"]),
]


def test_bad_input_gets_its_exit_code_and_a_sentence(make_lab):
    c = Cluster(make_lab(1, bin=BUILD)).create()
    for code, words in BAD:
        got, text = c.fails("n1", *words)
        assert (got, bool(text)) == (code, True), f"{words}: exit {got}: {text}"
    assert c.status("n1")["quorum"]["is_quorate"]


def test_parameters_are_held_to_what_the_agent_says(make_lab):
    c = Cluster(make_lab(1, bin=BUILD)).create()
    c.ctl("n1", "group", "create", "g")
    for code, agent, params, words in (
            (2, "ocf:heartbeat:Delay", ["startdelay=soon"], ("Delay", "startdelay", '"soon"')),
            (2, "ocf:heartbeat:Dummy", ["stat=/x"], ("Dummy", '"stat"', 'did you mean "state"')),
            (2, "ocf:heartbeat:IPaddr2", [], ("IPaddr2", "needs parameter ip")),
            (2, "ocf:heartbeat:IPaddr2", ["lvs_support=perhaps"], ("and 1 more", "IPaddr2")),
            (2, "Dummy", [], ("ocf:provider:type",)),
            (3, "ocf:heartbeat:NoSuch", [], ("no ocf:heartbeat:NoSuch on n1",))):
        more = [w for p in params for w in ("--param", p)]
        got, text = c.fails("n1", "resource", "create", "r", "--group", "g", "--agent", agent, *more)
        assert got == code and all(w in text for w in words), f"{agent} {params}: {got}: {text}"
    assert c.ctl("n1", "resource", "list") == []
    c.ctl("n1", "resource", "create", "r", "--group", "g", "--agent", "ocf:heartbeat:Delay",
          "--param", "startdelay=2")


def test_bytes_that_are_no_request_end_nothing(make_lab):
    c = Cluster(make_lab(1, bin=BUILD)).create()
    for data in ("\x00\xff\n", "[]\n", "{}\n", '{"verb":7}\n', '{"verb":"group.create"}\n',
                 '{"verb":"group.create","args":[]}\n', "{" * 100000 + "\n", "x" * 1100000):
        c.lab.run("n1", ["/usr/bin/python3", "-c", THROW], stdin=data, check=False)
    assert c.status("n1")["quorum"]["is_quorate"]


THROW = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect("/run/clusterd/api.sock")
try:
    s.sendall(sys.stdin.buffer.read())
    s.recv(65536)
except OSError:
    pass
"""


def test_only_root_and_the_groups_are_let_in(make_lab):
    c = Cluster(make_lab(1, bin=BUILD)).create()
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", CTL,
                 "node", "list"]
    assert c.lab.run("n1", as_nobody, check=False).code in (5, 69)


def test_without_a_daemon_the_exit_code_is_69():
    result = subprocess.run([CTL, "status", "--root", "/nonexistent"], capture_output=True,
                            text=True, check=False, timeout=20)
    assert result.returncode == 69 and "cannot reach clusterd" in result.stderr


def test_interrupting_a_wait_leaves_the_task_running(cluster3):
    c = cluster3
    c.ctl("n1", "group", "create", "g")
    c.ctl("n1", "resource", "create", "slow", "--group", "g", "--agent", "ocf:heartbeat:Delay",
          "--param", "startdelay=4", "--param", "mondelay=0")
    process = c.lab.popen("n1", [CTL, "group", "start", "g", "--wait"],
                          stderr=subprocess.PIPE, text=True)
    c.wait("n2", lambda: c.ctl("n2", "task", "list")[0]["phase"] == "starting", "starting")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    c.wait_group("n2", "g", work="online")


# --- fencing

@pytest.mark.parametrize("victim", long_but(["n1", "n2", "n3"], "n1"))
def test_a_crashed_node_is_fenced_and_its_group_runs_elsewhere(fenced3, victim):
    c = fenced3
    other = "n2" if victim == "n1" else "n1"
    c.dummy("g", via=other)
    c.ctl(other, "group", "start", "g", "--to", victim, "--wait")
    c.lab.kill(victim)
    c.wait(other, lambda: c.group(other, "g")["work"] == "online" and
           c.group(other, "g")["node"] != victim, "failed over")
    kinds = [e["kind"] for e in c.ctl(other, "fence", "history") if e["object"] == victim]
    assert kinds.index("node-lost") < kinds.index("fence-begin") < kinds.index("node-fenced")
    history = [e["text"] for e in c.events(other, "fence-attempt")]
    assert any("off: ok" in t for t in history) and any("reads off" in t for t in history)
    c.wait(other, lambda: c.is_whole(other), "the node is switched on again and comes back")
    assert c.where("g-d") == [c.group(other, "g")["node"]]
    c.wait_same()


def test_a_cut_off_node_is_powered_off_before_its_group_starts_elsewhere(fenced3):
    c = fenced3
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n1", "--wait")
    boot = c.ctl("n1", "node", "show", "n1")["boot"]
    c.lab.cut("n1")
    c.wait("n2", lambda: c.group("n2", "g")["work"] == "online" and
           c.group("n2", "g")["node"] != "n1", "failed over")
    c.lab.heal()
    c.wait("n2", lambda: c.is_whole("n2"), "n1 is back")
    assert c.ctl("n2", "node", "show", "n1")["boot"] != boot
    assert c.where("g-d") == [c.group("n2", "g")["node"]]


def test_a_fence_that_cannot_be_proven_starts_nothing(cluster3):
    c = cluster3
    c.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--param",
          "bmc_socket=/run/lab/nothing-here.sock", "--timeout-ms", "2000")
    c.dummy("g")
    c.ctl("n1", "group", "start", "g", "--to", "n3", "--wait")
    c.lab.kill("n3")
    c.wait("n1", lambda: c.events("n1", "fence-blocked"), "blocked and says so")
    assert c.group("n1", "g")["work"] == "unknown"
    assert "waiting to fence n3" in c.group("n1", "g")["explain"]
    assert c.where("g-d") == []
    c.lab.start("n3")
    c.wait_group("n1", "g", work="online")
    assert c.events("n1", "node-rebooted"), "a later boot proves the earlier one ended"


def test_an_administrators_fence_needs_the_name_twice(fenced3):
    c = fenced3
    boot = c.ctl("n1", "node", "show", "n3")["boot"]
    code, text = c.fails("n1", "fence", "run", "n3")
    assert code == 8 and "--confirm n3" in text
    c.ctl("n1", "fence", "run", "n3", "--confirm", "n3")
    c.wait("n1", lambda: c.is_whole("n1") and c.ctl("n1", "node", "show", "n3")["boot"] != boot,
           "n3 was powered off and on")
    code, text = c.fails("n1", "fence", "run", "n9", "--confirm", "n9")
    assert code == 3
