# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that change a cluster's database all the time, and write down what they were answered.

Each client is a thread with a connection to the API of one node. Shared keys are groups that
everybody creates, deletes and sets; a client's own key is a group that it alone sets, to numbers
that grow. Times are of one clock for all nodes.
"""
import json
import random
import socket
import threading
import time

from lablib import LabError, poll
from linearizable import DEFAULT, UNKNOWN, Op

DONE, FAILED, NO_SUCH, CONFLICT, NO_QUORUM, TIMED_OUT = 0, 1, 3, 4, 6, 7
ANSWER_SECONDS = 20         # clusterd answers after 10 at the latest, if it runs at all
DEFAULT_MS = 21600000       # of a new group
FIRST = 1000                # the least that failover_ms can be set to
WORDS = {"create": {DONE: "done", CONFLICT: "exists"}, "delete": {DONE: "done", NO_SUCH: "absent"},
         "set": {DONE: "done", NO_SUCH: "absent"}}


class Lost(Exception):
    """The connection is gone, or silent."""


class Api:
    """One connection to the API of a node, from outside of it."""

    def __init__(self, lab, node):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_SECONDS)
        try:
            self.sock.connect(f"/proc/{lab.enter(node)['pid']}/root/run/clusterd/api.sock")
        except (OSError, LabError) as e:
            self.sock.close()
            raise Lost(str(e)) from e
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()

    def ask(self, verb, **args):
        try:
            self.sock.sendall((json.dumps({"verb": verb, "args": args}) + "\n").encode())
            line = self.file.readline()
        except OSError as e:
            raise Lost(str(e)) from e
        if not line.endswith(b"\n"):
            raise Lost("closed")
        return json.loads(line)


class Client:
    """A writer. `history`: (life, key, Op); `looks`: plain reads, (life, key, value, begin, end).
    A life is that of one connection."""

    def __init__(self, lab, node, number, shared):
        self.lab, self.node, self.number = lab, node, number
        self.own, self.shared = f"own{number}", shared
        self.others = [self.own]
        self.dice, self.count, self.life = random.Random(number), 0, 0
        self.history, self.looks, self.trouble = [], [], None
        self.acknowledged = self.refused = 0
        self.ends, self.rests = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def _run(self):
        try:
            while not self.ends.is_set():
                try:
                    api = Api(self.lab, self.node)
                except Lost:
                    poll(self.ends.is_set, 0.2)         # it is being killed, or started
                    continue
                self.life += 1
                try:
                    while not self.ends.is_set():
                        if self.rests.is_set():
                            poll(lambda: self.ends.is_set() or not self.rests.is_set(), 0.2)
                        else:
                            self._step(api)
                except Lost:
                    pass
                finally:
                    api.close()
        except Exception as e:                          # noqa: B902 - told by the test
            self.trouble = e

    def _step(self, api):
        roll, key = self.dice.random(), self.dice.choice(self.shared)
        if roll < 0.30:
            self._change(api, key, "set")
        elif roll < 0.40:
            self._change(api, key, "create")
        elif roll < 0.48:
            self._change(api, key, "delete")
        elif roll < 0.75:
            self.read(api, key)
        else:
            self._look(api, self.dice.choice(self.others))

    def value(self):
        """One that nobody else writes, and that grows."""
        self.count += 1
        return FIRST + self.number * 1_000_000 + self.count

    def _note(self, key, verb, value, begin, answer):
        op = Op(self.number, verb, value, begin, time.monotonic(), answer)
        self.history.append((self.life, key, op))

    def _change(self, api, key, verb):
        value = self.value() if verb == "set" else None
        more = {"failover_ms": value} if verb == "set" else {}
        begin, code = time.monotonic(), TIMED_OUT
        try:
            code = api.ask(f"group.{verb}", name=key, **more)["code"]
        finally:
            if code in (NO_QUORUM, FAILED):             # it says that nothing was changed
                self.refused += 1
            elif code == TIMED_OUT:
                self._note(key, verb, value, begin, UNKNOWN)
            else:
                self._note(key, verb, value, begin, WORDS[verb][code])
                self.acknowledged += 1
        return code

    def show(self, api, key):
        reply = api.ask("group.show", name=key)
        if reply["code"] == NO_SUCH:
            return None
        assert reply["code"] == DONE, reply
        value = reply["data"]["failover_ms"]
        return DEFAULT if value == DEFAULT_MS else value

    def read(self, api, key):
        """Behind a change of its own: what this node has applied then is no older than that."""
        begin = time.monotonic()
        if self._change(api, self.own, "set") == DONE:
            value = self.show(api, key)
            self._note(key, "read", None, begin, value)
            return True
        return False

    def _look(self, api, key):
        begin = time.monotonic()
        value = self.show(api, key)
        self.looks.append((self.life, key, value, begin, time.monotonic()))


class Clients:
    """So many clients, spread over the nodes of a cluster, from the moment that their keys are there."""

    def __init__(self, c, count, keys):
        self.c, self.keys = c, keys
        self.all = [Client(c.lab, c.lab.nodes[i % len(c.lab.nodes)], i, keys) for i in range(count)]
        for client in self.all:
            client.others = [o.own for o in self.all]
            begin = time.monotonic()
            c.ctl(client.node, "group", "create", client.own)
            client.history.append((0, client.own, Op(client.number, "create", None, begin,
                                                     time.monotonic(), "done")))
        for client in self.all:
            client.start()

    def acknowledged(self, nodes):
        return sum(client.acknowledged for client in self.all if client.node in nodes)

    def rest(self, rests):
        """Nothing is asked from soon on; False: they go on."""
        for client in self.all:
            (client.rests.set if rests else client.rests.clear)()

    def end(self):
        for client in self.all:
            client.ends.set()
        for client in self.all:
            client.thread.join()

    def read_all(self):
        """At the end, every key through every node."""
        for node in self.c.lab.nodes:
            client = next(o for o in self.all if o.node == node)
            api = Api(self.c.lab, node)
            for key in self.keys + [o.own for o in self.all]:
                assert client.read(api, key)
            api.close()

    def histories(self):
        """The operations on each key."""
        keys = {}
        for client in self.all:
            for _, key, op in client.history:
                keys.setdefault(key, []).append(op)
        return keys
