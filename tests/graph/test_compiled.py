"""What `Runtime.compile` gives."""

from __future__ import annotations

import socket

import pytest
from langgraph.graph import StateGraph

from hitl_agent import Runtime
from hitl_agent.runtime import Graph
from tests.support.flows import call, desk


def test_a_graph_shows_itself_without_network(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = desk(runtime, [call("look", "a", what="x")])

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    shown = agent.graph._repr_mimebundle_()
    assert "human_review" in shown["text/plain"]
    assert shown["text/markdown"] == f"```mermaid\n{shown['text/plain']}```"


def test_it_stays_one_of_ours_with_another_config(runtime: Runtime) -> None:
    agent = desk(runtime, [call("look", "a", what="x")])
    again = agent.graph.with_config({"tags": ["mine"]})
    assert isinstance(again, Graph)
    assert again.config is not None
    assert again.config["metadata"]["graph_id"] == "desk"
    again.invoke(runtime.start_input("do it"), agent.config)
    assert agent.done == [("look", "x")]


def test_the_picture_tells_the_way_of_a_call(runtime: Runtime) -> None:
    agent = desk(runtime, [call("look", "a", what="x")])
    edges = {(edge.source, edge.target) for edge in agent.graph.get_graph().edges}
    assert edges == {
        ("__start__", "planner"),
        ("planner", "risk_classifier"),
        ("planner", "__end__"),
        ("risk_classifier", "human_review"),
        ("risk_classifier", "executor"),
        ("human_review", "executor"),
        ("executor", "planner"),
        ("executor", "risk_classifier"),
    }


def test_a_graph_of_somebody_else_can_be_compiled_too(runtime: Runtime) -> None:
    builder = StateGraph(dict)
    builder.add_node("one", lambda state: {"seen": True})
    builder.set_entry_point("one")
    graph = runtime.compile(builder, name="plain")
    assert graph.invoke({"a": 1}, runtime.config("t")) == {"seen": True}
    assert runtime.thread("t").thread.status == "done"
