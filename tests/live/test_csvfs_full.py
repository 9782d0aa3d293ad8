# SPDX-License-Identifier: GPL-2.0-or-later
"""A full volume: what asks for room is refused, everything else works, also with coordinators and
mounts that come and go; when there is room again, work goes on."""
import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import BUILD, Cluster
from lablib import wait_until
from long import long
from posix_drive import Agent, popen_in
from test_csvfs import FENCE, VOL, check_clean, coordinator, csvfsd, holders, mount_ids, move_to

SECONDS = 90
# Chunks of its own until there is room for none, smaller and smaller; then files, until there is
# room for none. Says how many bytes were written, and how many files made.
FILL = """
import errno, os, sys
name, makes = sys.argv[1], int(sys.argv[2])
fd, at = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 0
for size in (1 << 20, 1 << 16, 4096):
    while True:
        try:
            n = os.pwrite(fd, bytes([at // 4096 % 251 + 1]) * 4096 * (size // 4096), at)
        except OSError as e:
            assert e.errno == errno.ENOSPC, e
            break
        assert n % 4096 == 0, n
        at += n
os.close(fd)
made = 0
while made < makes:
    try:
        os.close(os.open(f"{name}.{made}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        break
    made += 1
print(at, made)
"""
# Takes every block that becomes free, at the end of a file of its own; every acknowledged one is there.
HOG = """
import errno, os, sys
name, stop = sys.argv[1:3]
fd, size = os.open(name, os.O_RDWR | os.O_CREAT, 0o600), 0
print("ready", flush=True)
while not os.path.exists(stop):
    try:
        n = os.pwrite(fd, b"h" * 4096, size)
        size += n
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
assert os.fstat(fd).st_size == size, (os.fstat(fd).st_size, size)
print(size)
"""
# So many at once that every slot of the mount is used.
CROWD = """
import os, sys, threading
def work(i):
    os.rename(f"{sys.argv[1]}.{i}", f"{sys.argv[1]}.{i}.away")
    os.unlink(f"{sys.argv[1]}.{i}.away")
threads = [threading.Thread(target=work, args=(i,)) for i in range(int(sys.argv[2]))]
for t in threads:
    t.start()
for t in threads:
    t.join()
"""


def python(c, node, text, *words, **more):
    return c.lab.popen(node, ["/usr/bin/python3", "-c", text, *words], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, **more)


def end(process, timeout=SECONDS):
    out, error = process.communicate(timeout=timeout)
    assert process.returncode == 0, error
    return out


@pytest.fixture
def full3(make_lab):
    """Three nodes have filled it together."""
    c = Cluster(make_lab(3, bin=BUILD, lun_size="320M")).create()
    c.ctl("n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE), "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.volume()
    move_to(c, "n1")
    return c


class Full:
    def __init__(self, c, makes):
        self.c, self.pool = c, ThreadPoolExecutor(4)
        self.agent = {n: Agent(popen_in(c.lab, n, VOL)) for n in c.lab.nodes}
        # What is there before it is full.
        a = self.agent["n1"]
        for i in range(200):
            a.do("spool", f"small.{i}", b"%03d" % i * 100)
        for i in range(100):
            a.do("spool", f"crowd.{i}", b"")
        a.do("mkdir", "dir")
        a.do("mkdir", "dir/sub")
        fills = {n: python(c, n, FILL, f"{VOL}/{n}", str(makes)) for n in c.lab.nodes}
        self.written = {n: tuple(map(int, end(p, 300).split())) for n, p in fills.items()}

    def close(self):
        for agent in self.agent.values():
            agent.end()
        self.pool.shutdown()

    def do(self, node, *call):
        """It succeeds, in time."""
        return self.pool.submit(self.agent[node].do, *call).result(SECONDS)

    def is_full(self, node):
        fd = self.do(node, "open", f"{node}.more", os.O_WRONLY | os.O_CREAT, 0o600) \
            if not self.written[node][1] else self.do(node, "open", f"{node}.0", os.O_WRONLY)
        error, _ = self.agent[node].ask((0, 0, ()), "pwrite", fd, b"x" * 4096, 0)
        self.do(node, "close", fd)
        return error == errno.ENOSPC

    def empties(self, first):
        """Whatever gets one out of it works, seen from another node; with the files from `first` on."""
        one, other = "n3", "n2"
        name = [f"small.{i}" for i in range(first, first + 10)]
        self.do(one, "rename", name[0], f"{name[0]}.renamed")
        assert self.do(other, "content", f"{name[0]}.renamed") == b"%03d" % first * 100
        self.do(one, "rename", name[1], name[2])                 # over another one
        assert self.do(other, "content", name[2]) == b"%03d" % (first + 1) * 100
        self.do(one, "truncate", name[3], 0)
        self.do(one, "chmod", name[4], 0o640)
        self.do(one, "unlink", name[5])
        fd = self.do(other, "open", name[6], os.O_RDWR)          # an orphan
        self.do(one, "unlink", name[6])
        assert self.do(other, "look_fd", fd)["nlink"] == 0
        assert self.do(other, "pwrite", fd, b"in its place", 0) == 12
        assert self.do(other, "pread", fd, 12, 0) == b"in its place"
        assert self.do(one, "look", name[3])["size"] == 0
        return fd


def test_a_full_volume_can_be_emptied_whoever_comes_and_goes(full3):
    c, f = full3, Full(full3, 0)
    hog = python(c, "n1", HOG, f"{VOL}/hog", "/run/hog.stop")
    assert hog.stdout.readline() == "ready\n", hog.stderr.read()
    for node in c.lab.nodes:
        assert f.is_full(node), f.written
    available = c.lab.run("n2", f"stat -f -c %a {VOL}").stdout
    assert int(available) * 4096 < 1 << 20, available
    held = [f.empties(0)]
    move_to(c, "n2")
    held.append(f.empties(20))
    pid, = csvfsd(c, "n2", "coordinate")
    c.lab.run("n2", f"kill -9 {pid}")
    held.append(f.empties(40))
    # A mount that needs records of its own, for each of its slots.
    f.agent.pop("n3").end()
    old = mount_ids(c)["n3"]
    pid, = holders(c, "n3")
    c.lab.run("n3", f"kill -9 {pid}")
    c.wait("n1", lambda: mount_ids(c).get("n3", old) != old, "n3 is mounted anew", 60)
    c.wait_volume()
    end(python(c, "n3", CROWD, f"{VOL}/crowd", "100"))
    f.agent["n3"] = Agent(popen_in(c.lab, "n3", VOL))
    held.append(f.empties(60))
    for fd in held:
        f.do("n2", "close", fd)
    f.do("n3", "rmdir", "dir/sub")
    f.do("n3", "rmdir", "dir")
    # Room again: the one that waits for it gets on, and so does everybody.
    size = int(c.lab.run("n2", f"stat -c %s {VOL}/hog").stdout)
    f.do("n2", "unlink", "n2")
    wait_until(lambda: int(c.lab.run("n2", f"stat -c %s {VOL}/hog").stdout) > size + (1 << 20), 60,
               "there is room")
    c.lab.run("n1", "touch /run/hog.stop")
    size = int(end(hog))
    assert c.lab.run("n3", f"tr -d h < {VOL}/hog | wc -c").stdout.strip() == "0"
    assert int(c.lab.run("n3", f"stat -c %s {VOL}/hog").stdout) == size
    f.do("n3", "spool", "again", b"x" * (1 << 20))
    check_filled(c, f)
    f.close()
    check_clean(c)


def check_filled(c, f):
    """What was written before it was full is there, and no more."""
    look = """
import sys
size, at = int(sys.argv[2]), 0
with open(sys.argv[1], "rb") as f:
    while block := f.read(4096):
        assert at < size and len(block) == 4096 and len(set(block)) == 1 and block[0], at
        at += 4096
assert at == size, (at, size)
"""
    for node in ("n1", "n3"):
        end(python(c, "n2", look, f"{VOL}/{node}", str(f.written[node][0])))
        assert f.written[node][0] > 1 << 20


@long
def test_no_name_fits_any_more_and_it_can_be_emptied_all_the_same(full3):
    """Until not even an empty file can be made, by three nodes at once."""
    c, f = full3, Full(full3, 100000)
    for node in c.lab.nodes:
        error, _ = f.agent[node].ask((0, 0, ()), "mkdir", f"{node}.no")
        assert error == errno.ENOSPC, f.written
    fd = f.empties(0)
    pid, = csvfsd(c, coordinator(c), "coordinate")
    c.lab.run(coordinator(c), f"kill -9 {pid}")
    f.do("n2", "close", f.empties(20))
    f.do("n2", "close", fd)
    for node, (_, made) in f.written.items():
        assert made, f.written
        names = f"{VOL}/{node}."
        c.lab.run("n2", ["/usr/bin/python3", "-c",
                         f"import os\nfor i in range({made}): os.unlink(f'{names}{{i}}')"], timeout=300)
    f.do("n1", "mkdir", "yes")
    f.do("n1", "unlink", "n2")
    f.do("n3", "spool", "again", b"x" * (1 << 20))
    check_filled(c, f)
    f.close()
    check_clean(c)
