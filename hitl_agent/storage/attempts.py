"""Attempts at calls, as rows: opened by consuming a grant, closed by an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from hitl_agent.audit import Entry, Kind
from hitl_agent.execution import Judged
from hitl_agent.storage.database import Database
from hitl_agent.storage.leases import Lease
from hitl_agent.storage.record import as_parameter

_SQL = "attempts"


def open_(
    database: Database,
    lease: Lease,
    judged: Judged,
    state: Literal["reserved", "started"],
    *,
    bound: str,
    now: datetime,
    deadline: datetime,
) -> Judged | None:
    """Consume the grant and open the attempt, in one statement.

    Args:
        database: where to.
        lease: on the thread.
        judged: the call.
        state: `reserved` where the effect belongs to a transaction that is still to come.
        bound: what the grant has to be bound to: what will run, under what is in force now.
        now: when.
        deadline: until when nobody else touches the attempt.

    Returns:
        The call with its attempt; None if there is no valid grant for exactly this call, or the
        call was attempted before.

    Raises:
        LeaseLost: another process has taken the thread over.
    """
    attempt_id = uuid4()
    goes_on = judged.attempt == "reserved" and judged.attempt_revision == judged.revision
    body = {
        "attempt_id": str(attempt_id),
        "binding": bound,
        "call_digest": judged.call.digest,
        "deadline": deadline.isoformat(),
        "policy_digest": judged.verdict.policy_digest,
        "revision": judged.revision,
        "tool": judged.call.tool,
        "tool_version": judged.tool_version,
    }
    kind = Kind.STARTED if state == "started" else Kind.RESERVED
    entry = Entry(kind, lease.thread_id, judged.call.call_id, now, body)
    opened = database.wrote(
        _SQL,
        "open",
        thread_id=lease.thread_id,
        token=str(lease.token),
        call_id=judged.call.call_id,
        revision=judged.revision,
        binding=bound,
        state=state,
        attempt_id=attempt_id,
        now=now,
        deadline=deadline,
        entries=as_parameter(entry),
    )
    if not opened:
        return None
    return replace(
        judged,
        attempt=state,
        attempt_revision=judged.revision,
        attempt_id=attempt_id,
        opened_at=judged.opened_at or now,
        started_at=now,
        deadline=deadline,
        tries=judged.tries + 1 if goes_on else 1,
    )


def again(
    database: Database, lease: Lease, judged: Judged, *, now: datetime, deadline: datetime
) -> Judged | None:
    """Open the next try of a call that was started and cut off.

    Returns:
        The call with its new try; None if the attempt is no longer what `judged` says.

    Raises:
        LeaseLost: another process has taken the thread over.
    """
    attempt_id, tries = uuid4(), judged.tries + 1
    body = {
        "attempt_id": str(attempt_id),
        "call_digest": judged.call.digest,
        "deadline": deadline.isoformat(),
        "revision": judged.revision,
        "tool": judged.call.tool,
        "try": tries,
    }
    entry = Entry(Kind.STARTED, lease.thread_id, judged.call.call_id, now, body)
    opened = database.wrote(
        _SQL,
        "again",
        thread_id=lease.thread_id,
        token=str(lease.token),
        call_id=judged.call.call_id,
        revision=judged.attempt_revision,
        previous=judged.attempt_id,
        attempt_id=attempt_id,
        now=now,
        deadline=deadline,
        entries=as_parameter(entry),
    )
    if not opened:
        return None
    return replace(judged, attempt_id=attempt_id, started_at=now, deadline=deadline, tries=tries)


def end(
    database: Database,
    lease: Lease,
    judged: Judged,
    state: Literal["succeeded", "failed", "in_doubt"],
    result: Mapping[str, Any] | None,
    *,
    now: datetime,
) -> bool:
    """Write the outcome of an open attempt; of one in doubt, what is known goes on the record.

    Returns:
        False if the try that `judged` names is not open.

    Raises:
        LeaseLost: another process has taken the thread over.
    """
    body = {
        "attempt_id": str(judged.attempt_id) if judged.attempt_id else None,
        "result": result,
        "revision": judged.attempt_revision,
        "tool": judged.call.tool,
    }
    entry = Entry(Kind(state), lease.thread_id, judged.call.call_id, now, body)
    return database.wrote(
        _SQL,
        "end",
        thread_id=lease.thread_id,
        token=str(lease.token),
        call_id=judged.call.call_id,
        attempt_id=judged.attempt_id,
        state=state,
        result=dict(result) if result is not None and state != "in_doubt" else None,
        now=now,
        entries=as_parameter(entry),
    )


def suspend(database: Database, lease: Lease, judged: Judged, *, now: datetime) -> None:
    """Put an open attempt back to where it began: its tool asks first, and goes on under its grant.

    Raises:
        LeaseLost: another process has taken the thread over.
    """
    body = {
        "attempt_id": str(judged.attempt_id),
        "revision": judged.attempt_revision,
        "tool": judged.call.tool,
    }
    entry = Entry(Kind.SUSPENDED, lease.thread_id, judged.call.call_id, now, body)
    database.wrote(
        _SQL,
        "suspend",
        thread_id=lease.thread_id,
        token=str(lease.token),
        call_id=judged.call.call_id,
        attempt_id=judged.attempt_id,
        entries=as_parameter(entry),
    )
