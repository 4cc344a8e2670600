"""The human-review node: one task and one interrupt for each call that waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, interrupt

from hitl_agent.errors import InvalidDecision, StaleDecision
from hitl_agent.execution import Judged
from hitl_agent.graph.gate import GRAPH, Gate, thread_of
from hitl_agent.graph.state import ReviewTask
from hitl_agent.policy import Tier
from hitl_agent.review import ReviewRequest, check_decision, read_answer, request_id
from hitl_agent.storage import judgements, reviews
from hitl_agent.storage.database import Database


class HumanReviewNode:
    """Puts the question, stops, and on resume believes the database.

    A node runs again from its first line when it is resumed: before `interrupt()` there is only an
    idempotent write, after it nothing raises on what a client sent.

    Args:
        gate: knows the tools, the clock and the database.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def run(self, state: ReviewTask, config: RunnableConfig) -> dict[str, Any]:
        """Ask about one call and record the answer, unless it is decided already."""
        database, thread_id = self._gate.database(config), thread_of(config)
        call_id = state["call_id"]
        judged = judgements.newest(database, thread_id, [call_id]).get(call_id)
        if judged is None or not _waits(judged):
            return {}
        request = self._request(state, config, judged)
        if (judged.request_id, judged.interrupt_id) != (request.request_id, request.interrupt_id):
            reviews.ask(database, request, again=judged.request_id is not None)
        answer = interrupt(request.payload())
        self._take(database, request, answer)
        return {}

    def _request(self, state: ReviewTask, config: RunnableConfig, judged: Judged) -> ReviewRequest:
        thread_id, now = thread_of(config), self._gate.clock()
        call, sla = judged.call, judged.verdict.sla_seconds
        return ReviewRequest(
            request_id=request_id(thread_id, call.call_id, judged.revision, judged.call_digest),
            thread_id=thread_id,
            graph=str(config.get("metadata", {}).get(GRAPH) or "graph"),
            interrupt_id=Interrupt.from_ns(None, config["configurable"]["checkpoint_ns"]).id,
            call=call,
            revision=judged.revision,
            call_digest=judged.call_digest,
            verdict=judged.verdict,
            claim=state["claim"],
            task=state["task"],
            args_schema=self._gate.schemas.get(call.tool, {}),
            problem=judged.problem,
            created_at=now,
            due_at=now + timedelta(seconds=sla) if sla is not None else None,
        )

    def _take(self, database: Database, request: ReviewRequest, answer: Any) -> None:
        """Record what came with the resume, unless a decision is recorded already.

        An answer that is not understood is noted, and the question is put again: raising here
        would keep the bad answer in the checkpoint and wedge the thread.
        """
        now = self._gate.clock()
        try:
            decision = read_answer(_for(request, answer), tool=request.call.tool)
            check_decision(
                decision,
                request.call,
                allowed=request.verdict.allowed_decisions,
                schema=request.args_schema,
            )
            reviews.decide(database, request, decision, reviewer=None, channel="resume", now=now)
        except StaleDecision:
            return
        except InvalidDecision as error:
            reviews.refuse_answer(database, request, str(error), now=now)


def _waits(judged: Judged) -> bool:
    """Whether there is something to ask: a task can be forged, and can run when all is said."""
    return judged.verdict.tier is Tier.HARD_GATE and judged.request_status in (None, "open")


def _for(request: ReviewRequest, answer: Any) -> Any:
    """Refuse an answer that names another question: it was given to a call that is no longer it."""
    named = answer.get("request_id", request.request_id) if isinstance(answer, dict) else None
    if named is not None and named != request.request_id:
        raise InvalidDecision("the answer belongs to another question")
    return answer
