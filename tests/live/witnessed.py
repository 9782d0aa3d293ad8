# SPDX-License-Identifier: GPL-2.0-or-later
"""Clusters with a witness: who votes, who serves."""
D_MS = "1500"
LONG = 90   # a claim of a dead owner's record takes up to eleven D, on a busy machine


def votes(c, via):
    """Who votes; the witness is the last."""
    q = c.quorum(via)
    names = [v["node"] for v in q["votes"] if v["vote"]]
    return names + ["witness"] * q.get("witness_vote", 0)


def serves(c, node):
    """It takes a change and answers it."""
    serves.count += 1
    c.ctl(node, "group", "create", f"g{serves.count}")
    return f"g{serves.count}"


serves.count = 0


def groups(c, node):
    return {g["name"] for g in c.ctl(node, "group", "list")}


def wait_serving(c, node, present, timeout=LONG):
    c.wait(node, lambda: c.quorum(node)["present"] == present and c.quorum(node)["is_quorate"],
           f"{present} serve", timeout)
