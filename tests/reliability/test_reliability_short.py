"""The proof, with few rounds: `make reliability` has as many as it takes to believe it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reliability.__main__ import ROWS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "reliability", "--short", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=ROOT,
    )
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("row", ROWS)
def test_every_figure_is_reached(figures: dict[str, Any], row: str) -> None:
    assert figures[row]["reached"], figures[row]


def test_the_harness_sees_what_plain_langgraph_does_twice(figures: dict[str, Any]) -> None:
    """A harness that could not see a duplicate would prove nothing."""
    assert not figures["concurrent"]["plain"].startswith("0 of")
    assert ": 0 of" not in figures["crash"]["plain"]


def test_the_help_names_every_row() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "reliability", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert all(row in ended.stdout for row in ROWS)
