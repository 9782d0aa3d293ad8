#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""campaign_judge: judges what has come to the LUN's log since the last time (judge.py).

On standard input: {log, from, marks, traces, volume_bytes}; on standard output: {wrong, counts, to,
marks}. Marks are fences of before, which are still to be known. A program of its own, because it
takes seconds for which the campaign's threads must not wait.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab"))

import lunlog                                                   # noqa: E402
from common import read                                         # noqa: E402
from judge import Judge, parse_trace                            # noqa: E402

MARKS = lunlog.ON | lunlog.CUT | lunlog.OFF


def main():
    what = json.load(sys.stdin)
    with open(what["log"], "rb") as f:      # first: what allows a write is noted before it
        f.seek(what["from"])
        records = lunlog.parse(f.read())
    events = []
    for number, path in what["traces"].items():
        events += parse_trace(int(number), read(path) or "")
    marks = [lunlog.Record._make(m) for m in what["marks"]]
    verdict = Judge(marks + records, events, what["volume_bytes"])
    json.dump({"wrong": verdict.wrong, "counts": verdict.counts,
               "to": what["from"] + len(records) * lunlog.RECORD.size,
               "marks": marks + [r for r in records if r.op & MARKS]}, sys.stdout)


if __name__ == "__main__":
    main()
