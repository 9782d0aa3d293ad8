# SPDX-License-Identifier: GPL-2.0-or-later
"""A database that is damaged, older, wrong, or cannot be written: found, said, and made good."""
import glob
import json
import os
import shutil
import sqlite3

import pytest
from cluster import BUILD, CTL, Cluster
from lablib import LabError, wait_until
from long import long

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

CLUSTERD = os.path.join(BUILD, "clusterd", "clusterd")


@pytest.fixture
def cluster3(make_lab):
    c = Cluster(make_lab(3, bin=BUILD)).create()
    c.ctl("n1", "group", "create", "kept")
    c.wait_same()
    return c


def db(c, node, name="cluster.db"):
    return os.path.join(c.lab.dir, node, "lib-clusterd", name)


def log(c, node):
    with open(os.path.join(c.lab.dir, node, "log", "clusterd.log"), encoding="utf-8") as f:
        return f.read()


def stop(c, node):
    """clusterd is killed, and with it nothing else."""
    c.lab.service(node, "kill", "clusterd")
    other = "n1" if node != "n1" else "n2"
    c.wait(other, lambda: c.quorum(other)["votes_present"] == 2, "view without it", 60)


def start(c, node):
    c.lab.service(node, "start", "clusterd")


def start_in_vain(c, node):
    try:
        c.lab.service(node, "start", "clusterd")
    except LabError:
        pass  # it ended before it was looked at


def is_good(c, node):
    return c.is_whole(node) and c.status(node)["database"]["state"] == "ok"


def comes_back(c, node):
    c.wait(node, lambda: is_good(c, node), "back, with the database of the others", 60)
    c.wait_same()
    assert c.group(node, "kept")["name"] == "kept"


def has_event(c, kind, node):
    c.wait("n1", lambda: [e for e in c.events("n1", kind) if e["object"] == node],
           f"{kind} of {node}", 60)
    return [e for e in c.events("n1", kind) if e["object"] == node][0]["text"]


def crc32c(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def garbage(path):
    with open(path, "r+b") as f:
        f.write(b"x" * 8192)


def zeros(path):
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        f.write(bytes(size))


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def emptied(path):
    os.truncate(path, 0)


def changed_bit(path):
    d = sqlite3.connect(path)
    d.execute("UPDATE log SET request = request + 1 WHERE idx = (SELECT max(idx) - 1 FROM log)")
    d.commit()
    d.close()


def settle_file(path):
    """All of it in one file: no log beside it."""
    d = sqlite3.connect(path)
    d.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    d.close()


def test_a_damaged_database_is_put_aside_and_fetched(cluster3):
    c = cluster3
    for n, damage in enumerate((garbage, zeros, cut, changed_bit)):
        stop(c, "n2")
        settle_file(db(c, "n2"))
        damage(db(c, "n2"))
        start(c, "n2")
        comes_back(c, "n2")
        kept = glob.glob(db(c, "n2", "cluster.db.damaged-*"))
        assert len([k for k in kept if not k.endswith("-wal")]) == min(n + 1, 3), kept
    assert "kept as" in has_event(c, "database-damaged", "n2")
    assert "fetches the database from the others" in log(c, "n2")
    assert not c.events("n1", "fence-begin") and not c.events("n1", "node-lost")


def test_a_database_that_is_emptied_or_gone_is_missed(cluster3):
    c = cluster3
    for damage in (emptied, os.unlink):
        stop(c, "n3")
        settle_file(db(c, "n3"))
        damage(db(c, "n3"))
        start(c, "n3")
        comes_back(c, "n3")
    assert "empty or missing" in has_event(c, "database-damaged", "n3")


@long
def test_an_older_copy_has_no_vote_until_it_has_fetched_the_rest(cluster3):
    c = cluster3
    stop(c, "n2")
    settle_file(db(c, "n2"))
    shutil.copy(db(c, "n2"), db(c, "n2", "copy"))
    start(c, "n2")
    c.wait("n2", lambda: is_good(c, "n2"), "back", 60)
    c.ctl("n2", "group", "create", "newer")
    c.wait_same()
    # Both that hold the newer group go, and one of them comes back without it.
    c.lab.service("n2", "kill", "clusterd")
    c.lab.service("n3", "kill", "clusterd")
    c.wait("n1", lambda: not c.quorum("n1")["is_quorate"], "no quorum alone", 60)
    c.lab.service("n1", "kill", "clusterd")
    for suffix in ("-wal", "-shm"):
        if os.path.exists(db(c, "n2", "cluster.db" + suffix)):
            os.unlink(db(c, "n2", "cluster.db" + suffix))
    shutil.copy(db(c, "n2", "copy"), db(c, "n2"))
    start(c, "n2")
    start(c, "n1")
    c.wait("n1", lambda: len(c.quorum("n1")["present"]) == 2, "n1 and n2 in one view", 60)
    assert not c.quorum("n1")["is_quorate"], "a disk that forgot was counted as a vote"
    assert c.status("n2")["database"]["state"] == "older"
    start(c, "n3")
    comes_back(c, "n2")
    assert c.group("n2", "newer")["name"] == "newer"
    assert "older copy" in has_event(c, "database-older", "n2")


def write_much(c, count=1051):
    requests = "".join(json.dumps({"verb": "node.drain" if i % 2 else "node.resume",
                                   "args": {"name": "n3"}}) + "\n" for i in range(count))
    c.lab.run("n1", ["/usr/bin/python3", "-c", PIPE], stdin=requests, timeout=200)


def lie(path, old, new):
    """Changes what the newest snapshot says, with a checksum that holds; the older one goes."""
    d = sqlite3.connect(path)
    idx, members, data = d.execute(
        "SELECT idx, members, bytes FROM snapshot ORDER BY idx DESC").fetchone()
    assert old in data
    data = data.replace(old, new)
    crc = crc32c(members + data)
    d.execute("DELETE FROM snapshot WHERE idx <> ?", (idx,))
    d.execute("UPDATE snapshot SET bytes = ?, crc = ? WHERE idx = ?", (data, crc, idx))
    d.commit()
    d.close()


@long
def test_a_node_whose_state_is_not_that_of_the_others_fetches_it_anew(cluster3):
    c = cluster3
    c.dummy("run")
    c.ctl("n1", "group", "start", "run", "--to", "n2", "--wait")
    write_much(c)
    c.wait_same()
    for node in ("n2", "n1"):  # the second one is the lowest: it would be the sequencer
        c.lab.service(node, "kill", "clusterd")
        lie(db(c, node), b"kept", b"lies")
        start(c, node)
        comes_back(c, node)
        assert "was not that of" in has_event(c, "database-wrong", node)
        assert "stops acting" in log(c, node)
        assert c.where("run-d") == ["n2"], "what ran went on"
    assert not c.events("n1", "fence-begin")
    data = sqlite3.connect(f"file:{db(c, 'n1')}?mode=ro", uri=True).execute(
        "SELECT bytes FROM snapshot").fetchall()
    assert data and not any(b"lies" in row[0] for row in data)


@long
def test_without_a_majority_for_any_state_nothing_is_changed(cluster3):
    c = cluster3
    c.dummy("run")
    c.ctl("n1", "group", "start", "run", "--to", "n1", "--wait")
    write_much(c)
    c.wait_same()
    for node in ("n1", "n2", "n3"):
        c.lab.service(node, "kill", "clusterd")
    lie(db(c, "n2"), b"kept", b"lie2")
    lie(db(c, "n3"), b"kept", b"lie3")
    for node in ("n1", "n2", "n3"):
        start(c, node)
    for node in ("n1", "n2", "n3"):
        c.wait(node, lambda n=node: c.status(n)["database"]["state"] == "undecided",
               "no state has a majority", 60)
    code, text = c.fails("n1", "group", "create", "more")
    assert code == 8 and "--restore" in text
    assert c.where("run-d") == ["n1"]
    assert c.events("n1", "database-undecided")
    # n2 begins empty and fetches what n1 has: a majority again, and n3 follows it.
    c.lab.service("n2", "kill", "clusterd")
    for path in glob.glob(db(c, "n2", "cluster.db*")):
        os.unlink(path)
    start(c, "n2")
    for node in ("n1", "n2", "n3"):
        comes_back(c, node)
    assert c.where("run-d") == ["n1"]


def test_a_single_node_with_a_damaged_database_says_how_to_go_on(make_lab):
    c = Cluster(make_lab(1, bin=BUILD)).create()
    c.ctl("n1", "group", "create", "kept")
    saved = os.path.join(c.lab.dir, "shared", "saved.db")
    out = c.lab.run("n1", [CLUSTERD, "--save", saved]).stdout
    assert "members: n1" in out
    assert c.lab.run("n1", [CLUSTERD, "--save", saved], check=False).code == 1, "overwritten"
    busy = c.lab.run("n1", [CLUSTERD, "--restore", saved], check=False)
    assert busy.code == 1 and "clusterd runs" in busy.stderr
    c.ctl("n1", "group", "create", "later")
    c.lab.service("n1", "kill", "clusterd")
    settle_file(db(c, "n1"))
    garbage(db(c, "n1"))
    before = open(db(c, "n1"), "rb").read()
    start_in_vain(c, "n1")
    wait_until(lambda: "clusterd --restore FILE" in log(c, "n1"), 30, "it says what to do")
    assert open(db(c, "n1"), "rb").read() == before, "what is damaged was changed"
    bad = c.lab.run("n1", [CLUSTERD, "--restore", db(c, "n1")], check=False)
    assert bad.code == 1 and "not a database" in bad.stderr
    out = c.lab.run("n1", [CLUSTERD, "--restore", saved]).stdout
    assert "kept as" in out and "the only vote" in out
    c.lab.service("n1", "start", "clusterd")
    c.wait("n1", lambda: is_good(c, "n1"), "it goes on", 60)
    assert [g["name"] for g in c.ctl("n1", "group", "list")] == ["kept"]


def test_a_full_disk_costs_the_vote_and_nothing_else(cluster3):
    c = cluster3
    c.dummy("run")
    c.ctl("n1", "group", "start", "run", "--to", "n3", "--wait")
    c.lab.service("n3", "kill", "clusterd")
    inside = "/var/lib/clusterd"
    c.lab.run("n3", f"mkdir /tmp/keep && cp -a {inside}/. /tmp/keep/ && "
                    f"mount -t tmpfs -o size=4m small {inside} && cp -a /tmp/keep/. {inside}/")
    start(c, "n3")
    c.wait("n3", lambda: is_good(c, "n3"), "back", 60)
    c.lab.run("n3", f"dd if=/dev/zero of={inside}/fill bs=4k", check=False)
    c.ctl("n1", "group", "create", "after")
    c.wait("n3", lambda: c.status("n3")["database"]["state"] == "not-written", "said", 60)
    assert "full" in c.status("n3")["database"]["text"]
    for i in range(5):
        c.ctl("n1", "group", "create", f"after{i}")
    # A view changes: the node stays in it, without a vote.
    c.lab.service("n2", "kill", "clusterd")
    c.wait("n1", lambda: not c.quorum("n1")["is_quorate"] and
           "n3" in c.quorum("n1")["present"], "n3 present, and no vote", 60)
    c.lab.service("n2", "start", "clusterd")
    c.wait("n1", lambda: c.quorum("n1")["is_quorate"], "quorum of n1 and n2", 60)
    assert c.where("run-d") == ["n3"], "what ran went on"
    c.lab.run("n3", f"rm {inside}/fill")
    comes_back(c, "n3")
    assert c.where("run-d") == ["n3"]
    assert not c.events("n1", "node-lost") and not c.events("n1", "fence-begin")
    assert "full" in has_event(c, "database-stalled", "n3")
    assert has_event(c, "database-writes", "n3")
