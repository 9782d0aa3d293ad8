# SPDX-License-Identifier: GPL-2.0-or-later
"""The Linux guest: made from Debian's packages, it stamps its disk as the witness does."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lab")]

from machine import Machine, SerialLog                          # noqa: E402
from witness_judge import BLOCK, judge                          # noqa: E402

BUILD = os.path.realpath(os.environ.get("CLUSTERD_BUILD", "."))
MADE = os.path.join(BUILD, "tests", "guests", "linux-guest")
OPTIONS = "console=ttyS0 quiet vm=l1 interval=20 ring=64"
BOOT_SECONDS = 60


@pytest.fixture(scope="module")
def guest():
    """Paths of kernel and initramfs. The packages are downloaded once for a build folder."""
    rc = os.path.join(BUILD, "tests", "guests", "linux-guest.rc")
    with open(rc, "w", encoding="utf-8") as f:
        f.write("echo RC speaks, $(ls /dev/vda) >/dev/console\n")
    subprocess.run([os.path.join(HERE, "linux", "make-linux-guest"), MADE, "--rc", rc,
                    "--module", "i6300esb", "--init",
                    os.path.join(BUILD, "tests", "guests", "linux_init")], check=True)
    return {"kernel": os.path.join(MADE, "vmlinux"),
            "initramfs": os.path.join(MADE, "initramfs")}


@pytest.fixture
def start(guest, tmp_path):
    machines, image = [], str(tmp_path / "disk.img")
    log = SerialLog(str(tmp_path / "serial.log"))
    with open(image, "wb") as f:
        f.truncate(64 * BLOCK)

    def make(node="n1", **more):
        machines.append(Machine(image=image, log=log, node=node, options=OPTIONS, **guest, **more))
        return machines[-1]
    make.image, make.log = image, log.path
    yield make
    for machine in machines:
        machine.kill()
    log.close()


def test_it_boots_is_reset_counts_on_and_ends_by_the_power_button(start):
    m = start()
    m.wait_sequence(20, BOOT_SECONDS)
    assert any("RC speaks, /dev/vda" in line.text for line in m.lines)
    m.qmp("system_reset")
    m.wait(lambda: len(m.said("BOOT")) == 2, "second boot", BOOT_SECONDS)
    m.wait_sequence(m.said("BOOT")[1].after + 100)
    m.qmp("system_powerdown")
    assert m.wait_end() == 0
    assert m.said("OFF") and not m.said("NOTE")
    assert judge(start.image, [start.log]) == []


def test_it_is_migrated_live(start, tmp_path):
    one = start("n1")
    one.wait_sequence(20, BOOT_SECONDS)
    two = start("n2", incoming=True)
    uri = f"unix:{tmp_path}/migration"
    two.listen(uri)
    one.migrate(uri)
    two.wait_sequence(one.sequence + 100)
    assert {line.incarnation for line in two.stamps} == {one.stamps[0].incarnation}
    one.kill()
    two.kill()
    assert judge(start.image, [start.log], slack=1) == []
