# SPDX-License-Identifier: GPL-2.0-or-later
"""The way through: three nodes, a cluster, a group that survives the crash of its node.

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


def crash(c, node):
    c.lab.kill(node)
    return None


def failed_over(c, other, victim):
    c.wait(other, lambda: c.group(other, "web")["work"] == "online" and
           c.group(other, "web")["node"] != victim, "group online elsewhere")
    node = c.group(other, "web")["node"]
    if c.where("page") != [node]:
        raise LabError(f"the resource runs on {c.where('page')}, the database says {node}")
    return f"runs on {node}"


def proof(c, other, victim):
    line = [e["text"] for e in c.events(other, "node-fenced") if e["object"] == victim]
    if not line:
        raise LabError(f"{victim} was not fenced")
    return line[-1]


def run(lab, table):
    c = Cluster(lab)
    table.step("three nodes, one corosync ring", lab.up)
    table.step("cluster 'bank', every node has its vote", lambda: c.create() and None)
    table.step("fence device for all nodes", lambda: c.ctl(
        "n1", "fence", "create", "bmc", "--agent", os.path.realpath(FENCE_AGENT),
        "--param", "bmc_socket=/run/lab/bmc.sock") and None)
    table.step("group 'web' with an OCF resource, started", lambda: (
        c.dummy("web", "page", monitor_ms=1000), c.ctl("n1", "group", "start", "web", "--wait"),
        "runs on " + c.group("n1", "web")["node"])[-1])
    table.step("moved to n3", lambda: c.ctl("n1", "group", "move", "web", "--to", "n3", "--wait")
               and c.wait_group("n2", "web", work="online", node="n3") and None)
    table.step("n3 crashes", lambda: crash(c, "n3"))
    table.step("detected, fenced, started elsewhere", lambda: failed_over(c, "n1", "n3"))
    table.step("proof of the fence", lambda: proof(c, "n1", "n3"))
    table.step("n3 boots again and is a member", lambda: c.wait(
        "n1", lambda: c.is_whole("n1"), "n3 is back"))
    table.step("the same database on all three", lambda: c.wait_same())


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    keep = sys.argv[1:] == ["--keep"]
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
        if keep and code == 0:
            print(f"\nThe nodes are up. Look around:\n"
                  f"  tests/lab/lab --dir {lab.dir} run n1 {CTL} status\n"
                  f"  tests/lab/lab --dir {lab.dir} sh n1\n"
                  f"  tests/lab/lab --dir {lab.dir} down")
        else:
            lab.down()
            wait_until(lambda: not lab.leftovers(), 10, "nothing left behind")
            if os.path.isdir(lab.dir):
                os.rmdir(lab.dir)
    return code


if __name__ == "__main__":
    sys.exit(main())
