"""Attacks on guarded tools: what one task asks, runs and is answered is kept apart."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from hitl_agent import HitlMiddleware, Runtime, ToolGuard, contract, guard, review_graph
from hitl_agent.errors import ConfigurationError
from hitl_agent.policy import parse_policy
from tests.support.flows import call

POLICY = parse_policy("""
version: 1
tools:
  look: {effect: read}
  send: {effect: irreversible}
  free:
    effect: write
    rules: [{id: ok, when: "true", tier: auto_approve, reason: harmless}]
""")


@dataclass
class Thread:
    """One thread of a graph; compiled by a runtime, or by others over their own checkpoints."""

    runtime: Runtime
    graph: Any = None
    foreign: bool = False
    done: list[Any] = field(default_factory=list)
    config: Any = field(default_factory=lambda: Runtime.config(uuid.uuid4().hex))

    @property
    def id(self) -> str:
        return str(self.config["configurable"]["thread_id"])

    def of(self, graph: Any) -> Thread:
        if self.foreign:
            saver = InMemorySaver()
            if isinstance(graph, StateGraph):
                self.graph = graph.compile(checkpointer=saver)
            else:
                graph.checkpointer, self.graph = saver, graph
        else:
            self.graph = self.runtime.compile(graph)
        return self

    def run(self, graph_input: Any) -> Any:
        return self.graph.invoke(graph_input, self.config)

    def resume(self) -> Any:
        return self.run(self.runtime.resume_input(self.graph, self.id))

    def asked(self) -> Any:
        (one,) = self.graph.get_state(self.config).interrupts
        return one

    def answer(self, value: Any) -> Any:
        return self.run(Command(resume={self.asked().id: value}))

    def waiting(self) -> list[Any]:
        return [next(iter(one.call.args.values())) for one in self.runtime.waiting(self.id)]

    def decide(self, what: Any, kind: str = "approve", **more: Any) -> None:
        (one,) = [one for one in self.runtime.waiting(self.id) if what in one.call.args.values()]
        self.runtime.decide(one, {"type": kind, **more}, reviewer="ana")

    def tools(self) -> list[BaseTool]:
        @tool
        def look(what: str) -> str:
            """Look."""
            self.done.append(("look", what))
            return f"saw {what}"

        @tool
        def send(to: str) -> str:
            """Send."""
            self.done.append(("send", to))
            return f"sent to {to}"

        return guard([look, send], POLICY)


@pytest.fixture
def thread(runtime: Runtime) -> Thread:
    return Thread(runtime)


def asking(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [AIMessage("because", tool_calls=list(calls))]}


def told(state: Any) -> dict[str, str]:
    return {one.tool_call_id: one.text for one in state["messages"] if isinstance(one, ToolMessage)}


def with_node(node: Any, state: Any = MessagesState) -> StateGraph[Any, Any, Any, Any]:
    return StateGraph(state).add_node("tools", node).add_edge(START, "tools")


APPROVE = {"type": "approve"}


def by_decision(thread: Thread, _: int) -> Any:
    (request,) = thread.runtime.waiting(thread.id)
    thread.runtime.decide(request, APPROVE, reviewer="ana")
    return thread.answer({"request_id": request.request_id})


def by_answer(thread: Thread, _: int) -> Any:
    return thread.answer(APPROVE)


def by_nonsense_first(thread: Thread, _: int) -> Any:
    thread.answer("maybe")
    return thread.answer(APPROVE)


def by_edit(thread: Thread, turn: int) -> Any:
    edited = {"name": "send", "args": {"to": f"e{turn}"}}
    thread.answer({"type": "edit", "edited_action": edited})
    return thread.answer(APPROVE)


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("way", [by_decision, by_answer, by_nonsense_first, by_edit])
def test_own_questions_around_guarded_calls_get_their_own_answers(
    thread: Thread, way: Callable[[Thread, int], Any], foreign: bool
) -> None:
    thread.foreign = foreign
    look, send = thread.tools()

    @entrypoint()
    def flow(_: str) -> list[str]:
        a = interrupt("a?")
        first = send.invoke({"to": a})
        look.invoke({"what": a})
        b = interrupt("b?")
        send.invoke({"to": a})  # the same call: it is one
        second = send.invoke({"to": b})
        return [a, first, b, second, interrupt("c?")]

    thread.of(flow).run("go")
    thread.answer("x")
    way(thread, 1)
    assert thread.asked().value == "b?"
    thread.answer("y")
    way(thread, 2)
    assert thread.asked().value == "c?"
    a, _, b, _, c = thread.answer("z")
    assert (a, b, c) == ("x", "y", "z")
    assert len([one for one in thread.done if one[0] == "send"]) == 2


@pytest.mark.parametrize("foreign", [False, True])
def test_a_bare_answer_given_once_does_not_answer_the_next_question(
    thread: Thread, foreign: bool
) -> None:
    """LangGraph keeps it with the checkpoint, and gives it out again in a run without any."""
    thread.foreign = foreign
    _, send = thread.tools()

    @entrypoint()
    def flow(_: str) -> list[str]:
        return [send.invoke({"to": one}) for one in ("x", "y", "z")]

    thread.of(flow).run("go")
    thread.run(Command(resume=APPROVE))
    assert thread.done == [("send", "x")]
    thread.run(None)
    thread.run(None)
    assert thread.done == [("send", "x")]
    thread.answer(APPROVE)
    assert thread.done == [("send", "x"), ("send", "y")]


@pytest.mark.parametrize("foreign", [False, True])
def test_a_bare_answer_inside_another_graph_does_not_answer_the_next_question(
    thread: Thread, foreign: bool
) -> None:
    thread.foreign = foreign
    _, send = thread.tools()

    def sending(to: str) -> Any:
        return lambda _: {"messages": [AIMessage(send.invoke({"to": to}))]}

    steps: Any = [("a", sending("x")), ("b", sending("y"))]
    inner = StateGraph(MessagesState).add_sequence(steps)
    inner.add_edge(START, "a")
    thread.of(with_node(inner.compile()))

    thread.run({"messages": []})
    thread.run(Command(resume=APPROVE))
    assert thread.done == [("send", "x")]
    thread.run(None)
    thread.run(None)
    assert thread.done == [("send", "x")]
    thread.run(Command(resume=APPROVE))
    assert thread.done == [("send", "x"), ("send", "y")]


@pytest.mark.parametrize("foreign", [False, True])
def test_a_bare_answer_to_ones_own_question_does_not_answer_ours(
    thread: Thread, foreign: bool
) -> None:
    thread.foreign = foreign
    _, send = thread.tools()

    def own(_: Any) -> Any:
        return {"messages": [AIMessage(str(interrupt("sure?")))]}

    def sends(_: Any) -> Any:
        return {"messages": [AIMessage(send.invoke({"to": "x"}))]}

    inner = StateGraph(MessagesState).add_sequence([("a", own), ("b", sends)]).add_edge(START, "a")
    thread.of(with_node(inner.compile()))

    thread.run({"messages": []})
    thread.run(Command(resume=APPROVE))
    thread.run(None)
    assert thread.done == []


@pytest.mark.parametrize("foreign", [False, True])
def test_an_answer_to_a_decided_question_is_not_given_to_ones_own(
    thread: Thread, foreign: bool
) -> None:
    thread.foreign = foreign
    _, send = thread.tools()

    @entrypoint()
    def flow(_: str) -> list[str]:
        return [send.invoke({"to": "x"}), interrupt("satisfied?")]

    thread.of(flow).run("go")
    thread.decide("x")
    thread.run(Command(resume=True))
    assert thread.asked().value == "satisfied?"
    assert thread.answer("yes")[1] == "yes"


def test_threads_of_one_task_do_not_take_each_others_answer(thread: Thread) -> None:
    """Under a foreign driver a bare answer goes to whichever call of the task looks first."""
    thread.foreign = True
    thread.of(with_node(ToolNode(thread.tools())))
    thread.run(asking(*[call("send", str(one), to=f"p{one}") for one in range(8)]))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for done in range(1, 5):
            (last, *_) = thread.runtime.waiting(thread.id)
            thread.run(Command(resume={"type": "approve", "request_id": last.request_id}))
            assert len(thread.done) == done
    finally:
        sys.setswitchinterval(before)


def delegate(thread: Thread, *, gated: bool = False) -> BaseTool:
    """A tool that lets another agent do one thing, which is asked about there."""
    inner = with_node(ToolNode(thread.tools())).compile()

    @contract(interrupts=True)
    @tool("ordered" if gated else "free")
    def one(to: str) -> str:
        """Let another agent send."""
        state = inner.invoke(asking(call("send", f"inner-{to}", to=to)))
        return str(state["messages"][-1].text)

    return one


def asks(thread: Thread) -> BaseTool:
    """A tool that asks by itself."""

    @contract(interrupts=True)
    @tool("free")
    def one(to: str) -> str:
        """Ask."""
        said = interrupt(f"{to}?")
        thread.done.append(("send", to))
        return f"{to}: {said}"

    return one


def in_a_tool_node(one: BaseTool) -> Any:
    return with_node(ToolNode(guard([one], POLICY)))


def in_an_executor(one: BaseTool) -> Any:
    return review_graph([one], POLICY)


def in_a_node(one: BaseTool) -> Any:
    (guarded,) = guard([one], POLICY)

    def node(state: Any) -> Any:
        return {"messages": [guarded.invoke(one) for one in state["messages"][-1].tool_calls]}

    return with_node(node)


@pytest.mark.parametrize("around", [in_a_tool_node, in_an_executor, in_a_node])
def test_agents_in_tools_of_one_task_are_not_taken_for_each_other(
    thread: Thread, around: Callable[[BaseTool], Any]
) -> None:
    thread.of(around(delegate(thread)))
    names = ["x", "y", "z"]
    thread.run(asking(*[call("free", one, to=one) for one in names]))
    while waiting := thread.waiting():
        thread.decide(waiting[-1], message=f"for {waiting[-1]}")
        state = thread.resume()
    assert sorted(thread.done) == [("send", one) for one in names]
    assert told(state) == {one: f"[approved by ana: for {one}]\nsent to {one}" for one in names}


@pytest.mark.parametrize("around", [in_an_executor, in_a_node])
def test_a_tool_that_ran_does_not_leave_its_answer_to_the_next(
    thread: Thread, around: Callable[[BaseTool], Any]
) -> None:
    thread.of(around(asks(thread)))
    names = ["x", "y", "z"]
    state = thread.run(asking(*[call("free", one, to=one) for one in names]))
    for one in names:
        assert thread.asked().value == f"{one}?"
        state = thread.answer(f"yes, {one}")
    assert told(state) == {one: f"{one}: yes, {one}" for one in names}
    assert thread.done == [("send", one) for one in names]


@pytest.mark.parametrize("around", [in_a_tool_node, in_an_executor, in_a_node])
def test_a_tool_that_asks_is_not_given_the_approval_of_its_call(
    thread: Thread, around: Callable[[BaseTool], Any]
) -> None:
    gated = asks(thread)
    gated.name = "ordered"
    thread.of(around(gated))
    thread.run(asking(call("ordered", "1", to="x")))
    thread.answer(APPROVE)
    assert thread.asked().value == "x?"
    assert told(thread.answer("yes"))["1"].endswith("x: yes")


def by_guard(one: BaseTool) -> Any:
    return guard([one], POLICY)


def by_node(one: BaseTool) -> Any:
    gate: Any = ToolGuard(POLICY).wrap_tool_call
    graph = with_node(ToolNode([one], wrap_tool_call=gate)).compile()
    return graph.invoke(asking(call("send", "1", to="x")), Runtime.config("t"))


def by_graph(one: BaseTool) -> Any:
    return review_graph([one], POLICY)


@pytest.mark.parametrize("way", [by_guard, by_node, by_graph])
def test_a_tool_has_one_gate(thread: Thread, way: Callable[[BaseTool], Any]) -> None:
    """The inner one would find the call begun, and the approved call would have failed."""
    _, send = thread.tools()
    with pytest.raises(ConfigurationError, match="guarded already"):
        way(send)


def test_the_model_is_told_what_is_wrong_with_its_call(thread: Thread) -> None:
    class Model(GenericFakeChatModel):
        def bind_tools(self, *_: Any, **__: Any) -> Any:
            return self

    @tool
    def send(to: str) -> str:
        """Send."""
        thread.done.append(("send", to))
        return f"sent to {to}"

    says = iter([AIMessage("x", tool_calls=[call("send", "1", to="a\x00")]), AIMessage("bye")])
    agent = create_agent(Model(messages=says), [send], middleware=[HitlMiddleware(POLICY)])
    state = thread.of(agent).run({"messages": [("user", "hi")]})
    assert "NUL" in told(state)["1"]
    assert thread.done == []
