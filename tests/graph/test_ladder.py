from __future__ import annotations

import asyncio
import json
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from hitl_agent import ChatModelPlanner, build_graph
from hitl_agent.errors import ConfigurationError, PlannerError
from hitl_agent.graph.confidence import Verbalised
from hitl_agent.graph.ladder import LadderPlanner
from hitl_agent.graph.planner import admit
from hitl_agent.policy import parse_policy
from hitl_agent.risk import Estimate
from tests.support.chat_server import Call, Fail, Say, chat_server
from tests.support.flows import POLICY, call, desk, tools_noting

GO = HumanMessage("go")
STATE = {"messages": [GO]}


@tool
def refund(amount: float) -> str:
    """Pay money back."""
    return f"refunded {amount}"


class Rung:
    """A planner that says one thing, and remembers what it was asked."""

    def __init__(self, message):
        self.message = message
        self.asked = []

    def plan(self, state, tools, config):
        self.asked.append((state, tools, config))
        if isinstance(self.message, Exception):
            raise self.message
        return self.message

    async def aplan(self, state, tools, config):
        return self.plan(state, tools, config)


def calls(*ids, amount=1):
    return AIMessage("because", tool_calls=[call("refund", one, amount=amount) for one in ids])


def by_id(**values):
    """An estimator that answers by call id, and raises what is an error."""

    def confidence(call, messages):
        value = values[call.call_id]
        if isinstance(value, Exception):
            raise value
        return value

    return confidence


def both(ladder, state=STATE, tools=(), config=None):
    """What the ladder plans, awaited or not."""
    message = ladder.plan(state, tools, config or {})
    awaited = asyncio.run(ladder.aplan(state, tools, config or {}))
    assert awaited == message
    return message


def asked(*rungs):
    """How often each was asked by `both`: once for each way."""
    counts = [len(one.asked) for one in rungs]
    assert all(count % 2 == 0 for count in counts)
    return [count // 2 for count in counts]


def test_the_first_rung_that_is_sure_plans_the_turn():
    rungs = Rung(calls("a")), Rung(calls("b")), Rung(calls("c"))
    message = both(LadderPlanner(rungs, by_id(a=0.4, b=0.8), below=0.8))
    assert message.tool_calls[0]["id"] == "b"
    assert message.additional_kwargs["ladder"] == {"rung": 2, "before": [[0.4]]}
    assert asked(*rungs) == [1, 1, 0]


def test_a_cheap_plan_that_is_sure_costs_nothing_more():
    rungs = Rung(calls("a")), Rung(calls("b"))
    message = both(LadderPlanner(rungs, by_id(a=1.0), below=0.8))
    assert message.additional_kwargs["ladder"] == {"rung": 1, "before": []}
    assert asked(*rungs) == [1, 0]


def test_the_last_plan_is_the_plan_however_sure_it_is():
    rungs = Rung(calls("a")), Rung(calls("b"))
    message = both(LadderPlanner(rungs, by_id(a=0.1), below=0.8))  # `b` is not asked about
    assert message.tool_calls[0]["id"] == "b"
    assert message.additional_kwargs["ladder"] == {"rung": 2, "before": [[0.1]]}


def test_the_least_confident_call_counts():
    rungs = Rung(calls("a", "b")), Rung(calls("c"))
    message = both(LadderPlanner(rungs, by_id(a=1.0, b=0.7), below=0.8))
    assert message.additional_kwargs["ladder"] == {"rung": 2, "before": [[1.0, 0.7]]}


@pytest.mark.parametrize("unknown", [None, ValueError("no"), math.nan, True, "0.9", 2])
def test_not_knowing_is_not_being_sure(unknown):
    rungs = Rung(calls("a")), Rung(calls("b"))
    for below in (0, 0.8):
        message = both(LadderPlanner(rungs, by_id(a=unknown), below=below))
        assert message.additional_kwargs["ladder"] == {"rung": 2, "before": [[None]]}


def test_a_malformed_call_is_not_sure():
    bad = {"type": "invalid_tool_call", "id": "x", "name": "refund", "args": "{", "error": "no"}
    first = AIMessage("", tool_calls=[call("refund", "a")], invalid_tool_calls=[bad])
    unhashed = AIMessage("", tool_calls=[call("refund", "a", amount=math.nan)])
    for one, before in ((first, [[0.9, None]]), (unhashed, [[None]])):
        message = both(LadderPlanner([Rung(one), Rung(calls("b"))], by_id(a=0.9), below=0.8))
        assert message.additional_kwargs["ladder"] == {"rung": 2, "before": before}


def test_a_calibrated_confidence_is_the_one_that_counts():
    rungs = Rung(calls("a")), Rung(calls("b"))
    ladder = LadderPlanner(rungs, by_id(a=Estimate(0.99, "x", 0.5)), below=0.8)
    assert both(ladder).additional_kwargs["ladder"] == {"rung": 2, "before": [[0.5]]}


def test_a_message_without_calls_is_taken_as_it_is():
    done = AIMessage("done", additional_kwargs={"x": 1})
    rungs = Rung(done), Rung(calls("b"))
    assert both(LadderPlanner(rungs, by_id(), below=1)) == done
    assert asked(*rungs) == [1, 0]
    climbed = both(LadderPlanner([Rung(calls("a")), Rung(done)], by_id(a=0), below=1))
    assert climbed.additional_kwargs == {"x": 1, "ladder": {"rung": 2, "before": [[0.0]]}}


def test_a_planner_that_fails_ends_the_turn():
    for rungs, counts in (
        ((Rung(PlannerError("down")), Rung(calls("b"))), [1, 0]),
        ((Rung(calls("a")), Rung(PlannerError("down"))), [1, 1]),
    ):
        ladder = LadderPlanner(rungs, by_id(a=0), below=1)
        with pytest.raises(PlannerError, match="down"):
            ladder.plan(STATE, [], {})
        with pytest.raises(PlannerError, match="down"):
            asyncio.run(ladder.aplan(STATE, [], {}))
        assert asked(*rungs) == counts


@pytest.mark.parametrize("message", [None, "done", HumanMessage("done")])
def test_what_is_no_plan_is_refused_on_every_rung(message):
    for rungs in ([Rung(message), Rung(calls("b"))], [Rung(calls("a")), Rung(message)]):
        with pytest.raises(PlannerError, match="no `AIMessage`"):
            LadderPlanner(rungs, by_id(a=0), below=1).plan(STATE, [], {})


def test_every_rung_is_asked_the_same_question():
    rungs = Rung(calls("a")), Rung(calls("b"))
    tools, config, state = [refund], {"tags": ["x"]}, {"messages": [GO], "model": "openai:gpt-5"}
    both(LadderPlanner(rungs, by_id(a=0), below=1), state, tools, config)
    for one in rungs:
        assert one.asked == [(state, tools, config)] * 2
    assert state["messages"] == [GO]


def test_the_estimator_sees_the_conversation_with_the_plan_and_does_not_hold_the_loop():
    seen = []

    def confidence(call, messages):
        seen.append((call.call_id, [one.text for one in messages], threading.current_thread()))
        return 1.0

    ladder = LadderPlanner([Rung(calls("a")), Rung(calls("b"))], confidence, below=0.5)
    both(ladder)
    assert [one[:2] for one in seen] == [("a", ["go", "because"])] * 2
    assert seen[0][2] is threading.main_thread()
    assert seen[1][2] is not threading.main_thread()


def test_one_rung_is_never_unsure():
    rung = Rung(calls("a"))
    assert both(LadderPlanner([rung], by_id(), below=1)).tool_calls[0]["id"] == "a"


@pytest.mark.parametrize("below", [math.nan, -0.1, 1.1, math.inf])
def test_a_limit_that_is_no_confidence_is_refused(below):
    with pytest.raises(ConfigurationError, match="`below` is a number from 0 to 1"):
        LadderPlanner([Rung(calls("a"))], by_id(), below=below)


def test_a_ladder_has_rungs():
    with pytest.raises(ConfigurationError, match="at least one planner"):
        LadderPlanner([], by_id(), below=0.5)


confidences = st.none() | st.floats(0, 1)


@given(st.lists(st.lists(confidences, max_size=3), min_size=1, max_size=4), st.floats(0, 1))
def test_the_rung_is_the_first_that_is_sure_of_all_its_calls(found, below):
    values = {f"{r}_{c}": v for r, row in enumerate(found) for c, v in enumerate(row)}
    rungs = [Rung(calls(*(f"{r}_{c}" for c in range(len(row))))) for r, row in enumerate(found)]
    message = LadderPlanner(rungs, by_id(**values), below=below).plan(STATE, [], {})
    expected = len(found) - 1
    for number, row in enumerate(found[:-1]):
        if all(one is not None and one >= below for one in row):
            expected = number
            break
    assert [len(one.asked) for one in rungs] == [int(n <= expected) for n in range(len(found))]
    if expected or found[0]:
        note = message.additional_kwargs["ladder"]
        assert note == {"rung": expected + 1, "before": found[:expected]}
        again = admit(message, [GO])
        assert again.additional_kwargs == json.loads(json.dumps(again.additional_kwargs))
        assert again.additional_kwargs["ladder"] == note
        assert again.tool_calls == message.tool_calls


def test_a_weak_model_hands_over_to_a_strong_one():
    def planner(server):
        return ChatModelPlanner(
            ChatOpenAI(
                model="gpt-5", base_url=server.base_url, api_key="sk-test", timeout=5, max_retries=0
            )
        )

    weak_call, strong_call = Call("refund", {"amount": 9}, "w"), Call("refund", {"amount": 2}, "s")
    doubtful, sure = (Say(f"confidence: {one}", calls=[weak_call]) for one in (0.3, 0.9))
    with (
        chat_server(doubtful, sure) as weak,
        chat_server(Say("sure", calls=[strong_call]), Fail(500)) as strong,
    ):
        ladder = LadderPlanner([planner(weak), planner(strong)], Verbalised(), below=0.8)
        message = ladder.plan(STATE, [refund], {})
        assert message.tool_calls[0]["args"] == {"amount": 2}
        assert message.additional_kwargs["ladder"] == {"rung": 2, "before": [[0.3]]}
        assert weak.messages() == strong.messages()
        assert ladder.plan(STATE, [refund], {}).tool_calls[0]["args"] == {"amount": 9}
        assert strong.left == 1


def test_a_plan_that_nobody_is_sure_of_waits_for_a_person(runtime):
    at_work = desk(runtime)
    ladder = LadderPlanner(
        [Rung(calls("a", amount=100)), Rung(calls("b", amount=100))],
        by_id(a=0.1),
        below=0.5,
    )
    done = []
    graph = at_work.runtime.compile(
        build_graph(ladder, tools_noting(done), parse_policy(POLICY)), name="ladder"
    )
    graph.invoke(at_work.runtime.start_input("do it"), at_work.config)
    (waiting,) = at_work.waiting
    assert waiting.call.call_id == "b"
    kept = graph.get_state(at_work.config).values["messages"][-1]
    assert kept.additional_kwargs["ladder"] == {"rung": 2, "before": [[0.1]]}
    assert done == []
