# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command of clusterctl's own help, given nonsense: an exit code, a sentence, never a crash."""
import json
import os
import re
import subprocess

from cluster import CTL, Cluster, BUILD

USAGE, NO_SUCH = 2, 3
FILE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "golden", "vm",
                    "small.json")
# What an option takes where "nope" is no word of it.
WORDS = {"--keep": "apart", "--on-stop-failure": "block", "--address": "10.77.0.9,10.77.1.9"}
# What follows the name of the object.
MORE = {("vm", "clone"): ["more"], ("vm", "snapshot-create"): ["more"],
        ("vm", "snapshot-delete"): ["more"], ("vm", "snapshot-revert"): ["more"],
        ("volume", "redirect"): ["on"]}
TYPES = {"N": ["many", "-1", "1x", "", "99999999999999999999"]}


def commands():
    """[(words, takes a name, {option: its kind}, options that must be there)] of --help."""
    text = subprocess.run([CTL, "--help"], capture_output=True, text=True, check=True,
                          timeout=20).stdout
    found = []
    for line in re.findall(r"^clusterctl (.+)$", text, re.M):
        bare = re.sub(r"\[[^]]*\]", "", line)
        words = [w for w in bare.split() if w.islower()][:2]
        options = dict(re.findall(r"(--[a-z-]+) (\S+?)(?=\]|\s|$)", line))
        needed = dict(re.findall(r"(--[a-z-]+) (\S+)", bare))
        found.append((words, re.search(r" (NAME|ID)\b", re.sub(r"--\S+ \S+", "", bare)),
                      options, needed))
    assert len(found) > 40
    return found


def call(words, name, needed, **changed):
    """A command that is whole but for what is changed; None leaves an option out."""
    values = {**{o: WORDS.get(o) or {"N": "1", "FILE": FILE}.get(kind, "nope")
                 for o, kind in needed.items()},
              **{"--" + o.replace("_", "-"): v for o, v in changed.items()}}
    args = [a for o, v in values.items() if v is not None for a in (o, v)]
    return [*words, *([name, *MORE.get(tuple(words), [])] if name is not None else []), *args]


def nonsense():
    """(command, the exit codes that it may have, what its sentence must name)"""
    for words, takes_name, options, needed in commands():
        name = ("7" if takes_name[1] == "ID" else "nope") if takes_name else None
        yield [*call(words, name, needed), "--frobnicate"], USAGE, "--frobnicate"
        yield [*call(words, name, needed), "sur", "plus"], USAGE, "plus|sur"
        if takes_name:
            yield call(words, None, needed), USAGE, takes_name[1].lower() + "|" + takes_name[1]
            for bad in ("", "a b", "x" * 300, "new\nline", "-", "\x01", "a/../b", "ä"):
                yield call(words, bad, needed), USAGE, "."
        for option, kind in needed.items():
            yield call(words, name, needed, **{option[2:].replace("-", "_"): None}), USAGE, option
        for option, kind in options.items():
            yield [*call(words, name, {o: k for o, k in needed.items() if o != option}),
                   option], USAGE, option
            for bad in TYPES.get(kind, []):
                yield call(words, name, needed, **{option[2:].replace("-", "_"): bad}), USAGE, option


RUN = """
import json, subprocess, sys
for words in json.load(sys.stdin):
    p = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    print(json.dumps([p.returncode, p.stdout.decode("utf-8", "backslashreplace"),
                      p.stderr.decode("utf-8", "backslashreplace")]))
"""


def run_all(lab, cases):
    """[(exit code, output, errors)] of each case; one process enters the node for all of them."""
    result = lab.run("n1", ["/usr/bin/python3", "-c", RUN], timeout=240,
                     stdin=json.dumps([[CTL, *words] for words, _, _ in cases]))
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_command_refuses_nonsense_with_a_sentence(make_lab):
    lab = make_lab(1, bin=BUILD)
    c = Cluster(lab).create()
    cases = list(nonsense())
    wrong = [f"{words}: exit {got}, wanted {code} naming {names!r}: {err.strip()!r} {out[:80]!r}"
             for (words, code, names), (got, out, err) in zip(cases, run_all(lab, cases))
             if got != code or not re.search(names, err) or out]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)
    assert c.status("n1")["quorum"]["is_quorate"]


def test_every_command_that_names_an_object_says_when_there_is_none(make_lab):
    lab = make_lab(1, bin=BUILD)
    Cluster(lab).create()
    cases = []
    for words, takes_name, options, needed in commands():
        if not takes_name or words[1] in ("create", "add", "checkpoint-create") or \
                words[:2] == ["secret", "set"]:
            continue
        name = "7" if takes_name[1] == "ID" else "nope"
        confirm = ["--confirm", name] if "--confirm" in options else []
        if words == ["group", "set"]:       # one of its options, whichever
            confirm = ["--on-stop-failure", WORDS["--on-stop-failure"]]
        if words == ["network", "set"]:
            confirm = ["--metric", "5"]
        cases.append(([*call(words, name, needed), *confirm], NO_SUCH, name))
    wrong = [f"{words}: exit {got}: {err.strip()!r}"
             for (words, code, name), (got, _, err) in zip(cases, run_all(lab, cases))
             if got != code or name not in err]
    assert not wrong, "\n".join(wrong)
