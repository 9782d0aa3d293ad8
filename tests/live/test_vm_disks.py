# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of virtual machines as the cluster makes them: new ones, clones, snapshots; what fails, and
who dies meanwhile, leaves nothing behind, and no guest that stands still."""
import json
import os
import time

import pytest
from cluster import BUILD, Ctl
from long import long
from test_csvfs import VOL, check_clean, coordinator, csvfsd
from test_clone import free_bytes
from witness import SLACK, witness_cluster
from witness_judge import judge

MIB = 1 << 20


@pytest.fixture
def w(make_lab):
    w = witness_cluster(make_lab(3, bin=BUILD), is_direct=True)
    yield w
    w.close()


def files(c, via="n1"):
    return sorted(c.lab.run(via, f"cd {VOL} && find . -mindepth 1 | sort").stdout.split())


def create(c, name, disks, via="n1", wait=True):
    """The task of `vm create`, ended unless wait is False; Ctl if it fails."""
    definition = {"schema": 1, "vcpus": 1, "memory": 64, "accelerator": "tcg", "disks": disks}
    c.lab.run(via, ["tee", f"/run/{name}.json"], stdin=json.dumps(definition))
    return c.ctl(via, "vm", "create", name, "--file", f"/run/{name}.json",
                 *(["--wait=60"] if wait else ["--no-wait"]), timeout=90)


def names(c, via="n1"):
    return [v["name"] for v in c.ctl(via, "vm", "list")]


def fails(c, *words, via="n1"):
    try:
        data = c.ctl(via, *words, timeout=90)
    except Ctl as e:
        return e.code, e.text
    raise AssertionError(f"{' '.join(words)} succeeded: {data}")


def ended(c, task, state, via="n1", timeout=60):
    c.wait(via, lambda: c.ctl(via, "task", "show", str(task))["state"] == state,
           f"task {task} is {state}", timeout)
    return c.ctl(via, "task", "show", str(task))


def at_rest(c, via="n1"):
    """No work on disks is under way."""
    c.wait(via, lambda: all(c.ctl(via, "vm", "show", n)["job"] is None for n in names(c, via)),
           "no job is left", 60)


def frozen_coordinator(c):
    at = coordinator(c)
    pid, = csvfsd(c, at, "coordinate")
    c.lab.run(at, f"kill -STOP {pid}")
    return at, pid


def said_until(w, path, end):
    """What the judge finds wrong with a copy of the disk that was made at that moment."""
    w.c.lab.run("n1", f"cp --reflink=never {path} {w.c.lab.dir}/shared/copy.img")
    log = os.path.join(w.c.lab.dir, "shared", "copy.log")
    with w.lock, open(log, "w", encoding="latin-1") as f:
        f.writelines(f"{t:.6f} {n} {text}\n" for t, n, text in w.lines if t < end)
    return judge(os.path.join(w.c.lab.dir, "shared", "copy.img"), [log], SLACK)


# --- new disks

def test_disks_with_a_size_are_made_with_their_vm_or_not_at_all(w):
    c = w.c
    before = files(c)
    create(c, "a", [{"path": f"{VOL}/a.img", "format": "raw", "size": "64M"},
                    {"path": f"{VOL}/a2.img", "format": "raw", "size": 2 * MIB, "sparse": True}])
    assert files(c) == sorted(before + ["./a.img", "./a2.img"])
    out = c.lab.run("n2", f"stat -c '%s %b %a' {VOL}/a.img {VOL}/a2.img").stdout
    assert out == f"{64 * MIB} {64 * MIB // 512} 600\n{2 * MIB} 0 600\n"
    shown = c.ctl("n2", "vm", "show", "a")
    assert shown["job"] is None and "size" not in shown["definition"]["disks"][0]
    # one that is there already, also as the second: nothing of the machine is left, and it is
    c.lab.run("n3", f"echo precious > {VOL}/mine.img")
    code, text = fails(c, "vm", "clone", "a", w.name)
    assert code == 4, text
    for disks, why in (
            ([{"path": f"{VOL}/b.img", "format": "raw", "size": "2M"},
              {"path": f"{VOL}/mine.img", "format": "raw", "size": "2M"}], "is there already"),
            ([{"path": f"{VOL}/b.img", "format": "raw", "size": "100G"}], "No space"),
            ([{"path": f"{VOL}/none/b.img", "format": "raw", "size": "2M"}], "No such file")):
        with pytest.raises(Ctl) as e:
            create(c, "b", disks)
        assert e.value.code == 1 and why in e.value.text, e.value.text
        at_rest(c)
        assert "b" not in names(c)
        assert files(c) == sorted(before + ["./a.img", "./a2.img", "./mine.img"])
    assert c.lab.run("n1", f"cat {VOL}/mine.img").stdout == "precious\n"
    for disk, why in (({"size": "1000"}, "multiple"), ({"size": "2M", "format": "qcow2"}, "raw"),
                      ({"sparse": True}, "sparse"), ({"size": "-2M"}, "bytes"),
                      ({"size": "2M", "sparse": 1}, "true or false")):
        with pytest.raises(Ctl) as e:
            create(c, "b", [{"path": f"{VOL}/b.img", "format": "raw", **disk}])
        assert e.value.code == 2 and why in e.value.text, e.value.text


def test_the_making_of_a_disk_shows_how_far_it_is_and_can_be_cancelled(w):
    c = w.c
    before = files(c)
    create(c, "big", [{"path": f"{VOL}/big.img", "format": "raw", "size": "600M"}], wait=False)
    job = c.ctl("n1", "vm", "show", "big")["job"]
    # the machine is there and cannot be started, deleted or worked on
    code, text = fails(c, "vm", "delete", "big", "--confirm", "big")
    assert code == 8 and "under way" in text
    code, text = fails(c, "vm", "snapshot-create", "big", "s1")
    assert code == 8 and "under way" in text
    c.ctl("n2", "vm", "start", "big")
    c.wait("n1", lambda: "%" in c.ctl("n1", "task", "show", str(job["task"]))["phase"],
           "it says how far it is")
    assert c.ctl("n3", "vm", "show", "big")["work"] == "offline"
    assert "waits for work on its disks" in c.ctl("n3", "vm", "show", "big")["explain"]
    c.ctl("n2", "task", "cancel", str(job["task"]))
    ended(c, job["task"], "cancelled")
    assert "big" not in names(c) and files(c) == before
    w.wait_alive()


# --- clones

def test_a_stopped_vm_is_cloned_and_both_run(w):
    c = w.c
    w.stop()
    before = free_bytes(c)
    c.ctl("n1", "vm", "clone", w.name, "web2", "--start", "--wait=60", timeout=90)
    assert before - free_bytes(c) < 2 * MIB
    one, two = w.show(), c.ctl("n2", "vm", "show", "web2")
    assert two["uuid"] != one["uuid"] and two["work"] == "online"
    assert two["definition"]["disks"][0]["path"] == f"{VOL}/web2.img"
    assert two["definition"]["serial"]["log"] == "/var/log/web2.serial"
    w.start()
    assert c.ctl("n1", "vm", "show", "web2")["work"] == "online"
    assert w.judge() == []
    code, text = fails(c, "vm", "clone", w.name, "web2")
    assert code == 4 and "exists" in text
    # a file that the clone would overwrite
    c.lab.run("n1", f"echo mine > {VOL}/web3.img")
    code, text = fails(c, "vm", "clone", w.name, "web3", "--wait=60")
    assert code == 1 and "exists" in text
    at_rest(c)
    assert "web3" not in names(c) and c.lab.run("n1", f"cat {VOL}/web3.img").stdout == "mine\n"
    w.wait_alive()


def test_a_clone_of_a_running_vm_is_of_one_moment_and_the_guest_goes_on(w):
    c = w.c
    w.wait_alive(more=50)
    begin = time.monotonic()
    c.ctl("n2", "vm", "clone", w.name, "web2", "--wait=60", timeout=90)
    w.wait_alive(more=20)
    assert said_until(w, f"{VOL}/web2.img", begin) == []
    assert w.judge() == [] and len(w.boots()) == 1
    assert c.ctl("n1", "vm", "show", "web2")["work"] == "offline"


# --- snapshots

def test_a_snapshot_of_a_running_vm_is_listed_reverted_to_and_deleted(w):
    c, name = w.c, w.name
    before = files(c)
    w.wait_alive(more=50)
    begin = time.monotonic()
    c.ctl("n2", "vm", "snapshot-create", name, "s1", "--reason", "before the upgrade", "--wait=60",
          timeout=90)
    w.wait_alive(more=20)
    s, = c.ctl("n3", "vm", "snapshot-list", name)
    assert (s["name"], s["state"], s["is_running"]) == ("s1", "ready", True)
    assert s["reason"] == "before the upgrade" and s["at"]
    folder = f"./{name}.img.snapshots"
    assert files(c) == sorted(before + [folder, f"{folder}/s1"])
    assert said_until(w, f"{VOL}/{name}.img.snapshots/s1", begin) == []
    for words, code, why in (
            (("snapshot-create", name, "s1"), 4, "already"),
            (("snapshot-revert", name, "s1"), 8, "--confirm"),
            (("snapshot-revert", name, "s1", "--confirm", name), 8, "not stopped"),
            (("snapshot-delete", name, "s2"), 3, "no snapshot"),
            (("delete", name, "--confirm", name), 8, "snapshots")):
        got, text = fails(c, "vm", *words)
        assert got == code and why in text, (words, text)
    w.stop()
    kept = c.lab.run("n1", f"sha256sum < {VOL}/{name}.img.snapshots/s1").stdout
    assert c.lab.run("n1", f"sha256sum < {VOL}/{name}.img").stdout != kept
    c.ctl("n1", "vm", "snapshot-revert", name, "s1", "--confirm", name, "--wait=60", timeout=90)
    assert c.lab.run("n3", f"sha256sum < {VOL}/{name}.img").stdout == kept
    c.ctl("n1", "vm", "snapshot-delete", name, "s1", "--wait=60", timeout=90)
    assert c.ctl("n1", "vm", "snapshot-list", name) == [] and files(c) == before
    w.start()
    w.stop()
    c.ctl("n1", "vm", "delete", name, "--confirm", name)
    check_clean(c)


@long
def test_a_snapshot_that_takes_too_long_is_undone_and_the_guest_goes_on(w):
    c = w.c
    before = files(c)
    at, pid = frozen_coordinator(c)
    c.ctl("n1", "vm", "snapshot-create", w.name, "s1", "--no-wait")
    task = w.show()["job"]["task"]
    c.wait("n1", lambda: c.ctl("n1", "task", "show", str(task))["phase"] == "snapshot", "it begins")
    # its coordinator stays as it is until clusterd kills it: the guest does not wait for that
    w.wait_alive(timeout=60)
    c.lab.run(at, f"kill -CONT {pid}", check=False)
    assert "not kept still to the end" in ended(c, task, "failed", timeout=120)["reason"]
    at_rest(c)
    assert files(c) == before and c.ctl("n1", "vm", "snapshot-list", w.name) == []
    w.wait_alive()
    assert w.judge() == [] and len(w.boots()) == 1


@long
def test_a_node_that_dies_over_a_snapshot_leaves_none(w):
    c = w.c
    before = files(c)
    frozen_coordinator(c)
    here = w.node()
    other = next(n for n in c.lab.nodes if n not in (here, coordinator(c)))
    c.ctl(other, "vm", "snapshot-create", w.name, "s1", "--no-wait")
    task = w.show(other)["job"]["task"]
    c.wait(other, lambda: c.ctl(other, "task", "show", str(task))["phase"] == "snapshot", "begun")
    c.lab.kill(here)
    ended(c, task, "failed", other, timeout=120)
    c.wait(other, lambda: w.node(other) not in (None, "-", here), "started elsewhere", 90)
    w.wait_alive(w.node(other), timeout=90)
    assert files(c, other) == before
    assert c.ctl(other, "vm", "snapshot-list", w.name) == []
    assert w.judge(other) == []
