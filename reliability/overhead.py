"""What grant, lease and attempt cost: a bare run, and the same run with them around each call."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool

from hitl_agent import Runtime, ToolCall, build_graph
from hitl_agent.execution import Judge
from hitl_agent.graph.gate import utc_now
from hitl_agent.policy import Policy, judge, parse_policy
from hitl_agent.storage import attempts, judgements
from hitl_agent.storage.checkpoints import lease_of
from reliability.figures import Figure, Run
from reliability.ours import Planner
from reliability.plain import Called, bare_graph
from reliability.processes import results
from reliability.sink import Sink

_CALLS = 5
_RATIO, _MS = 1.15, 1.0
_POLICY = """
version: 1
tools:
  opaque:
    effect: write
    rules: [{id: any, when: args.order != "", tier: auto_approve, reason: it is measured}]
"""


def measure(run: Run) -> Figure:
    """Run the flows in turn, in one process, and compare what each round took."""
    url = run.server.database()
    (took,) = results([(_measured, (run.sink, url, 10 if run.short else 150))])
    ratio, ms = _compared(took, "guarded")
    whole, whole_ms = _compared(took, "whole")
    return Figure(
        "overhead of grant, lease and attempt over the bare run",
        f"{statistics.median(took['bare']) * 1000:.1f} ms a run of {_CALLS} calls",
        f"{statistics.median(ratio):.2f} times, {statistics.median(ms):.2f} ms a call (median)",
        f"<= {_RATIO} times, <= {_MS:.0f} ms a call",
        # a short run says that it can be measured, and no more: the machine is busy with tests
        reached=run.short or (statistics.median(ratio) <= _RATIO and statistics.median(ms) <= _MS),
        notes=(
            f"middle half of the ratios: {_half(ratio)}; of ms a call: {_half(ms)}",
            f"all of hitl_agent: {_median(whole):.2f} times, {_median(whole_ms):.2f} ms a call",
        ),
    )


def _compared(took: Mapping[str, Sequence[float]], name: str) -> tuple[list[float], list[float]]:
    """Return, for each round, a flow over the bare one, and milliseconds a call more."""
    pairs = list(zip(took[name], took["bare"], strict=True))
    return [one / bare for one, bare in pairs], [
        (one - bare) / _CALLS * 1000 for one, bare in pairs
    ]


_median = statistics.median


def _half(figures: list[float]) -> str:
    low, _, high = statistics.quantiles(figures, n=4)
    return f"{low:.2f} to {high:.2f}"


def _measured(sink: Sink, url: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each round of each flow took."""

    @tool
    def opaque(order: str) -> str:
        """Cause an effect."""
        return sink.effect(order)

    tools: list[BaseTool] = [opaque]
    policy = parse_policy(_POLICY)
    with Runtime.open(url, lease_ttl=timedelta(seconds=30)) as runtime:
        judgements.keep_policy(runtime.database, policy)
        graphs = {
            "bare": bare_graph(tools).compile(checkpointer=runtime.checkpointer),
            "guarded": runtime.compile(bare_graph(tools, _guarded(runtime, policy))),
            "whole": runtime.compile(build_graph(Planner(), tools, policy), name="ours"),
        }
        took: dict[str, list[float]] = {name: [] for name in graphs}
        names = list(graphs)
        for number in range(-5, rounds):
            names = names[1:] + names[:1]
            for name in names:
                seconds = _run(graphs[name])
                if number >= 0:  # the first rounds warm caches and connections
                    took[name].append(seconds)
        return took


def _guarded(runtime: Runtime, policy: Policy) -> Called:
    """Return what a call is with a grant and an attempt around it, under the run's lease."""
    verdict = judge(policy, "opaque", {"order": "any"})

    def called(one: BaseTool, call: Mapping[str, Any], config: RunnableConfig) -> Any:
        lease, now = lease_of(config), utc_now()
        assert lease is not None
        planned = ToolCall(call["id"], call["name"], call["args"])
        judged = judgements.judge(
            runtime.database,
            lease.thread_id,
            Judge(planned, 1),
            verdict,
            lease=lease,
            planned=planned,
            tool_version="1",
            confidence=None,
            question=None,
            now=now,
        )
        assert judged is not None
        opened = attempts.open_(
            runtime.database,
            lease,
            judged,
            "started",
            bound=judged.bound,
            now=now,
            deadline=now + timedelta(minutes=5),
        )
        assert opened is not None
        message = one.invoke(dict(call), config)
        result = {"status": "success", "content": message.content}
        assert attempts.end(runtime.database, lease, opened, "succeeded", result, now=utc_now())
        return message

    return called


def _run(graph: Any) -> float:
    thread_id = uuid.uuid4().hex
    task = ",".join(f"opaque-{thread_id}-{number}" for number in range(_CALLS))
    config = {"configurable": {"thread_id": thread_id}}
    begun = time.perf_counter()
    result = graph.invoke({"messages": [HumanMessage(task)]}, config, durability="sync")
    took = time.perf_counter() - begun
    if sum("done opaque" in one.text for one in result["messages"]) != _CALLS:
        raise RuntimeError(f"not every call was run: {result['messages']}")
    return took
