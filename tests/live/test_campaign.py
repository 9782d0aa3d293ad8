# SPDX-License-Identifier: GPL-2.0-or-later
"""The campaign of random faults, alive: a beginning of one. `make campaign` is the long way."""
import os
import re
import subprocess

import pytest
from campaign_steps import MOST_DOWN, MOST_SICK, Seer, segments
from cluster import BUILD

CAMPAIGN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "campaign")


def words(seed, count):
    return [(number, step) for number, steps in segments(seed, count) for step in steps]


def test_a_seed_gives_its_steps_and_fewer_are_a_beginning_of_them():
    long = words("5", 300)
    assert long == words("5", 300) != words("6", 300)
    assert words("5", 117) == long[:117]
    assert [step.number for _, step in long] == list(range(1, 301))
    stretched = list(segments("5", 300, 4))
    assert sum(len(steps) for _, steps in stretched) == 300
    assert all(len(steps) >= 16 for _, steps in stretched[:-1])


def test_a_plan_keeps_its_bounds():
    for segment in range(300):
        seer = Seer("9", segment)
        for _ in range(40):
            name = seer.dice.choice(("crash", "freeze_node", "cut_off", "kill_service", "disk",
                                     "raise_node", "heal_disk", "heal_net"))
            getattr(seer, name)()
            assert len(seer.down) <= MOST_DOWN and len(seer.sick) <= MOST_SICK


def test_a_campaign_begins(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    run = subprocess.run([CAMPAIGN, "--seed", "1", "--steps", "7", "--keep", tmp_path / "kept"],
                         env=dict(os.environ, CLUSTERD_BUILD=BUILD), capture_output=True, text=True,
                         timeout=900, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    assert re.search(r"7 steps in .* 0 violations", run.stdout), run.stdout
    assert all(f'"{kind}": ' in run.stdout for kind in ("append", "blocks", "rough", "granted"))
