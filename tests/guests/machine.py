# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU machines that run the guests of this folder: a QMP client, and serial lines with the
host's time.

    log = SerialLog("vm.log")
    with Machine(elf, "disk.img", log, node="n1") as m:
        m.wait(lambda: m.stamps and m.stamps[-1].sequence >= 20, "20 stamps")
        m.qmp("system_powerdown")
"""
import json
import socket
import subprocess
import tempfile
import threading
import time

from common import poll
from witness_judge import parse_line

RAM_KIB = 128 * 1024 + 8     # no multiple of 256: see README.md
WAIT_SECONDS = 20


class QmpError(Exception):
    """What QEMU answered instead of a result, or that it did not answer."""


class Qmp:
    """One QMP connection on a socket that is connected. Events are kept in .events."""

    def __init__(self, sock, timeout=WAIT_SECONDS):
        self.sock, self.events, self.buffer = sock, [], b""
        sock.settimeout(timeout)
        self._read()
        self("qmp_capabilities")

    def _read(self):
        while b"\n" not in self.buffer:
            try:
                more = self.sock.recv(65536)
            except OSError as e:
                raise QmpError(f"no answer: {e}") from e
            if not more:
                raise QmpError("QEMU closed the connection")
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def __call__(self, command, **arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        message = {"execute": command, "arguments": arguments}
        self.sock.sendall(json.dumps(message).encode())
        while True:
            answer = self._read()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def close(self):
        self.sock.close()


class SerialLog:
    """Lines of any number of machines in one file, as witness_judge.py reads them."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.file = open(path, "a", encoding="utf-8")       # closed by close()

    def add(self, node, text):
        with self.lock:
            line = f"{time.monotonic():.6f} {node} {text}\n"
            self.file.write(line)
            self.file.flush()
        return parse_line(line)

    def close(self):
        self.file.close()


class Machine:
    """A QEMU with one of our guests in it. `incoming`: waits for a migration to listen() on.

    `kernel` is the witness, or that of the Linux guest with its `initramfs`. `ram_file` is then
    its memory, `error` are options of QEMU's blkdebug under the disk.
    """

    def __init__(self, kernel, image, log, node="n1", options="", incoming=False, ram_file=None,
                 machine="pc", is_locked=True, error="", initramfs=None):
        self.node, self.log, self.lines, self.errors = node, log, [], []
        ours, theirs = socket.socketpair()
        argv = self._argv(image, machine, is_locked, error, ram_file, theirs.fileno())
        argv += ["-kernel", kernel, "-append", options]
        if initramfs:
            argv += ["-initrd", initramfs]
        if incoming:
            argv += ["-incoming", "defer"]
        self.stderr = tempfile.TemporaryFile()      # closed by close()
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.stderr,
            pass_fds=[theirs.fileno()])
        theirs.close()
        self.reader = threading.Thread(target=self._read_serial)
        self.reader.start()
        try:
            self.qmp = Qmp(ours)
        except QmpError:
            ours.close()
            self.kill()
            raise QmpError(f"QEMU did not start: {self.last_words()}") from None

    @staticmethod
    def _argv(image, machine, is_locked, error, ram_file, qmp_fd):
        file = f"driver=file,locking={'auto' if is_locked else 'off'},filename={image}"
        if error:
            image_of = ",".join("image." + option for option in file.split(","))
            file = f"driver=blkdebug,{image_of},{error}"
        disk = ",".join("file." + option for option in file.split(","))
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-vga", "none",
                "-display", "none", "-accel", "tcg", "-m", f"{RAM_KIB}K"]
        if ram_file:
            argv += ["-object", f"memory-backend-file,id=ram,size={RAM_KIB}K,share=on,"
                                f"mem-path={ram_file}"]
            machine += ",memory-backend=ram"
        return argv + [
            "-machine", machine,
            "-blockdev", f"driver=raw,node-name=disk,{disk}",
            "-device", "virtio-blk-pci,drive=disk,disable-legacy=off",
            "-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
            "-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def _read_serial(self):
        for raw in self.process.stdout:
            self.lines.append(self.log.add(self.node, raw.decode("utf-8", "replace").strip()))

    def last_words(self):
        self.stderr.seek(0)
        return self.stderr.read().decode("utf-8", "replace").strip()

    @property
    def stamps(self):
        return [line for line in self.lines if line.kind == "W"]

    @property
    def sequence(self):
        return self.stamps[-1].sequence if self.stamps else 0

    def said(self, kind):
        return [line for line in self.lines if line.kind == kind]

    def wait(self, predicate, what, timeout=WAIT_SECONDS):
        """Polls until predicate() is true and returns it; a deadline missed is an error."""
        def settled():
            return predicate() or self.process.poll() is not None
        poll(settled, timeout)
        value = predicate()
        if not value:
            tail = [line.text for line in self.lines[-5:]]
            raise AssertionError(f"{self.node}: {what}: not within {timeout:g} s; "
                                 f"{self.last_words()}; last lines {tail}")
        return value

    def wait_sequence(self, sequence, timeout=WAIT_SECONDS):
        self.wait(lambda: self.sequence >= sequence, f"stamp {sequence}", timeout)

    def listen(self, uri):
        self.qmp("migrate-incoming", uri=uri)

    def migrate(self, uri, timeout=WAIT_SECONDS, mib_s=None):
        """Returns what query-migrate says at the end; that end must be `completed`."""
        if mib_s:
            self.qmp("migrate-set-parameters", max_bandwidth=mib_s << 20)
        self.qmp("migrate", uri=uri)

        def ended():
            info = self.qmp("query-migrate")
            if info.get("status") in ("failed", "cancelled"):
                raise QmpError(f"migration {info['status']}: {info.get('error-desc')}")
            return info if info.get("status") == "completed" and "downtime" in info else None
        return self.wait(ended, "migration completed", timeout)

    def wait_end(self, timeout=WAIT_SECONDS):
        """The exit code of a QEMU that ends by itself."""
        code = self.process.wait(timeout)
        self.reader.join(timeout)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.stderr.close()
        if hasattr(self, "qmp"):
            self.qmp.close()
