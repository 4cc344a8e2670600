"""The agents that people have already, over the tasks of tau-bench retail: one for each face.

Each plays the recorded calls of a task, one a turn, and is asked for the task in the task's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import tau_retail
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from hitl_agent import ChatModelPlanner, HitlMiddleware, build_graph, guard


class Recorded(BaseChatModel):
    """A chat model that plays the recorded calls of the task it is asked for, then is done."""

    @property
    def _llm_type(self) -> str:
        return "recorded"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        steps = _task(next(one.text for one in messages if one.type == "human"))["steps"]
        said = sum(one.type == "ai" for one in messages)
        message = AIMessage("done")
        if said < len(steps):
            step = steps[said]
            call = {"type": "tool_call", "id": f"step{said}", "name": step["name"]}
            message = AIMessage("as recorded", tool_calls=[call | {"args": step["arguments"]}])
        return ChatResult(generations=[ChatGeneration(message=message)])


@cache
def _by_words() -> dict[str, tau_retail.Task]:
    return {one["instruction"]: one for one in tau_retail.tasks().values()}


def _task(words: str) -> tau_retail.Task:
    return _by_words()[words]


def graph() -> Any:
    planner = ChatModelPlanner(Recorded())
    return build_graph(planner, tau_retail.tools(), tau_retail.policy())


def middleware() -> Any:
    gate = HitlMiddleware(tau_retail.policy())
    return create_agent(Recorded(), tau_retail.tools(), middleware=[gate])


def guarded_tool_node() -> Any:
    def model(state: MessagesState) -> dict[str, list[AnyMessage]]:
        return {"messages": [Recorded().invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tools", ToolNode(guard(tau_retail.tools(), tau_retail.policy())))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder


def functional() -> Any:
    tools = {one.name: one for one in guard(tau_retail.tools(), tau_retail.policy())}

    @task
    def use(call: dict[str, Any]) -> AnyMessage:
        return tools[call["name"]].invoke(call)

    @entrypoint()
    def agent(given: dict[str, list[AnyMessage]]) -> dict[str, list[AnyMessage]]:
        messages = [*given["messages"]]
        while calls := (said := Recorded().invoke(messages)).tool_calls:
            done = [use(call) for call in calls]
            messages += [said, *(one.result() for one in done)]
        return {"messages": [*messages, said]}

    return agent


FACES = {
    "graph": graph,
    "middleware": middleware,
    "guarded ToolNode": guarded_tool_node,
    "functional API": functional,
}
