"""A user's own project in a temporary directory, and `hitl` run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hitl_agent.cli.app import app

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The JSON object that stderr ends with."""
        return json.loads(self.err.splitlines()[-1])


class Hitl:
    """The command line: in this process where that is enough, else in one of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.effects_file = folder / "effects.log"
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *args: str, stdin: str | bytes | None = None) -> Ended:
        done = CliRunner().invoke(app, list(args), input=stdin, prog_name="hitl")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        """Start a process of its own; stdin is empty unless given."""
        env = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
        process = subprocess.Popen(
            (sys.executable, "-m", "hitl_agent", *args),
            **(
                {
                    "cwd": self.folder,
                    "env": env,
                    "stdin": subprocess.DEVNULL,
                    "stdout": subprocess.PIPE,
                    "stderr": subprocess.PIPE,
                    "text": True,
                    "encoding": "utf-8",
                }
                | options
            ),
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """End what a failed test left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def process(self, *args: str, stdin: str | None = None, **options: Any) -> Ended:
        """Run in a process of its own."""
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        with self.start(*args, **options) as process:
            out, err = process.communicate(stdin, timeout=120)
        return Ended(process.returncode, out or "", err or "")

    def effects(self) -> list[str]:
        """What the tools did."""
        return self.effects_file.read_text().splitlines() if self.effects_file.exists() else []

    def waits(self, thread_id: str = "t", runbook: str = "refund.yaml") -> list[dict[str, Any]]:
        """Start a thread that stops at the gate; return what waits, by urgency."""
        ended = self("run", "desk", "--runbook", runbook, "--thread", thread_id, "--json")
        assert ended.status == 3, ended
        return ended.json["waiting"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's project, as the working directory."""
    path = tmp_path / "project"
    shutil.copytree(PROJECT, path, ignore=shutil.ignore_patterns("__pycache__"))
    (path / "flows" / "half_written.py").write_text("graph = (")
    monkeypatch.chdir(path)
    monkeypatch.setenv("HITL_DATABASE_URL", "")  # what a command sets is undone after the test
    monkeypatch.delenv("HITL_DATABASE_URL")
    monkeypatch.setenv("EFFECTS", str(path / "effects.log"))
    monkeypatch.setenv("HITL_REVIEWER", "ana")
    monkeypatch.setenv("COLUMNS", "150")
    before, modules = list(sys.path), set(sys.modules)
    yield path
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.split(".")[0] == "flows" or name.startswith("hitl_graph_"):
            del sys.modules[name]


@pytest.fixture
def hitl(folder: Path, database_url: str) -> Iterator[Hitl]:
    """`hitl` in a user's project, on a database of its own."""
    command = Hitl(folder)
    yield command
    command.end()


@pytest.fixture
def hitl_bare(folder: Path) -> Hitl:
    """`hitl` in a user's project, without any database."""
    return Hitl(folder)
