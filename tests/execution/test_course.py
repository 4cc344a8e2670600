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
    NO_PROMISE,
    Again,
    Answered,
    Ask,
    Busy,
    Contract,
    Doubtful,
    Finished,
    Happened,
    Judge,
    Judged,
    Refused,
    Review,
    Run,
    course,
)
from hitl_agent.execution.contract import MAX_TRIES
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


def after(
    row: Judged | None,
    planned: ToolCall = CALL,
    now: datetime = NOW,
    contract: Contract = NO_PROMISE,
) -> Course:
    return course(planned, row, policy_digest=POLICY, now=now, contract=contract)


GRANTED = {"decision": "approve", "expires_at": LATER}
DOUBTED = {"attempt": "in_doubt", "started_at": BEFORE, "consumed_at": BEFORE}
TOLD = {"verdict": verdict(errors=("in doubt: it was started",))}
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
        (GRANTED | DOUBTED | TOLD | {"attempt_revision": 2, "consumed_at": None}, Run),
        (DOUBTED | TOLD | {"attempt_revision": 2, "consumed_at": None}, Review),
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
        # judged, or permitted, by somebody who did not know of the doubt
        (GRANTED | DOUBTED | {"attempt_revision": 2, "consumed_at": None}, 1),
        (DOUBTED | {"attempt_revision": 2, "consumed_at": None}, 1),
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


@pytest.mark.parametrize("attempt", [None, "reserved", "in_doubt"])
def test_an_id_that_two_calls_use_in_turn_stays_with_the_one_that_came_last(attempt):
    both = frozenset({CALL.digest, OTHER.digest})
    row = judged(OTHER, planned_digest=OTHER.digest, planned_before=both, attempt=attempt)
    assert after(row, CALL) == Refused(row, "reused")
    assert not isinstance(after(row, OTHER), Refused)
    once = replace(row, planned_before=frozenset({OTHER.digest}))
    assert not isinstance(after(once, CALL), Refused)


def test_what_was_started_is_settled_before_the_id_is_looked_at():
    both = frozenset({CALL.digest, OTHER.digest})
    sent = {"attempt": "started", "deadline": NOW}
    row = judged(OTHER, planned_digest=OTHER.digest, planned_before=both, **sent)
    assert after(row, CALL) == after(row, OTHER) == Doubtful(row)


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


KEYED = Contract(idempotent_for=timedelta(hours=2))
ASKED = Contract(reconcile=Happened)
BOTH = Contract(idempotent_for=timedelta(hours=2), reconcile=Happened)
CUT_OFF = {"attempt": "started", "attempt_revision": 3, "opened_at": BEFORE, "deadline": NOW}


@pytest.mark.parametrize(
    ("contract", "changed", "wanted"),
    [
        (NO_PROMISE, {}, Doubtful),
        (KEYED, {}, Again),
        (ASKED, {}, Ask),
        (BOTH, {}, Again),
        # while it may still be on its way nobody touches it
        (BOTH, {"deadline": LATER}, Busy),
        (BOTH, {"deadline": NOW + timedelta(microseconds=1)}, Busy),
        (BOTH, {"deadline": None}, Busy),
        # a key that is forgotten, or was never sent, is no key
        (KEYED, {"opened_at": NOW - timedelta(hours=2)}, Doubtful),
        (KEYED, {"opened_at": None}, Doubtful),
        (BOTH, {"opened_at": NOW - timedelta(hours=2)}, Ask),
        # the retention counts from the first try, not from the newest
        (KEYED, {"opened_at": NOW - timedelta(hours=2), "started_at": NOW}, Doubtful),
        # a call that ends its process each time
        (BOTH, {"tries": MAX_TRIES - 1}, Again),
        (BOTH, {"tries": MAX_TRIES}, Doubtful),
        (ASKED, {"tries": MAX_TRIES}, Doubtful),
        # another version may send something else
        (BOTH, {"tool_version": "2"}, Doubtful),
        (BOTH, {"tool_version": "2", "tries": MAX_TRIES}, Doubtful),
        # what is in the row now is not what was sent
        (BOTH, {"binding": "sha256:other"}, Doubtful),
        (BOTH, {"call_digest": "sha256:other"}, Doubtful),
        (BOTH, {"granted": "sha256:other"}, Doubtful),
        # the policy of today says nothing about what was sent yesterday
        (KEYED, STALE, Doubtful),
        (ASKED, STALE, Ask),
    ],
)
def test_a_call_that_was_cut_off_goes_on_as_its_tool_promises(contract, changed, wanted):
    row = judged(**GRANTED | CUT_OFF | changed)
    assert after(row, contract=contract) == wanted(row)


def test_a_try_that_would_outlive_the_key_is_not_made():
    contract = Contract(idempotent_for=timedelta(hours=2), timeout=timedelta(minutes=48))
    row = judged(**GRANTED | CUT_OFF)
    assert after(row, contract=contract) == Doubtful(row)
    assert after(row, contract=replace(contract, timeout=timedelta(minutes=47))) == Again(row)


RESERVED = {"attempt": "reserved", "attempt_revision": 3, "consumed_at": BEFORE}


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, Run),
        ({"expires_at": BEFORE}, Run),  # the grant was used in time
        ({"tries": MAX_TRIES - 1}, Run),
        ({"decision": "reject"}, Refused),
        (BLOCKED, Refused),
        # reserved under an earlier revision, and since then judged again
        ({"attempt_revision": 2, "consumed_at": None}, Run),
        ({"attempt_revision": 2, "decision": None, "expires_at": None}, Review),
    ],
)
def test_a_call_for_which_nothing_was_sent_yet_goes_on_under_its_grant(changed, wanted):
    row = judged(**GRANTED | RESERVED | changed)
    assert after(row) == (wanted(row, *_why(row)) if wanted is Refused else wanted(row))


@pytest.mark.parametrize(
    "changed",
    [
        STALE,
        {"tool_version": "2"},
        {"attempt_revision": 2},
        {"attempt_revision": 2, "tries": MAX_TRIES},
        {"attempt_revision": 2, "consumed_at": None, "expires_at": NOW},
    ],
)
def test_a_reserved_call_is_judged_anew_without_a_doubt_after(changed):
    assert after(judged(**GRANTED | RESERVED | changed)) == Judge(CALL, 4)


@pytest.mark.parametrize("tries", [MAX_TRIES, MAX_TRIES + 1])
def test_a_transaction_that_ends_its_process_each_time_comes_before_a_person(tries):
    row = judged(**GRANTED | RESERVED | {"tries": tries})
    wanted = f"the call was cut off {tries} times before it had an effect"
    assert after(row) == Judge(CALL, 4, (wanted,))


@pytest.mark.parametrize("version", ["", "2"])
def test_what_was_granted_for_one_version_of_a_tool_does_not_run_another(version):
    row = judged(**GRANTED, tool_version="1")
    assert after(row, contract=Contract(version=version)) == Judge(CALL, 4)
    assert after(row, contract=Contract(version="1")) == Run(row)


@pytest.mark.parametrize(
    "changed",
    [
        {"thread_id": "another"},
        {"requester": "mallory"},
        {"tool_version": "2"},
        {"verdict": verdict(policy_digest="sha256:other")},
        {"call": ToolCall("d", "refund", CALL.args)},
        {"call": OTHER, "call_digest": OTHER.digest},
        {"binding": "sha256:other"},
        {"granted": "sha256:other"},
    ],
)
def test_a_row_that_says_something_else_than_its_binding_was_changed_by_hand(changed):
    row = replace(judged(**GRANTED, requester="ana", tool_version="1"), **changed)
    contract = Contract(version=row.tool_version)
    assert after(row, contract=contract) == Judge(CALL, 4, (TAMPERED,))


def test_a_judgement_from_before_bindings_is_made_anew_and_nobody_is_blamed():
    assert after(judged(**GRANTED, binding="")) == Judge(CALL, 4)


def test_a_read_runs_again_by_itself_some_times_only():
    doubted = DOUBTED | READS
    few, many = MAX_TRIES - 1, MAX_TRIES
    row = judged(**doubted, revision=few, attempt_revision=few)
    assert after(row) == Judge(CALL, few + 1)
    row = judged(**doubted, revision=many, attempt_revision=many)
    assert len(after(row).errors) == 1


def test_a_doubt_is_told_in_whole():
    (doubt,) = after(judged(**DOUBTED, attempt_revision=3)).errors
    assert doubt == (
        "in doubt: the call was started at 2026-03-01T11:00:00+00:00 and what became of it is not "
        "known; approve: it did not happen, run it; respond: it happened, with this result; "
        "reject: leave it"
    )


moments = st.sampled_from([None, BEFORE, NOW, NOW + timedelta(microseconds=1), LATER])
calls = st.sampled_from([CALL, OTHER, ToolCall("c", "send", {}), ToolCall("c", "refund", {})])
digests = calls.map(lambda call: call.digest) | st.just("sha256:forged")
verdicts = st.builds(
    verdict,
    tier=st.sampled_from(Tier),
    effect=st.sampled_from(Effect),
    policy_digest=st.sampled_from([POLICY, POLICY, "sha256:older"]),
)


contracts = st.builds(
    Contract,
    version=st.sampled_from(["", "", "", "2"]),
    timeout=st.none() | st.timedeltas(timedelta(0), timedelta(hours=3)),
    idempotent_for=st.none() | st.timedeltas(timedelta(0), timedelta(hours=3)),
    reconcile=st.sampled_from([None, Happened]),
)


@st.composite
def rows(draw: st.DrawFn) -> Judged:
    """Any row at all, most often one whose digests are right."""
    call = draw(calls)
    row = Judged(
        call=draw(st.just(call) | st.just(call) | calls | st.just(ToolCall("c", "t", {"a": {1}}))),
        revision=draw(st.integers(1, 4)),
        call_digest=draw(st.just(call.digest) | digests),
        planned_digest=draw(st.just(CALL.digest) | digests),
        verdict=draw(verdicts),
        thread_id=draw(st.sampled_from(["t", "u"])),
        requester=draw(st.sampled_from([None, "ana"])),
        tool_version=draw(st.sampled_from(["", "", "", "2"])),
        request_status=draw(st.sampled_from([None, "open", "decided", "withdrawn"])),
        decision=draw(st.sampled_from([None, "approve", "approve", "edit", "reject", "respond"])),
        decided_args=draw(st.none() | st.just({"amount": 1})),
        expires_at=draw(moments),
        consumed_at=draw(st.none() | moments),
        attempt=draw(st.none() | st.sampled_from(get_args(AttemptState))),
        attempt_revision=draw(st.none() | st.integers(1, 4)),
        opened_at=draw(moments),
        started_at=draw(moments),
        deadline=draw(moments),
        tries=draw(st.integers(1, MAX_TRIES + 1)),
        result=draw(st.none() | st.just({"status": "success"})),
    )
    bindings = st.sampled_from([bound(row)] * 6 + ["", "sha256:forged"])
    return replace(row, binding=draw(bindings), granted=draw(st.none() | bindings))


@settings(max_examples=600)
@given(st.just(CALL) | calls, st.none() | rows(), contracts)
def test_whatever_the_rows_say_nothing_runs_without_a_grant_for_exactly_this(
    planned, row, contract
):
    step = after(row, planned, contract=contract)
    event(type(step).__name__)
    assert isinstance(step, Course)
    assert after(row, planned, contract=contract) == step, "every process comes to the same"
    if isinstance(step, Judge):
        assert step.revision == (row.revision + 1 if row else 1)
        assert step.call.call_id == planned.call_id
        return
    assert step.judged is row
    if isinstance(step, Run | Again | Ask):
        assert row.call.digest == row.call_digest
        assert row.bound == row.binding
        assert row.granted in (None, row.bound)
        assert row.tool_version == contract.version
        assert row.tries < MAX_TRIES or row.attempt != "started"
    if isinstance(step, Run):
        assert planned.digest == row.planned_digest
        assert row.verdict.policy_digest == POLICY
        assert row.verdict.tier is not Tier.BLOCK
        assert row.decision in (None, "approve")
        assert row.attempt in (None, "in_doubt", "reserved")
        if row.attempt == "reserved" and row.attempt_revision == row.revision:
            assert row.tries < MAX_TRIES
            return
        assert row.expires_at > NOW
        assert row.consumed_at is None
        if row.attempt == "in_doubt":
            assert row.attempt_revision != row.revision


@settings(max_examples=300)
@given(rows(), contracts)
def test_a_call_that_was_started_is_sent_again_only_as_its_tool_promises(row, contract):
    row = replace(row, attempt="started")
    step = after(row, contract=contract)
    event(type(step).__name__)
    assert isinstance(step, Busy | Again | Ask | Doubtful)
    assert isinstance(step, Busy) == (row.deadline is None or row.deadline > NOW)
    if isinstance(step, Again):
        assert NOW + (contract.timeout or timedelta()) < row.opened_at + contract.idempotent_for
    if isinstance(step, Ask):
        assert contract.reconcile


@settings(max_examples=300)
@given(rows(), contracts)
def test_a_doubt_about_a_call_that_changes_something_is_always_put_before_a_person(row, contract):
    row = replace(row, attempt="in_doubt")
    step = after(row, contract=contract)
    if isinstance(step, Judge) and row.verdict.effect is not Effect.READ:
        assert step.errors
    assert not isinstance(step, Busy | Again | Ask | Doubtful | Finished)


@settings(max_examples=300)
@given(rows(), contracts, st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_time_alone_never_makes_a_call_run(row, contract, passed):
    if not isinstance(after(row, contract=contract), Run):
        assert not isinstance(after(row, now=NOW + passed, contract=contract), Run)


@settings(max_examples=300)
@given(rows(), contracts, st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_a_key_that_is_forgotten_is_never_sent_again(row, contract, passed):
    row = replace(row, attempt="started")
    now = after(row, contract=contract)
    later = after(row, now=NOW + passed, contract=contract)
    if isinstance(later, Again):
        assert isinstance(now, Again | Busy)
    if isinstance(now, Doubtful):
        assert isinstance(later, Doubtful)
