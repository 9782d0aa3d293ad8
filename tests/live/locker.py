#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""locker: locks files as it is told, line by line on standard input; one line of answer for each.

  open NAME PATH            close NAME            dup NAME NEW
  lock NAME sh|ex [START LEN]     waits            try NAME sh|ex [START LEN]
  unlock NAME [START LEN]         test NAME sh|ex [START LEN]
  ofd NAME sh|ex                  tryofd NAME sh|ex
  flock NAME sh|ex|un             tryflock NAME sh|ex
  count PATH TIMES          as often: waits for the lock, adds one to the number in the file
  flocks PATH TIMES         the same under flock

The first line is its process id. A signal that it handles ends a wait: EINTR. Errors: their names.
"""
import ctypes
import errno
import fcntl
import os
import signal
import struct
import sys

FLOCK = "hhqqi4x"
TYPES = {"sh": fcntl.F_RDLCK, "ex": fcntl.F_WRLCK, "un": fcntl.F_UNLCK}
WORDS = {"sh": fcntl.LOCK_SH, "ex": fcntl.LOCK_EX, "un": fcntl.LOCK_UN}
F_OFD_SETLK, F_OFD_SETLKW = 37, 38
LIBC = ctypes.CDLL(None, use_errno=True)        # Python's own calls begin anew after a signal
files = {}


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def control(name, command, kind, start=0, length=0):
    raw = ctypes.create_string_buffer(
        struct.pack(FLOCK, TYPES[kind], os.SEEK_SET, int(start), int(length), 0))
    check(LIBC.fcntl(files[name], command, raw))
    return struct.unpack(FLOCK, raw.raw[:struct.calcsize(FLOCK)])


def test(name, kind, *where):
    found, _, start, length, pid = control(name, fcntl.F_GETLK, kind, *where)
    if found == fcntl.F_UNLCK:
        return "free"
    return f"{'ex' if found == fcntl.F_WRLCK else 'sh'} {start} {length} {pid}"


def count(path, times, lock, unlock):
    for _ in range(int(times)):
        fd = os.open(path, os.O_RDWR)
        lock(fd)
        number = int(os.pread(fd, 20, 0) or b"0")
        os.pwrite(fd, b"%d" % (number + 1), 0)
        unlock(fd)
        os.close(fd)


def do(verb, *words):
    if verb == "open":
        files[words[0]] = os.open(words[1], os.O_RDWR | os.O_CREAT, 0o644)
    elif verb == "dup":
        files[words[1]] = os.dup(files[words[0]])
    elif verb == "close":
        os.close(files.pop(words[0]))
    elif verb in ("lock", "try"):
        control(words[0], fcntl.F_SETLKW if verb == "lock" else fcntl.F_SETLK, *words[1:])
    elif verb == "unlock":
        control(words[0], fcntl.F_SETLK, "un", *words[1:])
    elif verb == "test":
        return test(*words)
    elif verb in ("ofd", "tryofd"):
        control(words[0], F_OFD_SETLKW if verb == "ofd" else F_OFD_SETLK, *words[1:])
    elif verb in ("flock", "tryflock"):
        check(LIBC.flock(files[words[0]],
                         WORDS[words[1]] | (fcntl.LOCK_NB if verb[0] == "t" else 0)))
    elif verb == "count":
        count(*words, lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX),
              lambda fd: fcntl.lockf(fd, fcntl.LOCK_UN))
    elif verb == "flocks":
        count(*words, lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
              lambda fd: fcntl.flock(fd, fcntl.LOCK_UN))
    else:
        return "what?"
    return "ok"


def main():
    signal.signal(signal.SIGUSR1, lambda *_: None)
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        try:
            answer = do(*line.split())
        except OSError as e:
            answer = {errno.EDEADLK: "EDEADLK"}.get(e.errno) or errno.errorcode[e.errno]
        print(answer, flush=True)


main()
