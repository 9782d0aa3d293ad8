# SPDX-License-Identifier: GPL-2.0-or-later
"""What a campaign plays with: a lab of four nodes with a volume, groups, a machine and workers; how
each step is done to it, and how all is mended."""
import json
import os
import random
import signal
import subprocess
import time

from campaign_steps import GROUPS, NODES
from campaign_work import KINDS
from cluster import CSVADM, Cluster, Ctl
from cgroup import Cgroup
from history import Api, Lost
from lablib import LabError, wait_until
from witness import FENCE, Witness

HERE = os.path.dirname(os.path.realpath(__file__))
WORK = os.path.join(HERE, "campaign_work.py")
VOLUME = "/cluster/vol"
VM = "vm1"
QUICK = 12              # seconds for a command of a step: a cluster in trouble does not answer
LOOK_SECONDS = 4        # for an answer that a clusterd has in its memory
OFF_SECONDS = 6         # a node may be off so long before somebody switches it on: a fence does it
STARTS = 3              # of a clusterd that ends again, before somebody resets its machine


class World:
    """The lab, and what runs on it."""

    def __init__(self, lab):
        self.lab, self.lives = lab, dict.fromkeys(NODES, 0)
        self.workers, self.witness = {}, None
        self.accounts = os.path.join(lab.dir, "shared", "accounts")
        self.off_since, self.starts, self.mended = {}, {}, []
        self.stopped = []               # [(when, pid)] of csvfsds that stand still

    def build(self):
        os.makedirs(self.accounts, exist_ok=True)
        c = self.c = Cluster(self.lab).create()
        c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE, "--param",
              "bmc_socket=/run/lab/bmc.sock")
        c.ctl("n1", "fence", "set", "--max", "3", "--window-ms", "1000")
        c.ctl("n1", "quorum", "set", "--quarantine-max", "0")
        c.volume()
        for group in GROUPS:
            c.dummy(group)
            c.ctl("n1", "group", "start", group, "--wait")
        self.lab.run("n1", [CSVADM, "prealloc", f"{VOLUME}/disk", "--size", "4M"])
        self.witness = Witness(c, VM, memory=64, mem=8, dirty=16)
        self.witness.create("n1", is_direct=True).start()
        self.lab.run("n1", [WORK, "reset", self.accounts, VOLUME])

    def close(self):
        if self.witness:
            self.witness.close()
        for process in self.workers.values():
            process.kill()
            process.wait()

    # --- looking

    def nodes(self):
        return {n["name"]: n for n in self.lab.status()["nodes"]}

    def ask(self, node, verb, **args):
        """The data of a reply; Lost without one."""
        api = Api(self.lab, node)
        api.sock.settimeout(LOOK_SECONDS)
        try:
            reply = api.ask(verb, **args)
        finally:
            api.close()
        if reply["code"]:
            raise Lost(f"{verb}: {reply['text']}")
        return reply.get("data")

    def ask_any(self, verb, **args):
        for node in NODES:
            try:
                return self.ask(node, verb, **args)
            except Lost:
                continue
        raise Lost(f"{verb}: no node answers")

    def via(self):
        """A node that has quorum, as it says."""
        for node in NODES:
            try:
                if self.ask(node, "quorum.show")["is_quorate"]:
                    return node
            except Lost:
                continue
        raise Lost("no node has quorum")

    def pids(self, node, *words):
        """Processes of a node with these words in their command lines, by their ids here."""
        found = []
        for pid in Cgroup(self.lab.node(node)["cgroup"]).pids():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    argv = f.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if argv[0].rpartition("/")[2] == words[0] and set(words[1:]) <= set(argv):
                found.append(pid)
        return found

    # --- workers

    def employ(self):
        """A worker on each node that is on and has none."""
        states = self.nodes()
        for node in NODES:
            process = self.workers.get(node)
            if process and process.poll() is None:
                continue
            if states[node]["state"] != "on" or states[node]["frozen"]:
                continue
            self.lives[node] += 1
            self.workers[node] = self.lab.popen(
                node, [WORK, "run", self.accounts, VOLUME, node, str(NODES.index(node)),
                       str(self.lives[node])], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sizes(self):
        """{(worker, kind): how long its account is}, of the workers of now."""
        found = {}
        for node in NODES:
            who = f"{node}.{self.lives[node]}"
            for kind in KINDS:
                found[who, kind] = sum(
                    os.path.getsize(os.path.join(self.accounts, name))
                    for name in os.listdir(self.accounts)
                    if name.startswith(f"{who}.") and name.endswith(kind))
        return found

    def idle(self, before):
        """Who has done nothing since then."""
        return [f"{who} {kind}" for (who, kind), size in self.sizes().items()
                if size <= before.get((who, kind), 0)]

    def dismiss(self, timeout):
        """All workers end what they do. Those that do not are the result."""
        open(os.path.join(self.accounts, "stop"), "w", encoding="ascii").close()
        try:
            wait_until(lambda: all(p.poll() is not None for p in self.workers.values()), timeout,
                       "the workers end")
        except LabError:
            return [n for n, p in self.workers.items() if p.poll() is None]
        return []

    # --- steps: each does one thing, and says what

    def play(self, step):
        try:
            return getattr(self, "step_" + step.name)(*step.words) or ""
        except (LabError, Ctl, Lost, OSError) as e:
            return f"not done: {str(e)[:150]}"

    def ctl(self, *words):
        node = self.via()
        self.c.ctl(node, *words, timeout=QUICK)
        return f"via {node}"

    def step_crash(self, node):
        self.lab.kill(node)

    def step_freeze_node(self, node):
        self.lab.freeze(node)

    def step_freeze_service(self, node, service):
        self.lab.service(node, "freeze", service)

    def step_kill_service(self, node, service, again=""):
        self.lab.service(node, "kill", service)
        if again:
            self.lab.service(node, "start", service)

    def step_stop_service(self, node, service):
        self.lab.service(node, "stop", service)

    def step_cut_off(self, node):
        self.lab.cut(node)

    def step_cut_pair(self, one, other, network):
        self.lab.cut(one, other, None if network == "both" else network)

    def step_cut_one_way(self, one, other):
        self.lab.cut(one, other, one_way=True)

    def step_heal_net(self):
        self.lab.heal()

    def step_raise_node(self, node):
        state = self.lab.node(node)
        if state["state"] != "on":
            self.lab.start(node)
            return "on"
        return self.raise_services(node, state)

    def raise_services(self, node, state):
        done = []
        if state["frozen"]:
            self.lab.thaw(node)
            done.append("thawed")
        for service, seen in state["services"].items():
            if seen["state"] == "exited":
                self.lab.service(node, "start", service)
                done.append(f"{service} started")
            elif seen["state"] == "running":
                self.lab.service(node, "thaw", service)
        return ", ".join(done)

    def step_disk(self, node, what, *words):
        if what == "hold":
            self.lab.disk(node, "hang")
        else:
            self.lab.lun_fault(node, what, *words)

    def step_heal_disk(self, node):
        self.lab.disk(node, "ok")
        self.lab.lun_fault(node, "ok")

    def coordinator(self):
        return self.ask_any("volume.show", name="vol")["node"]

    def csvfsd(self, role, node):
        """Its processes; the coordinator is where it is."""
        if role == "coordinate":
            node = self.coordinator()
        return node, self.pids(node, "csvfsd", role) if node else []

    def step_kill_csvfsd(self, role, node):
        node, pids = self.csvfsd(role, node)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return f"{node}: {pids}"

    def step_stop_csvfsd(self, role, node, seconds):
        node, pids = self.csvfsd(role, node)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            self.stopped.append((time.monotonic() + float(seconds), pid))
        return f"{node}: {pids}"

    def wake(self, all_of_them=False):
        """Lets go on what has stood still for its time."""
        for when, pid in self.stopped[:]:
            if all_of_them or time.monotonic() >= when:
                self.stopped.remove((when, pid))
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass

    def step_kill_program(self, node):
        pids = self.pids(node, "python3", WORK)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return f"{pids}"

    def step_kill_vm(self, what):
        name = {"qemu": "qemu-system-x86_64"}.get(what, what)
        pids = [p for n in NODES for p in self.pids(n, name)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return f"{pids}"

    def step_volume_move(self, node):
        return self.ctl("volume", "move", "vol", "--to", node, "--no-wait")

    def step_redirect(self, state, *node):
        return self.ctl("volume", "redirect", "vol", state, *(("--node", *node) if node else ()))

    def step_drain(self, node):
        return self.ctl("node", "drain", node, "--no-wait")

    def step_resume(self, node):
        return self.ctl("node", "resume", node)

    def step_group_move(self, group, node):
        return self.ctl("group", "move", group, "--to", node, "--no-wait")

    def step_resource_fail(self, group):
        return self.ctl("resource", "fail", f"{group}-d")

    def step_vm_migrate(self, node):
        return self.ctl("vm", "migrate", VM, "--to", node, "--no-wait")

    def step_fence_run(self, node):
        return self.ctl("fence", "run", node, "--confirm", node, "--no-wait")

    def step_balance(self):
        return self.ctl("volume", "balance")

    def step_dwell(self, seconds):
        return f"{seconds} s"

    # --- mending

    def heal(self):
        """Takes back all that the steps have broken, but for what needs the cluster."""
        self.wake(True)
        self.lab.heal()
        for node, state in self.nodes().items():
            if state["state"] == "on":      # one that is off gets a new one with its next boot
                self.step_heal_disk(node)
        self.mend()

    def mend(self):
        """What an administrator would do next; again and again, until all is well."""
        for node, state in self.nodes().items():
            try:
                self.mend_node(node, state)
            except LabError as e:
                self.mended.append(f"{node}: {str(e)[:120]}")

    def mend_node(self, node, state):
        if state["busy"]:
            return
        if state["state"] == "failed":
            self.lab.kill(node)
        if state["state"] != "on":
            since = self.off_since.setdefault(node, time.monotonic())
            if time.monotonic() - since > OFF_SECONDS:
                self.lab.start(node)
                self.mended.append(f"{node} switched on")
            return
        self.off_since.pop(node, None)
        if state["frozen"] or any(s["state"] == "exited" for s in state["services"].values()):
            self.starts[node] = self.starts.get(node, 0) + 1
            if self.starts[node] > STARTS:      # its clusterd is not to act any more in this boot
                self.lab.kill(node)
                self.starts.pop(node)
                self.mended.append(f"{node} reset")
                return
        self.raise_services(node, state)

    def mend_cluster(self, clears):
        """By commands, once there is quorum. clears: the cluster had its time to help itself."""
        for node in self.ask_any("node.list"):
            if node["is_paused"] or node["is_draining"]:
                self.ctl("node", "resume", node["name"])
        volume = self.ask_any("volume.show", name="vol")
        if volume["redirected"]:
            self.ctl("volume", "redirect", "vol", "off")
        if not clears:
            return
        if volume["work"] == "failed":
            self.ctl("volume", "clear", "vol")
            self.mended.append("volume cleared")
        for group in self.ask_any("group.list"):
            if group["work"] == "failed" or group["gave_up"] != "-":
                self.ctl("group", "clear", group["name"])
                self.mended.append(f"{group['name']} cleared")


def pick(seed, segment):
    """The node that verifies a segment."""
    return random.Random(f"{seed}-{segment}-verify").choice(NODES)


def json_of(lab, node, *argv, timeout=120):
    return json.loads(lab.run(node, list(argv), timeout=timeout).stdout)
