"""Threads as LangGraph's checkpoints tell them, read without the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, TASKS
from langgraph.types import Interrupt

from hitl_agent.errors import UnknownThread
from hitl_agent.review import ReviewRequest
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.connection import translated
from hitl_agent.storage.strict_saver import MESSAGES

Status = Literal["running", "waiting", "done", "failed"]

_NULL_TASK = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread at its newest checkpoint.

    Attributes:
        thread_id: LangGraph's id.
        graph: the graph's name, or "" when nothing says it.
        status: `waiting` for a person, `failed` with an error, `done`, or `running`: under way, or
            left halfway by a process that is gone.
        error: what the thread failed with, or None.
        messages: the conversation.
        interrupts: what waits, as LangGraph has it.
        updated_at: when the checkpoint was written.
        elsewhere: the checkpoints are on another server, such as that of `langgraph dev`; only
            the questions are here.
    """

    thread_id: str
    graph: str
    status: Status
    error: str | None
    messages: list[AnyMessage]
    interrupts: list[Interrupt]
    updated_at: datetime
    elsewhere: bool = False


def read_thread(checkpointer: Checkpointer, thread_id: str) -> Thread:
    """Read a thread.

    Of its graph's own channels nothing is read: whoever looks needs neither their types nor trust
    in them.

    Raises:
        CheckpointRefused: the conversation or what waits is not what may stand there.
        UnknownThread: there is no checkpoint of it.
    """
    with translated():
        looking = checkpointer.reading(MESSAGES, TASKS, INTERRUPT, ERROR)
        found = looking.get_tuple({"configurable": {"thread_id": thread_id}})
    if found is None:
        raise UnknownThread(
            f"there is no thread `{thread_id}`", hint="see the threads with `hitl list`"
        )
    values = found.checkpoint["channel_values"]
    messages = values.get(MESSAGES) or []
    interrupts, error = _pending(found)
    metadata: dict[str, Any] = dict(found.metadata)
    return Thread(
        thread_id=thread_id,
        graph=str(metadata.get("graph_id") or ""),
        status=_status(values, messages, interrupts, error),
        error=error or _outcome_text(messages),
        messages=messages,
        interrupts=interrupts,
        updated_at=datetime.fromisoformat(found.checkpoint["ts"]),
    )


def driven_elsewhere(waiting: Sequence[ReviewRequest]) -> Thread:
    """Return what the questions tell of a thread whose checkpoints are on another server."""
    return Thread(
        thread_id=waiting[0].thread_id,
        graph=waiting[0].graph,
        status="waiting",
        error=None,
        messages=[],
        interrupts=[],
        updated_at=max(one.created_at for one in waiting),
        elsewhere=True,
    )


def _pending(found: CheckpointTuple) -> tuple[list[Interrupt], str | None]:
    """Return the unanswered interrupts and the error at the head of a thread.

    A task that wrote anything else has run to its end since it asked.
    """
    interrupts: dict[str, list[Interrupt]] = {}
    ended: set[str] = set()
    error: str | None = None
    for task_id, channel, value in found.pending_writes or []:
        if channel == INTERRUPT:
            interrupts[task_id] = list(value)
        elif channel == ERROR:
            error = str(value)
        elif channel != "__resume__" and task_id != _NULL_TASK:
            ended.add(task_id)
    waiting = [one for task, asked in interrupts.items() if task not in ended for one in asked]
    return waiting, error


def _status(
    values: dict[str, Any],
    messages: list[AnyMessage],
    interrupts: list[Interrupt],
    error: str | None,
) -> Status:
    """Tell the status from the head checkpoint.

    LangGraph keeps what runs next in channels: the input in `__start__`, edges in `branch:to:…`,
    `Send`s in `__pregel_tasks`. A thread without them is finished.
    """
    unfinished = bool(values.get(TASKS)) or any(
        name == "__start__" or name.startswith("branch:to:") for name in values
    )
    if unfinished:
        if interrupts:
            return "waiting"
        return "failed" if error else "running"
    return "failed" if _outcome_text(messages) else "done"


def _outcome_text(messages: list[AnyMessage]) -> str | None:
    """Return the last message of a run that ended without doing what it was asked."""
    last = messages[-1] if messages else None
    if isinstance(last, AIMessage) and last.additional_kwargs.get("outcome") == "failed":
        return last.text
    return None
