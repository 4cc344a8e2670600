"""What leases, judgements, grants and attempts ought to be: the rules once more, as plain Python.

Each change is predicted here before the database is asked for it. Nothing here calls the code that
is tested, but for the digests that name a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from hitl_agent.execution import Contract, Judged
from hitl_agent.policy import Effect, Tier
from hitl_agent.review import Decision, Edit, Vote, quorum

Told = Literal["done", "refused", "lost"]
"""What becomes of a change: it is made; nothing fits it; the writer has lost the thread."""


@dataclass
class Thread:
    token: int
    scope: str
    expires_at: datetime | None
    requester: str | None


@dataclass
class Grant:
    binding: str
    source: str
    granted_at: datetime
    expires_at: datetime
    consumed_at: datetime | None = None


@dataclass
class Round:
    """One judgement and what came of it."""

    judged: Judged
    grant: Grant | None
    votes: dict[str, Vote] = field(default_factory=dict)


@dataclass
class Attempt:
    revision: int
    state: str
    attempt_id: UUID | None
    opened_at: datetime
    started_at: datetime
    deadline: datetime
    tries: int = 1
    result: Mapping[str, Any] | None = None
    ended_at: datetime | None = None


@dataclass
class Cell:
    """All that is known of one call."""

    rounds: list[Round] = field(default_factory=list)
    attempt: Attempt | None = None
    kinds: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    """Digests of what was sent, or done in a transaction, in order."""

    @property
    def newest(self) -> Judged | None:
        """What the newest judgement should read like."""
        if not self.rounds:
            return None
        last = self.rounds[-1]
        row = last.judged
        if grant := last.grant:
            row = replace(
                row,
                granted=grant.binding,
                expires_at=grant.expires_at,
                consumed_at=grant.consumed_at,
            )
        if self.attempt:
            row = replace(
                row,
                attempt=self.attempt.state,
                attempt_revision=self.attempt.revision,
                attempt_id=self.attempt.attempt_id,
                opened_at=self.attempt.opened_at,
                started_at=self.attempt.started_at,
                deadline=self.attempt.deadline,
                tries=self.attempt.tries,
                result=self.attempt.result,
            )
        return row


@dataclass
class Ledger:
    """The tables, and the rules of changing them."""

    threads: dict[str, Thread] = field(default_factory=dict)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)

    def cell(self, thread_id: str, call_id: str) -> Cell:
        return self.cells.setdefault((thread_id, call_id), Cell())

    def fits(self, thread_id: str, token: int | None) -> bool:
        """Whether a write under a token, or under none, gets past the fence.

        The clock of these tests is far ahead of the server's, which thus takes every lease that was
        not given back for one that is held.
        """
        row = self.threads.get(thread_id)
        if token is None:
            return row is None or row.scope == "attempt" or row.expires_at is None
        return row is not None and row.token == token

    def free(self, thread_id: str, now: datetime) -> bool:
        row = self.threads.get(thread_id)
        return row is None or row.expires_at is None or row.expires_at <= now

    def take(self, thread_id: str, scope: str, actor: str | None, until: datetime) -> Thread:
        """A lease that is taken; its token is known afterwards."""
        before = self.threads.get(thread_id)
        requester = actor or (before.requester if before else None)
        self.threads[thread_id] = Thread(0, scope, until, requester)
        return self.threads[thread_id]

    def judge(self, judged: Judged, token: int | None, now: datetime) -> Told:
        cell = self.cell(judged.thread_id, judged.call.call_id)
        if judged.revision <= len(cell.rounds):
            return "refused"
        if cell.attempt and cell.attempt.state in ("started", "succeeded", "failed"):
            return "refused"
        if not self.fits(judged.thread_id, token):
            return "lost"
        for one in cell.rounds:
            if one.judged.request_status == "open":
                one.judged = replace(one.judged, request_status="withdrawn")
        tier, grant = judged.verdict.tier, None
        if tier in (Tier.AUTO_APPROVE, Tier.SOFT_REVIEW):
            until = now + timedelta(seconds=judged.verdict.grant_ttl_seconds)
            grant = Grant(judged.binding, "policy", now, until)
        asked = tier in (Tier.HARD_GATE, Tier.SOFT_REVIEW)
        cell.rounds.append(Round(replace(judged, request_status="open" if asked else None), grant))
        cell.kinds += ["verdict", *["grant"] * (grant is not None), *["request"] * asked]
        return "done"

    def answer(self, judged: Judged, decision: Decision, vote: Vote, asked: set[str]) -> Told:
        """One vote on the question about one revision.

        Args:
            judged: says which question.
            decision: the answer.
            vote: who gives it, when.
            asked: who asked for the call, in any revision.
        """
        cell = self.cell(judged.thread_id, judged.call.call_id)
        on = cell.rounds[judged.revision - 1]
        row, said = on.judged, on.votes.get(vote.person)
        same = said is not None and (said.type, said.message) == (vote.type, vote.message)
        if same and isinstance(decision, Edit):
            same = row.decided_args == decision.args
        if same and row.request_status != "withdrawn" and row.decision in (None, vote.type):
            return "done"  # delivered twice
        if row.request_status != "open" or vote.person in asked:
            return "refused"
        on.votes[vote.person] = vote
        outcome = quorum(row.verdict.reviewers, on.votes.values(), requesters=asked).decision
        cell.kinds.append("decision" if outcome else "vote")
        if outcome is None:
            return "done"
        args = dict(decision.args) if isinstance(decision, Edit) else None
        on.judged = replace(row, request_status="decided", decision=outcome, decided_args=args)
        if outcome == "approve" and row.verdict.tier is Tier.HARD_GATE:
            until = vote.voted_at + timedelta(seconds=row.verdict.grant_ttl_seconds)
            on.grant = Grant(row.binding, "reviewers", vote.voted_at, until)
            cell.kinds.append("grant")
        elif outcome == "reject" and on.grant and on.grant.consumed_at is None:
            on.grant.expires_at = min(on.grant.expires_at, on.grant.granted_at)
        return "done"

    def open_(
        self,
        judged: Judged,
        token: int,
        *,
        state: str,
        bound: str,
        now: datetime,
        deadline: datetime,
    ) -> Told:
        cell = self.cell(judged.thread_id, judged.call.call_id)
        on = cell.rounds[judged.revision - 1]
        grant, attempt = on.grant, cell.attempt
        if grant is None or grant.binding != bound or judged.revision < len(cell.rounds):
            return "refused"
        goes_on = attempt is not None and (attempt.state, attempt.revision) == (
            "reserved",
            judged.revision,
        )
        begins = (
            grant.consumed_at is None
            and grant.expires_at > now
            and (attempt is None or attempt.state in ("in_doubt", "reserved"))
        )
        if not goes_on and not begins:
            return "refused"
        if attempt and attempt.state == "in_doubt" and attempt.revision >= judged.revision:
            return "refused"
        if not self.fits(judged.thread_id, token):
            return "lost"
        if state == "started":
            self._effect(cell, judged)
        grant.consumed_at = grant.consumed_at or now
        opened_at = attempt.opened_at if attempt else now
        tries = attempt.tries + 1 if attempt and goes_on else 1
        cell.attempt = Attempt(judged.revision, state, None, opened_at, now, deadline, tries)
        cell.kinds.append(state)
        return "done"

    def again(
        self,
        judged: Judged,
        token: int,
        *,
        contract: Contract,
        now: datetime,
        voided: bool,
    ) -> Told:
        """The next try of a started call.

        Args:
            judged: the attempt, as who tries again knows it.
            token: the writer's.
            contract: of the tool.
            now: when.
            voided: the receiver says that what was sent had no effect and will have none.
        """
        cell = self.cell(judged.thread_id, judged.call.call_id)
        attempt = cell.attempt
        if (
            attempt is None
            or attempt.state != "started"
            or attempt.attempt_id != judged.attempt_id
            or attempt.revision != judged.attempt_revision
        ):
            return "refused"
        if not self.fits(judged.thread_id, token):
            return "lost"
        longest = (contract.timeout or timedelta()) * 5 / 4
        known = contract.idempotent_for and now + longest < (
            attempt.opened_at + contract.idempotent_for
        )
        assert attempt.deadline <= now, "nobody else touches it before"
        assert known or voided, "sent twice, and the receiver cannot know it for the same"
        assert attempt.tries < 5
        assert cell.effects[-1] == judged.call.digest, "sent again under its key, but not the same"
        attempt.tries += 1
        attempt.started_at, attempt.deadline = now, now + longest
        cell.kinds.append("started")
        return "done"

    def end(
        self,
        judged: Judged,
        token: int,
        state: str,
        result: Mapping[str, Any] | None,
        now: datetime,
    ) -> Told:
        cell = self.cell(judged.thread_id, judged.call.call_id)
        attempt = cell.attempt
        if attempt is None or attempt.attempt_id != judged.attempt_id:
            return "refused"
        if (attempt.state, attempt.ended_at) == (state, now):
            return "done"  # delivered twice
        if attempt.state not in ("reserved", "started"):
            return "refused"
        if not self.fits(judged.thread_id, token):
            return "lost"
        if attempt.state == "reserved" and state == "succeeded":
            self._effect(cell, judged)
        attempt.state, attempt.ended_at = state, now
        attempt.result = None if state == "in_doubt" else result
        cell.kinds.append(state)
        return "done"

    def _effect(self, cell: Cell, judged: Judged) -> None:
        """What cannot be taken back happens: the first time, or because a person said so."""
        on = cell.rounds[judged.revision - 1]
        assert judged.call.digest == on.judged.call_digest, "this is not what was judged"
        if cell.effects and on.judged.verdict.effect is not Effect.READ:
            assert on.grant is not None
            assert on.grant.source == "reviewers", "a second time, and nobody said so"
        cell.effects.append(on.judged.call_digest)
