"""Attempts at calls, as rows: opened by consuming a grant, closed by an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from hitl_agent.audit import Entry, Kind
from hitl_agent.execution import Judged
from hitl_agent.storage.database import Database
from hitl_agent.storage.record import as_parameter

_SQL = "attempts"


def start(
    database: Database,
    thread_id: str,
    judged: Judged,
    *,
    policy_digest: str,
    now: datetime,
    deadline: datetime,
) -> bool:
    """Consume the grant and open the attempt, in one statement.

    Returns:
        False if there is no valid grant for exactly this call, or the call was attempted before.
    """
    call_digest = judged.call.digest  # of the arguments that will run, not of a stored column
    body = {
        "call_digest": call_digest,
        "deadline": deadline.isoformat(),
        "policy_digest": policy_digest,
        "revision": judged.revision,
        "tool": judged.call.tool,
    }
    entry = Entry(Kind.STARTED, thread_id, judged.call.call_id, now, body)
    return database.wrote(
        _SQL,
        "start",
        thread_id=thread_id,
        call_id=judged.call.call_id,
        revision=judged.revision,
        call_digest=call_digest,
        policy_digest=policy_digest,
        now=now,
        deadline=deadline,
        entries=as_parameter(entry),
    )


def end(
    database: Database,
    thread_id: str,
    judged: Judged,
    state: Literal["succeeded", "failed", "in_doubt"],
    result: Mapping[str, Any] | None,
    *,
    revision: int,
    now: datetime,
) -> bool:
    """Write the outcome of a started attempt; of one in doubt, what is known goes on the record.

    Returns:
        False if the attempt of this revision is not in the state `started`.
    """
    body = {"result": result, "revision": revision, "tool": judged.call.tool}
    entry = Entry(Kind(state), thread_id, judged.call.call_id, now, body)
    return database.wrote(
        _SQL,
        "end",
        thread_id=thread_id,
        call_id=judged.call.call_id,
        revision=revision,
        state=state,
        result=dict(result) if result is not None and state != "in_doubt" else None,
        now=now,
        entries=as_parameter(entry),
    )
