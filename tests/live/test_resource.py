# SPDX-License-Identifier: GPL-2.0-or-later
"""Resources of a group: trees of dependencies, failures that are lived with, one taken in hand.

The agent is ocf:odd:part of tests/agents, laid over the nodes' agents; it writes a log on its node.
"""
import os

import pytest
from cluster import BUILD, Cluster
from long import long

HERE = os.path.dirname(os.path.realpath(__file__))
AGENT = os.path.join(HERE, "..", "agents", "resource.d", "odd", "part")
TIMEOUT = 60

INSTALL = """
mkdir -p /run/odd/odd && cat >/run/odd/odd/part && chmod 755 /run/odd/odd/part &&
mount -t overlay -o lowerdir=/run/odd:/usr/lib/ocf/resource.d overlay /usr/lib/ocf/resource.d
"""


class Parts(Cluster):
    """A cluster with groups of parts."""

    def install(self):
        for node in self.lab.nodes:
            with open(AGENT, encoding="utf-8") as f:
                self.lab.run(node, INSTALL, stdin=f.read())
        return self

    def part(self, name, *more, group="g"):
        self.ctl("n1", "resource", "create", name, "--group", group, "--agent", "ocf:odd:part",
                 "--monitor-ms", "300", *more)

    def service(self, **restart):
        """An address, two disks of which one is enough, and what runs on them."""
        more = [w for k, v in restart.items() for w in (f"--{k.replace('_', '-')}", str(v))]
        self.ctl("n1", "group", "create", "g")
        for name in "ip", "disk1", "disk2":
            self.part(name, *more)
        self.part("app", *more, "--depends", "ip and (disk1 or disk2)")

    def touch(self, node, name):
        self.lab.run(node, f"touch /run/part.{name}")

    def kill(self, node, name):
        self.lab.run(node, f"rm /run/part.{name}")

    def runs(self, node):
        """The parts that run there, looked at from outside."""
        there = self.lab.run(node, ["ls", "/run"]).stdout.split()
        return {n for n in ("ip", "disk1", "disk2", "app", "a", "b") if f"part.{n}" in there}

    def log(self, node):
        return self.lab.run(node, "cat /run/part.log", check=False).stdout.split("\n")[:-1]

    def resource(self, name):
        return self.ctl("n1", "resource", "show", name)

    def wait_resource(self, name, **wanted):
        self.wait("n1", lambda: all(self.resource(name)[k] == v for k, v in wanted.items()),
                  f"resource {name}: {wanted}", TIMEOUT)

    def wait_for(self, what, predicate):
        self.wait("n1", predicate, what, TIMEOUT)

    def start(self, node="n1"):
        self.ctl("n1", "group", "start", "g", "--to", node, "--wait", timeout=TIMEOUT)


@pytest.fixture
def parts2(make_lab):
    return Parts(make_lab(2, bin=BUILD)).create().install()


def test_what_depends_on_nothing_starts_together_and_an_expression_is_checked(parts2):
    c = parts2
    c.ctl("n1", "group", "create", "g")
    # Each ends its start only when the other's has begun: one after the other would fail.
    c.part("a", "--param", "meet=b")
    c.part("b", "--param", "meet=a")
    c.part("app", "--depends", "a and b")
    for text, what in (("a and", "is missing"), ("a or nobody", "no such resource"),
                       ("a and b or a", "two ways"), ("app", "itself")):
        code, said = c.fails("n1", "resource", "set", "app", "--depends", text)
        assert code == 2 and what in said, said
    code, said = c.fails("n1", "resource", "set", "a", "--depends", "app")
    assert code == 2 and "a cycle: " in said and "a needs app" in said
    code, said = c.fails("n1", "resource", "delete", "a")
    assert code == 8 and "app depends on it" in said
    c.start()
    assert c.runs("n1") == {"a", "b", "app"}
    assert c.log("n1")[-1].startswith("start app")
    c.ctl("n1", "group", "stop", "g", "--wait", timeout=TIMEOUT)
    assert c.log("n1")[3].startswith("stop app") and c.runs("n1") == set()
    assert not c.events("n1", "resource-failed")


def test_one_disk_of_two_may_fail_and_then_not_the_other(parts2):
    c = parts2
    c.service(restart_max=0)
    c.touch("n1", "disk2.broken")
    c.start()
    g = c.wait_group("n1", "g", TIMEOUT, work="online", node="n1", state="degraded")
    assert "degraded: disk2 failed" in g["explain"] and "it is broken" in g["explain"]
    assert c.runs("n1") == {"ip", "disk1", "app"} and c.resource("disk2")["state"] == "failed"
    why = {r["name"]: r["explain"] for r in
           c.ctl("n1", "group", "explain", "g")["resources"]}
    assert "disk1 is online" in why["app"] and "disk2 is failed" in why["app"]
    assert "'resource clear disk2'" in why["disk2"] and "needed by app" in why["disk2"]

    c.lab.run("n1", "rm /run/part.disk2.broken")
    c.ctl("n1", "resource", "clear", "disk2")
    c.wait_group("n1", "g", TIMEOUT, state="online")
    assert c.runs("n1") == {"ip", "disk1", "disk2", "app"}

    # The other one goes while it runs: the service does not notice.
    before = [e for e in c.log("n1") if " app" in e]
    c.kill("n1", "disk1")
    c.wait_group("n1", "g", TIMEOUT, state="degraded", node="n1")
    assert [e for e in c.log("n1") if " app" in e] == before and "app" in c.runs("n1")
    # And with the last one it moves.
    c.kill("n1", "disk2")
    c.wait_group("n1", "g", TIMEOUT, work="online", node="n2", state="online", failures=1)
    assert c.runs("n1") == set() and c.runs("n2") == {"ip", "disk1", "disk2", "app"}
    c.wait_same()


def test_a_simulated_failure_has_all_that_follows(parts2):
    c = parts2
    c.service(restart_max=1)
    c.start()
    c.ctl("n1", "resource", "fail", "ip")
    c.wait_resource("ip", restarts=1, asked="nothing", work="online")
    c.wait_for("restarted", lambda: c.log("n1")[-1].startswith("start app"))
    order = [e.split()[:2] for e in c.log("n1")[4:]]
    assert order == [["stop", "app"], ["stop", "ip"], ["start", "ip"], ["start", "app"]]
    assert "by root@n1" in c.events("n1", "resource-fail")[0]["text"]
    assert "simulated failure, asked by root@n1" in c.events("n1", "resource-restarted")[0]["text"]
    c.wait_for("online", lambda: c.runs("n1") == {"ip", "disk1", "disk2", "app"})
    c.ctl("n1", "resource", "fail", "app")
    c.wait_resource("app", restarts=1, asked="nothing")
    c.wait_for("once more", lambda: "app" in c.runs("n1"))
    c.ctl("n1", "resource", "fail", "app")      # beyond its restarts
    c.wait_group("n1", "g", TIMEOUT, work="online", node="n2", failures=1)
    assert "simulated" in [e["text"] for e in c.events("n1", "group-report")
                           if e["text"].startswith("failed")][0]
    c.ctl("n1", "group", "clear", "g")
    assert c.group("n1", "g")["failures"] == 0
    c.wait_same()


def test_what_is_unmanaged_is_watched_and_left_alone(parts2):
    c = parts2
    c.service(restart_max=0)
    c.start()
    c.ctl("n1", "resource", "unmanage", "app")
    assert c.resource("app")["state"] == "unmanaged"
    c.kill("n1", "app")
    c.wait_resource("app", work="failed")
    assert c.events("n1", "resource-failed")[0]["text"].startswith("on n1: unmanaged: ")
    code, said = c.fails("n1", "group", "stop", "g")
    assert code == 8 and "unmanaged in part" in said
    c.ctl("n1", "node", "drain", "n1")
    g = c.group("n1", "g")
    assert (g["work"], g["node"], g["failures"]) == ("online", "n1", 0)
    assert "stays on n1, which is drained: 1 of its resources is unmanaged" in g["explain"]
    assert c.runs("n1") == {"ip", "disk1", "disk2"}     # nothing was done about it
    c.lab.service("n1", "kill", "clusterd")             # and a new process knows it
    c.lab.service("n1", "start", "clusterd")
    c.wait_for("whole again", lambda: c.quorum("n1")["is_quorate"] and
               c.group("n1", "g")["work"] == "online")
    c.wait_for("taken up again", lambda: len([e for e in c.log("n1") if "start ip" in e]) == 2)
    assert c.runs("n1") == {"ip", "disk1", "disk2"}
    c.touch("n1", "app")                                # its administrator has repaired it
    c.wait_resource("app", work="online")
    c.ctl("n1", "resource", "manage", "app")
    c.wait_group("n1", "g", TIMEOUT, work="online", node="n2")
    assert c.runs("n1") == set() and "app" in c.runs("n2")
    c.wait_same()


def test_a_group_handed_back_is_looked_at_at_once(parts2):
    c = parts2
    c.service(restart_max=3)
    c.start()
    c.ctl("n1", "group", "unmanage", "g")
    assert c.group("n1", "g")["state"] == "unmanaged"
    c.kill("n1", "disk1")
    c.wait_resource("disk1", work="failed")
    starts = len(c.log("n1"))
    c.ctl("n1", "group", "manage", "g")
    c.wait_for("disk1 runs again", lambda: "disk1" in c.runs("n1"))
    c.wait_resource("disk1", work="online", restarts=1)
    assert [e.split()[:2] for e in c.log("n1")[starts:]] == [["start", "disk1"]]


def test_one_resource_is_stopped_and_started(parts2):
    c = parts2
    c.service()
    c.start()
    c.ctl("n1", "resource", "stop", "disk1", "--wait", timeout=TIMEOUT)
    assert c.runs("n1") == {"ip", "disk2", "app"}
    c.ctl("n1", "resource", "stop", "ip", "--wait", timeout=TIMEOUT)
    c.wait_resource("app", work="offline")
    assert c.runs("n1") == {"disk2"} and c.group("n1", "g")["state"] == "online"
    assert [e.split()[:2] for e in c.log("n1")[-2:]] == [["stop", "app"], ["stop", "ip"]]
    assert "waits until 'ip and" in c.ctl("n1", "resource", "explain", "app")[0]["explain"]
    code, said = c.fails("n1", "resource", "fail", "ip")
    assert code == 8 and "not online" in said
    # It stays stopped where the group goes.
    c.ctl("n1", "group", "move", "g", "--to", "n2", "--wait", timeout=TIMEOUT)
    assert c.runs("n2") == {"disk2"} and c.resource("ip")["state"] == "stopped"
    c.ctl("n1", "resource", "start", "ip", "--wait", timeout=TIMEOUT)
    c.wait_resource("app", work="online")
    assert c.runs("n2") == {"ip", "disk2", "app"} and not c.events("n1", "resource-failed")
    c.wait_same()


def test_parameters_change_by_a_reload_or_a_restart_with_what_needs_it(parts2):
    c = parts2
    c.service()
    c.ctl("n1", "resource", "set", "ip", "--param", "place=here")
    c.start()
    code, said = c.fails("n1", "resource", "set", "ip", "--param", "nonsense=1")
    assert code == 2 and "nonsense" in said
    code, said = c.fails("n1", "resource", "set", "ip", "--remove-params", "meet")
    assert code == 2 and "meet" in said
    code, said = c.fails("n1", "resource", "set", "ip")
    assert code == 2 and "nothing to set" in said

    n = len(c.log("n1"))
    c.ctl("n1", "resource", "set", "ip", "--param", "colour=red")
    c.wait_resource("ip", asked="nothing")
    assert c.log("n1")[n:] == ["reload ip here red"]

    # Its stop still gets what its start got.
    c.ctl("n1", "resource", "set", "ip", "--param", "place=there", "--remove-params", "colour")
    c.wait_resource("ip", asked="nothing")
    c.wait_for("app is back", lambda: c.log("n1")[-1].startswith("start app"))
    assert [e.strip() for e in c.log("n1")[n + 1:]] == \
        ["stop app", "stop ip here red", "start ip there", "start app"]
    assert c.resource("ip")["restarts"] == 0 and c.group("n1", "g")["failures"] == 0
    c.wait_same()


@long
def test_a_deep_monitor_finds_what_the_other_one_does_not(parts2):
    c = parts2
    code, said = 0, ""
    c.ctl("n1", "group", "create", "d")
    code, said = c.fails("n1", "resource", "create", "x", "--group", "d", "--agent",
                         "ocf:heartbeat:Dummy", "--deep-monitor-ms", "1000")
    assert code == 2 and "deep_monitor_ms" in said
    c.ctl("n1", "group", "create", "g")
    c.part("a")
    c.start()
    c.touch("n1", "a.sick")
    c.ctl("n1", "resource", "set", "a", "--deep-monitor-ms", "500")
    assert c.resource("a")["deep_level"] == 10
    c.wait_resource("a", restarts=1)
    assert "deep a 10" in c.log("n1")
    assert "it is sick" in c.events("n1", "resource-restarted")[0]["text"]


def test_what_is_added_to_a_running_group_does_not_take_it_down(parts2):
    c = parts2
    c.service(restart_max=0)
    c.start()
    c.touch("n1", "b.broken")
    c.part("b", "--restart-max", "0")
    assert c.resource("b")["state"] == "stopped"
    c.part("a", "--depends", "ip")
    c.ctl("n1", "resource", "start", "a", "--wait", timeout=TIMEOUT)
    assert c.runs("n1") == {"ip", "disk1", "disk2", "app", "a"}
    c.ctl("n1", "resource", "delete", "b")
    assert c.group("n1", "g")["state"] == "online"
