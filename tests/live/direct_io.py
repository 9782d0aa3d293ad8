#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""direct_io WHAT FILE NAME ...: I/O in blocks that say what they are; runs until /run/NAME.stop.

  random    reads and writes any block, with O_DIRECT; prints how many when it has ended
  own       FILE NAME MINE OF: writes its own blocks (number % OF == MINE) with rising numbers, O_DIRECT, and
            reads them back; after each write /run/NAME.log has the block and the number
  watch     reads all blocks, buffered or O_DIRECT in turn: no number of a block ever falls
  check     FILE NAME ZERO: once: every block is zeros or one of this file

A block: file, number of the block, writer, sequence, check sum. One that is of another file, torn
or older than what was seen is an error.
"""
import mmap
import os
import random
import struct
import sys
import time
import zlib

BLOCK = 4096
HEAD = struct.Struct("<16sQ16sQI")


class File:
    """Blocks of one file; every transfer of O_DIRECT goes through one aligned page."""

    def __init__(self, path):
        self.name = os.path.basename(path).encode()
        self.fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        self.plain = os.open(path, os.O_RDONLY)
        self.page = mmap.mmap(-1, BLOCK)
        self.blocks = os.fstat(self.fd).st_size // BLOCK

    def write(self, number, writer, seq):
        head = (self.name, number, writer.encode(), seq)
        body = HEAD.pack(*head, 0)[:-4]
        filler = bytes([seq & 0xff]) * (BLOCK - HEAD.size)
        self.page[:] = body + struct.pack("<I", zlib.crc32(body + filler)) + filler
        done = os.pwrite(self.fd, self.page, number * BLOCK)
        assert done == BLOCK, f"{done} bytes written"

    def read(self, number, direct=True):
        """(writer, sequence), or None for zeros."""
        if direct:
            done = os.preadv(self.fd, [self.page], number * BLOCK)
            data = self.page[:]
        else:
            data = os.pread(self.plain, BLOCK, number * BLOCK)
            done = len(data)
        assert done == BLOCK, f"block {number}: {done} bytes read"
        if data == bytes(BLOCK):
            return None
        name, at, writer, seq, crc = HEAD.unpack(data[:HEAD.size])
        assert name.rstrip(b"\0") == self.name, f"block {number} is of another file: {name}"
        assert at == number, f"block {number} is block {at}"
        body = data[:HEAD.size - 4]
        assert zlib.crc32(body + data[HEAD.size:]) == crc, f"block {number} is torn"
        return writer.rstrip(b"\0").decode(), seq


def go_on(name):
    return not os.path.exists(f"/run/{name}.stop")


def do_random(path, name):
    f, count = File(path), 0
    print("ready", flush=True)
    while go_on(name):
        number = random.randrange(f.blocks)
        if random.random() < 0.5:
            f.write(number, name, count)
        else:
            f.read(number)
        count += 1
        if count % 16 == 0:
            with open(f"/run/{name}.log", "w", encoding="ascii") as log:
                log.write(f"{count}\n")
    print(count, flush=True)


def do_own(path, name, mine, of):
    f, seq, last = File(path), 0, {}
    with open(f"/run/{name}.log", "w", encoding="ascii") as log:
        while go_on(name):
            seq += 1
            number = random.randrange(f.blocks // int(of)) * int(of) + int(mine)
            f.write(number, name, seq)
            last[number] = seq
            log.write(f"{number} {seq}\n")
            log.flush()
            number = random.choice(list(last))
            seen = f.read(number, seq % 2)
            assert seen == (name, last[number]), f"block {number}: {seen}, not {last[number]}"


def do_watch(path, name):
    f, seen, count = File(path), {}, 0
    while go_on(name):
        number = random.randrange(f.blocks)
        now = f.read(number, count % 2)
        count += 1
        if now:
            assert seen.get((number, now[0]), 0) <= now[1], f"block {number} is older: {now}"
            seen[(number, now[0])] = now[1]
        if count % 16 == 0:
            with open(f"/run/{name}.log", "w", encoding="ascii") as log:
                log.write(f"{count}\n" * (count // 16))
    assert count


def do_check(path, name):
    del name
    f = File(path)
    for number in range(f.blocks):
        f.read(number)
    print(f.blocks)


def main():
    what, path, name = sys.argv[1:4]
    begin = time.monotonic()
    try:
        {"random": do_random, "own": do_own, "watch": do_watch, "check": do_check}[what](
            path, name, *sys.argv[4:])
    except (AssertionError, OSError) as e:
        sys.exit(f"{name}, after {time.monotonic() - begin:.1f} s: {e!r}")


if __name__ == "__main__":
    main()
