#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""pid 1 of a node: builds the node's root, starts the services in order, reaps.

Started by labd with one descriptor, a socket of JSON lines. labd -> init: the
configuration, {"go": true} once the links are plugged in, then requests
{"id", "op": "start"|"stop", "name"}. init -> labd: {"pid"}, a reply for every
id, and the full service table whenever it changes. A service that ends is
reported, never restarted: whoever tests a crash does not want it hidden.
"""
import os
import selectors
import signal
import socket
import subprocess
import sys
import time

import disk
import net
import rootfs
import rpc
import services
import syscalls
from common import LabError, clean_environment, node_name

CGROUP = "/sys/fs/cgroup"
CHECK_SECONDS = 0.1


class Service:
    """One program: idle -> starting -> running -> exited, and again."""

    def __init__(self, spec):
        self.name, self.argv, self.ready = spec["name"], spec["argv"], spec["ready"]
        self.timeout = spec["timeout"]
        self.pid, self.state, self.code = 0, "idle", None

    def show(self):
        return {"state": self.state, "code": self.code}

    def spawn(self):
        group = os.path.join(CGROUP, "svc-" + self.name)
        os.makedirs(group, exist_ok=True)
        log = os.open(f"/var/log/{self.name}.log" if self.name != "corosync"
                      else "/var/log/corosync-stderr.log",
                      os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.pid = spawn(self.argv, group, log)
        os.close(log)
        self.state, self.code = "starting", None


def spawn(argv, group, output):
    """fork and exec with stdout and stderr to a descriptor; returns the pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if group:
            with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        syscalls.reset_signals()
        os.execvp(argv[0], argv)
    except OSError as e:
        os.write(2, f"lab init: {argv[0]}: {e}\n".encode())
    finally:
        os._exit(127)


class Init:
    """The loop: the socket, SIGCHLD, SIGTERM, and the one start that is under way."""

    def __init__(self, sock, lines, specs, held):
        self.sock, self.lines, self.held = sock, lines, held
        self.services = {s["name"]: Service(s) for s in specs}
        self.queue = []             # (service, reply id or None), to be started in turn
        self.current = None         # (service, reply id, deadline) that is starting
        self.check = 0              # pid of its readiness program
        self.next_check = 0.0
        self.stopping = {}          # service name -> (reply id, deadline)
        self.leaving = False        # SIGTERM came
        self.null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)

    def tell(self, **message):
        try:
            rpc.send(self.sock, message)
        except OSError:
            pass

    def report(self):
        self.tell(services={n: s.show() for n, s in self.services.items()})

    def reply(self, request_id, error=None):
        if request_id is not None:
            self.tell(id=request_id, ok=error is None, what=error)

    # --- starting, one service at a time ---

    def step(self):
        if self.current is None and self.queue:
            service, request_id = self.queue.pop(0)
            service.spawn()
            self.current = (service, request_id, time.monotonic() + service.timeout)
            self.check, self.next_check = 0, 0.0
            if service.ready is None:
                self.started(None)
            self.report()
        if self.current is None:
            return
        service, _, deadline = self.current
        if time.monotonic() > deadline:
            self.started(f"{service.name} runs but does not answer within {service.timeout} s")
        elif not self.check and time.monotonic() >= self.next_check:
            self.check = spawn(service.ready, None, self.null)

    def started(self, error):
        """Ends the current start, with success or with an error."""
        service, request_id, _ = self.current
        self.current = None
        if self.check:
            try:
                os.kill(self.check, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if error is None:
            service.state = "running"
        else:
            for _, waiting in self.queue:
                self.reply(waiting, f"not started: {error}")
            self.queue = []
        self.report()
        self.reply(request_id, error)

    # --- children ---

    def reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.ended(pid, os.waitstatus_to_exitcode(status))

    def ended(self, pid, code):
        if pid == self.check:
            self.check = 0
            self.next_check = time.monotonic() + CHECK_SECONDS
            if self.current and code == 0:
                self.started(None)
            return
        for service in self.services.values():
            if service.pid == pid:
                service.pid, service.state, service.code = 0, "exited", code
                if self.current and self.current[0] is service:
                    self.started(f"{service.name} ended with {code} while starting")
                    service.state = "exited"
                request_id, _ = self.stopping.pop(service.name, (None, 0))
                self.report()
                self.reply(request_id)

    # --- requests ---

    def handle(self, request):
        request_id, name = request.get("id"), request.get("name")
        if request.get("op") == "boot":
            last = len(self.services) - 1
            for i, service in enumerate(self.services.values()):
                self.queue.append((service, request_id if i == last else None))
            if last < 0:
                self.reply(request_id)
            return
        service = self.services.get(name)
        if service is None:
            self.reply(request_id, f"no service '{name}' here; there are: "
                                   f"{', '.join(self.services) or 'none'}")
        elif request["op"] == "start":
            if service.pid:
                self.reply(request_id, f"{name} runs already")
            else:
                self.queue.append((service, request_id))
        elif request["op"] == "stop":
            self.stop(service, request_id)

    def stop(self, service, request_id):
        if not service.pid:
            self.reply(request_id)
            return
        os.kill(service.pid, signal.SIGTERM)
        self.stopping[service.name] = (request_id, time.monotonic() + services.STOP_SECONDS)

    def expire(self):
        for name, (request_id, deadline) in list(self.stopping.items()):
            if time.monotonic() > deadline:
                del self.stopping[name]
                self.reply(request_id, f"{name} does not end within {services.STOP_SECONDS} s "
                                       "of SIGTERM")

    def leave(self):
        """SIGTERM: stops the services, last first, each within its time; then the end."""
        self.queue, self.current, self.leaving = [], None, True
        for service in reversed(list(self.services.values())):
            if service.pid:
                self.stop(service, None)
                while service.pid and service.name in self.stopping:
                    time.sleep(CHECK_SECONDS / 5)
                    self.reap()
                    self.expire()
        sys.exit(0)

    def run(self):
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        asked = []
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
        selector = selectors.DefaultSelector()
        selector.register(wake_r, selectors.EVENT_READ)
        selector.register(self.sock, selectors.EVENT_READ)
        self.report()
        self.handle_buffered()      # a request may have come in one piece with `go`
        while True:
            busy = self.current or self.stopping
            for key, _ in selector.select(CHECK_SECONDS / 2 if busy else None):
                if key.fileobj == wake_r:
                    os.read(wake_r, 4096)
                elif not self.read_request():
                    selector.unregister(self.sock)      # labd is gone; the node lives on
            if asked:
                self.leave()
            self.reap()
            self.step()
            self.expire()

    def read_request(self):
        request = self.lines.next()
        if request is None:
            return False
        self.handle(request)
        self.handle_buffered()
        return True

    def handle_buffered(self):
        while b"\n" in self.lines.buffer:
            self.handle(self.lines.next())
        self.step()


def become_pid_1(sock, config):
    """Joins the control group, makes the namespaces, forks; only pid 1 returns."""
    with open(os.path.join(config["cgroup"], "cgroup.procs"), "w", encoding="ascii") as f:
        f.write("0")
    syscalls.unshare(syscalls.CLONE_NODE)
    pid = os.fork()
    if pid:
        rpc.send(sock, {"pid": pid})
        os._exit(0)
    os.setsid()


def main():
    sock = socket.socket(fileno=int(sys.argv[1]))
    lines = rpc.Lines(sock)
    config = lines.next()
    try:
        become_pid_1(sock, config)
        if not (lines.next() or {}).get("go"):
            sys.exit(1)
        syscalls.set_name("lab-" + node_name(config["number"]))
        socket.sethostname(node_name(config["number"]))
        # Held until death: /dev/lab, and the loop, so that no one else is given its number.
        held = disk.hold_dev_lab(), os.open(config["loop"], os.O_RDONLY | os.O_CLOEXEC)
        rootfs.build(config)
        net.configure_node(config["number"])
        os.environ.clear()
        os.environ.update(clean_environment(), LAB_BMC="/run/lab/bmc.sock")
    except (OSError, LabError, subprocess.SubprocessError) as e:
        rpc.send(sock, {"failed": str(e)})
        sys.exit(1)
    Init(sock, lines, config["services"], held).run()


if __name__ == "__main__":
    main()
