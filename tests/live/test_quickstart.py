# SPDX-License-Identifier: GPL-2.0-or-later
"""The quickstart holds, and leaves nothing behind, whenever it is interrupted."""
import glob
import os
import re
import signal
import subprocess
import sys

import pytest

from cluster import BUILD
from lablib import Lab, wait_until
from long import long

HERE = os.path.dirname(os.path.realpath(__file__))
DIRS = "/var/tmp/clusterd-quickstart-*"


class Quickstart:
    """One run, in a session of its own as from a terminal, and what it has printed."""

    def __init__(self, out, *options):
        self.before, self.out = set(glob.glob(DIRS)), out
        with open(out, "w") as f:
            self.process = subprocess.Popen(
                [sys.executable, os.path.join(HERE, "quickstart.py"), *options], stdout=f,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "CLUSTERD_BUILD": BUILD, "PYTHONUNBUFFERED": "1"})
        wait_until(lambda: set(glob.glob(DIRS)) - self.before or self.process.poll() is not None,
                   20, "its directory")
        self.dir = (set(glob.glob(DIRS)) - self.before).pop()

    def text(self):
        with open(self.out) as f:
            return f.read()

    def wait_step(self, words):
        wait_until(lambda: words in self.text() or self.process.poll() is not None, 120, words)
        assert self.process.poll() is None, self.text()

    def end(self, seconds=180):
        code = self.process.wait(seconds)
        return code, self.text()

    def left(self):
        """Processes of it, what is mounted or looped from its directory, and the directory."""
        found = [self.dir] if os.path.exists(self.dir) else []
        for path in ("/proc/mounts", *glob.glob("/sys/block/loop*/loop/backing_file"),
                     *glob.glob("/proc/[0-9]*/cmdline"), *glob.glob("/proc/[0-9]*/environ")):
            try:
                with open(path, "rb") as f:
                    found += [path] if self.dir.encode() in f.read() else []
            except OSError:
                continue
        return found


@pytest.fixture
def quickstart(tmp_path):
    runs = []

    def start(*options):
        runs.append(Quickstart(str(tmp_path / f"out{len(runs)}"), *options))
        return runs[-1]
    yield start
    for q in runs:
        if q.process.poll() is None:
            q.process.terminate()
            q.process.wait(60)
        if os.path.exists(q.dir):
            Lab(3, dir=q.dir, bin=BUILD).down()


def test_the_whole_way_holds_and_leaves_nothing(quickstart):
    q = quickstart()
    code, text = q.end()
    assert code == 0 and "FAILED" not in text, text
    assert len(re.findall(r"^  ok +\d+\.\d s  \S", text, re.M)) >= 13, text
    assert not q.left()


@long
@pytest.mark.parametrize("step,number", [
    ("three nodes", signal.SIGINT), ("fence device", signal.SIGTERM), ("started", signal.SIGINT)])
def test_interrupted_it_leaves_nothing(quickstart, step, number):
    """As a terminal does it: to all of its processes at once."""
    q = quickstart()
    q.wait_step(step)
    os.killpg(q.process.pid, number)
    code, text = q.end()
    assert code == 130 and "interrupted" in text, text
    assert not q.left()


@long
def test_kept_it_stays_up_and_says_how_to_look_around(quickstart):
    q = quickstart("--keep")
    code, text = q.end()
    assert code == 0, text
    for line in re.findall(r"^  (tests/lab/lab .*\brun\b.*)$", text, re.M):
        shown = subprocess.run(os.path.join(HERE, "..", "..", line), shell=True, timeout=60,
                               capture_output=True, text=True, check=False)
        assert shown.returncode == 0, line + shown.stderr
    down = re.search(r"^  (tests/lab/lab .* down)$", text, re.M)[1]
    subprocess.run(os.path.join(HERE, "..", "..", down), shell=True, timeout=60, check=True)
    wait_until(lambda: not [p for p in q.left() if p != q.dir], 10, "nothing is left")
