"""Every decision arrives three times, in any order, by any way there is."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.types import Command

from hitl_agent.errors import DecisionError
from hitl_agent.review import ReviewRequest
from reliability.figures import Figure, Run, note
from reliability.ours import OurAgent, Ours
from reliability.plain import PlainAgent
from reliability.processes import CORES, results
from reliability.sides import Side, new_order

_TURNS, _CALLS = 5, 10
_TIMES = 3
_BY_RESUME = 0.05
"""Share of the deliveries that arrive as a raw resume value, past everything that is ours."""


@dataclass
class Delivered:
    """What came of some decisions.

    Attributes:
        decisions: how many were taken.
        replayed: calls that ran without a decision to run them, or more often than decided.
        lost: decisions that nothing came of.
    """

    decisions: int = 0
    replayed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def add(self, other: Delivered) -> None:
        """Take another one in."""
        self.decisions += other.decisions
        self.replayed += other.replayed
        self.lost += other.lost


def measure(run: Run) -> Figure:
    """Plain LangGraph asks about one call a turn: it has no answer for one of several calls."""
    decisions = (50, 100) if run.short else (250, 5000)
    plain = _delivered(run, run.plain, _plainly, decisions[0] // _TURNS)
    ours = _delivered(run, run.ours, _ours, decisions[1] // (_TURNS * _CALLS))
    return Figure(
        "each decision delivered three times, in any order",
        f"{plain.decisions} decisions: {len(plain.replayed)} calls ran that nobody approved, "
        f"{len(plain.lost)} lost",
        f"{ours.decisions} decisions: {len(ours.replayed)} replayed, {len(ours.lost)} lost",
        f"{decisions[1]} decisions: 0 replayed, 0 lost",
        reached=not ours.replayed and not ours.lost and ours.decisions >= decisions[1],
        notes=(
            *note("replayed", ours.replayed),
            *note("lost", ours.lost),
        ),
    )


def _delivered(run: Run, side: Side, drive: Any, threads: int) -> Delivered:
    url, calls = run.server.database(), _CALLS if isinstance(side, Ours) else 1
    tasks = [
        " ".join(",".join(new_order("opaque") for _ in range(calls)) for _ in range(_TURNS))
        for _ in range(threads)
    ]
    found = Delivered()
    for one in results([(drive, (run, side, url, tasks[n::CORES])) for n in range(CORES)]):
        found.add(one)
    run.say(f"{side.name}: {found.decisions} decisions")
    return found


def _plainly(run: Run, side: Side, url: str, tasks: Sequence[str]) -> Delivered:
    """Answer each question that is seen; the same answer arrives twice more."""
    agent, found = side.agent(url), Delivered()
    if not isinstance(agent, PlainAgent):
        raise TypeError
    for number, task in enumerate(tasks):
        config: Any = {"configurable": {"thread_id": f"plain-deliveries-{task}"}}
        approved: set[str] = set()
        agent.graph.invoke({"messages": [HumanMessage(task)]}, config, durability="sync")
        while waiting := agent.graph.get_state(config).interrupts:
            order = waiting[0].value["order"]
            answer = "approve" if (number + len(approved)) % 2 else "reject"
            approved |= {order} if answer == "approve" else set()
            found.decisions += 1
            for _ in range(_TIMES):
                agent.graph.invoke(Command(resume=answer), config, durability="sync")
        _compare(run, found, task, approved)
    return found


def _compare(run: Run, found: Delivered, task: str, approved: set[str]) -> None:
    """Compare what a thread's calls did with what was decided."""
    counts = run.sink.counts()
    for order in task.replace(" ", ",").split(","):
        happened, wanted = counts.get(order, 0), int(order in approved)
        found.replayed += [order] * (happened > wanted)
        found.lost += [order] * (happened < wanted)


@dataclass(frozen=True)
class Delivery:
    """A decision on its way."""

    request: ReviewRequest
    decision: Mapping[str, Any]


def _ours(run: Run, side: Side, url: str, tasks: Sequence[str]) -> Delivered:
    """Deliver each decision now, and twice more: now, in a later turn or at the end."""
    agent, found = side.agent(url), Delivered()
    if not isinstance(agent, OurAgent):
        raise TypeError
    for task in tasks:
        _thread(run, agent, found, task)
    return found


def _thread(run: Run, agent: OurAgent, found: Delivered, task: str) -> None:
    runtime, thread_id = agent.runtime, f"deliveries-{task.partition(',')[0]}"
    config = runtime.config(thread_id)
    taken: list[Delivery] = []
    late: list[Delivery] = []
    agent.graph.invoke(runtime.start_input(task), config)
    while waiting := runtime.waiting(thread_id, limit=100):
        new = [Delivery(one, _decision(one)) for one in waiting]
        taken += new
        twice = [one for one in new for _ in range(_TIMES - 1)]
        random.shuffle(twice)
        half = len(twice) // 2
        now = [*new, *twice[:half], *late]
        late = twice[half:]
        random.shuffle(now)
        for one in now:
            _deliver(agent, config, one)
        open_ = {one.request_id for one in runtime.waiting(thread_id, limit=100)}
        found.lost += [one.call.call_id for one in waiting if one.request_id in open_]
        if found.lost:
            return  # it would be asked about for ever
        with suppress(DecisionError):
            agent.graph.invoke(runtime.resume_input(agent.graph, thread_id), config)
    for one in late:
        _deliver(agent, config, one)
    found.decisions += len(taken)
    approved = {
        str(one.request.call.args["order"]) for one in taken if one.decision["type"] == "approve"
    }
    _compare(run, found, task, approved)
    messages = agent.graph.get_state(config).values["messages"]
    said = {one.tool_call_id: one.text for one in messages if isinstance(one, ToolMessage)}
    words = {"approve": "done", "reject": "rejected by", "respond": "answered by"}
    found.lost += [
        one.request.call.call_id
        for one in taken
        if words[one.decision["type"]] not in said.get(one.request.call.call_id, "")
    ]


def _decision(request: ReviewRequest) -> Mapping[str, Any]:
    kind = random.choice(("approve", "approve", "reject", "respond"))
    return {"type": kind} | ({} if kind == "approve" else {"message": request.call.call_id})


def _deliver(agent: OurAgent, config: Any, one: Delivery) -> None:
    """Deliver a decision, by the front door or as a raw resume value; being refused is fine."""
    if random.random() < _BY_RESUME and one.request.interrupt_id:
        answer = {"decisions": [dict(one.decision)], "request_id": one.request.request_id}
        with suppress(DecisionError):
            agent.graph.invoke(Command(resume={one.request.interrupt_id: answer}), config)
        return
    with suppress(DecisionError):
        agent.runtime.decide(one.request, one.decision, reviewer="ana")
