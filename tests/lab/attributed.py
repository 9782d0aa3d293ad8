# SPDX-License-Identifier: GPL-2.0-or-later
"""The attributed LUN (lund.c): one process with a file for every node, all onto the LUN.

Under each node's loop with `up --lun attributed`. It notes who wrote what when, and can
delay, hold, fail and tear; a node that was fenced is refused by it, too. lunlog.py reads
what it notes, judge.py judges it.
"""
import os
import subprocess

from common import LabError, clean_environment, read, wait_until
from rpc import connect, listen

START_SECONDS = 10
STEP_SECONDS = 10
DIRECTORY = "lun"       # in the lab's


def program(bin_dir):
    """The built lund; LabError without one."""
    path = os.path.join(bin_dir or "", "tests", "lab", "lund")
    if not bin_dir or not os.access(path, os.X_OK):
        raise LabError(f"no attributed LUN: {path} is not there",
                       "`make tests/lab/lund` in the build directory, and `--bin` that directory")
    return path


def export_of(lab_dir, node):
    """The file through which a node's I/O comes."""
    return os.path.join(lab_dir, DIRECTORY, node)


class Server:
    """lund. Its mounts live in the mount namespace of who starts it."""

    def __init__(self, lab_dir, lun, nodes, program_path, cgroup=None, keeps_data=False):
        self.dir = os.path.join(lab_dir, DIRECTORY)
        self.lun, self.nodes, self.cgroup = lun, list(nodes), cgroup
        self.log = os.path.join(self.dir, "log")
        self.data = os.path.join(self.dir, "data")
        self.words = os.path.join(self.dir, "lund.log")
        self.socket = os.path.join(self.dir, "ctl.sock")
        os.makedirs(self.dir)
        self.process = self._start(program_path, keeps_data)
        wait_until(self._is_ready, START_SECONDS, "attributed LUN", hint=f"see {self.words}")

    def path(self, node):
        return os.path.join(self.dir, node)

    def _start(self, program_path, keeps_data):
        for node in self.nodes:
            with open(self.path(node), "wb"):
                pass
        listener = listen(self.socket)
        argv = [program_path, "--store", self.lun, "--log", self.log,
                "--control", str(listener.fileno())]
        argv += ["--data", self.data] if keeps_data else []
        with open(self.words, "ab") as words:
            process = subprocess.Popen(argv + [self.path(n) for n in self.nodes],
                                       stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                                       pass_fds=[listener.fileno()], env=clean_environment())
        listener.close()
        if self.cgroup:
            self.cgroup.create().join(process.pid)
        return process

    def _is_ready(self):
        if self.process.poll() is not None:
            raise LabError(f"attributed LUN: lund ended with {self.process.returncode}: "
                           f"{(read(self.words) or '')[-300:].strip()}")
        return "ready" in (read(self.words) or "")

    def command(self, what, node, *words):
        """One line to lund, see lund.c; LabError if it refuses. One that is dead has cut off all."""
        if what in ("cut", "off") and self.process.poll() is not None:
            return
        number = str(self.nodes.index(node) + 1)
        line = " ".join((what, number) + tuple(str(w) for w in words))
        try:
            with connect(self.socket, STEP_SECONDS) as sock:
                sock.sendall(line.encode() + b"\n")
                answer = sock.makefile().readline().strip()
        except OSError as e:
            answer = f"{e}; see {self.words}"
        if answer != "ok":
            raise LabError(f"{node}: attributed LUN: {line}: {answer}")

    def close(self):
        """SIGKILL: the kernel aborts its connections, so nothing waits for it. Loops on its files
        must be detached by now, or their I/O fails."""
        self.process.kill()
        try:
            self.process.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            raise LabError(f"attributed LUN: lund, pid {self.process.pid}, does not die")
        for node in self.nodes:
            subprocess.run(["umount", "-l", self.path(node)], stderr=subprocess.DEVNULL,
                           check=False)
        if self.cgroup:
            self.cgroup.remove(STEP_SECONDS)
