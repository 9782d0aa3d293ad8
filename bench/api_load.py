#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""api_load CLIENTS SECONDS PREFIX: clients of this node's API, each with one command under way.

Each creates and deletes a group of its own, which runs nowhere: one committed command each. Prints
how many seconds it took and the time of each command in ms, as JSON; exit code 1 if one failed.
"""
import json
import selectors
import socket
import sys
import time

API = "/run/clusterd/api.sock"
WAIT_SECONDS = 30


class Client:
    def __init__(self, name):
        self.name, self.verb, self.buffer = name, "group.delete", b""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(API)

    def send(self):
        self.verb = "group.create" if self.verb == "group.delete" else "group.delete"
        request = json.dumps({"verb": self.verb, "args": {"name": self.name}}) + "\n"
        self.begin = time.monotonic()
        self.sock.sendall(request.encode())

    def take(self):
        """The time of the command, None if its reply is not whole yet."""
        more = self.sock.recv(65536)
        now = time.monotonic()
        if not more:
            sys.exit("api_load: clusterd has closed the connection")
        self.buffer += more
        if b"\n" not in self.buffer:
            return None
        reply, self.buffer = json.loads(self.buffer), b""
        if reply["code"]:
            sys.exit(f"api_load: {self.verb} {self.name}: code {reply['code']}: {reply['text']}")
        return now - self.begin


def run(clients, seconds, prefix):
    chooser, times = selectors.DefaultSelector(), []
    begin = time.monotonic()
    for i in range(clients):
        client = Client(f"{prefix}{i}")
        chooser.register(client.sock, selectors.EVENT_READ, client)
        client.send()
    busy = clients
    while busy:
        ready = chooser.select(WAIT_SECONDS)
        if not ready:
            sys.exit(f"api_load: no reply within {WAIT_SECONDS} s")
        for key, _ in ready:
            took = key.data.take()
            if took is None:
                continue
            times.append(took * 1000)
            # The last one is a deletion, so that nothing is left.
            if time.monotonic() - begin < seconds or key.data.verb == "group.create":
                key.data.send()
            else:
                busy -= 1
    return {"seconds": time.monotonic() - begin, "ms": times}


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])))
