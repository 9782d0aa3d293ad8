# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines in a cluster of two nodes and a disk witness: what half of it does without the other."""
import pytest
from cluster import BUILD
from lablib import poll, wait_until
from outage import STILL_SECONDS, Outage
from test_witness_disk import wait_whole
from witnessed import D_MS, LONG

DATA, WITNESS, DATA_MIB, WITNESS_MIB = "/dev/lab/data", "/dev/lab/witness", 1024, 128


def cut(lab, node, name, offset, size):
    """Two disks out of the lab's one, which are lost together: loops on it, until the node is off."""
    lab.run(node, f"ln -s $(losetup -P --show -f -o {offset}M --sizelimit {size}M /dev/lab/lun) {name}")


@pytest.fixture
def outage2(make_lab):
    lab = make_lab(2, bin=BUILD, lun_size=f"{DATA_MIB + WITNESS_MIB}M", disk_faults=True)
    lab.volume_bytes = DATA_MIB << 20
    for node in lab.nodes:
        cut(lab, node, DATA, 0, DATA_MIB)
        cut(lab, node, WITNESS, DATA_MIB, WITNESS_MIB)
    o = Outage(lab, DATA)
    o.c.ctl("n1", "quorum", "set", "--absent-ms", "3600000")
    o.c.ctl("n1", "quorum", "set", "--mode", "node-disk", "--disk", WITNESS, "--io-ms", D_MS)
    wait_whole(o.c)
    yield o
    o.close()


def test_who_sees_neither_ring_nor_witness_has_stopped_before_the_other_starts(outage2):
    """The ring and the control partition are lost at once: nothing tells the node but its clock."""
    o, c = outage2, outage2.c
    victim, via = "n2", "n1"
    w = o.vms[victim]
    c.lab.disk(victim, "hang")
    c.lab.service(victim, "freeze", "corosync")
    wait_until(o.is_asked, LONG, "the other asks for its power")
    o.wait_still(victim)
    wait_until(lambda: not c.has_state(victim, f"g-{victim}-d"), 60, "its group stops by itself")
    stood = o.last_stamp(victim)
    assert c.quorum(via)["reason"] == "majority-with-witness"
    for name in (w.name, f"g-{victim}"):
        assert c.group(via, name)["work"] == "unknown"
    assert not poll(lambda: w.stamps()[-1][0] > stood or c.has_state(victim, f"g-{victim}-d"),
                    STILL_SECONDS)
    o.open_gate()
    for name in (w.name, f"g-{victim}"):
        c.wait(via, lambda n=name: c.group(via, n)["work"] == "online" and
               c.group(via, n)["node"] == via, f"{name} runs on {via}", LONG)
    w.wait_alive(via)
    o.vms[via].wait_alive(via)
    boots = w.boots()
    assert len(boots) == 2 and boots[1][0] > stood
    for each in o.vms.values():
        assert each.judge(via) == []
    assert len(o.vms[via].boots()) == 1 and o.qemu(via)[0] == o.pids[via][0]
