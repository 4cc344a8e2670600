"""What changed from one policy to another."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.policy import judge, parse_policy
from hitl_agent.policy.changes import Direction
from hitl_agent.policy.comparison import Change, compare
from hitl_agent.policy.weakening import weakened

BASE = """\
# the desk
version: 1
always_gate: [send, "delete_*"]
never_run: ["drop_*"]
defaults: {sla_seconds: 3600}
escalation_policies:
  - action_type: refund
    auto_approve_threshold: 0.92
    soft_review_threshold: 0.75
    max_auto_approve_amount_inr: 5000
    categories_always_review: [fraud]
    irreversible_actions_always_gate: true
tools:
  look: {effect: read}
  pay:
    effect: write
    action_type: refund
    reviewers: {min: 2, roles: [finance]}
    allowed_decisions: [approve, reject]
    rules:
      - {id: small, when: amount <= 50, tier: auto_approve}
      - {id: late, when: amount > 500 || args.late == true, tier: hard_gate}
tests:
  - {name: looking, tool: look, expect: {tier: auto_approve}}
"""

LOOSER, STRICTER, CHANGED = Direction
ESCALATION = "escalation_policies[refund]"


def changes(old: str, new: str) -> list[Change]:
    return compare(parse_policy(old, file="old.yaml"), parse_policy(new, file="new.yaml"))


def turned(*replacements: tuple[str, str]) -> list[tuple[str, object, object, Direction]]:
    """The changes from the base to what replacing text makes of it."""
    new = BASE
    for before, after in replacements:
        assert before in new
        new = new.replace(before, after, 1)
    there = [(one.path, one.old, one.new, one.direction) for one in changes(BASE, new)]
    back = [(one.path, one.new, one.old, one.direction) for one in changes(new, BASE)]
    opposite = {LOOSER: STRICTER, STRICTER: LOOSER, CHANGED: CHANGED}
    forth = [(path, old, new, opposite[way]) for path, old, new, way in there]
    assert sorted(map(repr, forth)) == sorted(map(repr, back))
    return there


def test_a_policy_means_what_it_means():
    assert changes(BASE, BASE) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# the desk\n", ""),
        ("version: 1\n", ""),
        ('[send, "delete_*"]', '\n  - "delete_*"\n  - send\n'),
        (
            "defaults: {sla_seconds: 3600}",
            "defaults: {grant_ttl_seconds: 86400, sla_seconds: 3600}",
        ),
        ("[fraud]", "[Fraud]"),
        ("    irreversible_actions_always_gate: true\n", ""),
        ("{effect: read}", "{effect: read, open_world: false, reviewers: {min: 1}}"),
        ("[approve, reject]", "[reject, approve]"),
        ("0.75", "0.750"),
    ],
)
def test_layout_order_and_defaults_are_no_change(before, after):
    assert turned((before, after)) == []


@pytest.mark.parametrize(
    ("before", "after", "path", "direction"),
    [
        ("0.92", "0.9", ESCALATION + ".auto_approve_threshold", LOOSER),
        ("0.92", "0.95", ESCALATION + ".auto_approve_threshold", STRICTER),
        ("    soft_review_threshold: 0.75\n", "", ESCALATION + ".soft_review_threshold", STRICTER),
        ("5000", "5001", ESCALATION + ".max_auto_approve_amount_inr", LOOSER),
        (
            "    max_auto_approve_amount_inr: 5000\n", "",
            ESCALATION + ".max_auto_approve_amount_inr", LOOSER,
        ),
        (
            "5000", "5000\n    max_auto_approve_amount_eur: 50",
            ESCALATION + ".max_auto_approve_amount_eur", CHANGED,
        ),
        (
            "5000", "5000\n    require_two_reviewers_above_inr: 9000",
            ESCALATION + ".require_two_reviewers_above_inr", STRICTER,
        ),
        ("[fraud]", "[fraud, theft]", ESCALATION + ".categories_always_review", STRICTER),
        (
            "    categories_always_review: [fraud]\n", "",
            ESCALATION + ".categories_always_review", LOOSER,
        ),
        ("gate: true", "gate: [gift]", ESCALATION + ".irreversible_actions_always_gate", STRICTER),
        ("gate: true", "gate: true\n    sla_seconds: 60", ESCALATION + ".sla_seconds", CHANGED),
        ('[send, "delete_*"]', '["delete_*"]', "always_gate", LOOSER),
        ('[send, "delete_*"]', '[send, "delete_*", delete_all]', "always_gate", CHANGED),
        ('["drop_*"]', '["drop_*", wipe]', "never_run", STRICTER),
        ("{sla_seconds: 3600}", "{sla_seconds: 60}", "defaults.sla_seconds", CHANGED),
        (
            "{sla_seconds: 3600}", "{sla_seconds: 3600, grant_ttl_seconds: 86401}",
            "defaults.grant_ttl_seconds", LOOSER,
        ),
        ("{effect: read}", "{effect: write}", "tools.look.effect", STRICTER),
        ("{effect: read}", "{effect: read, open_world: true}", "tools.look.open_world", STRICTER),
        ("{effect: read}", "{effect: read, reason: x}", "tools.look.reason", CHANGED),
        ("{effect: read}", "{effect: read, redact: [card]}", "tools.look.redact.*", CHANGED),
        ("{effect: read}", "{effect: read, kinds: {x: url}}", "tools.look.kinds.x", CHANGED),
        ("min: 2", "min: 3", "tools.pay.reviewers.min", STRICTER),
        ("[finance]", "[]", "tools.pay.reviewers.roles", LOOSER),
        ("min: 2", "min: 2, reject: majority", "tools.pay.reviewers.reject", LOOSER),
        ("[approve, reject]", "[approve, edit, reject]", "tools.pay.allowed_decisions", LOOSER),
        ("[approve, reject]", "[reject]", "tools.pay.allowed_decisions", STRICTER),
        ("<= 50", "<= 51", "tools.pay.rules[small].when", LOOSER),
        ("<= 50", "< 50", "tools.pay.rules[small].when", CHANGED),
        ("> 500", "> 600", "tools.pay.rules[late].when", LOOSER),
        ("> 500", "> 400", "tools.pay.rules[late].when", STRICTER),
        ("tier: auto_approve}\n", "tier: soft_review}\n", "tools.pay.rules[small].tier", STRICTER),
        ("tier: hard_gate}\n", "tier: block}\n", "tools.pay.rules[late].tier", STRICTER),
        (
            "tier: hard_gate}\n", "tier: hard_gate, reason: x}\n",
            "tools.pay.rules[late].reason", CHANGED,
        ),
        ("name: looking, tool: look", "name: looking, tool: pay", "tests[looking]", CHANGED),
    ],
)  # fmt: skip
def test_a_change_is_told_with_its_direction(before, after, path, direction):
    found = turned((before, after))
    assert [(one[0], one[3]) for one in found] == [(path, direction)]


PEOPLE = "reviewers: {ana: [finance], bo: []}"


@pytest.mark.parametrize(
    ("new", "path", "was", "now", "direction"),
    [
        ("", "reviewers", {"ana": ["finance"], "bo": []}, None, LOOSER),
        ("reviewers: {ana: [finance], bo: [], cy: []}", "reviewers", None, "cy", LOOSER),
        ("reviewers: {ana: [finance]}", "reviewers", "bo", None, STRICTER),
        ("reviewers: {ana: [finance], bo: [legal]}", "reviewers.bo", None, "legal", LOOSER),
    ],
)
def test_people_who_may_decide_are_told_with_their_direction(new, path, was, now, direction):
    there = [(one.path, one.old, one.new, one.direction) for one in changes(PEOPLE, new or "{}")]
    back = [(one.path, one.old, one.new, one.direction) for one in changes(new or "{}", PEOPLE)]
    assert there == [(path, was, now, direction)]
    assert back == [(path, now, was, STRICTER if direction is LOOSER else LOOSER)]


def test_another_spelling_of_a_person_is_no_change():
    assert changes(PEOPLE, "reviewers: {BO: [], Ana: [finance]}") == []


@pytest.mark.parametrize(
    ("rule", "direction"),
    [
        ("{id: new, when: amount <= 5, tier: auto_approve}", LOOSER),
        ("{id: new, when: amount <= 5, tier: soft_review}", CHANGED),  # what ran is looked at
        ("{id: new, when: amount <= 5, tier: hard_gate}", STRICTER),
        ("{id: new, when: amount <= 5, tier: block}", STRICTER),
    ],
)
def test_a_rule_that_is_added_loosens_or_tightens_by_its_tier(rule, direction):
    rules = "      - {id: small"
    ((path, old, new, way),) = turned((rules, f"      - {rule}\n{rules}"))
    assert (path, old, way) == ("tools.pay.rules[new]", None, direction)
    assert new["when"] == "amount <= 5"


def test_a_tool_that_is_added_is_told_key_by_key():
    found = turned(("  look: {effect: read}", "  look: {effect: read}\n  ask: {effect: read}"))
    assert found == [("tools.ask.effect", None, "read", LOOSER)]
    found = turned(
        ("  look: {effect: read}", "  look: {effect: read}\n  ask: {effect: irreversible}")
    )
    assert found == [("tools.ask.effect", None, "irreversible", STRICTER)]


def test_what_another_pattern_may_say_has_no_clear_direction():
    old = 'tools: {"a*": {effect: read}, ask: {effect: write}}'
    new = 'tools: {"a*": {effect: read}, ask: {reason: x}}'
    assert [(one.path, one.direction) for one in changes(old, new)] == [
        ("tools.ask.effect", CHANGED),
        ("tools.ask.reason", CHANGED),
    ]


def test_an_escalation_policy_that_is_added_lets_run_by_its_thresholds():
    new = BASE.replace("tools:\n", "  - {action_type: gift, auto_approve_threshold: 0.9}\ntools:\n")
    (found,) = changes(BASE, new)
    assert (found.path, found.direction) == ("escalation_policies[gift]", LOOSER)
    assert found.new == {"action_type": "gift", "auto_approve_threshold": 0.9}
    (back,) = changes(new, BASE)
    assert (back.path, back.new, back.direction) == ("escalation_policies[gift]", None, STRICTER)


def test_the_place_is_that_in_the_new_file():
    (one,) = changes(BASE, BASE.replace("0.92", "0.9").replace("# the desk", "\n# the desk"))
    assert (one.line, one.column) == (9, 29)
    (gone,) = changes(BASE, BASE.replace("[send, ", "["))
    assert (gone.line, gone.column) == (3, 14)  # of the list that it stood in


def test_changes_are_in_the_order_of_the_new_file():
    new = BASE.replace("[send, ", "[").replace("0.92", "0.9").replace("min: 2", "min: 1")
    lines = [one.line for one in changes(BASE, new)]
    assert len(lines) == 3
    assert lines == sorted(lines)


CONDITIONS = st.deferred(
    lambda: st.one_of(
        st.tuples(
            st.sampled_from(["args.a", "args.b"]),
            st.sampled_from(["<", "<=", ">", ">="]),
            st.integers(0, 9),
        ).map(lambda part: " ".join(map(str, part))),
        st.tuples(CONDITIONS, st.sampled_from(["&&", "||"]), CONDITIONS).map(
            lambda part: f"({part[0]}) {part[1]} ({part[2]})"
        ),
        CONDITIONS.map(lambda part: f"!({part})"),
        CONDITIONS.map(lambda part: f"({part}) == false"),
    )
)


@given(CONDITIONS, st.data())
def test_a_weaker_condition_holds_wherever_the_stronger_one_does(text, data):
    words = text.split(" ")
    numbers = [i for i, word in enumerate(words) if word.strip("()").isdigit()]
    changed = data.draw(st.sets(st.sampled_from(numbers)))
    for index in changed:
        digit = words[index].strip("()")
        words[index] = words[index].replace(digit, str(data.draw(st.integers(0, 9))))
    other = " ".join(words)
    answer = weakened(text, other)
    if text == other:
        assert answer is None
    if answer is None:
        return
    strong, weak = (text, other) if answer else (other, text)
    policy = parse_policy(json.dumps({"tools": {"t": {"effect": "read", "rules": [
        {"id": "strong", "when": strong, "tier": "hard_gate"},
        {"id": "weak", "when": weak, "tier": "hard_gate"},
    ]}}}))  # fmt: skip
    for a in range(-1, 11):
        for b in range(-1, 11):
            verdict = judge(policy, "t", {"a": a, "b": b})
            assert verdict.errors == ()
            ids = {hit.id for hit in verdict.rules}
            assert "weak" in ids or "strong" not in ids


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("amount <= 50", "amount <= 60", True),
        ("amount <= 50 && args.x == 'a'", "amount <= 40 && args.x == 'a'", False),
        ("amount >= 50.5", "amount >= 1e1", True),
        ("amount <= 50 && confidence > 0.8", "amount <= 60 && confidence > 0.9", None),
        ("amount <= 50", "amount < 50", None),
        ("amount == 50", "amount == 60", None),
        ("args.a + amount <= 50.0 && x < 3", "args.a + amount <= 60.0 && x < 3", True),
        ('args["a"] <= 50', 'args["a"] <= 40', False),
        ("[amount <= 50][0]", "[amount <= 60][0]", None),
        ("amount <= -50", "amount <= -60", None),
        ("amount <= 50 - args.x", "amount <= 60 - args.x", None),
        ("args.x - 50 <= amount", "args.x - 60 <= amount", None),
        ("args.x.filter(y, y <= 50).size() < 3", "args.x.filter(y, y <= 60).size() < 3", None),
        ("amount <= 50 ? true : false", "amount <= 60 ? true : false", None),
        ("args.x == 'amount <= 50'", "args.x == 'amount <= 60'", None),
        ("amount <= 50", "amount <= 50.0", None),
        ("amount <= 50", "amount <= 50 && args.x", None),
        ("amount <= 0x10", "amount <= 0x20", None),
        ("", "", None),
    ],
)
def test_only_what_is_plain_to_see_is_said(old, new, answer):
    assert weakened(old, new) is answer
