# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes in the hands of an administrator: redirected, suspended, balanced; what is seen of it."""
import errno
import fcntl
import os

import disk
from cluster import CSVADM
from lablib import wait_until
from test_clone import MIB, free_bytes
from test_csvfs import VOL, check_clean, coordinator
from test_csvfs_direct import Work, grows, io, make_volume, prealloc, vol3  # noqa: F401 (fixture)


def mount(c, node, via="n1", name="vol"):
    """What the cluster knows of a node's mount, asked anywhere."""
    own, = [m for m in c.volume_show(name, via)["mounts"] if m["node"] == node]
    return own


def shows(c, node, state, via="n1"):
    c.wait(via, lambda: mount(c, node, via)["io_state"] == state, f"{node} is {state}")
    return mount(c, node, via)


# --- redirect

def test_io_is_redirected_by_hand_and_no_user_notices(vol3):  # noqa: F811
    c, work = vol3, Work(vol3)
    prealloc(c, "n1", "disk", 8)
    for node in ("n2", "n3"):
        work.start(node, "random", "disk")
    for node in ("n2", "n3"):
        grows(c, node, "direct_writes")
    assert all(shows(c, n, "active")["asked_by"] == "" for n in c.lab.nodes)
    c.ctl("n1", "volume", "redirect", "vol", "on", "--node", "n2")
    seen = shows(c, "n2", "redirected", "n3")
    assert seen["io_reason"] == "asked for" and seen["asked_by"].startswith("root@n1")
    assert seen["io_since"]
    c.wait("n2", lambda: io(c, "n2")["granted_files"] == 0, "its grants have gone back")
    grows(c, "n2", "redirected_bytes")
    before = io(c, "n2")["direct_writes"]
    work.wait_progress()
    assert io(c, "n2")["direct_writes"] == before and mount(c, "n3")["io_state"] == "active"
    row, = c.ctl("n3", "volume", "list")
    assert row["io"] == "active on n1,n3; redirected on n2"
    assert any("redirected on n2: asked for" in e["text"] for e in c.events("n1", "volume-io"))
    # all of them, then none
    c.ctl("n3", "volume", "redirect", "vol", "on")
    for node in c.lab.nodes:
        shows(c, node, "redirected")
    grows(c, "n3", "redirected_bytes")
    # also through another coordinator, and another process
    to = next(n for n in c.lab.nodes if n != coordinator(c))
    c.ctl("n1", "volume", "move", "vol", "--to", to, "--wait=60", timeout=90)
    work.wait_progress()
    assert io(c, "n2")["state"] == "redirected"
    c.ctl("n3", "volume", "redirect", "vol", "off")
    for node in c.lab.nodes:
        assert shows(c, node, "active")["asked_by"] == ""
    for node in ("n2", "n3"):
        grows(c, node, "direct_writes")
    work.wait_progress()
    work.stop()
    for words, code, why in ((("vol", "up"), 2, "on or off"), (("none", "on"), 3, "no volume"),
                             (("vol", "on", "--node", "n9"), 3, "no node")):
        got, text = c.fails("n1", "volume", "redirect", *words)
        assert got == code and why in text, text
    check_clean(c)


# --- suspend

def test_a_suspended_volume_has_no_user_and_is_resumed_with_them(vol3):  # noqa: F811
    c = vol3
    c.dummy("web")
    c.ctl("n1", "config", "show")
    c.ctl("n1", "group", "create", "db", "--volumes", "vol")
    c.ctl("n1", "resource", "create", "db-d", "--group", "db", "--agent", "ocf:heartbeat:Dummy",
          "--param", "state=/run/db-d.state")
    for group in ("web", "db"):
        c.ctl("n1", "group", "start", group, "--wait=30")
    code, text = c.fails("n2", "volume", "suspend", "vol")
    assert code == 8 and "stops group db;" in text and "--confirm vol" in text
    assert c.group("n1", "db")["work"] == "online"
    c.ctl("n2", "volume", "suspend", "vol", "--confirm", "vol", "--wait=60", timeout=90)
    shown = c.volume_show("vol", "n1")
    assert shown["work"] == "offline" and shown["mounts"] == [] and shown["is_suspended"]
    assert "suspended by root@n2" in shown["explain"]
    group = c.group("n3", "db")
    assert (group["work"], group["intent"]) == ("offline", "online")
    assert "waits for volume vol: suspended by" in group["explain"]
    assert c.where("db-d") == [] and c.group("n1", "web")["work"] == "online"
    for node in c.lab.nodes:
        assert c.lab.run(node, f"grep -c ' {VOL} ' /proc/mounts", check=False).stdout == "0\n"
    # so it can be checked, and repaired
    assert "is clean" in c.lab.run("n2", [CSVADM, "check", "/dev/lab/lun"]).stdout
    code, text = c.fails("n1", "volume", "move", "vol", "--to", "n2")
    assert code == 8 and "suspended" in text
    c.ctl("n3", "volume", "resume", "vol", "--wait=60", timeout=90)
    c.wait_group("n1", "db", work="online")
    assert c.lab.run("n2", f"touch {VOL}/there && ls {VOL}").stdout == "there\n"
    # a group that nobody may stop: the suspension waits, says for whom, and can be taken back
    c.ctl("n1", "group", "unmanage", "db")
    c.ctl("n1", "volume", "suspend", "vol", "--confirm", "vol", "--no-wait")
    c.wait("n1", lambda: "has it mounted" in c.volume_show("vol", "n1")["explain"], "it waits")
    task = c.volume_show("vol", "n1")["task"]
    c.ctl("n1", "task", "cancel", str(task))
    c.ctl("n1", "group", "manage", "db")
    c.wait_volume("vol", "n1")
    assert c.group("n1", "db")["work"] == "online"
    for group in ("db",):
        c.ctl("n1", "group", "stop", group, "--wait=30")
    c.ctl("n1", "resource", "delete", "db-d")
    c.ctl("n1", "group", "delete", "db")
    check_clean(c)


# --- balance

def test_coordinators_are_balanced_when_that_is_asked_for(vol3):  # noqa: F811
    c = vol3
    cluster = c.status("n1")["cluster"]["uuid"]
    shared = os.path.join(c.lab.dir, "shared")
    names = ["a", "b"]
    for name in names:
        c.lab.run("n1", f"truncate -s 400M {shared}/{name}.lun")
        c.lab.run("n1", [CSVADM, "format", f"{shared}/{name}.lun", "--name", name, "--cluster",
                         cluster], timeout=60)
        c.ctl("n1", "volume", "create", name, "--device", f"{shared}/{name}.lun")
        c.wait_volume(name, "n1")
    for name in ["vol", *names]:
        if c.volume_show(name, "n1")["node"] != "n1":
            c.ctl("n1", "volume", "move", name, "--to", "n1", "--wait=60", timeout=90)
    c.ctl("n2", "volume", "balance")
    c.wait("n1", lambda: sorted(c.volume_show(n, "n1")["node"] for n in ["vol", *names]) ==
           ["n1", "n2", "n3"], "one on each node", 60)
    for name in ["vol", *names]:
        c.wait_volume(name, "n1")
    assert c.ctl("n2", "volume", "balance") == {"moves": 0}


# --- grow

def set_loop(fd, size):
    """False: it has to be tried again."""
    info = bytearray(disk.INFO64.size)
    fcntl.ioctl(fd, disk.LOOP_GET_STATUS64, info)
    fields = list(disk.INFO64.unpack(info))
    fields[4] = size                                    # lo_sizelimit
    try:
        fcntl.ioctl(fd, disk.LOOP_SET_STATUS64, bytearray(disk.INFO64.pack(*fields)))
    except OSError as e:
        if e.errno != errno.EAGAIN:
            raise
        return False
    return True


def grow_lun(c, to):
    """The LUN gets larger, and every node sees it."""
    os.truncate(os.path.join(c.lab.dir, "lun.img"), to)
    for node in c.lab.nodes:
        fd = os.open(c.lab.node(node)["loop"], os.O_RDWR)
        try:
            wait_until(lambda f=fd: set_loop(f, to), 20, f"{node}: its loop device is larger")
        finally:
            os.close(fd)


def test_a_volume_grows_with_its_lun_under_its_users(make_lab):
    c = make_volume(make_lab, lun="file")       # the attributed one has the size of its beginning
    work = Work(c)
    code, text = c.fails("n1", "volume", "grow", "vol", "--wait=60")
    assert code == 1 and "has not grown: it has 1024 MiB" in text, text
    prealloc(c, "n1", "disk", 8)
    for node in ("n2", "n3"):
        work.start(node, "random", "disk")
    work.wait_progress()
    before = free_bytes(c)
    grow_lun(c, 1536 * MIB)
    c.ctl("n2", "volume", "grow", "vol", "--wait=60", timeout=90)
    assert free_bytes(c) > before + 480 * MIB
    assert c.volume_show("vol", "n1")["bytes"] == (1536 - 18) * MIB
    # the new room is read and written by every node itself
    prealloc(c, "n1", "large", 1200)
    for node in c.lab.nodes:
        was = io(c, node)["direct_writes"]
        c.lab.run(node, f"dd if=/dev/urandom of={VOL}/large bs=1M count=8 seek=1190 conv=notrunc "
                        "oflag=direct status=none")
        c.wait(node, lambda n=node, w=was: io(c, n)["direct_writes"] > w, "it writes it itself")
    work.wait_progress()
    # and by the next coordinator
    to = next(n for n in c.lab.nodes if n != coordinator(c))
    c.ctl("n1", "volume", "move", "vol", "--to", to, "--wait=60", timeout=90)
    work.wait_progress()
    work.stop()
    code, text = c.fails("n1", "volume", "grow", "none")
    assert code == 3
    c.lab.run("n1", f"rm {VOL}/large")
    # by hand, while nobody uses it
    grow_lun(c, 1800 * MIB)
    # only on the node that has it mounted: the others could not see that it is used
    busy = c.lab.run(coordinator(c), [CSVADM, "grow", "/dev/lab/lun", "--confirm", "vol"],
                     check=False)
    assert busy.code == 8 and "xfs" in busy.stderr.lower(), busy
    c.ctl("n1", "volume", "suspend", "vol", "--confirm", "vol", "--wait=60", timeout=90)
    code, text = c.fails("n1", "volume", "grow", "vol")
    assert code == 8 and "csvadm grow" in text
    refused = c.lab.run("n1", [CSVADM, "grow", "/dev/lab/lun"], check=False)
    assert refused.code == 8 and "--confirm vol" in refused.stderr
    grown = c.lab.run("n1", [CSVADM, "grow", "/dev/lab/lun", "--confirm", "vol"])
    assert f"volume vol has {1800 - 18} MiB" in grown.stdout
    again = c.lab.run("n1", [CSVADM, "grow", "/dev/lab/lun", "--confirm", "vol"], check=False)
    assert again.code == 8 and "has not grown" in again.stderr
    c.ctl("n1", "volume", "resume", "vol", "--wait=60", timeout=90)
    c.wait_volume("vol", "n1")
    assert free_bytes(c) > before + 700 * MIB
    check_clean(c)
