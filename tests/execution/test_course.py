from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from hitl_agent.calls import ToolCall
from hitl_agent.errors import InvalidCall
from hitl_agent.execution import (
    Answered,
    Busy,
    Doubtful,
    Finished,
    Judge,
    Judged,
    Refused,
    Review,
    Run,
    course,
)
from hitl_agent.execution.course import AttemptState, Course
from hitl_agent.policy import Effect, Reviewers, Tier, Verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER, BEFORE = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
CALL = ToolCall("c", "refund", {"amount": 70})
OTHER = ToolCall("c", "refund", {"amount": 90})
POLICY = "sha256:policy"
TAMPERED = "the stored call was changed by hand"


def verdict(**changed) -> Verdict:
    values = {
        "tier": Tier.HARD_GATE,
        "effect": Effect.WRITE,
        "rules": (),
        "errors": (),
        "reviewers": Reviewers(1),
        "sla_seconds": None,
        "grant_ttl_seconds": 600,
        "allowed_decisions": (),
        "policy_digest": POLICY,
    }
    return Verdict(**(values | changed))


def judged(call: ToolCall = CALL, **changed) -> Judged:
    values = {
        "call": call,
        "revision": 3,
        "call_digest": call.digest,
        "planned_digest": CALL.digest,
        "verdict": verdict(),
    }
    row = Judged(**(values | changed))
    return replace(row, binding=bound(row)) if "binding" not in changed else row


def bound(row: Judged) -> str:
    """What the row was bound to when it was judged; some tests change it by hand afterwards."""
    try:
        return row.bound
    except InvalidCall:
        return "none"


def after(row: Judged | None, planned: ToolCall = CALL, now: datetime = NOW) -> Course:
    return course(planned, row, policy_digest=POLICY, now=now)


GRANTED = {"decision": "approve", "expires_at": LATER}
DOUBTED = {"attempt": "in_doubt", "started_at": BEFORE, "consumed_at": BEFORE}
READS = {"verdict": verdict(effect=Effect.READ, tier=Tier.AUTO_APPROVE)}
BLOCKED = {"verdict": verdict(tier=Tier.BLOCK)}
STALE = {"verdict": verdict(policy_digest="sha256:older")}


def test_a_call_never_judged_is_judged():
    assert after(None) == Judge(CALL, 1)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        # a finished attempt stands
        ({"attempt": "succeeded"}, Finished),
        ({"attempt": "failed"}, Finished),
        ({"attempt": "succeeded"} | STALE, Finished),
        ({"attempt": "succeeded", "decision": "reject"}, Finished),
        ({"attempt": "succeeded", "call_digest": "sha256:other"}, Finished),
        # a started one is busy until its deadline, then doubtful
        ({"attempt": "started", "deadline": LATER} | GRANTED, Busy),
        ({"attempt": "started", "deadline": None} | GRANTED, Busy),
        ({"attempt": "started", "deadline": NOW} | GRANTED, Doubtful),
        ({"attempt": "started", "deadline": BEFORE} | GRANTED, Doubtful),
        ({"attempt": "started", "deadline": LATER} | BLOCKED, Busy),
        # the last word
        (BLOCKED, Refused),
        (BLOCKED | GRANTED, Refused),
        ({"decision": "reject"}, Refused),
        ({"decision": "reject", "expires_at": LATER}, Refused),
        ({"decision": "reject"} | STALE, Refused),
        ({"decision": "respond"}, Answered),
        ({"decision": "respond", "expires_at": LATER}, Answered),
        ({"decision": "respond"} | STALE, Answered),
        # open, granted
        ({}, Review),
        (GRANTED, Run),
        ({"expires_at": LATER, "verdict": verdict(tier=Tier.AUTO_APPROVE)}, Run),
        # approved again after a doubt
        (GRANTED | DOUBTED | {"attempt_revision": 2, "consumed_at": None}, Run),
        (DOUBTED | {"attempt_revision": 2, "consumed_at": None}, Review),
        (DOUBTED | {"attempt_revision": 2, "decision": "respond"}, Answered),
        (DOUBTED | {"attempt_revision": 2, "decision": "reject"}, Refused),
    ],
)
def test_what_happens_next_is(changed, wanted):
    row = judged(**changed)
    assert after(row) == (wanted(row, *_why(row)) if wanted is Refused else wanted(row))


def _why(row: Judged) -> tuple[str]:
    return ("blocked",) if row.verdict.tier is Tier.BLOCK else ("rejected",)


@pytest.mark.parametrize(
    ("changed", "errors"),
    [
        (STALE, 0),
        (STALE | GRANTED, 0),
        (GRANTED | {"expires_at": NOW}, 0),
        (GRANTED | {"expires_at": BEFORE}, 0),
        (GRANTED | {"consumed_at": BEFORE}, 0),
        ({"decision": "approve", "expires_at": None}, 0),
        (GRANTED | DOUBTED | {"attempt_revision": 3}, 1),
        (GRANTED | DOUBTED | {"attempt_revision": 3} | STALE, 1),
        (GRANTED | DOUBTED | {"attempt_revision": 2} | STALE, 1),
        (DOUBTED | {"attempt_revision": 3, "started_at": None}, 1),
        (DOUBTED | {"attempt_revision": 3} | READS, 0),
        ({"call_digest": "sha256:other"}, 1),
        (GRANTED | {"call_digest": "sha256:other"}, 1),
        ({"decision": "reject", "call_digest": "sha256:other"}, 1),
        (GRANTED | DOUBTED | {"attempt_revision": 3, "call_digest": "sha256:other"}, 2),
    ],
)
def test_it_is_judged_anew_after(changed, errors):
    step = after(judged(**changed))
    assert step == Judge(CALL, 4, step.errors)
    assert len(step.errors) == errors


def test_a_doubt_says_since_when_and_what_each_answer_means():
    (doubt,) = after(judged(**DOUBTED, attempt_revision=3)).errors
    assert "started at 2026-03-01T11:00:00+00:00" in doubt
    for word in ("approve: it did not happen", "respond: it happened", "reject: leave it"):
        assert word in doubt
    (doubt,) = after(judged(attempt="in_doubt", attempt_revision=3)).errors
    assert "started at before" in doubt


def test_an_edited_call_is_judged_in_the_place_of_the_old_one():
    edited = judged(decision="edit", decided_args=OTHER.args)
    assert after(edited) == Judge(OTHER, 4)
    assert after(judged(decision="edit")) == Judge(ToolCall("c", "refund", {}), 4)
    doubted = judged(decision="edit", decided_args=OTHER.args, **DOUBTED, attempt_revision=2)
    step = after(doubted)
    assert (step.call, len(step.errors)) == (OTHER, 1)


def test_an_edited_call_that_was_approved_runs_as_edited():
    row = judged(OTHER, **GRANTED)
    assert after(row) == Run(row)


@pytest.mark.parametrize("attempt", ["succeeded", "failed"])
def test_a_call_id_that_returns_with_another_call_is_refused(attempt):
    row = judged(attempt=attempt)
    assert after(row, OTHER) == Refused(row, "reused")


@pytest.mark.parametrize(
    "changed", [{}, GRANTED, {"decision": "reject"}, {"decision": "edit"}, BLOCKED, STALE]
)
def test_a_call_that_was_changed_in_the_state_is_judged_as_it_is_now(changed):
    assert after(judged(**changed), OTHER) == Judge(OTHER, 4)


def test_a_changed_call_does_not_shake_off_a_doubt():
    step = after(judged(**DOUBTED, attempt_revision=3), OTHER)
    assert (step.call, len(step.errors)) == (OTHER, 1)


@pytest.mark.parametrize("args", [{"amount": 10**20}, {"amount": "\x00"}, {"amount": [[[]]] * 3}])
def test_a_stored_call_that_has_no_digest_or_another_was_changed_by_hand(args):
    row = judged(**GRANTED)
    row = replace(row, call=ToolCall("c", "refund", args))
    assert after(row) == Judge(CALL, 4, (TAMPERED,))


def test_a_planned_call_that_nobody_could_hash_is_nothing_to_go_by():
    with pytest.raises(InvalidCall):
        after(judged(), ToolCall("c", "refund", {"amount": 10**20}))


moments = st.sampled_from([None, BEFORE, NOW, NOW + timedelta(microseconds=1), LATER])
calls = st.sampled_from([CALL, OTHER, ToolCall("c", "send", {}), ToolCall("c", "refund", {})])
digests = calls.map(lambda call: call.digest) | st.just("sha256:forged")
verdicts = st.builds(
    verdict,
    tier=st.sampled_from(Tier),
    effect=st.sampled_from(Effect),
    policy_digest=st.sampled_from([POLICY, POLICY, "sha256:older"]),
)


@st.composite
def rows(draw: st.DrawFn) -> Judged:
    """Any row at all, most often one whose digests are right."""
    call = draw(calls)
    return Judged(
        call=draw(st.just(call) | st.just(call) | calls | st.just(ToolCall("c", "t", {"a": {1}}))),
        revision=draw(st.integers(1, 4)),
        call_digest=draw(st.just(call.digest) | digests),
        planned_digest=draw(st.just(CALL.digest) | digests),
        verdict=draw(verdicts),
        request_status=draw(st.sampled_from([None, "open", "decided", "withdrawn"])),
        decision=draw(st.sampled_from([None, "approve", "approve", "edit", "reject", "respond"])),
        decided_args=draw(st.none() | st.just({"amount": 1})),
        expires_at=draw(moments),
        consumed_at=draw(st.none() | moments),
        attempt=draw(st.none() | st.sampled_from(get_args(AttemptState))),
        attempt_revision=draw(st.none() | st.integers(1, 4)),
        started_at=draw(moments),
        deadline=draw(moments),
        result=draw(st.none() | st.just({"status": "success"})),
    )


@settings(max_examples=600)
@given(st.just(CALL) | calls, st.none() | rows())
def test_whatever_the_rows_say_nothing_runs_without_a_grant_for_exactly_this(planned, row):
    step = after(row, planned)
    event(type(step).__name__)
    assert isinstance(step, Course)
    assert after(row, planned) == step, "every process comes to the same"
    if isinstance(step, Judge):
        assert step.revision == (row.revision + 1 if row else 1)
        assert step.call.call_id == planned.call_id
        return
    assert step.judged is row
    if isinstance(step, Run):
        assert row.expires_at > NOW
        assert row.consumed_at is None
        assert row.call.digest == row.call_digest
        assert planned.digest == row.planned_digest
        assert row.verdict.policy_digest == POLICY
        assert row.verdict.tier is not Tier.BLOCK
        assert row.decision in (None, "approve")
        assert row.attempt in (None, "in_doubt")
        if row.attempt == "in_doubt":
            assert row.attempt_revision != row.revision


@settings(max_examples=300)
@given(rows())
def test_a_doubt_about_a_call_that_changes_something_is_always_put_before_a_person(row):
    row = replace(row, attempt="in_doubt")
    step = after(row)
    if isinstance(step, Judge) and row.verdict.effect is not Effect.READ:
        assert step.errors
    assert not isinstance(step, Busy | Doubtful | Finished)


@settings(max_examples=300)
@given(rows(), st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_time_alone_never_makes_a_call_run(row, passed):
    if not isinstance(after(row), Run):
        assert not isinstance(after(row, now=NOW + passed), Run)
