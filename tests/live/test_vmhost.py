# SPDX-License-Identifier: GPL-2.0-or-later
"""vm-host with real QEMUs (TCG), alone and under a clusterd made of Python. No lab is needed."""
import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from common import read, wait_until
from long import long, long_but
from vmhost import (BUILD, Console, DESTINATION, SECONDS, SOURCE, UUID, VM_HOST, FakeClusterd,
                    Network, VmHost, build_guest, is_alive)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "guests"))

from machine import SerialLog                                   # noqa: E402
from witness_judge import BLOCK, judge                          # noqa: E402

WITNESS = os.path.join(BUILD, "tests", "guests", "witness.elf")

LEASE_MS = 3000
HALT_SECONDS = 2        # beyond the lease, for `stop` on a machine that is busy
SLOW = 8 << 20          # bytes per second: a migration in which there is time for things
PHASES_BEFORE = ("check", "setup", "memory", "state", "storage-handle")


@pytest.fixture
def where():
    """A directory whose path is short: names of sockets are."""
    path = tempfile.mkdtemp(prefix="vm-", dir="/tmp")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def definition(where):
    return {"schema": 1, "name": "tiny", "uuid": UUID, "vcpus": 1, "memory": 64,
            "accelerator": "tcg", "kernel": build_guest(where)}


@pytest.fixture
def start(where, definition):
    """start(name, *options) gives a VmHost; all are gone after the test."""
    hosts = []

    def make(name, *options, instance=1, deaf=False, inside=(), **changes):
        d = {**definition, **changes}
        if deaf:
            d["kernel"] = build_guest(where, deaf=True)
        hosts.append(VmHost(os.path.join(where, name), d, *options, instance=instance,
                            inside=inside))
        return hosts[-1]
    yield make
    for host in hosts:
        host.close()
        assert "AddressSanitizer" not in read(host.log, ""), host.tail()


@pytest.fixture
def clusterd(where):
    c = FakeClusterd(where, LEASE_MS)
    yield c
    c.close()


@pytest.fixture
def alone(start):
    def make(**changes):
        host = start("a", "--standalone", **changes)
        host.wait("running")
        host.computes()
        return host
    return make


@pytest.fixture
def under(start, clusterd):
    """A vm-host of clusterd that has the lock."""
    def make(**changes):
        clusterd.holder = 1
        host = start("a", "--socket", clusterd.path, **changes)
        host.wait("running")
        host.computes()
        return host
    return make


# ---- alone

def test_status_tells_what_runs(alone):
    host = alone()
    s = host.status()
    assert s["machine"].startswith("pc-q35-") and s["accelerator"] == "tcg"
    assert s["has_lock"] and s["is_standalone"] and is_alive(s["qemu_pid"])
    assert s["cgroup"] or s["no_cgroup"]
    if s["cgroup"]:
        assert read(s["cgroup"] + "/cgroup.procs").split() == [str(s["qemu_pid"])]
    assert host.call("status").returncode == 0
    assert os.stat(host.control).st_mode & 0o777 == 0o600


def test_qemu_gets_nothing_but_what_it_needs(alone):
    host = alone()
    pid = host.status()["qemu_pid"]
    environment = read(f"/proc/{pid}/environ").split("\0")
    assert environment == ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", ""]
    status = dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines())
    assert status["Seccomp"] == "2"
    assert os.getsid(pid) == pid
    files = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert not [f for f in files if f.startswith(host.dir) and f != host.serial], files


def test_pause_and_resume(alone):
    host = alone()
    assert host.call("pause").returncode == 0
    host.wait("paused")
    assert host.stands_still()
    assert host.call("resume").returncode == 0
    host.wait("running")
    host.computes()


def test_guest_that_obeys_switches_itself_off(alone):
    host = alone()
    out = host.call("stop", "--deadline", "60000")
    assert out.returncode == 0, out.stderr
    assert host.end() == 0, host.tail()
    assert read(host.serial).endswith("!")
    assert host.call("status").returncode == 3
    assert os.listdir(host.dir).count(f"vm-{UUID}.sock") == 0


def test_guest_that_is_deaf_is_switched_off_at_the_deadline(alone):
    host = alone(deaf=True)
    began = time.monotonic()
    assert host.call("stop", "--deadline", "1000").returncode == 0
    assert time.monotonic() - began >= 1
    assert host.end() == 0
    assert "answer to quit: ok" in read(host.log)


def test_qemu_that_is_deaf_is_killed(alone):
    host = alone()
    pid = host.status()["qemu_pid"]
    os.kill(pid, signal.SIGSTOP)
    assert host.call("stop", "--deadline", "500").returncode == 0
    assert host.end() == 0
    assert not is_alive(pid)
    assert "QEMU ended: signal 9" in read(host.log)


def test_sigterm_asks_the_guest_to_switch_itself_off(alone):
    host = alone()
    host.process.send_signal(signal.SIGTERM)
    assert host.end() == 0
    assert read(host.serial).endswith("!")


def test_killed_qemu_is_told_as_crashed(alone):
    host = alone()
    os.kill(host.status()["qemu_pid"], signal.SIGKILL)
    s = host.wait("crashed")
    assert "signal 9" in s["text"] and s["qemu_pid"] == 0
    assert host.call("status").returncode == 1
    assert host.call("stop").returncode == 0
    assert host.end() == 0


def test_killed_vm_host_takes_qemu_with_it(alone):
    host = alone()
    pid = host.status()["qemu_pid"]
    host.kill()
    wait_until(lambda: not is_alive(pid), SECONDS, "QEMU is gone")
    wait_until(lambda: host.call("status").returncode == 3, SECONDS, "and its control group empty")
    assert host.call("stop").returncode == 0


def test_qemu_that_was_left_is_found_and_ended(alone, start):
    """PDEATHSIG is no more than an accelerator: whatever the record names is ended all the same."""
    host = alone()
    group = host.status()["cgroup"]
    host.kill()
    with subprocess.Popen(["sleep", "1000"]) as left:
        if group:
            os.makedirs(group, exist_ok=True)
            with open(group + "/cgroup.procs", "w", encoding="ascii") as f:
                f.write(str(left.pid))
        start_ticks = int(read(f"/proc/{left.pid}/stat").rpartition(")")[2].split()[19])
        with open(os.path.join(host.dir, f"vm-{UUID}.json"), "w", encoding="utf-8") as f:
            json.dump({"qemu_pid": left.pid, "qemu_start": start_ticks, "cgroup": group}, f)
        out = host.call("status")
        assert (out.returncode, out.stdout) == (1, "its vm-host is gone, its QEMU lives\n")
        again = start("a", "--standalone")
        wait_until(lambda: again.run() == "running", SECONDS, "the next one runs")
        assert left.wait(timeout=SECONDS) == -signal.SIGKILL


def test_record_of_a_stranger_hits_nobody(alone):
    host = alone()
    host.kill()
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        with open(os.path.join(host.dir, f"vm-{UUID}.json"), "w", encoding="utf-8") as f:
            json.dump({"qemu_pid": stranger.pid, "qemu_start": 1, "cgroup": ""}, f)
        assert host.call("stop").returncode == 0
        assert stranger.poll() is None
        stranger.kill()


def test_second_vm_host_of_a_vm_is_refused(alone, start):
    alone()
    second = start("a", "--standalone")
    assert second.end() == 1
    assert "a vm-host of this VM is running" in read(second.log)


def test_qemu_that_cannot_start_says_why(start):
    host = start("a", "--standalone", disks=[{"path": "/nonexistent/disk", "format": "raw"}])
    s = host.wait("failed")
    assert "/nonexistent/disk" in s["text"]
    assert host.call("stop").returncode == 0
    assert host.end() == 0


def test_machine_type_that_qemu_has_not_is_told(start):
    host = start("a", "--standalone", machine="pc-q35-99.0")
    assert "has no machine type pc-q35-99.0" in host.wait("failed")["text"]


def test_definition_that_is_not_valid_ends_with_2(start):
    host = start("a", "--standalone", vcpus="two")
    assert host.end() == 2
    assert '/vcpus: found "two"; allowed: an integer from 1 to 255' in read(host.log)


def test_accelerator_is_found_by_trying(start):
    host = start("a", "--standalone", accelerator="auto")
    assert host.wait("running")["accelerator"] in ("kvm", "tcg")
    host.computes()


def test_network_card_is_on_its_bridge(where, definition):
    """In a network namespace of its own: nothing is changed on this machine."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("no /dev/net/tun")
    path = os.path.join(where, "vm.json")
    nics = [{"bridge": "br7", "mac": "52:54:00:00:00:01"},
            {"bridge": "user", "mac": "52:54:00:00:00:02", "model": "e1000e"},
            {"bridge": "none", "mac": "52:54:00:00:00:03"}]
    with open(path, "w", encoding="utf-8") as f:
        json.dump({**definition, "nics": nics}, f)
    script = f"""
        ip link add br7 type bridge && ip link set br7 up || exit 99
        {VM_HOST} run --standalone --definition {path} --run-dir {where}/run || exit 98
        {VM_HOST} status --definition {path} --run-dir {where}/run --wait running,failed
        ip -o link show master br7
        {VM_HOST} stop --definition {path} --run-dir {where}/run --deadline 500
        ip -o link show master br7 | grep -c . """
    run = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True,
                         timeout=90, check=False)
    if run.returncode == 99:
        pytest.skip(f"no bridge can be made: {run.stderr}")
    assert ": running" in run.stdout and " vm0:" in run.stdout, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1] == "0"      # it goes with QEMU


def test_bridge_that_is_not_there_is_told(start):
    host = start("a", "--standalone", nics=[{"bridge": "no-br", "mac": "52:54:00:00:00:01"}])
    assert "QEMU cannot be started: No such device" in host.wait("failed")["text"]


def test_stop_before_qemu_is_there_is_obeyed(start, where):
    """A QEMU that takes its time to say its version."""
    slow = os.path.join(where, "slow")
    with open(slow, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nsleep 2\nexec /usr/bin/qemu-system-x86_64 \"$@\"\n")
    os.chmod(slow, 0o755)
    host = start("a", "--standalone", "--qemu", slow)
    assert host.call("stop").returncode == 0
    assert host.end() == 0
    assert host.dots() == 0 and "is set up" not in read(host.log)


# ---- under clusterd

def test_vm_runs_only_with_lock_and_fresh_word(start, clusterd):
    clusterd.peer(1).is_fresh = False
    clusterd.holder = 1
    host = start("a", "--socket", clusterd.path)
    clusterd.wait_status(1, lambda s: s.get("run") == "ready", "ready")
    time.sleep(1)
    assert host.run() == "ready" and host.dots() == 0
    with clusterd.change():
        clusterd.holder, clusterd.peer(1).is_fresh = 2, True
    time.sleep(0.5)
    assert host.run() == "ready"
    with clusterd.change():
        clusterd.holder = 1
    host.wait("running")
    host.computes()
    assert clusterd.peer(1).attach == {"incoming": False}


def test_vm_does_not_run_without_clusterd(start, where):
    host = start("a", "--socket", os.path.join(where, "nobody"))
    host.wait("ready")
    time.sleep(1)
    assert host.run() == "ready" and host.dots() == 0
    assert host.call("stop").returncode == 0        # by the agent that has started it


def test_end_of_the_lease_halts_and_its_return_resumes(under, clusterd):
    host = under()
    clusterd.peer(1).is_leased = False
    began = time.monotonic()
    host.wait("halted")
    took = time.monotonic() - began
    assert took < LEASE_MS / 1000 + HALT_SECONDS, took
    assert host.stands_still()
    clusterd.peer(1).is_leased = True
    host.wait("running")
    host.computes()


def test_lock_that_is_taken_away_halts_at_once(under, clusterd):
    host = under()
    with clusterd.change():
        clusterd.holder = 7
    began = time.monotonic()
    host.wait("halted")
    assert time.monotonic() - began < HALT_SECONDS
    assert host.stands_still(1)
    assert host.run() == "halted"


def test_qemu_that_cannot_be_halted_is_killed(under, clusterd):
    host = under()
    pid = host.status()["qemu_pid"]
    os.kill(pid, signal.SIGSTOP)
    clusterd.peer(1).is_leased = False
    wait_until(lambda: not is_alive(pid), LEASE_MS / 1000 + 5 + HALT_SECONDS, "QEMU is killed")
    host.wait("crashed")


def test_clusterd_may_be_started_anew(under, clusterd):
    host = under()
    clusterd.restart()
    clusterd.wait_status(1, lambda s: s.get("run") == "running", "told anew")
    host.computes()
    time.sleep(LEASE_MS / 1000)
    assert host.run() == "running"


def test_clusterd_stops_and_pauses(under, clusterd):
    host = under()
    with clusterd.change():
        clusterd.peer(1).is_paused = True
    host.wait("paused")
    assert host.stands_still()
    with clusterd.change():
        clusterd.peer(1).is_paused = False
    host.wait("running")
    with clusterd.change():
        clusterd.peer(1).is_stop, clusterd.peer(1).stop_ms = True, 60000
    assert host.end() == 0
    assert read(host.serial).endswith("!")
    assert clusterd.peer(1).status["run"] == "stopped"


def test_garbage_from_clusterd_is_no_word(under, clusterd):
    host = under()
    with clusterd.lock:
        clusterd.peer(1).sock.send(b"\1\0\3garbage")
    clusterd.wait_status(1, lambda s: s.get("run") == "running", "attached anew")
    host.computes()
    assert "does not speak as agreed" in read(host.log)


# ---- migration

def make_key(where, name):
    path = os.path.join(where, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
        f.write(os.urandom(128))
    return path


class Migration:
    """Source and destination under one clusterd."""

    def __init__(self, start, clusterd, where, bandwidth=0, **changes):
        key = make_key(where, "key")
        self.clusterd, self.bandwidth = clusterd, bandwidth
        clusterd.holder = 1
        options = ("--socket", clusterd.path, "--key", key)
        self.source = start("a", *options, instance=1, **changes)
        self.destination = start("b", *options, "--incoming", instance=2, **changes)
        self.source.wait("running")
        self.destination.wait("incoming")
        self.source.computes()

    def begin(self, number=9, peer="127.0.0.3"):
        with self.clusterd.change() as c:
            c.peer(2).migration = {"id": number, "role": DESTINATION, "listen": "127.0.0.3"}
            c.peer(1).migration = {"id": number, "role": SOURCE, "listen": "127.0.0.2",
                                   "peer": peer, "bandwidth": self.bandwidth}

    def wait_phase(self, phase, instance=1, seconds=SECONDS):
        """It was in it, if only for a moment."""
        p = self.clusterd.peer(instance)
        wait_until(lambda: phase in [s["phase"] for s in p.statuses], seconds,
                   f"{instance} in phase {phase}")

    def forget(self):
        """What a cluster does with a migration that has ended, in whatever way."""
        with self.clusterd.change() as c:
            for p in c.peers.values():
                p.migration = None

    def bury(self, dead):
        """What a cluster does that has proven the end of one side."""
        with self.clusterd.change() as c:
            c.peer(3 - dead).migration["peer_dead"] = True
            if c.holder == dead and dead == 2:
                c.holder = 1        # the destination never ran

    def runs_at(self, host, other):
        host.wait("running")
        host.computes()
        assert other.process.poll() is not None or other.run() != "running"


@pytest.fixture
def migration(start, clusterd, where):
    def make(**changes):
        return Migration(start, clusterd, where, **changes)
    return make


def test_migration_moves_the_vm(migration, clusterd):
    m = migration()
    m.begin()
    m.runs_at(m.destination, m.source)
    assert m.source.end() == 0, m.source.tail()
    assert clusterd.transferred == 1 and clusterd.holder == 2
    m.wait_phase("done")
    phases = [s["phase"] for s in clusterd.peer(1).statuses]
    order = ["check", "setup", "memory", "state", "storage-handle", "online", "done"]
    assert [p for i, p in enumerate(phases) if p in order and p not in phases[:i]] == order
    done = clusterd.peer(1).status
    assert done["address"] == "127.0.0.3" and done["total"] > 64 << 20 and done["passes"] > 0
    assert 0 < done["downtime_ms"] < 10000
    assert m.source.stands_still()
    assert not [f for f in os.listdir(m.destination.dir) if f.endswith(".psk")]


class Wire:
    """What each TCP connection to an address begins with, seen on the loopback interface."""

    def __init__(self, address):
        self.address, self.begins, self.is_ending = socket.inet_aton(address), {}, False
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.bind(("lo", 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.sock.settimeout(0.1)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while not self.is_ending:
            try:
                ip = self.sock.recv(65536)[14:]
            except TimeoutError:
                continue
            if ip[9:10] != b"\x06" or ip[16:20] != self.address:
                continue
            tcp = ip[(ip[0] & 15) * 4:]
            payload = tcp[(tcp[12] >> 4) * 4:]
            if payload:
                self.begins.setdefault(tcp[0:4], payload[:5])

    def close(self):
        self.is_ending = True
        self.thread.join(SECONDS)
        self.sock.close()


def test_nothing_of_a_migration_goes_in_clear(migration):
    wire = Wire("127.0.0.3")
    m = migration()
    m.begin()
    m.runs_at(m.destination, m.source)
    wire.close()
    hello = b"\x16\x03"       # a handshake record of TLS, in front of a ClientHello
    assert len(wire.begins) == 2 and all(b[:2] == hello for b in wire.begins.values()), wire.begins


def test_vm_that_has_moved_obeys_its_new_host(migration, clusterd):
    m = migration()
    m.begin()
    m.runs_at(m.destination, m.source)
    with clusterd.change():
        clusterd.peer(2).migration = None
        clusterd.peer(2).is_stop, clusterd.peer(2).stop_ms = True, 60000
    assert m.destination.end() == 0
    assert read(m.destination.serial).endswith("!")


def test_cancel_in_memory_leaves_the_source_running(migration, clusterd):
    m = migration(bandwidth=SLOW, memory=256)
    m.begin()
    m.wait_phase("memory")
    with clusterd.change():
        clusterd.peer(1).migration["cancelled"] = clusterd.peer(2).migration["cancelled"] = True
    m.wait_phase("cancelled")
    m.runs_at(m.source, m.destination)
    assert m.destination.end() == 0, m.destination.tail()


def test_cancel_before_the_transfer_brings_it_back(migration, clusterd):
    clusterd.is_transferring = False
    m = migration()
    m.begin()
    m.wait_phase("storage-handle")
    time.sleep(0.5)
    assert m.source.stands_still() and m.destination.dots() == 0
    with clusterd.change():
        clusterd.peer(1).migration["cancelled"] = clusterd.peer(2).migration["cancelled"] = True
    m.wait_phase("cancelled")
    m.runs_at(m.source, m.destination)
    assert m.destination.end() == 0


class Muzzle:
    """Stands before 127.0.0.3 at another address: passes on what the vm-hosts tell each other, and
    takes QEMU's connections without ever saying a word."""

    def __init__(self, address):
        self.address, self.port, self.open, self.mute = address, 0, [], {}

    def on_status(self, instance, status):
        """The destination says where its vm-host listens, and nobody else has been told yet."""
        if instance == 2 and status["port"] and not self.port:
            self.port = status["port"]
            listener = self._listen(self.port)
            threading.Thread(target=self._pass_on, args=[listener], daemon=True).start()

    def _listen(self, port):
        listener = socket.create_server((self.address, port))
        self.open.append(listener)
        return listener

    def _pass_on(self, listener):
        with contextlib.suppress(OSError):
            near = listener.accept()[0]
            far = socket.create_connection(("127.0.0.3", self.port))
            self.open += [near, far]
            while True:
                for sock in select.select([near, far], [], [])[0]:
                    data = sock.recv(65536)
                    if not data:
                        return
                    if sock is far:         # it may say where QEMU listens
                        self._mute_qemu()
                    (near if sock is far else far).sendall(data)

    def _mute_qemu(self):
        with open("/proc/net/tcp", encoding="ascii") as f:
            rows = [line.split() for line in f][1:]
        for local, state in [(r[1], r[3]) for r in rows]:
            host, port = local.split(":")
            port = int(port, 16)
            if host == "0300007F" and state == "0A" and port not in (self.port, *self.mute):
                self.mute[port] = self._listen(port)

    def close(self):
        for sock in self.open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def test_a_machine_goes_on_whose_qemu_waits_for_a_handshake(migration, clusterd):
    """QEMU 7.2 shakes hands by blocking calls of its main thread: the machine stands still, and no
    command is answered."""
    muzzle = Muzzle("127.0.0.4")
    clusterd.on_status = muzzle.on_status
    m = migration()
    m.begin(peer="127.0.0.4")
    wait_until(lambda: muzzle.mute and m.source.stands_still(), SECONDS, "it stands still",
               hint=m.source.tail())
    with clusterd.change():
        clusterd.peer(1).migration["cancelled"] = clusterd.peer(2).migration["cancelled"] = True
    m.source.computes()
    m.wait_phase("cancelled")
    m.runs_at(m.source, m.destination)
    muzzle.close()


def test_second_migration_succeeds_after_a_cancelled_one(migration, clusterd, start):
    m = migration(bandwidth=SLOW, memory=256)
    m.begin()
    m.wait_phase("memory")
    with clusterd.change():
        clusterd.peer(1).migration["cancelled"] = clusterd.peer(2).migration["cancelled"] = True
    assert m.destination.end() == 0
    with clusterd.change():
        clusterd.peer(1).migration = clusterd.peers.pop(2).migration = None
    m.clusterd.wait_status(1, lambda s: s["id"] == 0, "forgotten")
    m.destination = start("b", "--socket", clusterd.path, "--key",
                          os.path.join(os.path.dirname(m.source.dir), "key"), "--incoming",
                          instance=2, memory=256)
    m.destination.wait("incoming")
    m.bandwidth = 0
    m.begin(10)
    m.runs_at(m.destination, m.source)
    assert m.source.end() == 0


@pytest.mark.parametrize("phase", long_but(PHASES_BEFORE, "memory"))
def test_destination_killed_before_the_transfer(migration, clusterd, phase):
    clusterd.is_transferring = False
    m = migration(bandwidth=SLOW if phase == "memory" else 0)
    if phase == "check":
        m.destination.kill()
        m.begin()
    else:
        clusterd.on_status = lambda instance, s: instance == 1 and s["phase"] == phase and \
            m.destination.process.kill()
        m.begin()
    m.wait_phase(phase)
    m.destination.process.wait(timeout=SECONDS)
    m.bury(2)
    m.wait_phase("failed")
    m.runs_at(m.source, m.destination)


@pytest.mark.parametrize("phase", long_but(PHASES_BEFORE[1:], "memory"))
def test_source_killed_before_the_transfer(migration, clusterd, phase):
    clusterd.is_transferring = False
    m = migration(bandwidth=SLOW if phase == "memory" else 0)
    clusterd.on_status = lambda instance, s: instance == 1 and s["phase"] == phase and \
        m.source.process.kill()
    m.begin()
    m.source.process.wait(timeout=SECONDS)
    m.bury(1)
    assert m.destination.end() == 0, m.destination.tail()
    assert m.destination.dots() == 0


def test_source_killed_after_the_transfer(migration, clusterd):
    m = migration()
    clusterd.on_status = lambda instance, s: instance == 1 and s["phase"] == "online" and \
        m.source.process.kill()
    m.begin()
    m.source.process.wait(timeout=SECONDS)
    m.runs_at(m.destination, m.source)


def test_destination_killed_after_the_transfer_that_never_ran(migration, clusterd):
    m = migration()
    clusterd.on_status = lambda instance, s: instance == 1 and s["phase"] == "storage-handle" and \
        m.destination.process.kill()
    m.begin()
    m.destination.process.wait(timeout=SECONDS)
    wait_until(lambda: clusterd.transferred, SECONDS, "the transfer")
    time.sleep(0.5)
    assert m.source.stands_still()
    m.bury(2)
    m.runs_at(m.source, m.destination)


@pytest.fixture
def network():
    n = Network()
    yield n
    n.close()


@pytest.mark.parametrize("phase", long_but(PHASES_BEFORE, "memory"))
def test_network_dies_before_the_transfer(migration, clusterd, network, phase):
    """Nobody is dead, and each side is told by clusterd alone: the source goes on."""
    clusterd.is_transferring = False
    lasts = phase in ("setup", "memory")     # until it is cut, and longer
    m = migration(bandwidth=SLOW if lasts else 0, inside=network.inside)
    once = threading.Event()

    def cut(instance, status):
        if instance == 1 and status["phase"] == phase and not once.is_set():
            once.set()
            network.cut()
    clusterd.on_status = cut
    m.begin()
    wait_until(once.is_set, SECONDS, f"the cut in phase {phase}")
    if lasts:       # by itself: the other side is silent; QEMU's stream may need some asking to end
        m.wait_phase("failed", seconds=3 * SECONDS)
        assert "silent" in clusterd.peer(1).status["why"], clusterd.peer(1).status
    elif phase == "state":                  # what was on its way may have arrived
        wait_until(lambda: clusterd.peer(1).status["phase"] in ("failed", "storage-handle"),
                   SECONDS, "the source waits or has given up")
    else:                                   # it tries to connect, or waits for the lock: for us
        time.sleep(1)
        assert clusterd.peer(1).status["phase"] == phase
    if clusterd.peer(1).status["phase"] == "storage-handle":
        assert m.source.stands_still() and m.destination.dots() == 0
    m.forget()
    m.runs_at(m.source, m.destination)
    assert m.destination.end() == 0, m.destination.tail()
    assert m.destination.dots() == 0


@pytest.mark.parametrize("phase", ("storage-handle", "online"))
def test_network_dies_at_the_transfer(migration, clusterd, network, phase):
    """All is there: the destination runs, and the source hears of it from clusterd alone."""
    m = migration(inside=network.inside)
    once = threading.Event()

    def cut(instance, status):
        if instance == 1 and status["phase"] == phase and not once.is_set():
            once.set()
            network.cut()
    clusterd.on_status = cut
    m.begin()
    m.runs_at(m.destination, m.source)
    assert once.is_set() and clusterd.transferred == 1
    m.forget()
    assert m.source.end() == 0, m.source.tail()
    m.destination.computes()


def test_network_that_comes_back_before_the_memory_is_no_failure(migration, clusterd, network):
    m = migration(inside=network.inside)
    network.cut()
    m.begin()
    m.wait_phase("check")
    wait_until(lambda: clusterd.peer(1).migration.get("peer_port"), SECONDS, "the port is known")
    time.sleep(1)
    assert clusterd.peer(1).status["phase"] == "check"
    network.heal()
    m.runs_at(m.destination, m.source)
    assert m.source.end() == 0, m.source.tail()


def test_definition_that_differs_is_refused_before_the_vm_is_touched(start, clusterd, where,
                                                                      migration):
    m = migration()
    m.destination.close()
    other = start("c", "--socket", clusterd.path, "--key", os.path.join(where, "key"), "--incoming",
                  instance=2, vcpus=2)
    other.wait("incoming")
    m.begin()
    m.wait_phase("failed")
    assert "the definition differs" in clusterd.peer(1).status["why"]
    assert "memory" not in [s["phase"] for s in clusterd.peer(1).statuses]
    m.runs_at(m.source, other)


def test_stranger_without_the_key_gets_nowhere(start, clusterd, where, migration):
    m = migration()
    m.destination.close()
    key = make_key(where, "other-key")
    other = start("c", "--socket", clusterd.path, "--key", key, "--incoming", instance=2)
    other.wait("incoming")
    m.begin()
    wait_until(lambda: "not of this cluster, or not TLS" in read(m.source.log), SECONDS, "refusal")
    assert m.source.run() == "running" and other.run() == "incoming"


def test_migration_without_clusterd(start, where):
    key = make_key(where, "key")
    # Numbers of their own: by them their control groups differ, here on one machine.
    source = start("a", "--standalone", "--key", key, "--instance", "1")
    source.wait("running")
    source.computes()
    assert source.call("migrate", "--peer", "127.0.0.3", "--port", "15420").returncode == 0
    destination = start("b", "--standalone", "--key", key, "--incoming", "--listen", "127.0.0.3",
                        "--port", "15420", "--instance", "2")
    destination.wait("running")
    destination.computes()
    assert source.end() == 0, source.tail()


# ---- a guest that proves what became of it (tests/guests)

@pytest.fixture
def witness(where, start, clusterd):
    """witness(name, instance, *options) gives a vm-host and its console; judged at the end."""
    if not os.path.exists(WITNESS):
        pytest.skip("make tests/guests/witness.elf first")
    log, consoles = SerialLog(os.path.join(where, "serial.log")), []
    image = os.path.join(where, "disk.img")
    with open(image, "wb") as f:
        f.truncate(64 * BLOCK)

    def make(name, instance, *options, disk=image, **changes):
        path = os.path.join(where, f"{name}.serial")
        host = start(name, "--socket", clusterd.path, *options, instance=instance, kernel=WITNESS,
                     append="vm=w1 interval=5 dirty=2048 sweep=500 ring=64", memory=128,
                     serial={"socket": path}, disks=[{"path": disk, "format": "raw"}], **changes)
        consoles.append(Console(path, name, log))
        return host, consoles[-1]
    make.judge = lambda: judge(image, [log.path])
    yield make
    for console in consoles:
        console.is_ending = True
    log.close()


def stop_by_clusterd(clusterd, instance, host):
    with clusterd.change():
        clusterd.peer(instance).migration = None
        clusterd.peer(instance).is_stop, clusterd.peer(instance).stop_ms = True, 60000
    assert host.end() == 0, host.tail()


@pytest.mark.parametrize("machine", long_but(("q35", "pc"), "q35"))
def test_witness_finds_nothing_in_three_migrations(witness, clusterd, where, machine):
    key = make_key(where, "key")
    clusterd.holder = 1
    host, console = witness("n1", 1, "--key", key, machine=machine)
    host.wait("running")
    console.gets_on()
    for source in (1, 2, 3):
        target = source + 1
        after, arrives = witness(f"n{target}", target, "--key", key, "--incoming", machine=machine)
        after.wait("incoming")
        with clusterd.change():
            clusterd.peer(target).migration = {"id": target, "role": DESTINATION,
                                               "listen": f"127.0.0.{target}"}
            clusterd.peer(source).migration = {"id": target, "role": SOURCE,
                                               "peer": f"127.0.0.{target}"}
        after.wait("running", seconds=60)
        assert host.end() == 0, host.tail()
        clusterd.peers.pop(source)
        with clusterd.change():
            clusterd.peer(target).migration = None
        arrives.gets_on()
        host, console = after, arrives
    stop_by_clusterd(clusterd, 4, host)
    console.close()
    assert witness.judge() == []


class Campaign:
    """Migrations, and one fault in each at a moment that a seed picks. The cluster fences, and
    starts the VM anew where it is lost; the witness's judge has the last word."""

    def __init__(self, seed, witness, clusterd, key):
        self.random, self.witness, self.clusterd = random.Random(seed), witness, clusterd
        self.key, self.number, self.story = key, 0, [f"seed {seed}"]

    def new(self, *options):
        self.number += 1
        return (self.number, *self.witness(f"n{self.number}", self.number, "--key", self.key,
                                           *options))

    def boot(self):
        number, host, console = self.new()
        with self.clusterd.change() as c:
            c.holder = number
        host.wait("running", seconds=60)
        console.gets_on(5)
        return number, host, console

    def fence(self, number, host):
        """Its processes are gone for certain; then it counts as dead."""
        host.kill()
        host.close()
        with self.clusterd.change() as c:
            for other, p in c.peers.items():
                if p.migration and other != number:
                    p.migration["peer_dead"] = True
            c.peers.pop(number, None)
            return c.holder == number

    def round(self, source):
        number, host, _ = source
        target = self.new("--incoming")
        target[1].wait("incoming")
        with self.clusterd.change() as c:
            c.peer(target[0]).migration = {"id": target[0], "role": DESTINATION,
                                           "listen": "127.0.0.3"}
            c.peer(number).migration = {"id": target[0], "role": SOURCE, "peer": "127.0.0.3",
                                        "bandwidth": self.random.choice((0, 64 << 20))}
        time.sleep(self.random.uniform(0, 2.5))
        victim = self.random.choice((source, target))
        how = self.random.choice(("kill", "freeze", "cancel", "none"))
        self.story.append(f"{number} -> {target[0]}: {how} {victim[0]}")
        if how == "cancel":
            with self.clusterd.change() as c:
                for p in c.peers.values():
                    if p.migration:
                        p.migration["cancelled"] = True
        elif how in ("kill", "freeze"):
            victim[1].process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGSTOP)
            time.sleep(self.random.uniform(0, 1))
            if self.fence(victim[0], victim[1]):
                return self.lost(victim, source if victim is target else target)
        return self.settle(source, target)

    def lost(self, victim, other):
        """The holder of the lock is gone: the other side ends, the VM starts anew."""
        with self.clusterd.change() as c:
            c.holder = None
            if other[0] in c.peers:
                c.peer(other[0]).migration = None
                c.peer(other[0]).is_stop = True
        assert other[1].end() == 0, other[1].tail()
        self.clusterd.peers.pop(other[0], None)
        self.story.append(f"lost with {victim[0]}")
        return self.boot()

    def settle(self, source, target):
        """One side ends by itself, the other has the VM."""
        ended = wait_until(lambda: [s for s in (source, target)
                                    if s[1].process.poll() is not None], 90, str(self.story))[0]
        left = target if ended is source else source
        assert self.clusterd.holder == left[0], self.story
        left[1].wait("running", seconds=60)
        left[2].gets_on(5)
        self.clusterd.peers.pop(ended[0], None)
        with self.clusterd.change() as c:
            c.peer(left[0]).migration = None
        self.clusterd.wait_status(left[0], lambda s: s.get("id") == 0, "migration is forgotten")
        return left


@long
@pytest.mark.parametrize("seed", range(int(os.environ.get("VMHOST_SEEDS", "1"))))
def test_faults_at_any_moment_of_a_migration(witness, clusterd, where, seed):
    campaign = Campaign(seed, witness, clusterd, make_key(where, "key"))
    now = campaign.boot()
    for _ in range(6):
        now = campaign.round(now)
    stop_by_clusterd(clusterd, now[0], now[1])
    now[2].close()
    assert witness.judge() == [], campaign.story


def test_lease_that_comes_and_goes_costs_the_witness_nothing(witness, clusterd):
    clusterd.holder = 1
    host, console = witness("n1", 1)
    host.wait("running")
    for _ in range(2):
        console.gets_on()
        clusterd.peer(1).is_leased = False
        host.wait("halted")
        clusterd.peer(1).is_leased = True
        host.wait("running")
    console.gets_on()
    stop_by_clusterd(clusterd, 1, host)
    console.close()
    assert witness.judge() == []


def test_full_disk_pauses_and_room_resumes(witness, clusterd, where):
    """ENOSPC stands for any failed request: the guest is not told of it."""
    small = os.path.join(where, "small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", small], check=True)
    try:
        disk = os.path.join(small, "disk.img")
        with open(disk, "wb") as f:
            f.truncate(64 * BLOCK)
        clusterd.holder = 1
        host, console = witness("n1", 1, disk=disk)
        host.wait("io-error")
        assert 0 < console.sequence() < 64
        subprocess.run(["mount", "-o", "remount,size=1m", small], check=True)
        host.wait("running")
        console.gets_on(100)
        stop_by_clusterd(clusterd, 1, host)
        assert not [line for line in console.lines if line.kind in ("ERROR", "FAULT", "DAMAGE")]
    finally:
        host.close()
        subprocess.run(["umount", small], check=True)


# ---- the resource agent

AGENT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..",
                                      "agents", "vm"))


class Node:
    """The agent as a cluster manager calls it on one node."""

    def __init__(self, directory, definition, **params):
        self.dir = directory
        os.makedirs(directory)
        path = os.path.join(directory, "vm.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({**definition, "serial": {"log": os.path.join(directory, "serial")}}, f)
        self.params = {"definition": path, "run_dir": os.path.join(directory, "run"),
                       "binary": VM_HOST, **params}

    def __call__(self, action, **more):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OCF_ROOT": "/usr/lib/ocf",
               "HA_RSCTMP": self.dir, "OCF_RESOURCE_INSTANCE": "vm1", "HA_LOGFACILITY": "none",
               "OCF_RESKEY_CRM_meta_timeout": "60000"}
        env.update({f"OCF_RESKEY_{k}": v for k, v in {**self.params, **more}.items()})
        run = subprocess.run([AGENT, action], env=env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True, timeout=90, check=False)
        self.stderr = run.stderr
        return run.returncode

    def serial(self):
        return read(os.path.join(self.dir, "serial"), "")


def test_agent_passes_ocf_tester(where, definition):
    node = Node(os.path.join(where, "n"), definition)
    params = [w for k, v in node.params.items() for w in ("-o", f"{k}={v}")]
    run = subprocess.run(["ocf-tester", "-n", "vm-tested", *params, AGENT], capture_output=True,
                         text=True, timeout=240, check=False)
    node("stop")
    assert run.returncode == 0 and "passed all tests" in run.stdout, run.stdout + run.stderr


def test_agent_migrates(where, definition):
    key = make_key(where, "key")
    a = Node(os.path.join(where, "a"), definition, key=key, migration_addresses="n2=127.0.0.3",
             migration_port="15421")
    b = Node(os.path.join(where, "b"), definition, key=key, migration_port="15421",
             migration_addresses=f"{os.uname().nodename}=127.0.0.3")
    try:
        assert a("start") == 0, a.stderr
        assert (a("monitor"), b("monitor")) == (0, 7)
        assert a("migrate_to", CRM_meta_migrate_target="n2") == 0, a.stderr
        assert b("migrate_from", CRM_meta_migrate_source="n1") == 0, b.stderr
        assert b("monitor") == 0
        assert a("stop") == 0 and a("monitor") == 7
        before = len(b.serial())
        wait_until(lambda: len(b.serial()) > before + 5, SECONDS, "it gets on")
        assert "X" not in b.serial()
    finally:
        assert (a("stop"), b("stop")) == (0, 0)
    assert b.serial().endswith("!")


def test_agent_tells_failures_from_stopped(where, definition):
    node = Node(os.path.join(where, "n"), definition)
    assert node("validate-all") == 0
    assert node("monitor") == 7
    assert node("start") == 0, node.stderr
    status = subprocess.run([VM_HOST, "status", "--uuid", UUID, "--run-dir", node.params["run_dir"],
                             "--json"], stdout=subprocess.PIPE, text=True, check=True)
    os.kill(json.loads(status.stdout)["qemu_pid"], signal.SIGKILL)
    wait_until(lambda: node("monitor") == 1, SECONDS, "it is told as failed")
    assert "signal 9" in node.stderr
    assert node("start") == 0 and node("monitor") == 0     # recovers
    # The definition goes, the machine is stopped all the same.
    os.unlink(node.params["definition"])
    assert node("validate-all") == 5
    assert node("monitor") == 0 and node("stop") == 0 and node("monitor") == 7


def test_agent_refuses_a_definition_that_is_not_valid(where, definition):
    node = Node(os.path.join(where, "n"), {**definition, "cpu": "host"})
    assert node("validate-all") == 2
    assert "/cpu: found" in node.stderr
    assert node("start") == 2 and node("stop") == 0
    assert Node(os.path.join(where, "m"), definition)("validate-all", definition="") == 6
