"""Escalation policies: thresholds, limits, currencies, categories, and what cannot be undone."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from hitl_agent.policy import Facts, Policy, Tier, Verdict, judge, parse_policy

AUTO, SOFT, HARD, BLOCK = Tier

POLICY = parse_policy("""
escalation_policies:
  - action_type: refund
    auto_approve_threshold: 0.92
    soft_review_threshold: 0.75
    max_auto_approve_amount_inr: 5000
    require_two_reviewers_above_inr: 50000
    categories_always_review: [fraud, Chargeback dispute]
    irreversible_actions_always_gate: true
    sla_seconds: 900
  - {action_type: auto_only, auto_approve_threshold: 0.9}
  - {action_type: soft_only, soft_review_threshold: 0.7}
  - {action_type: limit_only, max_auto_approve_amount: 50}
  - {action_type: bare, auto_approve_threshold: 0.5, max_auto_approve_amount: 0.3}
  - action_type: several
    auto_approve_threshold: 0.5
    max_auto_approve_amount_eur: 100
    max_auto_approve_amount_jpy: 15000
    require_two_reviewers_above_eur: 1000
  - {action_type: mixed, auto_approve_threshold: 0.5, max_auto_approve_amount: 10,
     max_auto_approve_amount_inr: 1000}
  - action_type: listed
    auto_approve_threshold: 0.5
    irreversible_actions_always_gate: [wipe_disk, Account Closure, final_type, "erase_*"]
  - {action_type: generic, auto_approve_threshold: 0.1}
review_settings: {min_reviewers_per_task: 1, high_stakes_min_reviewers: 3}
tools:
  give_back: {effect: write, action_type: refund, amount: total, category: args.why.code,
    currency: args.coin, reviewers: {min: 1, roles: [finance]}, sla: 1200}
  rupees: {effect: write, action_type: refund, currency: INR}
  sum_up: {effect: write, action_type: bare, amount: args.a + args.b}
  stray: {effect: write, action_type: refunds}
  read_stray: {effect: read, action_type: refunds}
  final: {effect: irreversible, action_type: auto_only}
  look: {effect: read, action_type: refund}
  fetch: {effect: read, open_world: true, action_type: auto_only}
  wipe_disk: {effect: write, action_type: generic}
  erase_all: {effect: write, action_type: generic}
  of_final_type: {effect: write, action_type: final_type}
  "pay_*": {effect: write, action_type: refund}
  "*_cash": {effect: write, action_type: generic}
  "move_*": {effect: write, action_type: generic}
  "swap_*": {effect: write, amount: args.x}
  "*_refund": {effect: write, action_type: refund, amount: args.y}
""")


def verdict(tool: str, args: object = None, *, confidence: object = 0.95, **known) -> Verdict:
    args = {"amount": 100} if args is None else args
    return judge(POLICY, tool, args, Facts(confidence=confidence, **known))


def ids(found: Verdict) -> set[str]:
    """The rules of the verdict's tier."""
    return {hit.id for hit in found.rules if hit.tier is found.tier}


# confidence


@pytest.mark.parametrize(
    ("action", "confidence", "tier", "rule"),
    [
        ("refund", 1.0, AUTO, "auto-threshold"),
        ("refund", 1, AUTO, "auto-threshold"),
        ("refund", 0.92, AUTO, "auto-threshold"),
        ("refund", math.nextafter(0.92, 0), SOFT, "soft-threshold"),
        ("refund", 0.75, SOFT, "soft-threshold"),
        ("refund", math.nextafter(0.75, 0), HARD, "below-thresholds"),
        ("refund", 0, HARD, "below-thresholds"),
        ("auto_only", 0.9, AUTO, "auto-threshold"),
        ("auto_only", 0.8, HARD, "below-thresholds"),
        ("soft_only", 1.0, SOFT, "soft-threshold"),
        ("soft_only", 0.6, HARD, "below-thresholds"),
        ("limit_only", 1.0, HARD, "no-permission"),
        ("refund", None, HARD, "no-confidence"),
        ("refund", math.nan, HARD, "confidence-unreadable"),
        ("refund", math.inf, HARD, "confidence-unreadable"),
        ("refund", 1.0000001, HARD, "confidence-unreadable"),
        ("refund", -0.1, HARD, "confidence-unreadable"),
        ("refund", True, HARD, "confidence-unreadable"),
        ("refund", "1.0", HARD, "confidence-unreadable"),
        ("refund", [1.0], HARD, "confidence-unreadable"),
        ("refund", Decimal(1), HARD, "confidence-unreadable"),
        ("refund", 10**5000, HARD, "confidence-unreadable"),
    ],
    ids=range(22),
)
def test_confidence_is_held_against_the_thresholds(action, confidence, tier, rule):
    found = verdict(action, confidence=confidence)
    assert found.tier is tier
    assert rule in ids(found)


def test_the_numbers_are_in_the_reason():
    assert verdict("refund", confidence=0.5).reasons[0] == (
        "confidence 0.5 in `refund` is below 0.75"
    )
    assert verdict("refund", {"amount": 6000}).reasons[0] == (
        "the amount 6000 is above the limit of 5000 for `refund`"
    )


# amounts


@pytest.mark.parametrize(
    ("amount", "tier", "reviewers"),
    [
        (0, AUTO, 0),
        (5000, AUTO, 0),
        (5000.0, AUTO, 0),
        ("5000.00", AUTO, 0),
        ("5000.000000000000000000000001", HARD, 1),
        (5000.01, HARD, 1),
        (math.nextafter(5000.0, 5001), HARD, 1),
        (50_000, HARD, 1),
        ("50000.000000000000000000000001", HARD, 3),
        (2**62, HARD, 3),
    ],
)
def test_an_amount_above_a_limit_waits_for_one_or_for_more(amount, tier, reviewers):
    found = verdict("refund", {"amount": amount}, confidence=1.0)
    assert (found.tier, found.reviewers.min) == (tier, reviewers)


def test_above_the_second_amount_two_decide_where_nothing_asks_for_more():
    policy = parse_policy(
        "escalation_policies: [{action_type: pay, auto_approve_threshold: 0.1,"
        " require_two_reviewers_above: 10}]"
    )
    facts = Facts(confidence=0.9)
    assert judge(policy, "pay", {"amount": 10}, facts).tier is AUTO
    found = judge(policy, "pay", {"amount": 11}, facts)
    assert (found.tier, found.reviewers.min) == (HARD, 2)


@pytest.mark.parametrize(
    "amount",
    [
        None, True, False, math.nan, math.inf, -math.inf, -1, -0.01, "-1", "", "five", " 5", "5\n",
        "+5", "5.", ".5", "1e1", "0x10", "1_0", "1,000", "5,00", "\u0665", "NaN", "Infinity",
        "5 EUR", "9" * 31, 2**128, 10**5000, Decimal(5), [5], {"value": 5}, 5j, b"5",
    ],
    ids=range(33),
)  # fmt: skip
def test_an_amount_that_is_no_plain_number_waits(amount):
    for tool, args in (("refund", {"amount": amount}), ("sum_up", {"a": amount, "b": 0})):
        found = verdict(tool, args, confidence=1.0)
        assert found.tier is HARD
        assert "amount-unreadable" in ids(found)
        assert len(found.reasons[0]) < 200


def test_where_a_limit_exists_a_missing_amount_waits():
    assert ids(verdict("refund", {"Amount": 5})) == {"amount-unreadable"}
    assert ids(verdict("give_back", {"amount": 5, "why": {"code": "a"}})) == {"amount-unreadable"}
    assert ids(verdict("sum_up", {"a": 0.1})) == {"amount-unreadable"}
    assert ids(verdict("look", {})) == {"amount-unreadable"}, "of a tool that reads, too"
    assert verdict("auto_only", {}).tier is AUTO


def test_the_policy_says_where_the_amount_is():
    args = {"why": {"code": "late"}, "coin": "INR"}
    assert verdict("give_back", {**args, "amount": 9e9, "total": 5000}).tier is AUTO
    assert verdict("give_back", {**args, "amount": 1, "total": 5001}).tier is HARD
    assert verdict("sum_up", {"a": 0.1, "b": 0.1}).tier is AUTO
    assert verdict("sum_up", {"a": 0.1, "b": 0.25}).tier is HARD


def test_amounts_are_compared_as_they_are_written():
    """As doubles 0.1 + 0.2 is above 0.3, and the text `0.3` is not."""
    assert verdict("bare", {"amount": "0.3"}).tier is AUTO
    assert verdict("bare", {"amount": "0.30000000000000000000001"}).tier is HARD
    assert verdict("sum_up", {"a": 0.1, "b": 0.2}).tier is HARD


# currencies


@pytest.mark.parametrize(
    ("tool", "args", "rule"),
    [
        ("refund", {"amount": 100}, None),
        ("refund", {"amount": 100, "currency": "INR"}, None),
        ("refund", {"amount": 100, "currency": "inr"}, None),
        ("refund", {"amount": 100, "currency": "USD"}, "currency"),
        ("refund", {"amount": 100, "currency": "rupees"}, "currency-unreadable"),
        ("refund", {"amount": 100, "currency": ""}, "currency-unreadable"),
        ("refund", {"amount": 100, "currency": None}, "currency-unreadable"),
        ("refund", {"amount": 100, "currency": ["INR"]}, "currency-unreadable"),
        ("rupees", {"amount": 100, "currency": "USD"}, None),
        ("several", {"amount": 100, "currency": "EUR"}, None),
        ("several", {"amount": 101, "currency": "EUR"}, "amount-limit"),
        ("several", {"amount": 2000, "currency": "EUR"}, "two-reviewers"),
        ("several", {"amount": 100}, "currency-unreadable"),
        ("several", {"amount": 100, "currency": "USD"}, "currency"),
        # a second amount in euros says nothing of yen
        ("several", {"amount": 100, "currency": "JPY"}, "currency"),
        ("bare", {"amount": 0.1, "currency": "USD"}, None),
        ("bare", {"amount": 0.1, "currency": "XYZ"}, "currency-unreadable"),
        ("bare", {"amount": 0.1}, None),
        ("mixed", {"amount": 10, "currency": "EUR"}, None),
        ("mixed", {"amount": 11, "currency": "EUR"}, "amount-limit"),
        ("mixed", {"amount": 1000, "currency": "INR"}, None),
        ("mixed", {"amount": 5}, "currency-unreadable"),
    ],
)
def test_currencies_never_mix(tool, args, rule):
    found = verdict(tool, args)
    assert found.tier is (HARD if rule else AUTO)
    assert rule is None or rule in ids(found)


# categories


@pytest.mark.parametrize(
    ("category", "rule"),
    [
        ("late", None),
        ("fraud", "category"),
        ("FRAUD", "category"),
        (" Fraud ", "category"),
        ("fr\u200baud", "category"),
        ("\uff46raud", "category"),
        ("chargeback_dispute", "category"),
        ("CHARGEBACK-Dispute", "category"),
        (["late", "fraud"], "category"),
        (["late"], None),
        (["late", 5], "category-unreadable"),
        (None, "category-unreadable"),
        (5, "category-unreadable"),
        ({"code": "late"}, "category-unreadable"),
    ],
)
def test_a_listed_category_waits(category, rule):
    for tool, args in (
        ("refund", {"amount": 1, "category": category}),
        ("give_back", {"total": 1, "why": {"code": category}}),
    ):
        found = verdict(tool, args)
        assert found.tier is (HARD if rule else AUTO)
        assert rule is None or rule in ids(found)


def test_a_missing_category_waits_only_where_the_policy_says_where_it_is():
    assert verdict("refund", {"amount": 1}).tier is AUTO
    assert ids(verdict("give_back", {"total": 1, "why": {}})) == {"category-unreadable"}
    assert ids(verdict("give_back", {"total": 1})) == {"category-unreadable"}


def test_a_category_that_is_told_beside_the_call_does_not_hide_its_own():
    call = {"amount": 1, "category": "fraud"}
    assert ids(verdict("refund", call, category="late")) == {"category"}
    assert ids(verdict("refund", {"amount": 1, "category": "late"}, category="Fraud"))
    assert ids(verdict("refund", {"amount": 1}, category="fraud")) == {"category"}
    assert ids(verdict("refund", {"amount": 1, "category": 5}, category="late"))
    assert verdict("refund", {"amount": 1, "category": 5}, category="late").tier is HARD
    assert verdict("refund", {"amount": 1}, category=5).tier is HARD
    assert verdict("refund", {"amount": 1}, category="late").tier is AUTO
    assert verdict("give_back", {"total": 1}, category="late").tier is HARD, "its own is missing"


# what cannot be undone


def test_an_irreversible_tool_waits_whatever_the_confidence_is():
    found = verdict("final", confidence=1.0)
    assert (found.tier, found.reviewers.min) == (HARD, 3)


@pytest.mark.parametrize("tool", ["wipe_disk", "erase_all", "of_final_type"])
def test_what_is_listed_as_final_waits_wherever_the_list_stands(tool):
    found = verdict(tool, confidence=1.0)
    assert (found.tier, found.reviewers.min) == (HARD, 3)
    assert "irreversible" in ids(found)


def test_a_category_that_is_listed_as_final_waits():
    assert ids(verdict("listed", {"category": "account_closure"})) == {"irreversible"}
    assert verdict("listed", {"category": "other"}).tier is AUTO
    assert verdict("generic", {"category": "account_closure"}).tier is AUTO, "of its type alone"


# which escalation policy holds


def test_a_tool_is_judged_by_the_action_type_of_its_entry_or_its_own_name():
    assert verdict("refund").tier is AUTO
    assert verdict("refund").sla_seconds == 900
    args = {"total": 1, "why": {"code": "a"}}
    assert verdict("give_back", args).sla_seconds == 900, "the shorter of the two"
    assert verdict("give_back", {**args, "total": 6000}).reviewers.roles == ("finance",)


@pytest.mark.parametrize("tool", ["nothing", "", "Refund", "refund ", "x" * 129, "stray"])
def test_what_is_named_nowhere_waits(tool):
    found = verdict(tool, confidence=1.0)
    assert found.tier is HARD
    assert ids(found) & {"unknown-tool", "unknown-action-type"}


def test_an_action_type_that_is_named_nowhere_waits_even_for_a_read():
    assert "unknown-action-type" in ids(verdict("read_stray"))
    policy = parse_policy("tools: {look: {effect: read, action_type: lookup}}")
    assert judge(policy, "look", {}).tier is HARD


def test_a_read_passes_without_confidence_and_not_when_it_goes_out():
    assert verdict("look", {"amount": 5000}, confidence=None).tier is AUTO
    assert verdict("look", {"amount": 5001}, confidence=None).tier is HARD
    assert verdict("look", {"amount": 5, "category": "fraud"}, confidence=None).tier is HARD
    assert verdict("fetch", {}, confidence=0.9).tier is AUTO
    assert verdict("fetch", {}, confidence=0.8).tier is HARD
    assert verdict("fetch", {}, confidence=None).tier is HARD


def test_of_several_action_types_the_strictest_answer_holds():
    assert verdict("pay_cash", confidence=0.5).tier is HARD
    assert verdict("pay_cash", confidence=0.8).tier is SOFT
    assert verdict("pay_cash", {"amount": 5001}, confidence=1.0).tier is HARD
    assert verdict("pay_cash", {"amount": 1}, confidence=1.0).tier is AUTO
    assert verdict("xx_cash", {}, confidence=0.1).tier is AUTO


def test_a_pattern_takes_no_limit_from_a_tool_that_has_its_own():
    """An action type by a pattern is added to the escalation policy of the tool's own name."""
    strict = """
escalation_policies:
  - {action_type: move_money, auto_approve_threshold: 0.9, max_auto_approve_amount: 10}
  - {action_type: generic, auto_approve_threshold: 0.1}
tools:
"""
    for entry in ("move_money: {effect: write}", "'*': {effect: write}"):
        alone = parse_policy(strict + "  " + entry)
        more = parse_policy(
            strict + "  " + entry + "\n  'move_*': {effect: write, action_type: generic}"
        )
        for policy in (alone, more):
            assert judge(policy, "move_money", {"amount": 11}, Facts(confidence=1.0)).tier is HARD
            assert judge(policy, "move_money", {"amount": 1}, Facts(confidence=0.5)).tier is HARD
            assert judge(policy, "move_money", {"amount": 1}, Facts(confidence=0.9)).tier is AUTO


def test_where_patterns_disagree_about_the_amount_a_person_decides():
    found = verdict("swap_refund", {"amount": 1, "x": 1, "y": 1})
    assert found.reasons[0].startswith(
        "the amount of `swap_refund` is told in different ways by several patterns"
    )
    assert found.tier is HARD


def test_a_policy_without_thresholds_never_lets_a_call_run():
    found = verdict("limit_only", {"amount": 1}, confidence=1.0)
    assert found.reasons[0] == "`limit_only` has no threshold, and nothing permits `limit_only`"


def with_rule(tier: str) -> Policy:
    return parse_policy(f"""
escalation_policies:
  - action_type: pay
    auto_approve_threshold: 0.9
    max_auto_approve_amount_eur: 50
    require_two_reviewers_above_eur: 500
    categories_always_review: [fraud]
    irreversible_actions_always_gate: [closure]
tools:
  pay:
    effect: write
    rules: [{{id: known, when: args.to == "ana", tier: {tier}}}]
""")


@pytest.mark.parametrize("tier", ["auto_approve", "soft_review"])
def test_a_permission_takes_the_place_of_the_thresholds_and_of_nothing_else(tier):
    policy = with_rule(tier)

    def judged(confidence: float | None = None, **args: object) -> Tier:
        return judge(policy, "pay", {"amount": 5, "to": "ana", **args}, Facts(confidence)).tier

    assert judged() == tier
    assert judged(0.1) == tier
    assert judged(0.95) == tier, "soft review by a permission stays what it is"
    assert judged(to="bob") is HARD
    assert judged(0.95, to="bob") is AUTO
    assert judged(amount=51) is HARD
    assert judged(amount=501) is HARD
    assert judged(amount=None) is HARD
    assert judged(currency="USD") is HARD
    assert judged(category="fraud") is HARD
    assert judged(category="closure") is HARD
    assert judge(policy, "pay", {"to": "ana"}, Facts(None)).tier is HARD
