# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests are made of: the kernel out of Debian's package, modules in order, an initramfs."""
import glob
import lzma
import os
import re
import stat
import struct
import subprocess
import tempfile

SETUP_MAGIC_AT, SETUP_MAGIC = 0x202, b"HdrS"
SETUP_SECTORS_AT, PAYLOAD_AT = 0x1f1, 0x248
XZ, ZSTD = b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
DOWNLOAD_SECONDS = 300


class Error(Exception):
    """What went wrong, for a person."""


def run(argv, cwd=None, stdin=None):
    try:
        done = subprocess.run(argv, cwd=cwd, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DOWNLOAD_SECONDS, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as e:
        raise Error(f"{argv[0]}: {e}") from e
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()[-2:]
        raise Error(f"{' '.join(argv)}: exit {done.returncode}: {' | '.join(words)}")
    return done.stdout


# ---- the kernel

def vmlinux_of(image):
    """The ELF file in a bzImage, by the header that the boot protocol (2.08) describes."""
    if image[SETUP_MAGIC_AT:SETUP_MAGIC_AT + 4] != SETUP_MAGIC:
        raise Error("the kernel is no bzImage")
    start = ((image[SETUP_SECTORS_AT] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, PAYLOAD_AT)
    payload = image[start + offset:start + offset + length]
    if payload.startswith(XZ):
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(ZSTD):
        elf = run(["zstd", "-dcq"], stdin=payload[:-4])     # its size stands at its end
    else:
        raise Error(f"the kernel is compressed in a way not known here: {payload[:4].hex()}")
    if not elf.startswith(b"\x7fELF"):
        raise Error("what the kernel holds is no ELF file")
    return elf


# ---- modules

def module_paths(tree):
    return {os.path.basename(path)[:-3].replace("-", "_"): path
            for path in glob.glob(os.path.join(tree, "lib/modules/*/kernel/**/*.ko"),
                                  recursive=True)}


def needs(path):
    """What the module says itself; there is no modules.dep before an installation."""
    with open(path, "rb") as f:
        match = re.search(rb"\0depends=([^\0]*)\0", f.read())
    names = match.group(1).decode().split(",") if match else []
    return [name.replace("-", "_") for name in names if name]


def in_order(names, paths):
    """Each after what it needs."""
    order = []

    def visit(name):
        if name in order:
            return
        if name not in paths:
            raise Error(f"the kernel has no module {name}")
        for other in needs(paths[name]):
            visit(other)
        order.append(name)
    for name in names:
        visit(name.replace("-", "_"))
    return order


# ---- the initramfs

class Archive:
    """cpio in the format newc, as the kernel unpacks it. Folders come before what is in them."""

    def __init__(self):
        self.parts, self.folders, self.inode = [], set(), 0

    def add(self, name, mode, data=b""):
        name = name.strip("/")
        self.add_folders(os.path.dirname(name))
        self.inode += 1
        raw = name.encode() + b"\0"
        header = "070701" + "".join(f"{n:08x}" for n in (
            self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0))
        head = header.encode() + raw
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def add_folders(self, name):
        if name and name not in self.folders:
            self.folders.add(name)
            self.add(name, stat.S_IFDIR | 0o755)

    def add_file(self, name, source, mode=None):
        with open(source, "rb") as f:
            data = f.read()
        self.add(name, stat.S_IFREG | (mode or stat.S_IMODE(os.stat(source).st_mode)), data)

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def write_whole(path, data):
    """Under another name first: who finds the file finds all of it."""
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), delete=False) as f:
        f.write(data)
    os.chmod(f.name, 0o644)
    os.replace(f.name, path)
