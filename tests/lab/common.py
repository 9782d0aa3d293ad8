# SPDX-License-Identifier: GPL-2.0-or-later
"""What every part of the lab shares: the error, the deadline, the poll, the names."""
import os
import subprocess
import time

HERE = os.path.dirname(os.path.realpath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
MAX_NODES = 16
POLL_SECONDS = 0.02


class LabError(Exception):
    """An error that a person reads: what failed, where, and what to do about it."""

    def __init__(self, what, hint=""):
        super().__init__(what + (f"; {hint}" if hint else ""))
        self.what, self.hint = what, hint


def poll(predicate, timeout, interval=POLL_SECONDS):
    """Polls until predicate() is true and returns its value; None if the deadline passes.

    The predicate is asked once more after the deadline, so that a machine that
    was stalled for the whole time is not told "too late" without a look.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if late:
            return None
        time.sleep(interval)


def wait_until(predicate, timeout, what, interval=POLL_SECONDS, hint=""):
    """As poll(), but a missed deadline is a LabError that names `what`."""
    value = poll(predicate, timeout, interval)
    if not value:
        raise LabError(f"{what}: not within {timeout:g} s", hint)
    return value


def read(path, default=None):
    """The text of a small file, or default if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return default


def write(path, text, mode=0o644):
    """Creates or replaces a small file with exactly this mode, never wider meanwhile."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as f:
        os.fchmod(fd, mode)
        f.write(text.encode() if isinstance(text, str) else text)


def command(argv, stdin=None, timeout=20):
    """Runs a helper program; its failure or silence is a LabError with its last words."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True,
                              timeout=timeout, check=False)
    except FileNotFoundError:
        raise LabError(f"{argv[0]}: not installed", f"apt-get install the package with {argv[0]}")
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(argv)}: no end within {timeout} s")
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {' | '.join(words)}")
    return done.stdout


def node_name(number):
    return f"n{number}"


def clean_environment():
    """The environment of everything in a lab: the same from a shell, make, or pytest."""
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
           "HOME": "/root", "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb")}
    for name in ("PYTHONDONTWRITEBYTECODE", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
                 "LSAN_OPTIONS", "CLUSTERD_LOG"):
        if name in os.environ:
            env[name] = os.environ[name]
    return env
