"""What `policies.yaml` may say, and where it is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_agent.errors import ConfigurationError, DocumentError
from hitl_agent.policy import DECISIONS, Facts, judge, load_policy, parse_policy
from hitl_agent.policy.document import matches, meet
from hitl_agent.policy.testing import run_tests

SHIPPED = Path(__file__).parents[2] / "policies.yaml"

EVERYTHING = """\
version: 1
escalation_policies:
  - action_type: refund
    auto_approve_threshold: 0.92
    soft_review_threshold: 0.75
    max_auto_approve_amount_inr: 5000
    require_two_reviewers_above_inr: 50000
    categories_always_review: [fraud]
    irreversible_actions_always_gate: true
    sla_seconds: 900
    audit: true
review_settings: {max_queue_depth: 100, reviewer_session_limit_minutes: 60,
  min_reviewers_per_task: 1, high_stakes_min_reviewers: 2, inter_rater_agreement_threshold: 0.7}
feedback_pipeline: {batch_size: 100, retrain_trigger: 500, min_agreement_for_training: 0.8,
  store: redis, audit_log: decisions}
audit_log: somewhere
always_gate: [send_email, "delete_*"]
never_run: ["drop_*"]
defaults: {sla_seconds: 3600, grant_ttl_seconds: 86400, workspace: data}
tools:
  refund_order:
    effect: write
    action_type: refund
    amount: args.total
    category: args.reason_code
    currency: args.currency
    counterparty: args.recipient
    open_world: false
    untrusted_output: false
    kinds: {query: sql, target: url, file: path, to: email}
    history: {day: {by: counterparty, seconds: 86400}}
    allowed_decisions: [approve, edit, reject, respond]
    redact: {"*": [card], support: [salary]}
    reviewers: {min: 2, roles: [finance]}
    sla: 900
    reason: money leaves the house
    rules:
      - id: small-refund
        when: amount <= 50 && history.day.count < 20 && !context.untrusted
        tier: auto_approve
        reason: small refunds may run
      - {id: night, when: now.getHours() < 6, tier: hard_gate, reviewers: {min: 2, roles: [lead]}}
tests:
  - name: a small one
    tool: refund_order
    args: {total: 20}
    confidence: 0.9
    category: other
    actor: ana
    now: "2026-03-01T09:30:00+00:00"
    untrusted: [read_mail]
    history: {day: {count: 1, sum: 20.5}}
    expect: {tier: auto_approve, rule: small-refund}
"""


def tool(text: str) -> str:
    return f"tools:\n  pay: {{{text}}}\n"


def action(text: str) -> str:
    return f"escalation_policies:\n  - {{action_type: pay, {text}}}\n"


def rule(text: str) -> str:
    return f"tools:\n  pay:\n    effect: write\n    rules:\n    - {{{text}}}\n"


def test_every_key_is_read():
    document = parse_policy(EVERYTHING).document
    refund = document.escalation_policies[0]
    assert refund.limits("max_auto_approve_amount") == {"INR": 5000}
    assert refund.limits("require_two_reviewers_above") == {"INR": 50_000}
    entry = document.tools["refund_order"]
    assert entry.redact == {"*": ("card",), "support": ("salary",)}
    assert entry.history["day"].by == "counterparty"
    assert [one.tier for one in entry.rules] == ["auto_approve", "hard_gate"]
    assert entry.rules[1].reviewers.roles == ("lead",)
    assert document.tests[0].history["day"].sum == 20.5
    assert document.review_settings.high_stakes_min_reviewers == 2


def test_what_is_not_said_has_safe_defaults():
    document = parse_policy("version: 1").document
    assert document.always_gate == document.never_run == document.escalation_policies == ()
    assert document.tools == {}
    assert document.defaults.sla_seconds is None
    assert document.defaults.grant_ttl_seconds == 86_400
    assert document.review_settings.min_reviewers_per_task == 1
    pay = parse_policy(tool("effect: write")).document.tools["pay"]
    assert (pay.allowed_decisions, pay.rules, pay.redact) == (DECISIONS, (), {})
    assert pay.action_type is pay.amount is pay.open_world is pay.reviewers is None


def test_a_list_of_arguments_is_hidden_from_everyone():
    assert parse_policy(tool("redact: [a, b]")).document.tools["pay"].redact == {"*": ("a", "b")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the document is empty; it holds: `version`, `escalation_policies`"),
        ("version: 2", "1:10: `version` is `2`; this release reads version 1"),
        ("version: true", "1:10: `version` is `true`; it should be a whole number"),
        ("neverrun: [a]", "1:1: unknown key `neverrun`, did you mean `never_run`?"),
        ("escalation_policy: []", "1:1: unknown key `escalation_policy`, did you mean"),
        ("always_gate: a", "1:14: `always_gate` is the text `a`; it should be a list"),
        ("always_gate:", "1:13: `always_gate` is `null`; it should be a list"),
        ("always_gate: [5]", "1:15: item 1 of `always_gate` is `5`; it should be text"),
        ("always_gate: [a, b, a]", "1:21: `a` is listed twice in `always_gate`"),
        ("never_run: ['a*?', 'a?*']", "1:20: `a?*` is listed twice in `never_run`"),
        ("never_run: ['a b']", "1:13: `a b` is no tool name; write 1 to 128 letters"),
        ("never_run: ['']", "1:13: `` is no tool name"),
        ("never_run: ['[ab]']", "1:13: `[ab]` is no tool name"),
        ("never_run: [d\u0435lete]", "1:13: `d\u0435lete` is no tool name"),
        ("tools:\n  a b: {effect: read}", "2:3: `a b` is no tool name"),
        ("tools: {a: write}", "1:12: `a` is the text `write`; it should be a mapping"),
        ("tools: {a: }", "1:11: `a` is `null`; it should be a mapping"),
        ("tools: {a: {effect: read}, a: {effect: write}}", "1:28: the key `a` is given twice"),
        ("tools:\n  'a*': {effect: read}\n  'a**': {effect: write}",
         "3:3: `a**` matches the same tools as `a*`; keep one"),
        ("defaults: {sla_seconds: 0}", "1:25: `sla_seconds` is `0`; it should be greater"),
        ("defaults: {sla_seconds: 1.5}", "1:25: `sla_seconds` is `1.5`; it should be a"),
        ("defaults: {grant_ttl_seconds: 99999999}", "1:31: `grant_ttl_seconds` is"),
        ("defaults: {grant_ttl_seconds: null}", "1:31: `grant_ttl_seconds` is `null`"),
        ("review_settings: {high_stakes_min_reviewers: 0}", "1:46: `high_stakes_min_reviewers`"),
        ("review_settings: {min_reviewers_per_task: }", "1:19: `min_reviewers_per_task` has no"),
        ("review_settings: {min_reviewer_per_task: 2}", "1:19: unknown key `min_reviewer_per_"),
        # escalation policies
        ("escalation_policies: [{}]", "1:23: `action_type` is missing"),
        (action("auto_approve_threshold: 1.1"), "2:48: `auto_approve_threshold` is `1.1`"),
        (action("auto_approve_threshold: -1"), "2:48: `auto_approve_threshold` is `-1`"),
        (action("auto_approve_threshold: true"), "2:48: `auto_approve_threshold` is `true`"),
        (action("auto_approve_threshold: .nan"), "2:48: `.nan` cannot be compared"),
        (action("auto_approve_threshold: 'no'"), "2:48: `auto_approve_threshold` is the text"),
        (action("auto_approve_threshold: "), "2:24: `auto_approve_threshold` has no value"),
        (action("auto_approve_treshold: 0.9"),
         "2:24: unknown key `auto_approve_treshold`, did you mean `auto_approve_threshold`?"),
        (action("auto_approve_threshold: 0.5, soft_review_threshold: 0.6"),
         "2:76: `soft_review_threshold` `0.6` is above `auto_approve_threshold` `0.5`"),
        (action("max_auto_approve_amount: '5'"), "2:49: `max_auto_approve_amount` is `5`; it"),
        (action("max_auto_approve_amount: -1"), "2:49: `max_auto_approve_amount` is `-1`"),
        (action("max_auto_approve_amount: true"), "2:49: `max_auto_approve_amount` is `true`"),
        (action("max_auto_approve_amount: 2e15"), "2:49: `max_auto_approve_amount` is"),
        (action("max_auto_approve_amount: "), "2:48: `max_auto_approve_amount` is `null`"),
        (action("max_auto_approve_amount_eu: 5"), "2:24: unknown key `max_auto_approve_amount_eu`"),
        (action("max_auto_approve_amount_xyz: 5"),
         "2:24: `xyz` in `max_auto_approve_amount_xyz` is no currency; write an ISO"),
        (action("max_auto_approve_amount_INR: 5"),
         "2:24: unknown key `max_auto_approve_amount_INR`, did you mean `max_auto_approve_amount_"),
        (action("max_auto_aprove_amount_inr: 5"),
         "2:24: unknown key `max_auto_aprove_amount_inr`, did you mean `max_auto_approve_amount_"),
        (action("require_two_reviewer_above_inr: 5"),
         "2:24: unknown key `require_two_reviewer_above_inr`, did you mean `require_two_reviewers"),
        (action("cats: 5"), "2:24: unknown key `cats`; known here: `action_type`"),
        (action("max_auto_approve_amount_eur: 50, require_two_reviewers_above_eur: 40"),
         "2:90: `require_two_reviewers_above_eur` `40` is below `max_auto_approve_amount` `50`"),
        (action("categories_always_review: "), "2:24: `categories_always_review` has no value"),
        (action("categories_always_review: fraud"), "2:50: `categories_always_review` is the text"),
        (action("categories_always_review: [' ']"), "2:51: this text is empty"),
        (action("irreversible_actions_always_gate: "), "2:24: `irreversible_actions_always_gate`"),
        (action("irreversible_actions_always_gate: yes"), "2:58: `irreversible_actions_"),
        ("escalation_policies: [{action_type: a}, {action_type: a}]",
         "1:55: `a` has an escalation policy already; keep one"),
        # tools
        (tool("efect: read"), "2:9: unknown key `efect`, did you mean `effect`?"),
        (tool("effect: unknown"), "2:17: `effect` is `unknown`; write `read`, `write` or"),
        (tool("effect: Read"), "2:17: `effect` is `Read`; write"),
        (tool("effect: "), "2:9: `effect` has no value; write one, or take the key out"),
        (tool("open_world: "), "2:9: `open_world` has no value"),
        (tool("open_world: 'false'"), "2:21: `open_world` is the text `false`; it should"),
        (tool("amount: ''"), "2:17: `amount` is empty"),
        (tool("amount: 50"), "2:17: `amount` is `50`; it should be text"),
        (tool("kinds: {a: uri}"), "2:20: `a` is `uri`; write `sql`, `url`, `path` or `email`"),
        (tool("kinds: {'a-b': url}"), "2:17: `a-b` cannot be named in a condition; write letters"),
        (tool("kinds: {in: url}"), "2:17: `in` is a word of the language; conditions cannot name"),
        (tool("history: {day: {by: tool}}"), "2:19: `seconds` is missing"),
        (tool("history: {day: {by: user, seconds: 5}}"), "2:29: `by` is `user`; write `tool`, `ac"),
        (tool("history: {day: {by: tool, seconds: 0}}"), "2:44: `seconds` is `0`"),
        (tool("allowed_decisions: []"), "2:28: `allowed_decisions` is empty; name one, or take"),
        (tool("allowed_decisions: [aprove]"),
         "2:29: item 1 of `allowed_decisions` is `aprove`; write `approve`, `edit`, `reject` or"),
        (tool("allowed_decisions: [edit, edit]"), "2:35: `edit` is listed twice"),
        (tool("redact: []"), "2:17: this list is empty"),
        (tool("redact: {support: []}"), "2:27: this list is empty"),
        (tool("redact: {support: card}"), "2:27: `support` is the text `card`; it"),
        (tool("reviewers: {min: 0}"), "2:26: `min` is `0`; it should be greater than or equal to"),
        (tool("reviewers: {min: 11}"), "2:26: `min` is `11`; it should be less than or equal"),
        (tool("reviewers: {role: [a]}"), "2:21: unknown key `role`, did you mean `roles`?"),
        (tool("reviewers: {roles: [a, a]}"), "2:32: `a` is listed twice in `roles`"),
        (tool("reviewers: {reject: two}"), "2:29: `reject` is `two`; write `one` or `majority`"),
        (tool("reviewers: {reject: }"), "2:21: `reject` has no value"),
        ("reviewers:", "1:11: `reviewers` is `null`; it should be a mapping"),
        ("reviewers: {}", "1:12: `reviewers` names nobody; name people, or take the key out"),
        ("reviewers: [ana]", "1:12: `reviewers` is a list"),
        ("reviewers: {ana: finance}", "1:18: `ana` is the text `finance`; it should be a list"),
        ("reviewers: {ana: }", "1:17: `ana` is `null`; it should be a list"),
        ("reviewers: {ana: [finance, finance]}", "1:28: `finance` is listed twice; keep one"),
        ("reviewers: {ana: [''], bo: []}", "1:19: "),
        ("reviewers: {ana: [], bo: [], 'A\u200bna ': []}", "1:30: "),
        ("reviewers: {ana: [], ANA: []}", "1:22: `ANA` is the same person as `ana`; keep one"),
        ('reviewers: {"\\u200b": []}', "1:13: `\\u200b` names nobody; write a name"),
        (tool("sla_seconds: 5"), "2:9: unknown key `sla_seconds`"),
        (tool("max_auto_approve_amount: 5"), "2:9: unknown key `max_auto_approve_amount`"),
        # rules
        (rule("id: a, tier: block"), "5:7: `when` is missing"),
        (rule("id: a, when: 'true'"), "5:7: `tier` is missing"),
        (rule("id: a b, when: 'true', tier: block"), "5:12: `a b` is no id; write 1 to 128"),
        (rule("id: a, when: true, tier: block"), "5:21: `when` is `true`; it should be text"),
        (rule("id: a, when: '', tier: block"), "5:21: `when` is empty"),
        (rule("id: a, when: 'true', tier: auto"), "5:35: `tier` is `auto`; write `auto_approve`"),
        (rule("id: a, when: 'true', tier: block, reviewers: {min: 2}"),
         "5:42: `reviewers` has no effect on `tier: block`; write `tier: hard_gate`"),
        (rule(f"id: a, when: '{'x' * 4001}', tier: block"), "5:21: `when` is the text"),
        (rule("id: a, when: 'true', tier: block, reason: "), "5:42: `reason` has no value"),
        ("tools: {a: {rules: [{id: b, when: 1 > 1, tier: block}, {id: b, when: x, tier: block}]}}",
         "1:61: rule `b` is there twice; give it another id"),
        ("tools: {a: {effect: irreversible, rules: [{id: b, when: 1 < 2, tier: soft_review}]}}",
         "1:70: rule `b` permits what is irreversible, and a person always decides that"),
        # tests
        ("tests: [{tool: a}]", "1:9: `expect` is missing"),
        ("tests: [{tool: a, expect: {tier: run}}]", "1:34: `tier` is `run`; write"),
        ("tests: [{tool: a, expect: {}}]", "1:19: `tier` is missing"),
        ("tests: [{tool: a, expect: {tier: block, rule: }}]", "1:41: `rule` has no value"),
    ],
)  # fmt: skip
def test_a_policy_with_a_fault_is_refused_where_the_fault_stands(text, message):
    with pytest.raises(DocumentError) as caught:
        parse_policy(text, file="p.yaml")
    assert str(caught.value).startswith("p.yaml:" + message)


# patterns


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


patterns = st.text("ab*?", min_size=1, max_size=8)


@settings(deadline=None)
@given(st.text("a*?", min_size=1, max_size=8), st.text("ab", max_size=8))
def test_patterns_that_count_as_one_match_the_same_tools(pattern, tool):
    from hitl_agent.policy.document import _normal

    assert matches(pattern, tool) == matches(_normal(pattern), tool)


@settings(deadline=None)
@given(patterns, patterns, st.text("ab", max_size=8))
def test_patterns_meet_if_a_tool_fits_both(one, other, tool):
    assert meet(one, other) == meet(other, one)
    if matches(one, tool) and matches(other, tool):
        assert meet(one, other)


@settings(deadline=None)
@given(st.text("ab*?", min_size=1, max_size=5), st.text("ab*?", min_size=1, max_size=5))
def test_patterns_that_meet_share_a_tool(one, other):
    from itertools import product

    names = ("".join(each) for size in range(11) for each in product("ab", repeat=size))
    shared = any(matches(one, name) and matches(other, name) for name in names)
    assert meet(one, other) == shared


def test_patterns_of_many_stars_are_quick():
    assert not matches("*a" * 60 + "b", "a" * 100_000)
    assert meet("*a" * 60 + "b", "a*" * 60 + "b")


# the policy as a whole


def test_the_digest_is_that_of_the_canonical_json():
    text = "version: 1\ntools: {b: {effect: read}, a: {effect: write, sla: 60}}"
    canonical = '{"tools":{"a":{"effect":"write","sla":60},"b":{"effect":"read"}},"version":1}'
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


def test_names_that_models_think_of_do_not_fill_the_memory():
    policy = parse_policy("tools: {'a*': {effect: read}}")
    for number in range(10_100):
        policy.plan(f"a{number}")
    policy.plan("a" * 1_000_000)
    assert len(policy._plans) <= 10_000
    assert max(map(len, policy._plans)) <= 128


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text("abc*?", min_size=1, max_size=4),
        st.fixed_dictionaries(
            {"effect": st.sampled_from(["read", "write", "irreversible", "x"])},
            optional={
                "sla": st.integers(-1, 100),
                "open_world": st.booleans() | st.none(),
                "amount": st.sampled_from(["total", "args.a + args.b", "args.", "amount"]),
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


# the policy that comes with the examples

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
    assert judge(load_policy(SHIPPED), tool, {}, Facts(untrusted=())).tier == tier


def test_the_shipped_policy_passes_its_own_tests_and_wants_no_remark():
    policy = load_policy(SHIPPED)
    assert policy.remarks == ()
    assert [str(one) for one in run_tests(policy) if not one.passed] == []
    assert len(policy.document.tests) > 5
