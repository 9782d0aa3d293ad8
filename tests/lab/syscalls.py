# SPDX-License-Identifier: GPL-2.0-or-later
"""The few system calls that Python 3.11 does not have, by ctypes.

Nothing here knows what a lab is. Every call raises OSError with the errno and
the arguments, because "Invalid argument" alone never told anyone anything.
"""
import ctypes
import os
import platform
import signal

_libc = ctypes.CDLL(None, use_errno=True)

# mount(2)
MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
# namespaces(7)
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
CLONE_NODE = (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC
              | CLONE_NEWPID | CLONE_NEWNET)
# prctl(2)
PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 36

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}


def _bytes(value):
    return None if value is None else os.fsencode(value)


def _check(result, *what):
    if result < 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{os.strerror(err)} in {' '.join(str(w) for w in what)}")
    return result


def mount(source, target, fstype=None, flags=0, data=None):
    _check(_libc.mount(_bytes(source), _bytes(target), _bytes(fstype),
                       ctypes.c_ulong(flags), _bytes(data)),
           "mount", fstype or "bind", source, "on", target)


def umount(target, flags=0):
    _check(_libc.umount2(_bytes(target), flags), "umount", target)


def bind(source, target, recursive=False):
    mount(source, target, None, MS_BIND | (MS_REC if recursive else 0))


def unshare(flags):
    _check(_libc.unshare(flags), "unshare", hex(flags))


def setns(fd, flags):
    _check(_libc.setns(fd, flags), "setns", hex(flags))


def prctl(option, arg):
    _check(_libc.prctl(option, ctypes.c_ulong(arg), 0, 0, 0), "prctl", option)


def set_name(name):
    """Names this process, so that `ps` shows `lab-n1` and not five pythons."""
    buf = ctypes.create_string_buffer(name.encode()[:15])
    _check(_libc.prctl(PR_SET_NAME, buf, 0, 0, 0), "prctl name")


def pivot_root_here():
    """Makes the current directory the root and drops the old root (pivot_root(2), NOTES)."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"pivot_root: number unknown on {platform.machine()}: add it to _PIVOT_ROOT")
    _check(_libc.syscall(number, b".", b"."), "pivot_root")
    umount(".", MNT_DETACH)
    os.chdir("/")


def start_time(pid):
    """Start time of a process in clock ticks; (pid, start) names a process for ever.

    Returns None if there is no such process.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return int(f.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return None


def reset_signals():
    """Undoes what Python and its parents did to signals, for a child before exec."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM,
                   signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
