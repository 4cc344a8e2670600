"""What no checkpoint can hold is stopped at the edge of a graph, on a real database."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.types import Command

from hitl_agent import ChatModelPlanner, Runtime, build_graph
from hitl_agent.errors import CheckpointRefused, HitlError, InvalidDecision
from hitl_agent.policy import parse_policy
from tests.support.flows import POLICY, Script, call, desk, tools_noting

DEEP = "[" * 60 + "]" * 60

MALFORMED = {
    "NUL": '{"amount": 10, "note": "a\\u0000b"}',
    "surrogate": '{"amount": 10, "note": "a\\ud800b"}',
    "surrogate as a key": '{"amount": 10, "\\udfff": 1}',
    "NaN": '{"amount": NaN}',
    "infinity": '{"amount": -Infinity}',
    "overflow": '{"amount": 1e999}',
    "large": '{"amount": 9007199254740993}',
    "huge": '{"amount": 1' + "0" * 400 + "}",
    "deep": '{"amount": 10, "note": ' + DEEP + "}",
    "long": '{"amount": 10, "note": "' + "x" * 300_000 + '"}',
}


class Model(BaseChatModel):
    """A model that says each thing once, whole or in pieces."""

    says: list[AIMessage]
    streams: bool = False

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _next(self, messages: list[Any]) -> AIMessage:
        said = sum(isinstance(one, AIMessage) for one in messages)
        return self.says[said] if said < len(self.says) else AIMessage("done")

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        if not self.streams:
            raise NotImplementedError
        message = self._next(messages)
        pieces = [AIMessageChunk(message.content)]
        for index, one in enumerate(message.additional_kwargs.get("raw", [])):
            text = one["args"]
            named = {"name": one["name"], "id": one["id"], "index": index}
            rest = {"name": None, "id": None, "index": index}
            # what LangChain makes of a piece takes the square of its length, but of the first
            first, last = text[:-10], text[-10:]
            chunks = [tool_call_chunk(args=first, **named), tool_call_chunk(args=last, **rest)]
            pieces += [AIMessageChunk("", tool_call_chunks=[chunk]) for chunk in chunks]
        for piece in pieces:
            generation = ChatGenerationChunk(message=piece)
            if run_manager:
                run_manager.on_llm_new_token(piece.text, chunk=generation)
            yield generation


def said(text: str, *, streams: bool) -> AIMessage:
    """A turn with one call whose arguments are this JSON, as a client of a provider gives it."""
    raw = {"name": "refund", "args": text, "id": "bad"}
    if streams:
        return AIMessage("because", additional_kwargs={"raw": [raw]})
    return AIMessage("because", tool_calls=[raw | {"args": json.loads(text, strict=False)}])


def drive(runtime: Runtime, builder: Any, *, way: str) -> list[Any]:
    graph, config = runtime.compile(builder), runtime.config("t")
    given = runtime.start_input("refund it")
    if way == "awaited":
        asyncio.run(graph.ainvoke(given, config))
    elif way == "streamed":
        for _ in graph.stream(given, config, stream_mode="messages"):
            pass
    elif way == "awaited stream":

        async def stream() -> AsyncIterator[Any]:
            async for one in graph.astream(given, config, stream_mode="messages"):
                yield one

        async def all_() -> None:
            async for _ in stream():
                pass

        asyncio.run(all_())
    else:
        graph.invoke(given, config)
    return graph.get_state(config).values["messages"]


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with Runtime.open(database_url) as opened:
        yield opened


@pytest.mark.parametrize("way", ["invoked", "awaited", "streamed", "awaited stream"])
@pytest.mark.parametrize("kind", MALFORMED)
def test_a_models_malformed_call_goes_back_to_it_as_an_error(
    runtime: Runtime, kind: str, way: str
) -> None:
    done: list[Any] = []
    streams = "stream" in way
    good = {"name": "refund", "args": {"amount": 10}, "id": "good"}
    raw = AIMessage(
        "again", tool_calls=[good], additional_kwargs={"raw": [good | {"args": '{"amount": 10}'}]}
    )
    model = Model(says=[said(MALFORMED[kind], streams=streams), raw], streams=streams)
    builder = build_graph(ChatModelPlanner(model), tools_noting(done), parse_policy(POLICY))
    messages = drive(runtime, builder, way=way)
    first = next(one for one in messages if isinstance(one, AIMessage))
    assert first.tool_calls == []
    (bad,) = first.invalid_tool_calls
    told = [one for one in messages if isinstance(one, ToolMessage)]
    assert told[0].tool_call_id == bad["id"]
    assert told[0].status == "error"
    assert done == [("refund", 10)]
    assert runtime.thread("t").thread.status == "done"


ODD = ["a\x00b", "a\ud800b", float("nan"), float("-inf"), 2**70, b"\xff", {1: {2: {None: "\x00"}}}]


@pytest.mark.parametrize("way", ["invoked", "awaited"])
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_blocks_and_metadata_of_a_model_are_kept_as_what_can_be_kept(
    runtime: Runtime, odd: Any, way: str
) -> None:
    message = AIMessage.model_construct(
        content=[{"type": "text", "text": "x", "more": odd}, {"type": "reasoning", "steps": [odd]}],
        additional_kwargs={"refusal": odd, "deep": {"er": odd}},
        response_metadata={"logprobs": odd},
        usage_metadata={"input_tokens": odd, "output_tokens": 1, "total_tokens": 1},
        tool_calls=[{"name": "look", "args": {"what": "a"}, "id": "c", "type": "tool_call"}],
        invalid_tool_calls=[{"name": odd, "args": odd, "id": odd, "error": odd}],
        name=None,
        id=None,
        type="ai",
    )
    done: list[Any] = []
    builder = build_graph(Script(message), tools_noting(done), parse_policy(POLICY))
    drive(runtime, builder, way=way)
    assert done == [("look", "a")]
    assert runtime.thread("t").thread.status == "done"


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_results_of_a_tool_are_kept_as_what_can_be_kept(runtime: Runtime, odd: Any) -> None:
    @tool(response_format="content_and_artifact")
    def look(what: str) -> Any:
        """Look something up."""
        return [{"type": "text", "text": f"x{odd!r}", "more": odd}], {"odd": odd}

    @tool
    def refund(amount: float) -> Any:
        """Pay money back."""
        return {"odd": odd}

    @tool
    def send(to: str) -> Any:
        """Send a letter."""
        raise ValueError(f"no {odd}")

    def tools(_: Any) -> list[BaseTool]:
        return [look, refund, send]

    policy = (
        "version: 1\ntools: {look: {effect: read}, refund: {effect: read}, send: {effect: read}}"
    )
    one = desk(
        runtime,
        [call("look", "a", what="x"), call("refund", "b", amount=1), call("send", "c", to="x")],
        policy=policy,
        tools=tools,
    )
    one.start()
    assert one.status == "done"
    assert [one.answer(each).status for each in "abc"] == ["success", "success", "error"]
    assert one.runtime.history(one.thread_id)


@pytest.mark.parametrize("odd", [*ODD[:6], {"a": "\x00"}, json.loads(DEEP)], ids=repr)
@pytest.mark.parametrize("how", ["decided", "resumed"])
def test_an_odd_edit_of_a_reviewer_is_refused_and_the_question_stays(
    runtime: Runtime, odd: Any, how: str
) -> None:
    one = desk(runtime, [call("send", "c", to="bo")])
    one.start()
    edit = {"type": "edit", "edited_action": {"name": "send", "args": {"to": "bo", "text": odd}}}
    if how == "decided":
        with pytest.raises(InvalidDecision):
            one.decide("c", edit)
    else:
        (asked,) = one.runtime.thread(one.thread_id).thread.interrupts
        # what the checkpoint can hold is noted, and the question put again
        with contextlib.suppress(CheckpointRefused):
            one.graph.invoke(Command(resume={asked.id: edit}), one.config)
    assert [each.call.call_id for each in one.waiting] == ["c"]
    assert one.done == []
    one.decide("c", {"type": "approve"})
    one.resume()
    assert one.done == [("send", "bo")]


@pytest.mark.parametrize("odd", ["a\x00b", "a\ud800b", "\udfff"], ids=repr)
def test_an_odd_task_of_an_app_is_asked_as_what_can_be_kept(runtime: Runtime, odd: str) -> None:
    one = desk(runtime, [call("send", "c", to="bo")])
    one.graph.invoke(one.runtime.start_input(odd), one.config)
    assert one.status == "waiting"
    assert one.waiting[0].task == one.runtime.thread(one.thread_id).task
    one.decide("c", {"type": "approve"})
    one.resume()
    assert one.done == [("send", "bo")]


@pytest.mark.parametrize("key", ["runbook", "model"])
@pytest.mark.parametrize("odd", [*ODD[:6], json.loads(DEEP)], ids=repr)
def test_an_odd_key_of_an_apps_state_is_refused_before_anything_is_written(
    runtime: Runtime, key: str, odd: Any
) -> None:
    one = desk(runtime, [call("send", "c", to="bo")])
    with pytest.raises(HitlError) as refused:
        one.runtime.start_input("go", **{key: odd})
    assert f"`{key}`" in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "a\x00b"},
        {"role": "user", "content": [{"type": "text", "text": "a\x00", "more": float("nan")}]},
        {"role": "user", "content": [{"type": "text", "text": "a", "more": 2**70}]},
        {"role": "user", "content": [{"type": "text", "text": "a\ud800"}]},
        {"role": "user", "content": "x", "more": "a\ud800"},
    ],
    ids=repr,
)
def test_an_input_past_the_app_is_kept_or_refused_with_its_place(
    runtime: Runtime, message: Any
) -> None:
    one = desk(runtime, [call("send", "c", to="bo")])
    refused = None
    try:
        one.graph.invoke({"messages": [message]}, one.config)
    except CheckpointRefused as error:
        refused = error
    if refused:
        assert one.thread_id in refused.message
        # the thread is free for an input that is in order
        one.graph.invoke(one.runtime.start_input("go"), one.config)
    assert [each.call.call_id for each in one.waiting] == ["c"]
    assert one.status == "waiting"
