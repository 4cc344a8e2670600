"""README and docs stay true: their Python runs, their YAML loads, their links lead somewhere."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import hitl_agent
from hitl_agent.policy import parse_policy
from hitl_agent.runbook import check_tools, parse_runbook

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[object]:
    return [
        pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, (found, text) in enumerate(SNIPPET.findall(page.read_text("utf-8")))
        if found == language
    ]


@pytest.mark.parametrize("code", snippets("python"))
def test_python_runs(code: str, database_url: str, tmp_path: Path) -> None:
    environment = {
        "HITL_DATABASE_URL": database_url,
        "OPENAI_API_KEY": "none",
        "PATH": "/usr/bin:/bin",
        "LANGSMITH_TRACING": "false",
    }
    ended = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_readmes_example_prints_what_was_approved(database_url: str, tmp_path: Path) -> None:
    code = next(
        text
        for language, text in SNIPPET.findall((ROOT / "README.md").read_text("utf-8"))
        if language == "python"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "[approved by ana]\nrefunded 80.0 on A-1\n"


@pytest.mark.parametrize("text", snippets("yaml"))
def test_yaml_loads(text: str) -> None:
    if text.startswith("version:"):
        assert parse_policy(text, file="docs").document.tools
    else:
        tools = ["look_up_order", "refund_order", "send_email"]
        check_tools(parse_runbook(text, file="docs"), tools)


@pytest.mark.parametrize("text", snippets("json"))
def test_json_is_json(text: str) -> None:
    try:
        assert json.loads(text)
    except json.JSONDecodeError:
        for line in text.splitlines():
            assert json.loads(line)["type"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_command_named_in_the_docs_exists() -> None:
    from hitl_agent.cli.app import app

    names = {one.name or one.callback.__name__ for one in app.registered_commands}
    names |= {one.name for one in app.registered_groups}
    for page in PAGES:
        for command in re.findall(
            r"(?:^\$ |`)hitl ([a-z]+)", page.read_text("utf-8"), re.MULTILINE
        ):
            assert command in names, f"{page.name}: hitl {command}"


def test_the_public_names_are_these_and_all_can_be_loaded() -> None:
    assert sorted(hitl_agent.__all__) == [
        "AgentState",
        "Approve",
        "ChatModelPlanner",
        "Decision",
        "Edit",
        "Happened",
        "HitlError",
        "HitlMiddleware",
        "NotHappened",
        "OutcomeUnknown",
        "Planner",
        "Policy",
        "Reject",
        "Respond",
        "ReviewRequest",
        "Runbook",
        "RunbookOrModel",
        "RunbookPlanner",
        "Runtime",
        "Tier",
        "TimeUp",
        "ToolCall",
        "ToolGuard",
        "Verdict",
        "build_graph",
        "contract",
        "guard",
        "human_review",
        "idempotency_key",
        "load_policy",
        "load_runbook",
        "resolve_database_url",
        "review_graph",
        "time_left",
        "transaction",
    ]
    for name in hitl_agent.__all__:
        assert getattr(hitl_agent, name) is not None
    with pytest.raises(AttributeError):
        hitl_agent.nothing  # noqa: B018


def test_importing_the_package_loads_no_driver_and_no_framework() -> None:
    heavy = ("psycopg", "langgraph", "typer", "pydantic")
    code = f"import sys, hitl_agent; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ended.stdout == "[]\n"


def test_the_api_reference_is_that_of_the_docstrings() -> None:
    written = runpy.run_path(str(ROOT / "docs" / "reference"))["reference"]()
    page = (ROOT / "docs" / "reference" / "README.md").read_text("utf-8")
    assert page == written, "write it anew: make docs"
