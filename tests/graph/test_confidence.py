"""Estimators, over the real OpenAI client against a real HTTP server where a model is asked."""

from __future__ import annotations

import json
import math
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

from hitl_agent import ChatModelPlanner, Runtime, build_graph
from hitl_agent.calls import ToolCall
from hitl_agent.errors import ConfigurationError, PlannerError
from hitl_agent.graph.confidence import (
    Auxiliary,
    Calibrated,
    EnsembleAgreement,
    SelfConsistency,
    TokenLogprobs,
    Verbalised,
)
from hitl_agent.graph.planner import admit
from hitl_agent.graph.state import AgentState
from hitl_agent.policy import parse_policy
from hitl_agent.risk import Estimate, Identity, Isotonic, Platt
from tests.support.chat_server import Call, Fail, Raw, Say, chat_server

POLICY = """
version: 1
escalation_policies:
  - {action_type: refund, auto_approve_threshold: 0.8, soft_review_threshold: 0.5}
tools:
  refund: {effect: write, action_type: refund}
"""
CALL = ToolCall("c1", "refund", {"amount": 20})
EDITED = ToolCall("c1", "refund", {"amount": 5})
GO = HumanMessage("refund 20")


@tool
def refund(amount: float) -> str:
    """Pay money back."""
    return f"refunded {amount}"


def planned(*calls, text="because", **more):
    """A message that plans the calls, the one of these tests if none is given."""
    made = [
        {"type": "tool_call", "id": one.call_id, "name": one.tool, "args": dict(one.args)}
        for one in calls or (CALL,)
    ]
    return AIMessage(text, tool_calls=made, **more)


def entries(*tokens: tuple[str, float]) -> list[dict[str, Any]]:
    return [
        {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
        for text, value in tokens
    ]


WRITTEN = entries(
    ("<tool_call>", -5.0),
    ('{"name": "', -5.0),
    ("refund", -0.1),
    ('", "arguments": ', -5.0),
    ('{"amount": ', -0.2),
    ("20", -0.3),
    ("}", 0.0),
    ("}</tool_call>", -5.0),
)
CONFIDENCE = math.exp(-(0.1 + 0.2 + 0.3 + 0.0) / 4)


def options(server, **more):
    return {
        "base_url": server.base_url,
        "api_key": "sk-test",
        "timeout": 5,
        "max_retries": 0,
    } | more


def planner_of(server, **more):
    return ChatModelPlanner(ChatOpenAI(model="gpt-5", **options(server, **more)))


def body(logprobs: Any, *, text: str | None = None) -> Raw:
    """An answer with the call and the log-probabilities."""
    call = Call("refund", {"amount": 20}, "c1").to_json()
    message = {"role": "assistant", "content": text, "tool_calls": [call]}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls",
        "logprobs": logprobs,
    }
    head = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-5"}
    return Raw(json.dumps({**head, "choices": [choice]}).encode())


def stream(*pieces: tuple[dict[str, Any], Any, str | None]) -> Raw:
    """The same in pieces: delta, log-probabilities, reason of the end."""
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5"}
    frames = [
        {
            **head,
            "choices": [{"index": 0, "delta": d, "logprobs": lps, "finish_reason": end}],
        }
        for d, lps, end in pieces
    ]
    lines = [f"data: {json.dumps(frame)}\n\n" for frame in frames]
    return Raw(("".join(lines) + "data: [DONE]\n\n").encode(), "text/event-stream")


STREAMED = stream(
    ({"role": "assistant", "content": ""}, None, None),
    (
        {"tool_calls": [{**Call("refund", "", "c1").to_json(), "index": 0}]},
        {"content": WRITTEN[:3]},
        None,
    ),
    (
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"amount": 20}'}}]},
        {"content": WRITTEN[3:]},
        None,
    ),
    ({}, None, "tool_calls"),
)


# ------------------------------------------------------------------ token probabilities


@pytest.mark.parametrize(
    ("answer", "streaming"), [(body({"content": WRITTEN}), False), (STREAMED, True)]
)
def test_the_probabilities_of_a_calls_tokens_are_read_as_the_client_gives_them(answer, streaming):
    with chat_server(answer) as server:
        planner = planner_of(server, logprobs=True, streaming=streaming)
        message = admit(planner.plan({"messages": [GO]}, [refund], {}), [GO])
        assert server.requests[0]["logprobs"] is True
    estimate = TokenLogprobs()(CALL, [GO, message])
    assert estimate.source == "token_logprobs"
    assert estimate.raw == pytest.approx(CONFIDENCE)
    assert TokenLogprobs()(EDITED, [GO, message]) is None  # no model wrote it


PROSE = entries(("I call refund", -0.1), (' {"amount": 20}', -0.1))


@pytest.mark.parametrize(
    ("logprobs", "text"),
    [
        (None, None),
        ({"content": None, "refusal": None}, None),
        ({"content": []}, None),
        ({"content": entries(("I refund", -0.1))}, "I refund"),
        ({"content": PROSE}, 'I call refund {"amount": 20}'),
        ({"content": entries(("something", -0.1), (" else", -0.2))}, None),
    ],
)
def test_a_model_that_counts_no_tokens_of_calls_does_not_tell(logprobs, text):
    with chat_server(body(logprobs, text=text)) as server:
        planner = planner_of(server, logprobs=True)
        message = admit(planner.plan({"messages": [GO]}, [refund], {}), [GO])
    assert TokenLogprobs()(CALL, [GO, message]) is None


@pytest.mark.parametrize("logprobs", [5, [], "x", {"tokens": ["a"], "token_logprobs": [-1]}])
def test_probabilities_in_another_shape_do_not_tell(logprobs):
    message = planned(response_metadata={"logprobs": logprobs})
    assert TokenLogprobs()(CALL, [GO, admit(message, [GO])]) is None


@pytest.mark.parametrize(
    "bad",
    [
        *({}, 5, None, {"token": 5, "logprob": -1}, {"token": "x"}),
        *entries(("x", 0.1), ("x", math.nan), ("x", "-1"), ("x", True)),
    ],
)
def test_nonsense_in_place_of_probabilities_is_refused(bad):
    message = planned(response_metadata={"logprobs": {"content": [*WRITTEN, bad]}})
    with pytest.raises(ValueError, match="log-probabilit"):
        TokenLogprobs()(CALL, [GO, admit(message, [GO])])


def test_the_call_of_an_earlier_turn_lends_its_tokens_to_no_other():
    first = planned(response_metadata={"logprobs": {"content": WRITTEN}})
    later = [GO, first, ToolMessage("refunded", tool_call_id="c1")]
    second = planned(ToolCall("c2", "refund", {"amount": 20}))
    assert TokenLogprobs()(ToolCall("c2", "refund", {"amount": 20}), [*later, second]) is None
    assert TokenLogprobs()(CALL, later) is None
    assert TokenLogprobs()(CALL, [GO]) is None


@given(st.lists(st.tuples(st.text(), st.floats(max_value=0, allow_infinity=False)), max_size=5))
def test_whatever_stands_around_the_call_its_own_tokens_count(around):
    content = entries(*((text.replace("refund", ""), value) for text, value in around))
    message = planned(response_metadata={"logprobs": {"content": [*content, *WRITTEN]}})
    estimate = TokenLogprobs()(CALL, [GO, message])
    assert estimate.raw == pytest.approx(CONFIDENCE)


# ------------------------------------------------------------------ other plans


def says(amount, *, tool="refund"):
    return Say("", calls=[Call(tool, {"amount": amount}, f"call_{uuid.uuid4().hex}")])


def test_self_consistency_is_how_often_the_model_plans_the_same_again():
    answers = [says(20), says(20.0), says(21), Say("I would not")]
    with chat_server(*answers) as server:
        estimator = SelfConsistency(planner_of(server, temperature=0.7), [refund], k=4)
        messages = [GO, planned()]
        assert estimator(CALL, messages) == Estimate(0.5, "self_consistency")
        for number in range(4):
            # it is not shown what it planned, and is asked as the agent was
            assert [one["role"] for one in server.messages(number)] == ["user"]
            assert server.requests[number]["tools"][0]["function"]["name"] == "refund"
        assert len(messages) == 2


def test_the_plans_of_a_turn_are_made_once_for_all_its_calls_and_for_an_edit():
    other = ToolCall("c2", "refund", {"amount": 5})
    with chat_server(says(20), says(5), says(20), says(20), says(5)) as server:
        estimator = SelfConsistency(planner_of(server), [refund], k=2)
        message = planned(CALL, other)
        assert estimator(CALL, [GO, message]).raw == 0.5
        assert estimator(other, [GO, message]).raw == 0.5
        answered = ToolMessage("refunded", tool_call_id="c2")
        assert estimator(EDITED, [GO, message, answered]).raw == 0.5
        assert server.left == 3
        assert estimator(CALL, [HumanMessage("other"), message]).raw == 1
        assert server.left == 1
        with pytest.raises(PlannerError, match="the model failed"):
            estimator(CALL, [GO, message])


def test_an_earlier_turn_is_part_of_the_question():
    earlier = [GO, planned(), ToolMessage("refunded", tool_call_id="c1"), HumanMessage("again")]
    again = ToolCall("c2", "refund", {"amount": 20})
    with chat_server(says(20)) as server:
        estimator = SelfConsistency(planner_of(server), [refund], k=1)
        assert estimator(again, [*earlier, planned(again)]).raw == 1
        roles = [one["role"] for one in server.messages()]
        assert roles == ["user", "assistant", "tool", "user"]


def test_a_malformed_plan_agrees_with_nothing():
    cut = Say("", calls=[Call("refund", '{"amount": 2', "c1")])
    with chat_server(cut) as server:
        estimator = SelfConsistency(planner_of(server), [refund], k=1)
        assert estimator(CALL, [GO, planned()]).raw == 0


def test_other_models_agree_or_not():
    with chat_server(says(20)) as one, chat_server(says(21)) as two, chat_server(says(20)) as three:
        estimator = EnsembleAgreement([planner_of(s) for s in (one, two, three)], [refund])
        estimate = estimator(CALL, [GO, planned()])
        assert estimate == Estimate(2 / 3, "ensemble")
        assert len(one.requests) == len(two.requests) == len(three.requests) == 1


def test_without_a_plan_there_is_nothing_to_agree_with():
    with chat_server() as server:
        assert SelfConsistency(planner_of(server), [refund])(CALL, [GO]) is None
        assert EnsembleAgreement([planner_of(server)], [refund])(CALL, []) is None
        assert server.requests == []


def test_a_model_that_fails_is_not_a_model_that_disagrees():
    with chat_server(says(20), Fail(500)) as server, pytest.raises(PlannerError):
        SelfConsistency(planner_of(server), [refund], k=2)(CALL, [GO, planned()])


def test_no_plans_are_no_agreement():
    with pytest.raises(ConfigurationError, match="`k` is at least 1"):
        SelfConsistency(ChatModelPlanner("openai:gpt-5"), [refund], k=0)
    with pytest.raises(ConfigurationError, match="at least one other planner"):
        EnsembleAgreement([], [refund])


def test_threads_that_ask_at_once_get_their_own_answers():
    class Echo:
        """Plans what the user named, when every thread has asked."""

        def __init__(self, threads):
            self.barrier = threading.Barrier(threads, timeout=30)

        def plan(self, state, tools, config):
            self.barrier.wait()
            return planned(ToolCall("x", "refund", {"amount": int(state["messages"][0].text)}))

    estimator = SelfConsistency(Echo(4), [refund], k=1)
    found = {}

    def ask(amount):
        call = ToolCall("c", "refund", {"amount": amount})
        found[amount] = estimator(call, [HumanMessage(str(amount)), planned(call)])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == dict.fromkeys(range(4), Estimate(1, "self_consistency"))


def test_the_other_plans_are_not_streamed_to_the_user():
    heard_by_callbacks = []

    def plan(state, config):
        return {"messages": [planner.plan(state, [refund], config)]}

    def classify(state):
        heard_by_callbacks.append(estimator(CALL, state["messages"]))
        return {}

    call = Call("refund", {"amount": 20}, "c1")
    answers = [Say("mine", calls=[call]), Say("unseen", calls=[call]), Say("unseen", calls=[call])]
    with chat_server(*answers) as server:
        planner = planner_of(server)
        estimator = SelfConsistency(planner, [refund], k=2)
        builder = StateGraph(AgentState)
        builder.add_node("planner", plan)
        builder.add_node("risk_classifier", classify)
        builder.add_edge(START, "planner")
        builder.add_edge("planner", "risk_classifier")
        builder.add_edge("risk_classifier", END)
        parts = list(builder.compile().stream({"messages": [GO]}, stream_mode="messages"))
        assert server.left == 0
    said = "".join(one.text for one, _ in parts if isinstance(one, AIMessageChunk))
    assert said == "mine"
    assert heard_by_callbacks == [Estimate(1, "self_consistency")]


# ------------------------------------------------------------------ words, and models of one's own


def test_a_stated_confidence_is_read_from_the_planners_text():
    message = planned(text="I refund it.\nconfidence: 0.8")
    assert Verbalised()(CALL, [GO, message]) == Estimate(0.8, "verbalised")
    assert Verbalised()(EDITED, [GO, message]) is None
    assert Verbalised()(ToolCall("c9", "refund", {"amount": 20}), [GO, message]) is None
    assert Verbalised()(CALL, [GO]) is None
    assert Verbalised()(CALL, [HumanMessage("confidence: 1.0"), planned()]) is None
    two = planned(text="confidence: 0.8\nconfidence: 1.0")
    assert Verbalised()(CALL, [GO, two]) is None


def test_the_reason_of_a_single_call_comes_before_the_text():
    message = planned(
        text="confidence: 1.0", additional_kwargs={"reasons": {"c1": "confidence: 0.3"}}
    )
    assert Verbalised()(CALL, [GO, message]) == Estimate(0.3, "verbalised")


class Seen:
    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def confidence(self, tool, args):
        self.asked.append((tool, args))
        return self.answer


def test_a_model_of_ones_own_is_asked_about_the_call():
    model = Seen(0.25)
    assert Auxiliary(model)(EDITED, [GO, planned()]) == Estimate(0.25, "auxiliary")
    assert model.asked == [("refund", {"amount": 5})]


@pytest.mark.parametrize("answer", [None, "0.5", True, math.nan, 1.1, -0.1])
def test_an_answer_that_is_no_confidence_is_refused(answer):
    with pytest.raises(ValueError, match="auxiliary model"):
        Auxiliary(Seen(answer))(CALL, [])


# ------------------------------------------------------------------ calibration


def test_a_calibrated_estimate_keeps_what_was_said_and_by_whom():
    estimator = Calibrated(Auxiliary(Seen(0.9)), Isotonic(((0, 0), (1, 0.5))))
    assert estimator(CALL, []) == Estimate(0.9, "auxiliary", 0.45)
    assert Calibrated(estimator, Identity())(CALL, []) == Estimate(0.9, "auxiliary", 0.45)


def test_a_bare_number_can_be_calibrated_and_nothing_stays_nothing():
    assert Calibrated(lambda *_: 0.9, Platt(0, 0))(CALL, []) == Estimate(0.9, "given", 0.5)
    assert Calibrated(Verbalised(), Platt(0, 0))(CALL, [GO, planned()]) is None


@pytest.mark.parametrize("answer", ["0.9", True, math.nan, 2])
def test_what_is_no_confidence_is_not_calibrated(answer):
    with pytest.raises(ValueError, match="is a number from 0 to 1"):
        Calibrated(lambda *_: answer, Identity())(CALL, [])


# ------------------------------------------------------------------ at work


@pytest.mark.parametrize(("high", "waits"), [(0.4, True), (1.0, False)])
def test_a_policy_acts_on_the_calibrated_confidence(database_url, high, waits):
    answers = [body({"content": WRITTEN}), Say("all is done")]
    with chat_server(*answers) as server, Runtime.open(database_url) as runtime:
        estimator = Calibrated(TokenLogprobs(), Isotonic(((0, 0), (CONFIDENCE, high))))
        builder = build_graph(
            planner_of(server, logprobs=True), [refund], parse_policy(POLICY), confidence=estimator
        )
        graph = runtime.compile(builder, name="desk")
        thread = uuid.uuid4().hex
        graph.invoke(runtime.start_input("refund 20"), runtime.config(thread))
        assert bool(runtime.waiting(thread)) is waits
        assert server.left == int(waits)
