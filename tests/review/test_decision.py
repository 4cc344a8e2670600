from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hitl_agent.audit import Entry, Kind
from hitl_agent.calls import MAX_BYTES, ToolCall, canonical
from hitl_agent.errors import InvalidDecision
from hitl_agent.policy import DECISIONS
from hitl_agent.review import (
    Approve,
    Edit,
    Reject,
    Respond,
    check_decision,
    read_answer,
)
from hitl_agent.review.decision import MAX_MESSAGE

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CALL = ToolCall("c1", "refund", {"amount": 5, "name": "Ann"})
SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "name": {"type": "string"}},
    "required": ["amount"],
}

any_text = st.text() | st.sampled_from(
    ["approve", "accept", "edit", "reject", "ignore", "respond", "response", "refund", "\x00"]
)
keys = st.sampled_from(
    ["type", "args", "edited_action", "message", "decisions", "name", "action"]
) | st.text(max_size=3)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=5),
    max_leaves=15,
)
shaped = st.fixed_dictionaries(
    {"type": any_text | any_json},
    optional={
        "args": any_json,
        "message": any_json,
        "edited_action": st.fixed_dictionaries(
            {}, optional={"name": st.just("refund") | any_json, "args": any_json}
        ),
    },
)


@given(any_json | shaped | st.fixed_dictionaries({"decisions": st.lists(shaped, max_size=2)}))
@example({"type": "\x00"})
@example({"type": "\ud800" * 10_000})
@example({"type": "edit", "edited_action": {"name": "\ud800\x00", "args": {}}})
@example({"type": "edit", "edited_action": {"name": "x" * 10**6, "args": {}}})
@example({"type": "approve", "message": "\ud800\x00"})
@example({"type": [["deep"]]})
def test_an_answer_is_a_decision_or_it_is_refused_with_what_can_be_recorded(answer):
    try:
        decision = read_answer(answer, tool="refund")
        check_decision(decision, CALL, allowed=DECISIONS, schema=SCHEMA)
    except InvalidDecision as error:
        recorded = {"problem": str(error)}
    else:
        assert isinstance(decision, Approve | Edit | Reject | Respond)
        recorded = {
            "message": decision.message,
            "args": decision.args if isinstance(decision, Edit) else None,
        }
    canonical(recorded)
    assert len(recorded.get("problem", "")) < 1000


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        ({"type": "approve"}, Approve()),
        ({"type": "approve", "message": "ok"}, Approve("ok")),
        ({"type": "reject", "message": "no"}, Reject("no")),
        ({"type": "reject"}, Reject()),
        ({"type": "respond", "message": "it is Ann"}, Respond("it is Ann")),
        (
            {"type": "edit", "edited_action": {"name": "refund", "args": {"amount": 1}}},
            Edit({"amount": 1}),
        ),
        (
            {"type": "edit", "edited_action": {"amount": 1}, "message": "m"},
            Edit({"amount": 1}, "m"),
        ),
        ({"type": "accept", "args": None}, Approve()),
        ({"type": "accept", "args": {"action": "refund", "args": {"amount": 5}}}, Approve()),
        ({"type": "ignore", "args": None}, Reject("ignored by the reviewer")),
        ({"type": "ignore", "message": "later"}, Reject("later")),
        ({"type": "response", "args": "it is Ann"}, Respond("it is Ann")),
        ({"type": "response", "message": "it is Ann"}, Respond("it is Ann")),
        (
            {"type": "edit", "args": {"action": "refund", "args": {"amount": 1}}},
            Edit({"amount": 1}),
        ),
        ({"type": "edit", "args": {"amount": 1}}, Edit({"amount": 1})),
        ({"type": "edit", "args": {}}, Edit({})),
        ({"type": "approve", "message": "a\x00b"}, Approve("a\ufffdb")),
    ],
)
@pytest.mark.parametrize(
    "around", [lambda one: one, lambda one: [one], lambda one: {"decisions": [one]}]
)
def test_every_shape_that_clients_send_is_understood(answer, decision, around):
    assert read_answer(around(answer), tool="refund") == decision


def test_arguments_that_are_called_like_a_call_can_be_edited():
    args = {"name": "Bo", "amount": 1}
    assert read_answer({"type": "edit", "args": args}, tool="refund") == Edit(args)
    action = {"action": "refund", "amount": 1}
    assert read_answer({"type": "edit", "args": action}, tool="refund") == Edit(action)
    wrapped = {"type": "edit", "edited_action": {"name": "refund", "args": args}}
    assert read_answer(wrapped, tool="refund") == Edit(args)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "a decision is an object with a `type`, not nothing"),
        (True, "not true or false"),
        ("approve", "not text"),
        (7, "not `int`"),
        ([], "one decision answers one call, here are 0"),
        ({"decisions": [{"type": "approve"}] * 2}, "here are 2"),
        ([[{"type": "approve"}]], "not `list`"),
        ({}, "nothing is no decision"),
        ({"type": "Approve"}, "`Approve` is no decision"),
        ({"type": "approved "}, "`approved ` is no decision"),
        ({"type": ["approve"]}, "`list` is no decision"),
        ({"type": "x" * 70}, f"`{'x' * 60}…` is no decision"),
        ({"type": "approve", "message": 5}, "a message is text, not `int`"),
        ({"type": "approve", "message": "x" * 20_001}, "20,001 characters; at most 20,000"),
        ({"type": "response", "args": {"a": 1}}, "a message is text, not `dict`"),
        ({"type": "edit"}, "an edit carries the new call as `edited_action`"),
        ({"type": "edit", "edited_action": None, "args": {}}, "as `edited_action`"),
        ({"type": "edit", "edited_action": {"name": "wipe", "args": {}}}, "to `wipe`"),
        ({"type": "edit", "edited_action": {"action": "wipe", "args": {}}}, "to `wipe`"),
        ({"type": "edit", "edited_action": {"name": None, "args": {}}}, "to nothing"),
        (
            {"type": "edit", "edited_action": {"name": "refund", "action": "wipe", "args": {}}},
            "may not switch",
        ),
        ({"type": "edit", "args": {"name": "wipe", "args": {}}}, "to `wipe`"),
        ({"type": "edit", "edited_action": {"name": "refund"}}, "are a JSON object"),
        ({"type": "edit", "edited_action": {"name": "refund", "args": [1]}}, "are a JSON object"),
    ],
)
def test_what_is_no_decision_is_refused_with_the_reason(answer, why):
    with pytest.raises(InvalidDecision) as caught:
        read_answer(answer, tool="refund")
    assert why in str(caught.value)


@pytest.mark.parametrize("decision", [Approve("m"), Edit({"amount": 1}), Reject(), Respond("said")])
def test_only_an_allowed_decision_may_be_given(decision):
    others = [one for one in DECISIONS if one != decision.type]
    check_decision(decision, CALL, allowed=[decision.type], schema=SCHEMA)
    with pytest.raises(InvalidDecision, match=f"`{decision.type}` is not allowed") as caught:
        check_decision(decision, CALL, allowed=others, schema=SCHEMA)
    assert caught.value.hint == f"decide with one of {', '.join(sorted(others))}"


@pytest.mark.parametrize(
    ("decision", "why"),
    [
        (Edit({"amount": "5"}), "`amount`: '5' is not of type 'number'"),
        (Edit({}), "'amount' is a required property"),
        (Edit({"amount": 5, "to": "me"}), "no argument is named `to`; there are amount, name"),
        (Edit({"amount": float("nan")}), "do not fit"),
        (Edit({"amount": 2**60}), "beyond 2^53"),
        (Edit({"amount": 1, "name": "\x00"}), "NUL"),
        (Edit({"amount": 1, "name": "x" * MAX_BYTES}), "the limit is"),
        (Edit([1]), "arguments are a JSON object"),
        (Respond(" \n"), "a response needs a text"),
        (Approve("a\x00"), "characters that cannot be stored"),
        (Reject("\ud800"), "characters that cannot be stored"),
        (Respond("x" * (MAX_MESSAGE + 1)), "at most 20,000"),
        (Approve(5), "a message is text"),
    ],
)
def test_a_decision_that_does_not_fit_the_call_is_refused(decision, why):
    with pytest.raises(InvalidDecision) as caught:
        check_decision(decision, CALL, allowed=DECISIONS, schema=SCHEMA)
    assert why in str(caught.value)


def test_a_refusal_of_deep_arguments_can_be_recorded():
    deep: object = 1
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(InvalidDecision, match="nested too deeply") as caught:
        check_decision(Edit({"amount": deep}), CALL, allowed=DECISIONS, schema=SCHEMA)
    body = {"problem": str(caught.value)}
    assert Entry(Kind.ANSWER_REFUSED, "t", "c", NOW, body).canonical()


@pytest.mark.parametrize(
    ("decision", "message", "hint"),
    [
        (
            Approve("a\x00"),
            "a message with characters that cannot be stored",
            "say it without them",
        ),
        (Respond(" "), "a response needs a text", "say it with --reason TEXT"),
        (
            Edit([1]),
            "the edited arguments of `refund` do not fit: arguments are a JSON object",
            "correct the arguments and edit again",
        ),
    ],
)
def test_who_decides_what_does_not_fit_is_told_what_to_do(decision, message, hint):
    with pytest.raises(InvalidDecision) as caught:
        check_decision(decision, CALL, allowed=DECISIONS, schema=SCHEMA)
    assert (str(caught.value), caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        (
            {"type": "maybe"},
            "`maybe` is no decision",
            "decide with one of approve, edit, reject, respond",
        ),
        ({"type": "edit"}, "an edit carries the new call as `edited_action`", None),
        (
            {"type": "edit", "edited_action": {"name": "refund"}},
            "the arguments of an edit are a JSON object",
            None,
        ),
    ],
)
def test_who_answers_with_no_decision_is_told_what_to_do(answer, message, hint):
    with pytest.raises(InvalidDecision) as caught:
        read_answer(answer, tool="refund")
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_the_longest_message_is_a_message():
    assert read_answer({"type": "reject", "message": "x" * MAX_MESSAGE}, tool="refund")
    check_decision(Reject("x" * MAX_MESSAGE), CALL, allowed=DECISIONS, schema=SCHEMA)


def test_a_name_that_is_shown_in_whole_has_no_dots():
    with pytest.raises(InvalidDecision) as caught:
        read_answer({"type": "x" * 60}, tool="refund")
    assert str(caught.value) == f"`{'x' * 60}` is no decision"
