# SPDX-License-Identifier: GPL-2.0-or-later
"""corosync in a node: its configuration, its key, and its view of the ring."""
import os
import re

from common import node_name, write

KEY_BYTES = 256
NETS = ("10.77.0", "10.77.1")

# corosync's parser wants a newline after every '{'.
_HEAD = """\
# Written by tests/lab at `up`. token_coefficient 0: detection takes
# 2.2 x token whatever the number of nodes.
totem {
    version: 2
    cluster_name: lab
    transport: knet
    crypto_cipher: aes256
    crypto_hash: sha256
    token: 1000
    token_coefficient: 0
    seqno_unchanged_const: 3
}

quorum {
    provider: corosync_votequorum
}

logging {
    to_syslog: no
    to_stderr: no
    to_logfile: yes
    logfile: /var/log/corosync.log
    timestamp: hires
}

# move_to_root_cgroup: a node is its control group, nothing may leave it.
# allow_knet_handle_fallback: machines without CAP_SYS_RESOURCE or CAP_IPC_LOCK.
system {
    move_to_root_cgroup: no
    allow_knet_handle_fallback: yes
}
"""


def render(nodes):
    """corosync.conf for nodes 1..N, two links."""
    parts = [_HEAD, "\nnodelist {\n"]
    for number in range(1, nodes + 1):
        parts.append("    node {\n"
                     f"        nodeid: {number}\n"
                     f"        name: {node_name(number)}\n"
                     + "".join(f"        ring{i}_addr: {net}.{number}\n"
                               for i, net in enumerate(NETS))
                     + "    }\n")
    parts.append("}\n")
    return "".join(parts)


def new_key():
    return os.urandom(KEY_BYTES)


def install(directory, nodes, key):
    """Writes the files into a node's /etc/corosync."""
    write(os.path.join(directory, "corosync.conf"), render(nodes))
    write(os.path.join(directory, "authkey"), key, 0o400)
    os.makedirs(os.path.join(directory, "uidgid.d"), exist_ok=True)


QUERY = ["corosync-quorumtool", "-s", "-i"]


def parse(text):
    """Ring of one node out of `corosync-quorumtool -s -i`; None if it says nothing."""
    ring = re.search(r"^Ring ID:\s+(\S+)", text, re.M)
    quorate = re.search(r"^Quorate:\s+(\S+)", text, re.M)
    table = text.partition("Membership information")[2]
    members = sorted(int(m) for m in re.findall(r"^\s*(\d+)\s+\d+\s+\S", table, re.M))
    if not ring or not members:
        return None
    return {"ring_id": ring.group(1), "members": members,
            "quorate": bool(quorate) and quorate.group(1) == "Yes"}
