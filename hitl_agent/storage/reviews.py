"""Questions to reviewers and their decisions, as rows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hitl_agent.audit import Entry, Kind
from hitl_agent.calls import ToolCall
from hitl_agent.errors import StaleDecision
from hitl_agent.policy import Tier, Verdict
from hitl_agent.review import Approve, Decision, Edit, ReviewRequest
from hitl_agent.review.redaction import Mask
from hitl_agent.review.rendering import command
from hitl_agent.storage.database import Database
from hitl_agent.storage.judgements import grant_entry
from hitl_agent.storage.record import as_parameter

_SQL = "reviews"


def put(
    database: Database, thread_id: str, call_id: str, interrupt_id: str
) -> ReviewRequest | None:
    """Put the open question about a call under an interrupt; None if there is none. Idempotent."""
    rows = database.rows(
        _SQL, "put", thread_id=thread_id, call_id=call_id, interrupt_id=interrupt_id
    )
    return _request(rows[0]) if rows else None


def decide(
    database: Database,
    request: ReviewRequest,
    decision: Decision,
    *,
    reviewer: str | None,
    channel: str,
    now: datetime,
) -> None:
    """Record a decision, with the grant that an approval gives to a call that waits for it.

    Args:
        database: where to.
        request: the question, as the reviewer saw it.
        decision: the answer; checked before.
        reviewer: who; None when nobody says.
        channel: the way it came: `cli`, `runtime`, `resume`.
        now: when.

    Raises:
        StaleDecision: the question is no longer open.
    """
    call = request.call
    gated = request.verdict.tier is Tier.HARD_GATE
    grant_id = uuid.uuid4() if gated and isinstance(decision, Approve) else None
    expires_at = now + timedelta(seconds=request.verdict.grant_ttl_seconds)
    args = dict(decision.args) if isinstance(decision, Edit) else None
    body = {
        "args": args,
        "call_digest": request.call_digest,
        "channel": channel,
        "message": decision.message,
        "request_id": request.request_id,
        "reviewer": reviewer,
        "revision": request.revision,
        "type": decision.type,
    }
    entries = [Entry(Kind.DECISION, request.thread_id, call.call_id, now, body)]
    if grant_id:
        entries.append(
            grant_entry(
                request.thread_id,
                call.call_id,
                now,
                grant_id=grant_id,
                revision=request.revision,
                call_digest=request.call_digest,
                policy_digest=request.verdict.policy_digest,
                source="reviewers",
                expires_at=expires_at,
            )
        )
    written = database.wrote(
        _SQL,
        "decide",
        request_id=request.request_id,
        type=decision.type,
        args=args,
        message=decision.message,
        reviewer=reviewer,
        channel=channel,
        now=now,
        grant_id=grant_id,
        expires_at=expires_at,
        entries=as_parameter(*entries),
    )
    if not written:
        raise stale(database, request.request_id, call.call_id, request.thread_id)


def stale(database: Database, request_id: str, call_id: str, thread_id: str) -> StaleDecision:
    """Return the error that says why a question can no longer be decided."""
    rows = database.rows(_SQL, "decided_by", request_id=request_id)
    became = "it is not waiting"
    if rows and rows[0]["type"]:
        who = rows[0]["reviewer"] or "a resume value"
        became = f"{who} decided `{rows[0]['type']}` at {rows[0]['decided_at']:%Y-%m-%d %H:%M:%S}"
    elif rows and rows[0]["status"] == "withdrawn":
        became = "the question was withdrawn, the call was judged anew or left behind"
    return StaleDecision(
        f"call `{call_id}` no longer waits for a decision: {became}",
        hint=f"see `{command('show', thread_id)}`",
    )


def refuse_answer(
    database: Database, request: ReviewRequest, problem: str, *, now: datetime
) -> None:
    """Note on an open question why the last answer to it was not understood."""
    body = {
        "problem": problem,
        "request_id": request.request_id,
        "revision": request.revision,
    }
    entry = Entry(Kind.ANSWER_REFUSED, request.thread_id, request.call.call_id, now, body)
    database.wrote(
        _SQL,
        "refuse_answer",
        request_id=request.request_id,
        problem=problem,
        entries=as_parameter(entry),
    )


def withdraw(database: Database, thread_id: str, call_ids: Sequence[str], now: datetime) -> None:
    """End the open questions about calls that the planner has left behind."""
    body = {"reason": "the planner went on without the call"}
    entries = [Entry(Kind.WITHDRAWN, thread_id, one, now, body) for one in call_ids]
    database.wrote(
        _SQL,
        "withdraw",
        thread_id=thread_id,
        call_ids=list(call_ids),
        entries=as_parameter(*entries),
    )


def waiting(
    database: Database,
    *,
    thread_id: str | None = None,
    call_id: str | None = None,
    graph: str | None = None,
    tool: str | None = None,
    tier: str | None = None,
    limit: int = 50,
) -> list[ReviewRequest]:
    """Return what waits for a person: the earliest due first, then the longest waiting.

    Calls under `soft_review` are among them: they run, and are looked at when there is time.
    """
    rows = database.rows(
        _SQL,
        "waiting",
        thread_id=thread_id,
        call_id=call_id,
        graph=graph,
        tool=tool,
        tier=tier,
        limit=limit,
    )
    return [_request(row) for row in rows]


def asked(database: Database, thread_id: str, call_id: str) -> str | None:
    """Return the id of the newest question about a call, or None if there never was one."""
    rows = database.rows(_SQL, "asked_of_call", thread_id=thread_id, call_id=call_id)
    return str(rows[0]["request_id"]) if rows else None


def _request(row: Mapping[str, Any]) -> ReviewRequest:
    verdict = Verdict.from_json(row["verdict"])
    mask = Mask(row["args"], verdict.redactions)
    return ReviewRequest(
        request_id=str(row["request_id"]),
        thread_id=row["thread_id"],
        graph=row["graph"],
        interrupt_id=row["interrupt_id"],
        call=ToolCall(row["call_id"], row["tool"], row["args"]),
        revision=row["revision"],
        call_digest=row["call_digest"],
        verdict=mask.verdict(verdict),
        claim=mask.text(row["claim"]),
        task=mask.text(row["task"]),
        args_schema=row["args_schema"],
        problem=mask.text(row["problem"]) if row["problem"] else None,
        created_at=row["created_at"],
        due_at=row["due_at"],
    )
