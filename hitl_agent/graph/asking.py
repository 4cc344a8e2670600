"""Asking: how a question is put inside a task of LangGraph, and how its answer is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.types import RESUME
from langgraph.errors import GraphInterrupt
from langgraph.types import _interrupt_id, interrupt

from hitl_agent.errors import InvalidDecision, StaleDecision
from hitl_agent.graph.gate import SERVER_USER, Gate, thread_of
from hitl_agent.graph.places import SCRATCHPAD, counting, go_to
from hitl_agent.review import ReviewRequest, read_answer
from hitl_agent.storage import reviews
from hitl_agent.storage.checkpoints import LEASE, lease_of
from hitl_agent.storage.database import Database

REVIEWER = "reviewer"
"""Key of `configurable` by which the app says who gives the answer of a resume."""

_ADDRESSED = "__pregel_resume_map"
"""LangGraph's key of `configurable` for the answers of a resume, by interrupt id."""

_SEND = "__pregel_send"
"""LangGraph's key of `configurable` for what takes a task's writes."""

_SAVER = "__pregel_checkpointer"
"""LangGraph's key of `configurable` for the saver of the graph that runs."""

_NO_TASK = "00000000-0000-0000-0000-000000000000"
"""The task under which LangGraph keeps an answer without an address."""


def ask(gate: Gate, config: RunnableConfig, call_id: str) -> None:
    """Put the open question about a call and stop the task; return once it is open no longer.

    A node runs again from its first line when it is resumed: before it stops there are only
    idempotent writes, after it nothing raises on what a client sent. What is decided is in the
    database, and whoever asked looks there.

    Several questions may be put by one task, one after the other or side by side. LangGraph gives
    each place in a task's row of answers an id of its own; an answer counts for the question that
    was put under the id of its place, and where several were, only if it names its `request_id`.

    Args:
        gate: knows the clock and the database.
        config: LangGraph's, of the task.
        call_id: whose question.

    Raises:
        GraphInterrupt: the task stops here.
    """
    database, thread_id, lease = gate.database(config), thread_of(config), lease_of(config)
    request = reviews.put(database, thread_id, call_id, None, lease=lease)
    if request is None:
        return
    answers = _answers(config)
    if answers.last and request.interrupt_id == answers.last:
        _take(gate, database, request, answers, config)
    if request := reviews.put(database, thread_id, call_id, answers.next, lease=lease):
        _spend(config)
        interrupt(request.payload())  # stops: every answer there is was read


def pass_answered(gate: Gate, config: RunnableConfig, call_id: str) -> None:
    """Pass over the places that the questions about a decided call have in this task.

    A task that runs again meets its interrupts anew, in order, and a call that is decided asks no
    more: the next question of the task's own would be given the answer that was ours. A question
    that was decided elsewhere keeps its place all the same, and an answer without an address that
    comes then is its.

    Args:
        gate: knows the database.
        config: LangGraph's, of the task.
        call_id: whose questions.
    """
    named = config["configurable"]
    pad, space = named[SCRATCHPAD], named["checkpoint_ns"]
    ours = reviews.interrupts_of(gate.database(config), thread_of(config), call_id)
    with counting:
        places = [at for at in range(len(pad.resume) + 1) if _interrupt_id(space, at) in ours]
        if not places:
            return
        if places[-1] == len(pad.resume):
            bare = pad.get_null_resume(consume=True)
            pad.resume.append("decided" if bare is None else bare)
        to = max(places[-1] + 1, pad.interrupt_counter())
        go_to(pad, to)
        named[_SEND]([(RESUME, pad.resume[:to])])  # as LangGraph's `interrupt` does


def _spend(config: RunnableConfig) -> None:
    """Take the answer without an address that this run was given out of the checkpoint.

    LangGraph keeps it there and gives it out again in every run that goes on from the same
    checkpoint: in one without any answer, to the question that is put now.
    """
    named = config["configurable"]
    root = named.get("checkpoint_map", {}).get("")
    if root is None or named[SCRATCHPAD].get_null_resume() is None:
        return
    place = {"checkpoint_id": root, "checkpoint_ns": "", "thread_id": named["thread_id"]}
    place |= {LEASE: named[LEASE]} if LEASE in named else {}
    named[_SAVER].put_writes({"configurable": place}, [(RESUME, None)], _NO_TASK)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the task was answered so far.

    Attributes:
        newest: the answer that came last.
        last: the interrupt id that it answers; None if there is none, or it was meant for another.
        next: the interrupt id under which the next question is put.
    """

    newest: Any
    last: str | None
    next: str


def _answers(config: RunnableConfig) -> _Answers:
    """Read every answer that the task was given, those from before included."""
    named = config["configurable"]
    pad, space = named[SCRATCHPAD], named["checkpoint_ns"]
    with counting:
        at = len(pad.resume) - 1
        try:
            while True:
                interrupt(None)
        except GraphInterrupt:
            given = list(pad.resume)
            go_to(pad, len(given))
    # beside an answer with an address one without may lie there, from a run that was cut off; and
    # LangGraph takes an answer to a task's first question for one to its next as well
    addressed = named.get(_ADDRESSED)
    if not addressed:
        at = len(given) - 1
    last = _interrupt_id(space, at) if given else None
    if addressed and last not in addressed:
        last = None
    return _Answers(
        newest=given[at] if last else None,
        last=last,
        next=_interrupt_id(space, len(given)),
    )


def _take(
    gate: Gate,
    database: Database,
    request: ReviewRequest,
    answers: _Answers,
    config: RunnableConfig,
) -> None:
    """Record what came with the resume, unless a decision is recorded already.

    An answer that is not understood, or does not count, is noted, and the question is put again:
    raising here would keep the bad answer in the checkpoint and wedge the thread.
    """
    answer, now = answers.newest, gate.clock()
    try:
        if not _is_for(database, request, answer):
            return
        decision = read_answer(answer, tool=request.call.tool)
        reviews.decide(
            database,
            request,
            request.checked(decision),
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


def _is_for(database: Database, request: ReviewRequest, answer: Any) -> bool:
    """Whether an answer to an interrupt is meant for this question of those that were put there.

    Raises:
        InvalidDecision: nobody can tell, or it names a question that was never put there.
    """
    named = answer.get("request_id") if isinstance(answer, Mapping) else None
    if named == request.request_id:
        return True
    others = reviews.put_under(database, request) - {request.request_id}
    if named is None and not others:
        return True
    if named in others:
        return False
    if named is None:
        raise InvalidDecision("several calls wait here; an answer names the `request_id` it is for")
    raise InvalidDecision("the answer belongs to another question")
