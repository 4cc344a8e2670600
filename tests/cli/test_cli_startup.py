"""`hitl list` starts fast: it loads no agent framework."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = {"langgraph", "langchain_core", "langchain", "openai", "jsonschema", "yaml"}
NEEDED = "import psycopg_pool, typer, rich.table"


def loaded(hitl, *args: str) -> set[str]:
    """The modules that a command loads."""
    code = (
        "import sys\nfrom hitl_agent.cli.app import app\n"
        f"try:\n    app({list(args)!r}, prog_name='hitl')\n"
        "except SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        (sys.executable, "-c", code),
        cwd=hitl.folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "args", [("list",), ("list", "--json"), ("--help",), ("list", "--help"), ("db", "status")]
)
def test_looking_at_the_list_loads_no_framework(hitl, args):
    hitl.waits("t")
    assert HEAVY & loaded(hitl, *args) == set()


def test_looking_at_the_list_loads_no_pydantic(hitl):
    assert "pydantic" not in loaded(hitl, "list")


def test_help_loads_no_database_driver(hitl_bare):
    assert {"psycopg", "psycopg_pool"}.isdisjoint(loaded(hitl_bare, "--help"))


def test_the_list_takes_little_more_work_than_the_packages_it_needs(hitl):
    """The least of a few: the machine may be busy with other things."""
    hitl.waits("t")
    bare, listed = [], []
    for _ in range(5):
        bare.append(work(lambda: subprocess.run((sys.executable, "-c", NEEDED), check=True)))
        listed.append(work(lambda: hitl.process("list", "--json")))
    assert min(listed) < 2.5 * min(bare), (listed, bare)


def work(run: Callable[[], object]) -> float:
    """The processor time of a process, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
