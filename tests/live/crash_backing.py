# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations of crash_model.py as requests to the coordinator's file system (backing_tool), and the
same requests again after a crash: each happens once."""
import os
import socket
import stat
import struct
import subprocess
import threading
import time

import crash_model
from crash_points import Crash

MOUNT = 7
NEW, REDO, REPLAY, SERVE = 0, 1, 2, 255
REQUEST = 16
AT_RESEND = 12                  # in a frame without its length
TIME = struct.pack("<qI", 0, 0)
SET_MODE, SET_SIZE, APPEND, EXCHANGE = 1, 8, 1, 2
ERROR = struct.Struct("<HHQHB")     # type, slot, seq, error, kind of a reply


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def text(value):
    value = value.encode()
    return struct.pack("<H", len(value)) + value


def blob(value):
    return struct.pack("<I", len(value)) + value


def frame(slot, seq, number, fields):
    """doc/format-csv.md, without the length in front; asked for by root with umask 0."""
    return struct.pack("<HHQBIIIH24xB", REQUEST, slot, seq, 0, 0, 0, 0, 0, number) + fields


class Tool:
    """backing_tool on a mounted XFS."""

    def __init__(self, program, root, is_lying=False):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("")               # any name that is free
        listener.listen(64)
        self.name = listener.getsockname()
        argv = [program] + ["--lie"] * is_lying + [root, str(listener.fileno())]
        self.process = subprocess.Popen(argv, pass_fds=[listener.fileno()], text=True,
                                        stdout=subprocess.PIPE)
        listener.close()
        self.records = {}               # slot: (seq, is_done)
        for line in self.process.stdout:
            if line == "ready\n":
                return
            mount, slot, seq, what = line.split()
            assert int(mount) == MOUNT
            self.records[int(slot)] = (int(seq), what == "done")
        raise Crash(f"backing_tool ended with {self.process.wait()}")

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.name)
        return sock

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def read_all(sock, length):
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            raise Crash("backing_tool has hung up")
        data += piece
    return data


def ask(sock, mode, request):
    """The frame of the reply, without its length."""
    sock.sendall(struct.pack("<BQI", mode, MOUNT, len(request)) + request)
    return read_all(sock, struct.unpack("<I", read_all(sock, 4))[0])


def serve(tool):
    with tool.connect() as sock:
        sock.sendall(bytes([SERVE]))
        assert read_all(sock, 4) == bytes(4)


def error_of(reply):
    return ERROR.unpack(reply[:ERROR.size])[3]


class Worker:
    """One slot of the mount, in a folder of its own."""

    def __init__(self, tool, slot, root):
        self.sock, self.slot, self.seq = tool.connect(), slot, 0
        self.tree = crash_model.Tree()
        # Its folder, by who is there already.
        reply = self.request(6, root + text(f"w{slot}") + struct.pack("<I", 0o755))
        self.tree.names[""].handle = reply[ERROR.size:ERROR.size + 12]

    def request(self, number, fields, op=None):
        op = {} if op is None else op
        self.seq += 1
        request = frame(self.slot, self.seq, number, fields)
        op.update(seq=self.seq, frame=request, begin=now())
        op["reply"] = ask(self.sock, NEW, request)
        op["ack"] = now()
        error = error_of(op["reply"])
        if error:
            raise Crash(f"slot {self.slot}, request {self.seq}: {os.strerror(error)}")
        return op["reply"]

    def h(self, name):
        return self.tree.names[name].handle

    def entry(self, name):
        parent, _, last = name.rpartition("/")
        return self.h(parent) + text(last)

    def run(self, op):
        words = {k: v for k, v in op.items() if k != "do"}
        number, fields = getattr(self, "do_" + op["do"])(**words)
        reply = self.request(number, fields, op)
        self.tree.apply(op)
        if op["do"] in ("mkdir", "create", "symlink"):
            self.tree.names[op["name"]].handle = reply[ERROR.size:ERROR.size + 12]

    def do_mkdir(self, name, mode):
        return 6, self.entry(name) + struct.pack("<I", mode)

    def do_create(self, name, mode):
        return 5, self.entry(name) + struct.pack("<IQ", stat.S_IFREG | mode, 0)

    def do_write(self, name, at, length, tag):
        return 16, self.h(name) + struct.pack("<QI", at, 0) + blob(crash_model.pattern(tag, length))

    def do_append(self, name, length, tag):
        return 16, self.h(name) + struct.pack("<QI", 0, APPEND) + \
            blob(crash_model.pattern(tag, length))

    def _set(self, name, valid, mode=0, size=0):
        return 3, self.h(name) + struct.pack("<IIIIQ", valid, mode, 0, 0, size) + TIME + TIME

    def do_truncate(self, name, size):
        return self._set(name, SET_SIZE, size=size)

    def do_chmod(self, name, mode):
        return self._set(name, SET_MODE, mode=mode)

    def do_rename(self, name, to):
        return 10, self.entry(name) + self.entry(to) + struct.pack("<I", 0)

    def do_exchange(self, name, to):
        return 10, self.entry(name) + self.entry(to) + struct.pack("<I", EXCHANGE)

    def do_link(self, name, to):
        return 11, self.h(name) + self.entry(to)

    def do_symlink(self, name, target):
        return 9, self.entry(name) + blob(target.encode())

    def do_unlink(self, name):
        return 7, self.entry(name)

    def do_rmdir(self, name):
        return 8, self.entry(name)

    def do_setxattr(self, name, key, length, tag):
        return 20, self.h(name) + text(key) + struct.pack("<I", 0) + \
            blob(crash_model.pattern(tag, length))

    def do_removexattr(self, name, key):
        return 23, self.h(name) + text(key)

    def do_fallocate(self, name, mode, at, length):
        return 24, self.h(name) + struct.pack("<IQQ", mode, at, length)

    def do_clone(self, name, to):
        length = len(self.tree.names[name].data)
        return 26, self.h(name) + struct.pack("<Q", 0) + self.h(to) + struct.pack("<QQ", 0, length)

    def do_fsync(self, name):
        return 17, self.h(name) + b"\0"


def work(tool, root_ino, seed, workers, count):
    """All workers at once; their operations, with what was asked and answered when."""
    serve(tool)
    root = struct.pack("<QI", *root_ino)
    everyone = [Worker(tool, slot, root) for slot in range(workers)]
    done, failed = [[] for _ in everyone], []
    begin = now()

    def go(w):
        maker = crash_model.Maker(seed, w.slot)
        try:
            for _ in range(count):
                op = maker.make()
                done[w.slot].append(op)
                w.run(op)
        except (Crash, OSError, AssertionError) as e:
            failed.append(e)
    threads = [threading.Thread(target=go, args=(w,)) for w in everyone]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]
    return {"workers": done, "begin": begin, "end": now()}


CHANGES_NOTHING = ("fsync",)


def mode_of(op, record):
    """As a new coordinator decides by what the slot's record says."""
    if op["do"] in CHANGES_NOTHING:
        return NEW
    seq, is_done = record or (0, False)
    if seq > op["seq"]:
        raise Crash(f"the record of {crash_model.told(op)} is of request {seq}, which had not begun")
    if seq < op["seq"]:
        return NEW
    return REPLAY if is_done else REDO


def resend(tool, promises, ns, always=None):
    """What had no answer, intents first; and of who waits for none the last answer once more.
    `always`: a planted bug, the mode of all."""
    asked = []
    for w, ops in enumerate(promises.workers):
        record, op = tool.records.get(w), promises.under_way(w, ns)
        answered = [o for o in ops[:promises.done[w]] if o["do"] not in CHANGES_NOTHING]
        if answered and (record is None or record < (answered[-1]["seq"], True)):
            raise Crash(f"worker {w}: {crash_model.told(answered[-1])} was answered, and its record "
                        f"says {record}")
        if op:
            asked.append((mode_of(op, record), w, op))
        elif answered:
            asked.append((REPLAY, w, answered[-1]))
    for mode, w, op in sorted(asked, key=lambda a: a[0] != REDO):
        again = bytearray(op["frame"])
        again[AT_RESEND] = 1
        with tool.connect() as sock:
            reply = ask(sock, mode if always is None else always, bytes(again))
        if error_of(reply):
            raise Crash(f"worker {w}: {crash_model.told(op)} again: {os.strerror(error_of(reply))}")
        if mode == REPLAY and op["ack"] <= ns and reply != op["reply"]:
            raise Crash(f"worker {w}: {crash_model.told(op)} is answered otherwise the second time")
    serve(tool)
    return [a[0] for a in asked]


def check_once(promises, ns, look):
    """After the resends all that had begun has happened, whole, once."""
    for w in range(len(promises.workers)):
        tree, op = promises.trees[w].copy(), promises.under_way(w, ns)
        if op:
            tree.apply(op)
        wrong = crash_model.difference(look(w), crash_model.shown(tree))
        if wrong:
            raise Crash(f"worker {w}, {promises.done[w]} operations answered, and again "
                        f"{crash_model.told(op)}: {wrong}")
