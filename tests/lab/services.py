# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in a node, in order of start. Add a line here to add a service.

argv     the program, in the foreground; {bin} is the directory of --bin, {csvfsd} the program
         csvfsd beside it
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
                         "--xfs-options", "nouuid"], None, "{bin}/clusterd", 20),
)

STOP_SECONDS = 10


def select(bin_dir):
    """The services of a node as plain dicts: those whose program is there."""
    chosen = []
    for service in TABLE:
        found = _expand(service, bin_dir)
        if found:
            chosen.append(found)
    return chosen


def _expand(service, bin_dir):
    """One service with {bin} filled in; None if it needs a file that is not there.

    A build tree has DIR/clusterd/clusterd, an installed one DIR/clusterd.
    """
    for directory in (bin_dir, os.path.join(bin_dir, service.name)) if bin_dir else ("",):
        if service.needs:
            path = service.needs.format(bin=directory)
            if not directory or not (os.path.isfile(path) and os.access(path, os.X_OK)):
                continue
        csvfsd = next((p for p in (os.path.join(directory, "csvfsd"),
                                   os.path.join(directory, "..", "csvfs", "csvfsd"))
                       if os.path.isfile(p)), os.path.join(directory, "csvfsd"))
        argv = [word.format(bin=directory, csvfsd=os.path.normpath(csvfsd))
                for word in service.argv]
        return {"name": service.name, "argv": argv, "ready": service.ready,
                "timeout": service.timeout}
    return None
