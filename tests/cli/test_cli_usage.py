"""Help, wrong usage, completion, and errors as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = [
    "run", "list", "show", "approve", "reject", "edit", "respond", "resume", "recover", "review",
    "history", "graph", "doctor", "db", "db status", "db migrate", "db stop",
]  # fmt: skip


def test_the_commands_are_these(hitl_bare):
    text = hitl_bare("--help").out + hitl_bare("db", "--help").out
    for name in COMMANDS:
        assert f" {name.split()[-1]} " in text
    assert "3 stopped and waiting for review" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(hitl_bare, name):
    ended = hitl_bare(*name.split(), "--help")
    assert ended.status == 0
    assert "Example: hitl " in " ".join(ended.out.split())
    assert "--help" in ended.out


@pytest.mark.parametrize("name", [one for one in COMMANDS if one != "db"])
def test_every_command_prints_json(hitl_bare, name):
    assert "--json" in hitl_bare(*name.split(), "--help").out


@pytest.mark.parametrize("args", [(), ("db",)])
def test_without_a_command_there_is_help(hitl_bare, args):
    ended = hitl_bare(*args)
    assert ended.status == 2
    assert "Usage" in ended.out


@pytest.mark.parametrize(
    ("args", "next_"),
    [
        (("shwo",), "hitl --help"),
        (("show",), "hitl show --help"),
        (("run",), "hitl run --help"),
        (("list", "--nope"), "hitl list --help"),
        (("list", "extra"), "hitl list --help"),
        (("list", "--limit", "0"), "hitl list --help"),
        (("list", "--limit", "many"), "hitl list --help"),
        (("approve", "t", "--call"), "hitl approve --help"),
        (("db", "nope"), "hitl db --help"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_help_to_read(hitl_bare, args, next_):
    ended = hitl_bare(*args)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.endswith(f"next: {next_}\n")
    as_json = hitl_bare(*args, "--json") if args[-1] != "--call" else hitl_bare("--json", *args)
    assert as_json.status == 2
    assert set(as_json.error) == {"error", "next"}


def test_the_version_is_printed(hitl_bare):
    assert hitl_bare("--version").out.startswith("hitl-agent")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell):
    env = os.environ | {
        "PYTHONPATH": str(ROOT), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }  # fmt: skip
    done = subprocess.run(
        (sys.executable, "-m", "hitl_agent", "--show-completion", shell),
        env=env, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "_HITL_COMPLETE" in done.stdout


def completed(hitl, *words: str) -> list[str]:
    """What bash would offer for the last word."""
    env = {
        "_HITL_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("hitl", *words)),
        "COMP_CWORD": str(len(words)),
    }
    ended = hitl.process(env=env)
    assert (ended.status, ended.err) == (0, "")
    return ended.out.split()


def test_commands_graphs_and_waiting_threads_are_completed(hitl):
    hitl.waits("a-thread")
    assert completed(hitl, "app") == ["approve"]
    assert "desk_by_module" in completed(hitl, "run", "desk_")
    assert completed(hitl, "show", "a-") == ["a-thread"]


def test_completion_without_project_or_database_offers_nothing(hitl_bare, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hitl_bare.folder = tmp_path
    assert completed(hitl_bare, "run", "d") == []
    assert completed(hitl_bare, "show", "a") == []


def test_an_error_nobody_foresaw_is_one_line_and_a_way_to_see_more(hitl, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("\x1b[31m")

    monkeypatch.setattr("hitl_agent.storage.reviews.waiting", broken)
    ended = hitl("list")
    assert ended.status == 1
    assert ended.err == "error: ZeroDivisionError: \\x1b[31m\nnext: HITL_DEBUG=1 shows where\n"
    assert json.loads(hitl("list", "--json").err)["next"] == "HITL_DEBUG=1 shows where"
    monkeypatch.setenv("HITL_DEBUG", "1")
    ended = hitl("list")
    assert "Traceback" in ended.err
    assert "\x1b" not in ended.err
