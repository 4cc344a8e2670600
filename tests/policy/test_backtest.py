"""Recorded calls, judged again under another policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.policy import Past, Policy, Tier, parse_policy
from hitl_agent.policy.backtest import (
    RecordedCall,
    Report,
    backtest,
    longest_span,
    looks_at_context,
)
from hitl_agent.policy.measures import Measures
from hitl_agent.policy.replayed_past import Permission, ReplayedPast

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTO, SOFT, HARD, BLOCK = Tier

POLICY = parse_policy("""
tools:
  look: {effect: read}
  fetch: {effect: read, untrusted_output: true}
  pay:
    effect: write
    currency: args.currency
    counterparty: args.to
    history:
      day: {by: counterparty, seconds: 86400}
      hour: {by: tool, seconds: 3600}
      own: {by: actor, seconds: 7200}
    rules:
      - {id: few, when: history.hour.count < 2, tier: auto_approve}
      - {id: much, when: history.day.sum + amount > 100.0, tier: hard_gate}
      - {id: read-before, when: context.untrusted, tier: hard_gate}
  gift:
    effect: write
    history: {own: {by: actor, seconds: 7200}}
    rules: [{id: own, when: history.own.count < 1, tier: auto_approve}]
  guess:
    effect: write
    rules: [{id: sure, when: confidence >= 0.9, tier: soft_review}]
""")


def call(tool: str, minutes: float = 0, **options: object) -> RecordedCall:
    """A call so many minutes after the start; `granted` so many after it was judged."""
    at = START + timedelta(minutes=minutes)
    granted, expires = options.pop("granted", 0), options.pop("expires", 10_000)
    used = options.pop("used", True)
    permission = None
    if granted is not None:
        start = at + timedelta(minutes=granted)
        permission = Permission(start, start + timedelta(minutes=expires), used)
    values: dict[str, object] = {
        "thread_id": "t", "call_id": "c", "revision": 1, "args": {}, "tier": AUTO,
        "judged_at": at, "permission": permission,
    }  # fmt: skip
    return RecordedCall(tool=tool, **(values | options))


def pay(
    minutes: float = 0, amount: object = 40, to: str = "ann", **options: object
) -> RecordedCall:
    args = {"amount": amount, "to": to, "currency": options.pop("currency", "EUR")}
    return call("pay", minutes, args=args, **({"actor": "ana"} | options))


def tiers(calls: Iterable[RecordedCall], policy: Policy = POLICY) -> Report:
    return backtest(policy, calls)


def after(*calls: RecordedCall) -> Tier:
    """The tier of the last call; the others are what it looks back at."""
    from dataclasses import replace

    earlier = [replace(one, counts=False) for one in calls[:-1]]
    report = tiers([*earlier, calls[-1]])
    assert report.calls == 1
    return next(new for _, new in report.moves)


def test_moves_are_counted_by_tier():
    report = tiers(
        [
            call("look"), call("look", tier=HARD), call("nobody_knows", tier=AUTO),
            call("guess", confidence=0.95, tier=HARD), call("guess", confidence=0.5, tier=HARD),
        ]
    )  # fmt: skip
    assert report.moves == {
        (AUTO, AUTO): 1, (HARD, AUTO): 1, (AUTO, HARD): 1, (HARD, SOFT): 1, (HARD, HARD): 1,
    }  # fmt: skip
    assert [report.before(tier) for tier in Tier] == [2, 0, 3, 0]
    assert [report.after(tier) for tier in Tier] == [2, 1, 2, 0]
    assert report.calls == 5


@pytest.mark.parametrize(
    ("decision", "tool", "disputed"),
    [
        ("reject", "look", 1),
        ("edit", "look", 1),
        ("approve", "look", 0),
        ("respond", "look", 0),
        (None, "look", 0),
        ("reject", "nobody_knows", 0),
    ],
)
def test_what_a_reviewer_did_not_want_and_would_run_is_disputed(decision, tool, disputed):
    report = tiers([call(tool, tier=HARD, decision=decision, reviewer="bea")])
    assert (report.disputed, len(report.newest)) == (disputed, disputed)


def test_a_soft_review_that_was_rejected_afterwards_is_disputed():
    report = tiers([call("guess", confidence=0.95, tier=SOFT, decision="reject")])
    assert report.disputed == 1
    assert report.newest[0].verdict.tier is SOFT


def test_the_newest_disputed_calls_are_kept():
    calls = [call("look", i, call_id=str(i), decision="reject") for i in range(9)]
    report = backtest(POLICY, calls, keep=3)
    assert report.disputed == 9
    assert [one.call.call_id for one in report.newest] == ["6", "7", "8"]


def test_what_is_no_call_is_counted_and_left_out():
    report = tiers([call("look", args=None), call("look", judged_at=None), call("look")])
    assert (report.unreadable, report.calls) == (2, 1)


def test_what_no_policy_could_let_run_stays_blocked():
    report = tiers([call("look", refused=True, tier=BLOCK, decision="reject")])
    assert report.moves == {(BLOCK, BLOCK): 1}
    assert report.disputed == 0


def test_what_was_not_the_policys_doing_still_stops_a_call():
    assert after(call("look", objections=("it smells",))) is HARD
    assert after(call("look", errors=("the confidence estimator failed: x",))) is HARD


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -1.0, 7.0])
def test_a_confidence_that_is_none_gates(confidence):
    assert after(call("guess", confidence=confidence)) is HARD


# the spans of the past


def test_calls_of_the_tool_count_within_the_span():
    assert after(pay(0, 1), pay(10, 1)) is AUTO
    assert after(pay(0, 1), pay(10, 1), pay(20, 1)) is HARD
    assert after(pay(0, 1), pay(10, 1), pay(59.9, 1)) is HARD
    assert after(pay(0, 1), pay(10, 1), pay(60, 1)) is AUTO  # the first is an hour old: out


def test_amounts_for_the_counterparty_add_up():
    assert after(pay(0, 60), pay(70, 40)) is AUTO
    assert after(pay(0, 60), pay(70, 40.01)) is HARD
    assert after(pay(0, 60, to="bob"), pay(70, 41)) is AUTO
    assert after(pay(0, "60.00"), pay(70, "40.01")) is HARD


@pytest.mark.parametrize(
    "first",
    [
        pay(0, 1, currency="USD"),  # another currency
        pay(0, "a lot"),  # no amount
        pay(0, True),
        call("pay", args={"to": "ann", "currency": "EUR"}, actor="ana"),
    ],
)
def test_a_sum_that_cannot_be_told_gates(first):
    assert after(first, pay(70, 1)) is HARD


def test_amounts_are_read_by_the_candidate():
    text = """
tools:
  pay:
    effect: write
    amount: args.{key}
    history: {{day: {{by: tool, seconds: 86400}}}}
    rules: [{{id: few, when: history.day.sum + amount <= 10.0, tier: auto_approve}}]
"""
    calls = [call("pay", i, args={"net": 4, "gross": 6}) for i in range(2)]
    net, gross = (backtest(parse_policy(text.format(key=key)), calls) for key in ("net", "gross"))
    assert (net.after(AUTO), gross.after(AUTO)) == (2, 1)


def test_calls_of_any_tool_count_for_the_actor():
    assert after(pay(0), call("gift", 1, actor="ana")) is HARD
    assert after(pay(0), call("gift", 1, actor="bea")) is AUTO
    assert after(pay(0), call("gift", 120, actor="ana")) is AUTO
    assert after(call("look", 0, actor="ana"), call("gift", 1, actor="ana")) is HARD  # any tool


def test_an_actor_that_is_not_known_has_no_past_that_is():
    assert after(call("gift", 0, actor=None)) is HARD


def test_only_what_ran_or_was_allowed_to_counts():
    never, late = pay(0, 60, granted=None), pay(0, 60, granted=80)
    assert after(never, pay(70, 41)) is AUTO
    assert after(late, pay(70, 41)) is AUTO  # when it was judged, nobody had approved the other
    assert after(late, pay(80, 41)) is HARD


def test_a_permission_that_expired_unused_no_longer_counts():
    assert after(pay(0, 60, expires=65, used=False), pay(64, 41)) is HARD
    assert after(pay(0, 60, expires=65, used=False), pay(65, 41)) is AUTO
    assert after(pay(0, 60, expires=65, used=True), pay(66, 41)) is HARD


def test_how_the_candidate_judges_earlier_calls_does_not_change_what_ran():
    """Three calls ran, though the candidate would have stopped the third: all three count."""
    report = tiers([pay(i, 1, call_id=str(i)) for i in range(4)])
    assert (report.after(AUTO), report.after(HARD)) == (2, 2)


def test_a_large_amount_leaves_nothing_behind():
    past = ReplayedPast(POLICY.document)
    plan = POLICY.plan("pay")
    amounts = ("9" * 30, "0.1", "0.2")
    for index, text in enumerate(amounts):
        at = START + timedelta(seconds=index)
        measures = Measures(Decimal(text), "EUR", "ann")
        past.add(plan, "pay", None, measures, at, Permission(at, at, used=True))
    now = START + timedelta(days=1, milliseconds=500)
    seen = past.seen(plan, "pay", None, Measures(Decimal(1), "EUR", "ann"), now)
    assert seen["day"] == Past(2, Decimal("0.3"))


# what was read before


def test_untrusted_text_is_what_the_candidate_calls_so():
    assert after(pay(ran_before=("look",))) is AUTO
    assert after(pay(ran_before=("look", "fetch"))) is HARD
    assert after(pay(ran_before=("a_tool_that_nobody_describes",))) is HARD
    assert after(call("look", ran_before=("fetch",))) is AUTO


def test_a_policy_tells_what_has_to_be_looked_up_for_it():
    assert (longest_span(POLICY), looks_at_context(POLICY)) == (86400, True)
    plain = parse_policy("tools: {look: {effect: read}}")
    assert (longest_span(plain), looks_at_context(plain)) == (0, False)


# against the plain definition

MINUTE = st.integers(0, 200)
CALLS = st.lists(
    st.builds(
        pay,
        MINUTE,
        st.sampled_from([1, 30, 60, "0.5", None]),
        st.sampled_from(["ann", "bob"]),
        actor=st.sampled_from(["ana", "bea", None]),
        currency=st.sampled_from(["EUR", "EUR", "USD"]),
        granted=st.sampled_from([0, 0, 30, None]),
        expires=st.sampled_from([20, 5000]),
        used=st.booleans(),
    ),
    max_size=14,
)


def plainly(calls: list[RecordedCall], now: datetime, one: RecordedCall) -> dict[str, Past]:
    """What the spans are by definition, counted anew for each call."""
    found = {}
    for name, span in POLICY.plan("pay").spans.items():
        key = {"tool": "tool", "actor": one.actor, "counterparty": one.args["to"]}[span.by]
        counted = []
        for other in calls:
            given = other.permission
            mine = {"tool": "tool", "actor": other.actor, "counterparty": other.args["to"]}
            if (
                given is None
                or mine[span.by] != key
                or given.granted_at > now
                or other.judged_at <= now - timedelta(seconds=span.seconds)
                or not (given.used or given.expires_at > now)
            ):
                continue
            counted.append(other)
        if key is None:
            continue
        summed = [
            other
            for other in counted
            if span.by != "actor" or other.args["amount"] is not None  # what has none adds nothing
        ]
        amounts = [other.args["amount"] for other in summed]
        alike = {other.args["currency"] for other in summed} <= {one.args["currency"]}
        total = None
        if None not in amounts and alike:
            total = sum((Decimal(str(amount)) for amount in amounts), Decimal(0))
        found[name] = Past(len(counted), total)
    return found


@given(CALLS)
def test_the_replayed_past_is_what_it_is_by_definition(calls):
    calls = sorted(calls, key=lambda one: one.judged_at)
    past = ReplayedPast(POLICY.document)
    plan = POLICY.plan("pay")
    for index, one in enumerate(calls):
        amount = one.args["amount"]
        measures = Measures(
            None if amount is None else Decimal(str(amount)), one.args["currency"], one.args["to"]
        )
        seen = past.seen(plan, "pay", one.actor, measures, one.judged_at)
        assert dict(seen) == plainly(calls[:index], one.judged_at, one)
        if one.permission:
            past.add(plan, "pay", one.actor, measures, one.judged_at, one.permission)


def test_what_no_longer_counts_is_forgotten():
    past = ReplayedPast(POLICY.document)
    plan = POLICY.plan("pay")
    for index in range(500):
        at = START + timedelta(days=index)
        measures = Measures(Decimal(1), "EUR", str(index))
        past.seen(plan, "pay", str(index), measures, at)
        past.add(plan, "pay", str(index), measures, at, Permission(at, at, used=True))
    assert len(past._windows) + len(past._comings) + len(past._goings) < 10
