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

from hitl_agent.errors import CheckpointRefused, UnknownThread
from hitl_agent.review import ReviewRequest
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.connection import translated
from hitl_agent.storage.database import Database
from hitl_agent.storage.interrupts import Stopped, given_back, inner_tasks
from hitl_agent.storage.strict_saver import JOIN, MESSAGES

Status = Literal["running", "waiting", "breakpoint", "done", "failed"]

_NULL_TASK = "00000000-0000-0000-0000-000000000000"

_CONTROL = {INTERRUPT, ERROR, "__resume__", "__error_source_node__"}
"""What is written of a task that has not run to its end."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread at its newest checkpoint.

    Attributes:
        thread_id: LangGraph's id.
        graph: the graph's name, or "" when nothing says it.
        status: `waiting` for a person, `failed` with an error, `done`, at a `breakpoint`, or
            `running`: under way, or left halfway by a process that is gone. A breakpoint leaves no
            trace; without the graph it is known only where the run had a lease and gave it back,
            and is `running` elsewhere.
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

    def to_json(self) -> dict[str, Any]:
        """Return it as `hitl list --all-graphs --json` prints it, among what waits."""
        return {
            "thread_id": self.thread_id,
            "graph": self.graph,
            "interrupt_id": None,
            "request_id": None,
            "call_id": None,
            "tool": None,
            "status": self.status,
            "error": self.error,
            "created_at": self.updated_at.isoformat(),
            "due_at": None,
        }


def read_thread(database: Database, checkpointer: Checkpointer, thread_id: str) -> Thread:
    """Read a thread.

    Of its graph's own channels nothing is read: whoever looks needs neither their types nor trust
    in them. Whether a graph that names its channels otherwise than a `StateGraph` is done, and
    whether its code still has the tasks of then, only the graph could say.

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
    interrupts, error = _pending(database, found)
    status = _status(values, messages, interrupts, error)
    if status == "running" and given_back(database, thread_id):
        status = "breakpoint"
    metadata: dict[str, Any] = dict(found.metadata)
    return Thread(
        thread_id=thread_id,
        graph=str(metadata.get("graph_id") or ""),
        status=status,
        error=error or _outcome_text(messages),
        messages=messages,
        interrupts=interrupts,
        updated_at=datetime.fromisoformat(found.checkpoint["ts"]),
    )


def read_if_readable(database: Database, checkpointer: Checkpointer, stopped: Stopped) -> Thread:
    """Read a thread that stopped; one that cannot be read is `failed`, with the reason."""
    try:
        return read_thread(database, checkpointer, stopped.thread_id)
    except CheckpointRefused as error:
        return Thread(
            stopped.thread_id, "", "failed", error.message, [], [], updated_at=stopped.since
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


def _pending(database: Database, found: CheckpointTuple) -> tuple[list[Interrupt], str | None]:
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
        elif channel not in _CONTROL and task_id != _NULL_TASK:
            ended.add(task_id)
    if len(interrupts) > 1:
        named = found.config["configurable"]
        ended |= inner_tasks(database, named["thread_id"], named["checkpoint_id"])
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
    edges that wait for each other in `join:…`, `Send`s in `__pregel_tasks`. A thread without them
    is finished.
    """
    unfinished = bool(values.get(TASKS)) or any(
        name == "__start__"
        or name.startswith("branch:to:")
        or (name.startswith(JOIN) and _joined(name, value))
        for name, value in values.items()
    )
    if unfinished:
        if interrupts:
            return "waiting"
        return "failed" if error else "running"
    return "failed" if _outcome_text(messages) else "done"


def _joined(channel: str, value: Any) -> bool:
    """Whether all have come that a channel such as `join:a+b:c` waits for.

    A task that is deferred has a flag beside them, for when nothing else is left to run.
    """
    came = value[0] if isinstance(value, list | tuple) and value else value
    return isinstance(came, set) and came >= set(channel.split(":")[1].split("+"))


def _outcome_text(messages: list[AnyMessage]) -> str | None:
    """Return the last message of a run that ended without doing what it was asked."""
    last = messages[-1] if messages else None
    if isinstance(last, AIMessage) and last.additional_kwargs.get("outcome") == "failed":
        return last.text
    return None
