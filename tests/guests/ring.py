# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in guests that form a cluster: corosync, dlm_controld, clusterd with a fence device."""
import corosync
from cluster import Cluster
from guests import settled

# A guest under TCG, on a busy machine, is late more often than it is dead.
TOKEN_MS = 8000
LEASE_MS = 20000
READY_SECONDS = 300
WITNESS_IO_MS = "5000"
DLM_CONF = """\
log_debug=1
enable_quorum_lockspace=0
enable_quorum_fencing=0
enable_fencing={fencing}
"""
FENCE_ALL = "fence_all /usr/local/sbin/clusterd-dlm-fence\n"


def start_corosync(guests, nodes=None):
    conf = corosync.render(len(guests.nodes)).replace("token: 1000", f"token: {TOKEN_MS}")
    if not hasattr(guests, "corosync_key"):
        guests.corosync_key = corosync.new_key()
    for node in nodes or guests.nodes:
        guests.put(node, "/etc/corosync/corosync.conf", conf.encode())
        guests.put(node, "/etc/corosync/authkey", guests.corosync_key, 0o400)
        guests.run(node, "corosync")
    for node in nodes or guests.nodes:
        settled(guests, node, lambda n=node: members(guests, n) == len(guests.nodes),
                READY_SECONDS, "corosync's ring is whole")


def members(guests, node):
    ring = corosync.parse(guests.run(node, "corosync-quorumtool -s -i", check=False).stdout)
    return len(ring["members"]) if ring else 0


def start_dlm(guests, nodes=None, fencing=True):
    """dlm_controld, whose fence agent asks clusterd."""
    conf = DLM_CONF.format(fencing=int(fencing)) + (FENCE_ALL if fencing else "")
    for node in nodes or guests.nodes:
        guests.put(node, "/etc/dlm/dlm.conf", conf.encode())
        guests.run(node, "modprobe dlm && dlm_controld")
    for node in nodes or guests.nodes:
        settled(guests, node, lambda n=node: guests.run(n, "dlm_tool status").stdout.count(" M "),
                READY_SECONDS, "dlm_controld answers")


def start_clusterd(guests, nodes=None):
    for node in nodes or guests.nodes:
        guests.run(node, "mkdir -p /var/lib/clusterd; setsid clusterd --foreground "
                         f"--lease {LEASE_MS} "
                         "> /var/log/clusterd.log 2>&1 < /dev/null &")


def kernel_lockspaces(guests, node):
    """Those that the kernel itself has, by sysfs; not what any daemon says."""
    return guests.run(node, "ls /sys/kernel/dlm").stdout.split()


def listed_lockspaces(guests, node):
    """Those of dlm_controld, with their members: {name: [nodeid]}."""
    found, name = {}, None
    for line in guests.run(node, "dlm_tool ls").stdout.splitlines():
        words = line.split()
        if words[:1] == ["name"]:
            name = words[1]
        elif words[:1] == ["members"]:
            found[name] = sorted(map(int, words[1:]))
    return found


class GuestCluster(Cluster):
    """A cluster of clusterd on guests, with fence_guest and a witness on the second shared disk."""

    ctl_path, csvadm_path = "clusterctl", "csvadm"

    def start(self):
        start_corosync(self.lab)
        start_clusterd(self.lab)
        self.wait("n1", lambda: self.quorum("n1")["phase"] == "unconfigured", "clusterd answers")
        self.ctl("n1", "cluster", "create", self.name, "--nodes", ",".join(self.lab.nodes))
        # At once: a new cluster has a token that real machines keep.
        self.wait("n1", lambda: self.ctl("n1", "quorum", "set", "--token-ms", str(TOKEN_MS)) or True,
                  "the token is set")
        for node in self.lab.nodes:
            self.wait(node, lambda n=node: self.is_whole(n), "all votes are here")
        self.ctl("n1", "fence", "create", "bmc", "--agent", "/usr/sbin/fence_guest")
        self.ctl("n1", "quorum", "set", "--mode", "node-disk", "--disk", "/dev/vdd", "--io-ms",
                 WITNESS_IO_MS)
        for node in self.lab.nodes:
            self.wait(node, lambda n=node: self.quorum(n)["is_quorate"] and
                      self.quorum(n)["witness_vote"] == 1, "the witness votes")
        return self

    def wait(self, node, predicate, what, timeout=READY_SECONDS):
        super().wait(node, predicate, what, max(timeout, READY_SECONDS))

    def rejoin(self, node):
        """A node that was off, or was switched on by the fence: it is a whole member again."""
        self.lab.guests[node].ensure_up()
        start_corosync(self.lab, [node])
        start_clusterd(self.lab, [node])
        self.wait(node, lambda: self.is_whole(node), f"{node} is back")
