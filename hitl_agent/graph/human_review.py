"""The human-review node: one task and one interrupt for each call that waits."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, interrupt

from hitl_agent.errors import InvalidDecision, StaleDecision
from hitl_agent.graph.gate import SERVER_USER, Gate, thread_of
from hitl_agent.graph.state import ReviewTask
from hitl_agent.review import ReviewRequest, read_answer
from hitl_agent.storage import reviews
from hitl_agent.storage.checkpoints import lease_of
from hitl_agent.storage.database import Database

REVIEWER = "reviewer"
"""Key of `configurable` by which the app says who gives the answer of a resume."""


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
        """Put the question about one call and record the answer, unless it is decided already."""
        database = self._gate.database(config)
        interrupt_id = Interrupt.from_ns(None, config["configurable"]["checkpoint_ns"]).id
        request = reviews.put(
            database, thread_of(config), state["call_id"], interrupt_id, lease=lease_of(config)
        )
        if request is not None:
            answer = interrupt(request.payload())
            self._take(database, request, answer, config)
        return {}

    def _take(
        self, database: Database, request: ReviewRequest, answer: Any, config: RunnableConfig
    ) -> None:
        """Record what came with the resume, unless a decision is recorded already.

        An answer that is not understood, or does not count, is noted, and the question is put
        again: raising here would keep the bad answer in the checkpoint and wedge the thread.
        """
        now = self._gate.clock()
        try:
            decision = read_answer(_for(request, answer), tool=request.call.tool)
            decision = request.checked(decision)
            reviews.decide(
                database,
                request,
                decision,
                reviewer=_reviewer(config),
                channel="resume",
                now=now,
                lease=lease_of(config),
            )
        except StaleDecision:
            return
        except InvalidDecision as error:
            reviews.refuse_answer(database, request, str(error), now=now)


def _reviewer(config: RunnableConfig) -> str | None:
    """Return who answers; a server that knows its users is believed before anybody else."""
    named = config.get("configurable", {})
    given = named.get(SERVER_USER) or named.get(REVIEWER)
    return str(given) if given else None


def _for(request: ReviewRequest, answer: Any) -> Any:
    """Refuse an answer that names another question: it was given to a call that is no longer it."""
    named = answer.get("request_id", request.request_id) if isinstance(answer, dict) else None
    if named is not None and named != request.request_id:
        raise InvalidDecision("the answer belongs to another question")
    return answer
