# SPDX-License-Identifier: GPL-2.0-or-later
"""The way through: three nodes, a shared volume, a VM that moves while it runs and survives its node.

Run by ./quickstart. Every step is checked from outside; the exit code is 1 if one did not hold.
"""
import os
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lab")]

from cluster import BUILD, CTL, Cluster                         # noqa: E402
from lablib import Lab, LabError, wait_until                    # noqa: E402
from witness import Witness                                     # noqa: E402

KEEP = sys.argv[1:] == ["--keep"]
FENCE_AGENT = os.path.join(HERE, "..", "lab", "fence_lab")


class Table:
    """Steps with the seconds that each took, printed as they end."""

    def step(self, what, action):
        begin = time.monotonic()
        try:
            result = action()
        except Exception as e:
            print(f"  FAILED {time.monotonic() - begin:6.1f} s  {what}: {e}", flush=True)
            raise
        print(f"  ok     {time.monotonic() - begin:6.1f} s  {what}"
              f"{': ' + result if isinstance(result, str) else ''}", flush=True)
        return result


def start_witness(w):
    w.create().start()
    return f"runs on {w.node()}, {len(w.stamps())} stamps so far"


def migrate(w):
    here = w.node()
    to = next(n for n in w.c.lab.nodes if n != here)
    w.c.ctl("n1", "vm", "migrate", w.name, "--to", to, "--wait=120", timeout=150)
    w.wait_alive(to)
    if w.node() != to or len(w.boots()) != 1:
        raise LabError(f"{w.name} is on {w.node()} and has booted {len(w.boots())} times")
    return f"from {here} to {to}, still; {downtime(w, here, to)} without a stamp"


def downtime(w, here, to):
    last = max(t for t, _, _ in w.stamps(here))
    first = min(t for t, _, _ in w.stamps(to) if t > last)
    return f"{first - last:.2f} s"


def one_name_space(c):
    c.lab.run("n1", "echo hello > /cluster/vol/file")
    seen = {c.lab.run(n, "cat /cluster/vol/file").stdout for n in c.lab.nodes}
    if seen != {"hello\n"}:
        raise LabError(f"the nodes see {seen}")
    return "coordinator on " + c.volume_show()["node"]


def crash(w):
    """The node of the machine, with whatever else it has."""
    w.victim = w.node()
    w.via = next(n for n in w.c.lab.nodes if n != w.victim)
    w.crashed = time.monotonic()
    w.c.lab.kill(w.victim)
    return w.victim


def survived(w):
    w.c.wait(w.via, lambda: w.node(w.via) not in (None, w.victim) and
             w.show(w.via)["work"] == "online", f"{w.name} online elsewhere", 90)
    node = w.node(w.via)
    w.wait_alive(node)
    first = min(t for t, n, _ in w.stamps(node) if t > w.crashed)
    return f"runs on {node}, first stamp {first - w.crashed:.1f} s after the crash"


def proof(w):
    line = [e["text"] for e in w.c.events(w.via, "node-fenced") if e["object"] == w.victim]
    if not line:
        raise LabError(f"{w.victim} was not fenced")
    return line[-1]


def verdict(w):
    w.stop(w.via)
    wrong = w.judge(w.via)
    if wrong:
        raise LabError("; ".join(wrong))
    return f"{w.stamps()[-1][2]} stamps, none lost, never two at once, memory whole"


def run(lab, table):
    c = Cluster(lab)
    table.step("three nodes, one corosync ring", lab.up)
    table.step("cluster 'bank', every node has its vote", lambda: c.create() and None)
    table.step("fence device for all nodes", lambda: c.ctl(
        "n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE_AGENT),
        "--param", "bmc_socket=/run/lab/bmc.sock") and None)
    table.step("LUN formatted, volume mounted on all three", lambda: c.volume() and None)
    table.step("one name space", lambda: one_name_space(c))
    w = Witness(c)
    try:
        table.step("virtual machine 'web1' started", lambda: start_witness(w))
        table.step("moved while it runs", lambda: migrate(w))
        table.step("its node crashes", lambda: crash(w))
        table.step("detected, fenced, started elsewhere", lambda: survived(w))
        table.step("proof of the fence", lambda: proof(w))
        table.step("the crashed node boots again and is a member", lambda: c.wait(
            w.via, lambda: c.is_whole(w.via), f"{w.victim} is back", 60))
        table.step("the witness's verdict, from inside", lambda: verdict(w))
        table.step("the same database on all three", lambda: c.wait_same())
        if KEEP:
            table.step("'web1' started again", lambda: w.start() and None)
    finally:
        w.close()


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupted)
    lab = Lab(3, dir=tempfile.mkdtemp(prefix="clusterd-quickstart-", dir="/var/tmp"), bin=BUILD)
    code = 1
    try:
        run(lab, Table())
        code = 0
    except KeyboardInterrupt:
        print("  interrupted")
        code = 130
    except Exception as e:
        print(f"quickstart: {e}", file=sys.stderr)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):      # the way out goes to its end
            signal.signal(number, signal.SIG_IGN)
        if KEEP and code == 0:
            print(f"\nThe nodes are up. Look around:\n"
                  f"  tests/lab/lab --dir {lab.dir} run n1 {CTL} status\n"
                  f"  tests/lab/lab --dir {lab.dir} run n1 {CTL} vm show web1\n"
                  f"  tests/lab/lab --dir {lab.dir} run n1 {CTL} vm migrate web1 --to n3\n"
                  f"  tests/lab/lab --dir {lab.dir} sh n1          # ls /cluster/vol\n"
                  f"  tests/lab/lab --dir {lab.dir} down")
        else:
            lab.down()
            wait_until(lambda: not lab.leftovers(), 10, "nothing left behind")
            if os.path.isdir(lab.dir):
                os.rmdir(lab.dir)
    return code


if __name__ == "__main__":
    sys.exit(main())
