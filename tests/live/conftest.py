# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for the live tests: labs that leave nothing, and their logs when a test fails.

make_lab(nodes=3, **options) gives a lab that is up; lab1, lab3 are shorthands. One of
make_module_lab is shared by the tests of a file.
A test fails if anything of its lab is left on the machine afterwards. With
LAB_KEEP_LOGS=DIR the nodes' logs of failed tests are copied there.

Where there are our programs to run, the LUN is attributed (if it was built; LAB_LUN=file: not), and
what the nodes wrote there is judged when the test has ended: see judge.py.
"""
import contextlib
import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab"))

import attributed                                               # noqa: E402
import sweep                                                    # noqa: E402
from common import read                                         # noqa: E402
from judge import judge                                         # noqa: E402
from lablib import Lab, LabError, poll                          # noqa: E402
from syscalls import start_time                                 # noqa: E402

LOG_LINES = 40
GONE_SECONDS = 10


def pytest_configure(config):
    config.addinivalue_line("markers", "long: not in ./check, but in ./check --all")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Lets a fixture know whether its test failed."""
    report = (yield).get_result()
    if report.when != "teardown" and report.failed:
        item.lab_failed = True


class Witness:
    """Remembers who belongs to a lab, and asks after its end whether they are gone."""

    def __init__(self, lab):
        self.lab, self.people = lab, set()

    def look(self):
        try:
            status = self.lab.status()
        except LabError:
            return
        for pid in [status["pid"]] + [n["pid"] for n in status["nodes"] if n["pid"]]:
            self.people.add((pid, start_time(pid)))

    def left(self):
        left = self.lab.leftovers()
        left += [f"process {pid}" for pid, start in self.people
                 if start is not None and start_time(pid) == start]
        if os.path.exists(self.lab.dir):
            left.append(f"directory {self.lab.dir}")
        return left


def dump_logs(lab, name):
    keep = os.environ.get("LAB_KEEP_LOGS")
    for node in sorted(os.listdir(lab.dir)) if os.path.isdir(lab.dir) else []:
        logs = os.path.join(lab.dir, node, "log")
        for log in sorted(os.listdir(logs)) if os.path.isdir(logs) else []:
            path = os.path.join(logs, log)
            text = read(path) if os.path.isfile(path) else None
            if text:
                print(f"--- {node}: {log}, last {LOG_LINES} lines")
                print("\n".join(text.splitlines()[-LOG_LINES:]))
        if keep and os.path.isdir(logs):
            shutil.copytree(logs, os.path.join(keep, name, node), dirs_exist_ok=True)
    print("--- labd.log")
    print(read(os.path.join(lab.dir, "labd.log"), "")[-4000:])


@contextlib.contextmanager
def lab_directories():
    """Makes directories for labs. A test that fails halfway must not leave one behind."""
    made = []

    def make():
        made.append(tempfile.mkdtemp(prefix="clusterd-test-", dir="/var/tmp"))
        return made[-1]
    try:
        yield make
    finally:
        for path in made:
            sweep.sweep(path)
            if os.path.isdir(path) and not os.listdir(path):
                os.rmdir(path)


def lun_of(options):
    """The kind of LUN of a lab that has not asked for one."""
    try:
        attributed.program(options["bin"])
        return os.environ.get("LAB_LUN", "attributed")
    except LabError:
        return "file"


def judge_lab(lab):
    """What nodes have written that was not theirs, as sentences."""
    if not lab.config["lun"] or not lab.is_judged or not lab.is_up():
        return []
    verdict = judge(lab)
    print(f"--- the LUN: {dict(verdict.counts)}")
    return [f"the LUN: {w}" for w in verdict.wrong]


def end_labs(labs, request):
    """Takes them down; what they leave, or have written where they may not, is a failure."""
    left, wrong = [], []
    for lab, witness in labs:
        witness.look()
        wrong += judge_lab(lab)
        if getattr(request.node, "lab_failed", False):
            dump_logs(lab, request.node.name)
        try:
            lab.down()
        except LabError as e:
            left.append(str(e))
        if not poll(lambda w=witness: not w.left(), GONE_SECONDS):
            left += witness.left()
    if wrong:
        pytest.fail("\n".join(wrong))
    if left:
        pytest.fail("left behind: " + "; ".join(left))


@contextlib.contextmanager
def lab_maker(request):
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    labs = []

    def make(nodes=3, **options):
        options.setdefault("bin", "")
        options.setdefault("lun", lun_of(options))
        lab = Lab(nodes, dir=lab_dir(), **options)
        labs.append((lab, Witness(lab)))
        lab.up()
        labs[-1][1].look()
        return lab
    with lab_directories() as lab_dir:
        yield make
        end_labs(labs, request)


@pytest.fixture
def lab_dir():
    with lab_directories() as make:
        yield make


@pytest.fixture
def make_lab(request):
    with lab_maker(request) as make:
        yield make


@pytest.fixture(scope="module")
def make_module_lab(request):
    """For labs that the tests of a file share; who shares one ends it when a test has failed."""
    with lab_maker(request) as make:
        yield make


@pytest.fixture
def lab1(make_lab):
    return make_lab(1)


@pytest.fixture
def lab3(make_lab):
    return make_lab(3)
