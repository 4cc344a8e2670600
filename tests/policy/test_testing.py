"""The tests that a policy brings along."""

from __future__ import annotations

import pytest

from hitl_agent.policy import Tier, parse_policy, testing

HEAD = """
tools:
  look: {effect: read, untrusted_output: true}
  pay:
    effect: write
    counterparty: to
    history: {day: {by: counterparty, seconds: 86400}, week: {by: tool, seconds: 604800}}
    rules:
      - {id: after-text, when: context.untrusted, tier: hard_gate}
      - id: small
        when: amount <= 50 && history.day.sum + amount <= 60.0 && history.week.count < 9
        tier: auto_approve
  guess:
    effect: write
    rules: [{id: sure, when: confidence >= 0.9, tier: auto_approve}]
  office:
    effect: write
    rules: [{id: day, when: 'now.getHours("UTC") < 18 && actor == "ana"', tier: auto_approve}]
escalation_policies:
  - {action_type: guess, categories_always_review: [fraud]}
tests:
"""


def outcomes(*tests: str) -> list[testing.TestOutcome]:
    text = HEAD + "".join(f"  - {one}\n" for one in tests)
    text = text.replace("PAY", "tool: pay, args: {amount: 2, to: x}")
    text = text.replace("SURE", "tool: guess, args: {category: x}")
    return testing.run_tests(parse_policy(text, file="my policy.yaml"))


def only(test: str) -> testing.TestOutcome:
    (found,) = outcomes(test)
    return found


@pytest.mark.parametrize(
    "test",
    [
        "{tool: look, expect: {tier: auto_approve}}",
        "{tool: look, untrusted: [look], expect: {tier: auto_approve}}",
        "{PAY, expect: {tier: auto_approve, rule: small}}",
        "{PAY, untrusted: [look], expect: {tier: hard_gate, rule: after-text}}",
        "{PAY, history: {day: {count: 1, sum: 58}}, expect: {tier: auto_approve}}",
        "{PAY, history: {day: {count: 1, sum: 58.1}}, expect: {tier: hard_gate}}",
        "{PAY, history: {week: {count: 9}}, expect: {tier: hard_gate}}",
        "{tool: guess, expect: {tier: hard_gate}}",
        "{SURE, confidence: 0.9, expect: {tier: auto_approve, rule: sure}}",
        "{SURE, confidence: 1, category: fraud, expect: {tier: hard_gate, rule: category}}",
        "{tool: office, expect: {tier: hard_gate, rule: error}}",
        '{tool: office, actor: ana, now: "2026-03-02T17:59:00Z", expect: {tier: auto_approve}}',
        '{tool: office, actor: ana, now: "2026-03-02T17:59:00-01:00", expect: {tier: hard_gate}}',
        '{tool: office, actor: bea, now: "2026-03-02T17:59:00Z", expect: {tier: hard_gate}}',
        "{tool: nobody_knows, expect: {tier: hard_gate, rule: unknown-tool}}",
    ],
)
def test_what_is_expected_comes(test):
    assert only(test).passed, str(only(test))


def test_a_test_that_fails_says_where_what_was_expected_and_what_came():
    (passed, failed) = outcomes(
        "{tool: look, expect: {tier: auto_approve}}",
        "{name: big, tool: pay, args: {amount: 51}, expect: {tier: auto_approve, rule: smal}}",
    )
    assert (passed.passed, failed.passed) == (True, False)
    line = HEAD.count("\n") + 2
    assert str(failed) == (
        f"my policy.yaml:{line}:5: `big`: expected auto_approve by rule `smal`;"
        " it is hard_gate by no-permission"
    )
    assert failed.verdict.tier is Tier.HARD_GATE


def test_the_rule_that_is_expected_has_to_be_behind_the_tier():
    test = "{PAY, untrusted: [look], expect: {tier: hard_gate, rule: small}}"
    assert not only(test).passed
    assert only("{tool: look, expect: {tier: auto_approve, rule: raed}}").message == (
        "test 1: expected auto_approve by rule `raed`, did you mean `read`?;"
        " it is auto_approve by read"
    )


@pytest.mark.parametrize("now", ["yesterday", "2026-03-02T17:59:00", "", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_fails_whatever_comes(now):
    found = only(f'{{tool: look, now: "{now}", expect: {{tier: auto_approve}}}}')
    assert not found.passed
    assert "write it like" in found.message


def test_a_span_that_the_tool_has_not_fails_whatever_comes():
    test = "{tool: pay, args: {amount: 1, to: x}, history: {dya: {}}, expect: {tier: auto_approve}}"
    found = only(test)
    assert not found.passed
    assert found.message == (
        "test 1: `pay` has no span of the past named `dya`, did you mean `day`?"
    )


def test_a_policy_without_tests_has_no_outcomes():
    assert testing.run_tests(parse_policy("tools: {look: {effect: read}}")) == []


def test_hostile_names_show_plainly():
    found = only('{name: "a\\u200b", tool: look, expect: {tier: block}}')
    assert "\u200b" not in str(found)
