# SPDX-License-Identifier: GPL-2.0-or-later
"""What agents are on a node and what they say of themselves, whatever they print."""
import json
import subprocess

import pytest
from cluster import BUILD, CTL, Cluster

FAILED, USAGE, NO_SUCH = 1, 2, 3
ODD = "/usr/lib/ocf/resource.d/odd"
SECONDS = 8         # that an agent has
META = """<?xml version="1.0"?>
<resource-agent name="good" version="2.5"><version>1.1</version>
<shortdesc lang="en">Gr\u00fc\u00dfe
 in two lines</shortdesc>
<longdesc lang="en">First paragraph.

Second &#x202e; one.</longdesc>
<parameters>
<parameter name="address" required="1" unique="1"><content type="string"/>
<shortdesc lang="en">Where it is</shortdesc><longdesc lang="en">All about it.</longdesc></parameter>
<parameter name="mode" deprecated="1"><content type="select" default="slow"><option value="slow"/>
<option value="fast"/></content><shortdesc lang="en">How</shortdesc></parameter>
<parameter name="words"><content type="string" default="%s"/></parameter>
</parameters>
<actions><action name="start" timeout="20s"/><action name="monitor" depth="10" timeout="5s"
interval="1min"/></actions>
</resource-agent>""" % ("long " * 20)
AGENTS = {
    "good": "cat <<'END'\n" + META + "\nEND",
    "hang": "trap '' TERM; exec sleep 600",
    "garbage": r"printf '\377\376\000<\033[2J\300\257'",
    "flood": "head -c 10485760 /dev/zero | tr '\\0' x",
    # An error that is cut: one of three within a character.
    **{f"loud{'d' * n}": "echo '" + "\u20ac" * 400 + "' >&2; exit 1" for n in (20, 21, 22)},
    ".hidden": "exit 0",
}
FENCE = {
    "fence_hang": "exec sleep 600",
    "fence_garbage": AGENTS["garbage"],
    "fence_flood": AGENTS["flood"],
    "fence_virtd": "touch /run/fence_virtd_ran",       # a daemon of that name is no agent
}
INSTALL = """
import json, os, sys
agents, fence = json.load(sys.stdin)
for folder, files in ("/run/odd/odd", agents), ("/run/fence", fence):
    os.makedirs(folder)
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\\n" + text + "\\n")
        os.chmod(os.path.join(folder, name), 0o755)
with open("/run/odd/odd/orphan", "w") as f:
    f.write("#!/run/no/such/interpreter\\n")
with open("/run/odd/odd/plain", "w") as f:
    f.write("#!/bin/sh\\n")
os.chmod("/run/odd/odd/orphan", 0o755)
os.mkdir("/run/odd/odd/folder")
for lower, upper in ("/run/odd", "/usr/lib/ocf/resource.d"), ("/run/fence", "/usr/sbin"):
    if os.spawnvp(os.P_WAIT, "mount", [
        "mount", "-t", "overlay", "-o", f"lowerdir={lower}:{upper}", "overlay", upper]):
        sys.exit(f"no overlay on {upper}")
"""


@pytest.fixture(scope="module")
def c(make_module_lab):
    lab = make_module_lab(1, bin=BUILD)
    lab.run("n1", ["/usr/bin/python3", "-c", INSTALL], stdin=json.dumps([AGENTS, FENCE]))
    return Cluster(lab).create()


def test_the_list_has_what_is_there_and_runs_nothing(c):
    rows = {r["name"]: r for r in c.ctl("n1", "agent", "list")}
    assert {"ocf:heartbeat:Dummy", "ocf:pacemaker:Dummy", "ocf:clusterd:vm", "ocf:odd:hang",
            "ocf:odd:orphan", "fence_hang", "fence_ipmilan"} <= set(rows)
    assert rows["ocf:pacemaker:Dummy"] == {
        "name": "ocf:pacemaker:Dummy", "kind": "ocf", "provider": "pacemaker",
        "path": "/usr/lib/ocf/resource.d/pacemaker/Dummy"}
    assert rows["fence_ipmilan"] == {"name": "fence_ipmilan", "kind": "fence", "provider": None,
                                     "path": "/usr/sbin/fence_ipmilan"}
    assert rows["ocf:clusterd:vm"]["path"].endswith("/agents/vm")
    assert not [n for n in rows if n.endswith((":plain", ":folder", "hidden", "fence_virtd",
                                               "ack_manual", ":local.mk"))]
    table = c.lab.run("n1", [CTL, "agent", "list"]).stdout.splitlines()
    assert table[0].split() == ["NAME", "KIND", "PATH"] and len(table) == len(rows) + 1


def test_an_agent_is_shown_with_its_parameters_and_actions(c):
    good = c.ctl("n1", "agent", "show", "ocf:odd:good")
    assert (good["kind"], good["node"], good["path"], good["version"]) == \
        ("ocf", "n1", ODD + "/good", "2.5")
    assert "First paragraph.\n\nSecond" in good["longdesc"] and "\u202e" not in good["longdesc"]
    address, mode, words = good["parameters"]
    assert address["is_required"] and address["is_unique"] and address["default"] is None
    assert (mode["type"], mode["default"], mode["options"]) == ("select", "slow", ["slow", "fast"])
    start, monitor = good["actions"]
    assert (start["timeout_ms"], start["interval_ms"], start["depth"]) == (20000, None, None)
    assert (monitor["interval_ms"], monitor["depth"]) == (60000, 10)

    text = c.lab.run("n1", [CTL, "agent", "show", "ocf:odd:good"]).stdout
    lines = [line.split() for line in text.splitlines()]
    assert ["NAME", "TYPE", "DEFAULT", "IS_REQUIRED", "IS_UNIQUE", "SHORTDESC"] in lines
    assert ["address", "string", "-", "yes", "yes", "Where", "it", "is"] in lines
    assert ["mode", "select", "slow", "no", "no", "(deprecated)", "How"] in lines
    assert ["one", "of:", "slow,fast"] in lines and "      All about it." in text
    assert ["monitor", "-", "5000", "60000", "-", "10"] in lines
    assert "Gr\u00fc\u00dfe" in text and ("default: " + "long " * 20).strip() in text
    assert all(len(line) < 100 for line in text.splitlines() if "default:" not in line)


@pytest.mark.parametrize("name, param", [
    ("ocf:heartbeat:IPaddr2", "ip"), ("ocf:pacemaker:Dummy", "state"), ("ocf:clusterd:vm", None),
    ("fence_ipmilan", "ip")])
def test_real_agents_are_shown(c, name, param):
    shown = c.ctl("n1", "agent", "show", name)
    assert shown["name"] == name and shown["longdesc"] and shown["actions"]
    assert param is None or param in [p["name"] for p in shown["parameters"]]
    assert c.lab.run("n1", [CTL, "agent", "show", name]).stdout.startswith("name ")


@pytest.mark.parametrize("name, code, words", [
    ("ocf:odd:none", NO_SUCH, ODD + "/none"),
    ("ocf:none:none", NO_SUCH, "/usr/lib/ocf/resource.d/none/none"),
    ("ocf:odd:plain", NO_SUCH, ODD + "/plain is not a file that can be executed"),
    ("ocf:odd:folder", NO_SUCH, ODD + "/folder is not a file"),
    ("fence_none", NO_SUCH, "/usr/sbin/fence_none"),
    ("fence_virtd", NO_SUCH, "no agent fence_virtd"),
    ("Dummy", NO_SUCH, "ocf:PROVIDER:TYPE"),
    ("ocf:Dummy", USAGE, "ocf:Dummy"),
    ("ocf:..:sh", USAGE, ""),
    ("fence_/../../bin/sh", USAGE, ""),
    ("ocf:odd:orphan", FAILED, "interpreter"),
    ("ocf:odd:garbage", FAILED, "UTF-8"),
    ("ocf:odd:flood", FAILED, "1048576"),
    *((f"ocf:odd:loud{'d' * n}", FAILED, "\u20ac\u20ac") for n in (20, 21, 22)),
    ("fence_garbage", FAILED, "not meta-data"),
    ("fence_flood", FAILED, "larger"),
])
def test_what_cannot_be_shown_has_a_sentence(c, name, code, words):
    got, text = c.fails("n1", "agent", "show", name)
    assert got == code and words in text, (got, text)
    assert "\033" not in text and "\x00" not in text
    assert c.lab.run("n1", "test -e /run/fence_virtd_ran", check=False).code


def test_agents_that_hang_are_ended_and_the_daemon_answers_meanwhile(c):
    names = ["ocf:odd:hang", "fence_hang"] + ["ocf:odd:hang"] * 6
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    asked = [c.lab.popen("n1", [CTL, "agent", "show", n], **pipes) for n in names]
    c.wait("n1", lambda: int(c.lab.run("n1", "pgrep -fxc 'sleep 600'").stdout) == len(names),
           "all hang", SECONDS)
    code, text = c.fails("n1", "agent", "show", "ocf:odd:good")
    assert code == FAILED and "try again" in text
    looks = 0
    while any(p.poll() is None for p in asked):
        assert c.status("n1")["quorum"]["is_quorate"]
        looks += all(p.poll() is None for p in asked)
    for name, p in zip(names, asked):
        _, err = p.communicate(timeout=10)
        assert p.returncode == FAILED and name in err and f"within {SECONDS}000 ms" in err, err
    assert looks, "the daemon answers while agents hang"
    assert c.lab.run("n1", "pgrep -fx 'sleep 600'", check=False).code, "nothing is left of them"
    assert c.ctl("n1", "agent", "show", "ocf:odd:good")["name"] == "ocf:odd:good"
