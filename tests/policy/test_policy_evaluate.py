from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hitl_agent.policy import Policy, Tier, Verdict, judge, parse_policy, refused

AUTO, SOFT, HARD, BLOCK = Tier

POLICY = parse_policy("""
version: 1
always_gate: [send_email, "delete_*"]
never_run: ["drop_*", "delete_all"]
defaults: {sla_seconds: 3600, grant_ttl_seconds: 600}
tools:
  look: {effect: read}
  send_email: {effect: irreversible, reason: it cannot be called back}
  wipe: {effect: irreversible}
  delete_note: {effect: read}
  delete_all: {effect: irreversible}
  move: {effect: write, reason: others look for it}
  pay: {effect: write, max_auto_approve_amount: 50, sla_seconds: 900, reason: money leaves}
  pay_total: {effect: write, amount: total, max_auto_approve_amount: 0.3}
  guess: {effect: write, auto_approve_threshold: 0.9, soft_review_threshold: 0.7}
  guess_auto: {effect: write, auto_approve_threshold: 0.9}
  guess_soft: {effect: write, soft_review_threshold: 0.7}
  both:
    effect: write
    max_auto_approve_amount: 50
    auto_approve_threshold: 0.9
    soft_review_threshold: 0.7
    allowed_decisions: [reject, approve]
  "get_*": {effect: read, allowed_decisions: [edit, reject], reason: seen}
  "*_secret": {effect: write, sla_seconds: 60, allowed_decisions: [approve, reject], reason: s}
  "get_s*": {effect: read, allowed_decisions: [respond]}
  get_public_secret: {effect: read}
""")


def tier(tool: str, args: object = None, **kwargs: object) -> Tier:
    return judge(POLICY, tool, args if args is not None else {}, **kwargs).tier


def ids(verdict: Verdict) -> list[str]:
    return [hit.id for hit in verdict.rules]


# which rule applies


def test_a_tool_that_the_policy_does_not_name_waits_for_a_person():
    verdict = judge(POLICY, "pay_all", {"amount": 1}, confidence=1.0)
    assert (verdict.tier, verdict.effect, ids(verdict)) == (HARD, "unknown", ["unknown-tool"])
    assert verdict.reasons == ("the policy does not name `pay_all`",)
    assert verdict.sla_seconds == 3600
    assert verdict.allowed_decisions == ("approve", "edit", "reject", "respond")


def test_a_tool_that_reads_runs_whatever_the_confidence_is():
    verdict = judge(POLICY, "look", {}, confidence=math.nan)
    assert (verdict.tier, verdict.effect, ids(verdict)) == (AUTO, "read", ["read"])
    assert verdict.reviewers.min == 0
    assert verdict.grant_ttl_seconds == 600
    assert verdict.policy_digest == POLICY.digest


def test_an_irreversible_call_waits_whatever_the_confidence_is():
    verdict = judge(POLICY, "wipe", {"amount": 0}, confidence=1.0)
    assert (verdict.tier, verdict.effect, ids(verdict)) == (HARD, "irreversible", ["irreversible"])
    assert verdict.reviewers.min == 1


def test_every_rule_that_applies_is_listed_strictest_first():
    verdict = judge(POLICY, "delete_all", {})
    assert ids(verdict) == ["never-run:delete_all", "always-gate:delete_*", "irreversible"]
    assert (verdict.tier, verdict.reviewers.min) == (BLOCK, 0)
    assert ids(judge(POLICY, "delete_note", {})) == ["always-gate:delete_*", "read"]
    assert ids(judge(POLICY, "drop_it", {})) == ["never-run:drop_*", "unknown-tool"]


def test_the_reason_written_in_the_policy_reaches_the_reviewer():
    assert judge(POLICY, "send_email", {}).reasons == (
        "`send_email` always waits for a person: `send_email` stands in `always_gate`",
        "`send_email` cannot be undone: it cannot be called back",
    )
    assert judge(POLICY, "pay", {"amount": 120}).reasons == (
        "the amount 120 is above the limit of 50 for `pay`: money leaves",
    )
    assert judge(POLICY, "pay", {"amount": 50}).reasons == (
        "the amount 50 is within the limit of 50 for `pay`",
    )
    assert judge(POLICY, "move", {}).reasons == (
        "`move` changes something, and no limit is set up to which it may run: others look for it",
    )


def test_of_several_patterns_the_strictest_outcome_holds():
    verdict = judge(POLICY, "get_secret", {})
    assert (verdict.tier, verdict.effect) == (HARD, "write")
    assert ids(verdict) == ["write-unlimited", "read", "read"]
    assert verdict.reasons[0].endswith(": s (rule `*_secret`)")
    assert verdict.sla_seconds == 60


def test_where_patterns_agree_on_no_decision_a_person_can_only_refuse():
    assert judge(POLICY, "a_secret", {}).allowed_decisions == ("approve", "reject")
    assert judge(POLICY, "get_b", {}).allowed_decisions == ("edit", "reject")
    assert judge(POLICY, "get_my_secret", {}).allowed_decisions == ("reject",)
    assert judge(POLICY, "get_secret", {}).allowed_decisions == ("reject",)


def test_the_exact_name_comes_before_every_pattern():
    assert ids(judge(POLICY, "get_public_secret", {})) == ["read"]


def test_decisions_come_in_one_order():
    assert judge(POLICY, "both", {}).allowed_decisions == ("approve", "reject")


def test_no_deadline_is_given_where_none_is_set():
    policy = parse_policy("version: 1\ntools: {'a*': {effect: read}, '*b': {effect: read}}")
    assert judge(policy, "ab", {}).sla_seconds is None
    assert judge(policy, "x", {}).sla_seconds is None


def test_a_tool_whose_name_looks_like_a_pattern_is_matched_as_a_name():
    policy = parse_policy(
        "version: 1\ntools: {'a*': {effect: write}, '?*': {effect: irreversible}}"
    )
    assert ids(judge(policy, "a*", {})) == ["write-unlimited", "irreversible"]


@pytest.mark.parametrize("name", ["", "x" * 129, None, 5, [], {"a": 1}, b"look"])
def test_what_is_no_name_is_unknown_even_where_everything_runs(name):
    policy = parse_policy("version: 1\ntools: {'*': {effect: read}}")
    assert ids(judge(policy, name, {})) == ["unknown-tool"]
    gated = parse_policy("version: 1\nnever_run: ['*']")
    assert judge(gated, name, {}).tier is BLOCK


# the amount


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0, "amount-within-limit"),
        (50, "amount-within-limit"),
        (50.0, "amount-within-limit"),
        (-0.0, "amount-within-limit"),
        ("50", "amount-within-limit"),
        ("50.000", "amount-within-limit"),
        ("0050", "amount-within-limit"),
        (Decimal("49.99"), "amount-within-limit"),
        (50.01, "amount-limit"),
        (51, "amount-limit"),
        ("50.01", "amount-limit"),
        (Decimal("1e999999"), "amount-limit"),
        (2**128 - 1, "amount-limit"),
        ("9" * 30, "amount-limit"),
        (math.nextafter(50.0, 51), "amount-limit"),
        (None, "amount-unreadable"),
        (True, "amount-unreadable"),
        (False, "amount-unreadable"),
        (math.nan, "amount-unreadable"),
        (math.inf, "amount-unreadable"),
        (-math.inf, "amount-unreadable"),
        (-1, "amount-unreadable"),
        (-0.01, "amount-unreadable"),
        ("-1", "amount-unreadable"),
        ("", "amount-unreadable"),
        ("five", "amount-unreadable"),
        (" 5", "amount-unreadable"),
        ("5\n", "amount-unreadable"),
        ("5 ", "amount-unreadable"),
        ("+5", "amount-unreadable"),
        ("5.", "amount-unreadable"),
        (".5", "amount-unreadable"),
        ("1e1", "amount-unreadable"),
        ("0x10", "amount-unreadable"),
        ("1_0", "amount-unreadable"),
        ("1,000", "amount-unreadable"),
        ("5,00", "amount-unreadable"),
        ("\u0665", "amount-unreadable"),
        ("NaN", "amount-unreadable"),
        ("Infinity", "amount-unreadable"),
        ("5 EUR", "amount-unreadable"),
        ("9" * 31, "amount-unreadable"),
        (2**128, "amount-unreadable"),
        (Decimal("NaN"), "amount-unreadable"),
        (Decimal("sNaN"), "amount-unreadable"),
        (Decimal("-Infinity"), "amount-unreadable"),
        ([5], "amount-unreadable"),
        ({"value": 5}, "amount-unreadable"),
        (5j, "amount-unreadable"),
        (b"5", "amount-unreadable"),
    ],
)
def test_an_amount_within_the_limit_runs_and_anything_else_waits(amount, expected):
    verdict = judge(POLICY, "pay", {"amount": amount})
    assert ids(verdict) == [expected]
    assert verdict.tier is (AUTO if expected == "amount-within-limit" else HARD)


def test_a_missing_amount_waits():
    verdict = judge(POLICY, "pay", {"Amount": 5})
    assert verdict.reasons == ("`amount` of `pay` is missing: money leaves",)
    assert ids(verdict) == ["amount-unreadable"]


def test_the_policy_says_which_argument_is_the_amount():
    assert tier("pay_total", {"amount": 100, "total": 0.3}) is AUTO
    assert tier("pay_total", {"amount": 0.1, "total": 0.4}) is HARD


def test_amounts_are_compared_as_they_are_written():
    """As doubles 0.1 + 0.2 is above 0.3, and the text `0.3` is not."""
    assert tier("pay_total", {"total": "0.3"}) is AUTO
    assert tier("pay_total", {"total": "0.30000000000000000000001"}) is HARD
    assert tier("pay_total", {"total": 0.1 + 0.2}) is HARD


@pytest.mark.parametrize("args", [None, [], "amount", 5, [("amount", 5)], object()])
def test_arguments_that_are_no_object_hold_no_amount(args):
    assert ids(judge(POLICY, "pay", args)) == ["amount-unreadable"]


def test_arguments_that_raise_wait_for_a_person():
    class Broken(Mapping):
        def __getitem__(self, key):
            raise RuntimeError(key)

        def __iter__(self):
            raise RuntimeError

        def __len__(self):
            raise RuntimeError

    verdict = judge(POLICY, "pay", Broken())
    assert verdict.reasons == (
        "`amount` of `pay` raised RuntimeError when it was read: money leaves",
    )


@pytest.mark.parametrize(
    "amount", [10**100_000, -(10**100_000), "9" * 1_000_000, "1" + "0" * 5000 + ".5"], ids=range(4)
)
def test_huge_amounts_are_judged_quickly_and_shown_short(amount):
    begin = time.perf_counter()
    verdict = judge(POLICY, "pay", {"amount": amount})
    assert verdict.tier is HARD
    assert len(verdict.reasons[0]) < 200
    assert time.perf_counter() - begin < 1


# the confidence


@pytest.mark.parametrize(
    ("tool", "confidence", "expected", "rule"),
    [
        ("guess", 1.0, AUTO, "auto-threshold"),
        ("guess", 1, AUTO, "auto-threshold"),
        ("guess", 0.9, AUTO, "auto-threshold"),
        ("guess", 0.89, SOFT, "soft-threshold"),
        ("guess", 0.7, SOFT, "soft-threshold"),
        ("guess", 0.69, HARD, "below-thresholds"),
        ("guess", 0, HARD, "below-thresholds"),
        ("guess_auto", 0.9, AUTO, "auto-threshold"),
        ("guess_auto", 0.8, HARD, "below-thresholds"),
        ("guess_soft", 1.0, SOFT, "soft-threshold"),
        ("guess_soft", 0.6, HARD, "below-thresholds"),
        ("guess", None, HARD, "no-confidence"),
        ("guess", math.nan, HARD, "confidence-unreadable"),
        ("guess", math.inf, HARD, "confidence-unreadable"),
        ("guess", 1.0000001, HARD, "confidence-unreadable"),
        ("guess", -0.1, HARD, "confidence-unreadable"),
        ("guess", True, HARD, "confidence-unreadable"),
        ("guess", "1.0", HARD, "confidence-unreadable"),
        ("guess", [1.0], HARD, "confidence-unreadable"),
        ("guess", Decimal(1), HARD, "confidence-unreadable"),
        ("guess", 10**5000, HARD, "confidence-unreadable"),
    ],
    ids=range(21),
)
def test_confidence_is_held_against_the_thresholds(tool, confidence, expected, rule):
    verdict = judge(POLICY, tool, {}, confidence=confidence)
    assert (verdict.tier, ids(verdict)) == (expected, [rule])


def test_the_numbers_are_in_the_reason():
    assert judge(POLICY, "guess", {}, confidence=0.5).reasons == (
        "confidence 0.5 in `guess` is below 0.7",
    )
    assert judge(POLICY, "guess_auto", {}, confidence=0.5).reasons == (
        "confidence 0.5 in `guess_auto` is below 0.9",
    )


@pytest.mark.parametrize(
    ("amount", "confidence", "expected"),
    [(50, 0.9, AUTO), (50, 0.8, SOFT), (50, 0.5, HARD), (51, 1.0, HARD), (50, None, HARD)],
)
def test_the_amount_and_the_confidence_must_both_allow_it(amount, confidence, expected):
    verdict = judge(POLICY, "both", {"amount": amount}, confidence=confidence)
    assert verdict.tier is expected
    assert len(verdict.rules) == 2
    assert verdict.rules[0].tier is expected


# errors


def test_an_error_met_on_the_way_means_a_hard_gate():
    verdict = judge(POLICY, "look", {}, errors=["the classifier raised", "and again"])
    assert (verdict.tier, ids(verdict)) == (HARD, ["error", "error", "read"])
    assert verdict.errors == ("the classifier raised", "and again")
    assert verdict.reasons[0] == "an error was met: the classifier raised"
    assert verdict.reviewers.min == 1


def test_errors_of_another_shape_count_too():
    assert judge(POLICY, "look", {}, errors="boom").errors == ("boom",)
    assert judge(POLICY, "look", {}, errors=[ValueError("boom")]).errors == ("boom",)
    assert judge(POLICY, "look", {}, errors=[""]).tier is HARD
    assert judge(POLICY, "look", {}, errors=["\x00 \ud800"]).errors == ("\ufffd \ufffd",)
    assert judge(POLICY, "drop_x", {}, errors=["boom"]).tier is BLOCK


def test_a_call_that_cannot_run_is_blocked_with_the_reason():
    verdict = refused(POLICY, "malformed-call", "the call is malformed")
    assert (verdict.tier, ids(verdict)) == (BLOCK, ["malformed-call"])
    assert verdict.reasons == ("the call is malformed",)
    assert verdict.policy_digest == POLICY.digest
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_unseen_characters_of_a_call_do_not_reach_the_reasons():
    verdict = judge(POLICY, "x\x1b[2J\u202e", {})
    assert verdict.reasons == (r"the policy does not name `x\x1b[2J\u202e`",)


# properties

TOOLS = [*POLICY.document.tools, "delete_x", "drop_x", "get_secret", "a_secret", "nothing"]
tools = st.sampled_from(TOOLS)
numbers = st.integers() | st.floats() | st.decimals()
json_like = st.recursive(
    st.none() | st.booleans() | numbers | st.text() | st.just(10**4000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
amounts = json_like | st.integers(0, 100) | st.floats(0, 100) | st.decimals(0, 100).map(str)
call_args = st.fixed_dictionaries(
    {}, optional={"amount": amounts, "total": amounts, "x": json_like}
)
confidences = st.none() | st.floats() | st.floats(0, 1) | json_like
error_lists = st.lists(st.text(), max_size=2)


@settings(deadline=None)
@given(tools | st.text() | json_like, call_args | json_like, confidences, error_lists)
def test_judging_never_raises_and_the_strictest_rule_holds(tool, args, confidence, errors):
    verdict = judge(POLICY, tool, args, confidence=confidence, errors=errors)
    assert verdict.tier is max(hit.tier for hit in verdict.rules) is verdict.rules[0].tier
    assert [hit.tier for hit in verdict.rules] == sorted(
        (hit.tier for hit in verdict.rules), reverse=True
    )
    assert verdict.errors == tuple(error.replace("\x00", "\ufffd") for error in errors)
    assert verdict.reasons
    assert verdict.allowed_decisions
    assert judge(POLICY, tool, args, confidence=confidence, errors=errors) == verdict


@settings(deadline=None)
@given(tools, call_args, confidences)
def test_a_verdict_on_any_call_survives_json(tool, args, confidence):
    verdict = judge(POLICY, tool, args, confidence=confidence)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


money = st.integers(0, 100) | st.floats(0, 100) | st.decimals(0, 100, places=2)


@settings(deadline=None)
@given(tools, money, st.integers() | money | st.floats(allow_nan=False), confidences)
def test_a_higher_amount_never_lowers_the_tier(tool, low, high, confidence):
    assume(low <= high)
    before, after = (
        tier(tool, {"amount": amount, "total": amount}, confidence=confidence)
        for amount in (low, high)
    )
    assert after >= before


@settings(deadline=None)
@given(tools, call_args, st.floats(0, 1), st.floats(0, 1) | st.none() | st.just(math.nan))
def test_a_lower_or_unknown_confidence_never_lowers_the_tier(tool, args, high, low):
    assume(low is None or not low > high)
    assert tier(tool, args, confidence=low) >= tier(tool, args, confidence=high)


@settings(deadline=None)
@given(tools, call_args, confidences, error_lists, st.text())
def test_another_error_never_lowers_the_tier(tool, args, confidence, errors, error):
    before = tier(tool, args, confidence=confidence, errors=errors)
    after = tier(tool, args, confidence=confidence, errors=[*errors, error])
    assert after >= max(before, HARD)


@functools.cache
def with_entry(key: str, entry: str) -> Policy:
    data = POLICY.document.model_dump(mode="json", exclude_defaults=True) | {"version": 1}
    data[key] = [*dict.fromkeys([*data.get(key, []), entry])]
    return parse_policy(json.dumps(data))


@settings(deadline=None)
@given(
    tools,
    call_args,
    confidences,
    st.sampled_from(["always_gate", "never_run"]),
    tools | st.sampled_from(["*", "pay*", "?ove", "send_*"]),
)
def test_another_entry_in_a_list_never_lowers_the_tier(tool, args, confidence, key, entry):
    before = tier(tool, args, confidence=confidence)
    after = judge(with_entry(key, entry), tool, args, confidence=confidence)
    assert after.tier >= before
    if entry in {tool, "*"}:
        assert after.tier >= (BLOCK if key == "never_run" else HARD)


@functools.cache
def with_pattern(pattern: str, effect: str) -> Policy:
    data = POLICY.document.model_dump(mode="json", exclude_defaults=True) | {"version": 1}
    data["tools"][pattern] = {"effect": effect}
    return parse_policy(json.dumps(data))


@settings(deadline=None)
@given(tools, call_args, confidences, st.sampled_from(["read", "write", "irreversible"]))
def test_another_pattern_never_lowers_the_tier_of_a_tool_that_is_named(
    tool, args, confidence, effect
):
    before = judge(POLICY, tool, args, confidence=confidence)
    after = judge(with_pattern("*e*", effect), tool, args, confidence=confidence)
    assert after.tier >= before.tier or "unknown-tool" in ids(before)
