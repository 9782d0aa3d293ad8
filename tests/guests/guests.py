# SPDX-License-Identifier: GPL-2.0-or-later
"""Two (or more) QEMU guests with Debian's own kernel, a network between them and a shared disk.

    with Guests("/tmp/x", programs=installed_tree) as g:
        g.run("n1", "uname -r")
        g.kill("n2")                # power off, as a BMC does it; g.start("n2") boots it again

Answers as tests/lab's Lab where the same is asked, so that tests/live/cluster.py works on both.
Nothing of the host's network is used: the links are pairs of unix sockets. Programs are run by
QEMU's guest agent over a virtio serial port; a second port is the machine's BMC, to which the
fence agent in the guest speaks (fence_guest).
"""
import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time

from common import LabError, command, poll, wait_until
from lablib import Result
from machine import Qmp, QmpError

HERE = os.path.dirname(os.path.realpath(__file__))
BOOT_SECONDS = 300
ANSWER_SECONDS = 60
RUN_SECONDS = 120
END_SECONDS = 5             # for a program to end after its deadline
MEMORY_MIB = 1024
LINKS = 2
WITNESS_BYTES = 64 << 20


def image():
    """The folder of kernel, initramfs and root file system; made if it is not there."""
    done = subprocess.run([os.path.join(HERE, "linux", "make-cluster-image")],
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def pack(tree, path):
    """A folder as a file system that the guests mount at /usr/local, read-only."""
    used = int(command(["du", "-s", "-B1", tree], timeout=60).split()[0])
    command(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", tree, path,
             f"{(used * 5 // 4 + (8 << 20)) >> 10}k"], timeout=120)


class Agent:
    """QEMU's guest agent on a socket. One command at a time; programs run side by side."""

    def __init__(self, path):
        self.path, self.lock, self.sock, self.buffer = path, threading.Lock(), None, b""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(self.path)
        token = int(time.monotonic() * 1000)
        self._send("guest-sync", {"id": token})
        while self._read().get("return") != token:
            pass

    def _send(self, name, arguments):
        self.sock.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")

    def _read(self):
        while b"\n" not in self.buffer:
            more = self.sock.recv(1 << 20)
            if not more:
                raise LabError("the guest's agent is gone")
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def __call__(self, name, **arguments):
        with self.lock:
            if not self.sock:
                raise LabError("the guest has not been waited for")
            try:
                self._send(name, {k.replace("_", "-"): v for k, v in arguments.items()})
                answer = self._read()
            except OSError as e:
                raise LabError(f"the guest's agent does not answer: {e}") from e
        if "error" in answer:
            raise LabError(f"{name}: {answer['error']['desc']}")
        return answer["return"]

    def close(self):
        if self.sock:
            self.sock.close()


class Running:
    """A program in a guest."""

    def __init__(self, agent, pid, words, deadline):
        self.agent, self.pid, self.words, self.deadline = agent, pid, words, deadline
        self.result = None

    def poll(self):
        """None while it runs."""
        if self.result is None:
            state = self.agent("guest-exec-status", pid=self.pid)
            if state["exited"]:
                out, err = (base64.b64decode(state.get(k, "")).decode("utf-8", "replace")
                            for k in ("out-data", "err-data"))
                self.result = Result(state.get("exitcode", 128 + state.get("signal", 0)), out, err)
        return self.result

    def wait(self):
        # Its deadline is held in the guest; this one is for a guest that stands still.
        left = max(0, self.deadline - time.monotonic()) + 2 * END_SECONDS
        result = wait_until(self.poll, left, f"end of {self.words}", interval=0.05)
        if result.code in (124, 137):
            raise LabError(f"{self.words}: no end within its time; {result.stderr[-400:]}")
        return result


class Guest:
    """One machine: its QEMU, serial log, agent."""

    def __init__(self, guests, number):
        self.guests, self.number, self.name = guests, number, f"n{number}"
        self.boots, self.process, self.agent, self.qmp = 0, None, None, None

    def path(self, name):
        return os.path.join(self.guests.dir, f"{self.name}.{name}")

    def _network(self):
        argv = []
        for link in range(LINKS):
            other = 3 - self.number
            local, remote = (self.guests.path(f"link{link}.{n}") for n in (self.number, other))
            if os.path.exists(local):
                os.unlink(local)
            argv += ["-netdev", f"dgram,id=link{link},local.type=unix,local.path={local},"
                                f"remote.type=unix,remote.path={remote}",
                     "-device", f"virtio-net-pci,netdev=link{link},romfile=,"
                                f"mac=52:54:00:77:0{link}:0{self.number}"]
        return argv

    def _disks(self):
        g = self.guests
        if not os.path.exists(self.path("root")):
            command(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b",
                     f"{g.image}/root.img", self.path("root")])
        argv = ["-drive", f"file={self.path('root')},format=qcow2,if=none,id=root",
                "-device", "virtio-blk-pci,drive=root"]
        for name, path, more in (("programs", g.programs, "read-only=on,cache.no-flush=on"),
                                 ("shared", g.disk, "cache.direct=on,aio=threads"),
                                 ("witness", g.witness, "cache.direct=on,aio=threads")):
            argv += ["-blockdev", f"driver=raw,node-name={name},file.driver=file,"
                     f"file.locking=off,file.filename={path}," + ",".join(
                         f"file.{o}" if o.startswith("aio") else o for o in more.split(","))
                     + (",file.cache.direct=on" if "direct" in more else ""),
                     "-device", f"virtio-blk-pci,drive={name},share-rw=on"]
        return argv

    def boot(self):
        self.boots += 1
        ours, theirs = socket.socketpair()
        ports = []
        for port in ("agent", "bmc"):
            if os.path.exists(self.path(port)):
                os.unlink(self.path(port))
            ports += ["-chardev", f"socket,id={port},path={self.path(port)},server=on,wait=off",
                      "-device", f"virtserialport,chardev={port},name={port}"]
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-vga", "none", "-display",
                "none", "-machine", "pc", "-accel", self.guests.accel, "-cpu", "max", "-m",
                f"{MEMORY_MIB}M", "-kernel", f"{self.guests.image}/vmlinux",
                "-initrd", f"{self.guests.image}/initramfs",
                "-append", f"console=ttyS0 quiet panic=-1 node={self.number}",
                "-chardev", f"file,id=serial,path={self.path('serial')},append=on",
                "-serial", "chardev:serial", "-device", "virtio-serial-pci", *ports,
                "-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon",
                "chardev=qmp,mode=control", "-no-reboot", *self._disks(), *self._network()]
        with open(self.path("qemu"), "ab") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                            pass_fds=[theirs.fileno()])
        theirs.close()
        try:
            self.qmp = Qmp(ours)
        except QmpError as e:
            self.kill()
            raise LabError(f"{self.name}: QEMU did not start: {self.words('qemu')}") from e
        self.agent = Agent(self.path("agent"))
        threading.Thread(target=self.guests.serve_bmc, args=(self.path("bmc"),),
                         daemon=True).start()

    def words(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def wait_up(self):
        def is_up():
            if self.process.poll() is not None:
                raise LabError(f"{self.name}: QEMU ended: {self.words('qemu')}")
            with open(self.path("serial"), encoding="utf-8", errors="replace") as f:
                return f.read().count(f"guest-start {self.name} done") >= self.boots
        wait_until(is_up, BOOT_SECONDS, f"{self.name}: boot", interval=0.1,
                   hint=self.words("serial") if os.path.exists(self.path("serial")) else "")
        self.agent.connect()

    def ensure_up(self):
        """Also when somebody else, such as a fence, has switched it on."""
        with self.guests.power_lock:
            if not self.is_on():
                self.boot()
        if not self.agent.sock:
            self.wait_up()

    def is_on(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Power off: after this returns it does nothing any more, as its process is reaped."""
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        for part in (self.agent, self.qmp):
            if part:
                part.close()


class Guests:
    """The machines, their disk and their BMC."""

    def __init__(self, folder, programs, disk_bytes=2 << 30, nodes=2, accel="tcg", image_dir=None):
        self.dir, self.accel = os.path.realpath(folder), accel
        self.image = image_dir or image()
        self.programs, self.disk = programs, self.path("shared.img")
        self.witness = self.path("witness.img")
        for path, size in ((self.disk, disk_bytes), (self.witness, WITNESS_BYTES)):
            with open(path, "wb") as f:
                f.truncate(size)
        self.guests = {f"n{i}": Guest(self, i) for i in range(1, nodes + 1)}
        self.nodes = list(self.guests)
        self.power_lock, self.power_log = threading.Lock(), []
        self.may_switch = True      # False: the BMC refuses to switch, as one without power does

    def path(self, name):
        return os.path.join(self.dir, name)

    def __enter__(self):
        try:
            for guest in self.guests.values():
                guest.boot()
            for guest in self.guests.values():
                guest.wait_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for guest in self.guests.values():
            guest.kill()

    # --- as the lab

    def node(self, name):
        return {"state": "on" if self.guests[name].is_on() else "off"}

    def popen(self, name, program, timeout=RUN_SECONDS, stdin=None):
        """A shell line, or a list of words. Returns Running."""
        words = ["/bin/bash", "-c", program] if isinstance(program, str) else list(program)
        argv = ["-k", str(END_SECONDS), str(timeout), *words]
        more = {"input_data": base64.b64encode(stdin).decode()} if stdin is not None else {}
        agent = self.guests[name].agent
        pid = agent("guest-exec", path="/usr/bin/timeout", arg=argv, capture_output=True,
                    env=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                         "HOME=/root", "LANG=C.UTF-8"], **more)["pid"]
        return Running(agent, pid, f"{name}: {program}", time.monotonic() + timeout)

    def run(self, name, program, timeout=RUN_SECONDS, check=True, stdin=None):
        result = self.popen(name, program, timeout, stdin).wait()
        if check and result.code:
            raise LabError(f"{name}: {program}: exit {result.code}: "
                           f"{(result.stderr or result.stdout).strip()[-600:]}")
        return result

    def put(self, name, path, data, mode=0o644):
        self.run(name, f"mkdir -p {os.path.dirname(path)} && cat > {path} && "
                       f"chmod {mode:o} {path}", stdin=data)

    def everywhere(self, program, timeout=RUN_SECONDS):
        """On all nodes at once; they must all succeed."""
        running = {n: self.popen(n, program, timeout) for n in self.nodes}
        results = {n: r.wait() for n, r in running.items()}
        for name, result in results.items():
            if result.code:
                raise LabError(f"{name}: {program}: exit {result.code}: {result.stderr[-600:]}")
        return results

    def kill(self, name):
        with self.power_lock:
            self.guests[name].kill()

    def start(self, name, wait=True):
        with self.power_lock:
            self.guests[name].boot()
        if wait:
            self.guests[name].wait_up()

    # --- the BMC

    def serve_bmc(self, path):
        """Lines `ID on|off|status NODE` of one guest, answered by `ID WORD`, until it is gone."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            with sock.makefile("rw") as port:
                for line in port:
                    words = line.split()
                    if len(words) == 3:
                        port.write(f"{words[0]} {self._power(*words[1:])}\n")
                        port.flush()
        except (OSError, ValueError):
            pass        # the machine was killed
        finally:
            sock.close()

    def _power(self, action, name):
        self.power_log.append((time.monotonic(), action, name))
        if name not in self.guests or action not in ("on", "off", "status"):
            return "refused"
        if action != "status" and not self.may_switch:
            return "refused"
        if action == "off":
            self.kill(name)
        elif action == "on" and not self.guests[name].is_on():
            self.start(name, wait=False)
        return "on" if self.guests[name].is_on() else "off"


def installed(build, target, extra=()):
    """`make install` of a build folder into target, with programs for the tests beside them."""
    shutil.rmtree(target, ignore_errors=True)
    command(["make", "-s", "-C", build, "install", f"DESTDIR={target}.d"], timeout=300)
    os.rename(f"{target}.d/usr/local", target)
    shutil.rmtree(f"{target}.d")
    for name in extra:
        shutil.copy(name, os.path.join(target, "sbin"))
    return target


def settled(guests, name, predicate, timeout, what):
    """Polls a predicate that may fail for as long as the guest is not there."""
    def ask():
        try:
            return predicate()
        except LabError:
            return None
    value = poll(ask, timeout, 0.2)
    if not value:
        raise LabError(f"{name}: {what}: not within {timeout:g} s")
    return value
