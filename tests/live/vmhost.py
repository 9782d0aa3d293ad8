# SPDX-License-Identifier: GPL-2.0-or-later
"""vm-host processes, tiny guests for them, and a clusterd made of Python that they attach to.

No lab is needed: the processes of "two nodes" have run dirs of their own, and migrate between
127.0.0.2 and 127.0.0.3.
"""
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import traceback

from common import poll, read, wait_until

BUILD = os.path.realpath(os.environ.get("CLUSTERD_BUILD", "."))
VM_HOST = os.path.join(BUILD, "migrate", "vm-host")
UUID = "6f2b1c8e-0d3a-4b5c-8d9e-0f1a2b3c4d5e"
SECONDS = 30    # for what is not instant, on a machine that is busy

RUNS = ("starting ready running paused halted io-error incoming shutdown crashed stopping stopped "
        "failed").split()
PHASES = "none check setup memory state storage-handle online done failed cancelled".split()
VERSION, ATTACH, STATUS, STATE = 1, 1, 2, 3
SOURCE, DESTINATION = 1, 2

# A guest without an operating system (multiboot): says a dot on its serial line for each round over
# its memory, which it checks ("X") and changes, and obeys ("!") the power button unless it is DEAF.
# The ACPI ports are where SeaBIOS puts them. It is few PAGES that it changes, and then it idles: the
# more, the likelier QEMU under TCG forgets that it has (bare_migrate; doc/status.md).
GUEST = """
        .set FLAGS, 3
        .text
        .align 4
        .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
        .code32
        .globl _start
_start: cli
        cld
        xorl %ebx, %ebx
        movl $0x400000, %edi
        movl $(PAGES << 10), %ecx
        xorl %eax, %eax
        rep stosl
        movw $0x602, %dx
        movw $0x100, %ax
        outw %ax, %dx
round:  movl $0x400000, %edi
        movl $(PAGES << 10), %ecx
word:   cmpl %ebx, (%edi)
        jne bad
        incl (%edi)
        addl $4, %edi
        loop word
        incl %ebx
        movl $IDLE, %ecx
idle:   loop idle
        movb $'.', %al
        call say
        movw $0x600, %dx
        inw %dx, %ax
        testw $0x100, %ax
        jz round
        .if DEAF
        jmp round
        .endif
        movb $'!', %al
        call say
        movw $0x604, %dx
        movw $0x2000, %ax
        outw %ax, %dx
off:    jmp off
bad:    movb $'X', %al
        call say
        jmp bad
say:    movw $0x3f8, %dx
        outb %al, %dx
        ret
"""


def build_guest(directory, deaf=False, pages=16, idle=1 << 21):
    """The path of the guest's kernel; idle: turns that it idles in each round."""
    elf = os.path.join(directory, "deaf.elf" if deaf else "guest.elf")
    run = subprocess.run(["as", "--32", "--defsym", f"DEAF={int(deaf)}", "--defsym",
                          f"PAGES={pages}", "--defsym", f"IDLE={idle}", "-o", elf + ".o"],
                         input=GUEST, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    subprocess.run(["ld", "-m", "elf_i386", "-n", "-Ttext", "0x100000", "-e", "_start", "-z",
                    "noexecstack", "-o", elf, elf + ".o"], check=True)
    return elf


def boottime_ms():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)


def is_alive(pid):
    text = read(f"/proc/{pid}/stat")
    return bool(text) and text.rpartition(")")[2].split()[0] not in "ZX"


class Network:
    """A network of its own for vm-hosts, which can be cut: a namespace with nothing but loopback,
    which a process holds. Sockets with a path are not part of it."""

    def __init__(self):
        script = "ip link set lo up && echo up && exec cat"
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", script],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"
        self.inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]

    def cut(self):
        """From now on each packet is lost, and nobody is told."""
        subprocess.run(self.inside + ["nft", "-f", "-"], check=True, text=True, input="""
            table ip cut {
                chain input { type filter hook input priority 0; policy drop; }
            }""")

    def heal(self):
        subprocess.run(self.inside + ["nft", "delete", "table", "ip", "cut"], check=True)

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(timeout=SECONDS)
        self.holder.stdout.close()


class VmHost:
    """One vm-host process in a directory of its own; `inside`: argv that goes before."""

    def __init__(self, directory, definition, *options, instance=1, inside=()):
        self.dir = directory
        os.makedirs(self.dir, exist_ok=True)
        self.serial = os.path.join(self.dir, "serial.log")
        self.definition = os.path.join(self.dir, "vm.json")
        self.instance = instance
        with open(self.definition, "w", encoding="utf-8") as f:
            json.dump({"serial": {"log": self.serial}, **definition}, f)
        self.log = os.path.join(self.dir, "log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*inside, VM_HOST, "run", "--debug", "--definition", self.definition, "--run-dir",
                 self.dir, "--instance", f"{instance:x}", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.control = os.path.join(self.dir, f"vm-{UUID}.sock")
        wait_until(lambda: os.path.exists(self.control) or self.process.poll() is not None, SECONDS,
                   "the control socket is there")

    def call(self, command, *options, timeout=90):
        return subprocess.run([VM_HOST, command, "--uuid", UUID, "--run-dir", self.dir, *options],
                              capture_output=True, text=True, timeout=timeout, check=False)

    def status(self, *options):
        out = self.call("status", "--json", *options)
        return json.loads(out.stdout) if out.stdout else {"run": out.stderr}

    def run(self):
        return self.status()["run"]

    def wait(self, *runs, seconds=SECONDS):
        s = self.status("--wait", ",".join(runs), "--timeout", str(seconds * 1000))
        assert s["run"] in runs, f"{s['run']}, not {runs}\n{self.tail()}"
        return s

    def tail(self):
        lines = [line for line in read(self.log, "").splitlines() if "argv" not in line]
        return "\n".join(lines[-60:])

    def dots(self):
        text = read(self.serial, "")
        assert "X" not in text, "the guest's memory was damaged"
        return text.count(".")

    def computes(self, seconds=SECONDS):
        before = self.dots()
        wait_until(lambda: self.dots() > before + 5, seconds, "the guest gets on", hint=self.tail())

    def stands_still(self, seconds=0.5):
        """Looks twice, some time apart."""
        before = self.dots()
        time.sleep(seconds)
        return self.dots() == before

    def end(self):
        """Its exit code."""
        return self.process.wait(timeout=SECONDS)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=SECONDS)

    def close(self):
        """Leaves nothing behind."""
        pid = self.status().get("qemu_pid", 0) if self.process.poll() is None else 0
        if self.process.poll() is None:
            self.kill()
        assert poll(lambda: not pid or not is_alive(pid), SECONDS), f"QEMU {pid} lives"
        self.call("stop", "--deadline", "0")


class Console:
    """Reads a VM's serial line from its socket, each line with the host's time (SerialLog)."""

    def __init__(self, path, node, log):
        self.path, self.node, self.log, self.lines = path, node, log, []
        self.is_ending = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with socket.socket(socket.AF_UNIX) as s:
            if not poll(lambda: self.is_ending or s.connect_ex(self.path) == 0, SECONDS):
                return
            with s.makefile("rb") as lines:
                for raw in lines:
                    if self.is_ending:
                        return
                    self.lines.append(
                        self.log.add(self.node, raw.decode("utf-8", "replace").strip()))

    def sequence(self):
        return max([line.sequence for line in self.lines if line.kind == "W"], default=0)

    def gets_on(self, by=20, seconds=SECONDS):
        before = self.sequence()
        wait_until(lambda: self.sequence() > before + by, seconds, f"{self.node} stamps",
                   hint=str([line.text for line in self.lines[-5:]]))

    def close(self):
        self.is_ending = True
        self.thread.join(SECONDS)


class Peer:
    """A vm-host as it is attached, and what it is told."""

    def __init__(self):
        self.sock, self.attach, self.status = None, None, {}
        self.statuses, self.migration = [], None
        self.is_stop, self.stop_ms, self.is_paused = False, 0, False
        self.is_fresh, self.is_leased = True, True


class FakeClusterd:
    """clusterd of all "nodes" in one thread: one lock, leases that are renewed, transfers."""

    def __init__(self, directory, lease_ms=3000):
        self.path = os.path.join(directory, "clusterd.sock")
        self.lease_ms = lease_ms
        self.holder = None          # instance that has the lock
        self.is_transferring = True
        self.transferred = 0
        self.on_status = None       # called with (instance, status), under the lock
        self.lock = threading.RLock()
        self.peers = {}
        self.is_ending = False
        self.fault = None
        self.listener = self._listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _listen(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.bind(self.path)
        s.listen(8)
        return s

    def peer(self, instance):
        return self.peers.setdefault(instance, Peer())

    @contextlib.contextmanager
    def change(self):
        """Changes what is true; all are told."""
        with self.lock:
            yield self
            self._tell_all()

    def _state(self, instance, p):
        m = p.migration or {}
        until = boottime_ms() + self.lease_ms if p.is_leased else boottime_ms() - 1
        text = b""
        for key in ("listen", "peer"):
            value = m.get(key, "").encode()
            text += struct.pack("<H", len(value)) + value
        return (struct.pack("<HBBQBBIB", VERSION, STATE, self.holder == instance, until, p.is_fresh,
                            p.is_stop, p.stop_ms, p.is_paused) +
                struct.pack("<QBBB", m.get("id", 0), m.get("role", 0), m.get("cancelled", False),
                            m.get("peer_dead", False)) + text +
                struct.pack("<HQ", m.get("peer_port", 0), m.get("bandwidth", 0)))

    def _tell_all(self):
        for instance, p in self.peers.items():
            # A lease that is not renewed is not taken back either: nothing is said.
            if p.sock and p.is_leased:
                with contextlib.suppress(OSError):
                    p.sock.send(self._state(instance, p))

    def _take(self, sock, data):
        version, kind = struct.unpack_from("<HB", data)
        assert version == VERSION
        with self.lock:
            if kind == ATTACH:
                instance, incoming = struct.unpack_from("<QB", data, 19)
                p = self.peer(instance)
                p.sock, p.attach = sock, {"incoming": bool(incoming)}
            else:
                for instance in [i for i, p in self.peers.items() if p.sock is sock]:
                    self._take_status(instance, parse_status(data[3:]))
            self._tell_all()

    def _take_status(self, instance, status):
        p = self.peer(instance)
        p.status = status
        p.statuses.append(status)
        if self.on_status:
            self.on_status(instance, status)
        m = p.migration
        if not m or m["id"] != status["id"]:
            return
        if m["role"] == DESTINATION and status["port"]:
            for other in self.peers.values():
                if other.migration and other.migration["role"] == SOURCE:
                    other.migration["peer_port"] = status["port"]
        if m["role"] == SOURCE and status["phase"] == "storage-handle":
            self.transfer()

    def transfer(self):
        """The lock goes from the source to the destination, if nothing speaks against it."""
        with self.lock:
            ends = {p.migration["role"]: (i, p) for i, p in self.peers.items() if p.migration}
            if not self.is_transferring or len(ends) != 2 or self.holder != ends[SOURCE][0]:
                return
            if any(p.migration.get("cancelled") or p.migration.get("peer_dead")
                   for _, p in ends.values()):
                return
            self.holder = ends[DESTINATION][0]
            self.transferred += 1

    def _serve(self):
        try:
            self._serve_all()
        except Exception:
            self.fault = traceback.format_exc()
            raise

    def _serve_all(self):
        socks = {self.listener}
        renew = time.monotonic()
        while not self.is_ending:
            for sock in select.select(list(socks), [], [], 0.05)[0]:
                if sock is self.listener:
                    socks.add(sock.accept()[0])
                    continue
                try:
                    data = sock.recv(4096)
                except OSError:
                    data = b""
                if data:
                    self._take(sock, data)
                else:
                    self._drop(sock)
                    socks.discard(sock)
            if time.monotonic() >= renew:
                renew = time.monotonic() + self.lease_ms / 5000
                with self.lock:
                    self._tell_all()
        for sock in socks:
            sock.close()

    def _drop(self, sock):
        with self.lock:
            for p in self.peers.values():
                if p.sock is sock:
                    p.sock = None
        sock.close()

    def wait_status(self, instance, predicate, what, seconds=SECONDS):
        wait_until(lambda: predicate(self.peer(instance).status), seconds, what,
                   hint=f"{self.fault} {self.peer(instance).status}")

    def restart(self):
        """As if clusterd had been killed and started anew: it knows nothing of who is attached."""
        self.close()
        self.is_ending = False
        for p in self.peers.values():
            p.sock, p.attach, p.status = None, None, {}
        self.listener = self._listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self):
        self.is_ending = True
        self.thread.join(SECONDS)


def parse_status(data):
    """The body of a STATUS."""
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def text():
        nonlocal at
        n = take("H")
        at += n
        return data[at - n:at].decode()
    s = {"run": RUNS[take("B")], "qemu_pid": take("i"), "text": text()}
    s["id"], s["phase"] = take("Q"), PHASES[take("B")]
    s["port"] = take("H")
    s["total"], s["remaining"], s["sent"] = take("QQQ")
    s["passes"], s["dirty_rate"], s["rate"], s["downtime_ms"] = take("IQQI")
    s["address"], s["why"] = text(), text()
    assert at == len(data)
    return s
