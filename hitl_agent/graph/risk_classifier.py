"""The risk-classifier node: the hub between planner, reviewers and executor."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send

from hitl_agent.execution import Course, Review
from hitl_agent.graph.gate import Gate, thread_of
from hitl_agent.graph.state import AgentState, ReviewTask, pending_calls, task_of


class RiskClassifierNode:
    """Judges the calls of the turn; one review task for each that is gated, else the executor.

    Review tasks come back here, so that an edited call is judged again, and the executor is
    entered only when no call of the turn waits.

    Args:
        gate: judges.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def run(
        self, state: AgentState, config: RunnableConfig
    ) -> Command[Literal["human_review", "executor"]]:
        """Judge, and send each call where it has to go."""
        messages = state["messages"]
        planned = pending_calls(messages)
        courses = self._gate.settle(
            self._gate.database(config), thread_of(config), planned, messages
        )
        reviews = [
            Send(
                "human_review",
                ReviewTask(call_id=one.call.call_id, claim=one.claim, task=task_of(messages)),
            )
            for one, course in zip(planned, courses, strict=True)
            if isinstance(course, Review)
        ]
        return Command(
            update={"judged": [_shown(course) for course in courses]},
            goto=reviews or "executor",
        )


def _shown(course: Course) -> dict[str, Any]:
    judged = course.judged  # type: ignore[union-attr]  settled: never `Judge`
    return {
        "call_id": judged.call.call_id,
        "tool": judged.call.tool,
        "args": dict(judged.call.args),
        "revision": judged.revision,
        "tier": str(judged.verdict.tier),
        "reasons": list(judged.verdict.reasons),
    }
