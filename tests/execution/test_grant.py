"""A grant is for one call exactly: whatever else would run carries another digest."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.calls import ToolCall
from hitl_agent.errors import InvalidCall
from hitl_agent.execution import binding, idempotency_key_of

CALL = ToolCall("c", "refund", {"amount": 70})
UNDER = {"thread_id": "t", "tool_version": "1", "policy_digest": "sha256:p", "requester": "ana"}

OTHERS = [
    (ToolCall("d", "refund", {"amount": 70}), {}),
    (ToolCall("c", "refunds", {"amount": 70}), {}),
    (ToolCall("c", "refund", {"amount": 71}), {}),
    (ToolCall("c", "refund", {"amount": "70"}), {}),
    (ToolCall("c", "refund", {}), {}),
    (CALL, {"thread_id": "u"}),
    (CALL, {"tool_version": "2"}),
    (CALL, {"tool_version": ""}),
    (CALL, {"policy_digest": "sha256:q"}),
    (CALL, {"requester": "bo"}),
    (CALL, {"requester": ""}),
    (CALL, {"requester": None}),
    # what moves from one field to its neighbour is no less another call
    (CALL, {"thread_id": "1", "tool_version": "t"}),
    (CALL, {"thread_id": "t1", "tool_version": ""}),
    (ToolCall("t", "refund", {"amount": 70}), {"thread_id": "c"}),
]


@pytest.mark.parametrize(("call", "changed"), OTHERS)
def test_everything_that_was_judged_is_part_of_what_a_grant_is_bound_to(call, changed):
    assert binding(call, **UNDER | changed) != binding(CALL, **UNDER)


def test_a_grant_is_bound_to_a_digest_that_anybody_can_compute():
    form = {
        "args": {"amount": 70},
        "call_id": "c",
        "policy_digest": "sha256:p",
        "requester": "ana",
        "thread_id": "t",
        "tool": "refund",
        "tool_version": "1",
        "v": 1,
    }
    text = json.dumps(form, sort_keys=True, separators=(",", ":"))
    assert binding(CALL, **UNDER) == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_an_idempotency_key_is_a_digest_that_anybody_can_compute():
    form = {"args": {"amount": 70}, "call_id": "c", "thread_id": "t", "tool": "refund"}
    text = json.dumps(form, sort_keys=True, separators=(",", ":"))
    assert idempotency_key_of("t", CALL) == hashlib.sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize("call", [call for call, changed in OTHERS if not changed])
def test_another_call_has_another_key(call):
    assert idempotency_key_of("t", call) != idempotency_key_of("t", CALL)
    assert idempotency_key_of("u", CALL) != idempotency_key_of("t", CALL)


names = st.sampled_from(["", "a", "b", "ab", '"', '","tool":"x', "\u0130"])
arguments = st.dictionaries(names, st.integers(0, 2) | names | st.none(), max_size=2)
calls = st.builds(ToolCall, names, names, arguments)
bound = st.tuples(calls, names, names, names, st.none() | names)


def bind(call, thread_id, tool_version, policy_digest, requester):
    return binding(
        call,
        thread_id=thread_id,
        tool_version=tool_version,
        policy_digest=policy_digest,
        requester=requester,
    )


@given(bound, bound)
def test_two_grants_are_the_same_only_if_all_they_are_bound_to_is(one, other):
    assert (bind(*one) == bind(*other)) == (one == other)
    one_call, other_call = (one[1], one[0]), (other[1], other[0])
    same_key = idempotency_key_of(*one_call) == idempotency_key_of(*other_call)
    assert same_key == (one_call == other_call)


@given(bound)
def test_a_key_is_32_hex_digits_and_no_part_of_a_binding(one):
    key = idempotency_key_of(one[1], one[0])
    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")
    assert key not in bind(*one)


def test_what_has_no_canonical_form_has_neither():
    call = ToolCall("c", "refund", {"amount": 10**20})
    with pytest.raises(InvalidCall):
        binding(call, **UNDER)
    with pytest.raises(InvalidCall):
        idempotency_key_of("t", call)
