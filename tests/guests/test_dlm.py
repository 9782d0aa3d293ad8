# SPDX-License-Identifier: GPL-2.0-or-later
"""Locks in the kernel's DLM: the cases that every driver passes, and recovery, with clusterd as the
fence helper of dlm_controld. Each test looks whether the kernel itself has the lockspace."""
import re

import pytest
from guests import settled
from ring import GuestCluster, kernel_lockspaces, listed_lockspaces, start_dlm

SPACE, PORT = "conform", 7000
CASES_SECONDS = 900     # of an idle machine it takes 20; under TCG beside other work much longer
RECOVERY_SECONDS = 180


@pytest.fixture(scope="module")
def cluster(make_guests):
    c = GuestCluster(make_guests()).start()
    start_dlm(c.lab)
    return c


@pytest.fixture
def held(cluster):
    """A lockspace that both nodes have joined for the length of a test."""
    g = cluster.lab
    for node in [n for n in g.nodes if SPACE not in kernel_lockspaces(g, n)]:
        g.run(node, f"dlm_tool join {SPACE}")
    for node in g.nodes:
        settled(g, node, lambda n=node: listed_lockspaces(g, n).get(SPACE) == [1, 2], 60,
                "the lockspace has both")
    return g


def check_kernel(g, nodes=None):
    for node in nodes or g.nodes:
        assert kernel_lockspaces(g, node) == [SPACE]
        assert SPACE in listed_lockspaces(g, node)


def check_cases(g, *places):
    """All cases ran in the guest, and passed, in a lockspace that the kernel has."""
    check_kernel(g)
    result = g.run("n1", ["dlm_conform", SPACE, *places], timeout=CASES_SECONDS, check=False)
    said = result.stdout + result.stderr
    assert result.code == 0, said[-4000:]
    ran, passed = (int(re.search(rf"\[ *{word} *\] (\d+) test", said).group(1))
                   for word in ("==========", "PASSED"))
    assert ran == passed >= 30
    check_kernel(g)
    assert "BUG" not in g.run("n1", "dmesg").stdout


def test_the_cases_of_all_drivers_on_one_node(held):
    check_cases(held)


@pytest.mark.parametrize("places", ["LRL", "RLR"])
def test_the_cases_of_all_drivers_on_two_nodes(held, places):
    server = held.popen("n2", ["dlm_conform", "--serve", SPACE, str(PORT)], timeout=2 * CASES_SECONDS)
    settled(held, "n2", lambda: held.run("n2", f"ss -ltn | grep -c :{PORT}", check=False).code == 0, 60,
            "the server listens")
    check_cases(held, places, f"10.77.0.2:{PORT}")
    assert server.poll() is None
    held.run("n2", "kill $(pgrep -x dlm_conform)")


def helper(g, text):
    return g.run("n1", ["clusterd-dlm-fence"], stdin=text.encode(), check=False)


def test_the_helper_says_which_node_is_not_fenced_and_why(cluster):
    """It ends 1 at its deadline, and names the node; nothing else would be a proof."""
    g = cluster.lab
    r = helper(g, "node=1\ntimeout=2\n")
    assert r.code == 1 and "n1 (node 1) is up and not fenced since it was lost" in r.stderr
    r = helper(g, "node=7\ntimeout=2\n")
    assert r.code == 1 and "node 7 is no member of the cluster" in r.stderr
    r = helper(g, "node=2\ntimeout=2\nsocket=/run/none\n")
    assert r.code == 1 and "node 2: clusterd does not answer here" in r.stderr
    assert helper(g, "nothing\n").code == 2


def ask(g, mode):
    return g.popen("n1", ["dlm_conform", "--ask", SPACE, "precious", mode], timeout=RECOVERY_SECONDS)


def test_locks_of_a_lost_node_are_given_away_after_its_fence_and_not_before(held, cluster):
    """The lock of a dead node, its value block, the fence that is refused for a while."""
    g = held
    g.popen("n2", ["dlm_conform", "--hold", SPACE, "precious", "EX"], timeout=900)
    settled(g, "n2", lambda: "precious" in g.run("n2", f"cat /sys/kernel/debug/dlm/{SPACE}").stdout
            and g.run("n2", f"grep -A9 precious /sys/kernel/debug/dlm/{SPACE}").stdout.count("EX"),
            60, "the lock is held")
    # A lock that stays, so that the kernel knows that there was a value.
    g.popen("n1", ["dlm_conform", "--hold", SPACE, "precious", "NL"], timeout=900)
    settled(g, "n2", lambda: g.run("n2", f"grep -A9 precious /sys/kernel/debug/dlm/{SPACE}").stdout
            .count("NL"), 60, "n1 has it in NL")
    waits = ask(g, "PR")
    settled(g, "n1", lambda: "precious" in g.run(
        "n1", f"cat /sys/kernel/debug/dlm/{SPACE}; dlm_tool lockdebug {SPACE}").stdout, 60, "it waits")
    g.may_switch = False        # its BMC does nothing
    g.guests["n2"].qmp("stop")  # and it says nothing any more
    cluster.wait("n1", lambda: cluster.ctl("n1", "node", "list")[1]["state"] == "fencing",
                 "n2 is to be fenced")
    settled(g, "n1", lambda: "fence_pid 0" not in g.run("n1", "dlm_tool status").stdout, 60,
            "dlm_controld has asked for the fence")
    check_kernel(g, ["n1"])
    assert waits.poll() is None
    g.may_switch = True
    result = waits.wait()
    assert result.code == 0 and result.stdout.startswith("granted PR"), result.stdout
    assert result.stdout.split()[-1] == "invalid"   # of what was written in EX nobody knows
    assert any(e["kind"] == "node-fenced" and e["object"] == "n2"
               for e in cluster.ctl("n1", "fence", "history"))
    assert listed_lockspaces(g, "n1") == {SPACE: [1]}
    assert helper(g, "node=2\nfail_time=1\ntimeout=2\n").code == 0
    assert helper(g, "node=2\ntimeout=2\n").code == 1     # that one was before this failure
    assert ("off", "n2") in [(a, n) for _, a, n in g.power_log]
