"""A small agent for tests: a scripted planner, tools that count what they did, a virtual clock."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from pydantic import create_model

from hitl_agent import Runtime, build_graph
from hitl_agent.policy import parse_policy
from hitl_agent.review import ReviewRequest
from hitl_agent.runtime import Graph

POLICY = """
version: 1
never_run: [drop_everything]
tools:
  look: {effect: read}
  refund:
    effect: write
    rules: [{id: small, when: amount <= 50, tier: auto_approve, reason: within the limit of 50}]
  send: {effect: irreversible}
  fails: {effect: read}
  drop_everything: {effect: irreversible}
"""


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class Script:
    """A planner that proposes the given turns one after the other, then is done."""

    def __init__(self, *turns: Sequence[dict[str, Any]] | AIMessage) -> None:
        self.turns = turns

    def plan(self, state: Any, tools: Any, config: Any) -> AIMessage:
        said = sum(isinstance(one, AIMessage) for one in state["messages"])
        if said >= len(self.turns):
            return AIMessage("done")
        turn = self.turns[said]
        return turn if isinstance(turn, AIMessage) else AIMessage("because", tool_calls=list(turn))

    async def aplan(self, state: Any, tools: Any, config: Any) -> AIMessage:
        return self.plan(state, tools, config)


def call(name: str, call_id: str, **args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "name": name, "id": call_id, "args": args}


@dataclass
class Desk:
    """A runtime, its graph and what its tools did."""

    runtime: Runtime
    graph: Graph
    clock: Clock
    done: list[tuple[str, Any]] = field(default_factory=list)
    thread_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def config(self) -> Any:
        return self.runtime.config(self.thread_id)

    def start(self) -> Any:
        return self.graph.invoke(self.runtime.start_input("do it"), self.config)

    def resume(self, *, in_async: bool = False) -> Any:
        graph_input = self.runtime.resume_input(self.graph, self.thread_id)
        if in_async:
            return asyncio.run(self.graph.ainvoke(graph_input, self.config))
        return self.graph.invoke(graph_input, self.config)

    @property
    def waiting(self) -> list[ReviewRequest]:
        return self.runtime.waiting(self.thread_id)

    @property
    def status(self) -> str:
        return self.runtime.thread(self.thread_id).thread.status

    def decide(self, call_id: str, decision: dict[str, Any], *, reviewer: str = "ana") -> None:
        self.runtime.decide(
            self.runtime.request(self.thread_id, call_id), decision, reviewer=reviewer
        )

    def answer(self, call_id: str) -> ToolMessage:
        messages = self.graph.get_state(self.config).values["messages"]
        (found,) = [
            one for one in messages if isinstance(one, ToolMessage) and one.tool_call_id == call_id
        ]
        return found

    def kinds(self, call_id: str) -> list[str]:
        return [
            one["kind"]
            for one in self.runtime.history(self.thread_id)
            if one.get("call_id") == call_id
        ]


# said here, or each test would spend more time on finding them out than on itself
What = create_model("What", what=str)
Amount = create_model("Amount", amount=float)
Letter = create_model("Letter", to=str, text=(str, ""))
Number = create_model("Number", x=int)
Nothing = create_model("Nothing")


def tools_noting(done: list[tuple[str, Any]]) -> list[BaseTool]:
    @tool(args_schema=What)
    def look(what: str) -> dict[str, Any]:
        """Look something up."""
        done.append(("look", what))
        return {"what": what, "total": 70}

    @tool(args_schema=Amount)
    def refund(amount: float) -> str:
        """Pay money back."""
        done.append(("refund", amount))
        return f"refunded {amount}"

    @tool(args_schema=Letter)
    def send(to: str, text: str = "") -> str:
        """Send a letter."""
        done.append(("send", to))
        return f"sent to {to}"

    @tool(args_schema=Number)
    def unlisted(x: int) -> int:
        """Do what no policy names."""
        done.append(("unlisted", x))
        return x

    @tool(args_schema=What)
    def fails(what: str) -> str:
        """Fail."""
        done.append(("fails", what))
        raise RuntimeError(f"no {what}\x00 today")

    @tool(args_schema=Nothing)
    def drop_everything() -> str:
        """Drop everything."""
        done.append(("drop_everything", None))
        return "dropped"

    return [look, refund, send, unlisted, fails, drop_everything]


def desk(
    runtime: Runtime,
    *turns: Sequence[dict[str, Any]] | AIMessage,
    policy: str = POLICY,
    clock: Clock | None = None,
    tools: Callable[[list[tuple[str, Any]]], list[BaseTool]] = tools_noting,
    **options: Any,
) -> Desk:
    """Return an agent that follows the turns."""
    done: list[tuple[str, Any]] = []
    clock = clock or Clock()
    runtime = Runtime(runtime.database, clock=clock)
    builder = build_graph(Script(*turns), tools(done), parse_policy(policy), clock=clock, **options)
    return Desk(runtime, runtime.compile(builder, name="desk"), clock, done)
