"""Workers, reviewers and a clock on a real database, each step held against the model of it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from hitl_agent.calls import ToolCall
from hitl_agent.errors import InvalidDecision, LeaseLost, StaleDecision, ThreadBusy
from hitl_agent.execution import (
    Again,
    Ask,
    Contract,
    Course,
    Doubtful,
    Happened,
    Judge,
    Judged,
    Review,
    Run,
    course,
)
from hitl_agent.policy import Effect, Reviewers, Tier, Verdict
from hitl_agent.review import Decision, ReviewRequest, Vote, request_id
from hitl_agent.storage import attempts, judgements, reviews
from hitl_agent.storage.database import Database
from hitl_agent.storage.leases import Lease, Leases
from tests.support.flows import Clock
from tests.support.ledger import Cell, Ledger, Told

At = tuple[str, str]
"""A call: the short name of its thread, and its id."""

TTL = timedelta(seconds=30)
FOUR_MINUTES = timedelta(minutes=4)
POLICIES = ("sha256:p1", "sha256:p2")
PROMISES = {
    "look": Contract(timeout=FOUR_MINUTES),
    "send": Contract(timeout=FOUR_MINUTES),
    "pay": Contract(timeout=FOUR_MINUTES, idempotent_for=timedelta(hours=1)),
    "ask": Contract(timeout=FOUR_MINUTES, reconcile=Happened),
    "move": Contract(timeout=FOUR_MINUTES, transactional=True),
}


@dataclass(frozen=True)
class Chance:
    """What a worker meets with.

    Attributes:
        tier: what policy says of a call that is judged.
        several: whether it wants two people.
        said: what a receiver says that is asked about a call that was cut off.
        loss: how the connection breaks, see `World.sent`; None if it does not.
    """

    tier: Tier = Tier.HARD_GATE
    several: bool = False
    said: str = "in_doubt"
    loss: str | None = None


@dataclass
class Worker:
    """A process: the leases that it believes to have, and what it has read but not yet done."""

    leases: dict[str, Lease] = field(default_factory=dict)
    read: dict[At, tuple[Course, Contract, str]] = field(default_factory=dict)


class ByHand(Leases):
    """Leases that are renewed when a test says so."""

    def _keep(self, lease: Lease) -> None:
        pass


class World:
    """Three workers on two threads.

    Args:
        database: where they meet.
    """

    numbers = itertools.count()

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Clock()
        self.clock.now = datetime(2100, 1, 1, tzinfo=UTC)
        self.leases = ByHand(database, self.clock, TTL)
        self.workers = [Worker() for _ in range(3)]
        self.model = Ledger()
        self.policy, self.version = POLICIES[0], "1"
        self.planned: dict[At, ToolCall] = {}
        self.tries: list[tuple[At, Judged]] = []
        self.questions: list[tuple[ReviewRequest, Judged]] = []
        self.number = next(self.numbers)

    def thread(self, name: str) -> str:
        return f"{name}{self.number}"

    def of(self, at: At) -> Cell:
        return self.model.cell(self.thread(at[0]), at[1])

    def contract(self, tool: str) -> Contract:
        return replace(PROMISES[tool], version=self.version)

    def lease(self, worker: int, at: At) -> Lease | None:
        return self.workers[worker].leases.get(at[0])

    def holder(self, name: str) -> int:
        """The worker that drives a thread; the first if none does."""
        row = self.model.threads.get(self.thread(name))
        for number, one in enumerate(self.workers):
            if row and name in one.leases and one.leases[name].token == row.token:
                return number
        return 0

    def sql(self, statement: str, values: list[Any]) -> None:
        with self.database.pool.connection() as connection:
            connection.execute(statement, values)

    @contextmanager
    def sent(
        self, statement: str, loss: str | None, told: Told = "done", name: str | None = None
    ) -> Iterator[None]:
        """Send a statement over a connection that may break once, so that it is sent again.

        Args:
            statement: which.
            loss: `before` it is done; `after` it, so that only its answer is lost; `taken over` is
                that, and another worker takes the thread before it is sent again.
            told: what the model says of it; who has lost the thread is refused.
            name: the thread; None if nobody takes it over.
        """

        def reached(point: str) -> None:
            if point == f"{'before' if loss == 'before' else 'after'} {statement}":
                self.database.reached = lambda _: None
                if loss == "taken over" and name:
                    self.clock.advance(seconds=31)
                    self.take(2, name)
                raise psycopg.OperationalError("the connection is gone")

        self.database.reached = reached if loss else lambda _: None
        try:
            if told == "lost":
                with pytest.raises(LeaseLost):
                    yield
            else:
                yield
        finally:
            self.database.reached = lambda _: None

    def take(
        self,
        worker: int,
        name: str,
        scope: Any = "thread",
        actor: str | None = None,
        loss: str | None = None,
    ) -> None:
        thread_id, now = self.thread(name), self.clock()
        free = self.model.free(thread_id, now)
        row = self.model.take(thread_id, scope, actor, now + TTL) if free else None
        with self.sent("leases.take", loss):
            if row is None:
                with pytest.raises(ThreadBusy):
                    self.leases.take(thread_id, scope=scope, actor=actor)
                return
            lease = self.leases.take(thread_id, scope=scope, actor=actor)
        assert lease.requester == row.requester
        row.token = lease.token
        self.workers[worker].leases[name] = lease

    def read(self, worker: int, at: At) -> None:
        """Let a worker look what is to be done."""
        row = judgements.newest(self.database, self.thread(at[0]), [at[1]]).get(at[1])
        contract = self.contract((row.call if row else self.planned[at]).tool)
        self.workers[worker].read[at] = self.step(at, row, contract), contract, self.policy

    def step(self, at: At, row: Judged | None, contract: Contract) -> Course:
        return course(
            self.planned[at], row, policy_digest=self.policy, now=self.clock(), contract=contract
        )

    def go_on(self, worker: int, at: At, chance: Chance) -> None:
        """Let a worker do what it has read, under the policy and the tools that it knew then."""
        step, contract, policy = self.workers[worker].read.pop(at)
        lease = self.lease(worker, at)
        if isinstance(step, Judge):
            self.judge(at, step, lease, contract.version, policy, chance)
        elif isinstance(step, Review):
            self.put(at)
        elif lease is None:
            return
        elif isinstance(step, Run):
            wanted = replace(
                step.judged,
                tool_version=contract.version,
                verdict=replace(step.judged.verdict, policy_digest=policy),
            )
            state = "reserved" if contract.transactional else "started"
            self.open_(at, step.judged, lease, wanted.bound, state, chance.loss)
        elif isinstance(step, Again) or (isinstance(step, Ask) and chance.said == "not happened"):
            self.again(at, step.judged, lease, chance.loss, voided=isinstance(step, Ask))
        elif isinstance(step, Ask | Doubtful):
            state = chance.said if isinstance(step, Ask) else "in_doubt"
            self.end(at, step.judged, lease, state, chance.loss)

    def judge(
        self, at: At, step: Judge, lease: Lease | None, version: str, policy: str, chance: Chance
    ) -> None:
        call, now, thread_id = step.call, self.clock(), self.thread(at[0])
        tier = Tier.HARD_GATE if step.errors else chance.tier
        verdict = Verdict(
            tier=tier,
            effect=Effect.READ if call.tool == "look" else Effect.WRITE,
            rules=(),
            errors=step.errors,
            reviewers=Reviewers(2 if chance.several else 1),
            sla_seconds=None,
            grant_ttl_seconds=600,
            allowed_decisions=(),
            policy_digest=policy,
        )
        judged = Judged(
            call=call,
            revision=step.revision,
            call_digest=call.digest,
            planned_digest=self.planned[at].digest,
            verdict=verdict,
            thread_id=thread_id,
            requester=lease.requester if lease else None,
            tool_version=version,
        )
        judged = replace(judged, binding=judged.bound)
        question = ReviewRequest(
            request_id=request_id(thread_id, at[1], step.revision, call.digest),
            thread_id=thread_id,
            graph="desk",
            interrupt_id=None,
            call=call,
            revision=step.revision,
            call_digest=call.digest,
            verdict=verdict,
            claim="",
            task="",
            args_schema={},
            problem=None,
            created_at=now,
            due_at=None,
        )
        told = self.model.judge(judged, lease.token if lease else None, now)
        with self.sent("judgements.judge", chance.loss, told, at[0]):
            written = judgements.judge(
                self.database,
                thread_id,
                step,
                verdict,
                lease=lease,
                planned=self.planned[at],
                tool_version=version,
                confidence=None,
                known=judgements.Known(actor=judged.requester),
                question=question if tier in (Tier.HARD_GATE, Tier.SOFT_REVIEW) else None,
                now=now,
            )
            assert written is None or told == "done"

    def put(self, at: At) -> None:
        """Put the question about a call, if one is open."""
        thread_id, last = self.thread(at[0]), self.of(at).rounds[-1].judged
        found = reviews.put(self.database, thread_id, at[1], f"i{len(self.questions)}")
        if last.verdict.tier is Tier.SOFT_REVIEW:
            assert found is None
            waits = reviews.waiting(self.database, thread_id=thread_id, call_id=at[1])
            found = waits[0] if waits else None
        assert (found is not None) == (last.request_status == "open")
        if found:
            assert (found.revision, found.binding) == (last.revision, last.binding)
            self.questions.append((found, last))

    def decide(
        self,
        request: ReviewRequest,
        judged: Judged,
        decision: Decision,
        reviewer: str,
        loss: str | None,
    ) -> None:
        now = self.clock()
        vote = Vote(reviewer, decision.type, decision.message, "cli", (), now)
        rounds = self.model.cell(judged.thread_id, judged.call.call_id).rounds
        asked = {one.judged.requester for one in rounds if one.judged.requester}
        told = self.model.answer(judged, decision, vote, asked)
        with self.sent("reviews.vote", loss):
            try:
                reviews.decide(
                    self.database, request, decision, reviewer=reviewer, channel="cli", now=now
                )
            except (StaleDecision, InvalidDecision):
                assert told == "refused"
            else:
                assert told == "done"

    def open_(
        self, at: At, judged: Judged, lease: Lease, bound: str, state: Any, loss: str | None
    ) -> None:
        now = self.clock()
        times = {"now": now, "deadline": self.contract(judged.call.tool).deadline(now)}
        told = self.model.open_(judged, lease.token, state=state, bound=bound, **times)
        with self.sent("attempts.open", loss, told, at[0]):
            opened = attempts.open_(self.database, lease, judged, state, bound=bound, **times)
            self._handed_out(at, opened, told)

    def again(
        self, at: At, judged: Judged, lease: Lease, loss: str | None, *, voided: bool = False
    ) -> None:
        now, contract = self.clock(), self.contract(judged.call.tool)
        told = self.model.again(judged, lease.token, contract=contract, now=now, voided=voided)
        with self.sent("attempts.again", loss, told, at[0]):
            deadline = contract.deadline(now)
            opened = attempts.again(self.database, lease, judged, now=now, deadline=deadline)
            self._handed_out(at, opened, told)

    def _handed_out(self, at: At, opened: Judged | None, told: Told) -> None:
        """Take what was handed out: who may send now knows its try by the id."""
        assert (opened is not None) == (told == "done")
        if opened:
            attempt = self.of(at).attempt
            attempt.attempt_id = opened.attempt_id
            assert opened.started_at == attempt.started_at
            assert opened.deadline == attempt.deadline
            self.tries.append((at, opened))

    def end(self, at: At, judged: Judged, lease: Lease, state: Any, loss: str | None) -> None:
        result, now = {"status": "success", "content": "done"}, self.clock()
        told = self.model.end(judged, lease.token, state, result, now)
        with self.sent("attempts.end", loss, told, at[0]):
            ended = attempts.end(self.database, lease, judged, state, result, now=now)
            assert ended == (told == "done")

    def compare(self) -> None:
        """Hold the tables against the model."""
        with self.database.connection() as connection:
            found = connection.execute(STATE, {"number": str(self.number)}).fetchone()
        assert {row[0]: row[1:] for row in found["threads"]} == {
            name: [one.token, one.scope, _seconds(one.expires_at), one.requester]
            for name, one in self.model.threads.items()
        }
        rows = {name: defaultdict(list) for name in ("record", "grants", "rounds")}
        for name, by_call in rows.items():
            for thread_id, call_id, *values in found[name]:
                by_call[thread_id, call_id].append(values)
        for key, cell in self.model.cells.items():
            entries = [kind for (kind,) in rows["record"][key]]
            assert entries == cell.kinds, "one entry for each change, and none for what was not"
            assert rows["grants"][key] == [
                [
                    one.judged.revision,
                    one.grant.binding,
                    one.grant.source,
                    _seconds(one.grant.expires_at),
                    _seconds(one.grant.consumed_at),
                ]
                for one in cell.rounds
                if one.grant
            ]
            asked = [[one.judged.request_status] for one in cell.rounds]
            assert rows["rounds"][key] == asked
        assert found["unfounded"] == 0, "an attempt whose grant is not used, or not its own"


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


STATE = """
SELECT
    (
        SELECT coalesce(json_agg(json_build_array(
            thread_id, token, scope, extract(epoch FROM expires_at), requester
        )), '[]') FROM hitl.thread WHERE thread_id IN ('x' || %(number)s, 'y' || %(number)s)
    ) AS threads,
    (
        SELECT coalesce(json_agg(
            json_build_array(thread_id, call_id, kind) ORDER BY entry_id
        ), '[]')
        FROM hitl.record WHERE thread_id IN ('x' || %(number)s, 'y' || %(number)s)
    ) AS record,
    (
        SELECT coalesce(json_agg(json_build_array(
            thread_id, call_id, revision, binding, source,
            extract(epoch FROM expires_at), extract(epoch FROM consumed_at)
        ) ORDER BY revision), '[]')
        FROM hitl."grant" WHERE thread_id IN ('x' || %(number)s, 'y' || %(number)s)
    ) AS grants,
    (
        SELECT coalesce(json_agg(
            json_build_array(thread_id, call_id, status) ORDER BY revision
        ), '[]')
        FROM hitl.judgement LEFT JOIN hitl.review_request USING (thread_id, call_id, revision)
        WHERE thread_id IN ('x' || %(number)s, 'y' || %(number)s)
    ) AS rounds,
    (
        SELECT count(*) FROM hitl.attempt AS a JOIN hitl."grant" AS g USING (grant_id)
        WHERE g.consumed_at IS NULL
            OR (a.thread_id, a.call_id, a.revision) <> (g.thread_id, g.call_id, g.revision)
    ) AS unfounded
"""
