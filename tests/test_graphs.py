"""The example graphs, run as a user would: by their name in `langgraph.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hitl_agent.cli.app import app

ROOT = Path(__file__).parents[1]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Path:
    monkeypatch.setenv("HITL_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(ROOT)
    # the graph reads its directory when it is loaded, once in a process
    monkeypatch.delitem(sys.modules, "graphs.workspace_janitor", raising=False)
    (tmp_path / "draft.txt").write_text("buy milk")
    return tmp_path


def hitl(*args: str) -> tuple[int, dict[str, object]]:
    ended = CliRunner().invoke(app, [*args, "--json"])
    return ended.exit_code, json.loads(ended.stdout)


def test_the_janitor_reads_by_itself_and_asks_before_it_writes_or_deletes(workspace: Path) -> None:
    status, view = hitl(
        "run", "workspace_janitor", "--runbook", "graphs/tidy.yaml", "--thread", "tidy"
    )
    assert status == 3, view
    assert [one["tool"] for one in view["waiting"]] == ["write_file", "delete_file"]
    assert sorted(one.name for one in workspace.iterdir()) == ["draft.txt"]

    hitl("approve", "tidy", "--call", "keep.1", "--as", "ana")
    status, view = hitl("reject", "tidy", "--call", "discard.1", "--as", "ana")
    assert (status, view["status"]) == (0, "done")
    assert (workspace / "notes.txt").read_text() == "From the draft:\nbuy milk"
    assert (workspace / "draft.txt").exists()


def test_the_same_graph_asks_a_model_where_there_is_no_runbook(workspace: Path) -> None:
    ended = CliRunner().invoke(app, ["run", "workspace_janitor", "tidy up", "--json"])
    assert ended.exit_code == 1
    assert "names neither a runbook nor a model" in ended.stderr
