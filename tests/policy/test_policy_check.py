"""What a policy is told at load: wrong conditions and their places, and what is hardly meant."""

from __future__ import annotations

import json

import pytest

from hitl_agent.errors import DocumentError
from hitl_agent.policy import parse_policy


def refused(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        parse_policy(text, file="p")
    return str(caught.value)


def remarks(text: str) -> list[str]:
    return [str(one) for one in parse_policy(text, file="p").remarks]


def marked(text: str) -> tuple[str, str]:
    """Return a text without the mark `¦`, and where that stood."""
    before, _, after = text.partition("¦")
    column = len(before) - before.rfind("\n")
    return before + after, f"p:{before.count(chr(10)) + 1}:{column}: "


def permitting(when: str, tool: str = "pay: {effect: write", tier: str = "auto_approve") -> str:
    return f"tools:\n  {tool}, rules: [{{id: a, when: {when}, tier: {tier}}}]}}\n"


# where a condition is wrong

HEAD = "tools:\n  pay:\n    effect: write\n    rules:\n    - id: a\n      tier: block\n"


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("¦amoun > 5", "nothing is named `amoun`"),
        ("tool == 'é' && ¦amoun > 5", "nothing is named `amoun`"),
        ("'¦amoun > 5'", "nothing is named `amoun`"),
        ("'tool == ''a'' && ¦amoun > 5'", "nothing is named `amoun`"),
        (r'"tool == \"a\" && ¦amoun > 5"', "nothing is named `amoun`"),
        (r'"tool == \x22a\u0022 && ¦amoun > 5"', "nothing is named `amoun`"),
        ("\"tool ==\\t'a' && ¦amoun > 5\"", "nothing is named `amoun`"),
        ("  amount >¦", "it ends too early"),
        ("amount > 5 ¦and open_world # why", "`and` is not known here"),
        ("|\n        amount > 5 &&\n        ¦amoun > 5", "nothing is named `amoun`"),
        ("|\n        amount > 5 &&\n          ¦amoun > 5", "nothing is named `amoun`"),
        ("|2\n        amount > 5 &&\n          ¦amoun > 5", "nothing is named `amoun`"),
        (">-\n        amount > 5 &&\n        ¦amoun > 5", "nothing is named `amoun`"),
        ("amount > 5 &&\n        ¦amoun > 5", "nothing is named `amoun`"),
        ('"amount > 5 &&\n        ¦amoun > 5"', "nothing is named `amoun`"),
        ("'amount > 5 &&\n\n        ¦amoun > 5'", "nothing is named `amoun`"),
        ("¦args.a", "it can be something else than true or false"),
        ("args.a ¦/ args.b > 5", "divide by a number other than 0"),
        ('tool.matches(¦"[a")', '`"[a"` never has an answer: invalid regular expression'),
        ("¦1 / 2", "it is a whole number, neither true nor false"),
    ],
)
def test_a_wrong_condition_is_refused_at_its_place_in_the_file(when, what):
    text, place = marked(f"{HEAD}      when: {when}\n      reason: why\n")
    error = refused(text)
    assert error.startswith(f"{place}the condition of rule `a` is refused: {what}")


def test_a_condition_that_never_has_an_answer_is_refused():
    text, place = marked(permitting("¦'1 + {}[\"a\"] == 1'"))
    assert refused(text) == (
        f"{place}the condition of rule `a` never has an answer: there is no `a`"
    )


def test_a_condition_that_is_too_long_is_refused():
    text, place = marked(permitting("¦'" + " || ".join(["amount > 5"] * 400) + "'"))
    assert refused(text).startswith(f"{place}`when` is")


def test_the_wrong_one_of_several_conditions_is_named():
    rules = [{"id": f"r{n}", "tier": "block", "when": f"amount > {n}"} for n in range(60)]
    rules[37]["when"] = "amount >¦"
    data = {"tools": {"pay": {"effect": "write", "rules": rules}}}
    text, place = marked(json.dumps(data, indent=0, ensure_ascii=False))
    assert refused(text).startswith(f"{place}the condition of rule `r37` is refused")


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("amount: args.a +¦", "`amount` is refused: it ends too early"),
        ("amount: 'args.a + ¦totl'", "`amount` is refused: nothing is named `totl`"),
        ("amount: ¦amount * 2.0", "`amount` is refused: nothing is named `amount`"),
        ("category: args.b - ¦a", "`category` is refused: nothing is named `a`"),
        ("currency: euro ¦coins", "`currency` is refused: `coins` is not expected here"),
        ("counterparty: '[args.to¦'", "`counterparty` is refused: it ends too early"),
    ],
)
def test_a_wrong_reading_is_refused_at_its_place(entry, what):
    text, place = marked(f"tools:\n  pay: {{effect: write, {entry}}}")
    assert refused(text).startswith(place + what)


def test_a_currency_is_a_code_or_is_read():
    for told in ("EUR", "eur", "args.currency", "coin", "args['coin']"):
        assert parse_policy(f'tools: {{pay: {{effect: write, currency: "{told}"}}}}')


# permissions

FINAL = "which is irreversible, and a person always decides that; name the tools that it is for"
LISTED = "escalation_policies: [{action_type: %s, irreversible_actions_always_gate: [%s]}]"


@pytest.mark.parametrize(
    ("tool", "more", "what"),
    [
        ("pay: {effect: irreversible", "", "rule `a` permits what is irreversible"),
        ("'*': {effect: irreversible", "", "rule `a` permits what is irreversible"),
        ("'*': {sla: 5", "  wipe: {effect: irreversible}", f"rule `a` permits `wipe`, {FINAL}"),
        ("'w*': {sla: 5", "  '*e': {effect: irreversible}", f"rule `a` permits `*e`, {FINAL}"),
        ("wipe: {sla: 5", "  'w*': {effect: irreversible}", f"rule `a` permits `wipe`, {FINAL}"),
        ("pay: {effect: write", LISTED % ("other", "Pay"), f"rule `a` permits `pay`, {FINAL}"),
        ("'p*': {effect: write", "  pay: {action_type: refund}\n" + LISTED % ("refund", "refund"),
         f"rule `a` permits `pay`, {FINAL}"),
        ("pay: {sla: 5", "", "rule `a` permits `pay`, and nothing says what it does; add `effect:"),
    ],
)  # fmt: skip
def test_a_permission_for_what_a_person_always_decides_is_refused(tool, more, what):
    for tier in ("auto_approve", "soft_review"):
        text, place = marked(permitting("amount < 5", tool, f"¦{tier}") + more)
        assert refused(text).startswith(place + what)


@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("'w*': {effect: write", "  end: {effect: irreversible}"),
        ("wipe: {effect: write", "  'w*': {effect: irreversible}"),
        ("'a*': {effect: write", "  'b*': {effect: irreversible}"),
    ],
)
def test_a_permission_beside_what_is_irreversible_is_no_error(tool, more):
    assert remarks(permitting("amount < 5", tool) + more) == []


@pytest.mark.parametrize(
    ("tool", "more", "what"),
    [
        ("pay: {effect: write", "never_run: [pay]", "`pay` stands in `never_run`"),
        ("pay: {effect: write", "always_gate: ['p*']", "`p*` stands in `always_gate`"),
        ("'p*': {effect: write", "always_gate: ['*']", "`*` stands in `always_gate`"),
        ("'p*': {effect: write", "always_gate: ['p*']", "`p*` stands in `always_gate`"),
    ],
)
def test_a_permission_that_something_always_stops_is_remarked_on(tool, more, what):
    text, place = marked(permitting("amount < 5", tool, "¦auto_approve") + more)
    assert f"{place}warning: rule `a` never permits: {what}" in remarks(text)


def test_a_permission_for_a_plain_read_is_remarked_on():
    text, place = marked(permitting("amount < 5", "pay: {effect: read", "¦auto_approve"))
    assert remarks(text) == [
        f"{place}warning: rule `a` has no effect: `pay` only reads, and runs anyway"
    ]
    assert remarks(permitting("amount < 5", "pay: {effect: read, open_world: true")) == []
    assert remarks(permitting("amount < 5", "pay: {effect: read", "soft_review")) == []


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("'true'", "permits every call"),
        ("amount < 5 || true", "permits every call"),
        ("1 == 1", "permits every call"),
        ("1 == 2", "never applies"),
        ("amount < 5 && false", "never applies"),
    ],
)
def test_a_condition_that_is_always_the_same_is_remarked_on(when, what):
    text, place = marked(permitting(f"¦{when}"))
    assert remarks(text) == [f"{place}warning: rule `a` {what}"]


def test_a_rule_that_always_stops_is_no_mistake():
    assert remarks(permitting("'true'", tier="block")) == []


def test_two_rules_with_one_condition_are_remarked_on():
    rules = "{id: a, when: amount > 5, tier: block}, {id: b, when: ¦amount > 5, tier: hard_gate}"
    text, place = marked(f"tools:\n  pay: {{effect: write, rules: [{rules}]}}")
    assert remarks(text) == [f"{place}warning: rule `b` has the condition of rule `a`; keep one"]


# entries that meet


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pay: {history: {day: {by: tool, seconds: 5}}}",
         "'*': {history: {¦day: {by: tool, seconds: 6}}}"),
        ("'p*': {history: {day: {by: tool, seconds: 5}}}",
         "'*y': {history: {¦day: {by: actor, seconds: 5}}}"),
        ("'p*': {kinds: {to: url}}", "'*y': {kinds: {¦to: email}}"),
    ],
)  # fmt: skip
def test_entries_for_one_tool_do_not_disagree_about_a_name(one, other):
    text, place = marked(f"tools:\n  {one}\n  {other}\n")
    error = refused(text)
    assert error.startswith(place)
    assert "and a tool can fit both" in error
    elsewhere = other.replace("¦", "").replace("*", "z*", 1).replace("*y", "*x", 1)
    assert parse_policy(f"tools:\n  {one}\n  {elsewhere}\n")


def test_the_rules_of_a_pattern_name_what_the_pattern_declares():
    """Whichever tools it meets: what another entry declares is not there for all of them."""
    declared = "'a?': {kinds: {to: url}}\n  ab: {kinds: {cc: url}}\n"
    rule = "rules: [{id: a, when: url.to.host == 'x', tier: block}]"
    assert "nothing is named `url.to.host`" in refused(f"tools:\n  'a*': {{{rule}}}\n  {declared}")
    assert parse_policy(f"tools:\n  'a*': {{kinds: {{to: url}}, {rule}}}\n  {declared}")
    policy = parse_policy(f"tools:\n  abc: {{{rule}, kinds: {{to: url}}}}\n  {declared}")
    assert policy.plan("ab").kinds == {"to": "url", "cc": "url"}


def test_the_rules_of_a_tool_name_what_its_patterns_declare():
    assert parse_policy(
        "tools:\n  ab: {rules: [{id: a, when: url.to.host == 'x', tier: block}]}\n"
        "  'a*': {kinds: {to: url}}\n"
    )


# what is read and not used, or says nothing

ALL = (
    "max_auto_approve_amount: 5, require_two_reviewers_above: 9, categories_always_review: [x],"
    " irreversible_actions_always_gate: [x]"
)


def action(more: str, action_type: str = "pay") -> str:
    return (
        f"escalation_policies:\n"
        f"  - {{action_type: {action_type}, auto_approve_threshold: 0.9{more}}}\n"
    )


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("feedback_pipeline: {¦store: redis}",
         "`store` is not used: decisions are kept in PostgreSQL"),
        ("feedback_pipeline: {¦audit_log: x}",
         "`audit_log` is not used: every decision is on the record in the database"),
        ("¦audit_log: x", "`audit_log` is not used: every verdict, decision and execution is on"),
        ("review_settings: {¦max_queue_depth: 5}",
         "`max_queue_depth` is not used: the queue has no limit yet"),
        (action(f", {ALL}, ¦audit: true"),
         "`audit` is not used: every call is on the record, whatever it says"),
        ("tools:\n  ¦pay: {}", "`pay` says nothing; say its `effect`"),
        ("tools:\n  pay: {effect: write, action_type: ¦xx}\n" + action(f", {ALL}"),
         "no escalation policy names `xx`; its calls wait"),
        ("tools:\n  pay: {effect: write, action_type: ¦payy}\n" + action(f", {ALL}"),
         "no escalation policy names `payy`, did you mean `pay`?; its calls wait"),
        ("tools:\n  pay: {effect: write, action_type: ¦pay}",
         "no escalation policy names `pay`; its calls wait"),
        (action(f", {ALL}", "¦pay") + "tools: {payy: {effect: write}}",
         "no tool has the action type `pay`, did you mean `payy`?"),
        (action("").replace("{", "¦{"), "`pay` runs on confidence and says nothing of"),
        (action(", irreversible_actions_always_gate: ¦false"),
         "`irreversible_actions_always_gate: false` has no effect: what is irreversible is always"),
        (action(", irreversible_actions_always_gate: ¦true"),
         "`irreversible_actions_always_gate` gates tools with `effect: irreversible`, and `tools`"),
        (action(", max_auto_approve_amount_eur: 5, max_auto_approve_amount_inr: 5", "¦pay"),
         "limits of `pay` are in several currencies: a call that names none waits"),
        ("tools:\n  pay: {effect: write, allowed_decisions: ¦[approve]}",
         "without `reject` nobody can say no to a call; add it"),
    ],
)  # fmt: skip
def test_what_is_hardly_meant_is_remarked_on(text, remark):
    text, place = marked(text)
    assert any(one.startswith(f"{place}warning: {remark}") for one in remarks(text))


# people

NAMED = "reviewers: {ana: [finance], bo: []}\n"
RULE = (
    "tools:\n  pay:\n    effect: write\n    rules:\n    - {id: a, when: 'true', tier: hard_gate, "
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("review_settings: {min_reviewers_per_task: ¦3}",
         "3 people are wanted, and `reviewers` names 2"),
        ("review_settings: {high_stakes_min_reviewers: ¦3}", "3 people are wanted"),
        ("tools:\n  pay: {effect: write, reviewers: {min: ¦3}}", "3 people are wanted"),
        (RULE + "reviewers: {min: ¦10}}", "10 people are wanted"),
        ("tools:\n  pay: {effect: write, reviewers: {roles: [finance, ¦legal]}}",
         "nobody under `reviewers` has the role `legal`"),
        (RULE + "reviewers: {roles: [¦Finance]}}",
         "nobody under `reviewers` has the role `Finance`"),
    ],
)  # fmt: skip
def test_more_people_or_roles_than_are_named_are_refused(text, message):
    text, place = marked(NAMED + text)
    assert refused(text).startswith(place + message)


def test_two_reviewers_above_an_amount_are_not_one():
    text, place = marked(
        "reviewers: {ana: []}\nescalation_policies:\n"
        "  - {action_type: pay, require_two_reviewers_above_eur: ¦5}"
    )
    assert refused(text) == f"{place}2 people are wanted, and `reviewers` names 1"


@pytest.mark.parametrize(
    "text",
    ["tools:\n  pay: {effect: write, reviewers: {roles: [¦legal]}}",
     RULE + "reviewers: {roles: [¦legal]}}"],
)  # fmt: skip
def test_a_role_that_nobody_is_said_to_have_is_remarked_on(text):
    text, place = marked(text)
    assert any(
        one == f"{place}warning: nothing says who has the role `legal`: what it is wanted for"
        " cannot be approved; name people under `reviewers`"
        for one in remarks(text)
    )


def test_people_who_are_enough_want_no_remark():
    assert (
        remarks(NAMED + "tools: {pay: {effect: write, reviewers: {min: 2, roles: [finance]}}}")
        == []
    )


def test_an_ordinary_policy_wants_no_remark():
    assert remarks(action(f", {ALL}") + "tools: {pay: {effect: write}, look: {effect: read}}") == []
    assert remarks("version: 1") == []


WATCHED = "'*': {rules: [{id: a, when: context.untrusted, tier: hard_gate}]}"


def test_where_conditions_look_at_untrusted_text_every_read_says_whether_it_brings_some():
    told = "does not say whether its result may carry other people's text; add `untrusted_output`"
    found = remarks(f"tools:\n  look: {{effect: read}}\n  'get_*': {{effect: read}}\n  {WATCHED}")
    assert found == [
        f"p:2:3: warning: conditions look at `context`, and `look` {told}",
        f"p:3:3: warning: conditions look at `context`, and `get_*` {told}",
    ]
    said = "{effect: read, untrusted_output: false}"
    assert remarks(f"tools:\n  look: {said}\n  'get_*': {said}\n  {WATCHED}") == []
    assert remarks("tools:\n  look: {effect: read}") == []


def test_a_test_names_only_tools_that_bring_untrusted_text():
    test = "tests: [{tool: look, untrusted: ¦[mail], expect: {tier: auto_approve}}]\n"
    text, place = marked(f"{test}tools:\n  mail: {{effect: write}}\n  {WATCHED}")
    told = "the test says that `mail` brought text of other people; say `untrusted_output: true`"
    assert remarks(text) == [f"{place}warning: {told} of it under `tools`"]
    assert remarks(text.replace("write", "write, untrusted_output: true")) == []


def test_remarks_come_in_the_order_of_the_file():
    found = parse_policy(
        "tools:\n  b: {}\n  a: {}\naudit_log: x\nescalation_policies: [{action_type: c}]"
    ).remarks
    assert [one.line for one in found] == [2, 3, 4, 5]
    assert str(found[0]).startswith("policies.yaml:2:3: warning: ")


# against the tools


SCHEMAS = {
    "pay": {"type": "object", "properties": {"amount": {}, "to": {}, "note": {}}},
    "pay_all": {"type": "object", "properties": {"amounts": {}}},
    "free": {"type": "object", "properties": {}, "additionalProperties": True},
    "nothing": {"type": "object"},
}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("pay: {amount: ¦total}", "`pay` has no argument `total`"),
        ("pay: {amount: args.¦amnt}", "`pay` has no argument `amnt`, did you mean `amount`?"),
        ("pay: {category: \"args[¦'x y']\"}", "`pay` has no argument `x y`"),
        ("pay: {counterparty: ¦whom}", "`pay` has no argument `whom`"),
        ("pay: {kinds: {¦too: email}}", "`pay` has no argument `too`, did you mean `to`?"),
        ("pay: {redact: [note, ¦card]}", "`pay` has no argument `card`"),
        ("pay: {redact: {support: [note, ¦iban]}}", "`pay` has no argument `iban`"),
        ("pay: {rules: [{id: a, when: args.to == 'a' && args.¦amout > 5, tier: block}]}",
         "`pay` has no argument `amout`, did you mean `amount`?"),
        ("'pay*': {amount: ¦total}", "no tool that fits `pay*` has an argument `total`"),
        ("nothing: {amount: ¦total}", "`nothing` has no argument `total`"),
    ],
)  # fmt: skip
def test_an_argument_that_a_tool_does_not_have_is_refused(entry, message):
    text, place = marked(f"tools:\n  {entry}\n")
    policy = parse_policy(text, file="p")
    with pytest.raises(DocumentError) as caught:
        policy.check_tools(SCHEMAS)
    assert str(caught.value) == place + message


@pytest.mark.parametrize(
    "entry",
    [
        "pay: {amount: amount, currency: EUR, kinds: {to: email}, redact: [note]}",
        "'pay*': {amount: args.amounts, redact: [amount]}",
        "free: {amount: anything, rules: [{id: a, when: args.x == 1, tier: block}]}",
        "absent: {amount: total}",
        "pay: {rules: [{id: a, when: has(args.note) && args.to != 'args.x', tier: block}]}",
    ],
)
def test_arguments_that_tools_have_are_right(entry):
    assert parse_policy(f"tools:\n  {entry}\n").check_tools(SCHEMAS) == ()


def test_a_tool_that_there_is_not_is_remarked_on_if_another_is_near():
    policy = parse_policy("tools:\n  payall: {effect: read}\n  else: {effect: read}", file="p")
    assert [str(one) for one in policy.check_tools(SCHEMAS)] == [
        "p:2:3: warning: no tool is named `payall`, did you mean `pay_all`?"
    ]


def test_a_policy_that_no_file_was_read_for_has_nothing_to_point_at():
    from hitl_agent.policy import Policy

    policy = parse_policy("tools: {pay: {amount: total}}")
    assert Policy(policy.document, "p", "", policy.digest).check_tools(SCHEMAS) == ()


def test_a_plan_knows_whether_its_conditions_look_back():
    policy = parse_policy("""
tools:
  plain: {rules: [{id: a, when: amount > 5, tier: block}]}
  past: {history: {day: {by: tool, seconds: 5}}}
  watched: {rules: [{id: a, when: size(context.sources) > 0, tier: block}]}
""")
    assert [policy.plan(one).needs_past for one in ("plain", "past", "watched")] == [
        False,
        True,
        True,
    ]
