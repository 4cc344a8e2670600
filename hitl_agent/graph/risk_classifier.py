"""The risk-classifier node: judges, and sends each call to a reviewer or on to the executor."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send, StreamWriter

from hitl_agent.execution import Judge, Review, Settled
from hitl_agent.graph.gate import Gate
from hitl_agent.graph.state import AgentState, ReviewTask, pending_calls
from hitl_agent.review.redaction import Mask


class RiskClassifierNode:
    """Judges the calls of the turn; one review task for each that is gated, else it is done.

    All review tasks of a step end before the executor begins. It runs nothing while a call of the
    turn is open, and sends what has to be judged again, an edited call for one, back here.

    Args:
        gate: judges.
        done: the node to which a turn goes whose calls are all settled.
    """

    def __init__(self, gate: Gate, done: str) -> None:
        self._gate = gate
        self._done = done

    def run(self, state: AgentState, config: RunnableConfig, writer: StreamWriter) -> Command[str]:
        """Judge, tell the `custom` stream how, and send each call where it has to go."""
        messages = state["messages"]
        planned = pending_calls(messages)
        courses = self._gate.settle(self._gate.turn(config, messages), planned)
        reviews = [
            Send("human_review", ReviewTask(call_id=one.call.call_id))
            for one, course in zip(planned, courses, strict=True)
            if isinstance(course, Review)
        ]
        writer({"judged": [_shown(one) for one in courses if not isinstance(one, Judge)]})
        return Command(goto=reviews or self._done)


def _shown(course: Settled) -> dict[str, Any]:
    judged = course.judged
    mask = Mask(judged.call.args, judged.verdict.redactions)
    return {
        "call_id": judged.call.call_id,
        "tool": judged.call.tool,
        "args": mask.args,
        "revision": judged.revision,
        "tier": str(judged.verdict.tier),
        "reasons": [mask.text(reason) for reason in judged.verdict.reasons],
    }
