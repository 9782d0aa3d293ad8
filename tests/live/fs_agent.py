#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does what it is told, one line of JSON each, and answers with one: for tests that take turns.

["stat", path] ["list", path] ["read", path] ["write", path, text] ["append", path, text]
["rename", a, b] ["link", a, b] ["unlink", path] ["mkdir", path] ["rmdir", path] ["chmod", path, mode]
["truncate", path, size] ["utime", path, seconds] ["symlink", target, path] ["repeat", n, command]

The answer is the value, or {"errno": name}.
"""
import errno
import json
import os
import sys


def stat(path):
    s = os.lstat(path)
    return {"ino": s.st_ino, "mode": s.st_mode, "size": s.st_size, "nlink": s.st_nlink,
            "mtime_ns": s.st_mtime_ns, "ctime_ns": s.st_ctime_ns}


def read(path):
    with open(path) as f:
        return f.read()


def put(path, text, mode):
    with open(path, mode) as f:
        f.write(text)


COMMANDS = {
    "stat": stat, "read": read, "list": lambda p: sorted(os.listdir(p)),
    "write": lambda p, text: put(p, text, "w"), "append": lambda p, text: put(p, text, "a"),
    "rename": os.rename, "link": os.link, "unlink": os.unlink, "mkdir": os.mkdir,
    "rmdir": os.rmdir, "chmod": os.chmod, "truncate": os.truncate, "symlink": os.symlink,
    "utime": lambda p, seconds: os.utime(p, (seconds, seconds)),
    "repeat": lambda n, command: [run(command) for _ in range(n)][-1],
}


def run(command):
    try:
        return COMMANDS[command[0]](*command[1:])
    except OSError as e:
        return {"errno": errno.errorcode[e.errno]}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
