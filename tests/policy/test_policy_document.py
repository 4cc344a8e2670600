from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_agent.errors import ConfigurationError, DocumentError
from hitl_agent.policy import DECISIONS, judge, load_policy, parse_policy
from hitl_agent.policy.document import matches

SHIPPED = Path(__file__).parents[2] / "policies.yaml"


def rule(text: str) -> str:
    return f"version: 1\ntools:\n  pay: {{{text}}}\n"


def test_what_a_policy_does_not_say_has_safe_defaults():
    document = parse_policy("version: 1").document
    assert document.always_gate == document.never_run == ()
    assert document.tools == {}
    assert document.defaults.sla_seconds is None
    assert document.defaults.grant_ttl_seconds == 86_400
    pay = parse_policy(rule("effect: write")).document.tools["pay"]
    assert (pay.amount, pay.allowed_decisions, pay.reason) == ("amount", DECISIONS, "")
    assert (pay.max_auto_approve_amount, pay.auto_approve_threshold) == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the document is empty; it holds: `version`, `always_gate`"),
        ("tools: {}", "1:1: `version` is missing"),
        ("version: 2", "1:10: `version` is `2`; this release reads version 1"),
        ("version: true", "1:10: `version` is `true`; it should be a whole number"),
        ("version: 1.0", "1:10: `version` is `1.0`; it should be a whole number"),
        ("version: 1\nneverrun: [a]", "2:1: unknown key `neverrun`, did you mean `never_run`?"),
        ("version: 1\nalways_gate: a", "2:14: `always_gate` is the text `a`; it should be a list"),
        ("version: 1\nalways_gate: [5]", "2:15: item 1 of `always_gate` is `5`; it should be text"),
        ("version: 1\nalways_gate: [a, b, a]", "2:21: `a` is listed twice in `always_gate`"),
        ("version: 1\nnever_run: ['a*?', 'a?*']", "2:20: `a?*` is listed twice in `never_run`"),
        ("version: 1\nnever_run: ['a b']", "2:13: `a b` is no tool name; write 1 to 128 letters"),
        ("version: 1\nnever_run: ['']", "2:13: `` is no tool name"),
        ("version: 1\nnever_run: ['[ab]']", "2:13: `[ab]` is no tool name"),
        ("version: 1\nnever_run: [d\u0435lete]", "2:13: `d\u0435lete` is no tool name"),
        ("version: 1\ntools:\n  a b: {effect: read}", "3:3: `a b` is no tool name"),
        (
            "version: 1\ntools:\n  'a*': {effect: read}\n  'a**': {effect: write}",
            "4:3: `a**` matches the same tools as `a*`; keep one",
        ),
        (
            "version: 1\ntools:\n  a: {effect: read}\n  a: {effect: write}",
            "4:3: the key `a` is given",
        ),
        (
            "version: 1\ndefaults: {sla_seconds: 0}",
            "2:25: `sla_seconds` is `0`; it should be greater",
        ),
        (
            "version: 1\ndefaults: {sla_seconds: 1.5}",
            "2:25: `sla_seconds` is `1.5`; it should be a",
        ),
        ("version: 1\ndefaults: {grant_ttl_seconds: 99999999}", "2:31: `grant_ttl_seconds` is"),
        ("version: 1\ndefaults: {grant_ttl_seconds: null}", "2:31: `grant_ttl_seconds` is `null`"),
        (rule(""), "3:3: `effect` is missing"),
        (rule("efect: read"), "3:9: unknown key `efect`, did you mean `effect`?"),
        (rule("effect: unknown"), "3:17: `effect` is `unknown`; write `read`, `write` or"),
        (rule("effect: Read"), "3:17: `effect` is `Read`; write"),
        (
            rule("effect: read, max_auto_approve_amount: 5"),
            "3:48: `max_auto_approve_amount` has no effect here: a tool with `effect: read` always",
        ),
        (
            rule("effect: irreversible, auto_approve_threshold: 0.9"),
            "3:55: `auto_approve_threshold` has no effect here: a tool with `effect: irreversible`",
        ),
        (
            rule("effect: irreversible, soft_review_threshold: 0"),
            "3:54: `soft_review_threshold` has no effect here",
        ),
        (
            rule("effect: write, auto_approve_threshold: 0.5, soft_review_threshold: 0.6"),
            "3:76: `soft_review_threshold` `0.6` is above `auto_approve_threshold` `0.5`",
        ),
        (rule("effect: write, auto_approve_threshold: 1.1"), "3:48: `auto_approve_threshold` is"),
        (rule("effect: write, auto_approve_threshold: -1"), "3:48: `auto_approve_threshold` is"),
        (rule("effect: write, auto_approve_threshold: true"), "3:48: `auto_approve_threshold` is"),
        (rule("effect: write, auto_approve_threshold: .nan"), "3:48: `.nan` cannot be compared"),
        (rule("effect: write, max_auto_approve_amount: '5'"), "3:49: `max_auto_approve_amount` is"),
        (rule("effect: write, max_auto_approve_amount: -1"), "3:49: `max_auto_approve_amount` is"),
        (
            rule("effect: write, max_auto_approve_amount: 2e15"),
            "3:49: `max_auto_approve_amount` is",
        ),
        (rule("effect: write, amount: ''"), "3:32: `amount` is empty"),
        (rule("effect: write, amount: 50"), "3:32: `amount` is `50`; it should be text"),
        (rule("effect: write, allowed_decisions: []"), "3:43: `allowed_decisions` is empty; name"),
        (
            rule("effect: write, allowed_decisions: [aprove]"),
            "3:44: item 1 of `allowed_decisions` is `aprove`; write `approve`, `edit`, `reject` or",
        ),
        (rule("effect: write, allowed_decisions: [edit, edit]"), "3:50: `edit` is listed twice"),
        ("version: 1\ntools: {a: write}", "2:12: `a` is the text `write`; it should be a mapping"),
    ],
)
def test_a_policy_with_a_fault_is_refused_where_the_fault_stands(text, message):
    with pytest.raises(DocumentError) as caught:
        parse_policy(text, file="p.yaml")
    assert str(caught.value).startswith("p.yaml:" + message)


@pytest.mark.parametrize(
    ("pattern", "tool", "fits"),
    [
        ("send_email", "send_email", True),
        ("send_email", "send_emails", False),
        ("send_email", "Send_email", False),
        ("delete_*", "delete_", True),
        ("delete_*", "delete_all\n", True),
        ("delete_*", "xdelete_", False),
        ("*", "", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a.c", "abc", False),
    ],
)
def test_patterns(pattern, tool, fits):
    assert matches(pattern, tool) is fits


@settings(deadline=None)
@given(st.text("a*?", min_size=1, max_size=8), st.text("ab", max_size=8))
def test_patterns_that_count_as_one_match_the_same_tools(pattern, tool):
    from hitl_agent.policy.document import _normal

    assert matches(pattern, tool) == matches(_normal(pattern), tool)


def test_patterns_of_many_stars_are_quick():
    assert not matches("*a" * 60 + "b", "a" * 100_000)


def test_the_digest_is_that_of_the_canonical_json():
    text = "version: 1\ntools: {b: {effect: read}, a: {effect: write, sla_seconds: 60}}"
    canonical = (
        '{"tools":{"a":{"effect":"write","sla_seconds":60},"b":{"effect":"read"}},"version":1}'
    )
    expected = "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
    assert parse_policy(text).digest == expected
    assert parse_policy(canonical).digest == expected


def test_comments_and_the_order_of_keys_do_not_change_the_digest():
    one = parse_policy("version: 1\nnever_run: [a, b]\n")
    same = parse_policy("# why\nnever_run:\n- a  # c\n- b\nversion: 1")
    other = parse_policy("version: 1\nnever_run: [a]\n")
    assert one.digest == same.digest != other.digest
    assert one.text != same.text


def test_a_policy_knows_its_file_and_text(tmp_path: Path):
    path = tmp_path / "p.yaml"
    path.write_text("version: 1")
    policy = load_policy(path)
    assert (policy.file, policy.text) == (str(path), "version: 1")
    assert load_policy(str(path)) == policy
    assert parse_policy("version: 1").file == "policies.yaml"


def test_a_missing_policy_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="there is no file"):
        load_policy(tmp_path / "p.yaml")


def test_a_policy_does_not_change():
    policy = parse_policy("version: 1")
    with pytest.raises(AttributeError):
        policy.digest = "x"
    with pytest.raises(ValueError, match="frozen"):
        policy.document.version = 1


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text("abc*?", min_size=1, max_size=4),
        st.fixed_dictionaries(
            {"effect": st.sampled_from(["read", "write", "irreversible", "x"])},
            optional={
                "max_auto_approve_amount": st.integers(-1, 100),
                "auto_approve_threshold": st.floats(-0.1, 1.1),
                "soft_review_threshold": st.floats(-0.1, 1.1),
                "allowed_decisions": st.lists(st.sampled_from([*DECISIONS, "x"]), max_size=3),
            },
        ),
        max_size=4,
    )
)
def test_a_policy_is_read_or_refused(tools):
    try:
        policy = parse_policy(json.dumps({"version": 1, "tools": tools}))
    except DocumentError as error:
        assert error.line == 1  # noqa: PT017
    else:
        assert list(policy.document.tools) == list(tools)


EXPECTED = {
    "look_up_order": "auto_approve",
    "cancel_order": "hard_gate",
    "change_address": "hard_gate",
    "send_email": "hard_gate",
    "list_files": "auto_approve",
    "read_file": "auto_approve",
    "write_file": "hard_gate",
    "move_file": "hard_gate",
    "delete_file": "hard_gate",
    "sql_query": "auto_approve",
    "sql_execute": "hard_gate",
    "http_get": "hard_gate",
    "http_post": "hard_gate",
    "run_command": "hard_gate",
    "drop_table": "block",
    "anything_else": "hard_gate",
}


@pytest.mark.parametrize(("tool", "tier"), EXPECTED.items())
def test_the_shipped_policy_judges_the_example_tools(tool, tier):
    assert judge(load_policy(SHIPPED), tool, {}).tier == tier


@pytest.mark.parametrize(
    ("amount", "tier"),
    [(0, "auto_approve"), (50, "auto_approve"), ("50.00", "auto_approve"), (50.01, "hard_gate")],
)
def test_the_shipped_policy_lets_small_refunds_run(amount, tier):
    verdict = judge(load_policy(SHIPPED), "refund_order", {"amount": amount})
    assert (verdict.tier, verdict.sla_seconds) == (tier, 900)
