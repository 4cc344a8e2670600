"""Tools of MCP servers in other people's agents."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from hitl_agent import HitlMiddleware, Runtime, guard
from hitl_agent.graph.mcp import mcp_tools
from hitl_agent.policy import parse_policy
from tests.support.flows import call
from tests.support.mcp_servers import commits, git_repository, git_server
from tests.support.scripted import Scripted

POLICY = parse_policy(
    "version: 1\ntools: {git_status: {effect: read}, git_commit: {effect: write}}"
)


def alone(node: Any) -> Any:
    return StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools")


def guarded(tools: Any, message: AIMessage) -> tuple[Any, Any]:
    return alone(ToolNode(guard(tools, POLICY))), message


def agent(tools: Any, message: AIMessage) -> tuple[Any, Any]:
    model = Scripted(turns=[message])
    return create_agent(model, tools, middleware=[HitlMiddleware(POLICY)]), ("user", "go")


@pytest.mark.parametrize("face", [guarded, agent])
def test_a_read_runs_and_a_write_waits(runtime: Runtime, tmp_path: Path, face: Any) -> None:
    repository = git_repository(tmp_path / "repository")
    client = MultiServerMCPClient({"git": git_server(repository)})
    tools = asyncio.run(mcp_tools(client))
    here = str(repository)
    calls = [
        call("git_status", "look", repo_path=here),
        call("git_commit", "write", repo_path=here, message="second"),
    ]
    built, first = face(tools, AIMessage("because", tool_calls=calls))
    graph = runtime.compile(built, name="git")
    config = runtime.config("t")

    asyncio.run(graph.ainvoke({"messages": [first]}, config))
    assert commits(repository) == ["first"]
    (request,) = runtime.waiting("t")
    runtime.decide(request, {"type": "approve"}, reviewer="ana")
    state = asyncio.run(graph.ainvoke(runtime.resume_input(graph, "t"), config))

    assert commits(repository) == ["second", "first"]
    texts = [one.text for one in state["messages"] if one.type == "tool"]
    assert any("second.txt" in one for one in texts)
