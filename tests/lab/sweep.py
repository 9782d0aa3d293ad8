# SPDX-License-Identifier: GPL-2.0-or-later
"""What a lab leaves on the machine, seen from outside, and its removal without labd.

Needs no memory of the lab: the control group has a name made from the
directory, the loops are found by their backing file.
"""
import os
import shutil

import attributed
import disk
from cgroup import OWN_MOUNT, Cgroup, drop_mount, find_mount, lab_name
from common import LabError, poll, read

KILL_SECONDS = 15
MARKER = ".clusterd-lab"         # only a directory with this file is ours to empty
OWN_FILES = ("lun.img", "csvfsd", "csvadm", "labd.log", "labd.pid", "lock", "ctl.sock", "bmc.sock")
OWN_DIRS = ("root", "shared", OWN_MOUNT, attributed.DIRECTORY)


def group_of(lab_dir):
    """The lab's control group, None if this machine shows no cgroup2."""
    mounted = find_mount(lab_dir)
    return Cgroup(os.path.join(mounted, lab_name(lab_dir))) if mounted else None


def loops_of(lab_dir):
    """Loops on the LUN file, or on a node's export of it, and loops stacked on those."""
    files = [os.path.join(lab_dir, "lun.img")]
    files += [os.path.join(lab_dir, f"n{i}", "disk") for i in range(1, 17)]
    files += [attributed.export_of(lab_dir, f"n{i}") for i in range(1, 17)]
    found = []
    for path in files:
        for number in disk.loops_on_file(path):
            found += [d.loop for d in disk.device_tree(number) if d.loop not in found]
    return found


def leftovers(lab_dir):
    """Sentences about everything that is left of the lab; empty if nothing is."""
    lab_dir = os.path.realpath(lab_dir)
    left = []
    group = group_of(lab_dir)
    if group and group.exists():
        left.append(f"control group {group.path}, tasks: {group.describe()}")
    left += [f"loop device /dev/loop{n}" for n in loops_of(lab_dir)]
    for line in (read("/proc/self/mountinfo") or "").splitlines():
        if line.split()[4].startswith(lab_dir + "/"):
            left.append(f"mount {line.split()[4]}")
    if is_ours(lab_dir):
        left.append(f"directory {lab_dir}")
    return left


def sweep(lab_dir):
    """Removes everything of a lab; LabError names what resists."""
    lab_dir = os.path.realpath(lab_dir)
    errors = []
    group = group_of(lab_dir)
    if group and group.exists():
        group.kill()
        if not poll(lambda: not group.is_populated(), KILL_SECONDS):
            errors.append(f"tasks do not die: {group.describe()}")
        else:
            _try(errors, lambda: group.remove(KILL_SECONDS))
    for number in reversed(loops_of(lab_dir)):
        _try(errors, lambda n=number: disk.clear_loop(n))
    disk.release_dev_lab()
    if not errors:
        drop_mount(lab_dir)
        _remove_files(lab_dir)
        errors = leftovers(lab_dir)
    if errors:
        raise LabError(f"{lab_dir}: not all is gone: {'; '.join(errors)}",
                       "end what is named here and run `lab down` again")


def _try(errors, action):
    try:
        action()
    except LabError as e:
        errors.append(str(e))


def is_ours(lab_dir):
    return os.path.exists(os.path.join(lab_dir, MARKER))


def _remove_files(lab_dir):
    """Removes what the lab made in its directory, and the directory if that empties it."""
    if not is_ours(lab_dir):
        return
    for name in os.listdir(lab_dir):
        path = os.path.join(lab_dir, name)
        if name in OWN_FILES:
            os.unlink(path)
        elif name in OWN_DIRS or (name[0] == "n" and name[1:].isdigit()):
            shutil.rmtree(path, ignore_errors=True)
    os.unlink(os.path.join(lab_dir, MARKER))        # last: until then `down` can be repeated
    try:
        os.rmdir(lab_dir)
    except OSError:
        pass            # a directory that the caller made and put something in
