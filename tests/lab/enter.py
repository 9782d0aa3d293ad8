# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a program in a node: in its namespaces and in its control group.

The parent stays outside, so that it survives a crash of the node and can say
so; the child joins the group before anything else, so that no crash, freeze or
proof of death can miss it.
"""
import os
import signal
import sys

import syscalls
from common import LabError, clean_environment

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run(name, where, argv, cwd="/"):
    """Runs argv in the node; returns its exit code, or 128 + its signal. Single-threaded."""
    pidfd = _pidfd(name, where)
    try:
        procs = os.open(os.path.join(where["cgroup"], "cgroup.procs"),
                        os.O_WRONLY | os.O_CLOEXEC)
        syscalls.setns(pidfd, syscalls.CLONE_NEWPID)    # for the child, not for us
    except OSError as e:
        raise LabError(f"{name}: cannot enter: {e}", f"`lab status`; is {name} on?")
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _child(pidfd, procs, argv, cwd)
    os.close(procs)
    return _wait(child)


def _pidfd(name, where):
    """A descriptor of the node's init that is surely not of a later process with its pid."""
    try:
        pidfd = os.pidfd_open(where["pid"])
    except OSError:
        raise LabError(f"{name}: it died this moment", f"`lab start {name}`")
    if syscalls.start_time(where["pid"]) != where["start"]:
        os.close(pidfd)
        raise LabError(f"{name}: it died this moment", f"`lab start {name}`")
    return pidfd


def _child(pidfd, procs, argv, cwd):
    """Never returns."""
    try:
        os.write(procs, b"0")
        syscalls.setns(pidfd, syscalls.CLONE_NODE & ~syscalls.CLONE_NEWPID)
        try:
            os.chdir(cwd)
        except OSError:
            os.chdir("/")
        env = dict(clean_environment(), LAB_BMC="/run/lab/bmc.sock")
        env.update({k: v for k, v in os.environ.items() if k.startswith("LAB_")
                    and k not in ("LAB_DIR", "LAB_BMC")})
        syscalls.reset_signals()
        os.execvpe(argv[0], argv, env)
    except FileNotFoundError:
        os.write(2, f"lab: {argv[0]}: not found in the node\n".encode())
        os._exit(127)
    except OSError as e:
        os.write(2, f"lab: {argv[0]}: {e}\n".encode())
        os._exit(126)
    finally:
        os._exit(125)


def _wait(child):
    """Waits, passing signals on; a Ctrl-C at the terminal reaches the child by itself."""
    def forward(number, _frame):
        if number == signal.SIGINT and sys.stdin.isatty():
            return
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass
    before = {n: signal.signal(n, forward) for n in FORWARDED}
    try:
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
