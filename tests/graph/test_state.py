"""How calls, task and run are read from the messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolMessage,
)

from hitl_agent.calls import ToolCall
from hitl_agent.graph.state import PlannedCall, pending_calls, task_of, this_run


def call(call_id: str | None, **args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "name": "look", "id": call_id, "args": args}


def bad(call_id: str | None, **changed: Any) -> InvalidToolCall:
    values = {"name": "look", "id": call_id, "args": "{", "error": "no JSON"}
    return InvalidToolCall(type="invalid_tool_call", **(values | changed))


def ids(messages: list[BaseMessage]) -> list[str]:
    return [one.call.call_id for one in pending_calls(messages)]


def result(call_id: str) -> ToolMessage:
    return ToolMessage("x", tool_call_id=call_id)


def test_the_calls_of_the_last_turn_wait_until_each_is_answered() -> None:
    turn = AIMessage("why", tool_calls=[call("b"), call("a"), call("c")])
    assert ids([]) == []
    assert ids([HumanMessage("do it")]) == []
    assert ids([HumanMessage("do it"), turn]) == ["b", "a", "c"]
    assert ids([turn, result("a")]) == ["b", "c"]
    assert ids([turn, result("c"), result("b"), result("a")]) == []


def test_of_several_calls_with_one_id_the_first_is_pending() -> None:
    calls = [call("1"), call("2"), {**call("1"), "name": "other"}]
    pending = pending_calls([AIMessage("", tool_calls=calls)])
    assert [one.call.call_id for one in pending] == ["1", "2"]
    assert pending[0].call.tool != "other"


def test_a_turn_without_calls_leaves_nothing_pending() -> None:
    earlier = AIMessage("", tool_calls=[call("a")])
    assert ids([earlier, AIMessage("done")]) == []


def test_only_the_last_turn_counts_and_only_answers_that_follow_it() -> None:
    first, second = (AIMessage("", tool_calls=[call(one)]) for one in ("a", "b"))
    assert ids([first, second]) == ["b"]
    assert ids([result("b"), second]) == ["b"]
    assert ids([second, HumanMessage("well?"), SystemMessage("x")]) == ["b"]


def test_a_call_brings_what_the_planner_said_of_it() -> None:
    turn = AIMessage(
        "both at once",
        tool_calls=[call("a", x=1), call("b")],
        additional_kwargs={"reasons": {"a": "to see"}},
    )
    assert pending_calls([turn]) == [
        PlannedCall(ToolCall("a", "look", {"x": 1}), None, "to see"),
        PlannedCall(ToolCall("b", "look", {}), None, "both at once"),
    ]


@pytest.mark.parametrize("reasons", [None, "because", ["a"], 7])
def test_reasons_of_another_shape_are_passed_over(reasons: Any) -> None:
    turn = AIMessage("said", tool_calls=[call("a")], additional_kwargs={"reasons": reasons})
    assert [one.claim for one in pending_calls([turn])] == ["said"]


def test_a_reason_is_always_text() -> None:
    turn = AIMessage("", tool_calls=[call("a")], additional_kwargs={"reasons": {"a": [1]}})
    assert [one.claim for one in pending_calls([turn])] == ["[1]"]


def test_a_malformed_call_is_pending_with_what_is_wrong_with_it() -> None:
    turn = AIMessage(
        "said",
        tool_calls=[call("a")],
        invalid_tool_calls=[bad("b"), bad("c", name=None, args=None, error=None), bad(None)],
    )
    assert pending_calls([turn, result("a")]) == [
        PlannedCall(ToolCall("b", "look", {"malformed": "{"}), "no JSON", "said"),
        PlannedCall(
            ToolCall("c", "?", {"malformed": ""}), "the arguments are no JSON object", "said"
        ),
        PlannedCall(ToolCall("", "look", {"malformed": "{"}), "no JSON", "said"),
    ]


def test_a_call_without_an_id_is_still_seen() -> None:
    assert ids([AIMessage("", tool_calls=[call(None)])]) == [""]


turns = st.lists(
    st.one_of(
        st.builds(HumanMessage, st.sampled_from(["one", "two"])),
        st.builds(result, st.sampled_from("abc")),
        st.lists(st.sampled_from("abc"), unique=True).map(
            lambda names: AIMessage("", tool_calls=[call(name) for name in names])
        ),
    ),
    max_size=6,
)


@given(turns)
def test_no_call_is_pending_that_has_its_answer_and_none_is_lost(messages: Any) -> None:
    last = max((i for i, one in enumerate(messages) if isinstance(one, AIMessage)), default=None)
    if last is None:
        assert ids(messages) == []
        return
    answered = {one.tool_call_id for one in messages[last:] if isinstance(one, ToolMessage)}
    asked = [one["id"] for one in messages[last].tool_calls]
    assert ids(messages) == [one for one in asked if one not in answered]


@given(turns)
def test_a_run_is_what_follows_the_last_task(messages: Any) -> None:
    run = list(this_run(messages))
    assert not any(isinstance(one, HumanMessage) for one in run)
    assert messages[len(messages) - len(run) :] == run
    before = messages[: len(messages) - len(run)]
    assert task_of(messages) == (before[-1].text if before else "")


def test_the_task_is_the_text_of_what_was_asked_last() -> None:
    blocks = HumanMessage([{"type": "text", "text": "pay"}, {"type": "text", "text": " her"}])
    assert (
        task_of([HumanMessage("first"), AIMessage("well"), blocks, AIMessage("yes")]) == "pay her"
    )
    assert task_of([AIMessage("well")]) == ""
