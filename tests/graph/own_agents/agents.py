"""Somebody's agents, as they are exported for `langgraph dev`.

The model plays what it is asked to: a JSON list of turns, each a list of calls.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from hitl_agent import ChatModelPlanner, HitlMiddleware, build_graph, guard, review_graph

POLICY = Path(__file__).parent / "policies.yaml"

_both = threading.Barrier(2)


class Played(BaseChatModel):
    """Plays the turns that the first message holds, then is done."""

    @property
    def _llm_type(self) -> str:
        return "played"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        turns = json.loads(next(one.text for one in messages if one.type == "human"))
        said = sum(one.type == "ai" for one in messages)
        message = AIMessage("done")
        if said < len(turns):
            message = AIMessage("as told", tool_calls=turns[said])
        return ChatResult(generations=[ChatGeneration(message=message)])


def _note(text: str) -> str:
    with Path(os.environ["OWN_AGENTS_DONE"]).open("a", encoding="utf-8") as done:
        done.write(f"{text}\n")
    return text


@tool
def look(what: str) -> str:
    """Look."""
    return _note(f"looked at {what}")


@tool
def send(to: str) -> str:
    """Send."""
    return _note(f"sent to {to}")


@tool
def meet(who: str) -> str:
    """Meet: two of them come only together."""
    _both.wait(20)
    return _note(f"met {who}")


TOOLS = [look, send, meet]


def _model(state: MessagesState) -> dict[str, list[AnyMessage]]:
    return {"messages": [Played().invoke(state["messages"])]}


def _around(tools: Any) -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(MessagesState)
    builder.add_node("model", _model)
    builder.add_node("tools", tools)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder


desk = build_graph(ChatModelPlanner(Played()), TOOLS, POLICY)

agent = create_agent(Played(), TOOLS, middleware=[HitlMiddleware(POLICY)])

own = _around(ToolNode(guard(TOOLS, POLICY)))

compiled = _around(review_graph(TOOLS, POLICY).compile()).compile()

_guarded = {one.name: one for one in guard(TOOLS, POLICY)}


@task
def use(call: dict[str, Any]) -> Any:
    """Call a tool."""
    return _guarded[call["name"]].invoke(call)


@entrypoint()
def flow(state: dict[str, Any]) -> dict[str, Any]:
    """Play the turns as a program."""
    turns = json.loads(state["messages"][0]["content"])
    told = [[use(call) for call in turn] for turn in turns]
    return {"messages": [one.result() for turn in told for one in turn]}
