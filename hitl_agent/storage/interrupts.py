"""What graphs ask that wrote no question of ours, and threads that stopped for another reason.

Which threads to look at, triggers on LangGraph's tables have noted (migration 5); what is told of
them is read from LangGraph's own rows. This module loads no agent framework before there is
something to read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hitl_agent.errors import CheckpointRefused
from hitl_agent.storage.database import Database
from hitl_agent.storage.encryption import Cipher, refuse_sealed

_SQL = "interrupts"
_CHANNEL = "__interrupt__"
_PULL = "~__pregel_pull, "
"""How LangGraph writes the path of a task that an edge has started, before its node's name."""

_DEEPEST = 64
"""Lists and objects in each other that are read."""

_LARGEST = 4 << 20
"""Bytes of the largest question that is read."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that a task of any graph waits with.

    Attributes:
        thread_id: LangGraph's thread.
        graph: the graph's name, or "" when no checkpoint says it.
        node: the node of the outermost graph that asks, or "" when its row does not say it: one
            that was started by a `Send`.
        task_id: LangGraph's task of that node.
        interrupt_id: the question's own id, by which it is answered; None where `problem` is.
        value: what is asked as plain JSON, what has no JSON form as its text; hostile until it is
            rendered; None where `problem` is.
        kind: how the row says that it is written, such as `msgpack`.
        problem: why it cannot be read, or "".
        failed: the task has failed since it asked: answered, or cancelled with another one.
        asked_at: since when it waits; the time of the checkpoint if it is older than the triggers.
    """

    thread_id: str
    graph: str
    node: str
    task_id: str
    interrupt_id: str | None
    value: Any
    kind: str
    problem: str
    failed: bool
    asked_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it as `hitl list --json` prints it, among the questions about calls."""
        return {
            "thread_id": self.thread_id,
            "graph": self.graph,
            "interrupt_id": self.interrupt_id,
            "request_id": None,
            "call_id": None,
            "tool": None,
            "status": "waiting",
            "node": self.node,
            "task_id": self.task_id,
            "asks": self.value,
            "type": self.kind,
            "problem": self.problem or None,
            "failed": self.failed,
            "created_at": self.asked_at.isoformat(),
            "due_at": None,
        }


@dataclass(frozen=True, slots=True)
class Stopped:
    """A thread that has something left to run, and of which nothing waits for an answer.

    Attributes:
        thread_id: LangGraph's thread.
        since: since when it has.
    """

    thread_id: str
    since: datetime


def plain(value: Any, depth: int = _DEEPEST) -> Any:
    """Return a value that stood in a checkpoint as plain JSON, as deep as anybody reads."""
    if not depth:
        return "… nested too deeply to be shown"
    if isinstance(value, Mapping):
        return {str(key): plain(one, depth - 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one, depth - 1) for one in value]
    if value is None or isinstance(value, bool | str | int):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)


def asked(
    database: Database,
    *,
    cipher: Cipher | None = None,
    thread_id: str | None = None,
    graph: str | None = None,
    limit: int = 50,
) -> list[Asked]:
    """Return what waits in threads at their newest checkpoint, longest waiting first.

    The same as `get_state().interrupts` of each thread, without the questions about calls that
    `reviews.waiting` returns. It also has the question of a node that was started by the `goto` of
    a `Command` or as an error handler, which LangGraph leaves out until the step has ended. Of a
    graph whose code has changed since, it has what the code of then asked.

    Args:
        database: where the threads are.
        cipher: decrypts them, or None.
        thread_id: only of this thread.
        graph: only of threads whose checkpoints name this graph.
        limit: at most so many tasks; a task may ask several questions.
    """
    rows = database.rows(
        _SQL, "asked", thread_id=thread_id, graph=graph, limit=limit, largest=_LARGEST
    )
    found = [one for row in rows for one in _asked(row, cipher)]
    return found[:limit]


def stopped(database: Database, *, graph: str | None = None, limit: int = 50) -> list[Stopped]:
    """Return threads with something left to run of which nothing waits, longest ago first.

    They run, have failed, stand at a breakpoint, or were left halfway; a few may have ended.

    Args:
        database: where the threads are.
        graph: only threads whose checkpoints name this graph.
        limit: at most so many.
    """
    rows = database.rows(_SQL, "stopped", graph=graph, limit=limit)
    return [Stopped(**row) for row in rows]


def given_back(database: Database, thread_id: str) -> bool:
    """Whether the last one to drive a thread under a lease came to an end with it.

    Of a thread that others drive, without a lease, nobody knows: False.
    """
    rows = database.rows(_SQL, "given_back", thread_id=thread_id)
    return bool(rows and rows[0]["given_back"])


def inner_tasks(database: Database, thread_id: str, checkpoint_id: str) -> set[str]:
    """Return tasks that a task calls itself (`@task`): what they ask, their caller asks too."""
    rows = database.rows(_SQL, "inner_tasks", thread_id=thread_id, checkpoint_id=checkpoint_id)
    return {row["task_id"] for row in rows}


def watched(database: Database) -> bool:
    """Whether the triggers on LangGraph's tables are set up."""
    return bool(database.rows(_SQL, "watched")[0]["watched"])


def watch(database: Database, *, wanted: bool) -> None:
    """Set up the triggers and look at all threads again, or take them away.

    Raises:
        DatabaseNotReady: the role does not own LangGraph's tables.
    """
    database.run(_SQL, "watch", wanted=wanted)


def _asked(row: Mapping[str, Any], cipher: Cipher | None) -> list[Asked]:
    found: Sequence[tuple[str | None, Any]] = [(None, None)]
    problem = ""
    try:
        ours = set(row["ours"])
        found = [one for one in _read(row, cipher) if one[0] not in ours]
    except CheckpointRefused as error:
        problem = error.message
    path = row["task_path"]
    return [
        Asked(
            thread_id=row["thread_id"],
            graph=row["graph"],
            node=path.removeprefix(_PULL) if path.startswith(_PULL) else "",
            task_id=row["task_id"],
            interrupt_id=interrupt_id,
            value=value,
            kind=row["type"] or "",
            problem=problem,
            failed=row["failed"],
            asked_at=row["asked_at"],
        )
        for interrupt_id, value in found
    ]


def _read(row: Mapping[str, Any], cipher: Cipher | None) -> list[tuple[str, Any]]:
    """Return ids and values of the interrupts in a row.

    Raises:
        CheckpointRefused: it is not what belongs there, or cannot be decrypted.
    """
    from langgraph.types import Interrupt  # noqa: PLC0415  `hitl list` of calls needs neither

    from hitl_agent.storage.serializer import Serializer  # noqa: PLC0415

    if row["blob"] is None:
        raise CheckpointRefused(f"it has {row['bytes']:,} bytes, more than are read")
    kind, data = row["type"] or "", row["blob"]
    if cipher:
        place = ("write", row["thread_id"], "", row["checkpoint_id"], row["task_id"])
        kind, data = cipher.unseal(kind, data, (*place, row["idx"], _CHANNEL))
    else:
        refuse_sealed(kind)
    value = Serializer().looking().loads_typed((kind, data))
    if isinstance(value, list | tuple) and all(isinstance(one, Interrupt) for one in value):
        return [(one.id, plain(one.value)) for one in value]
    raise CheckpointRefused("what is no question stands in its place")
