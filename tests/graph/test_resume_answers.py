"""Answers as clients of LangGraph send them: understood, or asked again and never in the way."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.tools import BaseTool
from langgraph._internal._constants import NULL_TASK_ID, RESUME
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command

from hitl_agent import HitlMiddleware, Runtime, build_graph, guard
from hitl_agent.errors import CheckpointRefused, InvalidDecision, StaleDecision
from hitl_agent.policy import Policy, parse_policy
from hitl_agent.review import ReviewRequest
from hitl_agent.runtime import Graph
from tests.support.answers import APPROVE, ARGS, EDIT, EDITED, NOT_UNDERSTOOD, REJECT, UNDERSTOOD
from tests.support.flows import POLICY, Script, call, tools_noting

Turn = list[dict[str, Any]]


class Says(GenericFakeChatModel):
    """A chat model that says what it is given, one message after the other."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def model_of(turn: Turn) -> Says:
    return Says(messages=iter([AIMessage("because", tool_calls=turn), AIMessage("done")]))


def graph(tools: list[BaseTool], policy: Policy, turn: Turn) -> Any:
    return build_graph(Script(turn), tools, policy)


def middleware(tools: list[BaseTool], policy: Policy, turn: Turn) -> Any:
    return create_agent(model_of(turn), tools, middleware=[HitlMiddleware(policy)])


def guarded_tool_node(tools: list[BaseTool], policy: Policy, turn: Turn) -> Any:
    model = model_of(turn)

    def say(state: MessagesState) -> dict[str, list[AnyMessage]]:
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", say)
    builder.add_node("tools", ToolNode(guard(tools, policy)))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder


FACES: dict[str, Callable[[list[BaseTool], Policy, Turn], Any]] = {
    "graph": graph,
    "middleware": middleware,
    "guarded ToolNode": guarded_tool_node,
}


@dataclass
class Agent:
    """An agent of one face that wants to call tools, in a thread."""

    runtime: Runtime
    graph: Graph
    done: list[tuple[str, Any]]
    thread_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    in_async: bool = False

    def run(self, graph_input: Any, **named: Any) -> Any:
        config: Any = {"configurable": {"thread_id": self.thread_id, **named}}
        if self.in_async:
            return asyncio.run(self.graph.ainvoke(graph_input, config))
        return self.graph.invoke(graph_input, config)

    def start(self, **named: Any) -> ReviewRequest:
        self.run(self.runtime.start_input("write to x"), **named)
        return self.waiting[0]

    def answer(self, answer: Any, **named: Any) -> Any:
        """Answer the one question that waits, by its id."""
        (interrupt,) = self.interrupts
        return self.run(Command(resume={interrupt.id: answer}), **named)

    @property
    def interrupts(self) -> Any:
        return self.graph.get_state(self.runtime.config(self.thread_id)).interrupts

    @property
    def waiting(self) -> list[ReviewRequest]:
        return self.runtime.waiting(self.thread_id)

    @property
    def status(self) -> str:
        return self.runtime.thread(self.thread_id).thread.status

    def entries(self, kind: str) -> list[dict[str, Any]]:
        history = self.runtime.history(self.thread_id)
        return [one["body"] for one in history if one["kind"] == kind]

    def told(self) -> list[str]:
        messages: list[BaseMessage] = self.graph.get_state(
            self.runtime.config(self.thread_id)
        ).values["messages"]
        return [one.text for one in messages if one.type == "tool"]


ONE = call("send", "c1", **ARGS)
TWO = (call("send", "c1", to="x"), call("send", "c2", to="y"))


def made(runtime: Runtime, face: str, *turn: dict[str, Any], policy: str = POLICY) -> Agent:
    done: list[tuple[str, Any]] = []
    graph = FACES[face](tools_noting(done), parse_policy(policy), [*turn])
    return Agent(runtime, runtime.compile(graph, name="desk"), done)


@pytest.fixture(params=FACES)
def agent_of(request: pytest.FixtureRequest, runtime: Runtime) -> Callable[[str], Agent]:
    return lambda policy: made(runtime, request.param, ONE, policy=policy)


@pytest.fixture
def agent(agent_of: Callable[[str], Agent]) -> Agent:
    return agent_of(POLICY)


@pytest.mark.parametrize(("answer", "type_", "message"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_what_is_understood_is_recorded_and_done(
    agent: Agent, answer: Any, type_: str, message: str
) -> None:
    first = agent.start()
    agent.answer(answer)
    (decision,) = agent.entries("decision")
    assert (decision["type"], decision["message"]) == (type_, message)
    assert (decision["channel"], decision["reviewer"]) == ("resume", None)
    assert decision["request_id"] == first.request_id
    assert agent.entries("answer_refused") == []
    if type_ == "edit":  # judged again, and asked about again
        (second,) = agent.waiting
        assert (dict(second.call.args), second.revision) == (EDITED, 2)
        assert agent.done == []
        agent.answer(APPROVE)
    assert (
        agent.done
        == {
            "approve": [("send", "x")],
            "edit": [("send", "y")],
            "reject": [],
            "respond": [],
        }[type_]
    )
    assert (agent.status, agent.waiting) == ("done", [])


@pytest.mark.parametrize("answer", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_what_is_not_understood_is_asked_again_and_a_proper_answer_works(
    agent: Agent, answer: Any
) -> None:
    first = agent.start()
    assert first.problem is None
    agent.answer(answer)
    check_asked_again(agent, first)
    agent.run(None)  # nobody's answer: what was said before is not heard again
    check_asked_again(agent, first)
    agent.answer(APPROVE)
    assert agent.done == [("send", "x")]
    assert agent.status == "done"


def check_asked_again(agent: Agent, first: ReviewRequest) -> None:
    """One question waits, the same one, with what was wrong about the answer."""
    (waiting,) = agent.waiting
    (interrupt,) = agent.interrupts
    assert (waiting.request_id, waiting.interrupt_id) == (first.request_id, interrupt.id)
    assert waiting.problem
    assert interrupt.value["problem"] == waiting.problem
    assert len(waiting.problem) < 500
    assert [one["problem"] for one in agent.entries("answer_refused")] == [waiting.problem]
    assert agent.status == "waiting"
    assert agent.entries("decision") == agent.done == []


def test_one_thread_hears_all_of_it_and_goes_on(agent: Agent) -> None:
    """Each bare, as a client sends it that knows of no ids."""
    agent.start()
    refused = 0
    for answer in NOT_UNDERSTOOD.values():
        if answer is not None:  # with which LangGraph takes no step
            agent.run(Command(resume=answer))
            refused += 1
        assert len(agent.entries("answer_refused")) == refused
    agent.run(None)
    assert len(agent.entries("answer_refused")) == refused
    agent.answer(APPROVE)
    assert agent.done == [("send", "x")]


@pytest.mark.parametrize("bare", [False, True], ids=["by id", "bare"])
@pytest.mark.parametrize(
    "answer", [object(), 2**70, "\ud800", {"type": object()}], ids=lambda one: type(one).__name__
)
def test_what_no_checkpoint_can_hold_is_refused_at_once(
    agent: Agent, answer: Any, bare: bool
) -> None:
    first = agent.start()
    (interrupt,) = agent.interrupts
    with pytest.raises(CheckpointRefused):
        agent.run(Command(resume=answer if bare else {interrupt.id: answer}))
    assert agent.interrupts == (interrupt,)
    assert agent.waiting == [first]
    agent.answer(APPROVE)
    assert agent.done == [("send", "x")]


class TestSeveralWait:
    """A turn of two calls, each with an interrupt of its own.

    In a node of tools of a graph of one's own both share one: LangGraph has one task for them.
    """

    @pytest.fixture(params=["graph", "middleware"])
    def agent(self, runtime: Runtime, request: pytest.FixtureRequest) -> Agent:
        agent = made(runtime, request.param, *TWO)
        agent.start()
        return agent

    @pytest.mark.parametrize("in_async", [False, True], ids=["sync", "async"])
    def test_a_batch_of_one_decision_for_all_answers_all(
        self, agent: Agent, in_async: bool
    ) -> None:
        agent.in_async = in_async
        agent.run(Command(resume={"decisions": [APPROVE, APPROVE]}), reviewer="ana")
        assert sorted(agent.done) == [("send", "x"), ("send", "y")]
        assert {one["reviewer"] for one in agent.entries("decision")} == {"ana"}
        assert agent.status == "done"

    @pytest.mark.parametrize(
        "answer",
        [
            {"decisions": [APPROVE, REJECT]},  # nobody can tell which is for which
            {"decisions": [APPROVE]},
            {"decisions": [APPROVE] * 3},
            {"decisions": []},
            {"decisions": APPROVE},
            {},
            APPROVE,
            [APPROVE, APPROVE],
            "approve",
        ],
        ids=str,
    )
    def test_what_does_not_say_which_it_is_for_is_refused_with_the_ids(
        self, agent: Agent, answer: Any
    ) -> None:
        before = agent.waiting
        with pytest.raises(InvalidDecision, match="2 interrupts wait") as refused:
            agent.run(Command(resume=answer))
        ids = [one.id for one in agent.interrupts]
        assert all(one in (refused.value.hint or "") for one in ids)
        assert agent.waiting == before
        assert agent.done == []
        agent.run(Command(resume=dict(zip(ids, [APPROVE, REJECT], strict=True))))
        assert agent.done == [("send", "x")]

    def test_an_answer_to_a_question_that_ended_is_too_late(self, agent: Agent) -> None:
        first, second = agent.interrupts
        agent.run(Command(resume={first.id: REJECT}))
        with pytest.raises(StaleDecision):
            agent.run(Command(resume={first.id: APPROVE, second.id: APPROVE}))
        agent.run(Command(resume=APPROVE))
        assert agent.done == [("send", "y")]


QUORUM = POLICY.replace(
    "send: {effect: irreversible}", "send: {effect: irreversible, reviewers: {min: 2}}"
)
NAMED = POLICY + "reviewers: {ana: [desk], bo: [desk]}\n"


class TestWhoAnswers:
    """How the author of an answer is known stands on the record; where it counts, it is wanted."""

    @pytest.mark.parametrize(
        ("named", "known"),
        [
            ({}, None),
            ({"reviewer": "ana"}, "ana"),
            ({"langgraph_auth_user_id": "bo"}, "bo"),
            ({"langgraph_auth_user_id": "bo", "reviewer": "ana"}, "bo"),
            ({"langgraph_auth_user_id": "", "reviewer": "ana"}, "ana"),
        ],
        ids=["nobody", "the app", "the server", "both", "a server without users"],
    )
    def test_it_is_recorded(self, agent: Agent, named: dict[str, Any], known: str | None) -> None:
        agent.start()
        agent.answer(APPROVE, **named)
        (decision,) = agent.entries("decision")
        assert (decision["channel"], decision["reviewer"]) == ("resume", known)
        assert agent.done == [("send", "x")]
        by = known or "a reviewer"
        assert agent.told() == [f"[approved by {by}]\nsent to x"]

    @pytest.mark.parametrize("policy", [QUORUM, NAMED], ids=["several", "named"])
    def test_where_a_name_is_wanted_the_thread_keeps_waiting_and_says_why(
        self, agent_of: Callable[[str], Agent], policy: str
    ) -> None:
        agent = agent_of(policy)
        first = agent.start()
        agent.answer(APPROVE)
        check_asked_again(agent, first)
        assert agent.waiting[0].problem == (
            "the answer names no reviewer, and who answers counts here"
        )
        for name in ("ana", "bo"):
            if agent.waiting:
                agent.answer(APPROVE, reviewer=name)
        assert agent.done == [("send", "x")]

    def test_who_asked_for_the_call_does_not_decide_on_it(self, agent: Agent) -> None:
        first = agent.start(langgraph_auth_user_id="ana")
        for named in ({"langgraph_auth_user_id": "ana"}, {"reviewer": "ANA"}, {}):
            agent.answer(APPROVE, **named)
            assert agent.waiting[0].request_id == first.request_id
            assert agent.waiting[0].problem
        agent.answer(APPROVE, langgraph_auth_user_id="bo")
        assert agent.done == [("send", "x")]

    def test_one_answer_is_one_persons_whoever_runs_the_thread_next(
        self, agent_of: Callable[[str], Agent]
    ) -> None:
        """LangGraph keeps a bare answer and would deliver it again with the next run."""
        agent = agent_of(QUORUM)
        agent.start()
        agent.run(Command(resume=APPROVE), reviewer="ana")
        agent.run(None, reviewer="bo")
        (waiting,) = agent.waiting
        assert [one.reviewer for one in waiting.votes] == ["ana"]
        agent.run(Command(resume=APPROVE), reviewer="bo")
        assert agent.done == [("send", "x")]


class TestDrivenByOthers:
    """The same agents over a checkpointer that is not ours: it keeps a bare answer for ever."""

    @pytest.fixture(params=FACES)
    def agent_of(self, runtime: Runtime, request: pytest.FixtureRequest) -> Callable[[str], Agent]:
        def elsewhere(policy: str) -> Agent:
            done: list[tuple[str, Any]] = []
            graph = FACES[request.param](tools_noting(done), parse_policy(policy), [ONE])
            compiled = graph.compile() if isinstance(graph, StateGraph) else graph
            compiled.checkpointer = InMemorySaver()
            return Agent(runtime, compiled, done)

        return elsewhere

    @pytest.mark.parametrize("then", ["by id", "bare"])
    def test_whatever_was_said_first_a_proper_answer_works(self, agent: Agent, then: str) -> None:
        agent.start()
        for answer in NOT_UNDERSTOOD.values():
            if answer is not None and answer != {}:
                agent.run(Command(resume=answer))
                assert agent.waiting[0].problem
        agent.run(None)
        assert agent.done == []
        if then == "by id":
            agent.answer(APPROVE)
        else:
            agent.run(Command(resume=APPROVE))
        assert agent.done == [("send", "x")]

    def test_a_bare_answer_of_a_run_that_was_cut_off_does_not_hide_the_next(
        self, agent: Agent
    ) -> None:
        agent.start()
        at = agent.graph.get_state(agent.runtime.config(agent.thread_id)).config
        agent.graph.checkpointer.put_writes(at, [(RESUME, "approve")], NULL_TASK_ID)
        agent.answer(APPROVE)
        assert agent.done == [("send", "x")]

    def test_an_edit_that_comes_again_edits_once(self, agent: Agent) -> None:
        agent.start()
        agent.run(Command(resume=EDIT))
        for _ in range(2):
            agent.run(None)
            (waiting,) = agent.waiting
            assert (waiting.revision, dict(waiting.call.args)) == (2, EDITED)
        agent.answer(APPROVE)
        assert agent.done == [("send", "y")]

    def test_one_answer_is_one_persons(self, agent_of: Callable[[str], Agent]) -> None:
        agent = agent_of(QUORUM)
        agent.start()
        agent.run(Command(resume=APPROVE), reviewer="ana")
        for _ in range(2):
            agent.run(None, reviewer="bo")
            (waiting,) = agent.waiting
            assert [one.reviewer for one in waiting.votes] == ["ana"]
        agent.run(Command(resume=APPROVE), reviewer="bo")
        assert agent.done == [("send", "x")]
