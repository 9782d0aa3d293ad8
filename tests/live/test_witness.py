# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness and its judge: what they find, and that they find nothing where nothing is wrong."""
import mmap
import os
import shutil
import struct
import subprocess
import sys

import pytest
from common import wait_until
from long import long_but

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "guests"))

from machine import Machine, SerialLog                          # noqa: E402
from witness_judge import BLOCK, crc32c, judge                  # noqa: E402

BUILD = os.path.realpath(os.environ.get("CLUSTERD_BUILD", "."))
ELF = os.path.join(BUILD, "tests", "guests", "witness.elf")
JUDGE = os.path.join(HERE, "..", "guests", "witness_judge.py")
FAST = "vm=w1 interval=5 dirty=2048 sweep=500 ring=64"
BOOT_SECONDS = 5


class World:
    """A disk image, a serial log, and the machines of one test."""

    def __init__(self, path):
        self.path, self.image = path, str(path / "disk.img")
        self.log = SerialLog(str(path / "serial.log"))
        self.machines = []
        with open(self.image, "wb") as f:
            f.truncate(64 * BLOCK)

    def start(self, node="n1", options=FAST, **more):
        image = more.pop("image", self.image)
        self.machines.append(Machine(ELF, image, self.log, node, options, **more))
        return self.machines[-1]

    def file(self, name):
        return str(self.path / name)

    def judge(self, **options):
        return judge(self.image, [self.log.path], **options)

    def end(self):
        for machine in self.machines:
            machine.kill()
        self.log.close()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.end()


def found(violations, *words):
    """The first violation that has all these words."""
    for sentence in violations:
        if all(word in sentence for word in words):
            return sentence
    raise AssertionError(f"no violation with {words} among {violations}")


# --- a healthy guest

@pytest.mark.parametrize("machine", long_but(["pc", "q35"], "q35"))
def test_it_boots_counts_up_and_ends_by_the_power_button(world, machine):
    m = world.start(machine=machine)
    m.wait_sequence(20, BOOT_SECONDS)
    m.wait(lambda: m.stamps[-1].sweeps >= 2, "all memory verified twice")
    m.qmp("system_powerdown")
    assert m.wait_end() == 0
    assert m.said("OFF") and not m.said("NOTE")
    assert world.judge() == []


def test_a_reset_is_a_new_incarnation_with_a_higher_sequence(world):
    m = world.start()
    for boots in (1, 2, 3):
        m.wait(lambda b=boots: len(m.said("BOOT")) == b, f"boot {boots}", BOOT_SECONDS)
        m.wait_sequence(m.said("BOOT")[-1].after + 30)
        before = m.sequence
        m.qmp("system_reset")
    m.wait_sequence(before + 100)
    m.kill()
    assert len({line.incarnation for line in m.said("BOOT")}) == 4
    assert m.said("BOOT")[0].after == 0 and m.said("BOOT")[-1].after >= before
    assert world.judge() == []


def test_a_live_migration_keeps_memory_incarnation_and_sequence(world):
    # As slow as this, a QEMU that loses dirty pages loses some each time.
    options = FAST.replace("dirty=2048", "dirty=10240 mem=24")
    at = world.start("n1", options)
    for turn, node in enumerate(("n2", "n1", "n3")):
        at.wait(lambda m=at: m.stamps and m.stamps[-1].sweeps >= 1, "all memory written")
        there = world.start(node, options, incoming=True)
        uri = "unix:" + world.file(f"migration{turn}")
        there.listen(uri)
        at.migrate(uri, mib_s=20)       # five passes
        before = at.sequence
        there.wait(lambda m=there, b=before: m.sequence > b + 50, "stamps after the migration")
        sweeps = there.stamps[-1].sweeps
        there.wait(lambda m=there, s=sweeps: m.stamps[-1].sweeps >= s + 2, "all memory verified")
        at.kill()
        at = there
    at.qmp("system_powerdown")
    assert at.wait_end() == 0
    assert len({line.incarnation for m in world.machines for line in m.stamps}) == 1
    # On a busy machine the thread that reads the source's last line may be late.
    assert world.judge(slack=1) == []


# --- planted faults

def test_memory_that_is_changed_from_outside_is_damage(world):
    ram = world.file("ram")
    m = world.start(ram_file=ram, options=FAST + " dirty=4")
    m.wait(lambda: m.stamps and m.stamps[-1].sweeps >= 1, "all memory written")
    base = int(m.said("MEMORY")[0].text.split(" at ")[1].split()[0], 16)
    with open(ram, "r+b") as f, mmap.mmap(f.fileno(), 0) as memory:
        page = base + 1000 * 4096
        memory[page + 256] ^= 1                                     # one bit
        page += 4096
        memory[page:page + 4096] = memory[base:base + 4096]         # another page's content
    m.wait(lambda: m.stamps[-1].damage == 2, "two places of damage")
    m.qmp("system_powerdown")
    assert m.wait_end() == 0
    texts = [line.text for line in m.said("DAMAGE")]
    assert "page 1000 " in texts[0] and "page 1001 " in texts[1]
    violations = world.judge()
    found(violations, "serial", "DAMAGE page 1000")
    found(violations, "disk", "lost memory 2 times")


def test_an_older_copy_of_the_disk_is_found_by_the_guest_and_by_the_judge(world):
    m = world.start()
    m.wait_sequence(10)
    m.qmp("stop")
    shutil.copyfile(world.image, world.file("older.img"))
    m.qmp("cont")
    m.wait_sequence(30)
    m.qmp("stop")
    # In place: QEMU has the file open.
    with open(world.file("older.img"), "rb") as old, open(world.image, "r+b") as image:
        image.write(old.read())
    m.qmp("cont")
    m.wait_sequence(40)
    m.kill()
    violations = world.judge()
    found(violations, "FAULT", "expected as written")
    found(violations, "disk: lost stamps")


def test_an_older_copy_of_the_disk_between_two_boots_is_found_by_the_judge(world):
    first = world.start()
    first.wait_sequence(10)
    first.qmp("stop")
    shutil.copyfile(world.image, world.file("older.img"))
    first.qmp("cont")
    first.wait_sequence(30)
    first.kill()
    second = world.start("n2", image=world.file("older.img"))
    second.wait_sequence(20)
    second.kill()
    world.image = world.file("older.img")
    violations = world.judge()
    found(violations, "serial", "the disk went back")
    found(violations, "disk: acknowledged")


def test_two_instances_on_one_disk_are_found_by_themselves_and_by_the_judge(world):
    one = world.start("n1", is_locked=False)
    one.wait_sequence(20)
    two = world.start("n2", is_locked=False)
    two.wait_sequence(40)
    one.wait_sequence(one.sequence + 20)
    one.kill()
    two.kill()
    violations = world.judge()
    found(violations, "serial", "both ran", "n1, n2")
    found(violations, "stamps were written twice", "on n1", "on n2")
    found(violations, "FAULT", "expected")


def test_a_source_that_runs_on_after_its_migration_is_found_by_the_judge(world):
    one = world.start("n1", is_locked=False)
    one.wait_sequence(20)
    two = world.start("n2", is_locked=False, incoming=True)
    uri = "unix:" + world.file("migration")
    two.listen(uri)
    one.migrate(uri)
    before = one.sequence
    two.wait_sequence(before + 20)
    one.qmp("cont")
    one.wait_sequence(before + 20)
    one.kill()
    two.kill()
    violations = world.judge()
    found(violations, "lines twice", "n1", "n2", "it ran twice")
    found(violations, "stamps were written twice", "on n1", "on n2")
    found(violations, "FAULT", "expected older")


def test_an_error_of_the_disk_is_said_and_the_stamp_is_tried_again(world):
    rule = "inject-error.0"
    m = world.start(error=f"{rule}.event=none,{rule}.iotype=write,{rule}.sector={12 * BLOCK // 512},"
                          f"{rule}.once=on")
    m.wait_sequence(30)
    m.kill()
    assert [line.text.split(" [")[0] for line in m.said("ERROR")] == [
        "WITNESS ERROR write of slot 12 failed with 1"]
    assert world.judge() == []


# --- the judge alone

def record(sequence, incarnation=1, ring=8, damage=0):
    body = struct.pack("<IQQQQQIIIII32s", ring, incarnation, sequence, 0, 0, 0, damage, 0, 0, 0, 0,
                       b"w1").ljust(BLOCK - 12, b"\0")
    return b"WITNESS1" + struct.pack("<I", crc32c(body)) + body


def ring(path, sequences, slots=8):
    with open(path, "wb") as f:
        f.truncate(slots * BLOCK)
        for sequence in sequences:
            f.seek(sequence % slots * BLOCK)
            f.write(record(sequence) if isinstance(sequence, int) else sequence)
    return str(path)


def test_the_judge_allows_only_the_next_slot_to_be_torn(tmp_path):
    image = ring(tmp_path / "a", range(1, 13))
    assert judge(image) == []
    for slot, is_allowed in ((13 % 8, True), (14 % 8, False)):
        ring(image, range(1, 13))
        with open(image, "r+b") as f:
            f.seek(slot * BLOCK + 512)
            f.write(b"torn")
        assert (judge(image) == []) == is_allowed


def test_the_judge_names_stamps_that_are_not_there(tmp_path):
    image = ring(tmp_path / "a", [1, 2, 3, 4, 8, 9])
    assert judge(image) == ["disk: lost stamps 5 to 7, although 9 is there"]


def test_the_judge_is_a_program_with_exit_codes(tmp_path):
    image, log = ring(tmp_path / "a", [1, 2, 3]), tmp_path / "log"
    stamp = "{:.3f} n1 W 0000000000000001 {} 0 0 0 [0000000000000001.{}]\n"
    log.write_text("".join(stamp.format(n, n, n) for n in (1, 2, 3)))

    def run(*argv):
        return subprocess.run([JUDGE, *argv], capture_output=True, text=True, check=False)
    assert run(image, str(log)).returncode == 0
    log.write_text("".join(stamp.format(n, n, n) for n in (1, 2, 3, 4)))
    bad = run(image, str(log))
    assert bad.returncode == 1 and bad.stdout == "disk: acknowledged, but not there: stamps 4\n"
    assert run(str(tmp_path / "none")).returncode == 2
