# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on the nodes of a cluster, or on a local XFS, made by posix_agent.py.

A script is a function that takes a Stage and makes calls through it. Stage.call() makes each on a
node of its own choice; what comes of it goes to a transcript. The same script with the same seed on
a local XFS gives the transcript that the shared volume has to give, too.
"""
import contextlib
import errno
import os
import pickle
import random
import re
import shutil
import subprocess
import tempfile
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
AGENT = os.path.join(HERE, "posix_agent.py")
ROOT = (0, 0, ())
CLOCKS = ("atime", "mtime", "ctime")


class Agent:
    """One process on one node, and its descriptors."""

    def __init__(self, process):
        self.process = process
        assert pickle.load(process.stdout) == "ready"

    def ask(self, who, name, *args, **options):
        """(errno, result)"""
        pickle.dump((who, name, args, options), self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def do(self, name, *args, who=ROOT, **options):
        """The result; it must succeed."""
        error, result = self.ask(who, name, *args, **options)
        if error:
            raise OSError(error, f"{name}{args}: {os.strerror(error)}")
        return result

    def fails(self, name, *args, who=ROOT, **options):
        """The errno; it must fail."""
        error, result = self.ask(who, name, *args, **options)
        assert error, f"{name}{args} gave {result}"
        return error

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def popen_in(lab, node, directory):
    return lab.popen(node, [AGENT, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def popen_here(directory):
    return subprocess.Popen([AGENT, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextlib.contextmanager
def agents(*processes):
    made = []
    try:
        made.extend(Agent(p) for p in processes)
        yield made
    finally:
        for a in made:
            a.end()


@contextlib.contextmanager
def local_xfs(size="600M"):
    """An XFS of its own, as the coordinator mounts one."""
    where = tempfile.mkdtemp(prefix="clusterd-posix-", dir="/var/tmp")
    image, mount = os.path.join(where, "image"), os.path.join(where, "mount")
    os.mkdir(mount)
    try:
        subprocess.run(["truncate", "-s", size, image], check=True)
        subprocess.run(["mkfs.xfs", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop,nosuid,nodev", image, mount], check=True)
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)
    finally:
        shutil.rmtree(where)


def word(error, result):
    return errno.errorcode.get(error, str(error)) if error else result


class Stage:
    """Where a script plays: its agents, which of them is next, and what has happened so far."""

    def __init__(self, actors, directory, seed):
        self.actors, self.directory = actors, directory
        self.random = random.Random(f"{seed}-{directory}")
        self.places = random.Random(f"{seed}-{directory}-places")   # never tells on the script
        self.transcript = []

    def at(self, name):
        return f"{self.directory}/{name}" if name else self.directory

    def any(self):
        return self.places.choice(self.actors)

    def quiet(self, name, *args, who=ROOT, agent=None, **options):
        """Somewhere, and of no interest: it must succeed."""
        return (agent or self.any()).do(name, *args, who=who, **options)

    def call(self, name, *args, who=ROOT, agent=None, shown=True, **options):
        """Somewhere, for the transcript; returns (errno, result)."""
        error, result = (agent or self.any()).ask(who, name, *args, **options)
        told = word(error, result if shown else "done")
        self.transcript.append((f"{name}{args}{options or ''} by {who}", told))
        return error, result

    def note(self, text, value):
        self.transcript.append((text, value))


# What a look tells, without what two file systems never have in common.
def comparable(look):
    return {k: v for k, v in look.items() if k not in CLOCKS + ("ino",)
            and not (k == "size" and look["mode"] & 0o170000 == 0o040000)}


def looks(stage, path, call="look"):
    """Attributes, seen from anywhere, into the transcript."""
    error, found = stage.any().ask(ROOT, call, path)
    stage.note(f"{call} {path}", word(error, found and comparable(found)))
    return found


def clocks(stage, paths, function):
    """Which times of these files a call has changed, into the transcript."""
    before = {p: stage.any().ask(ROOT, "look", p)[1] for p in paths}
    function()
    for p in paths:
        after = stage.any().ask(ROOT, "look", p)[1]
        old = before[p]
        stage.note(f"times of {p}", "gone" if not (old and after) else
                   [c for c in CLOCKS if old[c] != after[c]])


def play(script, sets, seed):
    """
    Plays script(stage) in directories d0, d1, ...: the cases in `script` are spread over threads,
    each with its own set of agents. script: list of (name, function). Returns {name: transcript}.
    """
    done, failures = {}, []
    cases = list(enumerate(script))
    lock = threading.Lock()

    def work(actors):
        while True:
            with lock:
                if not cases or failures:
                    return
                i, (name, function) = cases.pop(0)
            stage = Stage(actors, f"d{i}", seed)
            try:
                stage.quiet("mkdir", stage.directory, 0o777)
                stage.quiet("chmod", stage.directory, 0o777)
                function(stage)
            except Exception as e:          # of a thread: told by the one that waits for it
                failures.append(f"{name}: {e!r} after {stage.transcript[-5:]}")
                return
            done[name] = stage.transcript
    threads = [threading.Thread(target=work, args=(s,)) for s in sets]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures
    return done


def is_known(case, what, a, b, known):
    return any(all(re.match(pattern + "$" if i > 1 else pattern, text)
                   for i, (pattern, text) in enumerate(zip(row, (case, what, str(a), str(b)))))
               for row in known)


def differences(wanted, got, known=()):
    """Lines that say where the second leaves the first, but for those that are known."""
    lines = []
    for name, transcript in wanted.items():
        for (what, a), (other, b) in zip(transcript, got[name]):
            if what != other:               # the rest of a script that went another way
                break
            if a != b and not is_known(name, what, a, b, known):
                lines.append(f"{name}: {what}: {a}; here {b}")
        if len(transcript) != len(got[name]):
            lines.append(f"{name}: {len(transcript)} steps; here {len(got[name])}")
    return lines
