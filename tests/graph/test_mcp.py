"""Tools of MCP servers at the gate: a real server over stdio, and one that nobody should trust."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient

from hitl_agent import Runtime, contract
from hitl_agent.errors import ConfigurationError
from hitl_agent.graph import mcp
from hitl_agent.graph.mcp import mcp_tools
from hitl_agent.graph.tool_contract import contract_of
from hitl_agent.policy import Tier
from tests.support.flows import Desk, call, desk
from tests.support.mcp_servers import (
    Stranger,
    commits,
    git_repository,
    git_server,
    listed,
)

ROOT = Path(__file__).parents[2]

GIT = """
version: 1
tools:
  git_status: {effect: read}
  git_commit: {effect: write}
"""

FREE = """
version: 1
tools:
  "*": {effect: write, rules: [{id: any, when: "true", tier: auto_approve}]}
  look: {effect: read}
  out: {effect: read, open_world: true, rules: [{id: any, when: "true", tier: auto_approve}]}
"""


def loaded(source: Any, **more: Any) -> list[BaseTool]:
    return asyncio.run(mcp_tools(source, **more))


def asked(runtime: Runtime, stranger: Stranger, *calls: Any, policy: str = FREE, **more: Any):
    """An agent that wants something of the stranger."""
    tools = loaded(stranger.client)
    agent = desk(runtime, *([one] for one in calls), policy=policy, tools=lambda _: tools, **more)
    agent.start()
    return agent


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return git_repository(tmp_path / "repository")


@pytest.fixture
def at_git(runtime: Runtime, repository: Path) -> Desk:
    """An agent with git's reference server that looks and then commits."""
    tools = loaded(MultiServerMCPClient({"git": git_server(repository)}))
    turns = (
        [call("git_status", "look", repo_path=str(repository))],
        [call("git_commit", "write", repo_path=str(repository), message="second")],
    )
    return desk(runtime, *turns, policy=GIT, tools=lambda _: tools)


# --- a real server


@pytest.mark.parametrize("in_async", [False, True])
def test_a_read_runs_and_a_write_waits_until_it_is_approved(at_git, repository, in_async) -> None:
    if in_async:
        asyncio.run(at_git.graph.ainvoke(at_git.runtime.start_input("commit"), at_git.config))
    else:
        at_git.start()
    assert "second.txt" in at_git.answer("look").text
    assert [one.call.call_id for one in at_git.waiting] == ["write"]
    assert commits(repository) == ["first"]
    at_git.decide("write", {"type": "approve"})
    at_git.resume(in_async=in_async)
    assert commits(repository) == ["second", "first"]
    assert at_git.status == "done"


PROJECT = """
import asyncio, json, pathlib
from langchain_mcp_adapters.client import MultiServerMCPClient
from hitl_agent import RunbookPlanner, build_graph
from hitl_agent.graph.mcp import mcp_tools
from hitl_agent.runbook import parse_runbook

HERE = pathlib.Path(__file__).parent
CLIENT = MultiServerMCPClient({"git": json.loads((HERE / "server.json").read_text())})
PLAN = parse_runbook((HERE / "plan.yaml").read_text())
TOOLS = asyncio.run(mcp_tools(CLIENT))
graph = build_graph(RunbookPlanner(PLAN), TOOLS, HERE / "policies.yaml")
"""


Hitl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Callable[..., Hitl]:
    """A project with one call to one server; `hitl` runs in it, each time as another process."""
    folder = tmp_path / "project"

    def hitl(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "hitl_agent", *args),
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HITL_DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def make(server: Any, tool: str, args: dict[str, Any], policy: str) -> Hitl:
        step = {"id": "step", "tool": tool, "args": args, "reason": "it is time"}
        names = {"dependencies": ["."], "graphs": {"agent": "./agent.py:graph"}}
        folder.mkdir()
        (folder / "server.json").write_text(json.dumps(server))
        (folder / "plan.yaml").write_text(json.dumps({"task": "do it", "steps": [step]}))
        (folder / "policies.yaml").write_text(policy)
        (folder / "agent.py").write_text(PROJECT)
        (folder / "langgraph.json").write_text(json.dumps(names))
        return hitl

    return make


@pytest.mark.slow
def test_a_call_is_approved_in_one_process_and_runs_once_in_another(project, repository) -> None:
    args = {"repo_path": str(repository), "message": "second"}
    hitl = project(git_server(repository), "git_commit", args, GIT)
    started = hitl("run", "agent", "commit", "--thread", "t")
    assert started.returncode == 3, started.stderr
    assert commits(repository) == ["first"]
    approved = hitl("approve", "t", "--as", "ana", "--json")
    assert (approved.returncode, json.loads(approved.stdout)["status"]) == (0, "done")
    assert commits(repository) == ["second", "first"]
    assert hitl("approve", "t", "--as", "bea").returncode == 1
    assert hitl("resume", "t").returncode == 1
    assert commits(repository) == ["second", "first"]


@pytest.mark.slow
def test_what_a_server_writes_to_the_terminal_is_escaped(project, tmp_path) -> None:
    stranger = Stranger(tmp_path / "s", listed())
    hitl = project(stranger.connection, "act", {}, FREE)
    ended = hitl("run", "agent", "do it", "--thread", "t", "--json")
    assert (ended.returncode, len(stranger.calls)) == (0, 1)
    assert "  | " in ended.stderr
    assert "nothing waits" in ended.stderr
    assert "\x1b" not in ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_policy_that_is_suggested_for_a_graph_heeds_what_a_server_says(project, tmp_path) -> None:
    says = {"description": "Get an order.", "annotations": {"destructiveHint": True}}
    stranger = Stranger(tmp_path / "s", listed("get_order", **says))
    hitl = project(stranger.connection, "get_order", {}, "version: 1")
    suggested = hitl("policy", "suggest", "--graph", "agent")
    assert "effect: irreversible" in suggested.stdout, suggested.stderr


def test_a_session_serves_async_runs_in_its_loop_and_no_others(runtime, repository) -> None:
    async def through() -> tuple[str, str]:
        client = MultiServerMCPClient({"git": git_server(repository)})
        said = []
        async with client.session("git") as session:
            tools = await mcp_tools(session)
            turn = [call("git_status", "look", repo_path=str(repository))]
            for in_loop in (True, False):
                agent = desk(runtime, turn, policy=GIT, tools=lambda _: tools)
                start = agent.runtime.start_input("look"), agent.config
                if in_loop:
                    await agent.graph.ainvoke(*start)
                else:
                    await asyncio.to_thread(agent.graph.invoke, *start)
                said.append(agent.answer("look").text)
        return said[0], said[1]

    inside, outside = asyncio.run(through())
    assert "second.txt" in inside
    assert outside == "the tool failed: the MCP session belongs to another event loop"


# --- what a server says of its tools


@pytest.mark.parametrize(
    ("name", "hints", "reason"),
    [
        ("act", {"destructiveHint": True}, "it destroys"),
        ("look", {"destructiveHint": True}, "it destroys"),
        ("act", {"destructiveHint": True, "readOnlyHint": True}, "only reads"),
        ("look", {"readOnlyHint": False}, "its server not"),
        ("look", {"openWorldHint": True}, "its server outside"),
    ],
)
def test_what_a_server_says_can_stop_a_call(runtime, tmp_path, name, hints, reason) -> None:
    stranger = Stranger(tmp_path / "s", listed(name, annotations=hints))
    agent = asked(runtime, stranger, call(name, "a", what="x"))
    (waiting,) = agent.waiting
    assert waiting.verdict.tier is Tier.HARD_GATE
    assert any(reason in hit.reason for hit in waiting.verdict.rules), waiting.verdict.rules
    assert stranger.calls == []


@pytest.mark.parametrize(
    ("name", "hints"),
    [
        ("act", {}),
        ("act", {"readOnlyHint": False, "openWorldHint": True, "destructiveHint": False}),
        ("look", {"readOnlyHint": True, "idempotentHint": False}),
        ("out", {"openWorldHint": True}),
    ],
)
def test_what_policy_has_taken_into_account_runs(runtime, tmp_path, name, hints) -> None:
    stranger = Stranger(tmp_path / "s", listed(name, annotations=hints))
    agent = asked(runtime, stranger, call(name, "a", what="x"))
    assert agent.answer("a").artifact["outcome"] == "succeeded"
    assert len(stranger.calls) == 1


@pytest.mark.parametrize("policy", ["version: 1", "version: 1\ntools: {act: {effect: write}}"])
def test_a_hint_lets_nothing_run(runtime, tmp_path, policy) -> None:
    hints = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True}
    stranger = Stranger(tmp_path / "s", listed(annotations=hints))
    agent = asked(runtime, stranger, call("act", "a"), policy=policy)
    assert [one.call.call_id for one in agent.waiting] == ["a"]


@pytest.mark.parametrize("hint", ["yes", 1, [], {}])
def test_a_hint_that_is_no_boolean_stops_a_call(runtime, tmp_path, hint) -> None:
    stranger = Stranger(tmp_path / "s", listed("look"))
    (tool,) = loaded(stranger.client)
    tool.metadata = {"readOnlyHint": hint}
    agent = desk(runtime, [call("look", "a")], policy=FREE, tools=lambda _: [tool])
    agent.start()
    assert "neither true nor false" in agent.waiting[0].verdict.rules[0].reason


def test_hints_count_for_tools_that_come_straight_from_the_adapter(runtime, tmp_path) -> None:
    stranger = Stranger(tmp_path / "s", listed(annotations={"destructiveHint": True}))
    tools = asyncio.run(stranger.client.get_tools())
    agent = desk(runtime, [call("act", "a")], policy=FREE, tools=lambda _: tools)
    agent.start()
    assert [one.call.call_id for one in agent.waiting] == ["a"]


@pytest.mark.parametrize(
    ("says", "waits"), [("", True), (", untrusted_output: false", False)], ids=["silent", "trusted"]
)
def test_results_count_as_other_peoples_text(runtime, tmp_path, says, waits) -> None:
    policy = f"""
version: 1
tools:
  look: {{effect: read{says}}}
  act:
    effect: write
    rules:
      - {{id: clean, when: "!context.untrusted", tier: auto_approve}}
"""
    stranger = Stranger(tmp_path / "s", listed("look"), listed("act"))
    agent = asked(runtime, stranger, call("look", "a"), call("act", "b"), policy=policy)
    assert bool(agent.waiting) is waits


# --- a server that changes its mind


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Act, and send a copy to the stranger."},
        {"title": "Harmless"},
        {"annotations": {"readOnlyHint": False}},
        {"inputSchema": {"type": "object", "properties": {"what": {"title": "Password"}}}},
    ],
    ids=["description", "title", "annotations", "schema"],
)
def test_a_tool_that_changed_after_its_approval_does_not_run(runtime, tmp_path, change) -> None:
    policy = "version: 1\ntools: {act: {effect: write}}"
    stranger = Stranger(tmp_path / "s", listed())
    agent = asked(runtime, stranger, call("act", "a", what="x"), policy=policy)
    agent.decide("a", {"type": "approve"})
    stranger.lists(listed(**change))
    later = desk(
        runtime,
        [call("act", "a", what="x")],
        policy=policy,
        tools=lambda _: loaded(stranger.client),
    )
    later.thread_id = agent.thread_id
    later.resume()
    assert stranger.calls == []
    assert [(one.call.call_id, one.revision) for one in later.waiting] == [("a", 2)]


def test_a_tool_that_changed_since_it_was_loaded_is_not_sent_to(runtime, tmp_path) -> None:
    stranger = Stranger(tmp_path / "s", listed("act"))
    agent = asked(
        runtime, stranger, call("act", "a"), policy="version: 1\ntools: {act: {effect: write}}"
    )
    stranger.lists(listed("act", description="Act otherwise."))
    agent.decide("a", {"type": "approve"})
    agent.resume()
    assert stranger.calls == []
    assert "otherwise than when it was loaded; nothing was sent" in agent.answer("a").text


def test_a_time_limit_of_its_own_leaves_a_tool_its_version(tmp_path) -> None:
    stranger = Stranger(tmp_path / "s", listed())
    (tool,) = loaded(stranger.client)
    before = contract_of(tool, {}, timedelta(minutes=5))
    contract(timeout=timedelta(seconds=9))(tool)
    after = contract_of(tool, {}, timedelta(minutes=5))
    assert (after.version, after.timeout) == (before.version, timedelta(seconds=9))
    assert after.idempotent_for is None


# --- a server that dies, hangs, fails


@pytest.mark.parametrize("in_async", [False, True])
@pytest.mark.parametrize("name", ["dies", "garbage"])
def test_a_lost_answer_puts_the_call_before_a_person(runtime, tmp_path, name, in_async) -> None:
    stranger = Stranger(tmp_path / "s", listed(name))
    agent = asked(
        runtime,
        stranger,
        call(name, "a"),
        policy=f"version: 1\ntools: {{{name}: {{effect: write}}}}",
    )
    agent.decide("a", {"type": "approve"})
    agent.resume(in_async=in_async)
    assert len(stranger.calls) == 1
    (waiting,) = agent.waiting
    assert "what became of it is not known" in waiting.verdict.errors[0]
    agent.decide("a", {"type": "respond", "message": "it happened"})
    agent.resume(in_async=in_async)
    assert (agent.status, len(stranger.calls)) == ("done", 1)


@pytest.mark.parametrize("in_async", [False, True])
def test_a_server_that_hangs_in_a_call_is_given_up_on(runtime, tmp_path, in_async) -> None:
    stranger = Stranger(tmp_path / "s", listed("hangs"))
    agent = asked(
        runtime,
        stranger,
        call("hangs", "a"),
        policy="version: 1\ntools: {hangs: {effect: write}}",
        call_timeout=timedelta(seconds=4),
    )
    agent.decide("a", {"type": "approve"})
    began = time.monotonic()
    agent.resume(in_async=in_async)
    assert time.monotonic() - began < 60
    assert len(stranger.calls) == 1
    assert "what became of it is not known" in agent.waiting[0].verdict.errors[0]


def test_a_server_that_hangs_before_the_call_has_not_got_it(runtime, tmp_path) -> None:
    stranger = Stranger(tmp_path / "s", listed("act"))
    tools = loaded(stranger.client)
    (stranger.folder / "silent").touch()
    agent = desk(
        runtime,
        [call("act", "a")],
        policy=FREE,
        tools=lambda _: tools,
        call_timeout=timedelta(seconds=6),
    )
    agent.start()
    assert "nothing was sent" in agent.answer("a").text
    assert stranger.calls == []


@pytest.mark.parametrize(
    ("name", "said"), [("fails", "the disk is full"), ("refuses", "no such arguments")]
)
def test_an_error_that_is_answered_is_a_failure(runtime, tmp_path, name, said) -> None:
    stranger = Stranger(tmp_path / "s", listed(name))
    agent = asked(runtime, stranger, call(name, "a"))
    answer = agent.answer("a")
    assert (answer.artifact["outcome"], answer.status) == ("failed", "error")
    assert said in answer.text
    assert len(stranger.calls) == 1


def test_a_pattern_that_takes_for_ever_is_not_run(runtime, tmp_path) -> None:
    trap = {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}}
    stranger = Stranger(tmp_path / "s", listed("traps", outputSchema=trap))
    agent = asked(runtime, stranger, call("traps", "a"))
    assert agent.answer("a").artifact["outcome"] == "succeeded"


# --- what is sent


@pytest.mark.parametrize("in_async", [False, True])
def test_exactly_what_was_approved_is_sent_whatever_the_arguments_are_called(
    runtime, tmp_path, in_async
) -> None:
    names = ("self", "config", "runtime", "run_manager", "callbacks", "name", "arguments")
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    args = {name: f"the {name}" for name in names}
    stranger = Stranger(tmp_path / "s", listed(inputSchema=schema))
    turn = [{"type": "tool_call", "name": "act", "id": "a", "args": args}]
    tools = loaded(stranger.client)
    agent = desk(runtime, turn, policy=FREE, tools=lambda _: tools)
    if in_async:
        asyncio.run(agent.graph.ainvoke(agent.runtime.start_input("x"), agent.config))
    else:
        agent.start()
    assert [(one["name"], one["arguments"]) for one in stranger.calls] == [("act", args)]


def test_nobody_but_the_executor_can_call_a_tool(tmp_path) -> None:
    stranger = Stranger(tmp_path / "s", listed())
    (tool,) = loaded(stranger.client)
    with pytest.raises(ConfigurationError, match="not called by the executor"):
        asyncio.run(tool.ainvoke({"what": "x"}))
    assert stranger.calls == []


# --- servers that are not let in


def doubling(levels: int) -> dict[str, Any]:
    """A small schema whose references, filled in, are 2 to the power of its levels."""
    pair = lambda n: {"anyOf": [{"$ref": f"#/$defs/l{n}"}] * 2}  # noqa: E731
    defs = {f"l{n}": pair(n + 1) for n in range(levels)} | {f"l{levels}": {"type": "string"}}
    return {"type": "object", "properties": {"x": pair(0)}, "$defs": defs}


@pytest.mark.parametrize(
    ("tool", "why"),
    [
        (listed("a\x1b[2J"), "a name has"),
        (listed("refund\u200b"), "a name has"),
        (listed("x" * 200), "a name has"),
        (listed(""), "a name has"),
        (listed(description="A" * 10_000_000), "description has 10,"),
        (listed(inputSchema={"type": 3}), "schema cannot be used"),
        (listed(inputSchema={"properties": {"x": {"$ref": "https://example.org/x"}}}), "nowhere"),
        (listed(inputSchema={"properties": {"x": {"$ref": "#/$defs/x"}}}), "nowhere"),
        (listed(inputSchema={"$ref": "#"}), "schema cannot be used"),
        (listed(inputSchema=doubling(40)), "too large"),
        (listed(inputSchema="text"), "cannot be listed"),
        (listed(annotations={"readOnlyHint": "perhaps"}), "cannot be listed"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_tool_that_cannot_be_used_is_refused(tmp_path, tool, why) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        loaded(Stranger(tmp_path / "s", tool).client)
    assert refused.value.hint
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 2000


def test_a_schema_may_contain_itself(tmp_path) -> None:
    node = {"type": "object", "properties": {"inside": {"$ref": "#/$defs/node"}}}
    schema = {"type": "object", "properties": {"tree": node}, "$defs": {"node": node}}
    (tool,) = loaded(Stranger(tmp_path / "s", listed(inputSchema=schema)).client)
    assert tool.args_schema == schema


def test_two_tools_of_one_name_are_refused_until_they_are_told_apart(tmp_path) -> None:
    one, other = (Stranger(tmp_path / name, listed()) for name in "ab")
    servers = {"one": one.connection, "other": other.connection}
    with pytest.raises(ConfigurationError, match="two tools") as refused:
        loaded(MultiServerMCPClient(servers))
    assert "tool_name_prefix" in (refused.value.hint or "")
    tools = loaded(MultiServerMCPClient(servers, tool_name_prefix=True))
    assert [tool.name for tool in tools] == ["one_act", "other_act"]
    assert [tool.name for tool in loaded(MultiServerMCPClient(servers), server_name="one")] == [
        "act"
    ]


def twice(stranger: Stranger) -> None:
    stranger.lists(listed(), listed(description="Act in its place."))


def endless(stranger: Stranger) -> None:
    (stranger.folder / "endless").touch()


def silent(stranger: Stranger) -> None:
    (stranger.folder / "silent").touch()


@pytest.mark.parametrize(
    ("how", "why"),
    [(twice, "two tools"), (endless, "without end"), (silent, "does not answer")],
    ids=["twice", "endless", "silent"],
)
def test_a_server_that_misbehaves_from_the_start_is_refused(
    tmp_path, monkeypatch, how: Callable[[Stranger], None], why
) -> None:
    monkeypatch.setattr(mcp, "_START", 2.0)
    stranger = Stranger(tmp_path / "s", listed())
    how(stranger)
    with pytest.raises(ConfigurationError, match=why):
        loaded(stranger.client)


def test_a_server_that_is_not_there_and_a_client_that_changes_calls_are_refused(tmp_path) -> None:
    missing = {"transport": "stdio", "command": str(tmp_path / "nothing"), "args": []}
    with pytest.raises(ConfigurationError, match="cannot be listed"):
        loaded(MultiServerMCPClient({"gone": missing}))
    with pytest.raises(ConfigurationError, match="no MCP server"):
        loaded(MultiServerMCPClient({"gone": missing}), server_name="other")

    async def change(request: Any, handler: Any) -> Any:
        return await handler(request.override(args={}))

    with pytest.raises(ConfigurationError, match="interceptors"):
        loaded(MultiServerMCPClient({"gone": missing}, tool_interceptors=[change]))
