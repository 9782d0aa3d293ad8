# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's side may do to a mount: its connection aborted, signals in thousands, requests by
the ten thousand that wait for a coordinator."""
import errno
import os
import subprocess
import time

import pytest
from lablib import wait_until
from long import long, long_but
from test_csvfs import VOL, Load, check_clean, coordinator, csvfsd, fenced_volume, mount_ids, move_to

CTL = "/run/fusectl"
THREADS = 256 * (1024 + 256) + (32 << 10)   # KiB: FS_THREADS, of each libfuse's buffer and its stack
BROKEN = (errno.ECONNABORTED, errno.ENOTCONN)


@pytest.fixture
def vol3(make_lab):
    c = fenced_volume(make_lab)
    move_to(c, "n1")
    for node in c.lab.nodes:
        c.lab.run(node, f"mkdir {CTL} && mount -t fusectl fusectl {CTL}")
    return c


def connection(c, node):
    """The kernel's folder of the node's mount."""
    dev = int(c.lab.run(node, f"stat -c %d {VOL}").stdout)
    return f"{CTL}/{os.minor(dev)}"


def python(c, node, text, *words):
    return c.lab.popen(node, ["/usr/bin/python3", "-c", text, *words], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_an_aborted_connection_is_made_anew_and_nothing_happens_twice(vol3):
    """Under way: requests of every kind; the other nodes do not notice."""
    c, load, hit = vol3, Load(vol3), Load(vol3)
    for node in ("n1", "n3"):
        load.start(node, "append", "names")
    hit.start("n2", "append", "names", "rmtree")
    for each in (load, hit):
        each.wait_progress()
    old = mount_ids(c)["n2"]
    c.lab.run("n2", f"echo 1 > {connection(c, 'n2')}/abort")
    for name, (_, _, process) in hit.runs.items():
        _, error = process.communicate(timeout=60)
        assert any(f"[Errno {e}]" in error for e in BROKEN), f"{name}: {error}"
    c.wait("n1", lambda: mount_ids(c).get("n2", old) != old, "n2 is mounted anew", 60)
    c.wait_volume(timeout=60)
    load.wait_progress()
    # What they had done is there, once, and perhaps what was under way.
    hit.runs.pop("n2-rmtree")
    run = c.lab.run
    lines = [x.split()[1] for x in run("n2", f"cat {VOL}/log").stdout.splitlines()
             if x.startswith("n2-append ")]
    done = [x.split()[0] for x in hit.acknowledged("n2-append")]
    assert done and lines[:len(done)] == done and len(lines) - len(done) in (0, 1)
    assert len(lines) == len(set(lines))
    there = {x for x in run("n2", f"ls {VOL}/names").stdout.split() if x.startswith("n2-")}
    for line in hit.acknowledged("n2-names"):
        number, what = line.split()
        for letter in "abc":
            assert (f"n2-names.{number}.{letter}" in there) == (what == "kept" and letter == "c")
    # The program can be started again; and so on.
    again = Load(c)
    run("n2", f"rm -rf {VOL}/n2-rmtree.tree")
    again.start("n2", "rmtree")
    again.wait_progress()
    for each in (load, again):
        each.stop()
    load.check("n1")
    assert not c.events("n1", "fence-begin")
    assert coordinator(c) == "n1"
    check_clean(c)


STORM = r"""
import ctypes, os, signal, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
base, restarts, rounds = sys.argv[1], sys.argv[2] == "restart", int(sys.argv[3])
count = 0
def on_signal(number, frame):
    global count
    count += 1
signal.signal(signal.SIGALRM, on_signal)
signal.siginterrupt(signal.SIGALRM, not restarts)
# Python runs its handler between calls; that of the C library takes each signal in the call.
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)

def call(name, *args):
    ctypes.set_errno(0)
    r = getattr(libc, name)(*[os.fsencode(a) if isinstance(a, str) else a for a in args])
    assert r >= 0, (name, args[0], os.strerror(ctypes.get_errno()))
    return r

page = ctypes.create_string_buffer(b"0123456789abcdef" * 512, 8192)
got = ctypes.create_string_buffer(8192)
off = ctypes.c_long
for i in range(rounds):
    a, b = f"{base}.a", f"{base}.b"
    fd = call("open", a, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    assert call("pwrite", fd, page, 8192, off(i)) == 8192
    assert call("pread", fd, got, 8192, off(i)) == 8192 and got.raw == page.raw
    call("fsync", fd)
    call("ftruncate", fd, off(100))
    call("fchmod", fd, 0o640)
    call("setxattr", a, "user.x", b"v", 1, os.XATTR_CREATE)
    call("link", a, b)
    call("rename", b, b + "2")
    call("lockf", fd, os.F_LOCK, off(0)) if restarts else call("lockf", fd, os.F_TLOCK, off(0))
    call("mkdir", b, 0o700)
    call("access", b, 0)
    call("rmdir", b)
    call("unlink", b + "2")
    call("unlink", a)
    assert os.fstat(fd).st_nlink == 0 and os.fstat(fd).st_size == 100
    call("close", fd)
signal.setitimer(signal.ITIMER_REAL, 0)
print(count)
"""
LOCKS = r"""
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, sys.argv[2] != "restart")
interrupted = 0
print("asks", flush=True)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
while libc.lockf(fd, os.F_LOCK, ctypes.c_long(0)):
    assert ctypes.get_errno() == 4, ctypes.get_errno()
    interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(interrupted, flush=True)
"""


@pytest.mark.parametrize("how", long_but(("restart", "interrupt"), "restart"))
def test_signals_in_thousands_change_no_result(vol3, how):
    """In every kind of call: no EINTR, nothing twice; and nothing is left over."""
    c = vol3
    storms = [python(c, node, STORM, f"{VOL}/{node}.{i}", how, "60")
              for node in ("n1", "n2") for i in range(3)]
    for storm in storms:
        out, error = storm.communicate(timeout=180)
        assert storm.returncode == 0, error
        assert int(out) > 500, out
    # A lock that is waited for: with SA_RESTART it comes, without each signal says EINTR.
    c.lab.run("n1", f"touch {VOL}/lock")
    holder = python(c, "n1", f"""
import os, sys
fd = os.open("{VOL}/lock", os.O_RDWR)
os.lockf(fd, os.F_LOCK, 0)
print("has", flush=True)
sys.stdin.readline()
""")
    assert holder.stdout.readline() == "has\n"
    waiters = [python(c, "n2", LOCKS, f"{VOL}/lock", how) for _ in range(4)]
    for w in waiters:
        assert w.stdout.readline() == "asks\n", w.stderr.read()
    time_signals(c)
    holder.communicate("go\n", timeout=60)
    for w in waiters:
        out, error = w.communicate(timeout=60)
        assert w.returncode == 0, error
        assert (int(out) > 10) == (how == "interrupt"), out
    nothing_is_left(c)
    check_clean(c)


def time_signals(c):
    """Until some hundred of them have come, seen by the lines that are asked for anew."""
    before = requests(c, "n2")
    deadline = time.monotonic() + 5
    wait_until(lambda: requests(c, "n2") > before + 200 or time.monotonic() > deadline, 10, "signals")


def requests(c, node):
    own, = [m for m in c.volume_show("vol", node)["mounts"] if m["node"] == node]
    return own["io"]["requests"]


def nothing_is_left(c):
    """No lock, no open file without a name, no slot, no request of the kernel's."""
    c.lab.run("n3", ["/usr/bin/python3", "-c", f"""
import os
fd = os.open("{VOL}/lock", os.O_RDWR)
os.lockf(fd, os.F_TLOCK, 0)
"""])
    for node in c.lab.nodes:
        wait_until(lambda n=node: c.lab.run(n, f"cat {connection(c, n)}/waiting").stdout == "0\n", 30,
                   f"{node}: nothing waits")
        own, = [m for m in c.volume_show("vol", node)["mounts"] if m["node"] == node]
        crowd = python(c, node, CROWD, f"{VOL}/{node}.crowd")
        _, error = crowd.communicate(timeout=60)
        assert crowd.returncode == 0, error
        assert own["state"] == "mounted"

    def has_no_orphan():
        node = coordinator(c)
        pid, = csvfsd(c, node, "coordinate")
        return not c.lab.run(node, f"nsenter -t {pid} -m sh -c 'ls /run/clusterd/csv-*/.csv/orphans'"
                             ).stdout.split()
    c.wait("n1", has_no_orphan, "no orphan is left", 60)


# Twice as many as a mount has slots, at once.
CROWD = """
import os, sys, threading
gate, failed = threading.Barrier(128), []
def work(i):
    gate.wait()
    try:
        for _ in range(3):
            os.mkdir(f"{sys.argv[1]}.{i}")
            os.rmdir(f"{sys.argv[1]}.{i}")
    except OSError as e:
        failed.append(e)
threads = [threading.Thread(target=work, args=(i,)) for i in range(128)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert not failed, failed[:3]
"""

# Each thread a file of its own (the kernel lets one write at a time to a file, and one change at a time
# to a directory), and one call: it must have happened once.
MANY = """
import os, sys, threading
threading.stack_size(65536)
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
failed = []
fds = [os.open(f"{path}/{name}.{i}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for i in range(count)]
print(os.getpid(), flush=True)
sys.stdin.readline()
def work(i):
    try:
        os.write(fds[i], b"x")
    except OSError as e:
        failed.append(e)
threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert not failed, failed[:3]
"""


LOOKS = """
import os, sys
print(os.getpid(), flush=True)
sys.stdin.readline()
os.stat(sys.argv[1])
"""


@long
def test_ten_thousand_requests_wait_for_a_coordinator(vol3):
    """They cost memory that does not grow with them, a signal ends one at once, none is lost."""
    c, each, count = vol3, 1000, 10
    for i in range(count):
        c.lab.run("n1", f"mkdir {VOL}/{i}")
    many = [python(c, "n2", MANY, f"{VOL}/{i}", "f", str(each)) for i in range(count)]
    # With a file of the volume open its close would wait behind the others: nobody reads that far.
    victim = python(c, "n2", LOOKS, f"{VOL}/0/f.0")
    pids = [process.stdout.readline() for process in many + [victim]]
    at = connection(c, "n2")
    mount, = csvfsd(c, "n2", "mount")
    before = memory(c, "n2", mount)
    pid, = csvfsd(c, "n1", "coordinate")
    for node in c.lab.nodes:                        # nobody can begin
        c.lab.run(node, "mv /dev/lab/lun /dev/lab/away")
    c.lab.run("n1", f"kill -9 {pid}")
    try:
        for process in many:
            process.stdin.write("go\n")
            process.stdin.flush()
        wait_until(lambda: int(c.lab.run("n2", f"cat {at}/waiting").stdout) >= each * count, 120,
                   "all of them wait")
        victim.stdin.write("go\n")
        victim.stdin.flush()
        wait_until(lambda: int(c.lab.run("n2", f"cat {at}/waiting").stdout) > each * count, 30,
                   "one more")
        c.lab.run("n2", f"kill -9 {int(pids[-1])}")
        victim.communicate(timeout=20)
        assert victim.returncode in (-9, 137), victim.returncode
        assert memory(c, "n2", mount) < before + THREADS, (before, memory(c, "n2", mount))
    finally:
        for node in c.lab.nodes:
            c.lab.run(node, "mv /dev/lab/away /dev/lab/lun")
    c.ctl("n1", "volume", "clear", "vol")
    for process in many:
        _, error = process.communicate(timeout=180)
        assert process.returncode == 0, error
    sizes = c.lab.run("n3", f"find {VOL} -name 'f.*' -size 1c | wc -l", timeout=120).stdout
    assert int(sizes) == each * count               # by find(1) in bytes: not two of them
    wait_until(lambda: c.lab.run("n2", f"cat {at}/waiting").stdout == "0\n", 30, "nothing waits")
    check_clean(c)


def memory(c, node, pid):
    """Resident, in KiB."""
    status = c.lab.run(node, f"cat /proc/{pid}/status").stdout
    return int(status.split("VmRSS:")[1].split()[0])
