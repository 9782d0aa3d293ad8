# SPDX-License-Identifier: GPL-2.0-or-later
"""csvadm and the LUN of a volume, on a node's real devices."""
import json
import os
import signal
import struct
import subprocess
import time
import uuid
import zlib

import pytest

import disk
from cluster import BUILD
from lablib import poll, wait_until
from long import long

CSVADM = os.path.join(BUILD, "csvfs", "csvadm")
TOOL = os.path.join(BUILD, "tests", "live", "lun_tool")
LUN = "/dev/lab/lun"
CLUSTER = "6f1c2b1e-7c55-4b0e-9d4f-2f6f6a1e0c11"
MIB = 1 << 20
DATA_START, HEADER_A, HEADER_B = 17 * MIB, MIB, 2 * MIB
LOOP_TAKES_SECONDS = 10


class Node:
    """csvadm and lun_tool in a node of a lab."""

    def __init__(self, lab, name="n1"):
        self.lab, self.name = lab, name
        self.loop = lab.node(name)["loop"]

    def sh(self, command, check=True):
        return self.lab.run(self.name, command, check=check)

    def adm(self, *words):
        return self.lab.run(self.name, [CSVADM, *words], check=False, timeout=120)

    def done(self, *words):
        result = self.adm(*words)
        assert result.code == 0, result
        return result.stdout

    def refused(self, code, *words):
        """The message of a csvadm that must fail with this code."""
        result = self.adm(*words)
        assert result.code == code and result.stderr.startswith("csvadm: "), result
        return result.stderr

    def format(self, *more, lun=LUN, name="vol1"):
        return self.done("format", lun, "--name", name, "--cluster", CLUSTER, *more)

    def refuses_format(self, *more, lun=LUN):
        return self.refused(8, "format", lun, "--name", "vol1", "--cluster", CLUSTER, *more)

    def info(self, lun=LUN):
        return json.loads(self.done("info", lun, "--json"))

    def tool(self, *words):
        """Output of lun_tool; a failure begins with the name of an errno."""
        return self.lab.run(self.name, [TOOL, *words], check=False).stdout.strip()

    def hold(self, lun=LUN):
        return Attached(self, lun)

    def partitions(self):
        return disk.partitions(int(self.loop[len("/dev/loop"):]))


class Attached:
    """A data partition that lun_tool has attached, until detach() or kill()."""

    def __init__(self, node, lun):
        self.process = node.lab.popen(node.name, [TOOL, "hold", lun], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.dev = self.process.stdout.readline().strip()

    def detach(self):
        """What lun_tool says about it: nothing, or why not."""
        return self.process.communicate("\n", 30)[0].strip()

    def __enter__(self):
        assert self.dev.startswith("/dev/"), self.dev + self.process.stdout.read()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.communicate("\n", 30)


@pytest.fixture
def node(make_lab):
    return Node(make_lab(1, bin=BUILD, services=False))


def read_lun(lab, place, size):
    with open(os.path.join(lab.dir, "lun.img"), "rb") as f:
        f.seek(place)
        return f.read(size)


def damage(node, place):
    node.sh(f"dd if=/dev/urandom of={LUN} bs=512 count=1 seek={place // 512} oflag=direct "
            "status=none")


def stacked_loops(node):
    """Loops of the machine that sit on the node's LUN."""
    rdev = os.stat(node.loop).st_rdev
    return [n for n in disk.bound_loops() if disk._backing_device(n) == rdev]


def foreign_gpt(node, path):
    """One partition of type Linux in a GPT, by hand: Debian's base system has no tool for it."""
    total = int(node.sh(f"blockdev --getsz {path}").stdout)
    linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
    entries = (linux + uuid.uuid4().bytes_le + struct.pack("<QQQ", 4096, 8191, 0)).ljust(128 * 128,
                                                                                        b"\0")

    def header(mine, other, table):
        def pack(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, mine, other,
                               34, total - 34, bytes(range(16)), table, 128, 128,
                               zlib.crc32(entries))
        return pack(zlib.crc32(pack(0))).ljust(512, b"\0")

    mbr = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xee, 255, 255, 255, 1, total - 1)
    head = mbr.ljust(510, b"\0") + b"\x55\xaa" + header(1, total - 1, 2) + entries
    tail = entries + header(total - 1, 1, total - 33)
    for place, data in ((0, head), (total - 33, tail)):
        with open(os.path.join(node.lab.dir, "shared", "gpt"), "wb") as f:
            f.write(data)
        node.sh(f"dd if={node.lab.dir}/shared/gpt of={path} bs=512 seek={place} conv=fsync,notrunc"
                " status=none")


# --- format, info, check

def test_a_formatted_lun_is_a_volume_with_a_clean_xfs(node):
    volume = str(uuid.uuid4())
    node.format("--uuid", volume, name="a-volume-with-a-long-name")
    info = node.info()
    assert info["name"] == "a-volume-with-a-long-name"
    assert info["uuid"] == info["xfs"]["uuid"] == volume and info["cluster"] == CLUSTER
    assert info["data"] == {"start": DATA_START, "bytes": (1024 - 18) * MIB}
    assert info["control"] == {"start": MIB, "bytes": 16 * MIB}
    assert info["xfs"]["label"] == "a-volume-wit" and info["xfs"]["reflink"]
    assert info["term"] is None and info["copies"]["header"] == ["good", "good"]
    assert "vol" in node.done("info", LUN)
    assert "is clean" in node.done("check", LUN)
    assert node.partitions() == [] and stacked_loops(node) == []        # nothing is left attached


def test_any_linux_mounts_the_data_partition(node):
    node.format()
    node.sh(f"mkdir -p /m && mount -o loop,offset={DATA_START},sizelimit={1006 * MIB} {LUN} /m && "
            "echo x > /m/a && cp --reflink=always /m/a /m/b && umount /m")
    assert "is clean" in node.done("check", LUN)


def test_a_plain_file_is_formatted_too(node):
    path = os.path.join(node.lab.dir, "shared", "image")
    node.sh(f"truncate -s 318M {path}")
    node.format(lun=path)
    assert node.info(path)["xfs"]["blocks"] * 4096 == 300 * MIB
    assert "is clean" in node.done("check", path)
    with node.hold(path) as held:
        assert held.dev.startswith("/dev/loop")
        assert "loop device" in node.refuses_format("--overwrite", "csv:vol1", lun=path)
        assert held.detach() == ""
    os.unlink(path)


def test_blocks_of_4096_bytes(node):
    path = os.path.join(node.lab.dir, "shared", "image4k")
    node.sh(f"truncate -s 400M {path}")
    lun = node.sh(f"losetup -f --show -b 4096 --direct-io=on {path}").stdout.strip()
    try:
        node.format(lun=lun)
        info = node.info(lun)
        assert info["block_bytes"] == 4096 and info["xfs"]["sector_bytes"] == 4096
        assert info["data"]["start"] == DATA_START
        assert "is clean" in node.done("check", lun)
        assert node.tool("term-write", lun, "1", "0", "n1", "5") == ""
        with node.hold(lun) as held:
            assert node.sh(f"blockdev --getss {held.dev}").stdout.strip() == "4096"
            node.sh(f"mkdir -p /m && mount {held.dev} /m")
            assert "EBUSY" in node.tool("in-use", lun)
            node.sh("umount /m")
            assert held.detach() == ""
    finally:
        node.sh(f"losetup -d {lun}; rm {path}")


def test_a_lun_that_is_too_small_is_refused_with_the_number(make_lab):
    node = Node(make_lab(1, bin=BUILD, services=False, lun_size="317M"))
    assert "needs 318 MiB" in node.refuses_format()


def test_usage_and_exit_codes(node):
    assert node.adm("--help").code == 0 and node.adm("format", "--help").code == 0
    for words in ((), ("shrink", LUN), ("info",), ("info", LUN, "--force"), ("info", LUN, LUN),
                  ("format", LUN, "--name", "x"), ("check", LUN, "--json"),
                  ("format", LUN, "--name", "x", "--cluster", "1-2"),
                  ("format", LUN, "--name", "../x", "--cluster", CLUSTER),
                  ("format", LUN, "--name", "x", "--cluster", CLUSTER, "--overwrite=")):
        assert node.adm(*words).code == 2, words
    assert "no such device" in node.refused(3, "info", "/dev/nothing")
    assert "no volume" in node.refused(1, "info", LUN)
    assert "no such option" in node.refused(2, "format", LUN, "--over=xfs")
    node.sh(f"chmod 0600 {node.loop}")
    as_nobody = node.sh(f"setpriv --reuid=65534 --clear-groups -- {CSVADM} info {LUN}", check=False)
    assert as_nobody.code == 5 and "root" in as_nobody.stderr


# --- what it refuses

@pytest.mark.parametrize("make, what, label", [
    ("mkfs.ext4 -q -F -L precious", "ext4", "precious"),
    ("mkfs.xfs -q -K -f -L precious", "xfs", "precious"),
    ("mkswap -q -L precious", "swap", "precious"),
])
def test_foreign_contents_are_named_and_kept(node, make, what, label):
    node.sh(f"{make} {LUN}")
    before = read_lun(node.lab, 0, 2 * MIB)
    text = node.refuses_format()
    assert f"--overwrite={what}" in text and label in text
    assert f"--overwrite={what}" in node.refuses_format("--overwrite", "gpt")
    assert read_lun(node.lab, 0, 2 * MIB) == before
    node.format("--overwrite", what)
    assert "is clean" in node.done("check", LUN)


def test_a_foreign_partition_table_is_named_with_what_lies_below(node):
    foreign_gpt(node, LUN)
    text = node.refuses_format()
    assert "gpt" in text and "partitions: 1" in text and "--overwrite=gpt" in text
    node.sh(f"losetup -f --show -o {DATA_START} --sizelimit {400 * MIB} {LUN} > /tmp/l; "
            "mkfs.ext4 -q -L below $(cat /tmp/l); losetup -d $(cat /tmp/l)")
    wait_until(lambda: stacked_loops(node) == [], LOOP_TAKES_SECONDS, "end of the loop")
    text = node.refuses_format("--overwrite", "gpt")
    assert "below" in text and "--overwrite=gpt,ext4" in text
    node.format("--overwrite=gpt,ext4")
    assert "--overwrite=csv:vol1" in node.refuses_format("--overwrite=gpt,ext4")


def test_another_volume_is_only_overwritten_by_its_name(node):
    node.format()
    assert "csv:vol1" in node.refuses_format()
    assert "csv:vol1" in node.refuses_format("--overwrite", "csv:vol2")
    node.format("--overwrite", "csv:vol1", name="vol2")
    assert node.info()["name"] == "vol2"
    assert "right LUN" not in node.refuses_format("--overwrite", "csv:vol1")


def test_a_blank_lun_that_was_said_to_carry_something_is_refused(node):
    assert "right LUN" in node.refuses_format("--overwrite", "xfs")


def test_a_lun_in_use_is_refused_by_every_verb_that_needs_it_alone(node):
    node.format()
    with node.hold() as held:
        node.sh(f"mkdir -p /m && mount {held.dev} /m")
        for words in (("check", LUN), ("repair", LUN, "--confirm", "vol1"),
                      ("format", LUN, "--name", "x", "--cluster", CLUSTER, "--overwrite=csv:vol1")):
            text = node.refused(8, *words)
            assert "live XFS" in text and "mounted on /m" in text
        assert node.info()["name"] == "vol1"
        node.sh("umount /m")
    node.sh(f"mkfs.ext4 -q -F {LUN} && mount {LUN} /m")
    assert "in use" in node.refuses_format("--overwrite", "ext4")
    node.sh(f"umount /m; mkswap -q -f {LUN}")
    assert "--overwrite=swap" in node.refuses_format()


# --- attach

def test_a_partition_is_made_by_blkpg_and_deleted(node):
    node.format()
    with node.hold() as held:
        assert held.dev == node.loop + "p2"
        size = node.sh(f"blockdev --getsize64 {held.dev}").stdout.strip()
        assert int(size) == node.info()["data"]["bytes"]
        with node.hold() as second:             # finds it, and leaves it
            assert second.dev == held.dev and second.detach() == ""
        assert node.partitions() == [os.path.basename(held.dev)]
        assert held.detach() == ""
    assert node.partitions() == []


@long
def test_a_loop_is_made_where_the_kernel_has_an_old_partition(node):
    node.format()
    disk.add_partition(node.loop, 2, 100 * MIB, 200 * MIB)
    with node.hold() as held:
        number = int(held.dev[len("/dev/loop"):])
        assert stacked_loops(node) == [number]
        assert disk.read(f"/sys/block/loop{number}/loop/dio").strip() == "1"
        assert disk.read(f"/sys/block/loop{number}/loop/offset").strip() == str(DATA_START)
        with node.hold() as second:
            assert second.dev == held.dev and second.detach() == ""
        node.sh(f"mkdir -p /m && mount {held.dev} /m && echo x > /m/f && umount /m")
        assert held.detach() == ""
    assert poll(lambda: stacked_loops(node) == [], LOOP_TAKES_SECONDS)
    assert len(node.partitions()) == 1          # that of the others is theirs


def test_a_killed_process_leaves_no_loop(node):
    node.format()
    disk.add_partition(node.loop, 2, 100 * MIB, 200 * MIB)
    with node.hold():
        node.sh("pkill -9 -x lun_tool")
        assert poll(lambda: stacked_loops(node) == [], LOOP_TAKES_SECONDS)


@pytest.mark.parametrize("is_loop", [False, True])
def test_detaching_what_is_mounted_is_refused_by_name(node, is_loop):
    node.format()
    if is_loop:
        disk.add_partition(node.loop, 2, 100 * MIB, 200 * MIB)
    with node.hold() as held:
        node.sh(f"mkdir -p /m && mount {held.dev} /m")
        text = held.detach()
        assert text.startswith("EBUSY") and "mounted on /m" in text
        node.sh("umount /m")
    assert poll(lambda: stacked_loops(node) == [], LOOP_TAKES_SECONDS)


# --- the proof that it is not in use

def test_in_use_sees_a_mount_and_none_after_umount(node):
    node.format()
    assert node.tool("in-use", LUN) == ""
    with node.hold() as held:
        assert node.tool("in-use", LUN) == ""   # attached is not in use
        node.sh(f"mkdir -p /m && mount {held.dev} /m")
        assert "live XFS, mounted on /m" in node.tool("in-use", LUN)
        node.sh("umount /m")
        assert node.tool("in-use", LUN) == ""


@long
@pytest.mark.parametrize("how", ["a partition that overlaps", "a loop on the LUN",
                                 "a loop on a partition"])
def test_in_use_sees_every_way_to_the_data(node, how):
    node.format()
    lower = LUN
    if how != "a loop on the LUN":
        disk.add_partition(node.loop, 5, DATA_START, 900 * MIB)
        lower = node.loop + "p5"
    dev = lower
    if how != "a partition that overlaps":
        offset = DATA_START if lower == LUN else 0
        dev = node.sh(f"losetup -f --show -o {offset} --sizelimit {800 * MIB} {lower}")
        dev = dev.stdout.strip()
    node.sh(f"mkfs.xfs -q -f {dev} && mkdir -p /m && mount {dev} /m")
    text = node.tool("in-use", LUN)
    assert text.startswith("EBUSY") and os.path.basename(dev) in text and "/m" in text
    node.sh("umount /m")
    assert node.tool("in-use", LUN) == ""
    if dev != lower:
        node.sh(f"losetup -d {dev}")


@long
def test_the_proof_is_about_the_disk_that_was_mounted_not_about_its_path(node):
    csvfsd = os.path.join(BUILD, "csvfs", "csvfsd")

    def free(*words):
        return node.lab.run(node.name, [csvfsd, "free", "--device", LUN, *words], check=False)
    node.format()
    with node.hold() as held:
        node.sh(f"mkdir -p /m && mount {held.dev} /m")
        pin = node.tool("pin", LUN)
        assert pin.startswith("disk ") and held.dev in pin
        node.sh(f"echo '{pin}' > /run/lock1; : > /run/lock0")
        assert "live XFS" in free("--lock", "/run/lock1").stderr
        # Its path leads to another disk now, on which nothing is.
        node.sh(f"truncate -s 64M /run/other && losetup -f --show /run/other > /run/name && "
                f"mv {LUN} {LUN}.old && ln -s $(cat /run/name) {LUN}")
        assert free().code == 0
        assert "live XFS" in free("--lock", "/run/lock1").stderr
        assert free("--lock", "/run/lock1").code == 1
        node.sh("umount /m")
        assert free("--lock", "/run/lock1").code == 0
        # The same number, and another disk: of the one that was, nothing is left.
        node.sh(f"mount {held.dev} /m")
        numbers, seq, *rest = pin.split()[1:]
        later = " ".join(["disk", numbers, str(int(seq) - 1), rest[0], str(int(rest[1]) - 1)])
        node.sh(f"echo '{later}' > /run/lock2")
        assert free("--lock", "/run/lock2").code == 0
        node.sh(f"umount /m; mv {LUN}.old {LUN}; losetup -d $(cat /run/name)")


@long
def test_in_use_sees_other_claims_than_mounts_of_xfs(node):
    node.format()
    with node.hold() as held:
        node.sh(f"mkswap -q -f {held.dev} && swapon {held.dev}")
        try:
            assert "in use as swap" in node.tool("in-use", LUN)
        finally:
            node.sh(f"swapoff {held.dev}")
        assert node.tool("in-use", LUN) == ""


def test_in_use_ignores_a_mount_of_the_control_end(node):
    """A loop that ends where the data begins is not a use of the data."""
    node.format()
    dev = node.sh(f"losetup -f --show -o {9 * MIB} --sizelimit {8 * MIB} {LUN}").stdout.strip()
    node.sh(f"mkfs.ext4 -q {dev} && mkdir -p /m && mount {dev} /m")
    assert node.tool("in-use", LUN) == ""
    node.sh(f"umount /m && losetup -d {dev}")


@long
def test_in_use_sees_a_mount_that_has_outlived_its_namespace(node):
    """Nobody can see the mount any more, and it still writes its log."""
    node.format()
    with node.hold() as held:
        process = node.lab.popen("n1", ["unshare", "-m", "sh", "-c", f"mkdir -p /m && mount "
                                        f"{held.dev} /m && echo x > /m/f && echo $$ && exec cat"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline().strip()
        text = node.tool("in-use", LUN)
        assert "mounted on /m in the mount namespace of process" in text
        cats = [p for p in os.listdir("/proc") if p.isdigit() and
                (disk.read(f"/proc/{p}/mountinfo") or "").find(f"{held.dev} ") >= 0]
        fd = os.open(f"/proc/{cats[0]}/root/m/f", os.O_RDONLY)
        try:
            process.send_signal(signal.SIGKILL)
            for pid in cats:
                subprocess.run(["kill", "-9", pid], check=False)
            process.communicate(timeout=10)
            wait_until(lambda: "no namespace" in node.tool("in-use", LUN), 10, "death of the mount")
            assert "live XFS" in node.tool("in-use", LUN)
            assert "EBUSY" in held.detach()
        finally:
            os.close(fd)
        wait_until(lambda: node.tool("in-use", LUN) == "", 10, "end of the XFS")


@long
def test_a_loop_of_others_that_hangs_is_no_obstacle(make_lab):
    """A loop device of the machine on a file whose file system does not answer: another lab's."""
    other = make_lab(1, bin=BUILD, services=False, disk_faults=True, lun="file")
    node = Node(make_lab(1, bin=BUILD, services=False))
    pid, = [int(p) for p in subprocess.run(
        ["pgrep", "-f", f"^[^ ]*qemu-storage-daemon.*{other.dir}/"], capture_output=True, text=True,
        check=True).stdout.split()]
    os.kill(pid, signal.SIGSTOP)
    try:
        node.format()
        until = time.monotonic() + 3            # what the kernel knows of the file is old by then
        while time.monotonic() < until:
            assert node.tool("in-use", LUN) == ""
    finally:
        os.kill(pid, signal.SIGCONT)


def test_in_use_answers_while_the_disk_hangs(make_lab):
    node = Node(make_lab(1, bin=BUILD, services=False, disk_faults=True))
    node.format()
    with node.lab.popen("n1", [TOOL, "watch", LUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        text=True) as watch:
        assert watch.stdout.readline() == "open\n"
        node.lab.disk("n1", "hang")
        answer = watch.communicate("?\n", timeout=20)[0]
        node.lab.disk("n1", "ok")
    assert answer.strip() == "unused"


def test_one_node_does_not_see_the_mount_of_another(make_lab):
    """It is a proof about this machine: each node has its own device on the LUN."""
    lab = make_lab(2, bin=BUILD, services=False)
    n1, n2 = Node(lab), Node(lab, "n2")
    n1.format()
    with n1.hold() as held:
        n1.sh(f"mkdir -p /m && mount {held.dev} /m")
        assert n1.tool("in-use", LUN).startswith("EBUSY")
        assert n2.tool("in-use", LUN) == ""
        n1.sh("umount /m")
    assert n2.info()["name"] == "vol1"          # no stale page of n2 is between


# --- terms

def test_terms_only_go_up_and_are_seen_by_other_nodes(make_lab):
    lab = make_lab(2, bin=BUILD, services=False)
    n1, n2 = Node(lab), Node(lab, "n2")
    n1.format()
    assert n1.tool("term-read", LUN).startswith("ENODATA")
    for term in range(1, 6):                    # back and forth: no cache is between them
        one, other = (n1, n2) if term % 2 else (n2, n1)
        assert one.tool("term-write", LUN, str(term), "0", "n1", "77") == ""
        assert other.tool("term-read", LUN) == f"{term} 0 n1 77 {term}"
    text = n2.tool("term-write", LUN, "5", "1", "n2", "78")
    assert text.startswith("ESTALE") and "node n1" in text
    assert n2.tool("term-write", LUN, "4", "0", "n1", "77").startswith("ESTALE")
    assert n1.tool("term-write", LUN, "5", "0", "n1", "77") == ""
    assert n2.info()["term"] == {"term": 5, "slot": 0, "node": "n1", "incarnation": f"{77:016x}",
                                 "generation": 6}


# --- check and repair

def test_a_torn_header_is_repaired(node):
    node.format()
    for place, name in ((HEADER_A, "first"), (HEADER_B, "second")):
        damage(node, place)
        result = node.adm("check", LUN)
        assert result.code == 1 and f"header, {name} copy: damaged" in result.stdout
        assert "csvadm repair" in result.stderr
        assert "--confirm vol1" in node.refused(8, "repair", LUN)
        assert "--confirm vol1" in node.refused(8, "repair", LUN, "--confirm", "vol2")
        assert node.info()["copies"]["header"].count("damaged") == 1
        assert "is repaired" in node.done("repair", LUN, "--confirm", "vol1")
        assert "is clean" in node.done("check", LUN)


def test_a_lost_partition_table_is_repaired(node):
    node.format()
    node.sh(f"dd if=/dev/zero of={LUN} bs=1M count=1 oflag=direct status=none")
    assert node.info()["copies"]["gpt"] == ["damaged", "good"]
    assert "is repaired" in node.done("repair", LUN, "--confirm", "vol1")
    assert node.info()["copies"]["gpt"] == ["good", "good"]


def test_a_damaged_file_system_is_found_and_repaired(node):
    node.format()
    with node.hold() as held:
        node.sh(f"xfs_db -x -c 'agf 1' -c 'write -d freeblks 5' {held.dev}")
        assert held.detach() == ""
    result = node.adm("check", LUN)
    assert result.code == 1 and "agf_freeblks" in result.stdout and "damage" in result.stderr
    assert "is repaired" in node.done("repair", LUN, "--confirm", "vol1")
    assert "is clean" in node.done("check", LUN)


def test_a_log_that_is_not_replayed_is_not_thrown_away(node):
    node.format()
    with node.hold() as held:
        node.sh(f"mkdir -p /m && mount {held.dev} /m && echo x > /m/f && sync && "
                "xfs_io -x -c 'shutdown' /m; umount /m")
        text = node.refused(8, "repair", LUN, "--confirm", "vol1")
        assert "replayed" in text and "mount" in text
        node.sh(f"mount {held.dev} /m && cat /m/f && umount /m")
        assert held.detach() == ""
    assert "is clean" in node.done("check", LUN)


def test_an_interrupted_format_leaves_no_volume(node):
    """SIGTERM while mkfs.xfs runs, which hangs here: a mkfs.xfs of the test's own."""
    node.sh("printf '#!/bin/sh\\necho started > /run/mkfs\\nexec cat /run/fifo\\n' > /run/mkfs.xfs; "
            "chmod +x /run/mkfs.xfs; mkfifo /run/fifo; mount --bind /run/mkfs.xfs "
            "/usr/sbin/mkfs.xfs")
    process = node.lab.popen("n1", [CSVADM, "format", LUN, "--name", "v", "--cluster", CLUSTER],
                             stderr=subprocess.PIPE, text=True)
    wait_until(lambda: node.sh("cat /run/mkfs", check=False).code == 0, 30, "mkfs.xfs")
    node.sh("pkill -TERM -x csvadm")
    text = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and "interrupted" in text
    node.sh("umount /usr/sbin/mkfs.xfs")
    assert "never formatted to its end" in node.refused(1, "info", LUN)
    assert "--overwrite=csv" in node.refuses_format()
    node.format("--overwrite=csv")
