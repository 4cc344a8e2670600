"""Judgements of calls, as rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hitl_agent.audit import Entry, Kind
from hitl_agent.calls import ToolCall
from hitl_agent.execution import Judge, Judged, binding
from hitl_agent.policy import Tier, Verdict
from hitl_agent.review import ReviewRequest
from hitl_agent.storage.database import Database
from hitl_agent.storage.leases import Lease
from hitl_agent.storage.record import as_parameter

if TYPE_CHECKING:
    from hitl_agent.policy import Policy  # pydantic would cost `hitl list` a tenth of a second

_SQL = "judgements"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a call, for those who look back at it.

    Attributes:
        actor: who the agent acts for.
        asked_by: the user whom a server has authenticated, if that is somebody else.
        amount: how much it moves; None if it has no amount that can be read.
        currency: an ISO 4217 code.
        counterparty: who receives.
        assessment: where the confidence comes from: `raw`, `source`, `calibrated`.
    """

    actor: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    counterparty: str | None = None
    assessment: Mapping[str, Any] | None = None
    asked_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is known, for the record; an amount as text."""
        return {
            "actor": self.actor,
            "amount": None if self.amount is None else str(self.amount),
            "asked_by": self.asked_by,
            "assessment": dict(self.assessment) if self.assessment else None,
            "counterparty": self.counterparty,
            "currency": self.currency,
        }


NOTHING_KNOWN = Known()


def keep_policy(database: Database, policy: Policy) -> None:
    """Keep the document behind a policy's digest for ever, and the reviewers that it names."""
    people = {name: list(roles) for name, roles in policy.document.reviewers.items()}
    database.run(
        _SQL,
        "keep_policy",
        digest=policy.digest,
        document=policy.text,
        reviewers=people or None,
    )


def newest(database: Database, thread_id: str, call_ids: Iterable[str]) -> dict[str, Judged]:
    """Return the newest judgement of each call that has one, and all that came of it."""
    rows = database.rows(_SQL, "newest", thread_id=thread_id, call_ids=list(call_ids))
    return {row["call_id"]: _judged(row) for row in rows}


def judge(
    database: Database,
    thread_id: str,
    step: Judge,
    verdict: Verdict,
    *,
    lease: Lease | None,
    planned: ToolCall,
    tool_version: str,
    confidence: float | None,
    known: Known = NOTHING_KNOWN,
    question: ReviewRequest | None,
    now: datetime,
) -> Judged | None:
    """Write a judgement, with the grant it gives, or the question that it puts to a person.

    Args:
        database: where to.
        thread_id: LangGraph's thread.
        step: the call and its revision.
        verdict: the judgement.
        lease: on the thread; None where somebody else drives it.
        planned: the call as the planner has it; differs from `step.call` after an edit.
        tool_version: of the tool, as the grant will be bound to.
        confidence: what the verdict was told of the planner's confidence, in [0, 1].
        known: what later judgements look back at.
        question: what a person is asked, when the call is gated.
        now: when.

    Returns:
        What was written, or None if another process has written this revision before.
    """
    call, call_digest = step.call, step.call.digest
    # most calls are judged as they were planned
    planned_digest = call_digest if planned is call else planned.digest
    bound = binding(
        call,
        thread_id=thread_id,
        tool_version=tool_version,
        policy_digest=verdict.policy_digest,
        requester=known.actor,
    )
    shown = verdict.to_json()
    grant_id = uuid.uuid4() if verdict.tier in (Tier.AUTO_APPROVE, Tier.SOFT_REVIEW) else None
    expires_at = now + timedelta(seconds=verdict.grant_ttl_seconds)
    body: dict[str, Any] = {
        "args": call.args,
        "binding": bound,
        "call_digest": call_digest,
        "confidence": confidence,
        "known": known.to_json(),
        "planned_digest": planned_digest,
        "revision": step.revision,
        "tool": call.tool,
        "tool_version": tool_version,
        "verdict": shown,
    }
    entries = [Entry(Kind.VERDICT, thread_id, call.call_id, now, body)]
    if grant_id:
        entries.append(
            grant_entry(
                thread_id,
                call.call_id,
                now,
                grant_id=grant_id,
                revision=step.revision,
                bound=bound,
                source="policy",
                expires_at=expires_at,
            )
        )
    if question:
        entries.append(_request_entry(question))
    written = database.wrote(
        _SQL,
        "judge",
        thread_id=thread_id,
        token=str(lease.token) if lease else "",
        call_id=call.call_id,
        revision=step.revision,
        tool=call.tool,
        args=dict(call.args),
        call_digest=call_digest,
        planned_digest=planned_digest,
        tier=str(verdict.tier),
        verdict=shown,
        policy_digest=verdict.policy_digest,
        now=now,
        confidence=confidence,
        assessment=dict(known.assessment) if known.assessment else None,
        actor=known.actor,
        amount=known.amount,
        currency=known.currency,
        counterparty=known.counterparty,
        asked_by=known.asked_by,
        tool_version=tool_version,
        binding=bound,
        grant_id=grant_id,
        expires_at=expires_at,
        request_id=question.request_id if question else None,
        graph=question.graph if question else None,
        args_schema=dict(question.args_schema) if question else None,
        claim=question.claim if question else None,
        task=question.task if question else None,
        due_at=question.due_at if question else None,
        entries=as_parameter(*entries),
    )
    if not written or step.errors:
        return None  # after a doubt the attempt counts too: read it all
    return Judged(
        call=call,
        revision=step.revision,
        call_digest=call_digest,
        planned_digest=planned_digest,
        verdict=verdict,
        thread_id=thread_id,
        requester=known.actor,
        tool_version=tool_version,
        binding=bound,
        request_id=question.request_id if question else None,
        request_status="open" if question else None,
        granted=bound if grant_id else None,
        expires_at=expires_at if grant_id else None,
    )


def requesters(
    database: Database, thread_id: str, call_ids: Iterable[str]
) -> list[tuple[str | None, str | None]]:
    """Return who asked for calls, actor and user, from the first judgement on."""
    rows = database.rows(_SQL, "requesters", thread_id=thread_id, call_ids=list(call_ids))
    return [(row["actor"], row["asked_by"]) for row in rows]


def tools_run(database: Database, thread_id: str) -> list[str]:
    """Return the tools of which a call was begun in a thread, by name."""
    return [row["tool"] for row in database.rows(_SQL, "tools_run", thread_id=thread_id)]


def past(
    database: Database,
    call: tuple[str, str],
    *,
    by: str,
    key: str,
    currency: str | None,
    since: datetime,
    now: datetime,
) -> tuple[int, Decimal | None]:
    """Return how many calls ran, or may still, in a span of the past, and the sum of their amounts.

    The sum is None where it cannot be told: an amount is not known, or currencies differ. By actor,
    calls without an amount are counted and add nothing.

    Args:
        database: where from.
        call: thread and call id of the call at hand, which is not counted.
        by: `tool`, `actor` or `counterparty`.
        key: which.
        currency: that of the call at hand.
        since: when the span begins.
        now: when it ends.
    """
    (row,) = database.rows(
        _SQL, "past", thread_id=call[0], call_id=call[1], by=by, key=key, since=since, now=now
    )
    mixed = row["currencies"] > 1 or (row["currencies"] and row["currency"] != currency)
    return row["count"], None if mixed or row["unreadable"] else row["sum"]


def _request_entry(question: ReviewRequest) -> Entry:
    body = {
        "call_digest": question.call_digest,
        "claim": question.claim,
        "due_at": question.due_at.isoformat() if question.due_at else None,
        "graph": question.graph,
        "request_id": question.request_id,
        "revision": question.revision,
        "task": question.task,
    }
    thread_id, call_id = question.thread_id, question.call.call_id
    return Entry(Kind.REQUEST, thread_id, call_id, question.created_at, body)


def grant_entry(
    thread_id: str,
    call_id: str,
    now: datetime,
    *,
    grant_id: uuid.UUID,
    revision: int,
    bound: str,
    source: str,
    expires_at: datetime,
) -> Entry:
    """Return the entry of a grant."""
    body = {
        "binding": bound,
        "expires_at": expires_at.isoformat(),
        "grant_id": str(grant_id),
        "revision": revision,
        "source": source,
    }
    return Entry(Kind.GRANT, thread_id, call_id, now, body)


def _judged(row: Mapping[str, Any]) -> Judged:
    return Judged(
        call=ToolCall(row["call_id"], row["tool"], row["args"]),
        revision=row["revision"],
        call_digest=row["call_digest"],
        planned_digest=row["planned_digest"],
        planned_before=frozenset(row["planned_before"]),
        verdict=Verdict.from_json(row["verdict"]),
        thread_id=row["thread_id"],
        requester=row["actor"],
        tool_version=row["tool_version"],
        binding=row["binding"],
        request_id=str(row["request_id"]) if row["request_id"] else None,
        request_status=row["request_status"],
        interrupt_id=row["interrupt_id"],
        problem=row["problem"],
        decision=row["decision"],
        decided_args=row["decided_args"],
        message=row["message"] or "",
        reviewer=row["reviewer"],
        granted=row["granted"],
        expires_at=row["expires_at"],
        consumed_at=row["consumed_at"],
        attempt=row["attempt"],
        attempt_revision=row["attempt_revision"],
        attempt_id=row["attempt_id"],
        opened_at=row["opened_at"],
        started_at=row["started_at"],
        deadline=row["deadline"],
        tries=1 if row["tries"] is None else row["tries"],
        result=row["result"],
    )
