# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets by reference: every node has them, and nothing but the agents ever sees them."""
import json
import os

import pytest
from cluster import BUILD, CTL, Cluster
from long import long

HERE = os.path.dirname(os.path.realpath(__file__))
FENCE = os.path.realpath(os.path.join(HERE, "..", "lab", "fence_lab"))
AGENT = os.path.join(HERE, "..", "agents", "resource.d", "odd", "teller")
STATE = "/run/teller.state"
TEXT = "open sesame"
INSTALL = """
mkdir -p /run/odd/odd && cat >/run/odd/odd/teller && chmod 755 /run/odd/odd/teller &&
mount -t overlay -o lowerdir=/run/odd:/usr/lib/ocf/resource.d overlay /usr/lib/ocf/resource.d
"""
FOLDER = "/var/lib/clusterd/secrets"


def set_secret(c, node, name, text, **more):
    result = c.lab.run(node, [CTL, "secret", "set", name, "--file", "-", "--json"], stdin=text,
                       check=False, **more)
    return result.code, result.stdout, result.stderr


def files(c, node):
    """Looked at from outside: names and texts."""
    out = c.lab.run(node, f"cd {FOLDER} && for f in *; do [ -e $f ] && echo $f=$(cat $f); done; "
                          "stat -c %a . * 2>/dev/null", check=False).stdout.splitlines()
    assert set(line for line in out if "=" not in line) <= {"700", "600"}, out
    return dict(line.split("=", 1) for line in out if "=" in line)


def rows(c, node="n1"):
    return {r["name"]: r for r in c.ctl(node, "secret", "list")}


def told(c, node):
    return c.lab.run(node, f"cat {STATE}", check=False).stdout


@pytest.fixture
def c(make_lab):
    c = Cluster(make_lab(3, bin=BUILD)).create()
    with open(AGENT, encoding="utf-8") as f:
        agent = f.read()
    for node in c.lab.nodes:
        c.lab.run(node, INSTALL, stdin=agent)
    return c


def leaks(c, text):
    """Where the text can be read that has no business there: database, events, lists, logs."""
    found = []
    for node in c.lab.nodes:
        for words in (("event", "list"), ("cluster", "status"), ("secret", "list"),
                      ("resource", "list"), ("group", "list"), ("fence", "list"),
                      ("task", "list"), ("fence", "history")):
            if text in json.dumps(c.ctl(node, *words)):
                found.append((node, words))
        for path in ("/var/lib/clusterd/cluster.db*", "/var/log/*"):
            if c.lab.run(node, f"grep -rla -- '{text}' {path}", check=False).stdout:
                found.append((node, path))
    return found


def test_a_secret_reaches_every_node_and_its_agents_and_nothing_else(c):
    c.lab.kill("n3")
    c.wait("n1", lambda: "n3" not in c.quorum("n1")["present"], "n3 is away")
    code, text = c.fails("n1", "resource", "create", "t", "--group", "g", "--agent",
                         "ocf:odd:teller", "--param", "password=in-clear")
    assert code == 2 and "password=secret:NAME" in text and "secret set" in text
    code, _, text = set_secret(c, "n1", "bmc", TEXT + "\n")
    assert code in (0, 7), text
    assert list(files(c, "n1").values()) == [TEXT]
    c.wait("n2", lambda: list(files(c, "n2").values()) == [TEXT], "n2 has fetched it")
    c.lab.start("n3")
    c.wait("n3", lambda: rows(c, "n3")["bmc"]["holders"] == ["n1", "n2", "n3"] and
           list(files(c, "n3").values()) == [TEXT], "n3 has fetched what it missed", 60)
    with open(AGENT, encoding="utf-8") as f:
        c.lab.run("n3", INSTALL, stdin=f.read())
    assert rows(c)["bmc"]["missing"] == []

    c.ctl("n2", "group", "create", "g")
    code, text = c.fails("n2", "resource", "create", "t", "--group", "g", "--agent",
                         "ocf:odd:teller", "--param", "password=secret:none")
    assert code == 3 and "no secret none" in text
    c.ctl("n2", "resource", "create", "t", "--group", "g", "--agent", "ocf:odd:teller",
          "--param", "password=secret:bmc")
    c.ctl("n2", "group", "start", "g", "--to", "n3", "--wait")
    assert told(c, "n3") == TEXT
    code, text = c.fails("n1", "secret", "delete", "bmc")
    assert code == 8 and "t/password" in text

    code, _, text = set_secret(c, "n2", "bmc", "another one")
    assert code == 0, text
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: list(files(c, n).values()) == ["another one"],
               "the new text, and the old one gone")
    c.ctl("n2", "group", "move", "g", "--to", "n1", "--wait")
    assert told(c, "n1") == "another one"
    c.ctl("n2", "group", "create", "loud")
    c.ctl("n2", "resource", "create", "l", "--group", "loud", "--agent", "ocf:odd:teller",
          "--param", "password=secret:bmc", "--param", "aloud=1")
    c.ctl("n2", "group", "start", "loud", "--no-wait")
    c.wait("n2", lambda: "*** " in c.group("n2", "loud")["reason"] or
           any("the password is ***********, remember" in e["text"] for e in c.events("n2")),
           "the agent's words without its secret")
    assert leaks(c, "another one") == [] and leaks(c, TEXT) == []
    for name in ("g", "loud"):
        c.ctl("n1", "group", "stop", name, "--wait")
    for name in ("t", "l"):
        c.ctl("n1", "resource", "delete", name)
    c.ctl("n1", "secret", "delete", "bmc")
    for node in c.lab.nodes:
        c.wait(node, lambda n=node: not files(c, n), "nothing is left of it")


@long
def test_a_fence_device_gets_its_password_on_whatever_node_fences(c):
    for name, text in (("right", TEXT), ("wrong", "let me in")):
        code, _, text = set_secret(c, "n2", name, text)
        assert code == 0, text
        c.ctl("n1", "fence", "create", name, "--agent", FENCE, "--level",
              "1" if name == "wrong" else "2", "--param", "bmc_socket=/run/lab/bmc.sock",
              "--param", f"password=secret:{name}")
    # n1 sequences; then n2 does. Neither has set the password's device up alone.
    for victim, via in (("n1", "n3"),):
        c.lab.kill(victim)
        c.wait(via, lambda: c.events(via, "node-fenced"), "fenced by the second device", 60)
    attempts = [e["text"] for e in c.events("n3", "fence-attempt")]
    assert any(a.startswith("wrong: ") and "failed" in a for a in attempts), attempts
    assert any(a.startswith("right: ") and ": ok" in a for a in attempts), attempts
    c.wait("n1", lambda: c.is_whole("n1"), "its device switched it on again: whole", 90)
    assert leaks(c, TEXT) == [] and leaks(c, "let me in") == []


def test_a_lost_file_is_fetched_again_and_nonsense_refused(c):
    code, _, text = set_secret(c, "n1", "s", "first")
    assert code == 0, text
    c.lab.run("n2", f"rm {FOLDER}/s@*")
    c.lab.stop("n2")
    c.lab.start("n2")
    c.wait("n2", lambda: list(files(c, "n2").values()) == ["first"], "fetched again", 60)
    assert any("n2 is missing" in e["text"] for e in c.events("n1", "secret-lost"))
    for text in ("", "\n", "two\nlines", "tab\there", "x" * 512):
        code, out, err = set_secret(c, "n1", "s", text)
        assert code == 2 and err, (text, code, out, err)
    code, _, err = set_secret(c, "n1", "../s", "x")
    assert code in (2, 8) and err
    code, text = c.fails("n1", "secret", "set", "s", "--file", "/nowhere")
    assert code == 2 and "/nowhere" in text
    assert list(files(c, "n1").values()) == ["first"]
    assert c.fails("n1", "secret", "delete", "none")[0] == 3
