"""The judgement of a call: effects, rules, patterns, errors; and what no call can bring about."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hitl_agent.policy import Facts, Past, Policy, Tier, Verdict, judge, parse_policy, refused

AUTO, SOFT, HARD, BLOCK = Tier

POLICY = parse_policy("""
always_gate: [send_email, "delete_*"]
never_run: ["drop_*", "delete_all"]
defaults: {sla_seconds: 3600, grant_ttl_seconds: 600}
review_settings: {high_stakes_min_reviewers: 2}
escalation_policies:
  - action_type: pay
    auto_approve_threshold: 0.9
    soft_review_threshold: 0.7
    max_auto_approve_amount: 50
    require_two_reviewers_above: 80
    categories_always_review: [fraud]
    irreversible_actions_always_gate: [closure]
tools:
  look: {effect: read}
  search: {effect: read, open_world: true, reason: the query leaves the house}
  send_email: {effect: irreversible, reason: it cannot be called back}
  wipe: {effect: irreversible}
  delete_note: {effect: read}
  delete_all: {effect: irreversible}
  move: {effect: write, reason: others look for it}
  described: {reason: nobody says what it does}
  pay: {effect: write, sla: 900, reason: money leaves, reviewers: {min: 1, roles: [finance]}}
  book:
    effect: write
    counterparty: to
    history:
      day: {by: counterparty, seconds: 86400}
      week: {by: tool, seconds: 604800}
    redact: {support: [iban], "*": [card]}
    allowed_decisions: [reject, approve]
    rules:
      - id: small
        when: amount <= 50 && history.day.count < 3 && history.day.sum + amount <= 100.0
        tier: auto_approve
        reason: small ones may run
      - {id: middling, when: amount <= 80 && history.week.count < 5, tier: soft_review}
      - id: night
        when: now.getHours("Europe/Berlin") < 6
        tier: hard_gate
        reviewers: {min: 2, roles: [lead]}
      - {id: never-to-eve, when: counterparty == "eve", tier: block, reason: eve is banned}
  "get_*": {effect: read, allowed_decisions: [edit, reject], reason: seen}
  "*_secret": {effect: write, sla: 60, allowed_decisions: [approve, reject], redact: [key],
    reason: s}
  "get_s*": {effect: read, allowed_decisions: [respond]}
  get_public_secret: {effect: read}
  "*":
    rules:
      - id: after-untrusted-text
        when: context.untrusted && (effect != "read" || open_world)
        tier: hard_gate
        reason: other people's text was read
""")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUIET = {"untrusted": (), "now": NOON, "history": {"day": Past(), "week": Past()}}


def known(**changed: object) -> Facts:
    return Facts(**(QUIET | changed))


def verdict(tool: object, args: object = None, **changed: object) -> Verdict:
    return judge(POLICY, tool, args if args is not None else {}, known(**changed))


def ids(found: Verdict) -> list[str]:
    return [hit.id for hit in found.rules]


# effects


def test_a_tool_that_the_policy_does_not_name_waits_for_a_person():
    policy = parse_policy("tools: {look: {effect: read}}")
    found = judge(policy, "pay_all", {"amount": 1}, Facts(confidence=1.0))
    assert (found.tier, found.effect, ids(found)) == (HARD, "unknown", ["unknown-tool"])
    assert found.reasons == ("the policy does not name `pay_all`",)
    assert found.allowed_decisions == ("approve", "edit", "reject", "respond")


@pytest.mark.parametrize("tool", ["described", "anything"])
def test_a_tool_of_which_nobody_says_what_it_does_waits(tool):
    found = verdict(tool, confidence=1.0)
    assert (found.tier, found.effect, ids(found)) == (HARD, "unknown", ["unknown-effect"])


def test_a_tool_that_reads_runs_whatever_the_confidence_is():
    found = verdict("look", confidence=math.nan)
    assert (found.tier, found.effect, ids(found)) == (AUTO, "read", ["read"])
    assert found.reviewers.min == 0
    assert found.grant_ttl_seconds == 600
    assert found.policy_digest == POLICY.digest


def test_a_read_that_leaves_the_house_waits():
    found = verdict("search", confidence=1.0)
    assert (found.tier, ids(found)) == (HARD, ["no-permission"])
    assert found.reasons == (
        "`search` sends its arguments out, and nothing permits it: the query leaves the house",
    )


def test_what_changes_something_waits_unless_it_is_permitted():
    found = verdict("move", confidence=1.0)
    assert found.reasons == (
        "`move` changes something, and nothing permits it: others look for it",
    )
    assert found.tier is HARD


def test_an_irreversible_call_waits_whatever_the_confidence_is():
    found = verdict("wipe", {"amount": 0}, confidence=1.0)
    assert (found.tier, found.effect, ids(found)) == (HARD, "irreversible", ["irreversible"])
    assert found.reviewers.min == 2


def test_every_rule_that_applies_is_listed_strictest_first():
    found = verdict("delete_all")
    assert ids(found) == ["never-run:delete_all", "always-gate:delete_*", "irreversible"]
    assert (found.tier, found.reviewers.min) == (BLOCK, 0)
    assert ids(verdict("delete_note")) == ["always-gate:delete_*", "read"]
    assert ids(verdict("drop_it")) == ["never-run:drop_*", "unknown-effect"]


def test_the_reason_written_in_the_policy_reaches_the_reviewer():
    assert verdict("send_email").reasons == (
        (
            "`send_email` always waits for a person: `send_email` stands in `always_gate`"
            ": it cannot be called back"
        ),
        "`send_email` cannot be undone",
    )
    assert verdict("get_public_secret").reasons == ("`get_public_secret` only reads",)


# rules


def test_a_permission_lets_a_call_run():
    found = verdict("book", {"amount": 20, "to": "ana"})
    assert (found.tier, ids(found)) == (SOFT, ["middling", "small"])
    assert found.allowed_decisions == ("approve", "reject")
    found = verdict("book", {"amount": 20, "to": "ana"}, history={"day": Past(), "week": Past(5)})
    assert (found.tier, ids(found)) == (AUTO, ["small"])
    assert found.reasons == ("small ones may run",)


def test_of_two_permissions_the_stricter_holds_and_a_rule_stops_both():
    assert verdict("book", {"amount": 20, "to": "ana"}).tier is SOFT
    assert verdict("book", {"amount": 81, "to": "ana"}).tier is HARD
    assert ids(verdict("book", {"amount": 81, "to": "ana"})) == ["no-permission"]
    assert verdict("book", {"amount": 20, "to": "eve"}).tier is BLOCK
    night = datetime(2026, 1, 1, 3, tzinfo=UTC)
    found = verdict("book", {"amount": 20, "to": "ana"}, now=night)
    assert (found.tier, found.reviewers.min, found.reviewers.roles) == (HARD, 2, ("lead",))
    found = verdict("book", {"amount": 20, "to": "ana"}, untrusted=["look"])
    assert (found.tier, found.reasons[0]) == (HARD, "other people's text was read (rule `*`)")


def test_a_soft_review_of_a_read_is_stricter_than_none():
    policy = parse_policy("""
tools:
  look: {effect: read, rules: [{id: a, when: args.all == true, tier: soft_review}]}
""")
    assert judge(policy, "look", {"all": True}).tier is SOFT
    assert judge(policy, "look", {"all": False}).tier is AUTO


def test_a_pattern_permits_only_what_is_described():
    policy = parse_policy("""
escalation_policies: [{action_type: known_type, auto_approve_threshold: 0.9}]
tools:
  "*": {rules: [{id: a, when: args.n == 1, tier: auto_approve}]}
  write_it: {effect: write}
""")
    assert judge(policy, "write_it", {"n": 1}).tier is AUTO
    assert judge(policy, "write_it", {"n": 2}).tier is HARD
    assert judge(policy, "else", {"n": 1}).tier is HARD
    assert judge(policy, "known_type", {"n": 1}).tier is HARD


ARGS = {"amount": 20, "to": "ana"}


@pytest.mark.parametrize(
    ("args", "changed", "why"),
    [
        ({"to": "ana"}, {}, "rule `small` has no answer: `amount` is missing"),
        ({**ARGS, "amount": None}, {}, "`amount` is `null`, not a plain number"),
        ({**ARGS, "amount": -1}, {}, "`amount` is `-1`, less than 0"),
        ({**ARGS, "amount": "1" + "0" * 29 + ".1"}, {}, "with more digits than a condition can"),
        ({"amount": 20}, {}, "rule `never-to-eve` has no answer: `counterparty` is missing"),
        ({**ARGS, "to": ["eve"]}, {}, "`counterparty` is a list, no text"),
        (ARGS, {"now": None}, "rule `night` has no answer: `now` is not known"),
        (ARGS, {"now": datetime(2026, 1, 1)}, "`now` is not known"),  # noqa: DTZ001
        (ARGS, {"now": "2026-01-01"}, "`now` is not known"),
        (ARGS, {"untrusted": None}, "rule `after-untrusted-text` has no answer: `context.untrus"),
        (ARGS, {"untrusted": "look"}, "`context.untrusted` is not known"),
        (ARGS, {"untrusted": ["\ud800"]}, "`context.untrusted` is not known"),
        (ARGS, {"history": {}}, "`history.day.count` is not known"),
        (ARGS, {"history": {"day": Past(1, None), "week": Past()}}, "`history.day.sum` cannot be"),
        (ARGS, {"history": {"day": Past(-1), "week": Past()}}, "`history.day.count` is not known"),
        (ARGS, {"history": {"day": Past(2**63), "week": Past()}}, "`history.day.count` is not"),
        (ARGS, {"history": {"day": Past(1, Decimal("NaN")), "week": Past()}}, "cannot be told"),
        (ARGS, {"history": {"day": Past(1, Decimal(-5)), "week": Past()}}, "cannot be told"),
    ],
)  # fmt: skip
def test_a_condition_without_an_answer_gates_the_call_and_says_why(args, changed, why):
    found = verdict("book", args, **changed)
    assert found.tier is HARD
    assert any(why in error for error in found.errors), found.errors
    assert "error" in ids(found)


def test_what_a_read_never_asks_for_does_not_gate_it():
    assert verdict("look", untrusted=None).tier is AUTO


@pytest.mark.parametrize(
    ("when", "changed"),
    [
        ("confidence != 0.5", {"confidence": None}),
        ("confidence < 2.0", {"confidence": math.nan}),
        ("category != 'x'", {"category": None}),
        ("category != 'x'", {"category": 5}),
        ("category != 'x'", {"category": "y", "args": {"category": "z"}}),
        ("category != 'x'", {"category": "\ud800"}),
        ("category != 'x'", {"category": "y", "args": {"category": ["x"]}}),
        ("actor != 'x'", {"actor": None}),
        ("actor != 'x'", {"actor": "\ud800"}),
        ("actor != 'x'", {"actor": 5}),
        ("thread != 'x'", {"thread": None}),
        ("currency != 'x'", {}),
        ("currency != 'x'", {"args": {"currency": "x"}}),
        ("counterparty != 'x'", {"args": {"counterparty": None}}),
        ("url.a.host != 'x'", {"args": {"a": 5}}),
        ("url.a.host != 'x'", {"args": {}}),
    ],
)
def test_what_is_not_known_is_not_taken_for_something(when, changed):
    policy = parse_policy(f"""
tools:
  t: {{effect: write, kinds: {{a: url}}, rules: [{{id: a, when: "{when}", tier: auto_approve}}]}}
""")
    args = changed.pop("args", {})
    found = judge(policy, "t", args, Facts(**changed))
    assert found.tier is HARD
    assert found.errors


@pytest.mark.parametrize(
    ("when", "changed"),
    [
        ("confidence >= 0.5", {"confidence": 0.5}),
        ("category == 'x'", {"category": "x"}),
        ("category == 'x'", {"args": {"category": "x"}}),
        ("category == 'x'", {"category": "x", "args": {"category": "X"}}),
        ("actor == 'x' && thread == 'y'", {"actor": "x", "thread": "y"}),
        ("currency == 'EUR'", {"args": {"currency": "eur"}}),
        ("tool == 't' && effect == 'write' && action_type == 't' && !open_world", {}),
        ("context.sources == ['a', 'b']", {"untrusted": ["a", "b"]}),
        ("url.a.host == 'example.org'", {"args": {"a": "https://example.org/x"}}),
    ],
)
def test_conditions_see_what_is_known(when, changed):
    policy = parse_policy(f"""
tools:
  t: {{effect: write, kinds: {{a: url}}, rules: [{{id: a, when: "{when}", tier: auto_approve}}]}}
""")
    args = changed.pop("args", {})
    assert judge(policy, "t", args, Facts(**changed)).tier is AUTO


# patterns


def test_of_several_patterns_the_strictest_outcome_holds():
    found = verdict("get_secret")
    assert (found.tier, found.effect, ids(found)) == (HARD, "write", ["no-permission"])
    assert found.reasons[0].endswith(": s; seen")
    assert found.sla_seconds == 60
    assert found.redactions == {"*": ("key",)}


def test_where_patterns_agree_on_no_decision_a_person_can_only_refuse():
    assert verdict("a_secret").allowed_decisions == ("approve", "reject")
    assert verdict("get_b").allowed_decisions == ("edit", "reject")
    assert verdict("get_my_secret").allowed_decisions == ("reject",)
    assert verdict("get_secret").allowed_decisions == ("reject",)


def test_the_exact_name_describes_a_tool_before_every_pattern():
    assert ids(verdict("get_public_secret")) == ["read"]


def test_decisions_come_in_one_order_and_what_is_hidden_is_on_the_verdict():
    found = verdict("book", {"amount": 99, "to": "ana"})
    assert found.allowed_decisions == ("approve", "reject")
    assert found.redactions == {"*": ("card",), "support": ("iban",)}
    assert Verdict.from_json(found.to_json()) == found


def test_what_several_entries_hide_and_whom_they_ask_adds_up():
    policy = parse_policy("""
tools:
  pay: {effect: write, redact: {"*": [card], hr: [a]}, reviewers: {min: 1, roles: [legal, board]}}
  "p*": {redact: [iban, card], reviewers: {min: 2, roles: [finance]}}
  "*": {redact: {hr: [salary]}, reviewers: {min: 1, roles: [audit, legal]}}
""")
    found = judge(policy, "pay", {})
    assert found.redactions == {"*": ("card", "iban"), "hr": ("a", "salary")}
    assert (found.reviewers.min, found.reviewers.roles) == (
        2,
        ("audit", "board", "finance", "legal"),
    )


@pytest.mark.parametrize(
    ("pay", "every", "settings", "reject"),
    [
        ("{min: 3, reject: majority}", "{min: 3, reject: majority}", 1, "majority"),
        ("{min: 3, reject: majority}", "{min: 3}", 1, "one"),
        ("{min: 3, reject: one}", "{min: 1, reject: majority}", 1, "one"),
        ("{min: 3, reject: majority}", None, 2, "majority"),
        (None, None, 2, None),
    ],
)
def test_one_rejection_decides_unless_all_demands_leave_it_to_a_majority(
    pay, every, settings, reject
):
    entries = [("pay", pay), ("'*'", every)]
    tools = "".join(f"  {name}: {{reviewers: {one}}}\n" for name, one in entries if one)
    policy = parse_policy(
        f"review_settings: {{min_reviewers_per_task: {settings}}}\n"
        + (f"tools:\n{tools}" if tools else "")
    )
    assert judge(policy, "pay", {}).reviewers.reject == reject


def test_no_deadline_is_given_where_none_is_set():
    policy = parse_policy("tools: {'a*': {effect: read}, '*b': {effect: read}}")
    assert judge(policy, "ab", {}).sla_seconds is None
    assert judge(policy, "x", {}).sla_seconds is None
    assert verdict("pay").sla_seconds == 900
    assert verdict("move").sla_seconds == 3600


def test_a_tool_whose_name_looks_like_a_pattern_is_matched_as_a_name():
    policy = parse_policy("tools: {'a*': {effect: write}, '?*': {effect: irreversible}}")
    assert ids(judge(policy, "a*", {})) == ["irreversible"]


@pytest.mark.parametrize("name", ["", "x" * 129, None, 5, [], {"a": 1}, b"look"])
def test_what_is_no_name_is_unknown_even_where_everything_runs(name):
    policy = parse_policy("tools: {'*': {effect: read}}")
    assert ids(judge(policy, name, {})) == ["unknown-tool"]
    gated = parse_policy("never_run: ['*']")
    assert judge(gated, name, {}).tier is BLOCK


class Name(StrEnum):
    DROP = "drop_it"
    LOOK = "look"


class Lying(str):
    __slots__ = ()

    def __hash__(self) -> int:
        return hash("look")

    def __eq__(self, other: object) -> bool:
        return other == "look"


def test_a_name_that_is_more_than_text_is_taken_for_its_text():
    assert verdict(Name.DROP).tier is BLOCK
    assert verdict(Name.LOOK).tier is AUTO
    verdict("look")
    assert verdict(Lying("drop_it")).tier is BLOCK


# errors


def test_an_error_met_on_the_way_means_a_hard_gate():
    found = judge(POLICY, "look", {}, known(), errors=["the classifier raised", "and again"])
    assert (found.tier, ids(found)) == (HARD, ["error", "error", "read"])
    assert found.errors == ("the classifier raised", "and again")
    assert found.reasons[0] == "an error was met: and again"
    assert found.reviewers.min == 1


def test_an_objection_means_a_hard_gate():
    found = judge(POLICY, "look", {}, known(), objections=["too many orders"])
    assert (found.tier, ids(found), found.errors) == (HARD, ["second-opinion", "read"], ())
    assert found.reasons[0] == "a second opinion objects: too many orders"
    assert judge(POLICY, "drop_x", {}, known(), objections=["no"]).tier is BLOCK


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("mute")

    __repr__ = __str__


class Foreign:
    """Raises whatever is asked of it."""

    @property
    def __class__(self):
        raise RuntimeError

    def __getattr__(self, name):
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    __str__ = __repr__ = __len__ = __iter__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__
    __eq__ = __bool__
    __hash__ = object.__hash__


@pytest.mark.parametrize(
    "tell",
    [
        lambda: "boom", lambda: "", lambda: ["boom"], lambda: [""], lambda: (b"x",),
        lambda: [ValueError("boom")], lambda: ValueError("boom"), lambda: {"boom": 1},
        lambda: iter(["boom"]), lambda: {"boom"}, lambda: [Mute()], Mute, lambda: None, lambda: 5,
        Foreign, lambda: [Foreign()], lambda: ["\x00 \ud800"],
    ],
)  # fmt: skip
def test_errors_and_objections_of_another_shape_count_too(tell):
    for key in ("errors", "objections"):
        found = judge(POLICY, "look", {}, known(), **{key: tell()})
        assert found.tier is HARD
        assert Verdict.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_errors_that_cannot_be_stored_are_cleaned():
    found = judge(POLICY, "look", {}, known(), errors=["\x00 \ud800"])
    assert found.errors == ("\ufffd \ufffd",)


@pytest.mark.parametrize("args", [None, [], "amount", 5, [("amount", 5)], Foreign, b"{}"])
def test_arguments_that_are_no_object_are_an_error(args):
    found = judge(POLICY, "look", Foreign() if args is Foreign else args, known())
    assert found.errors == ("the arguments cannot be judged: they are no JSON object",)
    assert found.tier is HARD


class Broken(Mapping):
    def __getitem__(self, key):
        raise RuntimeError(key)

    __iter__ = __len__ = __getitem__


class Dict(dict):
    def items(self):
        return {"amount": 1}.items()


def deep(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels):
        value = {"a": value, "amount": 1}
    return value


CYCLE: dict[str, object] = {"amount": 1}
CYCLE["a"] = CYCLE


@pytest.mark.parametrize(
    "args",
    [
        Broken(), Dict(amount=9999), deep(33), deep(5000), CYCLE, {"amount": 1, "x": math.nan},
        {"amount": 1, "x": 10**5000}, {"amount": 1, "x": "\ud800"}, {"amount": 1, 5: 1},
        {"amount": 1, "x": (1,)}, {"amount": 1, "x": {1}}, {"amount": 1, "x": b""},
        {"amount": 1, "x": object()}, {"amount": 1, "x": Mute()}, {"amount": Dict()},
        {"amount": 1, "x": Decimal(1)}, {"amount": 1, Lying("x"): 1},
    ],
    ids=range(17),
)  # fmt: skip
def test_arguments_that_are_no_json_wait_whatever_else_holds(args):
    for tool in ("look", "pay", "book"):
        found = judge(POLICY, tool, args, known(confidence=1.0))
        assert found.tier is HARD
        assert found.errors


@pytest.mark.parametrize(
    "make",
    [
        lambda: None, Foreign, lambda: 5, lambda: known(confidence=Foreign()),
        lambda: known(category=Foreign()), lambda: known(actor=Foreign()),
        lambda: known(untrusted=Foreign()), lambda: known(untrusted=[Foreign()]),
        lambda: known(history=Foreign()),
        lambda: known(history={"day": Foreign(), "week": Past()}),
        lambda: known(now=Foreign()), lambda: known(thread=Foreign()),
    ],
)  # fmt: skip
def test_facts_that_raise_never_let_more_run(make):
    for tool in ("look", "pay", "book", "drop_x", "wipe"):
        found = judge(POLICY, tool, {"amount": 20, "to": "ana"}, make())
        least = {"look": AUTO, "drop_x": BLOCK, "book": SOFT}.get(tool, HARD)
        assert found.tier >= least


def test_arguments_that_raise_wait():
    for tool in ("look", "pay", "book"):
        found = judge(POLICY, tool, {"amount": 1, "x": Foreign()}, known(confidence=1.0))
        assert found.tier is HARD
        assert found.errors[-1] == "the arguments cannot be judged: a value that is no JSON"


def test_unseen_characters_of_a_call_do_not_reach_the_reasons():
    policy = parse_policy("version: 1")
    found = judge(policy, "x\x1b[2J\u202e", {})
    assert found.reasons == (r"the policy does not name `x\x1b[2J\u202e`",)


def test_a_call_that_cannot_run_is_blocked_with_the_reason():
    found = refused(POLICY, "malformed-call", "the call is malformed")
    assert (found.tier, ids(found)) == (BLOCK, ["malformed-call"])
    assert found.reasons == ("the call is malformed",)
    assert found.policy_digest == POLICY.digest
    assert Verdict.from_json(found.to_json()) == found


def test_a_tool_that_nobody_described_brings_in_untrusted_text():
    assert POLICY.plan("nothing").untrusted_output
    assert POLICY.plan("described").untrusted_output
    assert not POLICY.plan("look").untrusted_output
    assert parse_policy("version: 1").plan("look").untrusted_output


# properties

TOOLS = [*POLICY.document.tools, "delete_x", "drop_x", "get_secret", "a_secret", "nothing"]
tools = st.sampled_from(TOOLS)
numbers = st.integers() | st.floats() | st.decimals()
json_like = st.recursive(
    st.none() | st.booleans() | numbers | st.text() | st.binary() | st.just(10**4000),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)
amounts = json_like | st.integers(0, 100) | st.floats(0, 100) | st.decimals(0, 100).map(str)
call_args = st.fixed_dictionaries(
    {},
    optional={
        "amount": amounts,
        "to": st.sampled_from(["ana", "eve"]) | json_like,
        "category": st.sampled_from(["fraud", "late"]) | json_like,
        "currency": st.sampled_from(["EUR", "xx"]) | json_like,
        "x": json_like,
    },
)
pasts = st.builds(
    Past, st.integers(-1, 9) | json_like, st.none() | st.decimals() | st.decimals(0, 200)
)
facts_like = st.builds(
    Facts,
    confidence=st.none() | st.floats() | st.floats(0, 1) | json_like,
    category=st.none() | st.sampled_from(["fraud", "late"]) | json_like,
    actor=st.none() | st.text() | json_like,
    now=st.none() | st.datetimes(timezones=st.just(UTC)) | st.datetimes() | json_like,
    untrusted=st.none() | st.lists(st.sampled_from(TOOLS), max_size=2) | json_like,
    history=st.fixed_dictionaries({}, optional={"day": pasts, "week": pasts}),
)
error_lists = st.lists(st.text(), max_size=2)


@settings(deadline=None, max_examples=300)
@given(tools | st.text() | json_like, call_args | json_like, facts_like | json_like, error_lists)
def test_judging_never_raises_and_the_strictest_rule_holds(tool, args, facts, errors):
    found = judge(POLICY, tool, args, facts, errors=errors)
    assert found.tier is max(hit.tier for hit in found.rules) is found.rules[0].tier
    assert [hit.tier for hit in found.rules] == sorted(
        (hit.tier for hit in found.rules), reverse=True
    )
    assert found.errors[: len(errors)] == tuple(one.replace("\x00", "\ufffd") for one in errors)
    assert found.tier >= HARD or not found.errors
    assert found.reasons
    assert found.allowed_decisions
    assert found.reviewers.min >= (1 if found.tier is HARD else 0)
    assert judge(POLICY, tool, args, facts, errors=errors) == found
    assert Verdict.from_json(json.loads(json.dumps(found.to_json()))) == found


@settings(deadline=None)
@given(tools | st.text(), call_args | json_like, facts_like)
def test_a_call_runs_only_if_something_lets_it(tool, args, facts):
    """Without confidence nothing runs but plain reads and what a rule permits."""
    found = judge(POLICY, tool, args, facts)
    if found.tier < HARD:
        letting = {hit.id for hit in found.rules}
        assert letting & {"read", "small", "middling", "auto-threshold", "soft-threshold"}
        if letting & {"auto-threshold", "soft-threshold"}:
            assert 0.7 <= facts.confidence <= 1


# generated policies

effects = st.sampled_from(["read", "write", "write", "write", "irreversible"])
conditions = st.sampled_from(
    ["amount <= 50", "amount > 20", "args.x == 1", "confidence >= 0.5", "args.to == 'ana'",
     "context.untrusted", "has(args.x) && args.x > 3", "category == 'fraud'", "1 == 1"]
)  # fmt: skip
tiers = st.sampled_from(["auto_approve", "auto_approve", "soft_review", "hard_gate", "block"])


def rules_of(tier_names: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, object]]]:
    one = st.fixed_dictionaries({"when": conditions, "tier": tier_names})
    return st.lists(one, max_size=3).map(
        lambda rules: [{"id": f"r{index}", **rule} for index, rule in enumerate(rules)]
    )


@st.composite
def entries(draw, *, permits: bool = True, describes: bool = True) -> dict[str, object]:
    entry: dict[str, object] = {}
    if describes:
        entry["effect"] = draw(effects)
        entry |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "open_world": st.booleans(),
                    "action_type": st.sampled_from(["pay", "pay", "move", "move", "nowhere"]),
                    "amount": st.sampled_from(["amount", "args.x", "args.amount * 2"]),
                    "category": st.sampled_from(["category", "args.to"]),
                    "currency": st.sampled_from(["EUR", "currency"]),
                },
            )
        )
    stops = ["hard_gate", "block"]
    allowed = tiers if permits and entry.get("effect") != "irreversible" else st.sampled_from(stops)
    entry["rules"] = draw(rules_of(allowed))
    entry |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "sla": st.integers(1, 99),
                "reason": st.sampled_from(["a", "b"]),
                "redact": st.sampled_from([["x"], ["to"]]),
                "reviewers": st.sampled_from([{"min": 2}, {"roles": ["a"]}, {"roles": ["b"]}]),
                "allowed_decisions": st.sampled_from([["approve", "reject"], ["reject", "edit"]]),
            },
        )
    )
    return entry


thresholds = st.fixed_dictionaries(
    {
        "action_type": st.sampled_from(["pay", "move", "a", "b"]),
        "auto_approve_threshold": st.sampled_from([0.5, 0.5, 0.9]),
    },
    optional={
        "soft_review_threshold": st.sampled_from([0.2, 0.5]),
        "max_auto_approve_amount": st.sampled_from([10, 50]),
        "max_auto_approve_amount_eur": st.sampled_from([10, 50]),
        "require_two_reviewers_above": st.sampled_from([50, 70]),
        "categories_always_review": st.just(["fraud"]),
        "irreversible_actions_always_gate": st.sampled_from([True, ["b"], ["late"], ["a*"]]),
    },
)
documents = st.fixed_dictionaries(
    {
        "tools": st.dictionaries(
            st.sampled_from(["a", "b", "ab", "pay"]), entries(), min_size=1, max_size=3
        ),
        "escalation_policies": st.lists(
            thresholds, min_size=2, max_size=4, unique_by=lambda one: one["action_type"]
        ),
    },
    optional={
        "never_run": st.sampled_from([["b"], ["*b"]]),
        "always_gate": st.sampled_from([["a"], ["p*"]]),
    },
)
names = st.sampled_from(["a", "b", "ab", "pay", "move", "move", "zz"])
calls = st.fixed_dictionaries(
    {
        "amount": st.sampled_from([0, 5, 10.5, "20"])
        | st.sampled_from([51, 71, -1, math.nan, None]),
        "x": st.sampled_from([1, 5, 60]) | st.just("y"),
        "to": st.sampled_from(["ana", "bob", "fraud"]),
        "category": st.sampled_from(["late", "late", "fraud", 5]),
    },
    optional={"currency": st.sampled_from(["EUR", "USD"])},
)
circumstances = st.builds(
    Facts,
    confidence=st.sampled_from([0.1, 0.3, 0.6, 0.95, 0.95, None]),
    untrusted=st.sampled_from([(), (), ("a",), None]),
)


def load(data: Mapping[str, object]) -> Policy:
    """Load a generated document; one that contradicts itself is no example."""
    from hitl_agent.errors import DocumentError

    try:
        return parse_policy(json.dumps(data))
    except DocumentError as error:
        assume("permits" not in str(error))
        raise


MANY = settings(deadline=None, max_examples=150)


@MANY
@given(documents, names, calls, circumstances, st.randoms(use_true_random=False))
def test_the_order_of_rules_and_entries_is_irrelevant(data, tool, args, facts, random):
    data["tools"]["a*"] = {
        "effect": "write",
        "reason": "x",
        "rules": [
            {"id": "s", "when": "args.x == 1", "tier": "hard_gate", "reason": "one"},
            {"id": "t", "when": "has(args.y) && args.y == 1", "tier": "block"},
        ],
    }
    data["tools"]["*b"] = {
        "effect": "read",
        "reason": "y",
        "redact": ["to"],
        "rules": [
            {"id": "s", "when": "args.x == 1", "tier": "hard_gate", "reason": "two"},
            {"id": "t", "when": "args.x > 50", "tier": "block"},
        ],
    }

    def shuffled(value):
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            random.shuffle(items)
            return dict(items)
        if isinstance(value, list):
            items = [shuffled(item) for item in value]
            random.shuffle(items)
            return items
        return value

    first = judge(load(data), tool, args, facts)
    second = judge(load(shuffled(data)), tool, args, facts)
    plain = [one.to_json() | {"policy_digest": ""} for one in (first, second)]
    assert plain[0] == plain[1]


@MANY
@given(documents, names, calls, circumstances, circumstances)
def test_less_confidence_never_lowers_the_tier(data, tool, args, facts, other):
    """Where no condition looks at it: a rule can say of it what it likes."""
    for entry in data["tools"].values():
        entry["rules"] = [one for one in entry["rules"] if "confidence" not in one["when"]]
    policy = load(data)
    high, low = facts.confidence, other.confidence
    assume(low is None or (high is not None and low <= high))
    less = Facts(confidence=low, untrusted=facts.untrusted)
    assert judge(policy, tool, args, less).tier >= judge(policy, tool, args, facts).tier


money = st.integers(0, 100) | st.floats(0, 100) | st.decimals(0, 100, places=2).map(str)


@MANY
@given(documents, names, calls, circumstances, money, money | st.integers() | st.floats())
def test_a_higher_amount_never_lowers_the_tier(data, tool, args, facts, low, high):
    """Where no rule stops the small ones."""
    assume(not float(low) > float(high))
    for entry in data["tools"].values():
        entry["amount"] = "amount"
        entry["rules"] = [
            one for one in entry["rules"]
            if (one["when"] == "amount <= 50" and one["tier"] == "auto_approve")
            or (one["when"] == "amount > 20" and one["tier"] in {"hard_gate", "block"})
            or "amount" not in one["when"]
        ]  # fmt: skip
    policy = load(data)
    before, after = (
        judge(policy, tool, args | {"amount": amount}, facts).tier for amount in (low, high)
    )
    # what is stopped for its amount can no longer be stopped when its amount cannot be read
    assert after >= min(before, HARD)
    assert after >= before or not 0 <= float(high) < 2**53


@MANY
@given(documents, names, calls, circumstances, conditions, st.sampled_from(["hard_gate", "block"]))
def test_one_more_rule_that_is_no_permission_never_lowers_the_tier(
    data, tool, args, facts, when, tier
):
    before = judge(load(data), tool, args, facts).tier
    for entry in data["tools"].values():
        entry["rules"].append({"id": "more", "when": when, "tier": tier})
    assert judge(load(data), tool, args, facts).tier >= before


@MANY
@given(documents, names, calls, circumstances, st.text(), st.sampled_from(["errors", "objections"]))
def test_one_more_error_or_objection_never_lowers_the_tier(data, tool, args, facts, text, key):
    policy = load(data)
    before = judge(policy, tool, args, facts)
    after = judge(policy, tool, args, facts, **{key: [text]})
    assert after.tier >= max(before.tier, HARD)
    assert judge(policy, tool, args, facts, **{key: [text, "b"]}).tier >= after.tier


@MANY
@given(documents, names, calls, circumstances, st.sampled_from(["always_gate", "never_run"]),
       st.sampled_from(["*", "a", "p*", "?b", "zz"]))  # fmt: skip
def test_one_more_name_in_a_list_never_lowers_the_tier(data, tool, args, facts, key, name):
    before = judge(load(data), tool, args, facts).tier
    data[key] = [*dict.fromkeys([*data.get(key, []), name])]
    after = judge(load(data), tool, args, facts).tier
    assert after >= before
    if name in {tool, "*"}:
        assert after >= (BLOCK if key == "never_run" else HARD)


@MANY
@given(documents, names, calls, circumstances, st.sampled_from(["*", "a*", "?b", "p?y", "*z"]),
       entries(permits=False, describes=False))  # fmt: skip
def test_a_pattern_that_neither_permits_nor_describes_never_lowers_the_tier(
    data, tool, args, facts, pattern, entry
):
    before = judge(load(data), tool, args, facts)
    data["tools"][pattern] = entry
    after = judge(load(data), tool, args, facts)
    assert after.tier >= before.tier
    assert after.reviewers.min >= (before.reviewers.min if after.tier is HARD else 0)
    assert set(after.redactions.get("*", ())) >= set(before.redactions.get("*", ()))


@MANY
@given(documents, names, calls, circumstances, st.sampled_from(["*", "a*", "?b", "p?y"]),
       entries(permits=False))  # fmt: skip
def test_a_pattern_that_permits_nothing_never_lowers_the_tier_of_what_is_described(
    data, tool, args, facts, pattern, entry
):
    """A tool that says all of itself takes no description from a pattern."""
    everything = {
        "effect": "write", "open_world": False, "action_type": tool, "amount": "amount",
        "category": "category", "currency": "currency",
    }  # fmt: skip
    data["tools"][tool] = everything | {
        key: value
        for key, value in data["tools"].get(tool, {"rules": []}).items()
        if key == "rules"
    }
    data["escalation_policies"] = [
        {"action_type": tool, "auto_approve_threshold": 0.5, "max_auto_approve_amount": 50},
        *(one for one in data["escalation_policies"] if one["action_type"] != tool),
    ]
    before = judge(load(data), tool, args, facts).tier
    data["tools"][pattern] = entry
    assert judge(load(data), tool, args, facts).tier >= before


@MANY
@given(documents, names, calls, circumstances, thresholds)
def test_another_pattern_of_the_same_kind_never_lowers_the_tier(data, tool, args, facts, more):
    """Two patterns that fit are at least as strict as each of them alone."""
    more, less = more | {"action_type": "one"}, data["escalation_policies"][0]
    data = {"escalation_policies": [more, less | {"action_type": "other"}]}
    one = {"*": {"effect": "write", "action_type": "one"}}
    other = {tool + "*": {"effect": "write", "action_type": "other"}}
    tiers_ = [
        judge(load(data | {"tools": each}), tool, args, facts).tier
        for each in (one, other, one | other)
    ]
    assert tiers_[2] >= max(tiers_[:2])


@MANY
@given(documents, names, calls | json_like, circumstances)
def test_no_arguments_lower_the_tier_below_what_lets_them(data, tool, args, facts):
    """Whatever the arguments are: who runs is named by a rule, a threshold, or only reads."""
    policy = load(data)
    found = judge(policy, tool, args, facts)
    if found.tier < HARD:
        assert not found.errors
        permitting = {
            rule["id"] for entry in data["tools"].values() for rule in entry["rules"]
            if rule["tier"] in {"auto_approve", "soft_review"}
        }  # fmt: skip
        letting = permitting | {"read", "auto-threshold", "soft-threshold"}
        assert letting & {hit.id for hit in found.rules}


def test_judging_takes_as_long_with_a_thousand_tools_as_with_ten():
    """By the steps it takes and not by a clock: nothing looks through the tools or their rules."""
    import sys

    def steps(count: int) -> int:
        policy = parse_policy(
            json.dumps(
                {
                    "tools": {
                        f"t{n}": {
                            "effect": "write",
                            "rules": [
                                {"id": f"r{m}", "when": f"amount > {m}", "tier": "hard_gate"}
                                for m in range(5)
                            ],
                        }
                        for n in range(count)
                    }
                },
                indent=1,
            )
        )
        judge(policy, "t3", {"amount": 2.5})
        taken = itertools.count()
        sys.setprofile(lambda *_: next(taken))
        judge(policy, "t3", {"amount": 2.5})
        sys.setprofile(None)
        return next(taken)

    assert steps(10) == steps(1000) < 250
