# SPDX-License-Identifier: GPL-2.0-or-later
"""The shared LUN: one file, and for every node a loop device of its own on it.

How a node loses its disk. The loop's offset is moved to SHUT_OFFSET, far past
the end of any file of ext4 (LOOP_SET_STATUS64 first drains what is in flight).
From then on the device has size 0, and what still gets through, such as I/O on
a partition, whose size the kernel has remembered, ends at the file system with
EFBIG, which the loop reports as EIO. (A sizelimit of 512 is not enough: writes
to sector 0 and to every partition go on reaching the LUN.) No position that a
node can name reaches the LUN, so a test write is harmless whatever it finds.

With faults (`up --disk-faults`) a qemu-storage-daemon per node stands between
the loop and the file, see qsd.py: it can hang, and fail with EIO at full size.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import struct

from common import LabError, poll, read, wait_until

SHUT_OFFSET = 1 << 62
LOOP_SET_STATUS64, LOOP_GET_STATUS64 = 0x4C04, 0x4C05
LOOP_CLR_FD, LOOP_CONFIGURE, LOOP_CTL_GET_FREE = 0x4C01, 0x4C0A, 0x4C82
LO_AUTOCLEAR, LO_PARTSCAN, LO_DIRECT_IO = 4, 8, 16
INFO64 = struct.Struct("<5Q4I64s64s32s2Q")
BLKRRPART, BLKPG = 0x125F, 0x1269
EXTENSION = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
DEV_LAB = "/dev/lab"
LOOP_WAIT = 10


def parse_size(text):
    """'512M' to bytes; a multiple of 1 MiB, at least 64 MiB."""
    number, unit = (text[:-1], text[-1].upper()) if text and text[-1].isalpha() else (text, "")
    if not number.isdigit() or (unit and unit not in EXTENSION):
        raise LabError(f"size '{text}': not a number with K, M, G or T")
    size = int(number) * EXTENSION.get(unit, 1)
    if size < 64 << 20 or size % (1 << 20):
        raise LabError(f"size '{text}': must be a multiple of 1M and at least 64M")
    return size


def create_lun(path, size):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def hold_dev_lab():
    """Makes /dev/lab, the only name that the lab adds to the host, and returns a lock on it.

    /dev is one devtmpfs for all namespaces, and removing a directory detaches
    what is mounted on it anywhere. So everyone who uses /dev/lab holds a shared
    lock on it, and release_dev_lab() removes it only under an exclusive one.
    """
    while True:
        os.makedirs(DEV_LAB, exist_ok=True)
        try:
            fd = os.open(DEV_LAB, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(fd, fcntl.LOCK_SH)
        try:
            if os.path.samestat(os.fstat(fd), os.stat(DEV_LAB)):
                return fd
        except FileNotFoundError:
            pass
        os.close(fd)


def release_dev_lab():
    """Removes /dev/lab unless another lab uses it."""
    try:
        fd = os.open(DEV_LAB, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rmdir(DEV_LAB)
    except OSError:
        pass
    finally:
        os.close(fd)


def bound_loops():
    """Numbers of the loop devices of this machine that have a backing file."""
    names = [n for n in os.listdir("/sys/block") if n.startswith("loop")]
    return sorted(int(n[4:]) for n in names if os.path.exists(f"/sys/block/{n}/loop/backing_file"))


def _backing_device(number):
    """Device number of the block device that a loop is stacked on; None if it is on a file.

    The ioctl asks the backing file for its attributes, which blocks if that is a
    hung FUSE file: so only loops that by name sit on a device are asked.
    """
    name = read(f"/sys/block/loop{number}/loop/backing_file") or ""
    if not name.startswith("/dev/"):
        return None
    buf = bytearray(INFO64.size)
    try:
        fd = os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(fd, LOOP_GET_STATUS64, buf)
    except OSError:
        return None
    finally:
        os.close(fd)
    return decode_rdev(INFO64.unpack(buf)[2])


def loops_on_file(path):
    """Loops whose backing file is this path, by the name that the kernel shows.

    Works for a deleted file too, which is what a half-finished `down` leaves.
    """
    found = []
    for number in bound_loops():
        text = (read(f"/sys/block/loop{number}/loop/backing_file") or "").rstrip("\n")
        if text in (path, path + " (deleted)"):
            found.append(number)
    return found


def _rdev(name):
    """Device number of a block device by its sysfs directory, as (major, minor)."""
    text = read(f"{name}/dev")
    return tuple(int(x) for x in text.split(":")) if text else None


def clear_loop(number, timeout=LOOP_WAIT):
    """Detaches a loop and waits until it is free."""
    try:
        fd = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        if e.errno in (errno.ENXIO, errno.ENOENT):
            return
        raise LabError(f"loop{number}: {e}")
    try:
        fcntl.ioctl(fd, LOOP_CLR_FD)
    except OSError as e:
        if e.errno != errno.ENXIO:
            raise LabError(f"loop{number}: cannot be detached: {e}")
    finally:
        os.close(fd)
    wait_until(lambda: not os.path.exists(f"/sys/block/loop{number}/loop/backing_file"),
               timeout, f"loop{number}: detach", hint="something still has it open or mounted")


class Loop:
    """A node's loop device. Owns a descriptor.

    autoclear makes the kernel detach the device when the last holder dies, so that
    a killed lab leaves none behind. partscan makes it drop the partitions with it:
    without, those of BLKPG stay on the device number for its next user.
    """

    def __init__(self, backing, size, direct=True):
        self.size, self.direct = size, direct
        self.fd, self.number = self._attach(backing)
        self.dev = f"/dev/loop{self.number}"

    def _attach(self, backing):
        back = os.open(backing, os.O_RDWR | os.O_CLOEXEC)
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(64):
                number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
                poll(lambda: os.path.exists(f"/dev/loop{number}"), 2)
                fd = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
                config = struct.pack("<2I", back, 512) + self._info(0) + bytes(64)
                try:
                    fcntl.ioctl(fd, LOOP_CONFIGURE, bytearray(config))
                    return fd, number
                except OSError as e:
                    os.close(fd)
                    if e.errno != errno.EBUSY:
                        raise
            raise LabError("no free loop device after 64 tries", "see `losetup -a`")
        except OSError as e:
            raise LabError(f"cannot attach a loop device to {backing}: {e}",
                           "the lab needs /dev/loop-control and root; try `tests/lab/probe`")
        finally:
            os.close(back)
            os.close(control)

    def _info(self, offset):
        flags = LO_AUTOCLEAR | LO_PARTSCAN | (LO_DIRECT_IO if self.direct else 0)
        limit = 0 if offset else self.size
        return INFO64.pack(0, 0, 0, offset, limit, 0, 0, 0, flags, b"", b"", b"", 0, 0)

    def _set_offset(self, offset):
        def done():
            try:
                fcntl.ioctl(self.fd, LOOP_SET_STATUS64, self._info(offset))
                return True
            except OSError as e:
                if e.errno != errno.EAGAIN:
                    raise LabError(f"{self.dev}: LOOP_SET_STATUS64: {e}")
                return False
        wait_until(done, LOOP_WAIT, f"{self.dev}: change of offset")

    def shut(self):
        """Drains what is in flight, then no I/O reaches the LUN until open()."""
        self._set_offset(SHUT_OFFSET)

    def open(self):
        self._set_offset(0)

    def rescan(self):
        """Makes the kernel read the partition table again."""
        fcntl.ioctl(self.fd, BLKRRPART)

    def is_direct(self):
        return (read(f"/sys/block/loop{self.number}/loop/dio") or "").strip() == "1"

    def close(self):
        """Detaches the device; a LabError if somebody still uses it."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        clear_loop(self.number)

    def write_refused(self):
        """None if test writes to the device and its partitions are refused, else what is wrong.

        Writes only when the loop looks past the LUN, so it can harm nothing.
        """
        offset = read(f"/sys/block/loop{self.number}/loop/offset")
        if offset is None:
            return None
        if offset.strip() != str(SHUT_OFFSET):
            return f"{self.dev} still reaches the LUN"
        for dev in [self.dev] + [f"/dev/{p}" for p in partitions(self.number)]:
            if not os.path.exists(dev):
                continue
            for position in (0, 4096, self.size // 2):
                if _test_write(dev, position):
                    return f"{dev} accepted a test write at {position}"
        return None


def _test_write(dev, position):
    """True if a direct write of 4 KiB is accepted."""
    page = mmap.mmap(-1, 4096)
    try:
        fd = os.open(dev, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.pwritev(fd, [page], position) > 0
    except OSError:
        return False
    finally:
        os.close(fd)


def partitions(number):
    """Names of the partitions that the kernel knows on a loop, e.g. loop3p1."""
    name = f"loop{number}"
    try:
        entries = os.listdir(f"/sys/block/{name}")
    except OSError:
        return []
    return sorted(e for e in entries if e.startswith(name + "p"))


class Device:
    """A block device by name, number, and the loop that it sits on."""

    def __init__(self, name, rdev, loop):
        self.name, self.rdev, self.loop = name, rdev, loop


def device_tree(number):
    """The loop, its partitions, and loops stacked on any of them, the lowest first."""
    found, todo, stacked = [], [number], None
    while todo:
        loop = todo.pop(0)
        names = [(f"loop{loop}", f"/sys/block/loop{loop}")]
        names += [(p, f"/sys/block/loop{loop}/{p}") for p in partitions(loop)]
        here = [Device(n, _rdev(path), loop) for n, path in names if _rdev(path)]
        found += here
        if stacked is None:
            stacked = {n: _backing_device(n) for n in bound_loops() if n != number}
        below = {os.makedev(*d.rdev) for d in here}
        for n, rdev in list(stacked.items()):
            if rdev in below:
                todo.append(n)
                del stacked[n]
    return found


def decode_rdev(value):
    """The kernel's huge_encode_dev() to what os.makedev() gives."""
    return os.makedev((value & 0xfff00) >> 8, (value & 0xff) | ((value >> 12) & 0xfff00))


def is_xfs_alive(name):
    """True while the kernel has an XFS superblock of this block device."""
    return os.path.isdir(f"/sys/fs/xfs/{name}")


class _Partition(ctypes.Structure):
    """struct blkpg_partition of <linux/blkpg.h>."""
    _fields_ = [("start", ctypes.c_longlong), ("length", ctypes.c_longlong),
                ("number", ctypes.c_int), ("devname", ctypes.c_char * 64),
                ("volname", ctypes.c_char * 64)]


def add_partition(dev, number, start, length):
    """Tells the kernel of a partition (BLKPG), for kernels that cannot read a GPT."""
    part = _Partition(start, length, number, b"", b"")
    request = struct.pack("<iiiiQ", 1, 0, ctypes.sizeof(part), 0, ctypes.addressof(part))
    fd = os.open(dev, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, BLKPG, request)
    finally:
        os.close(fd)
