# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that share blocks, on real nodes: clones, and the way back to blocks of one's own."""
import json
import signal

from cluster import CSVADM
from lablib import wait_until
from test_csvfs import VOL, check_clean, coordinator, csvfsd
from test_csvfs_direct import MIB, Work, grows, io, prealloc, vol3  # noqa: F401 (fixture)


def adm(c, node, *words, check=True):
    return c.lab.run(node, [CSVADM, *words], check=check, timeout=120)


def free_bytes(c, node="n1"):
    blocks, size = c.lab.run(node, f"stat -f -c '%f %S' {VOL}").stdout.split()
    return int(blocks) * int(size)


def digest(c, node, name):
    return c.lab.run(node, f"sha256sum < {VOL}/{name}", timeout=120).stdout


def fill(c, node, name, mib, at=0):
    c.lab.run(node, f"dd if=/dev/urandom of={VOL}/{name} bs=1M count={mib} seek={at} "
                    "conv=notrunc oflag=direct status=none", timeout=120)


def names(c, node="n3"):
    return c.lab.run(node, f"ls -A {VOL}").stdout.split()


def test_a_clone_has_the_data_and_takes_no_room(vol3):  # noqa: F811
    c = vol3
    prealloc(c, "n1", "disk", 64)
    fill(c, "n1", "disk", 64)
    c.lab.run("n1", f"chmod 640 {VOL}/disk && chown 1000:1001 {VOL}/disk")
    whole, before = digest(c, "n1", "disk"), free_bytes(c)
    said = json.loads(adm(c, "n2", "clone", f"{VOL}/disk", f"{VOL}/copy", "--json").stdout)
    assert said["bytes"] == said["shared_bytes"] == 64 * MIB and said["free_bytes"] < 4 * MIB
    assert before - free_bytes(c) < 4 * MIB
    assert digest(c, "n3", "copy") == whole
    assert c.lab.run("n3", f"stat -c '%a %u %g %s' {VOL}/copy").stdout == \
        f"640 1000 1001 {64 * MIB}\n"
    # each is its own from now on, on every node
    fill(c, "n3", "copy", 1, at=5)
    fill(c, "n2", "disk", 1, at=9)
    assert digest(c, "n1", "copy") != whole != digest(c, "n1", "disk")
    # what exists is replaced when that is asked for
    refused = adm(c, "n2", "clone", f"{VOL}/disk", f"{VOL}/copy", check=False)
    assert refused.code == 8 and "--force replaces it" in refused.stderr
    adm(c, "n2", "clone", f"{VOL}/disk", f"{VOL}/copy", "--force")
    assert digest(c, "n1", "copy") == digest(c, "n3", "disk")
    assert sorted(names(c)) == ["copy", "disk"]
    check_clean(c)


def test_a_clone_that_cannot_be_made_leaves_nothing(vol3):  # noqa: F811
    c = vol3
    prealloc(c, "n1", "disk", 4)
    for code, words, why in (
            (3, (f"{VOL}/none", f"{VOL}/copy"), "No such file"),
            (2, (VOL, f"{VOL}/copy"), "only regular files"),
            (3, (f"{VOL}/disk", f"{VOL}/none/copy"), "No such file"),
            (2, (f"{VOL}/disk", f"{VOL}/disk", "--force"), "one file"),
            (8, (f"{VOL}/disk", f"{VOL}/disk"), "exists"),
            (8, (f"{VOL}/disk", VOL, "--force"), "no regular file"),
            (1, (f"{VOL}/disk", "/run/copy"), "not on one volume"),
            (2, (f"{VOL}/disk",), "which files"),
            (2, (f"{VOL}/disk", f"{VOL}/copy", f"{VOL}/more"), "two files")):
        result = adm(c, "n2", "clone", *words, check=False)
        assert result.code == code and why in result.stderr, (words, result)
    # interrupted while the coordinator does not answer: it ends when that answers
    at = coordinator(c)
    pid, = csvfsd(c, at, "coordinate")
    c.lab.run(at, f"kill -STOP {pid}")
    node = next(n for n in c.lab.nodes if n != at)
    run = c.lab.popen(node, [CSVADM, "clone", f"{VOL}/disk", f"{VOL}/copy"])

    def asks():
        found = c.lab.run(node, ["pgrep", "-x", "csvadm"], check=False).stdout.split()
        return [p for p in found if c.lab.run(node, f"cat /proc/{p}/wchan",
                                              check=False).stdout == "request_wait_answer"]
    wait_until(asks, 30, "csvadm waits for the coordinator")
    c.lab.run(node, f"kill -INT {asks()[0]}")
    c.lab.run(at, f"kill -CONT {pid}")
    assert run.wait(60) == 130
    assert names(c) == ["disk"]
    check_clean(c)


def test_an_image_of_20_gib_is_cloned_by_its_extents(vol3):  # noqa: F811
    c = vol3
    c.lab.run("n2", f"truncate -s 20G {VOL}/image && cd {VOL} && for at in $(seq 0 16 20479); do "
                    "echo $at | dd of=image bs=4k conv=notrunc,sync seek=$((at * 256)) "
                    "status=none || exit 1; done", timeout=300)
    before = free_bytes(c)
    said = json.loads(adm(c, "n2", "clone", f"{VOL}/image", f"{VOL}/copy", "--json").stdout)
    assert said["bytes"] == 20 << 30 and 0 <= said["shared_bytes"] - 1280 * 4096 < MIB
    assert said["requests"] == 20 and before - free_bytes(c) < 2 * MIB
    out = c.lab.run("n3", f"cmp -s {VOL}/image {VOL}/copy -n {64 * MIB} && dd if={VOL}/copy bs=4k "
                          f"skip={20464 * 256} count=1 status=none | head -1").stdout
    assert out == "20464\n"
    # cp(1) of Debian 12 copies what a file with holes has, and shares what is in one without
    c.lab.run("n3", f"cp --reflink=auto {VOL}/image {VOL}/cp", timeout=120)
    assert c.lab.run("n1", f"stat -c %s {VOL}/cp").stdout == f"{20 << 30}\n"
    prealloc(c, "n1", "disk", 64)
    before = free_bytes(c)
    c.lab.run("n3", f"cp --reflink=auto {VOL}/disk {VOL}/cp2", timeout=120)
    assert before - free_bytes(c) < 4 * MIB
    assert c.lab.run("n3", f"cp --reflink=always {VOL}/image {VOL}/no", check=False).code == 1


def test_direct_io_stops_with_a_clone_and_comes_back_when_it_is_unshared(vol3):  # noqa: F811
    c, work = vol3, Work(vol3)
    prealloc(c, "n1", "disk", 16)
    work.start("n1", "random", "disk")
    c.wait("n1", lambda: io(c, "n1")["direct_writes"] > 50, "it is granted")
    adm(c, "n2", "clone", f"{VOL}/disk", f"{VOL}/copy")
    frozen = digest(c, "n3", "copy")
    work.wait_progress()
    grows(c, "n1", "requests")
    work.wait_progress()
    before = free_bytes(c)
    adm(c, "n3", "unshare", f"{VOL}/disk")
    assert before - free_bytes(c) <= 20 * MIB
    grows(c, "n1", "direct_writes")
    work.wait_progress()
    work.stop()
    assert digest(c, "n2", "copy") == frozen
    # what shares nothing any more is not copied once more
    before = free_bytes(c)
    adm(c, "n3", "unshare", f"{VOL}/disk")
    adm(c, "n3", "unshare", f"{VOL}/copy")
    assert before - free_bytes(c) < 2 * MIB
    assert adm(c, "n1", "unshare", "/etc/hostname", check=False).code == 1
    check_clean(c)


def test_a_file_that_was_not_finished_is_continued(vol3):  # noqa: F811
    c = vol3
    adm(c, "n1", "prealloc", f"{VOL}/thin", "--size", "64M", "--sparse")
    assert c.lab.run("n2", f"stat -c '%s %b' {VOL}/thin").stdout == f"{64 * MIB} 0\n"
    fill(c, "n2", "thin", 3, at=30)
    kept = c.lab.run("n3", f"dd if={VOL}/thin bs=1M skip=30 count=3 status=none | sha256sum")
    refused = adm(c, "n1", "prealloc", f"{VOL}/thin", "--size", "64M", check=False)
    assert refused.code == 8 and "--continue" in refused.stderr
    refused = adm(c, "n1", "prealloc", f"{VOL}/thin", "--size", "32M", "--continue", check=False)
    assert refused.code == 8 and "has 67108864 bytes" in refused.stderr
    # interrupted, and continued: nothing that was there is lost, and every node reads it directly
    run = c.lab.popen("n1", [CSVADM, "prealloc", f"{VOL}/fat", "--size", "400M", "--continue"])
    wait_until(lambda: "fat" in names(c) and
               c.lab.run("n2", f"stat -c %s {VOL}/fat").stdout == f"{400 * MIB}\n", 30, "begun")
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) in (0, 130)  # the first: all had been written by then
    for name, size in (("fat", "400M"), ("thin", "64M")):
        out = adm(c, "n1", "prealloc", f"{VOL}/{name}", "--size", size, "--continue", "--progress")
        at, whole = out.stdout.split("\n")[-2].split()
        assert at == whole
    assert c.lab.run("n3", f"dd if={VOL}/thin bs=1M skip=30 count=3 status=none | "
                           "sha256sum").stdout == kept.stdout
    for name in ("fat", "thin"):
        before = io(c, "n2")["direct_reads"]
        c.lab.run("n2", f"dd if={VOL}/{name} of=/dev/null bs=1M count=20 iflag=direct status=none")
        c.wait("n2", lambda b=before: io(c, "n2")["direct_reads"] > b, "it is read directly")
    check_clean(c)
