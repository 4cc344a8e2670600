"""Leases, judgements, grants and attempts in any order, against a model of them.

Several workers drive the same calls. Each does what `course` says of the rows that it has read, but
some have read them long ago, have lost their lease meanwhile, or get no answer from the database;
others send statements that `course` never leads to. What the tables say afterwards is compared with
the model after every step, and the model itself refuses to let an effect happen twice.
"""

from __future__ import annotations

import os
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hitl_agent.calls import ToolCall
from hitl_agent.execution import (
    Again,
    Answered,
    Ask,
    Busy,
    Course,
    Doubtful,
    Finished,
    Judge,
    Judged,
    Refused,
    Review,
    Run,
)
from hitl_agent.policy import Effect, Tier
from hitl_agent.review import Approve, Edit, Reject, Respond
from hitl_agent.storage import judgements
from hitl_agent.storage.database import Database
from hitl_agent.storage.patience import Patience
from tests.support.ledger import Cell
from tests.support.workers import POLICIES, TTL, At, Chance, World

EXAMPLES = int(os.environ.get("HITL_TEST_EXAMPLES", "100"))
"""Histories that are tried, of up to 30 steps each."""

CALLS = (("x", "a"), ("x", "b"), ("y", "a"))
ANSWERS = {
    "approve": Approve(),
    "edit": Edit({"amount": 3}),
    "edit otherwise": Edit({"amount": 4}),
    "reject": Reject(),
    "respond": Respond("it is done"),
}

anybody = st.sampled_from(range(3))
workers = st.sampled_from([None, None, None, 0, 1, 2])
"""A worker; None is whoever drives the thread."""
calls = st.sampled_from([CALLS[0], CALLS[0], CALLS[0], *CALLS])
threads = st.sampled_from("xxy")
chances = st.builds(
    Chance,
    tier=st.sampled_from([Tier.HARD_GATE, Tier.HARD_GATE, *Tier]),
    several=st.sampled_from([False, False, False, True]),
    said=st.sampled_from(["succeeded", "not happened", "in_doubt"]),
    loss=st.sampled_from([None, None, None, None, "before", "after", "taken over"]),
)
losses = st.sampled_from([None, None, "before", "after"])
usual = st.lists(
    st.sampled_from(
        [
            *["work", "sent", "approval", "misuse", "time"] * 2,
            *["lost answer", "work by itself", "soft review", "two people", "cut off"],
            "policy",
        ]
    ),
    min_size=2,
    max_size=9,
)

WRONG = (
    lambda row: replace(row, call=replace(row.call, args={"amount": 8})),
    lambda row: replace(row, thread_id="another"),
    lambda row: replace(row, tool_version="3"),
    lambda row: replace(row, verdict=replace(row.verdict, policy_digest="sha256:p3")),
    lambda row: replace(row, requester="mallory"),
)
"""Ways for what would run to be something else than what was granted."""


class Machine(World, RuleBasedStateMachine):
    def __init__(self, database: Database) -> None:
        RuleBasedStateMachine.__init__(self)
        World.__init__(self, database)

    def one(self, name: str, worker: int | None) -> int:
        return self.holder(name) if worker is None else worker

    @initialize(
        tools=st.permutations(["look", "send", "send", "pay", "pay", "ask", "ask", "move", "move"]),
        events=usual,
    )
    def plan(self, tools: list[str], events: list[str]) -> None:
        for at, tool in zip(CALLS, tools, strict=False):
            self.planned[at] = ToolCall(at[1], tool, {"amount": 1})
        self.much_happens(events)

    @rule(events=usual)
    def much_happens(self, events: list[str]) -> None:  # noqa: C901, PLR0912  one case for each event
        """What happens every day to one call; nobody looks at the tables in between."""
        at = CALLS[0]
        for event in events:
            match event:
                case "work":
                    self.work(None, at, Chance(said="not happened"), 1, 0, None)
                case "sent":
                    self.work(None, at, Chance(said="not happened"), 3, 0, None)
                case "lost answer":
                    self.work(None, at, Chance(said="not happened", loss="after"), 1, 0, None)
                case "work by itself":
                    self.work(None, at, Chance(Tier.AUTO_APPROVE), 1, 0, None)
                case "soft review":
                    self.work(None, at, Chance(Tier.SOFT_REVIEW), 1, 0, None)
                    self.answer(at, "bo", "reject", None)
                case "two people":
                    self.work(None, at, Chance(several=True), 1, 0, None)
                    self.answer(at, "bo", "approve", "after")
                case "approval":
                    self.answer(at, "bo", "approve", None)
                    self.answer(at, "cy", "approve", None)
                case "cut off":
                    lease = self.lease(self.holder(at[0]), at)
                    tries = [judged for where, judged in self.tries if where == at]
                    if lease and tries:
                        self.end(at, tries[-1], lease, "in_doubt", None)
                case "misuse":
                    self.misuse(None, at)
                case "policy":
                    self.policy = POLICIES[self.policy == POLICIES[0]]
                case "time":
                    self.clock.advance(seconds=601)

    much_more_happens = rule(events=usual)(lambda self, events: self.much_happens(events))

    # the world

    @rule(seconds=st.sampled_from([1, 20, 31, 301, 301, 1200, 3000, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule(at=calls, amount=st.integers(1, 2))
    def the_graphs_state_is_changed(self, at: At, amount: int) -> None:
        self.planned[at] = replace(self.planned[at], args={"amount": amount})

    @rule(policy=st.sampled_from(POLICIES), version=st.sampled_from("12"))
    def another_release(self, policy: str, version: str) -> None:
        self.policy, self.version = policy, version

    @precondition(lambda self: any(one.rounds for one in self.model.cells.values()))
    @rule(data=st.data())
    def a_judgement_is_changed_by_hand(self, data: st.DataObject) -> None:
        at = data.draw(st.sampled_from([at for at in CALLS if self.of(at).rounds]))
        last = self.of(at).rounds[-1]
        last.judged = replace(last.judged, call=replace(last.judged.call, args={"amount": 9}))
        self.sql(
            """UPDATE hitl.judgement SET args = '{"amount": 9}'
            WHERE (thread_id, call_id, revision) = (%s, %s, %s)""",
            [self.thread(at[0]), at[1], last.judged.revision],
        )

    @precondition(lambda self: self.tries)
    @rule(data=st.data())
    def an_attempt_is_changed_by_hand(self, data: st.DataObject) -> None:
        at, _ = data.draw(st.sampled_from(self.tries))
        with pytest.raises(psycopg.Error, match="is driven by"):
            self.sql(
                "UPDATE hitl.attempt SET state = 'in_doubt', result = NULL"
                " WHERE (thread_id, call_id) = (%s, %s)",
                [self.thread(at[0]), at[1]],
            )

    # leases

    @rule(worker=anybody, name=threads)
    def another_takes_over(self, worker: int, name: str) -> None:
        if not self.model.free(self.thread(name), self.clock()):
            self.clock.advance(seconds=31)
        self.take(worker, name)
        for one in self.workers:
            if name in one.leases and one is not self.workers[worker]:
                self.leases.release(one.leases[name])  # it no longer is theirs to give back

    @rule(
        worker=anybody,
        name=threads,
        scope=st.sampled_from(["thread", "attempt"]),
        actor=st.sampled_from([None, "ana"]),
        loss=losses,
    )
    def take_if_free(
        self, worker: int, name: str, scope: str, actor: str | None, loss: str | None
    ) -> None:
        self.take(worker, name, scope, actor, loss)

    @precondition(lambda self: self.model.threads)
    @rule(worker=workers, name=threads, halted=st.booleans(), keeps=st.booleans(), loss=losses)
    def give_back(
        self, worker: int | None, name: str, halted: bool, keeps: bool, loss: str | None
    ) -> None:
        held = self.workers[self.one(name, worker)].leases
        if name not in held:
            return
        lease = held[name] if keeps else held.pop(name)
        with self.sent("leases.release", loss):
            self.leases.release(lease, halted=halted)
        row = self.model.threads[lease.thread_id]
        if row.token == lease.token:
            row.expires_at = self.clock() if halted else None

    @precondition(lambda self: self.model.threads)
    @rule(worker=anybody)
    def renew(self, worker: int) -> None:
        held = list(self.workers[worker].leases.values())
        until = self.clock() + TTL
        self.database.wrote(
            "leases",
            "renew",
            thread_ids=[one.thread_id for one in held],
            tokens=[one.token for one in held],
            expires_at=until,
        )
        for one in held:
            row = self.model.threads[one.thread_id]
            if row.token == one.token and row.expires_at is not None:
                row.expires_at = until

    # workers that do what the rows say

    @rule(worker=workers, at=calls)
    def look(self, worker: int | None, at: At) -> None:
        """Read what is to be done, and be frozen before it is."""
        self.read(self.one(at[0], worker), at)

    @precondition(lambda self: any(one.read for one in self.workers))
    @rule(data=st.data(), chance=chances)
    def act(self, data: st.DataObject, chance: Chance) -> None:
        """Do what was read to be done some time ago, under a lease that may be lost."""
        frozen = [(number, at) for number, one in enumerate(self.workers) for at in one.read]
        worker, at = data.draw(st.sampled_from(frozen))
        self.go_on(worker, at, chance)

    @rule(
        worker=workers,
        at=calls,
        chance=chances,
        goes=st.integers(1, 3),
        late=st.sampled_from([0, 0, 301, 3000]),
        policy=st.sampled_from([None, None, None, *POLICIES]),
    )
    def work(
        self, worker: int | None, at: At, chance: Chance, goes: int, late: int, policy: str | None
    ) -> None:
        """Take the thread, read, and do what comes next; more than once, people approve between."""
        self.clock.advance(seconds=late)
        self.policy = policy or self.policy
        worker = self.one(at[0], worker)
        for left in reversed(range(goes)):
            if not self.lease(worker, at):
                self.take(worker, at[0])
            self.read(worker, at)
            self.go_on(worker, at, chance)
            if left:
                for reviewer in ("bo", "cy"):
                    self.answer(at, reviewer, "approve", None)

    @precondition(lambda self: self.tries)
    @rule(
        worker=workers,
        data=st.data(),
        state=st.sampled_from(["succeeded", "failed", "in_doubt"]),
        chance=chances,
    )
    def a_call_returns(
        self, worker: int | None, data: st.DataObject, state: str, chance: Chance
    ) -> None:
        """The outcome of a try is written, perhaps by a worker that was frozen since."""
        at, judged = data.draw(st.sampled_from(self.tries[-4:]))
        if lease := self.lease(self.one(at[0], worker), at):
            self.end(at, judged, lease, state, chance.loss)

    # reviewers

    @precondition(lambda self: self.model.cells)
    @rule(
        at=calls,
        reviewer=st.sampled_from(["ana", "bo", "Bo ", "cy"]),
        answer=st.sampled_from(["approve", "approve", *ANSWERS]),
        loss=losses,
    )
    def answer(self, at: At, reviewer: str, answer: str, loss: str | None) -> None:
        """Answer the question that is open now."""
        newest = self.of(at).newest
        if newest and newest.request_status == "open":
            self.put(at)
            self.decide(*self.questions[-1], ANSWERS[answer], reviewer, loss)

    @precondition(lambda self: self.questions)
    @rule(
        data=st.data(),
        reviewer=st.sampled_from(["ana", "bo", "cy"]),
        answer=st.sampled_from(sorted(ANSWERS)),
    )
    def answer_an_old_question(self, data: st.DataObject, reviewer: str, answer: str) -> None:
        question = data.draw(st.sampled_from(self.questions[-6:]))
        self.decide(*question, ANSWERS[answer], reviewer, None)

    # statements that `course` never leads to

    @rule(worker=workers, at=calls)
    def misuse(self, worker: int | None, at: At) -> None:
        """Try everything that has to be refused now, whatever the lease."""
        lease, cell = self.lease(self.one(at[0], worker), at), self.of(at)
        if lease is None:
            return
        attempt = cell.attempt
        for one in [one for one in cell.rounds if one.grant][-3:]:
            row, revision = one.judged, one.judged.revision
            state = "reserved" if row.call.tool == "move" else "started"
            reserved = attempt and (attempt.state, attempt.revision) == ("reserved", revision)
            over = one.grant.consumed_at or one.grant.expires_at <= self.clock()
            if one is not cell.rounds[-1] or (over and not reserved):
                self.open_(at, row, lease, row.binding, state, None)
            for changed in WRONG if one is cell.rounds[-1] else ():
                self.open_(at, row, lease, changed(row).bound, state, None)
        if attempt and attempt.state in ("started", "succeeded", "failed"):
            anew = Judge(self.planned[at], len(cell.rounds) + 1)
            self.judge(at, anew, lease, self.version, self.policy, Chance(Tier.AUTO_APPROVE))
        for where, old in self.tries[-6:]:
            if where == at and (attempt.state != "started" or old.attempt_id != attempt.attempt_id):
                self.again(at, old, lease, None)
            if where == at and old.attempt_id != attempt.attempt_id:
                self.end(at, old, lease, "failed", None)

    @precondition(
        lambda self: any(one.grant for cell in self.model.cells.values() for one in cell.rounds)
    )
    @rule(
        worker=workers,
        data=st.data(),
        state=st.sampled_from(["started", "reserved"]),
        late=st.sampled_from([0, 0, 700]),
    )
    def open_out_of_turn(
        self, worker: int | None, data: st.DataObject, state: str, late: int
    ) -> None:
        """Try to use any grant there is or was."""
        granted = [(at, one.judged) for at in CALLS for one in self.of(at).rounds if one.grant]
        at, row = data.draw(st.sampled_from(granted))
        self.clock.advance(seconds=late)
        worker = self.one(at[0], worker)
        if not self.lease(worker, at):
            self.take(worker, at[0])
        if lease := self.lease(worker, at):
            if row.call.tool == "move":  # its contract says which
                state = "reserved"
            self.open_(at, row, lease, row.bound, state, None)

    # what holds after every step

    @invariant()
    def the_tables_say_what_the_model_says(self) -> None:
        self.compare()

    @invariant()
    def every_process_comes_to_the_same_about_each_call(self) -> None:
        for name in "xy":
            ids = [at[1] for at in CALLS if at[0] == name]
            rows = judgements.newest(self.database, self.thread(name), ids)
            for call_id in ids:
                at, row = (name, call_id), rows.get(call_id)
                assert plain(row) == plain(self.of(at).newest)
                contract = self.contract((row.call if row else self.planned[at]).tool)
                self.fits(self.step(at, row, contract), self.of(at))

    def fits(self, step: Course, cell: Cell) -> None:
        """What may be done next is no more than the model would let happen."""
        last, attempt = (cell.rounds[-1] if cell.rounds else None), cell.attempt
        state, now = attempt.state if attempt else None, self.clock()
        match step:
            case Run():
                assert last.judged.verdict.policy_digest == self.policy
                assert last.judged.tool_version == self.version
                assert state in (None, "in_doubt", "reserved")
                if state == "reserved" and attempt.revision == last.judged.revision:
                    assert attempt.tries < 5, "a call that ends each process comes before a person"
                else:
                    assert last.grant.consumed_at is None
                    assert last.grant.expires_at > now
            case Again() | Ask() | Doubtful():
                assert (state, attempt.deadline <= now) == ("started", True)
            case Busy():
                assert (state, attempt.deadline > now) == ("started", True)
            case Finished():
                assert state in ("succeeded", "failed")
            case Review():
                assert last.judged.request_status == "open"
            case Refused() | Answered():
                assert state != "started"
            case Judge():
                assert step.revision == len(cell.rounds) + 1
                if state == "in_doubt" and last.judged.verdict.effect is not Effect.READ:
                    assert step.errors


def plain(row: Judged | None) -> Judged | None:
    """A row without what the model does not follow."""
    return row and replace(
        row, message="", reviewer=None, interrupt_id=None, request_id=None, problem=None
    )


# a pool draws its pauses in a thread of its own, while Hypothesis draws a value
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.slow
@pytest.mark.timeout(1800)  # a failure is made short before it is shown
def test_whatever_happens_in_whatever_order_nothing_runs_twice(database_url: str) -> None:
    database = Database(database_url, patience=Patience(pause=lambda _: None))
    database.open()
    try:
        for digest in POLICIES:
            database.run("judgements", "keep_policy", digest=digest, document="", reviewers=None)
        run_state_machine_as_test(
            lambda: Machine(database),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=30,
                deadline=None,
                derandomize="HITL_TEST_EXAMPLES" not in os.environ,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        database.close()
