"""Plain LangGraph: the graph, the saver and the recovery that its documentation shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

import psycopg
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from reliability.sides import Reached, ignored, kind_of
from reliability.sink import Sink


class State(TypedDict, total=False):
    """The conversation."""

    messages: Annotated[list[AnyMessage], add_messages]


def plan(messages: Sequence[AnyMessage]) -> AIMessage:
    """Return the next message: a turn of calls, or the last word.

    The task names the orders: those of one turn with commas between them, the turns with spaces.
    """
    turns = messages[0].text.split()
    said = sum(isinstance(one, AIMessage) for one in messages)
    orders = turns[said].split(",") if said < len(turns) else []
    calls = [
        ToolCall(type="tool_call", name=kind_of(order), args={"order": order}, id=order)
        for order in orders
    ]
    return AIMessage("" if calls else "done", tool_calls=calls)


def planner(state: State) -> dict[str, Any]:
    """Propose what comes next."""
    return {"messages": [plan(state["messages"])]}


def risk_classifier(state: State) -> dict[str, Any]:  # noqa: ARG001  LangGraph names it
    """Judge nothing: every call is asked about."""
    return {}


def human_review(state: State) -> dict[str, Any]:
    """Ask; a call that is rejected is answered without being run."""
    call = _last_call(state)
    if interrupt(call["args"]) == "reject":
        return {"messages": [ToolMessage("rejected", tool_call_id=call["id"])]}
    return {}


def _last_call(state: State) -> ToolCall:
    last = state["messages"][-1]
    if not isinstance(last, AIMessage):
        raise TypeError("no call waits")
    return last.tool_calls[0]


def _after_planning(state: State) -> str:
    last = state["messages"][-1]
    return "risk_classifier" if isinstance(last, AIMessage) and last.tool_calls else END


def _after_review(state: State) -> str:
    return "planner" if isinstance(state["messages"][-1], ToolMessage) else "executor"


def graph(tools: Sequence[BaseTool]) -> StateGraph[State, Any, Any, Any]:
    """Return the four nodes."""
    by_name = {one.name: one for one in tools}

    def executor(state: State, config: RunnableConfig) -> dict[str, Any]:
        call = _last_call(state)
        return {"messages": [by_name[call["name"]].invoke(call, config)]}

    builder = StateGraph(State)
    builder.add_node("planner", planner)
    builder.add_node("risk_classifier", risk_classifier)
    builder.add_node("human_review", human_review)
    builder.add_node("executor", executor)
    builder.add_edge(START, "planner")
    builder.add_conditional_edges("planner", _after_planning, ["risk_classifier", END])
    builder.add_edge("risk_classifier", "human_review")
    builder.add_conditional_edges("human_review", _after_review, ["planner", "executor"])
    builder.add_edge("executor", "planner")
    return builder


Called = Callable[[BaseTool, Mapping[str, Any], RunnableConfig], Any]
"""Calls a tool and returns its message."""


def bare_graph(
    tools: Sequence[BaseTool],
    called: Called = lambda one, call, config: one.invoke(dict(call), config),
) -> StateGraph[State, Any, Any, Any]:
    """Return as many nodes as ours goes through where nobody is asked, and nothing in them."""
    by_name = {one.name: one for one in tools}

    def executor(state: State, config: RunnableConfig) -> dict[str, Any]:
        last = state["messages"][-1]
        calls = last.tool_calls if isinstance(last, AIMessage) else []
        return {"messages": [called(by_name[call["name"]], call, config) for call in calls]}

    builder = StateGraph(State)
    builder.add_node("planner", planner)
    builder.add_node("risk_classifier", risk_classifier)
    builder.add_node("executor", executor)
    builder.add_edge(START, "planner")
    builder.add_conditional_edges("planner", _after_planning, ["risk_classifier", END])
    builder.add_edge("risk_classifier", "executor")
    builder.add_edge("executor", "planner")
    return builder


def tools(sink: Sink, url: str, reached: Reached) -> list[BaseTool]:
    """Return the four tools, each as careful as plain LangGraph lets it be."""

    @tool
    def opaque(order: str) -> str:
        """Cause an effect."""
        return sink.effect(order)

    @tool
    def keyed(order: str, config: RunnableConfig) -> str:
        """Cause an effect under a key; the thread and the call give one."""
        return sink.effect(order, key=f"{config['configurable']['thread_id']}/{order}")

    @tool
    def asked(order: str) -> str:
        """Cause an effect under a reference, which nobody asks for."""
        return sink.effect(order, reference=order)

    @tool
    def joined(order: str) -> str:
        """Write to the same database, in a transaction of its own."""
        reached("before transaction")
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            connection.execute("INSERT INTO effects VALUES (%s)", [order])
        reached("after transaction")
        return f"done {order}"

    return [opaque, keyed, asked, joined]


class Saver(PostgresSaver):
    """LangGraph's saver, which says when it is about to talk to the database, and has.

    Args:
        pool: of connections.
        reached: is told.
    """

    def __init__(self, pool: ConnectionPool[Any], reached: Reached) -> None:
        super().__init__(pool)
        self._reached = reached

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint."""
        self._reached("before checkpoints.get")
        found = super().get_tuple(config)
        self._reached("after checkpoints.get")
        return found

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint."""
        self._reached("before checkpoints.put")
        written = super().put(config, checkpoint, metadata, new_versions)
        self._reached("after checkpoints.put")
        return written

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Write what a task produced."""
        self._reached("before checkpoints.put_writes")
        super().put_writes(config, writes, task_id, task_path)
        self._reached("after checkpoints.put_writes")


class PlainAgent:
    """Drives orders with LangGraph alone."""

    def __init__(self, sink: Sink, url: str, reached: Reached) -> None:
        pooled = "host=127.0.0.1" in url  # behind a pooler nothing may be prepared
        pool: ConnectionPool[Any] = ConnectionPool(
            url,
            min_size=1,
            max_size=4,
            open=True,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None if pooled else 0,
                "row_factory": dict_row,
            },
        )
        sink.reached = reached
        self.saver = Saver(pool, reached)
        self.graph = graph(tools(sink, url, reached)).compile(checkpointer=self.saver)

    def carry(self, order: str, *, review: bool = True) -> bool:
        """Drive an order until it is done; a database that is away is tried again."""
        while True:
            try:
                snapshot = self.graph.get_state(_config(order))
                if not snapshot.values and not snapshot.next:
                    given: Any = {"messages": [HumanMessage(order)]}
                elif snapshot.interrupts:
                    if not review:
                        return False
                    given = Command(resume="approve")
                elif snapshot.tasks:
                    given = None
                else:
                    return True
                self.graph.invoke(given, _config(order), durability="sync")
            except (psycopg.OperationalError, PoolTimeout):
                time.sleep(0.05)

    def ask(self, order: str) -> None:
        """Drive a new order to its question; there is no place to record an approval."""
        given: Any = {"messages": [HumanMessage(order)]}
        self.graph.invoke(given, _config(order), durability="sync")

    def resume(self, order: str) -> None:
        """Approve and continue an order."""
        self.graph.invoke(Command(resume="approve"), _config(order), durability="sync")

    def done(self, order: str) -> bool:
        """Whether an order has ended."""
        snapshot = self.graph.get_state(_config(order))
        return bool(snapshot.values) and not snapshot.tasks


class Plain:
    """Plain LangGraph."""

    name = "plain LangGraph"

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def agent(self, url: str, reached: Reached = ignored) -> PlainAgent:
        """Open a way to drive orders."""
        return PlainAgent(self.sink, url, reached)

    def wait(self) -> float:
        """Return 0: nothing is held."""
        return 0.0


def _config(order: str) -> RunnableConfig:
    return {"configurable": {"thread_id": order}}
