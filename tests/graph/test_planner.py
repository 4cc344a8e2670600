"""What a planner may say, and what of it enters the state."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langgraph.checkpoint.base import empty_checkpoint

from hitl_agent.calls import MAX_DEPTH, MAX_NAME, ToolCall, check_call
from hitl_agent.errors import PlannerError
from hitl_agent.graph.gate import Gate, utc_now
from hitl_agent.graph.planner import Planner, PlannerNode, admit
from hitl_agent.graph.state import pending_calls
from hitl_agent.policy import parse_policy
from hitl_agent.storage.checkpoints import Checkpointer

SURROGATE = "\ud800"
NUL = "\x00"

texts = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Lu", "So"]), max_size=10),
    st.sampled_from(["", NUL, SURROGATE, f"a{NUL}b", f"{SURROGATE}x", "😀", "\ud83d\ude00"]),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.binary(max_size=5),
    st.sampled_from([2**53, 2**53 + 1, 2**64, 2**70, -(2**70), Decimal("1.5")]),
)
keys = st.one_of(texts, st.integers(), st.booleans(), st.none(), st.binary(max_size=3))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=8,
)


def nested(levels: int, kind: type = dict):
    value = {}
    for _ in range(levels):
        value = {"a": value} if kind is dict else [value]
    return value


deep = st.builds(
    nested, st.sampled_from([10, 30, 31, 32, 33, 150, 300]), st.sampled_from([dict, list])
)
ids = st.one_of(
    st.none(),
    st.sampled_from(["", "call_1", "call_1", "call_2", "old", NUL, SURROGATE, "x" * MAX_NAME]),
    st.just("x" * (MAX_NAME + 1)),
    st.integers(),
    texts,
)
names = st.one_of(
    st.sampled_from(["refund", "", "functions.refund order", "n" * 200, NUL, SURROGATE]),
    st.none(),
    st.integers(),
    texts,
)
arguments = st.one_of(
    st.dictionaries(st.text(max_size=5), st.one_of(values, deep), max_size=3), values, deep
)
calls = st.fixed_dictionaries(
    {"name": names, "args": arguments, "id": ids}, optional={"type": st.just("tool_call")}
)
bad_calls = st.fixed_dictionaries(
    {
        "name": names,
        "args": st.one_of(texts, st.none(), values),
        "id": ids,
        "error": st.one_of(texts, st.none()),
    }
)
blocks = st.one_of(
    texts,
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda given: {"type": "tool_use", "id": given, "name": "refund", "input": {}}, ids),
    st.dictionaries(keys, st.one_of(values, deep), max_size=3),
)
contents = st.one_of(texts, st.lists(blocks, max_size=3), st.none())
objects = st.dictionaries(keys, st.one_of(values, deep), max_size=3)


def said(**fields) -> AIMessage:
    """A message that no validator has looked at, as a planner in Python can make it."""
    given = {
        "content": "",
        "tool_calls": [],
        "invalid_tool_calls": [],
        "additional_kwargs": {},
        "response_metadata": {},
    }
    return AIMessage.model_construct(**(given | fields))


def kept(checkpointer: Checkpointer, message: AIMessage) -> AIMessage:
    """Put a message into a checkpoint, with the text of its state, and take it out again."""
    config = {"configurable": {"thread_id": uuid.uuid4().hex, "checkpoint_ns": ""}}
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"messages": [message], "text": message.text}
    checkpoint["channel_versions"] = {"messages": "1", "text": "1"}
    versions = checkpoint["channel_versions"]
    where = checkpointer.put(config, checkpoint, {"source": "loop", "step": 1}, versions)
    checkpointer.put_writes(where, [("messages", [message])], "task")
    found = checkpointer.get_tuple(config)
    (again,) = found.checkpoint["channel_values"]["messages"]
    assert found.checkpoint["channel_values"]["text"] == message.text
    assert found.pending_writes == [("task", "messages", [again])]
    return again


EARLIER = [
    HumanMessage("refund", id="h1"),
    AIMessage(
        "",
        id="a1",
        tool_calls=[{"name": "refund", "args": {}, "id": "old"}],
        invalid_tool_calls=[{"name": "refund", "args": "{", "id": "older", "error": None}],
    ),
    ToolMessage("done", tool_call_id="old"),
    ToolMessage("of a call that was trimmed away", tool_call_id="oldest"),
]


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    content=contents,
    tool_calls=st.lists(calls, max_size=4),
    invalid_tool_calls=st.lists(bad_calls, max_size=3),
    additional_kwargs=objects,
    response_metadata=objects,
    name=st.one_of(st.none(), texts),
    message_id=st.one_of(st.none(), texts, st.sampled_from(["h1", "a1"])),
)
def test_whatever_a_planner_says_can_be_kept_and_every_call_of_it_is_there_once(database, **fields):
    check_admission(said(id=fields.pop("message_id"), **fields), database)


def test_arguments_as_deep_as_they_may_be_are_admitted_as_they_are(database):
    """The property above found that one level of difference between two checks fails the run."""
    for levels in range(30, MAX_DEPTH + 1):
        call = {"name": "refund", "args": nested(levels), "id": "c"}
        admitted = admit(said(tool_calls=[call]), [])
        assert admitted.tool_calls == [call | {"type": "tool_call"}]
        assert kept(Checkpointer(database), admitted) == admitted
    deeper = {"name": "refund", "args": nested(MAX_DEPTH + 1), "id": "c"}
    assert admit(said(tool_calls=[deeper]), []).tool_calls == []


@pytest.mark.parametrize("levels", [150, 250, 400, 2000, 50_000])
@pytest.mark.parametrize("kind", [dict, list])
def test_nesting_of_any_depth_is_no_trouble(database, levels, kind):
    value = nested(levels, kind)
    message = said(
        content=[{"type": "text", "text": "x", "more": value}, value],
        tool_calls=[{"name": "refund", "args": value, "id": "c"}],
        invalid_tool_calls=[{"name": value, "args": value, "id": value, "error": value}],
        additional_kwargs={"refusal": value},
        response_metadata={"logprobs": value},
    )
    check_admission(message, database)


def test_a_number_too_long_to_be_written_is_no_trouble(database):
    long = 10**5000
    message = said(
        content=[{"type": "text", "text": "x", "more": long}, long],
        tool_calls=[{"name": "refund", "args": {"amount": long, long: 1}, "id": long}],
        additional_kwargs={long: long},
        usage_metadata={"input_tokens": long, "output_tokens": long, "total_tokens": long},
    )
    check_admission(message, database)


def check_admission(message: AIMessage, database) -> None:
    admitted = admit(message, EARLIER)

    assert kept(Checkpointer(database), admitted) == admitted
    assert type(admitted) is AIMessage
    assert admitted.id not in ("h1", "a1")

    both = [*admitted.tool_calls, *admitted.invalid_tool_calls]
    found = [call["id"] for call in both]
    assert len(both) == len(message.tool_calls) + len(message.invalid_tool_calls)
    assert len(set(found)) == len(found)
    assert not set(found) & {"old", "older", "oldest"}
    for call in admitted.tool_calls:
        check_call(ToolCall(call["id"], call["name"], call["args"]))
    for bad in admitted.invalid_tool_calls:
        assert 0 < len(bad["id"]) <= MAX_NAME
        assert 0 < len(bad["name"]) <= MAX_NAME
        assert bad["error"]

    # the gate finds each of them, and can take the digest of each
    planned = pending_calls([*EARLIER, admitted])
    assert [one.call.call_id for one in planned] == found
    for one in planned:
        assert one.call.digest.startswith("sha256:")


@given(
    st.lists(
        st.builds(
            lambda call_id, args: {
                "name": "refund",
                "args": args,
                "id": call_id,
                "type": "tool_call",
            },
            st.uuids().map(str),
            st.dictionaries(
                st.text(
                    st.characters(exclude_characters=NUL, exclude_categories=["Cs"]), max_size=5
                ),
                st.one_of(st.booleans(), st.integers(1 - 2**53, 2**53 - 1), st.floats(-1e9, 1e9)),
            ),
        ),
        max_size=4,
        unique_by=lambda call: call["id"],
    )
)
def test_a_message_that_is_in_order_is_admitted_as_it_is(proposed):
    message = AIMessage(
        "I refund",
        id="a2",
        tool_calls=proposed,
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"finish_reason": "tool_calls"},
    )
    assert admit(message, EARLIER) == message


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"amount": float("nan")}, "NaN is no number of JSON"),
        ({"amount": 2**70}, "a number beyond 2^53"),
        ({"amount": 1e300}, "a number beyond 2^53"),
        ({"text": f"a{NUL}"}, "text with a NUL character"),
        ({SURROGATE: 1}, "text with a lone surrogate"),
        ({"text": b"bytes"}, "a value that is no JSON: `bytes`"),
        ({1: "one"}, "a key that is no text"),
        (nested(40), "nested too deeply"),
        ({"text": "x" * 300_000}, "arguments of 300,011 bytes; the limit is 262,144"),
        ([1], "a call is a tool's name and a JSON object of arguments"),
        (None, "a call is a tool's name and a JSON object of arguments"),
    ],
)
def test_a_call_that_cannot_be_hashed_as_it_stands_becomes_an_invalid_one(args, problem):
    admitted = admit(said(tool_calls=[{"name": "refund", "args": args, "id": "c"}]), [])
    assert admitted.tool_calls == []
    (bad,) = admitted.invalid_tool_calls
    assert bad["id"] == "c"
    assert bad["name"] == "refund"
    assert problem in bad["error"]
    assert len(bad["args"]) <= 2000


def test_what_was_malformed_is_kept_as_json_for_the_planner_to_see():
    args = {"order": "A-1", "amount": 2**60}
    bad = said(tool_calls=[{"name": "refund", "args": args, "id": "c"}])
    (invalid,) = admit(bad, []).invalid_tool_calls
    assert json.loads(invalid["args"]) == {"order": "A-1", "amount": str(2**60)}


@pytest.mark.parametrize("message_id", ["m", NUL])
def test_two_messages_of_one_id_are_two(message_id):
    first = admit(said(id=message_id), [])
    assert admit(said(id=message_id), [first]).id is None


def test_a_message_with_the_id_of_an_earlier_one_does_not_take_its_place():
    """A cache, or a server that numbers nothing, gives two answers one id."""
    again = AIMessage("again", id="a1")
    assert admit(again, EARLIER).id is None
    assert admit(again, EARLIER[:1]).id == "a1"


def test_a_block_of_an_odd_type_is_a_block_like_any_other():
    call = {"name": "refund", "args": {}, "id": None}
    odd = {"type": ["tool_use"]}
    assert admit(said(content=[odd], tool_calls=[call]), []).content == [odd]


def test_calls_that_a_provider_repeats_among_its_blocks_leave_when_their_ids_change():
    block = {"type": "tool_use", "id": "old", "name": "refund", "input": {}}
    text = {"type": "text", "text": "I refund"}
    call = {"name": "refund", "args": {}, "id": "old"}
    message = AIMessage([text, block], tool_calls=[call])
    assert admit(message, []).content == [text, block]
    assert admit(message, EARLIER).content == [text]


def test_a_raw_copy_of_the_calls_is_not_read_again_from_the_checkpoint(database):
    raw = {"id": "old", "type": "function", "function": {"name": "refund", "arguments": "{}"}}
    admitted = admit(said(additional_kwargs={"tool_calls": [raw], "refusal": None}), EARLIER)
    assert admitted.additional_kwargs == {"refusal": None}
    assert kept(Checkpointer(database), admitted).tool_calls == []


def test_a_message_in_pieces_becomes_a_whole_one_whose_calls_stay_as_they_were_admitted(database):
    piece = tool_call_chunk(name="refund", args='{"amount": 1e400}', id="old", index=0)
    admitted = admit(AIMessageChunk("", tool_call_chunks=[piece]), EARLIER)
    again = kept(Checkpointer(database), admitted)
    assert again.tool_calls == []
    assert again.invalid_tool_calls == admitted.invalid_tool_calls
    assert again.invalid_tool_calls[0]["id"] != "old"


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 2**70, "output_tokens": 1, "total_tokens": 1},
        {"input_tokens": "many"},
        "none",
    ],
)
def test_token_counts_that_are_none_are_left_out(usage):
    assert admit(said(usage_metadata=usage), []).usage_metadata is None


@pytest.mark.parametrize("answer", [None, "text", {"role": "assistant"}, HumanMessage("hi")])
def test_a_planner_that_returns_no_message_of_its_own_has_no_plan(answer):
    class Odd:
        def plan(self, *_):
            return answer

        async def aplan(self, *_):
            return answer

    assert isinstance(Odd(), Planner)
    gate = Gate((), parse_policy("version: 1"), utc_now, timedelta(minutes=1))
    with pytest.raises(PlannerError, match=f"the planner returned `{type(answer).__name__}`"):
        PlannerNode(Odd(), gate, 1).run({"messages": [HumanMessage("go")]}, {})
