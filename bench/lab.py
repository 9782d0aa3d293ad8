# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands of bench/ share: a cluster in a lab of its own, figures, tables, options.

    def measure(args, report):
        with cluster(args, 3, volume=True) as c:
            ...
            report.data["x"] = spread(values)
            report.table("x", ["what", "figure"], [["x", show(values)]])

    sys.exit(main(__doc__, measure))
"""
import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
TREE = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(TREE, "tests", name) for name in ("live", "lab", "guests")]

from lablib import Lab, LabError, wait_until                    # noqa: E402

FENCE_AGENT = os.path.join(TREE, "tests", "lab", "fence_lab")
PROGRAMS = ("clusterd/clusterd", "clusterd/clusterctl", "csvfs/csvfsd", "csvfs/csvadm",
            "migrate/vm-host", "tests/guests/witness.elf", "bench/cpg_rtt", "bench/names")
VOLUME = "/cluster/vol"


class Failed(Exception):
    """It could not be measured, and why."""


# ---- options, and how a command ends

def main(doc, measure, more=None):
    """Runs measure(args, report). 0: measured; 1: could not be measured; 2: usage."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="bench/" + os.path.basename(sys.argv[0]))
    parser.add_argument("--build", default=os.environ.get("CLUSTERD_BUILD") or
                        os.path.join(TREE, "build-plain"),
                        help="a build without sanitizers in which `make bench` has run "
                             "(default $CLUSTERD_BUILD, else build-plain in the tree)")
    parser.add_argument("--where", default="/var/tmp", metavar="DIR",
                        help="on the disk to be measured (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="for programs: one object, all figures")
    if more:
        more(parser)
    args = parser.parse_args()
    args.build = os.path.realpath(args.build)
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        check_build(args.build)
        os.environ["CLUSTERD_BUILD"] = args.build       # read by the modules of tests/live
        report = Report(args)
        measure(args, report)
        report.end()
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (Failed, LabError, OSError, AssertionError) as e:
        print(f"{parser.prog}: {e}", file=sys.stderr)
    except Exception as e:                              # Ctl, QmpError: of modules loaded later
        print(f"{parser.prog}: {type(e).__name__}: {e}", file=sys.stderr)
    return 1


def _interrupted(*_):
    raise KeyboardInterrupt


def check_build(build):
    for name in PROGRAMS:
        if not os.path.isfile(os.path.join(build, name)):
            raise Failed(f"{build}: no {name}; say `make bench` there, or name another --build")
    with open(os.path.join(build, "clusterd", "clusterd"), "rb") as f:
        if b"__asan_init" in f.read():
            raise Failed(f"{build}: built with sanitizers; figures of it would say nothing")


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


# ---- the cluster

@contextlib.contextmanager
def cluster(args, nodes, volume=False, fence=False, lun_size="1G"):
    """A cluster of so many nodes; nothing of it is left afterwards, whatever happens."""
    from cluster import Cluster                         # reads CLUSTERD_BUILD
    lab = Lab(nodes, dir=tempfile.mkdtemp(prefix="clusterd-bench-", dir=args.where),
              bin=args.build, lun_size=lun_size)
    try:
        lab.up()
        c = Cluster(lab).create()
        if fence:
            c.ctl("n1", "fence", "create", "bmc", "--agent", FENCE_AGENT,
                  "--param", "bmc_socket=/run/lab/bmc.sock")
        if volume:
            c.volume()
        progress(f"{nodes} nodes are up")
        yield c
    finally:
        _down(lab)


def _down(lab):
    old = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        lab.down()
        wait_until(lambda: not lab.leftovers(), 10, "nothing left behind")
        shutil.rmtree(lab.dir, ignore_errors=True)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def another(c, *nodes):
    """A node of the lab that is none of these."""
    return next(n for n in c.lab.nodes if n not in nodes)


def move_coordinator(c, node, via="n1"):
    if c.volume_show(via=via)["node"] != node:
        c.ctl(via, "volume", "move", "vol", "--to", node, "--wait=60", timeout=90)
        c.wait_volume(via=via)


# ---- figures

def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "values": list(values)}


def percentile(values, percent):
    """The value below which so many percent lie: nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def number(x):
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def show(values):
    """Median, and in brackets the least and the greatest."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"


def ratios(values, base):
    """Of pairs that were measured one after the other, so that both saw about the same load."""
    return [v / b for v, b in zip(values, base)]


def ratio(values, base):
    return f"{statistics.median(ratios(values, base)):.3f}"


class Report:
    """Tables for people as they are made, or at the end one object for programs."""

    def __init__(self, args):
        self.is_json, self.data = args.json, {}
        self.begin, self.load = time.monotonic(), os.getloadavg()[0]
        self.date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")

    def machine(self):
        return {"cpus": os.cpu_count(), "kernel": platform.release(),
                "load_begin": self.load, "load_end": os.getloadavg()[0]}

    def table(self, title, columns, rows):
        if self.is_json:
            return
        print(f"\n{title}\n\n| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
        for row in rows:
            print("| " + " | ".join(str(cell) for cell in row) + " |")
        sys.stdout.flush()

    def end(self):
        m, seconds = self.machine(), round(time.monotonic() - self.begin)
        command = " ".join(["bench/" + os.path.basename(sys.argv[0])] + sys.argv[1:])
        if self.is_json:
            print(json.dumps({"schema": 1, "command": command, "date": self.date,
                              "seconds": seconds, "machine": m, **self.data}))
        else:
            print(f"\n`{command}`, {self.date}, {seconds} s; {m['cpus']} CPUs, kernel "
                  f"{m['kernel']}, load {m['load_begin']:.1f} before and {m['load_end']:.1f} after")
