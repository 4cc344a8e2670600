"""Whole runs of a chat model: the real OpenAI client against a real HTTP server, on PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.types import Command

from hitl_agent import (
    Approve,
    ChatModelPlanner,
    Edit,
    Reject,
    Respond,
    Runtime,
    build_graph,
)
from hitl_agent.errors import ConfigurationError, NothingWaiting, PlannerError
from hitl_agent.policy import parse_policy
from tests.support.chat_server import BreakOff, Call, Fail, Hang, Raw, Say, chat_server

POLICY = """
version: 1
tools:
  look_up_order: {effect: read}
  refund_order: {effect: write, rules: [{id: small, when: amount <= 50, tier: auto_approve}]}
  cancel_order: {effect: irreversible}
"""


class Desk:
    """A graph over tools that note what they did, and a server that plays the model."""

    def __init__(self, runtime, planner, **options):
        self.runtime = runtime
        self.done = []
        self.graph = runtime.compile(
            build_graph(planner, self.tools(), parse_policy(POLICY), **options), name="desk"
        )
        self.thread_id = uuid.uuid4().hex
        self.config = runtime.config(self.thread_id)

    def tools(self):
        @tool
        def look_up_order(order_id: str) -> dict:
            """Look an order up."""
            self.done.append(("look_up_order", order_id))
            return {"order_id": order_id, "total": 120}

        @tool
        def refund_order(order_id: str, amount: float) -> str:
            """Refund a part of an order."""
            self.done.append(("refund_order", order_id, amount))
            return f"refunded {amount}"

        @tool
        def cancel_order(order_id: str) -> str:
            """Cancel an order."""
            self.done.append(("cancel_order", order_id))
            return "cancelled"

        return [look_up_order, refund_order, cancel_order]

    def start(self, task="refund order A-1"):
        return self.graph.invoke(self.runtime.start_input(task), self.config)

    def resume(self):
        return self.graph.invoke(self.runtime.resume_input(self.graph, self.thread_id), self.config)

    def decide(self, call_id, decision, reviewer="ann"):
        request = self.runtime.request(self.thread_id, call_id)
        self.runtime.decide(request, decision, reviewer=reviewer)

    @property
    def status(self):
        return self.runtime.thread(self.thread_id).thread.status

    @property
    def waiting(self):
        return {one.call.call_id for one in self.runtime.waiting(self.thread_id)}


def options(server, **more):
    return {
        "base_url": server.base_url,
        "api_key": "sk-test",
        "timeout": 5,
        "max_retries": 0,
    } | more


def by_name(server, **more):
    return ChatModelPlanner("openai:gpt-5", **options(server, **more))


def as_object(server, **more):
    return ChatModelPlanner(ChatOpenAI(model="gpt-5", **options(server, **more)))


@contextmanager
def desk_of(server, database_url, *, planner=None, **more):
    with Runtime.open(database_url) as runtime:
        yield Desk(runtime, planner or by_name(server), **more)


LOOK_UP = Call("look_up_order", {"order_id": "A-1"}, "call_look")
SMALL = Call("refund_order", {"order_id": "A-1", "amount": 20}, "call_small")
LARGE = Call("refund_order", {"order_id": "A-1", "amount": 100}, "call_large")
CANCEL = Call("cancel_order", {"order_id": "A-1"}, "call_cancel")
DONE = Say("all is done")


# ------------------------------------------------------------------ the loop


@pytest.mark.parametrize("planner", [by_name, as_object])
def test_a_look_up_runs_a_large_refund_waits_and_the_model_is_told_who_approved_it(
    database_url, planner
):
    script = (Say(calls=[LOOK_UP]), Say("100 is fair", calls=[LARGE]), DONE)
    with chat_server(*script) as server:
        planning = planner(server)
        with desk_of(server, database_url, planner=planning) as desk:
            stopped = desk.start()
            assert desk.status == "waiting"
            assert desk.done == [("look_up_order", "A-1")]
            (asked,) = stopped["__interrupt__"]
            assert asked.value["action_requests"][0]["args"] == {"order_id": "A-1", "amount": 100}
            assert asked.value["claim"] == "100 is fair"

            desk.decide("call_large", Approve("the parcel was lost"))
            ended = desk.resume()

            assert desk.done[1:] == [("refund_order", "A-1", 100)]
            assert desk.status == "done"
            assert ended["messages"][-1].text == "all is done"
            assert server.left == 0
            assert [one["role"] for one in server.messages()] == [
                "user",
                "assistant",
                "tool",
                "assistant",
                "tool",
            ]
            results = server.results()
            assert '"total": 120' in results["call_look"]
            assert results["call_large"] == (
                "[approved by ann: the parcel was lost]\nrefunded 100.0"
            )


def test_the_model_is_given_the_key_the_tools_and_the_system_prompt(database_url):
    with chat_server(DONE) as server:
        planner = ChatModelPlanner("openai:gpt-5", system_prompt="be brief", **options(server))
        with desk_of(server, database_url, planner=planner) as desk:
            desk.start()
        assert server.keys == ["Bearer sk-test"]
        (request,) = server.requests
        assert request["model"] == "gpt-5"
        assert request["messages"] == [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "refund order A-1"},
        ]
        assert {one["function"]["name"] for one in request["tools"]} == {
            "look_up_order",
            "refund_order",
            "cancel_order",
        }


@pytest.mark.parametrize("source", ["state", "environment"])
def test_a_planner_without_a_model_asks_the_one_that_thread_or_environment_names(
    database_url, monkeypatch, source
):
    with chat_server(DONE) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        state = {}
        if source == "state":
            monkeypatch.setenv("HITL_MODEL", "openai:other")
            state = {"model": "openai:gpt-5-mini"}
        else:
            monkeypatch.setenv("HITL_MODEL", "openai:gpt-5-mini")
        with desk_of(server, database_url, planner=ChatModelPlanner()) as desk:
            desk.graph.invoke({"messages": [HumanMessage("go")], **state}, desk.config)
        assert [one["model"] for one in server.requests] == ["gpt-5-mini"]


def test_of_several_calls_each_is_decided_by_itself_and_the_model_hears_of_all(database_url):
    calls = [
        LOOK_UP,
        SMALL,
        Call("refund_order", {"order_id": "A-1", "amount": 60}, "call_approved"),
        Call("refund_order", {"order_id": "A-1", "amount": 70}, "call_edited"),
        Call("refund_order", {"order_id": "A-1", "amount": 80}, "call_rejected"),
        CANCEL,
    ]
    with chat_server(Say(calls=calls), DONE) as server, desk_of(server, database_url) as desk:
        desk.start()
        gated = {"call_approved", "call_edited", "call_rejected", "call_cancel"}
        assert desk.waiting == gated
        assert desk.done == []  # nothing of the turn runs while a call of it waits

        desk.decide("call_approved", Approve())
        desk.decide("call_edited", Edit({"order_id": "A-1", "amount": 7}, "less will do"))
        desk.decide("call_rejected", Reject("too much"))
        desk.resume()
        assert desk.waiting == {"call_cancel"}
        desk.decide("call_cancel", Respond("it was cancelled by phone"), reviewer="bob")
        desk.resume()

        assert desk.status == "done"
        assert desk.done == [
            ("look_up_order", "A-1"),
            ("refund_order", "A-1", 20),
            ("refund_order", "A-1", 60),
            ("refund_order", "A-1", 7),
        ]
        assert len(server.requests) == 2
        results = server.results()
        assert list(results) == [call.id for call in calls]
        assert results["call_small"] == "refunded 20.0"
        assert results["call_approved"] == "[approved by ann]\nrefunded 60.0"
        assert results["call_edited"].startswith("[changed by a reviewer before it ran, to refund")
        assert '{"amount": 7, "order_id": "A-1"}' in results["call_edited"]
        assert results["call_edited"].endswith("refunded 7.0")
        assert results["call_rejected"] == "rejected by ann, the call was not run: too much"
        assert results["call_cancel"] == (
            "answered by bob in the tool's place: it was cancelled by phone"
        )


def test_an_edit_that_is_still_too_large_waits_again(database_url):
    with chat_server(Say(calls=[LARGE]), DONE) as server, desk_of(server, database_url) as desk:
        desk.start()
        desk.decide("call_large", Edit({"order_id": "A-1", "amount": 90}))
        desk.resume()
        assert desk.waiting == {"call_large"}
        assert desk.done == []
        desk.decide("call_large", Approve())
        desk.resume()
        assert desk.done == [("refund_order", "A-1", 90)]


def test_the_loop_ends_at_the_limit_of_turns_and_the_thread_has_failed(database_url):
    looks = [Say(calls=[Call("look_up_order", {"order_id": str(n)}, f"c{n}")]) for n in range(9)]
    with chat_server(*looks) as server, desk_of(server, database_url, max_turns=3) as desk:
        ended = desk.start()
        assert ended["messages"][-1].text == "stopped: the limit of 3 turns is reached"
        assert desk.status == "failed"
        assert len(server.requests) == 3
        assert len(desk.done) == 3
        with pytest.raises(NothingWaiting):
            desk.resume()


def test_fifty_turns_are_not_cut_short_by_a_limit_of_the_framework(database_url):
    looks = [Say(calls=[Call("look_up_order", {"order_id": str(n)}, f"c{n}")]) for n in range(49)]
    with chat_server(*looks, DONE) as server, desk_of(server, database_url) as desk:
        assert desk.start()["messages"][-1].text == "all is done"
        assert len(desk.done) == 49


def test_a_new_task_on_a_thread_that_is_done_goes_on_with_the_conversation(database_url):
    with chat_server(DONE, Say(calls=[SMALL]), DONE) as server:
        with desk_of(server, database_url, max_turns=2) as desk:
            desk.start()
            desk.start("and 20 back")
            assert desk.done == [("refund_order", "A-1", 20)]
        assert [one["role"] for one in server.messages()] == [
            "user",
            "assistant",
            "user",
            "assistant",
            "tool",
        ]


def test_a_call_left_open_by_a_new_task_is_said_not_to_have_run(database_url):
    """Without it the provider refuses the conversation, now and whenever it is sent again."""
    with chat_server(Say(calls=[LARGE, SMALL]), DONE) as server:
        with desk_of(server, database_url) as desk:
            desk.start()
            desk.start("never mind")
            assert desk.done == []
            assert desk.status == "done"
        assert [one["role"] for one in server.messages()] == [
            "user",
            "assistant",
            "tool",
            "tool",
            "user",
        ]
        assert set(server.results()) == {"call_large", "call_small"}
        assert "was not run" in server.results()["call_large"]


# ------------------------------------------------------------------ malformed calls

MALFORMED = {
    "no JSON": ('{"order_id": "A-1", "amount": ', "malformed"),
    "cut off in a number": ('{"order_id": "A-1", "amount": 2', "malformed"),
    "NaN": ('{"order_id": "A-1", "amount": NaN}', "malformed"),
    "infinity": ('{"order_id": "A-1", "amount": -Infinity}', "malformed"),
    "an integer beyond 2^53": ('{"order_id": "A-1", "amount": 1180591620717411303424}', "2^53"),
    "an integer of 5,000 digits": (
        '{"order_id": "A-1", "amount": 1' + "0" * 5000 + "}",
        "malformed",
    ),
    "NUL": ('{"order_id": "A\\u0000", "amount": 2}', "NUL"),
    "a lone surrogate": ('{"order_id": "A\\ud800", "amount": 2}', "surrogate"),
    "nested too deep": ('{"order_id": "A-1", "amount": ' + "[" * 40 + "]" * 40 + "}", "nested"),
    "nested far too deep": ('{"order_id": ' + "[" * 3000 + "]" * 3000 + "}", "malformed"),
    "a missing argument": ('{"order_id": "A-1"}', "do not fit"),
    "an argument of the wrong type": ('{"order_id": "A-1", "amount": "two"}', "do not fit"),
    "an argument that is not there": ('{"order_id": "A-1", "amount": 2, "to": "me"}', "do not fit"),
    "nothing": ("", "do not fit"),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("text", "told"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_call_is_answered_with_its_error_and_the_loop_goes_on(
    database_url, text, told, streamed
):
    bad = Call("refund_order", text, "call_bad")
    with chat_server(Say(calls=[bad]), Say(calls=[SMALL]), DONE) as server:
        planner = by_name(server, streaming=streamed)
        with desk_of(server, database_url, planner=planner) as desk:
            ended = desk.start()
            assert [one.get("stream", False) for one in server.requests] == [streamed] * 3
            assert desk.done == [("refund_order", "A-1", 20)]
            assert ended["messages"][-1].text == "all is done"
            assert desk.status == "done"
        refusal = server.results()["call_bad"]
        assert refusal.startswith("refused by policy, the call was not run: ")
        assert told in refusal


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_beside_a_malformed_call_the_sound_one_waits_and_runs(database_url, streamed):
    bad = Call("refund_order", '{"order_id": "A-1", "amount": 10', "call_bad")
    with chat_server(Say(calls=[bad, LARGE]), DONE) as server:
        planner = by_name(server, streaming=streamed)
        with desk_of(server, database_url, planner=planner) as desk:
            desk.start()
            assert desk.waiting == {"call_large"}
            desk.decide("call_large", Approve())
            desk.resume()
            assert desk.done == [("refund_order", "A-1", 100)]
        assert set(server.results()) == {"call_bad", "call_large"}
        assert "malformed" in server.results()["call_bad"]


def test_arguments_that_are_json_but_no_object_run_nothing_and_can_be_asked_again(database_url):
    bad = Call("refund_order", "[1, 2]", "call_bad")
    with chat_server(Say(calls=[bad]), DONE) as server, desk_of(server, database_url) as desk:
        with pytest.raises(PlannerError, match="the model failed: "):
            desk.start()
        assert desk.status == "failed"
        desk.resume()
        assert desk.status == "done"


def test_arguments_that_are_no_object_are_malformed_when_they_are_streamed(database_url):
    bad = Call("refund_order", "[1, 2]", "call_bad")
    with chat_server(Say(calls=[bad]), DONE) as server:
        planner = by_name(server, streaming=True)
        with desk_of(server, database_url, planner=planner) as desk:
            desk.start()
            assert desk.status == "done"
        assert "malformed" in server.results()["call_bad"]


@pytest.mark.parametrize("name", ["drop_table", "functions.refund order", "", "n" * 200, "größe"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_tool_that_does_not_exist_is_answered_and_the_history_can_be_sent(
    database_url, name, streamed
):
    odd = Call(name, {"order_id": "A-1"}, "call_odd")
    with chat_server(Say(calls=[odd]), DONE) as server:
        planner = by_name(server, streaming=streamed)
        with desk_of(server, database_url, planner=planner) as desk:
            desk.start()
            assert desk.done == []
            assert desk.status == "done"
        assert "the call was not run" in server.results()["call_odd"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("ids", [(None, None), ("", ""), ("same", "same"), ("x" * 500, "y" * 500)])
def test_calls_without_ids_of_their_own_get_some_and_each_is_answered(database_url, ids, streamed):
    calls = [
        Call("refund_order", {"order_id": "A-1", "amount": amount}, call_id)
        for amount, call_id in zip((1, 2), ids, strict=True)
    ]
    with chat_server(Say(calls=calls), DONE) as server:
        planner = by_name(server, streaming=streamed)
        with desk_of(server, database_url, planner=planner) as desk:
            desk.start()
            assert desk.done == [("refund_order", "A-1", 1), ("refund_order", "A-1", 2)]
        assert sorted(server.results().values()) == ["refunded 1.0", "refunded 2.0"]


def test_an_id_that_was_used_in_an_earlier_turn_runs_the_new_call_under_a_new_one(database_url):
    again = Call("refund_order", {"order_id": "A-1", "amount": 3}, SMALL.id)
    script = (Say(calls=[SMALL]), Say(calls=[again]), Say(calls=[again]), DONE)
    with chat_server(*script) as server, desk_of(server, database_url) as desk:
        desk.start()
        assert [one[-1] for one in desk.done] == [20, 3, 3]
        assert len(server.results()) == 3


# ------------------------------------------------------------------ a model that fails

FAILURES = {
    "500": (Fail(500, "we are\nsorry"), "we are.*sorry"),
    "401": (Fail(401, "Incorrect API key"), "401.*Incorrect API key"),
    "429": (Fail(429, "slow down"), "429.*slow down"),
    "400": (Fail(400, "context is too long"), "400.*context is too long"),
    "timeout": (Hang(), "Request timed out"),
    "no JSON": (Raw(b"<html>\n<h1>busy</h1></html>"), ""),
    "no protocol": (Raw(b'{"choices": null}'), ""),
    "an empty answer": (Raw(b""), ""),
    "a broken answer": (BreakOff(Say(calls=[SMALL])), ""),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("failure", "text"), FAILURES.values(), ids=FAILURES)
def test_a_model_that_fails_fails_the_thread_and_resuming_asks_it_again(
    database_url, failure, text, streamed
):
    with chat_server(failure, Say(calls=[SMALL]), DONE) as server:
        planner = by_name(server, streaming=streamed, timeout=0.5)
        with desk_of(server, database_url, planner=planner) as desk:
            with pytest.raises(PlannerError, match=rf"^the model failed: \w+: .*{text}") as raised:
                desk.start()
            assert "\n" not in str(raised.value)
            assert "sk-test" not in str(raised.value)
            assert raised.value.hint == "resume the thread to ask it again"
            view = desk.runtime.thread(desk.thread_id)
            assert view.thread.status == "failed"
            assert "the model failed" in view.thread.error
            assert desk.done == []

            desk.resume()
            assert desk.status == "done"
            assert desk.done == [("refund_order", "A-1", 20)]


def test_a_model_that_fails_after_an_approved_call_does_not_run_the_call_again(database_url):
    script = (Say(calls=[LARGE]), Fail(500), DONE)
    with chat_server(*script) as server, desk_of(server, database_url) as desk:
        desk.start()
        desk.decide("call_large", Approve())
        with pytest.raises(PlannerError):
            desk.resume()
        desk.resume()
        assert desk.status == "done"
        assert desk.done == [("refund_order", "A-1", 100)]
        assert server.results()["call_large"].endswith("refunded 100.0")


def test_an_error_of_any_length_is_told_in_one_short_line(database_url):
    with chat_server(Fail(500, "x\u202e" * 5000)) as server, desk_of(server, database_url) as desk:
        with pytest.raises(PlannerError) as raised:
            desk.start()
        assert len(str(raised.value)) < 600


# ------------------------------------------------------------------ streaming


def test_tokens_arrive_while_the_model_speaks_and_its_calls_are_whole(database_url):
    script = (Say("I refund the whole sum", calls=[SMALL, LARGE]), Say("all is done now"))
    with chat_server(*script) as server, desk_of(server, database_url) as desk:
        heard = list(
            desk.graph.stream(
                desk.runtime.start_input("go"), desk.config, stream_mode=["messages", "updates"]
            )
        )
        assert server.requests[0]["stream"] is True
        spoken = [
            part[0].text
            for mode, part in heard
            if mode == "messages" and isinstance(part[0], AIMessageChunk)
        ]
        assert len([one for one in spoken if one]) > 2
        assert "".join(spoken) == "I refund the whole sum"
        assert any("__interrupt__" in part for mode, part in heard if mode == "updates")
        assert desk.waiting == {"call_large"}

        desk.decide("call_large", Approve())
        resumed = desk.runtime.resume_input(desk.graph, desk.thread_id)
        heard = list(desk.graph.stream(resumed, desk.config, stream_mode="messages"))
        results = [part[0] for part in heard if isinstance(part[0], ToolMessage)]
        assert {one.tool_call_id for one in results} == {"call_small", "call_large"}
        assert "".join(part[0].text for part in heard if isinstance(part[0], AIMessageChunk)) == (
            "all is done now"
        )
        assert desk.done == [("refund_order", "A-1", 20), ("refund_order", "A-1", 100)]
        assert type(desk.graph.get_state(desk.config).values["messages"][1]) is AIMessage


def test_a_streamed_call_whose_amount_is_cut_off_is_not_run_with_the_digits_that_came(database_url):
    """LangChain completes `{"amount": 100` at any point, `{"amount": 10}` among them."""
    cut = Call("refund_order", '{"order_id": "A-1", "amount": 10', "call_cut")
    script = (Say(calls=[LOOK_UP, cut], finish_reason="length"), DONE)
    with chat_server(*script) as server, desk_of(server, database_url) as desk:
        list(desk.graph.stream(desk.runtime.start_input("go"), desk.config, stream_mode="messages"))
        assert desk.done == [("look_up_order", "A-1")]
        assert "malformed" in server.results()["call_cut"]


def test_pieces_of_an_attempt_that_broke_off_do_not_enter_the_next_one(database_url):
    with chat_server(BreakOff(Say(calls=[LARGE])), Say(calls=[SMALL]), DONE) as server:
        model = ChatOpenAI(model="gpt-5", streaming=True, **options(server))
        planner = ChatModelPlanner(model.with_fallbacks([model]))
        with desk_of(server, database_url, planner=planner) as desk:
            desk.start()
            assert desk.done == [("refund_order", "A-1", 20)]


# ------------------------------------------------------------------ async


def test_a_run_can_be_awaited_and_resumed_with_a_bare_command(database_url):
    async def run(desk):
        stopped = await desk.graph.ainvoke(desk.runtime.start_input("go"), desk.config)
        assert desk.done == []
        answers = {
            one.id: {"type": "approve"}
            if one.value["call_id"] == "call_large"
            else {"type": "reject", "message": "keep it"}
            for one in stopped["__interrupt__"]
        }
        return await desk.graph.ainvoke(Command(resume=answers), desk.config)

    with chat_server(Say(calls=[SMALL, LARGE, CANCEL]), DONE) as server:
        with desk_of(server, database_url) as desk:
            ended = asyncio.run(run(desk))
            assert ended["messages"][-1].text == "all is done"
            assert desk.done == [("refund_order", "A-1", 20), ("refund_order", "A-1", 100)]
        results = server.results()
        assert results["call_large"] == "[approved by a reviewer]\nrefunded 100.0"
        assert results["call_cancel"] == ("rejected by a reviewer, the call was not run: keep it")


def test_tokens_and_calls_arrive_over_an_async_stream_too(database_url):
    async def run(desk, given):
        return [
            part[0] async for part in desk.graph.astream(given, desk.config, stream_mode="messages")
        ]

    cut = Call("refund_order", '{"order_id": "A-1", "amount": 10', "call_cut")
    with chat_server(Say("I refund it", calls=[LARGE, cut]), DONE) as server:
        with desk_of(server, database_url) as desk:
            heard = asyncio.run(run(desk, desk.runtime.start_input("go")))
            assert "".join(one.text for one in heard if isinstance(one, AIMessageChunk)) == (
                "I refund it"
            )
            assert desk.waiting == {"call_large"}
            desk.decide("call_large", Approve())
            asyncio.run(run(desk, desk.runtime.resume_input(desk.graph, desk.thread_id)))
            assert desk.done == [("refund_order", "A-1", 100)]
        assert "malformed" in server.results()["call_cut"]


def test_a_model_that_fails_while_it_is_awaited_can_be_asked_again(database_url):
    async def run(desk):
        with pytest.raises(PlannerError, match=r"^the model failed: \w+: Request timed out"):
            await desk.graph.ainvoke(desk.runtime.start_input("go"), desk.config)
        return await desk.graph.ainvoke(None, desk.config)

    with chat_server(Hang(), DONE) as server:
        planner = by_name(server, timeout=0.5)
        with desk_of(server, database_url, planner=planner) as desk:
            assert asyncio.run(run(desk))["messages"][-1].text == "all is done"


# ------------------------------------------------------------------ a model that cannot be had


def planned(planner, tools=(), **state):
    return planner.plan({"messages": [HumanMessage("go")], **state}, tools, {})


def test_without_a_model_there_is_no_plan():
    with pytest.raises(PlannerError, match="names neither a runbook nor a model") as raised:
        planned(ChatModelPlanner())
    assert "--model openai:gpt-5" in raised.value.hint


def test_a_missing_key_is_a_matter_of_configuration():
    with pytest.raises(ConfigurationError, match="`openai:gpt-5` cannot be set up: ") as raised:
        planned(ChatModelPlanner("openai:gpt-5"))
    assert "\n" not in str(raised.value)
    assert "API key" in raised.value.hint


@pytest.mark.parametrize("name", ["nobody:gpt-5", "a-model-of-nobody"])
def test_a_model_that_nobody_provides_is_a_matter_of_configuration(name):
    with pytest.raises(ConfigurationError, match=f"`{name}`") as raised:
        planned(ChatModelPlanner(api_key="sk-test"), model=name)
    assert "\n" not in str(raised.value)
    assert "openai:gpt-5" in raised.value.hint


@pytest.mark.parametrize(
    ("package", "model"),
    [("langchain_xai", "xai:grok"), ("langchain.chat_models", "openai:gpt-5")],
)
def test_a_package_that_is_not_installed_is_named(monkeypatch, package, model):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=f"`{model}` cannot be loaded: ") as raised:
        planned(ChatModelPlanner(model, api_key="sk-test"))
    assert package.replace("_", ".") in str(raised.value).replace("_", ".").replace("-", ".")
    assert "hitl-agent[models]" in raised.value.hint


def test_an_option_that_the_model_refuses_is_told_without_the_key():
    with pytest.raises(ConfigurationError, match="cannot be set up: ") as raised:
        planned(ChatModelPlanner("openai:gpt-5", api_key="sk-secret", max_retries="often"))
    assert "sk-secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model", [5, {"provider": "openai"}, ["openai:gpt-5"]])
def test_a_thread_that_names_its_model_in_no_text_is_refused(model):
    with pytest.raises(ConfigurationError, match="no chat model"):
        planned(ChatModelPlanner(), model=model)


def test_a_model_that_cannot_call_tools_is_refused(database_url):
    planner = ChatModelPlanner(FakeListChatModel(responses=["hi"]))
    assert planned(planner).text == "hi"
    with Runtime.open(database_url) as runtime:
        desk = Desk(runtime, planner)
        with pytest.raises(ConfigurationError, match="`FakeListChatModel` is no chat model that"):
            desk.start()
        assert desk.status == "failed"


def test_a_model_is_set_up_once_and_asked_by_many_threads_at_once(database_url):
    with chat_server(*[DONE] * 12) as server, desk_of(server, database_url) as desk:
        with ThreadPoolExecutor(4) as pool:
            ended = list(
                pool.map(
                    lambda n: desk.graph.invoke(
                        desk.runtime.start_input("go"), desk.runtime.config(f"{desk.thread_id}-{n}")
                    ),
                    range(12),
                )
            )
        assert [one["messages"][-1].text for one in ended] == ["all is done"] * 12
        assert server.left == 0
