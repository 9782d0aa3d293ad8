#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""direct_io WHAT FILE NAME ...: I/O in blocks that say what they are; runs until /run/NAME.stop.

  random    reads and writes any block, with O_DIRECT; prints how many when it has ended
  own       MINE OF LOG: writes its own blocks (number % OF == MINE) with rising sequences, O_DIRECT,
            and reads them back, buffered and O_DIRECT in turn; what was written is in LOG
  watch     LOG: reads blocks that LOG says were written: none is older than LOG said before
  rough     writes and reads any block, while others cut the file: only what is another file's is
            an error
  check     once: every block is zeros or one of this file

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


def say(name, count):
    with open(f"/run/{name}.log", "w", encoding="ascii") as log:
        log.write(f"{count}\n")


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
        say(name, count)
    print(count, flush=True)


def do_own(path, name, mine, of, told):
    f, seq, last = File(path), 0, {}
    with open(told, "w", encoding="ascii") as log:
        while go_on(name):
            seq += 1
            number = random.randrange(f.blocks // int(of)) * int(of) + int(mine)
            f.write(number, name, seq)
            last[number] = seq
            log.write(f"{number} {seq}\n")
            log.flush()
            say(name, seq)
            number = random.choice(list(last))
            seen = f.read(number, seq % 2)
            assert seen == (name, last[number]), f"block {number}: {seen}, not {last[number]}"


def do_watch(path, name, *logs):
    """The logs are those of `own` on this and other nodes, in a folder that all see."""
    f, count, seen = File(path), 0, {}
    logs = [open(x, encoding="ascii") for x in logs]        # pylint: disable=R1732
    while go_on(name):
        for log in logs:
            for line in log.readlines()[-8:]:
                if not line.endswith("\n") or len(line.split()) != 2:
                    continue
                number, seq = map(int, line.split())
                now = f.read(number, count % 2)
                assert now and now[1] >= seq, f"block {number}: {now}, and {seq} was written"
                assert seen.get(number, 0) <= now[1], f"block {number} fell back to {now}"
                seen[number] = now[1]
                count += 1
        say(name, count)
    assert count


def do_rough(path, name):
    f, count = File(path), 0
    while go_on(name):
        number = random.randrange(f.blocks)
        try:
            f.write(number, name, count)
            f.read(random.randrange(f.blocks))
        except AssertionError as e:
            if "another file" in str(e):
                raise
        count += 1
        say(name, count)


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
        {"random": do_random, "own": do_own, "watch": do_watch, "rough": do_rough,
         "check": do_check}[what](
            path, name, *sys.argv[4:])
    except (AssertionError, OSError) as e:
        sys.exit(f"{name}, after {time.monotonic() - begin:.1f} s: {e!r}")


if __name__ == "__main__":
    main()
