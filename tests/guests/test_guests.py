# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests themselves: what the other tests of this folder stand on."""
import pytest
from common import LabError, poll


@pytest.fixture(scope="module")
def guests(make_guests):
    return make_guests()


def test_both_run_debians_kernel_and_our_programs(guests):
    for node, result in guests.everywhere("uname -n; uname -v; clusterctl --version").items():
        name, kernel, program = result.stdout.splitlines()
        assert name == node and "Debian" in kernel and program.startswith("clusterctl ")


def test_a_program_has_status_output_errors_and_a_deadline(guests):
    result = guests.run("n1", "cat; echo bad >&2; exit 3", stdin=b"in\n", check=False)
    assert (result.code, result.stdout, result.stderr) == (3, "in\n", "bad\n")
    with pytest.raises(LabError, match="no end within its time"):
        guests.run("n1", "sleep 60", timeout=1)
    with pytest.raises(LabError, match="exit 3"):
        guests.run("n1", "exit 3")


def test_they_hear_each_other_on_both_links_and_nobody_else(guests):
    for link in (0, 1):
        guests.run("n1", f"busybox ping -c 1 -W 10 10.77.{link}.2")
    assert guests.run("n1", "ip route").stdout.count("\n") == 2   # no way out


def test_what_one_writes_to_the_disk_the_other_reads(guests):
    dd = "dd bs=4k count=1 conv=notrunc status=none"
    guests.run("n1", f"(echo from n1; head -c 4087 /dev/zero) | {dd} iflag=fullblock oflag=direct "
                     "of=/dev/vdc seek=7")
    assert guests.run("n2", f"{dd} iflag=direct if=/dev/vdc skip=7").stdout.startswith("from n1\n")
    assert guests.run("n2", "cat /sys/block/vdc/size").stdout == f"{(2 << 30) // 512}\n"


def test_the_fence_agent_switches_the_other_off_and_on(guests):
    def fence(action):
        return guests.run("n1", "fence_guest", stdin=f"action={action}\nplug=n2\n".encode(),
                          check=False)
    assert (fence("status").code, fence("status").stdout) == (0, "STATUS: ON\n")
    boot = guests.run("n2", "cat /proc/sys/kernel/random/boot_id").stdout
    guests.may_switch = False
    assert fence("off").code == 1 and guests.node("n2")["state"] == "on"
    guests.may_switch = True
    assert fence("off").code == 0 and guests.node("n2")["state"] == "off"
    assert (fence("status").code, fence("status").stdout) == (2, "STATUS: OFF\n")
    assert fence("on").code == 0
    guests.guests["n2"].wait_up()
    assert guests.run("n2", "cat /proc/sys/kernel/random/boot_id").stdout != boot
    assert poll(lambda: guests.run("n2", "busybox ping -c 1 -W 5 10.77.0.1", check=False).code == 0,
                30)


def test_a_guest_that_stands_still_is_an_error_and_not_a_hang(guests):
    running = guests.popen("n2", "sleep 300", timeout=2)
    guests.guests["n2"].qmp("stop")
    guests.guests["n2"].agent.sock.settimeout(5)
    with pytest.raises(LabError):
        running.wait()
    guests.kill("n2")
