# SPDX-License-Identifier: GPL-2.0-or-later
"""What mounts keep in memory: it costs nobody a request, and is never anything but the truth."""
import json
import os
import random
import subprocess
import threading
import time

from lablib import wait_until
from test_csvfs import VOL, coordinator, csvfsd, vol3  # noqa: F401

AGENT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "fs_agent.py")
NODES = ("n1", "n2", "n3")


class Agent:
    """fs_agent.py on a node."""

    def __init__(self, c, node):
        self.node = node
        self.process = c.lab.popen(node, [AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)

    def __call__(self, *command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)


def agents(c):
    return {n: Agent(c, n) for n in NODES}


def requests(c, node):
    return {m["node"]: m for m in c.volume_show("vol", node)["mounts"]}[node]["io"]["requests"]


def other_than(c, *nodes):
    return next(n for n in NODES if n not in (coordinator(c), *nodes))


def test_what_is_looked_at_again_costs_no_request(vol3):  # noqa: F811
    c, node = vol3, other_than(vol3)
    a = Agent(c, node)
    a("mkdir", f"{VOL}/d")
    a("write", f"{VOL}/d/f", "text")
    # Nothing is promised before the mount has the line on which a promise can be broken.
    wait_until(lambda: cost(c, a, ["stat", f"{VOL}/d/f"], ["stat", f"{VOL}/d/none"], n=50) < 30, 30,
               "it keeps what it has seen")
    assert cost(c, a, ["stat", f"{VOL}/d/f"], ["stat", f"{VOL}/d/none"], n=1000) < 30
    assert a("stat", f"{VOL}/d/f")["size"] == 4
    assert a("stat", f"{VOL}/d/none") == {"errno": "ENOENT"}
    # Its own change is seen at once.
    a("chmod", f"{VOL}/d/f", 0o600)
    assert a("stat", f"{VOL}/d/f")["mode"] & 0o777 == 0o600


def cost(c, at, *commands, n):
    """Requests to the coordinator for n times these, by a count that is told once a second."""
    before, counts = requests(c, at.node), []
    for command in commands:
        at("repeat", n, command)
    at("utime", VOL, 1)                            # costs some: the count is told anew

    def settled():
        counts.append(requests(c, at.node))
        return counts[-1] > before and len(set(counts[-4:])) == 1 and len(counts) > 4
    wait_until(settled, 30, "the count is told", interval=0.5)
    return counts[-1] - before


def test_data_of_a_small_file_is_read_once(vol3):  # noqa: F811
    c, node = vol3, other_than(vol3)
    a, b = Agent(c, node), Agent(c, coordinator(c))
    text = "".join(random.choices("abcdefgh", k=10000))
    b("write", f"{VOL}/f", text)
    assert a("read", f"{VOL}/f") == text
    # Each open and its release is told to the coordinator; the data is not asked for.
    wait_until(lambda: cost(c, a, ["read", f"{VOL}/f"], n=30) < 90, 30, "it keeps what it has read")
    assert cost(c, a, ["read", f"{VOL}/f"], n=100) < 230
    assert a("read", f"{VOL}/f") == text
    b("append", f"{VOL}/f", "more")
    assert a("read", f"{VOL}/f") == text + "more"
    b("write", f"{VOL}/f", "less")
    assert a("read", f"{VOL}/f") == "less"


def test_every_change_is_seen_on_all_nodes_at_once(vol3):  # noqa: F811
    """One after the other, anywhere: each look sees all changes that were answered before it."""
    c, rng = vol3, random.Random(7)
    a = agents(c)
    names = [f"{VOL}/f{i}" for i in range(4)]
    model = {}
    for turn in range(250):
        at, name = a[rng.choice(NODES)], rng.choice(names)
        kind = rng.choice(("write", "append", "unlink", "rename", "chmod", "truncate"))
        change(at, model, kind, name, rng, names, turn)
        for node in rng.sample(NODES, 3):
            look_at(a[node], model, rng.choice(names), turn)
    assert a["n1"]("list", VOL) == a["n2"]("list", VOL) == sorted(
        os.path.basename(n) for n in model)


def change(at, model, kind, name, rng, names, turn):
    """On one node, and to the model."""
    text = f"{turn} " * rng.randrange(1, 3000)
    if kind == "write":
        assert at("write", name, text) is None
        model[name] = [text, model.get(name, [None, 0o644])[1]]
        return
    if name not in model:
        return
    if kind == "append":
        assert at("append", name, text[:50]) is None
        model[name][0] += text[:50]
    elif kind == "unlink":
        assert at("unlink", name) is None
        del model[name]
    elif kind == "rename":
        to = rng.choice(names)
        assert at("rename", name, to) is None
        model[to] = model.pop(name)
    elif kind == "chmod":
        mode = rng.choice((0o600, 0o640, 0o644))
        assert at("chmod", name, mode) is None
        model[name][1] = mode
    else:
        size = rng.randrange(len(model[name][0]) + 1)
        assert at("truncate", name, size) is None
        model[name][0] = model[name][0][:size]


def look_at(at, model, name, turn):
    """Twice: what is kept is as good as what is asked for."""
    for _ in range(2):
        s = at("stat", name)
        if name not in model:
            assert s == {"errno": "ENOENT"}, (turn, at.node, name)
            continue
        text, mode = model[name]
        assert (s.get("size"), s.get("mode", 0) & 0o777) == (len(text), mode), (turn, at.node, name)
        assert at("read", name) == text, (turn, at.node, name)


def test_names_that_are_replaced_all_the_time_never_go_back(vol3):  # noqa: F811
    """A file replaced by rename on one node, its readers on the others: what they see only grows."""
    c = vol3
    writer = Agent(c, other_than(c))
    writer("write", f"{VOL}/f", "0")
    stop, wrong, seen = threading.Event(), [], {}

    def watch(node):
        at, last = Agent(c, node), -1
        while not stop.is_set():
            got = at("read", f"{VOL}/f")
            now = int(got) if isinstance(got, str) and got else -1
            if now < last:
                wrong.append((node, last, got))
                return
            last = now
            seen.setdefault(node, set()).add(now)
    threads = [threading.Thread(target=watch, args=(n,)) for n in NODES]
    for t in threads:
        t.start()
    for i in range(1, 200):
        writer("write", f"{VOL}/new", str(i))
        writer("rename", f"{VOL}/new", f"{VOL}/f")
    stop.set()
    for t in threads:
        t.join()
    assert not wrong
    assert all(len(seen[n]) > 5 for n in NODES), {n: len(seen[n]) for n in NODES}


def test_a_mount_that_stands_still_does_not_hold_up_the_others_for_long(vol3):  # noqa: F811
    """Its promises end by time; it is not killed for them, and tells nothing old afterwards."""
    c = vol3
    asleep, awake = other_than(c), coordinator(c)
    a, b = Agent(c, asleep), Agent(c, awake)
    b("write", f"{VOL}/f", "old")
    assert a("repeat", 3, ["read", f"{VOL}/f"]) == "old"
    pid, = csvfsd(c, asleep, "mount")
    c.lab.run(asleep, ["kill", "-STOP", str(pid)])
    began = time.monotonic()
    assert b("write", f"{VOL}/f", "newer") is None
    waited = time.monotonic() - began
    c.lab.run(asleep, ["kill", "-CONT", str(pid)])
    assert a("read", f"{VOL}/f") == "newer"
    assert csvfsd(c, asleep, "mount") == [pid], "it was killed for what it keeps in memory"
    assert waited < 20


def test_a_mount_cut_from_the_coordinator_tells_nothing_old(vol3):  # noqa: F811
    """The cluster's own network is whole: nobody is lost, nobody is killed."""
    c = vol3
    cut, at = other_than(c), coordinator(c)
    a, b = Agent(c, cut), Agent(c, at)
    b("write", f"{VOL}/f", "old")
    assert a("repeat", 3, ["read", f"{VOL}/f"]) == "old"
    pid, = csvfsd(c, cut, "mount")
    got = []
    c.lab.run(cut, "nft 'add table inet csv; add chain inet csv out { type filter hook output "
              "priority 0; }; add rule inet csv out tcp dport 5420-5519 drop'")
    assert b("write", f"{VOL}/f", "newer") is None
    reader = threading.Thread(target=lambda: got.append(a("read", f"{VOL}/f")))
    reader.start()
    reader.join(1)
    assert got == [], "an answer without a coordinator"
    c.lab.run(cut, "nft delete table inet csv")
    reader.join(60)
    assert got == ["newer"]
    assert csvfsd(c, cut, "mount") == [pid]


def test_what_was_kept_is_not_believed_under_the_next_coordinator(vol3):  # noqa: F811
    c = vol3
    a = agents(c)
    for turn in range(3):
        for n in NODES:
            a[n]("write", f"{VOL}/{n}", f"{turn}")
            a[n]("read", f"{VOL}/{n}")
        where = coordinator(c)
        if turn % 2:
            c.lab.run(where, ["kill", "-9", *map(str, csvfsd(c, where, "coordinate"))])
        else:
            c.ctl("n1", "volume", "move", "vol", "--to", other_than(c), "--wait=60", timeout=90)
        a["n1"]("write", f"{VOL}/n2", f"after {turn}")
        a["n3"]("rename", f"{VOL}/n2", f"{VOL}/n1")
        for n in NODES:
            assert a[n]("read", f"{VOL}/n1") == f"after {turn}"
            assert a[n]("stat", f"{VOL}/n2") == {"errno": "ENOENT"}
