# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracles of a campaign, which look from outside: D, the LUN; F, the files; A, the cluster; W, the
machine. Each gives sentences about what is wrong."""
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from campaign_steps import GROUPS, NODES
from campaign_world import VM, VOLUME, WORK, json_of, pick
from cluster import CSVADM, Ctl
from common import read
from history import Lost
from lablib import LabError, poll

HERE = os.path.dirname(os.path.realpath(__file__))
CALM_SECONDS = 300      # the longest that is documented: a mount that is stuck for 2.5 minutes, and a fence
CALM_HOLD_SECONDS = 3   # longer than corosync takes to see what was cut just before it was healed
BUSY_SECONDS = 120      # each worker does something
MEND_SECONDS = 1
CLEAR_SECONDS = 120     # then what has given up is cleared
LOOK_SECONDS = 0.2
STAMP_SECONDS = 10
SELDOM = 5              # segments between two looks at what does not go away
MOST_FDS = 400          # of a daemon: a leak shows in the end
CRASHES = re.compile(r"assert|stack smashing|AddressSanitizer|runtime error:|double free|"
                     r"signal (?:4|6|7|8|11)\b|SIG(?:SEGV|ABRT|BUS|ILL|FPE)", re.I)


class Watch:
    """Looks all the time whether something is in two places at once. A group that moves may be seen
    here, then there: so who was seen first is looked at once more."""

    def __init__(self, world):
        self.world, self.wrong, self.ends = world, [], False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.ends = True
        self.thread.join()

    def _run(self):
        while not self.ends:
            try:
                nodes = self.world.nodes()
                for what, is_there in self.things(nodes):
                    self._look(what, is_there, nodes)
            except (LabError, OSError):
                pass
            time.sleep(LOOK_SECONDS)

    @staticmethod
    def things(nodes):
        for group in GROUPS:
            yield f"group {group}", lambda n, g=group: nodes[n]["pid"] and os.path.exists(
                f"/proc/{nodes[n]['pid']}/root/run/{g}-d.state")
        yield "the volume's XFS", lambda n: any(
            os.path.isdir(f"/sys/fs/xfs/{x}") for x in nodes[n]["xfs"])

    def _look(self, what, is_there, nodes):
        first = [n for n in nodes if is_there(n)]
        again = [n for n in first if is_there(n)]
        if len(again) > 1 and len(self.wrong) < 10:
            self.wrong.append(f"A: {what} is on {' and '.join(again)} at once")


class Audit:
    """Of one lab, over all its segments."""

    def __init__(self, world, seed):
        self.world, self.seed = world, seed
        self.lun = {"from": 0, "marks": []}
        self.event, self.places, self.mounts = 0, {}, {}
        self.watch = Watch(world)
        self.counts, self.took = {}, {}

    # --- calm

    def calm(self, timeout=CALM_SECONDS):
        """Waits until all is well and stays so; what is not, in the end."""
        why, last, since, began = [], [0], [None], time.monotonic()

        def is_calm():
            if time.monotonic() - last[0] > MEND_SECONDS:
                last[0] = time.monotonic()
                self.world.mend()
                try:
                    self.world.mend_cluster(time.monotonic() - began > CLEAR_SECONDS)
                except (Lost, Ctl, LabError):
                    pass
            why[:] = self.unrest()
            since[0] = None if why else since[0] or time.monotonic()
            return since[0] and time.monotonic() - since[0] > CALM_HOLD_SECONDS
        poll(is_calm, timeout, 0.3)
        return [f"A: not calm {timeout} s after all was healed: {w}" for w in why]

    def unrest(self):
        """The first reasons why this is no calm cluster."""
        try:
            for name, state in self.world.nodes().items():
                if state["state"] != "on" or state["frozen"] or \
                        any(s["state"] != "running" for s in state["services"].values()):
                    return [f"{name}: {state['state']}, frozen: {state['frozen']}, "
                            f"{state['services']}"]
            return self.database() or self.volume() or self.groups() or self.machine()
        except (Lost, LabError, KeyError, TypeError) as e:
            return [f"{type(e).__name__}: {e}"]

    def database(self):
        seen = {n: self.world.ask(n, "cluster.status") for n in NODES}
        for name, s in seen.items():
            q = s["quorum"]
            if not q["is_quorate"] or len(q["present"]) != len(NODES) or q["votes_present"] != 3:
                return [f"{name}: quorum {q['is_quorate']}, {q['present']}, {q['votes_present']} votes"]
            bad = [f"{n['name']} {n['state']}: {n['reason']}" for n in s["nodes"] if n["state"] != "up"]
            if bad or s["database"]["state"] != "ok":
                return [f"{name} sees {bad}, database {s['database']}"]
        hashes = {(s["applied"], s["hash"]) for s in seen.values()}
        if len(hashes) != 1:
            return [f"databases: {[(n, s['applied'], s['hash']) for n, s in seen.items()]}"]
        running = [t for t in self.world.ask_any("task.list") if t["state"] == "running"]
        return [f"task {t['id']} {t['verb']} {t['object']}: {t['phase']}, {t['reason']}" for t in running]

    def volume(self):
        v = self.world.ask_any("volume.show", name="vol")
        mounts = sorted((m["node"], m["state"], m["io_state"], m["voice"]) for m in v["mounts"])
        if v["work"] != "online" or mounts != [(n, "mounted", "active", "answers") for n in NODES]:
            return [f"volume: {v['explain']}; {v['mounts']}"]
        xfs = [n for n, s in self.world.nodes().items() if s["xfs"]]
        return [] if xfs == [v["node"]] else [f"XFS on {xfs}, coordinator {v['node']}"]

    def groups(self):
        nodes = self.world.nodes()
        for group in self.world.ask_any("group.list"):
            if group["work"] != "online" or group["is_degraded"]:
                return [f"group {group['name']}: {group}"]
            if group["name"] in GROUPS:
                there = [n for n in NODES if os.path.exists(
                    f"/proc/{nodes[n]['pid']}/root/run/{group['name']}-d.state")]
                if there != [group["node"]]:
                    return [f"group {group['name']} is on {there}, not on {group['node']}"]
        return []

    def machine(self):
        vm = self.world.ask_any("vm.show", name=VM)
        if vm["work"] != "online":
            return [f"VM: {vm}"]
        last = self.world.witness.stamps(vm["node"])[-1:]
        return [] if last and time.monotonic() - last[0][0] < STAMP_SECONDS else \
            [f"VM: no stamp on {vm['node']}: {last}"]

    # --- judgements, of a calm cluster

    def judge(self, segment):
        """All oracles, with nobody at work."""
        self.took = {}
        wrong = self.timed("busy", self.busy)
        if wrong:
            return wrong
        looks = {"told": self.told, "files": lambda: self.files(segment), "events": self.events,
                 "mounts": self.mounts_lost, "LUN": self.lun_verdict}
        if segment % SELDOM == 0:           # what these look for stays: a leak, a line, a stamp
            looks.update({"leaks": self.leaks, "machine": lambda: self.witnessed(segment)})
        with ThreadPoolExecutor(len(looks)) as pool:
            for found in pool.map(self.timed, looks, looks.values()):
                wrong += found
        return wrong + self.crashes() + self.watch.wrong

    def timed(self, name, look):
        began = time.monotonic()
        wrong = look()
        self.took[name] = round(time.monotonic() - began, 1)
        return wrong

    def witnessed(self, segment):
        return [f"W: {w}" for w in self.world.witness.judge(pick(self.seed, segment))]

    def busy(self):
        """After healing nothing waits for ever: every worker does something, then ends."""
        before = self.world.sizes()

        def is_busy():
            self.world.employ()
            return self.told() or not self.world.idle(before)
        poll(is_busy, BUSY_SECONDS, 0.2)
        wrong = self.told() or [f"A: {w} stands still {BUSY_SECONDS} s after all was calm"
                 for w in self.world.idle(before)]
        return wrong + [f"A: the worker of {n} does not end" for n in self.world.dismiss(BUSY_SECONDS)]

    def told(self):
        wrong = []
        for name in sorted(os.listdir(self.world.accounts)):
            if name.endswith(".wrong"):
                wrong.append(f"F: {name[:-6]}: {read(os.path.join(self.world.accounts, name))}".strip())
        return wrong

    def files(self, segment):
        lab, node = self.world.lab, pick(self.seed, segment)
        with ThreadPoolExecutor(len(NODES) + 1) as pool:
            verdict = pool.submit(json_of, lab, node, WORK, "verify", self.world.accounts, VOLUME)
            seen = dict(zip(NODES, pool.map(
                lambda n: json_of(lab, n, WORK, "snapshot", self.world.accounts, VOLUME), NODES)))
        told = verdict.result()
        for kind, n in told["counts"].items():
            self.counts[kind] = self.counts.get(kind, 0) + n
        wrong = [f"F: seen on {node}: {w}" for w in told["wrong"]]
        for n in NODES:
            if seen[n] != seen[node]:
                keys = [k for k in {**seen[n], **seen[node]} if seen[n].get(k) != seen[node].get(k)]
                wrong.append(f"F: {n} sees another volume than {node}: " + "; ".join(
                    f"{k}: {seen[n].get(k)}, {seen[node].get(k)}" for k in sorted(keys)[:3]))
        return wrong

    def events(self):
        """Each has a reason, and what has moved has one that says so."""
        events = [e for e in self.world.ask_any("event.list") if e["id"] > self.event]
        self.event = max([e["id"] for e in events], default=self.event)
        wrong = [f"A: event {e['id']} {e['kind']} {e['object']} has no reason" for e in events
                 if not e["text"]]
        told = {e["object"] for e in events}
        for row in self.world.ask_any("group.list") + self.world.ask_any("volume.list"):
            place = (row["node"], row["incarnation"])
            if self.places.setdefault(row["name"], place) != place and row["name"] not in told:
                wrong.append(f"A: {row['name']} went from {self.places[row['name']]} to {place}, "
                             "and no event says why")
            self.places[row["name"]] = place
        self.counts["events"] = self.counts.get("events", 0) + len(events)
        self.counts["fences"] = self.counts.get("fences", 0) + \
            sum(e["kind"] == "node-fenced" for e in events)
        return wrong

    def mounts_lost(self):
        """A program may lose its volume with the node's mount, and not otherwise."""
        now = {m["node"]: m["id"] for m in self.world.ask_any("volume.show", name="vol")["mounts"]}
        lost = {n.split(".")[0] for n in os.listdir(self.world.accounts) if n.endswith(".lost")}
        wrong = [f"F: a program on {n} lost its volume, and the mount is the same" for n in lost
                 if self.mounts.get(n) == now[n]]
        self.mounts = now
        return wrong

    def leaks(self):
        wrong, most = [], 0
        for node in NODES:
            for words in (("clusterd",), ("csvfsd", "mount"), ("csvfsd", "coordinate")):
                for pid in self.world.pids(node, *words):
                    count = len(os.listdir(f"/proc/{pid}/fd"))
                    most = max(most, count)
                    if count > MOST_FDS:
                        wrong.append(f"A: {' '.join(words)} on {node} has {count} descriptors")
        self.counts["most fds"] = max(most, self.counts.get("most fds", 0))
        return wrong

    def crashes(self):
        """Daemons that ended as daemons do not, by what is said of it."""
        wrong = []
        for node in NODES:
            path = os.path.join(self.world.lab.dir, node, "log", "clusterd.log")
            for line in (read(path) or "").splitlines():
                if CRASHES.search(line):
                    wrong.append(f"A: {node}: {line[:300]}")
        return wrong[:5]

    def lun_verdict(self):
        status = self.world.lab.status()
        what = {"log": status["lun_log"], "volume_bytes": status["lun_bytes"], **self.lun,
                "traces": {n["number"]: os.path.join(n["dir"], "log", "csvfsd.trace")
                           for n in status["nodes"]}}
        done = subprocess.run([sys.executable, os.path.join(HERE, "campaign_judge.py")],
                              input=json.dumps(what), capture_output=True, text=True, check=False)
        if done.returncode:
            return [f"D: the judge: {done.stderr[-600:]}"]
        verdict = json.loads(done.stdout)
        self.lun = {"from": verdict["to"], "marks": verdict["marks"]}
        subprocess.run(["fallocate", "--punch-hole", "--offset", "0", "--length",
                        str(max(1, verdict["to"])), status["lun_log"]], check=True)
        for kind, n in verdict["counts"].items():
            self.counts[kind] = self.counts.get(kind, 0) + n
        return [f"D: {w}" for w in verdict["wrong"]]

    # --- the end

    def end(self):
        """The file system is whole when all have let go of it."""
        lab, c = self.world.lab, self.world.c
        wrong = self.leaks() + self.witnessed(0)
        if wrong:
            return wrong
        try:
            c.ctl("n1", "vm", "stop", VM, "--wait=90", timeout=120)
            c.ctl("n1", "vm", "delete", VM, "--confirm", VM)
            c.ctl("n1", "volume", "delete", "vol", "--confirm", "vol")
            c.wait("n1", lambda: c.ctl("n1", "volume", "list") == [], "the volume is gone", 90)
            checked = lab.run("n2", [CSVADM, "check", "/dev/lab/lun"], timeout=120, check=False)
        except (Ctl, LabError) as e:
            return [f"A: the end: {e}"]
        return [] if checked.code == 0 else [f"F: csvadm check: {checked.stdout}{checked.stderr}"]
