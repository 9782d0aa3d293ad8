# SPDX-License-Identifier: GPL-2.0-or-later
"""One node as labd holds it: boot, crash, freeze, disk, services, and the proof of off.

State: off -> booting -> on -> off, or failed when a crash could not be proven
or the node's init ended by itself. Every change happens under the node's lock,
whose holder is named to whoever waits for it in vain.
"""
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import corosync
import crash
import disk
import net
import qsd
import rootfs
import rpc
import syscalls
from common import HERE, LabError, clean_environment, node_name, read, wait_until

SPAWN_SECONDS = 15
LOCK_SECONDS = 60
STOP_SECONDS = 40
FREEZE_SECONDS = 5
CHECK_SECONDS = 10


class Node:
    def __init__(self, lab, number):
        self.lab, self.number, self.name = lab, number, node_name(number)
        self.dir = os.path.join(lab.dir, self.name)
        self.cgroup = lab.cgroup.child(self.name)
        self.lock, self.busy = threading.Lock(), None
        self.state, self.frozen = "off", False
        self.loop, self.export, self.disk = None, None, "ok"
        self.xfs_names = set()          # devices on which this boot may have mounted XFS
        self.pid, self.start, self.ended = 0, None, None
        self.sock, self.services = None, {}
        self.ids, self.replies, self.news = itertools.count(1), {}, threading.Condition()

    @contextlib.contextmanager
    def doing(self, what, timeout=LOCK_SECONDS):
        """Holds the node's lock; a missed deadline names who has it."""
        if not self.lock.acquire(timeout=timeout):
            raise LabError(f"{self.name}: {what}: busy with '{self.busy}' for {timeout} s",
                           "try again, or `lab down`")
        self.busy = what
        try:
            yield
        finally:
            self.busy = None
            self.lock.release()

    # --- boot ---

    def start_up(self):
        with self.doing("start"):
            if self.state != "off":
                raise LabError(f"{self.name}: cannot start: it is {self.state}",
                               f"`lab kill {self.name}` first")
            left = crash.verify_off(self) if self.pid else []
            if left:
                raise LabError(f"{self.name}: cannot start: {'; '.join(left)}")
            try:
                self._boot()
            except (LabError, OSError, subprocess.SubprocessError) as e:
                self.state = "failed"
                raise LabError(f"{self.name}: boot: {e}", self._last_words())

    def _boot(self):
        self.state, self.frozen = "booting", False
        os.makedirs(self.dir, exist_ok=True)
        self._new_disk()
        rootfs.new_boot_id(self.dir)
        etc = os.path.join(self.dir, rootfs.KEEP["/etc/corosync"])
        if not os.path.exists(os.path.join(etc, "corosync.conf")):
            os.makedirs(etc, exist_ok=True)
            corosync.install(etc, self.lab.nodes_count, self.lab.key)
        self.cgroup.create()
        lines = self._spawn()
        net.plug(self.number, self.pid)
        rpc.send(self.sock, {"go": True})
        threading.Thread(target=self._listen, args=(lines, self.sock, self.pid, self.ended),
                         daemon=True).start()
        budget = SPAWN_SECONDS + sum(s["timeout"] for s in self.lab.services)
        self._ask({"op": "boot"}, budget)
        self.state = "on"

    def _last_words(self):
        """The ends of its logs: a failed `up` cleans up, and the logs with it."""
        logs = os.path.join(self.dir, rootfs.KEEP["/var/log"])
        words = []
        for name in sorted(os.listdir(logs)) if os.path.isdir(logs) else []:
            lines = (read(os.path.join(logs, name), "") or "").split("\n")[-4:]
            words += [f"\n  {name}: {line}" for line in lines if line]
        return "last lines of its logs:" + "".join(words) if words else ""

    def _new_disk(self):
        self._drop_disk()
        backing = self.lab.lun
        if self.lab.exports:
            self.lab.exports.command("on", self.name)
            backing = self.lab.exports.path(self.name)
        elif self.lab.disk_faults:
            self.export = qsd.Export(self.name, self.dir, backing,
                                     self.lab.cgroup.child(f"disk-{self.name}"))
            backing = self.export.path
        self.loop = disk.Loop(backing, self.lab.lun_bytes)
        self.disk = "ok"
        self.xfs_names = set()

    def _drop_disk(self):
        if self.loop:
            self.loop.close()
            self.loop = None
        if self.export:
            self.export.close()
            self.export = None

    def _spawn(self):
        """Starts init.py; returns the reader of its lines once pid 1 waits for `go`."""
        ours, theirs = socket.socketpair()
        with open(os.path.join(self.dir, "init.log"), "ab") as log:
            helper = subprocess.Popen(
                [sys.executable, os.path.join(HERE, "init.py"), str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                pass_fds=[theirs.fileno()], env=clean_environment(), start_new_session=True)
        theirs.close()
        ours.settimeout(SPAWN_SECONDS)
        rpc.send(ours, {"number": self.number, "nodes": self.lab.nodes_count,
                        "lab": self.lab.dir, "dir": self.dir, "cgroup": self.cgroup.path,
                        "loop": self.loop.dev, "services": self.lab.services,
                        "visible": self.lab.visible})
        lines = rpc.Lines(ours)
        try:
            first = lines.next() or {}
            helper.wait(SPAWN_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise LabError(f"init does not start: {e}")
        if "pid" not in first:
            raise LabError(first.get("failed") or
                           f"init ended early: {(read(self.dir + '/init.log') or '')[-300:]}")
        ours.settimeout(None)
        self.sock, self.pid = ours, first["pid"]
        self.start, self.ended = syscalls.start_time(self.pid), threading.Event()
        self.services = {s["name"]: {"state": "idle", "code": None} for s in self.lab.services}
        return lines

    def _listen(self, lines, sock, pid, ended):
        """A thread per boot: hears init until it is gone, then reaps it."""
        failed = None
        while True:
            try:
                message = lines.next()
            except (OSError, ValueError):
                message = None
            if message is None:
                break
            with self.news:
                self.services = message.get("services", self.services)
                failed = message.get("failed", failed)
                if "id" in message:
                    self.replies[message["id"]] = message
                self.news.notify_all()
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass
        ended.set()
        sock.close()
        with self.news:
            for request_id, reply in self.replies.items():
                if reply is None:
                    self.replies[request_id] = {"ok": False, "what": failed or "its init ended"}
            self.news.notify_all()
        if self.state == "on" and self.ended is ended and not self.busy:
            self.state = "failed"

    def _ask(self, request, timeout):
        """A request to init and its answer."""
        with self.news:
            if self.has_ended():
                raise LabError("its init ended")
            request_id = next(self.ids)
            self.replies[request_id] = None
            try:
                rpc.send(self.sock, dict(request, id=request_id))
            except OSError as e:
                raise LabError(f"its init does not listen: {e}")
            self.news.wait_for(lambda: self.replies[request_id], timeout)
            reply = self.replies.pop(request_id)
        if reply is None:
            raise LabError(f"its init does not answer '{request['op']}' within {timeout} s")
        if not reply["ok"]:
            raise LabError(reply["what"])

    # --- death ---

    def has_ended(self):
        return self.ended is None or self.ended.is_set()

    def wait_ended(self, timeout):
        if self.ended:
            self.ended.wait(timeout)

    def shut_disk(self):
        """Part of the crash. A hung disk would never drain: its exporter dies first, or refuses
        what it holds."""
        exports = self.lab.exports
        if exports and self.disk == "hang":
            exports.command("cut", self.name)
        if self.export and self.disk == "hang":
            self.export.kill()
        self.loop.shut()
        if exports:
            exports.command("cut", self.name)

    def crash(self):
        with self.doing("kill"):
            self._crash()

    def _crash(self):
        self.state = "failed"           # until the proof
        crash.crash(self)
        if self.lab.exports and self.loop:
            self.lab.exports.command("off", self.name)
        self.state, self.frozen = "off", False
        self.services = {name: {"state": "off", "code": None} for name in self.services}

    def stop(self):
        """The orderly way: SIGTERM to init, services stop in reverse order, then off."""
        with self.doing("stop"):
            self.need_on("stop")
            os.kill(self.pid, signal.SIGTERM)
            self.wait_ended(STOP_SECONDS)
            in_time = self.has_ended()
            self._crash()               # what an orderly stop leaves is for the same proof
            if not in_time:
                raise LabError(f"{self.name}: no orderly stop within {STOP_SECONDS} s: killed")

    def power(self):
        """'on', or 'off' if proven this very moment; LabError when neither is sure."""
        with self.doing("power status", CHECK_SECONDS):
            if self.state == "on" and not self.has_ended():
                return "on"
            left = crash.verify_off(self)
            if self.state == "off" and not left:
                return "off"
            raise LabError(f"{self.name}: neither on nor proven off: state {self.state}"
                           + "".join(f"; {w}" for w in left))

    def close(self):
        """For `down`: dead, detached, its control group removed."""
        with self.doing("down"):
            self._crash()
            self._drop_disk()
            if self.cgroup.exists():
                self.cgroup.remove(CHECK_SECONDS)

    # --- faults ---

    def need_on(self, what):
        if self.state != "on":
            raise LabError(f"{self.name}: cannot {what}: it is {self.state}",
                           f"`lab start {self.name}`")
        if self.frozen and what not in ("thaw", "freeze"):
            raise LabError(f"{self.name}: cannot {what}: it is frozen", f"`lab thaw {self.name}`")

    def freeze(self):
        with self.doing("freeze"):
            self.need_on("freeze")
            self.frozen = True
            if not self.cgroup.freeze(FREEZE_SECONDS):
                raise LabError(f"{self.name}: not all of it froze in {FREEZE_SECONDS} s: "
                               f"{self.cgroup.describe()}", "thaw it, or heal its disk first")

    def thaw(self):
        with self.doing("thaw"):
            self.need_on("thaw")
            self.cgroup.thaw(FREEZE_SECONDS)
            self.frozen = False

    def set_disk(self, mode):
        with self.doing(f"disk {mode}"):
            if self.state != "on":
                raise LabError(f"{self.name}: cannot change its disk: it is {self.state}")
            if mode == "hang" and not (self.export or self.lab.exports):
                raise LabError(f"{self.name}: its disk cannot hang: the lab is up without faults",
                               "`lab up N --disk-faults`")
            if mode == self.disk:
                return
            if self.lab.exports:
                words = {"ok": ("ok",), "hang": ("hold",), "eio": ("fail", "read,write,discard")}
                self.lab.exports.command("ok", self.name)
                self.lab.exports.command(words[mode][0], self.name, *words[mode][1:])
                self.disk = mode
                return
            if self.disk != "ok":
                self._heal_disk()
            if mode == "eio":
                (self.export.fail if self.export else self.loop.shut)()
            elif mode == "hang":
                self.export.hang()
            self.disk = mode

    def _heal_disk(self):
        if self.disk == "hang":
            self.export.go_on()
        else:
            (self.export.work if self.export else self.loop.open)()
        self.disk = "ok"

    # --- services and programs ---

    def service(self, action, name):
        """start and stop go through init; signals go to the service's control group."""
        with self.doing(f"service {action} {name}"):
            self.need_on(f"service {action}")
            if name not in self.services:
                raise LabError(f"{self.name}: no service '{name}'",
                               f"there are: {', '.join(self.services) or 'none'}")
            group = self.cgroup.child("svc-" + name)
            if action in ("start", "stop"):
                timeout = SPAWN_SECONDS + next(s["timeout"] for s in self.lab.services
                                               if s["name"] == name)
                try:
                    self._ask({"op": action, "name": name}, timeout)
                except LabError as e:
                    raise LabError(f"{self.name}: {action} {name}: {e}")
            elif not group.is_populated():
                raise LabError(f"{self.name}: {action} {name}: it does not run")
            elif action == "kill":
                group.kill()
                wait_until(lambda: not group.is_populated(), CHECK_SECONDS,
                           f"{self.name}: end of {name}")
                self._await_service(name, "exited")
            elif action == "freeze":
                if not group.freeze(FREEZE_SECONDS):
                    raise LabError(f"{self.name}: {name} does not freeze: {group.describe()}")
            else:
                group.thaw(FREEZE_SECONDS)

    def _await_service(self, name, state):
        with self.news:
            if not self.news.wait_for(lambda: self.services[name]["state"] == state,
                                      CHECK_SECONDS):
                raise LabError(f"{self.name}: {name} is not seen {state}")

    def run(self, argv, timeout):
        """Runs a program in the node for labd itself; returns (exit code, stdout).

        Not in the node's pid namespace, whose pid 1 cannot end before the outer
        parent of each process in it has reaped: here nsenter, which a crash kills.
        """
        script = 'echo 0 > "$1/cgroup.procs" || exit 125; p=$2; shift 2; ' \
                 'exec nsenter -t "$p" -m -u -i -n -C -- "$@"'
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", script, "sh", self.cgroup.path, str(self.pid)] + argv,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=timeout, env=clean_environment(), check=False)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: {argv[0]}: no end within {timeout} s")
        return done.returncode, done.stdout

    def ring(self):
        """corosync's view in this node, None if it has none."""
        if self.state not in ("on", "booting") or self.frozen or self.has_ended():
            return None
        return corosync.parse(self.run(corosync.QUERY, CHECK_SECONDS)[1])

    def show(self):
        """What `status` prints. Takes no lock: it must answer whatever hangs."""
        loop = self.loop
        names = [d.name for d in disk.device_tree(loop.number)] if loop else []
        return {"name": self.name, "number": self.number, "state": self.state,
                "frozen": self.frozen, "busy": self.busy, "pid": self.pid or None,
                "boot_id": rootfs.boot_id_of(self.dir),
                "addresses": [f"{net_}.{self.number}" for net_ in corosync.NETS],
                "loop": loop.dev if loop else None, "direct_io": bool(loop and loop.is_direct()),
                "disk": self.disk, "xfs": [n for n in names if disk.is_xfs_alive(n)],
                "dir": self.dir, "cgroup": self.cgroup.path,
                "services": dict(self.services), "time": time.time()}
