# SPDX-License-Identifier: GPL-2.0-or-later
"""One JSON object a line over a Unix socket: request, any number of progress lines, reply.

A reply is {"ok": true, ...} or {"ok": false, "what": ..., "hint": ...}. A path
to a Unix socket has at most 107 bytes and pytest's directories are longer, so
both ends reach the socket through /proc/self/fd/<directory>.
"""
import json
import os
import socket

from common import LabError

LINE_MAX = 4 << 20


class _Short:
    """Context manager: a name below 108 bytes for a socket path of any length."""

    def __init__(self, path):
        self.directory, self.name = os.path.split(os.path.abspath(path))

    def __enter__(self):
        self.fd = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self.fd}/{self.name}"

    def __exit__(self, *_):
        os.close(self.fd)


def listen(path):
    """Binds a listening socket that only root may use."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _Short(path) as short:
        try:
            os.unlink(short)
        except FileNotFoundError:
            pass
        old = os.umask(0o177)
        try:
            sock.bind(short)
        finally:
            os.umask(old)
    sock.listen(64)
    return sock


def connect(path, timeout):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        with _Short(path) as short:
            sock.connect(short)
    except OSError:
        sock.close()
        raise
    return sock


def send(sock, obj):
    sock.sendall(json.dumps(obj).encode() + b"\n")


class Lines:
    """Reads JSON lines from a socket; next() returns None at the end."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def next(self):
        while b"\n" not in self.buffer:
            if len(self.buffer) > LINE_MAX:
                raise LabError("rpc: a line without end")
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        obj = json.loads(line)
        if not isinstance(obj, dict):
            raise LabError("rpc: not an object")
        return obj


def call(path, request, timeout, progress=None):
    """One request to labd. Returns the reply; raises LabError for every other outcome."""
    hint = "is the lab up? see labd.log in its directory, or `lab down`"
    try:
        with connect(path, timeout) as sock:
            send(sock, request)
            lines = Lines(sock)
            while True:
                reply = lines.next()
                if reply is None:
                    raise LabError(f"{request.get('op')}: the lab's daemon hung up", hint)
                if "progress" not in reply:
                    break
                if progress:
                    progress(reply["progress"])
    except socket.timeout:
        raise LabError(f"{request.get('op')}: no answer from the lab's daemon in {timeout:g} s",
                       hint)
    except (OSError, ValueError) as e:
        raise LabError(f"{request.get('op')}: cannot reach the lab's daemon at {path}: {e}", hint)
    if not reply.get("ok"):
        raise LabError(reply.get("what", "unknown error"), reply.get("hint", ""))
    return reply
