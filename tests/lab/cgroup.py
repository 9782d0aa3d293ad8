# SPDX-License-Identifier: GPL-2.0-or-later
"""Version 2 control groups: what makes "all processes of a node" a name.

Only cgroup.freeze, cgroup.kill and cgroup.procs are used, which need no
controller, so the lab works beside a version 1 hierarchy as well.
"""
import hashlib
import os

import syscalls
from common import LabError, poll, read, wait_until


OWN_MOUNT = "lab-cgroup2"


def find_mount(lab_dir):
    """Mount point of the cgroup2 hierarchy, or None. Not one that another lab mounted."""
    own = os.path.join(os.path.realpath(lab_dir), OWN_MOUNT)
    found = [f[1] for f in (line.split() for line in read("/proc/mounts", "").splitlines())
             if f[2] == "cgroup2"]
    found = [path for path in found if os.path.basename(path) != OWN_MOUNT or path == own]
    return found[0] if found else None


def ensure_mount(lab_dir):
    """Where the machine mounts no cgroup2, mounts it in the lab's directory until `down`."""
    if find_mount(lab_dir):
        return
    path = os.path.join(os.path.realpath(lab_dir), OWN_MOUNT)
    os.makedirs(path, exist_ok=True)
    try:
        syscalls.mount("cgroup2", path, "cgroup2")
    except OSError as e:
        raise LabError(f"no cgroup2 is mounted and none can be: {e}",
                       "the lab needs CONFIG_CGROUPS and root with CAP_SYS_ADMIN")


def drop_mount(lab_dir):
    """Undoes ensure_mount()."""
    path = os.path.join(os.path.realpath(lab_dir), OWN_MOUNT)
    if os.path.ismount(path):
        syscalls.umount(path)


def lab_name(lab_dir):
    """Name of a lab's group: from its directory alone, so that `down` needs no memory."""
    return "clusterd-lab-" + hashlib.sha256(os.path.realpath(lab_dir).encode()).hexdigest()[:12]


class Cgroup:
    """One group. Waits have deadlines; the caller says what to do when one passes."""

    def __init__(self, path):
        self.path = path

    def child(self, name):
        return Cgroup(os.path.join(self.path, name))

    def create(self):
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as e:
            raise LabError(f"cannot make the control group {self.path}: {e}",
                           "run as root with a writable cgroup2")
        return self

    def exists(self):
        return os.path.isdir(self.path)

    def join(self, pid=0):
        self._write("cgroup.procs", str(pid))

    def _write(self, name, text):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as f:
            f.write(text)

    def _event(self, name):
        """A value of cgroup.events, '0' if the group is gone."""
        text = read(os.path.join(self.path, "cgroup.events"), "")
        return dict(line.split() for line in text.splitlines()).get(name, "0")

    def is_populated(self):
        return self._event("populated") == "1"

    def is_frozen(self):
        return self._event("frozen") == "1"

    def freeze(self, timeout):
        """True once all tasks are frozen; False if one still sits in the kernel."""
        self._write("cgroup.freeze", "1")
        return bool(poll(self.is_frozen, timeout))

    def thaw(self, timeout):
        self._write("cgroup.freeze", "0")
        wait_until(lambda: not self.is_frozen(), timeout, f"{self.path}: thaw")

    def thaw_all(self, timeout):
        """This group, and those below it: from above, or it would wait for what is still frozen."""
        for path in reversed(self.groups()):
            Cgroup(path).thaw(timeout)

    def kill(self):
        """SIGKILL to every task at once, frozen or not; does not wait."""
        try:
            self._write("cgroup.kill", "1")
        except FileNotFoundError:
            if self.exists():
                raise LabError("this kernel has no cgroup.kill", "Linux 5.14 or later is needed")

    def groups(self):
        """This group and those below, deepest first."""
        return [d for d, _, _ in os.walk(self.path, topdown=False)]

    def pids(self):
        """Process ids (of our own pid namespace) in this group and those below."""
        found = []
        for directory in self.groups():
            for pid in read(os.path.join(directory, "cgroup.procs"), "").split():
                if pid != "0":
                    found.append(int(pid))
        return found

    def describe(self):
        """The tasks left, for an error message."""
        words = []
        for pid in self.pids()[:5]:
            comm = (read(f"/proc/{pid}/comm") or "?").strip()
            state = (read(f"/proc/{pid}/stat") or ") ?").rpartition(")")[2].split()[0]
            wchan = (read(f"/proc/{pid}/wchan") or "?").strip()
            words.append(f"{pid} {comm} (state {state}, in {wchan})")
        return ", ".join(words) or "none"

    def remove(self, timeout):
        """Removes the empty group and those below it."""
        def gone():
            for directory in self.groups():
                try:
                    os.rmdir(directory)
                except OSError:
                    pass
            return not self.exists()
        wait_until(gone, timeout, f"{self.path}: removal",
                   hint=f"tasks left: {self.describe()}")
