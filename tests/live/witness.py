# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness as a virtual machine of a cluster in a lab, and what it says, with times.

Its serial line goes to a file on each node, which lies on the host: a thread here follows all of
them and writes down when each line was seen. The judge reads that and the machine's disk.
"""
import json
import os
import sys
import threading
import time

from cluster import BUILD, CSVADM, Cluster
from lablib import wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "guests"))

from witness_judge import STAMP, judge                          # noqa: E402

ELF = os.path.join(BUILD, "tests", "guests", "witness.elf")
FENCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "lab", "fence_lab"))
DISK_MIB = 4
LOOK_SECONDS = 0.01
SLACK = 1.0     # this thread has to share two cores with three nodes


class Witness:
    """One VM that runs the witness. Also a follower of its serial lines: close() ends that."""

    def __init__(self, c, name="web1", volume="vol", memory=128, dirty=512, mem=32,
                 append=""):
        self.c, self.name = c, name
        self.disk = f"/cluster/{volume}/{name}.img"
        self.definition = {
            "schema": 1, "name": name, "vcpus": 1, "memory": memory, "machine": "q35",
            "accelerator": "tcg", "disks": [{"path": self.disk, "format": "raw"}],
            "kernel": ELF, "append": f"vm={name} mem={mem} dirty={dirty} ring=512 {append}",
            "serial": {"log": f"/var/log/{name}.serial"}}
        self.lines, self.stamped, self.lock, self.ends = [], [], threading.Lock(), False
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def close(self):
        self.ends = True
        self.thread.join()

    def _follow(self):
        files = {n: os.path.join(self.c.lab.dir, n, "log", f"{self.name}.serial")
                 for n in self.c.lab.nodes}
        seen, rest = dict.fromkeys(files, 0), dict.fromkeys(files, b"")
        while not self.ends:
            # Of all that this round sees: what was said first is never seen later then, however
            # long it takes from one file to the next.
            now = time.monotonic()
            for node, path in files.items():
                try:
                    with open(path, "rb") as f:
                        f.seek(seen[node])
                        data = f.read()
                except OSError:
                    continue
                seen[node] += len(data)
                *whole, rest[node] = (rest[node] + data).split(b"\n")
                lines = [(now, node, w.decode("latin-1").rstrip("\r")) for w in whole]
                stamped = [(now, node, STAMP.match(text)) for _, _, text in lines]
                with self.lock:     # for a moment only: who waits for it sees lines late
                    self.lines += lines
                    self.stamped += [(t, n, int(m.group(2))) for t, n, m in stamped if m]
            time.sleep(LOOK_SECONDS)        # a poll of files: there is nothing to wait for

    def create(self, via="n1", *options, is_direct=False):
        """is_direct: a disk whose blocks are there, so that each node reads and writes it itself."""
        if is_direct:
            self.c.lab.run(via, [CSVADM, "prealloc", self.disk, "--size", f"{DISK_MIB}M"])
        else:
            self.c.lab.run(via, f"truncate -s {DISK_MIB}M {self.disk}")
        self.c.lab.run(via, ["tee", f"/run/{self.name}.json"], stdin=json.dumps(self.definition))
        self.c.ctl(via, "vm", "create", self.name, "--file", f"/run/{self.name}.json", *options)
        return self

    def start(self, via="n1"):
        self.c.ctl(via, "vm", "start", self.name, "--wait=60", timeout=90)
        self.wait_alive()
        return self

    def show(self, via="n1"):
        return self.c.ctl(via, "vm", "show", self.name)

    def node(self, via="n1"):
        return self.show(via)["node"]

    def stamps(self, node=None):
        """(time, node, sequence) of the stamps that were seen. A migration in the middle of one
        leaves its halves on two nodes: they are not."""
        with self.lock:
            stamped = self.stamped[:]
        return [s for s in stamped if node in (None, s[1])]

    def boots(self):
        with self.lock:
            return [(t, n) for t, n, text in self.lines if text.startswith("WITNESS BOOT")]

    def wait_alive(self, node=None, more=5, timeout=60):
        """So many further stamps, on that node or anywhere."""
        now = time.monotonic()
        wait_until(lambda: len([s for s in self.stamps(node) if s[0] > now]) >= more, timeout,
                   f"{self.name} stamps{' on ' + node if node else ''}")

    def stop(self, via="n1"):
        self.c.ctl(via, "vm", "stop", self.name, "--wait=90", timeout=120)

    def judge(self, via="n1"):
        """Sentences about what is wrong. The machine may run: what had been said by now is on its
        disk, and the ring is copied in the order in which it is written."""
        image = os.path.join(self.c.lab.dir, "shared", f"{self.name}.img")
        log = os.path.join(self.c.lab.dir, "shared", f"{self.name}.log")
        os.makedirs(os.path.dirname(image), exist_ok=True)
        with self.lock, open(log, "w", encoding="latin-1") as f:
            f.writelines(f"{t:.6f} {n} {text}\n" for t, n, text in self.lines)
        self.c.lab.run(via, f"cp {self.disk} {image}")
        return judge(image, [log], SLACK)


def witness_cluster(lab, is_direct=False, vm_options=(), **options):
    """A cluster of all nodes of the lab, with power switches and one volume, and a Witness that
    runs on one of them."""
    c = Cluster(lab).create()
    c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
          "bmc_socket=/run/lab/bmc.sock")
    c.volume()
    return Witness(c, **options).create("n1", *vm_options, is_direct=is_direct).start()
