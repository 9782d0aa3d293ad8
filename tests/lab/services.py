# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in a node, in order of start. Add a line here to add a service.

argv     the program, in the foreground; {bin} is the directory of --bin, {csvfsd} and {vmhost} the
         programs beside it, {agents} the folder of our OCF agents
ready    a program that exits 0 once the service answers, None if it need not
needs    a file without which the service is left out, None if it always runs
timeout  seconds until `ready` must have said yes
"""
import os
from collections import namedtuple

Service = namedtuple("Service", "name argv ready needs timeout")

TABLE = (
    Service("corosync", ["corosync", "-f"], ["corosync-cfgtool", "-s"], None, 20),
    # nouuid: the nodes share a kernel, which would refuse, and so hide, a second mount of one XFS.
    Service("clusterd", ["{bin}/clusterd", "--foreground", "--csvfsd", "{csvfsd}",
                         "--xfs-options", "nouuid", "--vm-host", "{vmhost}", "--agents", "{agents}"], None, "{bin}/clusterd", 20),
)

STOP_SECONDS = 10
AGENTS = os.path.normpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..",
                                       "agents"))


def select(bin_dir, csvfsd=None):
    """The services of a node as plain dicts: those whose program is there. csvfsd: of another
    path than the one beside clusterd."""
    chosen = []
    for service in TABLE:
        found = _expand(service, bin_dir, csvfsd)
        if found:
            chosen.append(found)
    return chosen


def _expand(service, bin_dir, csvfsd):
    """One service with {bin} filled in; None if it needs a file that is not there.

    A build tree has DIR/clusterd/clusterd, an installed one DIR/clusterd.
    """
    for directory in (bin_dir, os.path.join(bin_dir, service.name)) if bin_dir else ("",):
        if service.needs:
            path = service.needs.format(bin=directory)
            if not directory or not (os.path.isfile(path) and os.access(path, os.X_OK)):
                continue
        argv = [word.format(bin=directory, csvfsd=csvfsd or csvfsd_beside(directory),
                            vmhost=_beside(directory, "migrate", "vm-host"), agents=AGENTS)
                for word in service.argv]
        return {"name": service.name, "argv": argv, "ready": service.ready,
                "timeout": service.timeout}
    return None


def csvfsd_beside(directory):
    return _beside(directory, "csvfs", "csvfsd")


def csvfsd_of(bin_dir):
    """The csvfsd that nodes run; None where they run no clusterd."""
    argv = [s["argv"] for s in select(bin_dir) if s["name"] == "clusterd"]
    return argv[0][argv[0].index("--csvfsd") + 1] if argv else None


def _beside(directory, folder, program):
    """A program of ours: beside clusterd where it is installed, in its folder in a build tree."""
    installed = os.path.join(directory, program)
    if os.path.isfile(installed):
        return installed
    return os.path.normpath(os.path.join(directory, "..", folder, program))
