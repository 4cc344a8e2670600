"""Threads that another server drives: only their questions are on our database."""

from __future__ import annotations

import json
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from typer.testing import CliRunner

from hitl_agent import Runtime, build_graph
from hitl_agent.cli.app import app
from hitl_agent.policy import parse_policy
from tests.support.flows import POLICY, Clock, Script, call, tools_noting


def test_they_are_shown_and_decided_here_and_go_on_there(database_url: str) -> None:
    done: list[Any] = []
    builder = build_graph(
        Script([call("send", "a", to="x")]), tools_noting(done), parse_policy(POLICY), clock=Clock()
    )
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "far"}, "metadata": {"graph_id": "there"}}
    graph.invoke({"messages": [("user", "write to x")]}, config)

    shown = CliRunner().invoke(app, ["show", "far", "--json"])
    view = json.loads(shown.stdout)
    assert (shown.exit_code, view["status"], view["graph"]) == (0, "waiting", "there")
    assert (view["task"], view["waiting"][0]["tool"]) == ("write to x", "send")

    decided = CliRunner().invoke(app, ["approve", "far", "--as", "ana"])
    assert decided.exit_code == 3
    assert "resume it there" in decided.stderr
    with Runtime.open() as runtime:
        assert runtime.waiting() == []
    (interrupt,) = graph.get_state(config).interrupts
    from langgraph.types import Command

    graph.invoke(Command(resume={interrupt.id: "anything"}), config)
    assert done == [("send", "x")]
