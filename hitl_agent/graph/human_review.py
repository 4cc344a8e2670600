"""The human-review node: one task and one interrupt for each call that waits."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, interrupt

from hitl_agent.errors import InvalidDecision, StaleDecision
from hitl_agent.execution import Judged
from hitl_agent.graph.gate import GRAPH, Gate, thread_of
from hitl_agent.graph.state import ReviewTask
from hitl_agent.policy import Tier
from hitl_agent.review import (
    ReviewRequest,
    check_decision,
    interrupt_payload,
    read_answer,
    request_id,
)
from hitl_agent.storage import judgements, reviews


class HumanReviewNode:
    """Puts the question, stops, and on resume believes the database.

    A node runs again from its first line when it is resumed: before `interrupt()` there is only an
    idempotent write, after it nothing raises on what a client sent.

    Args:
        gate: knows the tools, the clock and the database.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def run(self, task: ReviewTask, config: RunnableConfig) -> dict[str, Any]:
        """Ask about one call and record the answer, unless it is decided already."""
        database, thread_id = self._gate.database(config), thread_of(config)
        judged = judgements.newest(database, thread_id, [task["call_id"]]).get(task["call_id"])
        if judged is None or not _waits(judged):
            return {}
        question = str(
            request_id(thread_id, judged.call.call_id, judged.revision, judged.call_digest)
        )
        schema = self._gate.schemas.get(judged.call.tool, {})
        interrupt_id = Interrupt.from_ns(None, config["configurable"]["checkpoint_ns"]).id
        graph = str(config.get("metadata", {}).get(GRAPH) or "graph")
        reviews.ask(
            database,
            thread_id,
            judged,
            request_id=question,
            interrupt_id=interrupt_id,
            graph=graph,
            args_schema=schema,
            claim=task["claim"],
            task=task["task"],
            now=self._gate.clock(),
        )
        answer = interrupt(
            interrupt_payload(
                request_id=question,
                call=judged.call,
                revision=judged.revision,
                call_digest=judged.call_digest,
                verdict=judged.verdict,
                claim=task["claim"],
                args_schema=schema,
                problem=judged.problem,
            )
        )
        self._take(answer, config, task)
        return {}

    def _take(self, answer: Any, config: RunnableConfig, task: ReviewTask) -> None:
        """Record what came with the resume, unless a decision is recorded already.

        An answer that is not understood is noted, and the hub asks again: raising here would keep
        the bad answer in the checkpoint and wedge the thread.
        """
        database, thread_id = self._gate.database(config), thread_of(config)
        (request,) = reviews.waiting(
            database, thread_id=thread_id, call_id=task["call_id"], limit=1
        ) or (None,)
        if request is None:
            return
        try:
            decision = read_answer(_for(request, answer), tool=request.call.tool)
            check_decision(
                decision,
                request.call,
                allowed=request.verdict.allowed_decisions,
                schema=request.args_schema,
            )
            reviews.decide(
                database,
                request,
                decision,
                reviewer=None,
                channel="resume",
                now=self._gate.clock(),
            )
        except StaleDecision:
            return
        except InvalidDecision as error:
            reviews.refuse_answer(database, request, str(error), now=self._gate.clock())


def _waits(judged: Judged) -> bool:
    """Whether there is something to ask; a task can be forged, and can run again when all is said."""
    return judged.verdict.tier is Tier.HARD_GATE and judged.request_status in (None, "open")


def _for(request: ReviewRequest, answer: Any) -> Any:
    """Refuse an answer that names another question: it was given to a call that is no longer it."""
    named = answer.get("request_id", request.request_id) if isinstance(answer, dict) else None
    if named is not None and named != request.request_id:
        raise InvalidDecision("the answer belongs to another question")
    return answer
