"""Questions to reviewers, their votes and decisions, as rows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hitl_agent.audit import Entry, Kind
from hitl_agent.calls import ToolCall
from hitl_agent.errors import StaleDecision
from hitl_agent.policy import Tier, Verdict
from hitl_agent.policy.people import person
from hitl_agent.review import Decision, Edit, Outcome, ReviewRequest, Vote, admitted, quorum
from hitl_agent.review.redaction import Mask
from hitl_agent.review.rendering import command
from hitl_agent.storage.database import Database
from hitl_agent.storage.judgements import grant_entry
from hitl_agent.storage.leases import Lease
from hitl_agent.storage.record import as_parameter

_SQL = "reviews"


def put(
    database: Database,
    thread_id: str,
    call_id: str,
    interrupt_id: str | None,
    *,
    lease: Lease | None = None,
) -> ReviewRequest | None:
    """Put the open question about a call under an interrupt; None if there is none. Idempotent.

    Under a lease that was lost nothing changes.

    Args:
        database: where it is.
        thread_id: LangGraph's thread.
        call_id: whose question.
        interrupt_id: LangGraph's; None leaves the question under the one it has.
        lease: on the thread; None where somebody else drives it.
    """
    rows = database.rows(
        _SQL,
        "put",
        thread_id=thread_id,
        call_id=call_id,
        interrupt_id=interrupt_id,
        token=str(lease.token) if lease else "",
    )
    return _request(rows[0]) if rows else None


def put_under(database: Database, request: ReviewRequest) -> set[str]:
    """Return the ids of all questions that were put under the interrupt of this one."""
    thread_id, interrupt_id = request.thread_id, request.interrupt_id
    rows = database.rows(_SQL, "put_under", thread_id=thread_id, interrupt_id=interrupt_id)
    return {str(row["request_id"]) for row in rows}


def interrupts_of(database: Database, thread_id: str, call_id: str) -> set[str]:
    """Return the ids of the interrupts under which the questions about a call were put."""
    rows = database.rows(_SQL, "interrupts_of", thread_id=thread_id, call_id=call_id)
    return {row["interrupt_id"] for row in rows}


def decide(
    database: Database,
    request: ReviewRequest,
    decision: Decision,
    *,
    reviewer: str | None,
    channel: str,
    now: datetime,
    lease: Lease | None = None,
) -> Outcome:
    """Record a vote and, where it decides, the decision, with the grant that an approval gives.

    Delivered again, the same answer of the same person changes nothing and is no error: it may
    have been recorded when the connection that carried it broke.

    Args:
        database: where to.
        request: the question, as the reviewer saw it.
        decision: the answer; checked before.
        reviewer: who; None when nobody says.
        channel: the way it came: `cli`, `runtime`, `resume`.
        now: when.
        lease: under which the graph goes on with it at once, where it came with a resume.

    Returns:
        What the votes come to with this one.

    Raises:
        InvalidDecision: the answer of this person does not count; nothing is stored.
        StaleDecision: the question is no longer open.
    """
    while True:
        standing = _Standing.of(database, request)
        if standing.has(reviewer, decision):
            return standing.outcome()
        if standing.status != "open":
            raise stale(database, request.request_id, request.call.call_id, request.thread_id)
        name, roles = admitted(
            reviewer,
            decision.type,
            standing.verdict.reviewers,
            requesters=standing.requesters,
            people=standing.people,
        )
        vote = Vote(name, decision.type, decision.message, channel, roles, now)
        outcome = standing.outcome(vote)
        if _voted(database, request, decision, vote, standing, outcome, lease):
            return outcome
        # others have voted meanwhile, or this vote was recorded and the answer lost: look again


@dataclass(frozen=True, slots=True)
class _Standing:
    """A question at one moment.

    Attributes:
        status: `open`, `decided` or `withdrawn`.
        seen: how often was voted.
        votes: the votes, one of each person.
        verdict: why the call was stopped.
        decision: the type of the decision; None before there is one.
        decided_args: the arguments of an edit.
        requesters: who asked for the call.
        people: the reviewers that the policy names, with their roles; None where it names none.
    """

    status: str
    seen: int
    votes: tuple[Vote, ...]
    verdict: Verdict
    decision: str | None
    decided_args: Mapping[str, Any] | None
    requesters: tuple[str, ...]
    people: Mapping[str, Sequence[str]] | None

    @classmethod
    def of(cls, database: Database, request: ReviewRequest) -> _Standing:
        """Read how a question stands.

        Raises:
            StaleDecision: there is no such question.
        """
        rows = database.rows(_SQL, "standing", request_id=request.request_id)
        if not rows:
            raise stale(database, request.request_id, request.call.call_id, request.thread_id)
        row = rows[0]
        return cls(
            status=row["status"],
            seen=row["seen"],
            votes=_votes(row["votes"]),
            verdict=Verdict.from_json(row["verdict"]),
            decision=row["decision"],
            decided_args=row["decided_args"],
            requesters=tuple(row["requesters"]),
            people=row["people"],
        )

    def outcome(self, vote: Vote | None = None) -> Outcome:
        """Return what the votes come to, with another one in place of that person's own."""
        others = [one for one in self.votes if vote is None or one.person != vote.person]
        cast = [*others, vote] if vote else others
        return quorum(self.verdict.reviewers, cast, requesters=self.requesters)

    def has(self, reviewer: str | None, decision: Decision) -> bool:
        """Whether this very answer of this person is recorded, and nobody decided otherwise."""
        return (
            self.status != "withdrawn"
            and self.decision in (None, decision.type)
            and any(
                (one.person, one.type, one.message)
                == (person(reviewer or ""), decision.type, decision.message)
                for one in self.votes
            )
            and (not isinstance(decision, Edit) or self.decided_args == decision.args)
        )


def _voted(
    database: Database,
    request: ReviewRequest,
    decision: Decision,
    vote: Vote,
    standing: _Standing,
    outcome: Outcome,
    lease: Lease | None,
) -> bool:
    """Write a vote and all that it brings about; False if the question is not as it stood."""
    call, now, verdict = request.call, vote.voted_at, standing.verdict
    decides = outcome.decision is not None
    agreed = outcome.of(vote.type)
    granted = outcome.decision == "approve" and verdict.tier is Tier.HARD_GATE
    grant_id = uuid.uuid4() if granted else None
    expires_at = now + timedelta(seconds=verdict.grant_ttl_seconds)
    args = dict(decision.args) if isinstance(decision, Edit) else None
    body: dict[str, Any] = {
        "args": args,
        "call_digest": request.call_digest,
        "channel": vote.channel,
        "message": vote.message,
        "request_id": request.request_id,
        "reviewer": vote.reviewer,
        "revision": request.revision,
        "roles": list(vote.roles),
        "type": vote.type,
    }
    kind = Kind.VOTE
    if decides:
        kind = Kind.DECISION
        body["votes"] = [{"reviewer": one.reviewer, "type": one.type} for one in outcome.votes]
    entries = [Entry(kind, request.thread_id, call.call_id, now, body)]
    if grant_id:
        entries.append(
            grant_entry(
                request.thread_id,
                call.call_id,
                now,
                grant_id=grant_id,
                revision=request.revision,
                bound=request.binding,
                source="reviewers",
                expires_at=expires_at,
            )
        )
    return database.wrote(
        _SQL,
        "vote",
        request_id=request.request_id,
        seen=standing.seen,
        decides=decides,
        person=vote.person,
        reviewer=vote.reviewer,
        type=vote.type,
        message=vote.message,
        channel=vote.channel,
        roles=list(vote.roles),
        args=args,
        said="; ".join(one.message for one in agreed if one.message),
        reviewers=", ".join(one.reviewer for one in agreed if one.reviewer) or None,
        now=now,
        grant_id=grant_id,
        expires_at=expires_at,
        token=str(lease.token) if lease else "",
        entries=as_parameter(*entries),
    )


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


def withdraw(
    database: Database,
    thread_id: str,
    call_ids: Sequence[str],
    now: datetime,
    *,
    lease: Lease | None,
) -> None:
    """End the open questions about calls that the planner has left behind.

    Under a lease that was lost nothing changes.
    """
    body = {"reason": "the planner went on without the call"}
    entries = [Entry(Kind.WITHDRAWN, thread_id, one, now, body) for one in call_ids]
    database.wrote(
        _SQL,
        "withdraw",
        thread_id=thread_id,
        call_ids=list(call_ids),
        token=str(lease.token) if lease else "",
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
        binding=row["binding"],
        verdict=mask.verdict(verdict),
        claim=mask.text(row["claim"]),
        task=mask.text(row["task"]),
        args_schema=row["args_schema"],
        problem=mask.text(row["problem"]) if row["problem"] else None,
        created_at=row["created_at"],
        due_at=row["due_at"],
        votes=tuple(replace(one, message=mask.text(one.message)) for one in _votes(row["votes"])),
    )


def _votes(rows: Sequence[Mapping[str, Any]]) -> tuple[Vote, ...]:
    return tuple(
        Vote(
            reviewer=row["reviewer"],
            type=row["type"],
            message=row["message"],
            channel=row["channel"],
            roles=tuple(row["roles"]),
            voted_at=datetime.fromisoformat(row["voted_at"]),
        )
        for row in rows
    )
