# SPDX-License-Identifier: GPL-2.0-or-later
"""A faulty disk: qemu-storage-daemon exports the LUN file to one node's loop through FUSE.

Stands between loop and LUN only with `up --disk-faults`, because it costs a
process and a good part of the speed. hang = its control group is frozen, so
requests wait until thaw. eio = its QMP swaps in a blkdebug node that fails
reads and writes with EIO; the size of the disk stays as it was.
"""
import json
import os
import subprocess

from common import LabError, clean_environment, read, wait_until
from rpc import connect, listen

START_SECONDS = 10
STEP_SECONDS = 5
QMP_SECONDS = 10


class Export:
    """One node's exporter. Its mount lives in labd's mount namespace only."""

    def __init__(self, name, node_dir, lun, cgroup):
        self.name, self.lun, self.cgroup = name, lun, cgroup.create()
        self.path = os.path.join(node_dir, "disk")
        self.qmp_path = os.path.join(node_dir, "qmp.sock")
        self.log = os.path.join(node_dir, "qsd.log")
        self.process = None
        self._start()

    def _start(self):
        with open(self.path, "wb"):
            pass
        # qemu takes socket paths of at most 107 bytes: hand it a bound socket.
        listener = _listen(self.qmp_path)
        argv = ["qemu-storage-daemon",
                "--blockdev", json.dumps({"driver": "file", "node-name": "lun",
                                          "filename": self.lun, "locking": "off",
                                          "cache": {"direct": True, "no-flush": False},
                                          "discard": "unmap"}),
                "--blockdev", json.dumps({"driver": "raw", "node-name": "disk", "file": "lun"}),
                "--chardev", f"socket,id=qmp,fd={listener.fileno()},server=on,wait=off",
                "--monitor", "chardev=qmp",
                "--export", f"type=fuse,id=export,node-name=disk,mountpoint={self.path},"
                            "writable=on,growable=off,allow-other=off"]
        with open(self.log, "ab") as log:
            try:
                self.process = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    pass_fds=[listener.fileno()], env=clean_environment())
            except FileNotFoundError:
                raise LabError("qemu-storage-daemon: not installed", "apt-get install qemu-utils "
                               "or qemu-system-common, or leave out --disk-faults")
        listener.close()
        self.cgroup.join(self.process.pid)
        wait_until(self._is_mounted, START_SECONDS, f"{self.name}: FUSE export of the LUN",
                   hint=f"see {self.log}")
        self._one_at_a_time()

    def _one_at_a_time(self):
        """QEMU reads the next request into the buffer of a write that it has not done yet
        (block/export/fuse.c, at least 7.2): data of one ends in the place of another. So the
        kernel sends it one at a time."""
        connection = os.minor(os.stat(self.path).st_dev)
        for limit in ("max_background", "congestion_threshold"):
            with open(f"/sys/fs/fuse/connections/{connection}/{limit}", "w",
                      encoding="ascii") as f:
                f.write("1")

    def _is_mounted(self):
        if self.process.poll() is not None:
            raise LabError(f"{self.name}: qemu-storage-daemon ended with "
                           f"{self.process.returncode}: {(read(self.log) or '')[-300:].strip()}")
        return f" {self.path} fuse" in read("/proc/self/mounts", "")

    def hang(self):
        if not self.cgroup.freeze(STEP_SECONDS):
            raise LabError(f"{self.name}: its disk's exporter does not freeze")

    def go_on(self):
        self.cgroup.thaw(STEP_SECONDS)

    def fail(self):
        """From here every request ends with EIO, but for a flush: blockdev-reopen in work()
        flushes, and what a flush covers are the writes that were accepted before."""
        self._qmp("blockdev-add", {
            "driver": "blkdebug", "node-name": "bad", "image": "lun",
            "inject-error": [{"event": "none", "iotype": t, "errno": 5, "once": False}
                             for t in ("read", "write", "discard", "write-zeroes")]})
        self._reopen("bad")

    def work(self):
        self._reopen("lun")
        self._qmp("blockdev-del", {"node-name": "bad"})

    def _reopen(self, child):
        self._qmp("blockdev-reopen",
                  {"options": [{"driver": "raw", "node-name": "disk", "file": child}]})

    def _qmp(self, name, arguments):
        """One QMP command on a connection of its own."""
        with connect(self.qmp_path, QMP_SECONDS) as sock, sock.makefile("rw") as f:
            f.readline()
            for command, args in (("qmp_capabilities", {}), (name, arguments)):
                f.write(json.dumps({"execute": command, "arguments": args}) + "\n")
                f.flush()
                reply = {"event": 1}
                while "event" in reply:
                    reply = json.loads(f.readline() or '{"error": {"desc": "hung up"}}')
                if "error" in reply:
                    raise LabError(f"{self.name}: QMP {command}: {reply['error']['desc']}")

    def kill(self):
        """SIGKILL: the kernel aborts the FUSE connection, waiting requests end with EIO."""
        self.cgroup.kill()
        try:
            self.process.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: the exporter of its disk does not die")

    def close(self):
        """Kills and unmounts. The loop on it must be detached by now."""
        self.kill()
        subprocess.run(["umount", "-l", self.path], stderr=subprocess.DEVNULL, check=False)
        self.cgroup.remove(STEP_SECONDS)


def _listen(path):
    """A listening socket at a path of any length; exec'd programs get its descriptor."""
    sock = listen(path)
    sock.setblocking(True)
    return sock
