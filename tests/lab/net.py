# SPDX-License-Identifier: GPL-2.0-or-later
"""The networks: two bridges in the switch's namespace, a veth pair per node and network.

The switch is the network namespace of labd itself: nothing has a name on the
host, and everything vanishes with labd. A cut is a pair of ports between which
the bridges drop every frame (nftables, family bridge).
"""
import threading

from common import LabError, command, node_name
from corosync import NETS

NETWORKS = ("cluster", "migration")
BRIDGES = ("br0", "br1")


def port(number, net):
    return f"{node_name(number)}-{net}"


def create_switch():
    """Bridges that forward at once, without spanning tree or snooping."""
    lines = ["link set lo up"]
    for bridge in BRIDGES:
        lines += [f"link add {bridge} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
                  f"link set {bridge} up"]
    batch(lines)
    nft("table bridge lab {\n"
        " set cuts {\n type ifname . ifname\n }\n"
        " chain forward {\n type filter hook forward priority 0\n"
        " iifname . oifname @cuts drop\n }\n}\n")


def batch(lines):
    command(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")


def nft(script):
    command(["nft", "-f", "-"], stdin=script)


def plug(number, pid):
    """Gives the namespace of process pid its eth0 and eth1."""
    lines = []
    for net, bridge in enumerate(BRIDGES):
        mac = f"02:77:00:{net:02x}:00:{number:02x}"
        lines += [f"link add {port(number, net)} type veth "
                  f"peer name eth{net} address {mac} netns {pid}",
                  f"link set {port(number, net)} master {bridge} up"]
    batch(lines)


def unplug(number):
    """Removes a node's links, whose other ends vanish with them; fine if there are none."""
    for net in range(len(BRIDGES)):
        try:
            command(["ip", "link", "del", port(number, net)])
        except LabError as e:
            # The kernel may be taking it away at this moment, with the namespace at its other end.
            if "Cannot find device" not in str(e) and "No such device" not in str(e):
                raise


def configure_node(number):
    """Addresses and links up; runs in the node's namespace."""
    lines = ["link set lo up"]
    for net, prefix in enumerate(NETS):
        lines += [f"addr add {prefix}.{number}/24 dev eth{net}", f"link set eth{net} up"]
    batch(lines)


class Cuts:
    """Who does not hear whom: (from, to, network) triples, applied as one set."""

    def __init__(self):
        self.lock = threading.Lock()
        self.triples = set()

    def cut(self, pairs, nets, one_way):
        def change(triples):
            for a, b in pairs:
                for net in nets:
                    triples.add((a, b, net))
                    if not one_way:
                        triples.add((b, a, net))
        self._apply(change)

    def heal(self, pairs):
        """Heals pairs of nodes both ways; None heals everything."""
        def change(triples):
            if pairs is None:
                triples.clear()
            for a, b in pairs or ():
                triples.difference_update([t for t in triples if set(t[:2]) == {a, b}])
        self._apply(change)

    def _apply(self, change):
        with self.lock:
            wanted = set(self.triples)
            change(wanted)
            script = "flush set bridge lab cuts\n"
            if wanted:
                items = ", ".join(f'"{port(a, n)}" . "{port(b, n)}"' for a, b, n in sorted(wanted))
                script += f"add element bridge lab cuts {{ {items} }}\n"
            nft(script)
            self.triples = wanted

    def show(self):
        with self.lock:
            return [{"from": node_name(a), "to": node_name(b), "network": NETWORKS[n]}
                    for a, b, n in sorted(self.triples)]
