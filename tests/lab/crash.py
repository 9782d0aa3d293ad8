# SPDX-License-Identifier: GPL-2.0-or-later
"""A node's sudden death, and the proof of it.

The order matters. SIGKILL alone would let the kernel unmount the node's file
systems cleanly, and a test of crash recovery would find nothing to recover:

  freeze      nobody in the node acts from here on
  GOINGDOWN   each file system on its disk stops, its log unflushed
  shut        the loop drains what is in flight, then refuses everything
  kill        the tasks, and with the last of them the mounts
  abort       its FUSE connections, so that nothing waits for a dead server
  unplug      its links; loops that it stacked on its disk are detached

verify_off() looks again from outside and believes none of the above.
"""
import fcntl
import os
import struct
import threading

import disk
import net
from common import LabError, poll, read

# <linux/fs.h>, the same number in XFS, ext4 and f2fs; flag 2 = no log flush.
XFS_IOC_GOINGDOWN = 0x8004587D
GOING_NOLOGFLUSH = 2

FREEZE_SECONDS = 2
GOINGDOWN_SECONDS = 3
KILL_SECONDS = 10
VERIFY_SECONDS = 10
FUSE_CONNECTIONS = "/sys/fs/fuse/connections"


class Mount:
    """A line of mountinfo, with the process through whose root it is reached."""

    def __init__(self, line, pid):
        fields = line.split()
        dash = fields.index("-")
        self.rdev = tuple(int(x) for x in fields[2].split(":"))
        self.path = fields[4].encode().decode("unicode_escape")
        self.fstype, self.pid = fields[dash + 1], pid


def mounts_of(pid):
    return [Mount(line, pid) for line in (read(f"/proc/{pid}/mountinfo") or "").splitlines()]


def node_mounts(pids):
    """Mounts in all mount namespaces of these processes, less those of the host."""
    ours = {m.rdev for m in mounts_of("self")}
    seen, found = set(), []
    for pid in pids:
        try:
            namespace = os.stat(f"/proc/{pid}/ns/mnt").st_ino
        except OSError:
            continue
        if namespace not in seen:
            seen.add(namespace)
            found += [m for m in mounts_of(pid) if m.rdev not in ours]
    return found


def go_down(mounts, devices):
    """GOINGDOWN without log flush to every file system on the devices.

    In a thread: an open can block in a sick file system. One that is not
    reached here stops by itself when its disk is shut, the next step.
    """
    rdevs = {d.rdev for d in devices}

    def work():
        for m in mounts:
            if m.rdev in rdevs:
                _going_down(m)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(GOINGDOWN_SECONDS)


def _going_down(m):
    try:
        fd = os.open(f"/proc/{m.pid}/root{m.path}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.fstat(fd).st_dev == os.makedev(*m.rdev):      # not covered by another mount
            fcntl.ioctl(fd, XFS_IOC_GOINGDOWN, struct.pack("<I", GOING_NOLOGFLUSH))
    except OSError:
        pass
    finally:
        os.close(fd)


def abort_fuse(mounts):
    """Aborts the node's FUSE connections (the kernel names them by device minor)."""
    for minor in {m.rdev[1] for m in mounts if m.fstype.split(".")[0] in ("fuse", "fuseblk")}:
        try:
            with open(f"{FUSE_CONNECTIONS}/{minor}/abort", "w", encoding="ascii") as f:
                f.write("1")
        except OSError:
            pass


def crash(node):
    """Kills a node in the order above; LabError names what is left of it."""
    devices, mounts = [], []
    if node.cgroup.exists():
        node.cgroup.freeze(FREEZE_SECONDS)      # a task that cannot freeze is killed all the same
        mounts = node_mounts(node.cgroup.pids())
    if node.loop:
        devices = disk.device_tree(node.loop.number)
        node.xfs_names |= {d.name for d in devices}
        go_down(mounts, devices)
        node.shut_disk()
    if node.cgroup.exists():
        node.cgroup.kill()
    abort_fuse(mounts)
    node.wait_ended(KILL_SECONDS)
    if node.cgroup.exists():
        node.cgroup.thaw_all(FREEZE_SECONDS)    # for the next boot, also a service that was frozen
    net.unplug(node.number)
    for number in sorted({d.loop for d in devices if d.loop != node.loop.number}, reverse=True):
        disk.clear_loop(number)
    left = []

    def is_off():
        left[:] = verify_off(node)
        return not left
    if not poll(is_off, VERIFY_SECONDS, 0.01):
        raise LabError(f"{node.name}: not dead after a crash: {'; '.join(left)}",
                       "`lab status` shows it as failed; look at the tasks named here")


def verify_off(node):
    """What still lives of a node, as sentences; empty if the node is proven off."""
    left = []
    if node.cgroup.exists() and (node.cgroup.is_populated() or node.cgroup.pids()):
        left.append(f"tasks are left: {node.cgroup.describe()}")
    if not node.has_ended():
        left.append(f"its init, pid {node.pid}, is not gone (it waits for "
                    "whoever started a process in it, such as a stopped `lab run`, to reap)")
    names = set(node.xfs_names)
    if node.loop:
        names |= {d.name for d in disk.device_tree(node.loop.number)}
    alive = sorted(n for n in names if disk.is_xfs_alive(n))
    if alive:
        left.append(f"XFS superblocks are left on {', '.join(alive)}")
    if node.loop:
        refused = node.loop.write_refused()
        if refused:
            left.append(refused)
    return left
