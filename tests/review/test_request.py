from __future__ import annotations

import json
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.calls import ToolCall, canonical
from hitl_agent.policy import Effect, Reviewers, RuleHit, Tier, Verdict
from hitl_agent.review import ReviewRequest, request_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALL = ToolCall("c1", "refund", {"amount": 70})
VERDICT = Verdict(
    tier=Tier.HARD_GATE,
    effect=Effect.WRITE,
    rules=(
        RuleHit("amount-limit", Tier.HARD_GATE, "too much"),
        RuleHit("always-gate:r*", Tier.HARD_GATE, "always"),
    ),
    errors=("an error",),
    reviewers=Reviewers(1),
    sla_seconds=60,
    grant_ttl_seconds=600,
    allowed_decisions=("approve", "edit", "reject"),
    policy_digest="sha256:00",
)
SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}}
REQUEST = ReviewRequest(
    request_id="r1",
    thread_id="t1",
    graph="refunds",
    interrupt_id="i1",
    call=CALL,
    revision=2,
    call_digest=CALL.digest,
    verdict=VERDICT,
    claim="she asked",
    task="refund her",
    args_schema=SCHEMA,
    problem=None,
    created_at=NOW,
    due_at=NOW + timedelta(seconds=60),
)


def test_a_request_is_printed_with_everything_needed_to_decide():
    assert REQUEST.to_json() == {
        "thread_id": "t1",
        "graph": "refunds",
        "interrupt_id": "i1",
        "request_id": "r1",
        "call_id": "c1",
        "revision": 2,
        "tool": "refund",
        "args": {"amount": 70},
        "call_digest": CALL.digest,
        "tier": "hard_gate",
        "effect": "write",
        "reasons": ["too much", "always"],
        "rules": ["amount-limit", "always-gate:r*"],
        "errors": ["an error"],
        "allowed_decisions": ["approve", "edit", "reject"],
        "reviewers": {"min": 1, "roles": [], "reject": "one"},
        "votes": [],
        "policy_digest": "sha256:00",
        "task": "refund her",
        "claim": "she asked",
        "cautions": [],
        "args_schema": SCHEMA,
        "problem": None,
        "created_at": "2026-03-01T12:00:00+00:00",
        "due_at": "2026-03-01T12:01:00+00:00",
    }


def test_a_request_without_a_deadline_says_so():
    assert replace(REQUEST, due_at=None).to_json()["due_at"] is None


@pytest.mark.parametrize("data", [REQUEST.to_json(), REQUEST.payload()])
def test_what_leaves_is_plain_json(data):
    assert json.loads(json.dumps(data)) == data
    canonical(data)
    assert all(type(one) in (str, int, type(None), dict, list) for one in data.values())


def test_the_payload_is_a_request_of_langchains_protocol_with_one_action():
    payload = REQUEST.payload()
    assert payload["action_requests"] == [
        {"name": "refund", "args": {"amount": 70}, "description": "too much; always"}
    ]
    assert payload["review_configs"] == [
        {
            "action_name": "refund",
            "allowed_decisions": ["approve", "edit", "reject"],
            "args_schema": SCHEMA,
        }
    ]
    assert payload["call_digest"] == CALL.digest
    assert Verdict.from_json(payload["verdict"]) == VERDICT
    assert set(payload) == {
        "action_requests",
        "review_configs",
        "request_id",
        "call_id",
        "revision",
        "call_digest",
        "verdict",
        "claim",
        "problem",
        "votes",
    }


def test_langchains_own_types_describe_the_payload():
    protocol = pytest.importorskip("langchain.agents.middleware.human_in_the_loop")
    (action,) = REQUEST.payload()["action_requests"]
    (config,) = REQUEST.payload()["review_configs"]
    for value, kind in ((action, protocol.ActionRequest), (config, protocol.ReviewConfig)):
        assert kind.__required_keys__ <= set(value) <= set(kind.__annotations__)
    assert protocol.HITLRequest.__required_keys__ <= set(REQUEST.payload())


def test_a_verdict_without_reasons_is_still_described():
    payload = replace(REQUEST, verdict=replace(VERDICT, rules=())).payload()
    assert payload["action_requests"][0]["description"] == "`refund` waits for a decision"


def test_neither_form_shares_the_requests_dictionaries():
    REQUEST.payload()["action_requests"][0]["args"]["amount"] = 0
    REQUEST.to_json()["args"]["amount"] = 0
    assert REQUEST.call.args == {"amount": 70}


def test_the_same_question_has_the_same_id_in_every_process():
    ours = request_id("t", "c", 1, "sha256:00")
    code = "from hitl_agent.review import request_id; print(request_id('t','c',1,'sha256:00'))"
    theirs = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert theirs.stdout.strip() == ours == "06d23877-9099-53bb-8df0-d137ba8b24c4"
    assert uuid.UUID(ours).version == 5


parts = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=3),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=3),
    st.integers(1, 20),
    st.sampled_from(["sha256:00", "sha256:01"]),
)


@given(parts, parts)
def test_another_question_has_another_id(one, other):
    assert (request_id(*one) == request_id(*other)) is (one == other)
