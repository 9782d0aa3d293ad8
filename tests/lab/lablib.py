# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab for programs: `with Lab(3) as lab: lab.kill("n1")`.

Every method returns when the thing is done, or raises LabError; none sleeps.
"""
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import attributed
import cgroup
import disk
import rpc
import sweep
import syscalls
from common import HERE, MAX_NODES, TREE, LabError, clean_environment, poll, wait_until, write

__all__ = ["Lab", "LabError", "wait_until", "poll", "Result", "default_dir"]

# In the node's control group before anything else, then in its namespaces, in the same folder.
# A shell and nsenter(1), not `lab run`: tests ask often, and a Python costs 50 ms of a core.
ENTER = """echo 0 > "$1/cgroup.procs" || exit 125; p=$2; d=$3; shift 3
exec nsenter -t "$p" -m -u -i -n -p -C -- /bin/sh -c 'cd "$0" 2>/dev/null || cd /; exec "$@"' "$d" "$@"
"""
LABD_SECONDS = 20
UP_SECONDS = 240
CALL_SECONDS = 120
DOWN_SECONDS = 90


def default_dir():
    """On a disk, not in /run: the LUN wants direct I/O and room."""
    return os.environ.get("LAB_DIR", "/var/tmp/clusterd-lab")


class Result:
    """What a program in a node did."""

    def __init__(self, code, stdout, stderr):
        self.code, self.stdout, self.stderr = code, stdout, stderr

    def __repr__(self):
        return f"Result(code={self.code}, stdout={self.stdout!r}, stderr={self.stderr!r})"


class Lab:
    """One lab in one directory. Also a handle on a lab that another process has up."""

    def __init__(self, nodes=3, dir=None, lun_size="1G", bin=TREE, services=True,
                 disk_faults=False, lun="file", lun_data=False, progress=None):
        if not 1 <= nodes <= MAX_NODES:
            raise LabError(f"{nodes} nodes: the lab has 1 to {MAX_NODES}")
        if lun not in ("file", "attributed"):
            raise LabError(f"lun '{lun}': file or attributed")
        self.dir = os.path.realpath(dir or default_dir())
        self.nodes = [f"n{i}" for i in range(1, nodes + 1)]
        self.config = {"dir": self.dir, "nodes": nodes, "lun_bytes": disk.parse_size(lun_size),
                       "bin": os.path.realpath(bin) if bin else "", "services": services,
                       "disk_faults": disk_faults, "lun_data": lun_data,
                       "lun": attributed.program(bin) if lun == "attributed" else ""}
        self.progress = progress
        self.is_judged = True           # by conftest.py; False for who plants a violation
        self.volume_bytes = None        # of the LUN, where a volume has less than all of it
        self.labd = None                # its Popen, if this object started it

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    # --- the whole lab ---

    def up(self):
        """Brings the lab up; on any failure, an interrupt included, takes it down again."""
        self._refuse_if_up()
        try:
            self._start_labd()
            self._call({"op": "up"}, UP_SECONDS, self.progress)
        except BaseException:
            # From here on a second Ctrl-C must not leave half a lab behind.
            old = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)} \
                if _in_main_thread() else {}
            try:
                self.down()
            finally:
                for number, handler in old.items():
                    signal.signal(number, handler)
            raise
        return self

    def _refuse_if_up(self):
        if os.geteuid() != 0:
            raise LabError("the lab needs root", "run it as root, in a container if you like")
        if self.is_up():
            raise LabError(f"{self.dir}: a lab is up here", "`lab down` first, or another --dir")
        if sweep.leftovers(self.dir):
            sweep.sweep(self.dir)

    def is_up(self):
        """True while a labd holds this directory."""
        try:
            fd = os.open(os.path.join(self.dir, "lock"), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(fd)

    def _start_labd(self):
        try:
            os.makedirs(self.dir, exist_ok=True)
            if os.listdir(self.dir):
                raise LabError(f"{self.dir}: not empty and not a lab's",
                               "use a --dir that is new or empty")
            write(os.path.join(self.dir, sweep.MARKER), "")
        except OSError as e:
            raise LabError(f"{self.dir}: {e}", "use another --dir")
        cgroup.ensure_mount(self.dir)
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        with open(os.path.join(self.dir, "labd.log"), "ab") as log:
            process = subprocess.Popen(
                [sys.executable, os.path.join(HERE, "labd.py"), str(theirs)],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/", pass_fds=[theirs],
                start_new_session=True, env=dict(clean_environment()))
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            process.stdin.write(json.dumps(self.config).encode() + b"\n")
            process.stdin.close()
            self.labd = process
            os.set_blocking(pipe.fileno(), False)
            line = poll(lambda: pipe.readline() or process_gone(process.pid), LABD_SECONDS)
        if line is None or line is True:
            raise LabError("labd does not start", f"see {self.dir}/labd.log")
        answer = json.loads(line)
        if not answer["ok"]:
            raise LabError(answer["what"], answer["hint"])

    def down(self):
        """Leaves nothing, whatever state the lab is in. Fine if there is none."""
        errors = []
        if self.is_up():
            try:
                errors = self._call({"op": "down"}, DOWN_SECONDS)["errors"]
            except LabError as e:
                errors = [str(e)]
            self._end_labd()
        try:
            sweep.sweep(self.dir)
        except LabError as e:
            raise LabError(e.what + "".join(f"; {x}" for x in errors), e.hint)
        self._reap_labd()

    def _end_labd(self):
        """labd leaves after `down`; one that does not is killed by its recorded pid."""
        if not poll(lambda: not self.is_up(), 5):
            self._kill_labd()

    def _reap_labd(self):
        """labd is a child of whoever ran up(): in a long-lived program, a zombie until now."""
        if self.labd:
            try:
                self.labd.wait(5)
            except subprocess.TimeoutExpired:
                raise LabError(f"labd, pid {self.labd.pid}, does not end")
            self.labd = None

    def _kill_labd(self):
        try:
            with open(os.path.join(self.dir, "labd.pid"), encoding="ascii") as f:
                pid, start = (int(x) for x in f.read().split())
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError):
            return
        try:
            if syscalls.start_time(pid) == start:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)

    def leftovers(self):
        """Sentences about what this lab has left on the machine; empty after down()."""
        return sweep.leftovers(self.dir)

    def status(self):
        return self._call({"op": "status"}, 20)

    def _call(self, request, timeout=CALL_SECONDS, progress=None):
        path = os.path.join(self.dir, "ctl.sock")
        if not os.path.exists(path):
            raise LabError(f"{self.dir}: no lab is up here", "`lab up N`, or another --dir")
        return rpc.call(path, request, timeout, progress)

    # --- nodes ---

    def node(self, name):
        """A node's entry of status()."""
        for entry in self.status()["nodes"]:
            if entry["name"] == name:
                return entry
        raise LabError(f"no node '{name}'")

    def enter(self, name):
        return self._call({"op": "enter", "node": name})

    def popen(self, name, argv, **kwargs):
        """Starts a program in a node; a Popen of the `lab run` that holds it."""
        return subprocess.Popen([sys.executable, os.path.join(HERE, "lab"), "--dir", self.dir,
                                 "run", name, "--"] + list(argv), **kwargs)

    def run(self, name, argv, timeout=60, stdin=None, check=True):
        """Runs a program in a node to its end. With check, a non-zero exit is a LabError."""
        if isinstance(argv, str):
            argv = ["/bin/sh", "-c", argv]
        where = self.enter(name)
        if syscalls.start_time(where["pid"]) != where["start"]:
            raise LabError(f"{name}: it died this moment", f"`lab start {name}`")
        env = dict(clean_environment(), LAB_BMC="/run/lab/bmc.sock")
        with subprocess.Popen(["/bin/sh", "-c", ENTER, "sh", where["cgroup"], str(where["pid"]),
                               os.getcwd(), *argv], stdin=subprocess.PIPE, env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace") as process:
            try:
                out, err = process.communicate(stdin or "", timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise LabError(f"{name}: {' '.join(argv)}: no end within {timeout} s")
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        if check and code:
            raise LabError(f"{name}: {' '.join(argv)}: exit {code}: "
                           f"{(err or out).strip()[-500:]}")
        return Result(code, out, err)

    def kill(self, name):
        self._call({"op": "kill", "node": name})

    def start(self, name):
        self._call({"op": "start", "node": name})

    def stop(self, name):
        self._call({"op": "stop", "node": name})

    def freeze(self, name):
        self._call({"op": "freeze", "node": name})

    def thaw(self, name):
        self._call({"op": "thaw", "node": name})

    def disk(self, name, mode):
        self._call({"op": "disk", "node": name, "mode": mode})

    def lun_fault(self, name, what, *words):
        """A fault of the attributed LUN for one node: ok, hold, fail, delay, tear; see lund.c."""
        self._call({"op": "lun", "node": name, "what": what, "words": list(words)})

    def service(self, name, action, service):
        self._call({"op": "service", "node": name, "action": action, "name": service})

    def ring(self, name):
        """corosync's view: {"ring_id", "members", "quorate"}, or None."""
        return self._call({"op": "ring", "node": name}, 20)["ring"]

    def wait_ring(self, name, members, timeout=20):
        """Waits until corosync in a node sees exactly these node ids; returns the seconds."""
        begin = time.monotonic()
        wait_until(lambda: (self.ring(name) or {}).get("members") == list(members), timeout,
                   f"{name}: ring of {list(members)}")
        return time.monotonic() - begin

    # --- network ---

    def cut(self, one, other=None, network=None, one_way=False):
        """Cuts a pair of nodes, or a node from all; one_way: frames from `one` only."""
        self._call({"op": "cut", "node": one, "other": other, "network": network,
                    "one_way": one_way})

    def heal(self, one=None, other=None):
        self._call({"op": "heal", "node": one, "other": other})


def _in_main_thread():
    import threading
    return threading.current_thread() is threading.main_thread()


def process_gone(pid):
    """True if the process is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
