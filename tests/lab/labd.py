#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's daemon: holds what a lab is made of, one process per lab.

It lives in a network namespace of its own, which is the switch, and in a mount
namespace of its own, so that nothing of the lab shows on the host but
processes, control groups, loop devices and the lab's directory. A thread per
connection and a lock per node: what hangs, hangs alone. Two sockets: ctl.sock
takes every command, bmc.sock (also seen in the nodes) power commands only.
"""
import concurrent.futures
import fcntl
import json
import os
import shlex
import signal
import sys
import threading
import time
import traceback

import attributed
import corosync
import crash
import disk
import net
import rpc
import services
import syscalls
from cgroup import Cgroup, find_mount, lab_name
from common import MAX_NODES, TREE, LabError, node_name, poll, write
from node import Node

RING_SECONDS = 40
TRACE = "/var/log/csvfsd.trace"     # in a node
BOOTS_AT_ONCE = 4


class Daemon:
    def __init__(self, config):
        self.dir = config["dir"]
        self.nodes_count = config["nodes"]
        self.disk_faults = config["disk_faults"]
        self.attributed = config["lun"]     # path of the program, or nothing
        self.keeps_data = config["lun_data"]
        self.exports = None                 # attributed.Server
        self.lun = os.path.join(self.dir, "lun.img")
        self.lun_bytes = config["lun_bytes"]
        self.services = self._services(config) if config["services"] else []
        self.visible = [self.dir, TREE] + ([config["bin"]] if config["bin"] else [])
        self.key = corosync.new_key()
        self.lock_fd = self._lock()
        self.cgroup = Cgroup(os.path.join(find_mount(self.dir), lab_name(self.dir)))
        self.closing = threading.Event()
        self.nodes = {}
        self.cuts = net.Cuts()

    def _services(self, config):
        """With an attributed LUN csvfsd notes what it gives away: a judge asks for that."""
        csvfsd = services.csvfsd_of(config["bin"])
        if not self.attributed or not csvfsd:
            return services.select(config["bin"])
        wrapper = os.path.join(self.dir, "csvfsd")
        # Tests that want some make the file, for all nodes.
        failpoints = shlex.quote(os.path.join(self.dir, "shared", "failpoints"))
        write(wrapper, f'#!/bin/sh\nCSVFSD_TRACE={TRACE} CSVFSD_FAILPOINTS={failpoints} '
              f'exec {shlex.quote(csvfsd)} "$@"\n', 0o755)
        # clusterd looks for csvadm beside it.
        os.symlink(os.path.join(os.path.dirname(csvfsd), "csvadm"),
                   os.path.join(self.dir, "csvadm"))
        return services.select(config["bin"], wrapper)

    def _lock(self):
        """One daemon per directory, for as long as it lives."""
        fd = os.open(os.path.join(self.dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"{self.dir}: a lab is up here", "`lab down`, or another --dir")
        return fd

    def prepare(self):
        """Everything but the nodes."""
        self.cgroup.child("labd").create().join(os.getpid())
        write(os.path.join(self.dir, "labd.pid"),
              f"{os.getpid()} {syscalls.start_time(os.getpid())}\n")
        for name in ("root", "shared"):
            os.makedirs(os.path.join(self.dir, name), exist_ok=True)
        if not os.path.isdir(os.path.join(crash.FUSE_CONNECTIONS)) or \
                not os.path.ismount(crash.FUSE_CONNECTIONS):
            try:
                syscalls.mount("fusectl", crash.FUSE_CONNECTIONS, "fusectl")
            except OSError:
                pass                    # no FUSE on this machine, so nothing to abort
        self.dev_lab = disk.hold_dev_lab()
        disk.create_lun(self.lun, self.lun_bytes)
        if self.attributed:
            self.exports = attributed.Server(
                self.dir, self.lun, [node_name(i) for i in range(1, self.nodes_count + 1)],
                self.attributed, self.cgroup.child("lund"), self.keeps_data)
        net.create_switch()
        self.nodes = {node_name(i): Node(self, i) for i in range(1, self.nodes_count + 1)}
        self.sockets = {"ctl": rpc.listen(os.path.join(self.dir, "ctl.sock")),
                        "bmc": rpc.listen(os.path.join(self.dir, "bmc.sock"))}

    # --- the two sockets ---

    def serve(self):
        threads = [threading.Thread(target=self._accept, args=(s, n == "bmc"), daemon=True)
                   for n, s in self.sockets.items()]
        for t in threads:
            t.start()
        self.closing.wait()

    def _accept(self, listener, is_bmc):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=self._talk, args=(sock, is_bmc), daemon=True).start()

    def _talk(self, sock, is_bmc):
        with sock:
            try:
                sock.settimeout(10)
                request = rpc.Lines(sock).next()
                if request is None:
                    return
                sock.settimeout(30)
                table = BMC_OPS if is_bmc else OPS
                op = table.get(request.get("op"))
                if op is None:
                    raise LabError(f"unknown operation {request.get('op')!r}")
                if op is Daemon.op_up:
                    reply = op(self, request, lambda text: rpc.send(sock, {"progress": text}))
                else:
                    reply = op(self, request)
                rpc.send(sock, dict(reply or {}, ok=True))
                if op is Daemon.op_down:
                    self.closing.set()
            except LabError as e:
                self._refuse(sock, e.what, e.hint)
            except (OSError, ValueError, KeyError, TypeError) as e:
                traceback.print_exc()
                self._refuse(sock, f"labd: {type(e).__name__}: {e}", f"see {self.dir}/labd.log")

    @staticmethod
    def _refuse(sock, what, hint):
        try:
            rpc.send(sock, {"ok": False, "what": what, "hint": hint})
        except OSError:
            pass

    def node(self, request, key="node"):
        name = request.get(key)
        if name not in self.nodes:
            raise LabError(f"no node '{name}'", f"there are: {', '.join(self.nodes)}")
        return self.nodes[name]

    # --- operations ---

    def op_up(self, _request, progress):
        """Boots all nodes and waits until they see each other. A client that went away
        in the middle takes the lab with it."""
        try:
            begin = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(BOOTS_AT_ONCE) as pool:
                for node in pool.map(_boot, self.nodes.values()):
                    progress(f"{node.name} is up, {time.monotonic() - begin:.1f} s")
            if any(s["name"] == "corosync" for s in self.services):
                self._wait_ring()
                progress(f"one ring of {self.nodes_count}, {time.monotonic() - begin:.1f} s")
        except OSError:
            self.op_down({})
            self.closing.set()
            raise

    def _wait_ring(self):
        everyone = list(range(1, self.nodes_count + 1))
        views = {}

        def is_one():
            for node in self.nodes.values():
                views[node.name] = node.ring()
                if not views[node.name] or views[node.name]["members"] != everyone:
                    return False
            return len({v["ring_id"] for v in views.values()}) == 1
        if not poll(is_one, RING_SECONDS, 0.1):
            raise LabError(f"corosync: no ring of all nodes within {RING_SECONDS} s: {views}",
                           f"see {self.dir}/n*/log/corosync.log")

    def op_down(self, _request):
        """All nodes die, at once; what does not is named, and the rest goes on."""
        errors = []
        with concurrent.futures.ThreadPoolExecutor(MAX_NODES) as pool:
            for error in pool.map(_close, self.nodes.values()):
                errors += [error] if error else []
        if self.exports:
            errors += [e for e in [_close(self.exports)] if e]
        os.close(self.dev_lab)
        disk.release_dev_lab()
        return {"errors": errors}

    def leave(self):
        """SIGTERM: as `down`."""
        self.op_down({})
        self.closing.set()

    def op_status(self, _request):
        return {"dir": self.dir, "pid": os.getpid(), "lun": self.lun,
                "lun_bytes": self.lun_bytes, "disk_faults": self.disk_faults,
                "lun_log": self.exports.log if self.exports else None,
                "cuts": self.cuts.show(), "nodes": [n.show() for n in self.nodes.values()]}

    def op_ring(self, request):
        return {"ring": self.node(request).ring()}

    def op_enter(self, request):
        node = self.node(request)
        node.need_on("run")
        return {"pid": node.pid, "start": node.start, "cgroup": node.cgroup.path}

    def op_kill(self, request):
        self.node(request).crash()

    def op_start(self, request):
        self.node(request).start_up()

    def op_stop(self, request):
        self.node(request).stop()

    def op_freeze(self, request):
        self.node(request).freeze()

    def op_thaw(self, request):
        self.node(request).thaw()

    def op_disk(self, request):
        mode = request.get("mode")
        if mode not in ("ok", "eio", "hang"):
            raise LabError(f"disk: unknown mode '{mode}'", "ok, eio or hang")
        self.node(request).set_disk(mode)

    def op_lun(self, request):
        """A fault of the attributed LUN, for one node."""
        if not self.exports:
            raise LabError("the lab is up without an attributed LUN", "`lab up N --lun attributed`")
        node = self.node(request)
        if request["what"] not in ("ok", "hold", "fail", "delay", "tear"):
            raise LabError(f"lun: unknown fault '{request['what']}'", "ok, hold, fail, delay or tear")
        self.exports.command(request["what"], node.name, *request["words"])

    def op_service(self, request):
        self.node(request).service(request["action"], request["name"])

    def _pairs(self, request):
        """The pairs of nodes that a cut or heal is about; None for all."""
        if request.get("node") is None:
            return None
        one = self.node(request).number
        if request.get("other") is None:
            return [(one, n.number) for n in self.nodes.values() if n.number != one]
        other = self.node(request, "other").number
        if other == one:
            raise LabError("cut: the two nodes are one")
        return [(one, other)]

    def op_cut(self, request):
        wanted = request.get("network")
        if wanted not in (None,) + net.NETWORKS:
            raise LabError(f"no network '{wanted}'", " or ".join(net.NETWORKS))
        nets = [i for i, n in enumerate(net.NETWORKS) if wanted in (None, n)]
        self.cuts.cut(self._pairs(request), nets, bool(request.get("one_way")))

    def op_heal(self, request):
        self.cuts.heal(self._pairs(request))

    # --- the BMC ---

    def op_list(self, _request):
        return {"nodes": list(self.nodes)}

    def op_power(self, request):
        return {"power": self.node(request, "plug").power()}

    def op_power_off(self, request):
        """Reports off only after a proof, also for a node that was off already."""
        node = self.node(request, "plug")
        with node.doing("power off"):
            if node.state != "off" or crash.verify_off(node):
                node._crash()
        return {"power": node.power()}

    def op_power_on(self, request):
        node = self.node(request, "plug")
        if node.power() == "off":
            node.start_up()
        return {"power": node.power()}


def _boot(node):
    node.start_up()
    return node


def _close(thing):
    try:
        thing.close()
    except (LabError, OSError) as e:
        return str(e)
    return None


OPS = {name[3:]: op for name, op in vars(Daemon).items() if name.startswith("op_")}
BMC_OPS = {"list": Daemon.op_list, "status": Daemon.op_power, "off": Daemon.op_power_off,
           "on": Daemon.op_power_on}


def main():
    """argv[1]: descriptor of the pipe on which `up` waits for one line of JSON."""
    ready = int(sys.argv[1])
    os.set_inheritable(ready, False)
    config = json.loads(sys.stdin.readline())
    syscalls.set_name("labd")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    answer = {"ok": True}
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        daemon = Daemon(config)
        daemon.prepare()
    except LabError as e:
        answer = {"ok": False, "what": e.what, "hint": e.hint}
    except OSError as e:
        answer = {"ok": False, "what": f"labd: {e}", "hint": "run as root; try `tests/lab/probe`"}
    os.write(ready, json.dumps(answer).encode() + b"\n")
    os.close(ready)
    if not answer["ok"]:
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=daemon.leave).start())
    daemon.serve()
    os._exit(0)         # threads that hang in a sick disk must not hold us


if __name__ == "__main__":
    main()
