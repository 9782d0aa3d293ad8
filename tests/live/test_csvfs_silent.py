# SPDX-License-Identifier: GPL-2.0-or-later
"""Who does not answer: a mount that does not give back, a csvfsd that is there and does nothing."""
import pytest
from lablib import wait_until
from long import long
from test_csvfs import VOL, check_clean, coordinator, csvfsd, fenced_volume, mount_ids, move_to
from test_csvfs_direct import Work, grows, make_volume, prealloc

SILENT = 120    # 30 s, the commit, the kill, its proof, and a machine that is busy


@pytest.fixture
def sick3(make_lab):
    c = make_volume(make_lab, disk_faults=True)
    move_to(c, "n1")
    return c


@pytest.fixture
def vol3(make_lab):
    return fenced_volume(make_lab)


def reasons(c, kind, via="n1"):
    return [e["text"] if "text" in e else e.get("reason", "") for e in c.events(via)
            if e["kind"] == kind]


def mount_of(c, node, via="n1"):
    own, = [m for m in c.volume_show("vol", via)["mounts"] if m["node"] == node]
    return own


def test_the_daemons_wait_for_no_page_that_waits_for_them(vol3):
    """Memory locked; spared by the OOM killer and no page written out for it, in each thread, or the
    log says what is missing for that (CAP_SYS_RESOURCE: many a container has none)."""
    c, no_io, resource = vol3, 0x00080000, 1 << 24      # PF_MEMALLOC_NOIO: linux/sched.h
    pids = [("n1", pid) for pid in csvfsd(c, "n1", "mount")]
    pids += [(coordinator(c), pid) for pid in csvfsd(c, coordinator(c), "coordinate")]
    assert len(pids) == 2
    for node, pid in pids:
        run = c.lab.run
        status = dict(line.split(":", 1) for line in
                      run(node, f"cat /proc/{pid}/status").stdout.splitlines())
        assert int(status["VmLck"].split()[0]) > 1024, status["VmLck"]
        if not int(status["CapEff"], 16) & resource:
            log = run(node, "cat /var/log/clusterd.log").stdout
            for what in ("PR_SET_IO_FLUSHER", "oom_score_adj"):
                assert any(what in line and "CAP_SYS_RESOURCE" in line
                           for line in log.splitlines()), what
            continue
        assert run(node, f"cat /proc/{pid}/oom_score_adj").stdout == "-1000\n"
        threads = run(node, f"cat /proc/{pid}/task/*/stat").stdout.splitlines()
        assert len(threads) > 4
        for line in threads:
            flags = int(line[line.rindex(")") + 2:].split()[6])
            assert flags & no_io, line


def test_a_stopped_mount_is_killed_and_mounted_anew(vol3):
    c = vol3
    move_to(c, "n1")
    before = mount_ids(c)
    pid, = csvfsd(c, "n3", "mount")
    c.lab.run("n3", f"kill -STOP {pid}")
    c.wait("n1", lambda: mount_ids(c).get("n3", before["n3"]) != before["n3"] and
           mount_of(c, "n3")["state"] == "mounted", "a new mount on n3", SILENT)
    assert any("no sign of life" in text for text in reasons(c, "mount-gone")), \
        reasons(c, "mount-gone")
    assert csvfsd(c, "n3", "mount") != [pid]
    assert mount_ids(c)["n2"] == before["n2"]
    assert "node-fenced" not in [e["kind"] for e in c.events("n1")]
    assert c.lab.run("n3", f"echo alive > {VOL}/f && cat {VOL}/f").stdout == "alive\n"
    check_clean(c)


@long
def test_a_stopped_coordinator_is_killed_and_replaced(vol3):
    c = vol3
    move_to(c, "n2")
    term = c.volume_show("vol", "n1")["term"]
    pid, = csvfsd(c, "n2", "coordinate")
    c.lab.run("n2", f"kill -STOP {pid}")
    c.wait("n1", lambda: c.volume_show("vol", "n1")["term"] != term and
           c.volume_show("vol", "n1")["work"] == "online", "another coordinator", SILENT)
    assert any("no sign of life" in text for text in reasons(c, "volume-report")), \
        reasons(c, "volume-report")
    assert "node-fenced" not in [e["kind"] for e in c.events("n1")]
    assert c.lab.run("n3", f"echo alive > {VOL}/f && cat {VOL}/f").stdout == "alive\n"
    check_clean(c)


@long
def test_a_mount_that_does_not_give_back_is_shown_and_killed_by_its_node(sick3):
    """Its LUN hangs under I/O; the cut of another node waits for it, and not for ever."""
    c, work = sick3, Work(sick3)
    prealloc(c, "n1", "disk", 8)
    before = mount_ids(c)
    work.start("n2", "random", "disk")
    work.wait_progress()
    grows(c, "n2", "direct_writes")
    c.lab.disk("n2", "hang")
    cut = c.lab.popen("n3", ["truncate", "-s", "0", f"{VOL}/disk"])
    c.wait("n1", lambda: mount_of(c, "n2")["voice"] in ("silent", "stuck"), "it is shown", SILENT)
    assert "inode" in mount_of(c, "n2")["silence"]
    assert "n2" in c.volume_show("vol", "n1")["explain"]
    # I/O that does not return: nobody can prove that it is over, so nothing is freed.
    c.wait("n1", lambda: mount_of(c, "n2")["voice"] == "stuck", "it is stuck", SILENT)
    assert cut.poll() is None
    assert coordinator(c) == "n1"
    c.lab.disk("n2", "ok")
    assert cut.wait(timeout=60) == 0
    work.forget("n2")
    c.wait("n1", lambda: mount_ids(c).get("n2", before["n2"]) != before["n2"] and
           mount_of(c, "n2")["state"] == "mounted", "a new mount on n2", 60)
    assert mount_of(c, "n2")["voice"] == "answers"
    assert any("does not answer its coordinator" in text for text in reasons(c, "mount-gone")), \
        reasons(c, "mount-gone")
    wait_until(lambda: c.lab.run("n2", f"stat -c %s {VOL}/disk", check=False).stdout == "0\n",
               30, "n2 sees the cut file")
    check_clean(c)


@long
def test_one_that_cannot_be_proven_over_has_its_node_fenced(sick3):
    """The LUN never answers: killed, stuck, fenced; then the blocks are free and the cut is done."""
    c, work = sick3, Work(sick3)
    prealloc(c, "n1", "disk", 8)
    work.start("n2", "random", "disk")
    work.wait_progress()
    grows(c, "n2", "direct_writes")
    c.lab.disk("n2", "hang")
    cut = c.lab.popen("n3", ["truncate", "-s", "0", f"{VOL}/disk"])
    assert cut.wait(timeout=300) == 0
    work.forget("n2")
    kinds = [(e["kind"], e["object"]) for e in c.events("n1")]
    assert ("fence-wanted", "n2") in kinds and ("node-fenced", "n2") in kinds, kinds
    assert coordinator(c) == "n1"
    assert c.lab.run("n3", f"stat -c %s {VOL}/disk").stdout == "0\n"
