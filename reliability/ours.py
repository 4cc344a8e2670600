"""hitl_agent: the same order, the same tools, each with the contract that the world allows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import psycopg
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from langgraph.types import Command
from pydantic import BaseModel

from hitl_agent import Runtime, build_graph, contract, idempotency_key, time_left, transaction
from hitl_agent.errors import (
    CallBusy,
    GrantRefused,
    LeaseLost,
    NothingWaiting,
    OutcomeUnknown,
    StaleDecision,
    ThreadBusy,
    UnknownThread,
)
from hitl_agent.execution.contract import Happened, NotHappened
from hitl_agent.policy import parse_policy
from hitl_agent.review import ReviewRequest, check_arguments
from reliability.plain import plan
from reliability.sides import KINDS, Reached, ignored
from reliability.sink import Sink

HOLD = timedelta(seconds=1)
"""How long a lost process holds its lease and its call, where processes are killed."""

POLICY = parse_policy(
    "version: 1\ntools:\n" + "".join(f"  {kind}: {{effect: irreversible}}\n" for kind in KINDS)
)

# what a first call imports and works out, before anything is forked: it takes longer than most
# workers live
check_arguments({}, {})
for _kind in KINDS:
    POLICY.plan(_kind)


class Order(BaseModel):
    """The arguments of each tool; said here, they need not be found out by every worker."""

    order: str


REFUSED = (
    CallBusy,
    ThreadBusy,
    LeaseLost,
    GrantRefused,
    StaleDecision,
)
"""What a process is told that came too late, or second."""


class Planner:
    """Plans as the other side does."""

    def plan(self, state: Any, tools: Any, config: Any) -> AIMessage:  # noqa: ARG002
        """Return the next message."""
        return plan(state["messages"])

    async def aplan(self, state: Any, tools: Any, config: Any) -> AIMessage:
        """Return the next message."""
        return self.plan(state, tools, config)


def tools(sink: Sink, reached: Reached) -> list[BaseTool]:
    """Return the four tools under their contracts."""

    def send(order: str, config: RunnableConfig, **names: str) -> str:
        try:
            return sink.effect(order, timeout=time_left(config), **names)
        except OSError as error:
            raise OutcomeUnknown(f"no answer: {error}") from error

    @tool(args_schema=Order)
    def opaque(order: str, config: RunnableConfig) -> str:
        """Cause an effect."""
        return send(order, config)

    @contract(idempotent_for=timedelta(hours=24))
    @tool(args_schema=Order)
    def keyed(order: str, config: RunnableConfig) -> str:
        """Cause an effect under a key."""
        return send(order, config, key=idempotency_key(config))

    def happened(key: str) -> Happened | NotHappened:
        seen = sink.seen(key)
        return NotHappened() if seen is None else Happened(seen)

    @contract(reconcile=happened)
    @tool(args_schema=Order)
    def asked(order: str, config: RunnableConfig) -> str:
        """Cause an effect under a reference that can be asked for."""
        return send(order, config, reference=idempotency_key(config))

    @contract(transactional=True)
    @tool(args_schema=Order)
    def joined(order: str, config: RunnableConfig) -> str:
        """Write to the same database, in the attempt's transaction."""
        reached("before transaction")
        transaction(config).execute("INSERT INTO effects VALUES (%s)", [order])
        reached("after transaction")
        return f"done {order}"

    return [opaque, keyed, asked, joined]


class OurAgent:
    """Drives orders with this project's runtime."""

    def __init__(self, sink: Sink, url: str, reached: Reached, hold: timedelta) -> None:
        self._sink = sink
        sink.reached = reached
        self._url = url
        self.runtime = ExitStack().enter_context(Runtime.open(url, lease_ttl=hold))
        self.runtime.database.reached = reached
        builder = build_graph(Planner(), tools(sink, reached), POLICY, call_timeout=hold)
        self.graph = self.runtime.compile(builder, name="orders")

    def carry(self, order: str, *, review: bool = True) -> bool:
        """Drive an order until it is done; one that another process holds is waited for."""
        while True:
            try:
                given = self._next(order, review=review)
                if isinstance(given, bool):
                    return given
                self.graph.invoke(given, self.runtime.config(order))
            except REFUSED:
                time.sleep(0.05)

    def _next(self, order: str, *, review: bool) -> Mapping[str, Any] | Command[Any] | bool | None:
        """Return what continues an order; True when it is done, False when it waits."""
        try:
            waiting = self.runtime.thread(order).waiting
        except UnknownThread:
            return self.runtime.start_input(order)
        if waiting and not review:
            return False
        for request in waiting:
            self._review(request)
        try:
            return self.runtime.resume_input(self.graph, order)
        except NothingWaiting:
            return True

    def _review(self, request: ReviewRequest) -> None:
        """Answer as a person does who looks at the world: what happened is not done again."""
        order = str(request.call.args["order"])
        decision: dict[str, Any] = {"type": "approve"}
        if self._sink.count(order):
            decision = {"type": "respond", "message": f"done {order}"}
        self.runtime.decide(request, decision, reviewer="ana")

    def ask(self, order: str) -> None:
        """Drive a new order to its question and record an approval."""
        self.graph.invoke(self.runtime.start_input(order), self.runtime.config(order))
        for request in self.runtime.waiting(order):
            self.runtime.decide(request, {"type": "approve"}, reviewer="ana")

    def resume(self, order: str) -> None:
        """Continue an approved order once."""
        try:
            given = self.runtime.resume_input(self.graph, order)
            self.graph.invoke(given, self.runtime.config(order))
        except (*REFUSED, NothingWaiting):
            pass

    def done(self, order: str) -> bool:
        """Whether an order has ended with its result, or a person's word for it."""
        messages = self.graph.get_state(self.runtime.config(order)).values.get("messages", [])
        # a worker that was frozen before it began may have asked a second time, in vain
        ended = bool(messages) and messages[-1].text == "done"
        return ended and any(f"done {order}" in one.text for one in messages)


class Ours:
    """This project.

    Args:
        sink: the world outside.
        hold: how long a lost process holds its lease and its call.
    """

    name = "hitl_agent"

    def __init__(self, sink: Sink, hold: timedelta = HOLD) -> None:
        self.sink = sink
        self.hold = hold

    def agent(self, url: str, reached: Reached = ignored) -> OurAgent:
        """Open a way to drive orders."""
        return OurAgent(self.sink, url, reached, self.hold)

    def wait(self) -> float:
        """Return how long a lost process holds its lease and its call."""
        return self.hold.total_seconds() + 0.2


UNFLAGGED = """
SELECT a.thread_id FROM hitl.attempt AS a
WHERE a.state IN ('reserved', 'started', 'in_doubt') AND NOT EXISTS (
    SELECT FROM hitl.review_request AS r
    WHERE r.thread_id = a.thread_id AND r.call_id = a.call_id AND r.revision > a.revision
)
"""


def unflagged(url: str) -> list[str]:
    """Return the orders whose attempt is in doubt, and nobody was asked about it."""
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(UNFLAGGED)]
