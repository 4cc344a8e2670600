"""Run-to-interrupt and resume: ours beside bare LangGraph, in one run, as ratios."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.types import Command

from benchmarks.bare import bare_graph, proposal, refund
from hitl_agent import Runtime, build_graph
from hitl_agent.policy import parse_policy

POLICY = """
version: 1
tools:
  refund: {effect: write, rules: [{id: small, when: amount <= 50, tier: auto_approve}]}
"""
AT_ONCE = (1, 8, 32)


class ScriptedPlanner:
    """Proposes the one call of the bare graph, then is done."""

    def plan(self, state: Any, tools: Any, config: Any) -> AIMessage:  # noqa: ARG002
        answered = isinstance(state["messages"][-1], ToolMessage)
        return AIMessage("done") if answered else proposal()

    aplan = None


@dataclass
class Contender:
    """One way to run the same job.

    Attributes:
        name: in the table.
        graph: compiled.
        answer: what approves its interrupt.
        run: seconds from start to interrupt, one figure a thread.
        resume: seconds from answer to end.
    """

    name: str
    graph: Any
    answer: Any
    run: list[float] = field(default_factory=list)
    resume: list[float] = field(default_factory=list)

    def batch(self, at_once: int, threads: int) -> None:
        """Run and resume a number of threads, `at_once` of them side by side."""
        with ThreadPoolExecutor(at_once) as pool:
            started = list(pool.map(self._start, range(threads)))
            ended = list(pool.map(self._resume, [one[1:] for one in started]))
        self.run += [one[0] for one in started]
        self.resume += ended

    def _start(self, _: int) -> tuple[float, dict[str, Any], str]:
        config = {"configurable": {"thread_id": uuid.uuid4().hex, "__pregel_strict_resume": True}}
        begun = time.perf_counter()
        result = self.graph.invoke({"messages": [HumanMessage("go")]}, config, durability="sync")
        return time.perf_counter() - begun, config, result["__interrupt__"][0].id

    def _resume(self, one: tuple[dict[str, Any], str]) -> float:
        config, interrupt_id = one
        begun = time.perf_counter()
        result = self.graph.invoke(
            Command(resume={interrupt_id: self.answer}), config, durability="sync"
        )
        spent = time.perf_counter() - begun
        assert result["messages"][-1].content == "done", result
        assert "refunded 80" in result["messages"][-2].text, result
        return spent


@contextmanager
def contenders(url: str) -> Iterator[Sequence[Contender]]:
    """Ours, the bare graph on our saver, and the bare graph on the usual shared saver."""
    ours = build_graph(ScriptedPlanner(), [refund], parse_policy(POLICY))  # type: ignore[arg-type]
    with Runtime.open(url) as runtime, PostgresSaver.from_conn_string(url) as usual:
        yield (
            Contender("ours", runtime.compile(ours), {"type": "approve"}),
            Contender("bare", bare_graph().compile(checkpointer=runtime.checkpointer), "ok"),
            Contender("usual", bare_graph().compile(checkpointer=usual), "ok"),
        )


def measure(url: str, *, rounds: int, say: Callable[[str], None]) -> None:
    """Print the table."""
    say(
        f"{'at once':>7} {'phase':<7} {'ours ms':>8} {'bare ms':>8} {'usual ms':>8} "
        f"{'ours/bare':>10} {'ours/usual':>11}"
    )
    for at_once in AT_ONCE:
        with contenders(url) as all_:
            for one in all_:
                one.batch(at_once, at_once * 2)
                one.run.clear()
                one.resume.clear()
            ratios: dict[tuple[str, str], list[float]] = {}
            threads = max(12, at_once * 2)
            for turn in range(rounds):
                before = {one.name: (len(one.run), len(one.resume)) for one in all_}
                # the order turns, so that nobody always runs on the warmest machine
                for one in (*all_[turn % 3 :], *all_[: turn % 3]):
                    one.batch(at_once, threads)
                for phase in ("run", "resume"):
                    medians = {
                        one.name: statistics.median(
                            getattr(one, phase)[before[one.name][phase == "resume"] :]
                        )
                        for one in all_
                    }
                    for other in ("bare", "usual"):
                        ratios.setdefault((phase, other), []).append(
                            medians["ours"] / medians[other]
                        )
            for phase in ("run", "resume"):
                ms = [statistics.median(getattr(one, phase)) * 1000 for one in all_]
                say(
                    f"{at_once:>7} {phase:<7} {ms[0]:>8.1f} {ms[1]:>8.1f} {ms[2]:>8.1f} "
                    f"{statistics.median(ratios[phase, 'bare']):>10.2f} "
                    f"{statistics.median(ratios[phase, 'usual']):>11.2f}"
                )
