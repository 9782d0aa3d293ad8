# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for the guests: what they boot from is made once, their logs are shown on a failure."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lab"), os.path.join(HERE, "..", "live")]

from common import LabError                                 # noqa: E402
from guests import Guests, image, installed, pack               # noqa: E402

BUILD = os.path.realpath(os.environ.get("CLUSTERD_BUILD", "."))
PROGRAMS = ("tests/guests/dlm_conform",)
LOG_LINES = 25


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.when != "teardown" and report.failed:
        item.guests_failed = True


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Folder of the system image, and the image of our programs."""
    work = tmp_path_factory.mktemp("programs")
    extra = [os.path.join(BUILD, name) for name in PROGRAMS
             if os.path.exists(os.path.join(BUILD, name))]
    pack(installed(BUILD, str(work / "local"), extra), str(work / "programs.img"))
    return image(), str(work / "programs.img")


@pytest.fixture(scope="module")
def make_guests(made, tmp_path_factory):
    """make(**options): guests that are up; they end with the tests of the file."""
    running = []

    def make(**options):
        folder = str(tmp_path_factory.mktemp("guests"))
        running.append(Guests(folder, made[1], image_dir=made[0], **options))
        return running[-1].__enter__()
    yield make
    for guests in running:
        guests.close()


@pytest.fixture(autouse=True)
def logs_of_a_failure(request):
    """The ends of logs, for who reads why it failed."""
    yield
    if not getattr(request.node, "guests_failed", False):
        return
    for name, value in list(request.node.funcargs.items()):
        guests = value if isinstance(value, Guests) else getattr(value, "lab", None)
        if not isinstance(guests, Guests):
            continue
        for node in guests.nodes:
            print(f"---- {node}: serial line\n{guests.guests[node].words('serial')}")
            try:
                print(guests.run(node, f"tail -n {LOG_LINES} /var/log/*.log; dmesg | tail -n "
                                 f"{LOG_LINES}", check=False).stdout)
            except LabError as e:       # it is off, or stands still
                print(f"{node}: {e}")
