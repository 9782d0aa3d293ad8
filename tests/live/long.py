# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that are in ./check --all, and not in ./check, which has half an hour on two cores."""
import pytest

long = pytest.mark.long


def long_but(cases, *short):
    """Parameters of a test of which only these belong to ./check."""
    assert all(s in cases for s in short)
    return [c if c in short else pytest.param(*(c if isinstance(c, tuple) else (c,)), marks=long)
            for c in cases]
