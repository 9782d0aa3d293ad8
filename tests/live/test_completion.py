# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion in bash: of words from the table, and of names that the daemon is asked for."""
import json
import os
import pty
import re
import select
import subprocess
import time

import pytest
from cluster import BUILD, CTL, Cluster

COMPLETE = r"""
import json, subprocess, sys
script = r'''
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
source <("$1" completion bash) || exit 1
COMP_LINE=$2 COMP_POINT=${#2}
_clusterctl "$1"
printf '%s\n' "${COMPREPLY[@]}"
'''
for line in json.load(sys.stdin):
    p = subprocess.run(["bash", "--norc", "-c", script, "bash", sys.argv[1], line],
                       capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    print(json.dumps([p.stdout.split(), p.stderr, p.returncode]))
"""


def parse(stdout, lines):
    found = {}
    for line, result in zip(lines, map(json.loads, stdout.splitlines())):
        words, err, code = result
        assert not err and not code, (line, err)
        found[line] = words
    assert len(found) == len(lines)
    return found


def complete(*lines):
    """{line: what bash would be offered at its end}, where no daemon runs."""
    p = subprocess.run(["/usr/bin/python3", "-c", COMPLETE, CTL], input=json.dumps(lines),
                       capture_output=True, text=True, timeout=300, check=True)
    return parse(p.stdout, lines)


def help_commands():
    text = subprocess.run([CTL, "--help"], capture_output=True, text=True, check=True,
                          timeout=20).stdout
    return {tuple(line.split()[1:3]): line for line in re.findall(r"^clusterctl .*$", text, re.M)
            if line.split()[1].islower()}


def test_every_noun_verb_and_option_of_the_help_is_completed():
    commands = help_commands()
    nouns = {noun for noun, _ in commands}
    lines = ["clusterctl "] + [f"clusterctl {n} " for n in sorted(nouns)] + \
        [f"clusterctl {n} {v} --" for n, v in sorted(commands)]
    found = complete(*lines)
    assert set(found["clusterctl "]) == nouns | {"status", "standby", "unstandby", "--help",
                                                 "--version"}
    for noun in nouns:
        assert set(found[f"clusterctl {noun} "]) == \
            {v for n, v in commands if n == noun} | {"--help"}
    common = {"--json", "--fields", "--no-headers", "--wait", "--no-wait", "--timeout", "--root",
              "--reason", "--if-version", "--dry-run", "--detailed-exit", "--help", "--version"}
    for (noun, verb), line in commands.items():
        assert set(found[f"clusterctl {noun} {verb} --"]) == \
            set(re.findall(r"--[a-z-]+", line)) | common, line


def test_words_are_completed_where_they_belong(tmp_path, monkeypatch):
    (tmp_path / "web.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    found = complete(
        "clusterctl gr", "clusterctl group s", "clusterctl nonsense ", "clusterctl group nonsense ",
        "clusterctl group set g --on-stop-failure ", "clusterctl group set g --on-stop-failure=b",
        "clusterctl quorum set --dynamic o", "clusterctl vm create web --file we",
        "clusterctl vm create web --file=we", "clusterctl node list --fields name,st",
        "clusterctl node list --json --no-h", "clusterctl group set g --on-stop-failure fence --o",
        "clusterctl fence create f --param a=b --pa", "clusterctl standby --no",
        "clusterctl group start g --timeout ", "clusterctl group create ")
    assert [" ".join(words) for words in found.values()] == [
        "group", "set show start stop", "--help", "",
        "fence block", "block",
        "on off", "web.json",
        "web.json", "name,state",
        "--no-headers", "",
        "--param", "--no-headers --no-wait",
        "", "--cpu --failback --memory --possible --preferred --priority --volumes"]


def test_without_a_daemon_names_are_not_completed_and_nothing_is_said():
    line = "clusterctl group show --root /nonexistent "
    begin = time.monotonic()
    assert complete(line)[line] == []
    assert time.monotonic() - begin < 5


def read_until(fd, text, seconds=20):
    seen, deadline = "", time.monotonic() + seconds
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{text!r} is not in {seen!r}"
        seen += os.read(fd, 65536).decode("utf-8", "replace")
    return seen


@pytest.mark.parametrize("argv,made", [
    (["/bin/bash", "--norc", "--noprofile", "-i"], "source {}/clusterctl"),
    (["/bin/zsh", "-f", "-i"], "unset zle_bracketed_paste; autoload -U compinit; "
     "compinit -u -D; source {}/_clusterctl"),
    (["/bin/zsh", "-f", "-i"], "unset zle_bracketed_paste; fpath=({} $fpath); "
     "autoload -U compinit; compinit -u -D"),
], ids=["bash", "zsh", "zsh by fpath"])
def test_a_tab_in_an_interactive_shell_does_it(tmp_path, argv, made):
    pid, fd = pty.fork()
    if not pid:
        env = {"PATH": os.path.dirname(CTL) + ":/usr/bin:/bin", "TERM": "dumb", "PS1": "$ ",
               "HOME": str(tmp_path), "INPUTRC": "/dev/null"}
        os.execve(argv[0], argv, env)
    try:
        made = made.format(os.path.join(BUILD, "clusterd", "completion"))
        os.write(fd, f"{made}; echo rea''dy\n".encode())
        read_until(fd, "ready\r")
        os.write(fd, b"clusterctl age\t")
        read_until(fd, "clusterctl agent ")
        os.write(fd, b"sh\t")
        read_until(fd, "show ")
        os.write(fd, b"\x15clusterctl group set g --on-stop-failure=bl\t")
        read_until(fd, "--on-stop-failure=block ")
        os.write(fd, b"\x15exit\n")
    finally:
        os.close(fd)
        os.waitpid(pid, 0)


def test_fish_offers_the_same(tmp_path):
    made = os.path.join(BUILD, "clusterd", "completion", "clusterctl.fish")
    lines = ["clusterctl gr", "clusterctl group s", "clusterctl group set g --on-stop-failure ",
             "clusterctl node list --fields name,st", "clusterctl nonsense x"]
    script = f"source {made}\n" + "".join(f"complete -C '{line}'; echo .\n" for line in lines)
    p = subprocess.run(["/usr/bin/fish", "--no-config"], input=script, capture_output=True, text=True,
                       check=True, timeout=60, env={"PATH": os.path.dirname(CTL) + ":/usr/bin:/bin",
                                                    "HOME": str(tmp_path), "TERM": "dumb"})
    assert [set(part.split()) for part in p.stdout.split(".\n")[:-1]] == [
        {"group"}, {"set", "show", "start", "stop"}, {"fence", "block"}, {"name,state"}, set()]


@pytest.fixture
def c(make_lab):
    return Cluster(make_lab(1, bin=BUILD)).create()


def test_names_are_those_that_the_cluster_has(c):
    c.dummy("web")
    c.dummy("wiki")
    lines = ["group show w", "group show", "group show web ", "group start web --to ",
             "resource show web", "node drain ", "fence run ", "fence delete ", "standby ",
             "group create w", "resource create r --group wi", "fence create f --nodes n1,n",
             "agent show ocf:heartbeat:Dumm", "agent show ocf:pace", "agent show fence_ipmilan",
             "resource create r --agent ocf:clusterd:", "resource create r --agent=ocf:clusterd:v",
             "fence create f --agent /usr/sbin/fence_ipmilanp", "group show --root / we",
             "task wait "]
    lines = ["clusterctl " + line for line in lines]
    result = c.lab.run("n1", ["/usr/bin/python3", "-c", COMPLETE, CTL], stdin=json.dumps(lines))
    found = [" ".join(words) for words in parse(result.stdout, lines).values()]
    assert found[:12] == ["web wiki", "show", "", "n1",
                          "web-d", "n1", "n1", "", "n1",
                          "", "wiki", "n1,n1"]
    # The shell's words end at a colon: what stands before it is not repeated.
    assert found[12:15] == ["Dummy", " ".join(
        r["name"].removeprefix("ocf:") for r in c.ctl("n1", "agent", "list")
        if r["name"].startswith("ocf:pace")), "fence_ipmilan fence_ipmilanplus"]
    assert found[15:] == ["vm", "vm", "/usr/sbin/fence_ipmilanplus", "web", ""]
