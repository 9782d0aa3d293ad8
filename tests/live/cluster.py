# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster in a lab: clusterctl from Python, and waiting for what it says."""
import json
import os

from lablib import LabError, wait_until

BUILD = os.path.realpath(os.environ.get("CLUSTERD_BUILD", "."))
CTL = os.path.join(BUILD, "clusterd", "clusterctl")
CSVADM = os.path.join(BUILD, "csvfs", "csvadm")


class Ctl(Exception):
    """clusterctl ended with another exit code than 0."""

    def __init__(self, code, text):
        super().__init__(f"exit {code}: {text}")
        self.code, self.text = code, text


class Cluster:
    """clusterctl on the nodes of a lab that runs clusterd."""

    ctl_path, csvadm_path = CTL, CSVADM     # as they are called on the nodes

    def __init__(self, lab, name="bank"):
        self.lab, self.name = lab, name

    def create(self, via="n1"):
        """Makes the cluster of all nodes of the lab and waits until each has its vote."""
        self.wait(via, lambda: self.quorum(via)["phase"] == "unconfigured", "clusterd answers")
        self.ctl(via, "cluster", "create", self.name, "--nodes", ",".join(self.lab.nodes))
        for node in self.lab.nodes:
            self.wait(node, lambda n=node: self.is_whole(n), "all votes present")
        return self

    def is_whole(self, node):
        """Every node is up, and has its vote; of an even number one sits out."""
        q, n = self.quorum(node), len(self.lab.nodes)
        return q["is_quorate"] and q["votes_present"] == n - (n % 2 == 0) and \
            all(n["state"] == "up" for n in self.ctl(node, "node", "list"))

    def ctl(self, node, *words, timeout=30):
        """The reply's data; Ctl when the command fails."""
        result = self.lab.run(node, [self.ctl_path, *words, "--json"], timeout=timeout, check=False)
        if result.code:
            raise Ctl(result.code, result.stderr.strip())
        return json.loads(result.stdout) if result.stdout.strip() else None

    def fails(self, node, *words):
        """Exit code and message of a command that must fail."""
        try:
            data = self.ctl(node, *words)
        except Ctl as e:
            return e.code, e.text
        raise AssertionError(f"{' '.join(words)} succeeded: {data}")

    def quorum(self, node):
        return self.ctl(node, "quorum", "show")

    def status(self, node):
        return self.ctl(node, "cluster", "status")

    def group(self, node, name):
        return self.ctl(node, "group", "show", name)

    def events(self, node, kind=None):
        return [e for e in self.ctl(node, "event", "list") if kind in (None, e["kind"])]

    def wait(self, node, predicate, what, timeout=30):
        """predicate may raise Ctl or LabError for as long as the node is not there."""
        def ask():
            try:
                return predicate()
            except (Ctl, LabError, KeyError, IndexError, TypeError):
                return False
        wait_until(ask, timeout, f"{node}: {what}")

    def wait_group(self, via, name, timeout=30, **wanted):
        """Waits until the group shows these fields, e.g. work="online", node="n2"."""
        seen = {}

        def shows():
            seen.update(self.group(via, name))
            return wanted.items() <= seen.items()
        self.wait(via, shows, f"group {name}: {wanted}", timeout)
        return seen

    def wait_same(self, nodes=None):
        """Waits until these nodes have applied the same database; returns its hash."""
        def same():
            seen = {(s["applied"], s["hash"])
                    for s in (self.status(n) for n in nodes or self.lab.nodes)}
            return len(seen) == 1 and seen
        self.wait("all", same, "one database")
        return self.status((nodes or self.lab.nodes)[0])["hash"]

    def dummy(self, group, *names, via="n1", **options):
        """A group of Dummy resources with their state files in /run of the node."""
        self.ctl(via, "group", "create", group)
        for name in names or (f"{group}-d",):
            more = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", str(v))]
            self.ctl(via, "resource", "create", name, "--group", group, "--agent",
                     "ocf:heartbeat:Dummy", "--param", f"state=/run/{name}.state", *more)

    def has_state(self, node, name):
        """The outside look: is this Dummy running on the node?"""
        return self.lab.run(node, f"test -e /run/{name}.state", check=False).code == 0

    def where(self, name):
        return [n for n in self.lab.nodes if self.lab.node(n)["state"] == "on"
                and self.has_state(n, name)]

    # --- volumes

    def volume(self, name="vol", via="n1", device="/dev/lab/lun"):
        """Formats the LUN, creates the volume, waits until every node has it mounted."""
        cluster = self.status(via)["cluster"]["uuid"]
        made = self.lab.run(via, [self.csvadm_path, "format", device, "--name", name, "--cluster", cluster,
                                  "--json"], timeout=60)
        self.ctl(via, "volume", "create", name, "--device", device)
        self.wait_volume(name, via)
        return json.loads(made.stdout)

    def volume_show(self, name="vol", via="n1"):
        return self.ctl(via, "volume", "show", name)

    def is_volume_up(self, name, via, nodes):
        v = self.volume_show(name, via)
        mounted = {m["node"] for m in v["mounts"] if m["state"] == "mounted"}
        return v["work"] == "online" and set(nodes) <= mounted and \
            not [m for m in v["mounts"] if m["state"] == "gone"]

    def wait_volume(self, name="vol", via="n1", nodes=None, timeout=40):
        """Online, mounted on these nodes, and nothing left to recover."""
        self.wait(via, lambda: self.is_volume_up(name, via, nodes or self.lab.nodes),
                  f"volume {name} is up", timeout)
        return self.volume_show(name, via)
