"""Ways around the place where a call is reviewed: jumps, predicates, retries, direct calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ToolRetryMiddleware,
    hook_config,
)
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime
from langgraph.types import Command

from hitl_agent import HitlMiddleware, Runtime, contract, guard
from hitl_agent.errors import CallRefused, ConfigurationError, HitlError
from hitl_agent.policy import parse_policy
from tests.support.faces import FACES, MODEL, TOOLS, Agent, Scripted, agent_of, stock_agent
from tests.support.flows import POLICY, Clock, call

EVERY_FACE = pytest.mark.parametrize("face", FACES)

SEND = [call("send", "a", to="x")]
APPROVED = {"decisions": [{"type": "approve"}]}
REJECTED = {"decisions": [{"type": "reject"}]}

Done = list[tuple[str, Any]]


def gate(*tools: str) -> HumanInTheLoopMiddleware[Any, Any, Any]:
    return HumanInTheLoopMiddleware(dict.fromkeys(tools, True))


# jumps over the review


class Jumps(AgentMiddleware[Any, Any, Any]):
    """Sends the model's calls straight to the tools."""

    @hook_config(can_jump_to=["tools"])
    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        return {"jump_to": "tools"} if state["messages"][-1].type != "ai" else self._calls(state)

    def _calls(self, state: Any) -> dict[str, Any] | None:
        return {"jump_to": "tools"} if state["messages"][-1].tool_calls else None


def test_stock_a_jump_to_the_tools_runs_what_was_rejected() -> None:
    """Without us: langchain-ai/langchain#40491; the call is left in the message: #37093."""
    stock = stock_agent(SEND, middleware=[Jumps(), gate("send")])
    stock.start()
    stock.drive(Command(resume=REJECTED))

    assert stock.done == [("send", "x")]


@pytest.mark.parametrize("at", ["before", "behind"])
def test_a_middleware_that_jumps_to_the_tools_runs_nothing(runtime: Runtime, at: str) -> None:
    """langchain-ai/langchain#40491 and #37093."""
    options: dict[str, Any] = {at: [Jumps()]}
    turn = [*SEND, call("send", "b", to="y")]
    agent = agent_of("middleware", runtime, turn, **options)
    agent.start()
    agent.ran()

    agent.settle(lambda one: {"type": "approve" if one.call.call_id == "b" else "reject"})
    agent.ran(("send", "y"))


def test_langchains_own_review_behind_a_jump_is_not_the_gate(runtime: Runtime) -> None:
    """Both in one agent: what LangChain's rejected and the jump brought back, ours asks about."""
    agent = agent_of("middleware", runtime, SEND, before=[Jumps(), gate("send")])
    agent.start()
    (found,) = agent.graph.get_state(agent.config).interrupts
    agent.drive(Command(resume={found.id: REJECTED}))

    agent.ran()
    agent.settle("reject")
    agent.ran()


@EVERY_FACE
@pytest.mark.parametrize("to", ["tools", "model"])
def test_a_command_that_jumps_over_the_review_runs_nothing(
    face: str, runtime: Runtime, to: str
) -> None:
    agent = agent_of(face, runtime, SEND)
    agent.start()
    goto = {"tools": TOOLS, "model": MODEL}[to][face]
    with suppress(Exception):  # the functional API has no nodes
        agent.drive(Command(goto=goto))

    agent.ran()
    assert "grant" not in agent.kinds("a")


@EVERY_FACE
def test_going_to_the_tools_while_one_call_waits_runs_only_what_is_granted(
    face: str, runtime: Runtime
) -> None:
    agent = agent_of(face, runtime, [*SEND, call("send", "b", to="y")])
    agent.start()
    agent.decide("b", {"type": "approve"})
    for _ in range(2):
        with suppress(Exception):
            agent.drive(Command(goto=TOOLS[face]))
    agent.drive(None)

    assert ("send", "x") not in agent.done
    agent.settle("reject")
    assert agent.done.count(("send", "y")) <= 1
    assert ("send", "x") not in agent.done


# predicates that say something else when the run goes on


def flipping(*said: bool) -> Any:
    answers = [*said]
    return lambda _: answers.pop(0) if answers else False


def test_stock_a_predicate_that_flips_runs_what_was_rejected() -> None:
    """Without us, as the docstring of LangChain's `InterruptOnConfig` says."""
    entry: Any = {"allowed_decisions": ["approve", "reject"], "when": flipping(True)}
    stock = stock_agent(SEND, middleware=[HumanInTheLoopMiddleware({"send": entry})])
    stock.start()
    stock.drive(Command(resume=REJECTED))

    assert stock.done == [("send", "x")]


def test_stock_a_predicate_that_flips_runs_each_rejected_call_on_its_own() -> None:
    """Without us, in LangChain's other mode."""
    entry: Any = {"allowed_decisions": ["approve", "reject"], "when": flipping(True)}
    middleware = HumanInTheLoopMiddleware({"send": entry}, interrupt_mode="per_call")
    stock = stock_agent(SEND, middleware=[middleware])
    stock.start()
    stock.drive(Command(resume={"type": "reject"}))

    assert stock.done == [("send", "x")]


@pytest.mark.parametrize("decision", ["reject", "nothing"])
def test_a_predicate_that_flips_changes_no_verdict(runtime: Runtime, decision: str) -> None:
    """It is asked when the call is judged; openai/openai-agents-python#3229 had it asked again."""
    entry: Any = {"allowed_decisions": ["approve", "reject"], "when": flipping(True)}
    agent = agent_of("middleware", runtime, SEND, policy={"send": entry})
    agent.start()
    if decision == "nothing":
        agent.drive(None)
        agent.ran()
        assert len(agent.waiting) == 1
    agent.settle("reject")

    agent.ran()
    assert "grant" not in agent.kinds("a")


@pytest.mark.parametrize("said", ["yes", RuntimeError("no"), KeyError("path"), float("nan")])
def test_a_predicate_that_fails_or_says_something_else_than_no_gates(
    runtime: Runtime, said: Any
) -> None:
    def when(_: Any) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    entry: Any = {"allowed_decisions": ["approve", "reject"], "when": when}
    agent = agent_of("middleware", runtime, SEND, policy={"send": entry})
    agent.start()
    agent.ran()
    agent.settle("reject")

    agent.ran()


RUNS = """
version: 1
tools:
  send:
    effect: write
    rules: [{id: free, when: "true", tier: auto_approve, reason: free}]
"""

SURE = RUNS.replace('"true"', "confidence > 0.9")


@EVERY_FACE
@pytest.mark.parametrize("option", ["confidence", "second_opinion"])
def test_an_assessment_that_flips_changes_no_verdict(
    face: str, runtime: Runtime, option: str
) -> None:
    first: dict[str, Any] = {"confidence": 0.1, "second_opinion": ["it is too much"]}
    later: dict[str, Any] = {"confidence": 1.0, "second_opinion": []}
    said = [first[option]]
    policy = SURE if option == "confidence" else RUNS

    def assess(*_: Any) -> Any:
        return said.pop() if said else later[option]

    agent = agent_of(face, runtime, SEND, policy=policy, **{option: assess})
    agent.start()
    agent.ran()
    assert said == [], "it was asked"
    agent.drive(None)
    agent.settle("reject")

    agent.ran()


# tools that nobody has listed


def test_stock_a_tool_that_is_not_listed_runs() -> None:
    stock = stock_agent([call("drop_everything", "a")], middleware=[gate("send")])
    stock.start()

    assert stock.done == [("drop_everything", None)]


@EVERY_FACE
def test_a_tool_that_no_policy_names_waits(face: str, runtime: Runtime) -> None:
    agent = agent_of(face, runtime, [call("unlisted", "a", x=1)])
    agent.start()
    agent.ran()
    assert [one.call.tool for one in agent.waiting] == ["unlisted"]


@EVERY_FACE
@pytest.mark.parametrize("name", ["no_such_tool", "Send", "send ", "send\u200b", "functions.send"])
def test_a_tool_that_is_not_there_is_refused(face: str, runtime: Runtime, name: str) -> None:
    """Names that only look like a tool's: a gateway that compares them otherwise lets them by."""
    agent = agent_of(face, runtime, [call(name, "a", to="x")])
    agent.start()
    agent.settle("approve")

    agent.ran()
    assert agent.answer("a").status == "error"


# retries, before and behind the gate


def failing(done: Done) -> list[BaseTool]:
    @tool
    def send(to: str) -> str:
        """Send."""
        done.append(("send", to))
        raise ConnectionError("the line went dead")

    return [send]


def retrying() -> ToolRetryMiddleware:
    return ToolRetryMiddleware(max_retries=3, initial_delay=0, jitter=False)


def test_stock_a_retry_runs_several_times_what_was_approved_once() -> None:
    stock = stock_agent(SEND, middleware=[gate("send"), retrying()], tools=failing)
    stock.start()
    stock.drive(Command(resume=APPROVED))

    assert stock.done == [("send", "x")] * 4


@pytest.mark.parametrize("at", ["before", "behind"])
@pytest.mark.parametrize("in_async", [False, True])
def test_a_retry_runs_an_approved_call_once(runtime: Runtime, at: str, in_async: bool) -> None:
    options: dict[str, Any] = {at: [retrying()]}
    agent = agent_of("middleware", runtime, SEND, tools=failing, **options)
    agent.start()
    agent.decide("a", {"type": "approve"})
    agent.resume(in_async=in_async)

    agent.ran(("send", "x"))
    assert agent.kinds("a")[-1] == "failed"


class Repeats(AgentMiddleware[Any, Any, Any]):
    """Calls what is behind it several times over."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return [handler(request) for _ in range(3)][-1]


@pytest.mark.parametrize("at", ["before", "behind"])
def test_a_middleware_that_repeats_a_call_runs_it_once(runtime: Runtime, at: str) -> None:
    options: dict[str, Any] = {at: [Repeats()]}
    agent = agent_of("middleware", runtime, SEND, **options)
    agent.start()
    agent.settle("approve")

    agent.ran(("send", "x"))


class UsesAnotherTool(AgentMiddleware[Any, Any, Any]):
    """Puts another of the agent's tools in the place of the one that was called."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        other = next(one for one in request.runtime.tools if one.name == "drop_everything")
        changed = {**request.tool_call, "name": other.name, "args": {}}
        return handler(request.override(tool=other, tool_call=changed))


@pytest.mark.parametrize("at", ["before", "behind"])
def test_a_middleware_that_swaps_the_tool_does_not_run_it_unasked(
    runtime: Runtime, at: str
) -> None:
    """As an edit of LangChain's middleware does: langchain-ai/langchain#40166."""
    options: dict[str, Any] = {at: [UsesAnotherTool()]}
    agent = agent_of("middleware", runtime, [call("look", "l", what="x")], **options)
    agent.start()

    assert ("drop_everything", None) not in agent.done


class Provides(AgentMiddleware[Any, Any, Any]):
    """Runs a tool that the agent does not know, as LangChain lets a middleware do."""

    def __init__(self, provided: BaseTool) -> None:
        super().__init__()
        self.provided = provided

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        if request.tool_call["name"] == self.provided.name:
            request = request.override(tool=self.provided)
        return handler(request)


@pytest.mark.parametrize("at", ["before", "behind"])
def test_a_tool_that_a_middleware_provides_is_gated(runtime: Runtime, at: str) -> None:
    done: Done = []

    @tool
    def provided(to: str) -> str:
        """Send in another way."""
        done.append(("provided", to))
        return "sent"

    options: dict[str, Any] = {at: [Provides(provided)]}
    agent = agent_of("middleware", runtime, [call("provided", "a", to="x")], **options)
    agent.start()
    assert done == []
    assert [one.call.tool for one in agent.waiting] == (["provided"] if at == "before" else [])

    agent.settle("reject")
    assert done == []


# calls that no model has made


WAYS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda inner: inner.invoke({"to": "x"}),
    "invoke with an id": lambda inner: inner.invoke(call("send", "forged", to="x")),
    "run": lambda inner: inner.run({"to": "x"}),
    "ainvoke": lambda inner: asyncio.run(inner.ainvoke({"to": "x"})),
    "batch": lambda inner: inner.batch([{"to": "x"}]),
    "stream": lambda inner: [*inner.stream({"to": "x"})],
    "bound": lambda inner: inner.with_config(tags=["x"]).invoke({"to": "x"}),
    "copied": lambda inner: inner.model_copy().invoke({"to": "x"}),
    "func": lambda inner: inner.func(to="x"),
    "_run": lambda inner: inner._run(to="x", config={}),
}

EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def sender(done: Done) -> BaseTool:
    @tool
    def send(to: str) -> str:
        """Send."""
        done.append(("send", to))
        return f"sent to {to}"

    return send


def through(way: Any) -> Any:
    def tools(done: Done) -> list[BaseTool]:
        (inner,) = guard([sender(done)], parse_policy(POLICY), clock=Clock())

        @tool
        def look(what: str) -> str:
            """Look."""
            return str(way(inner))

        return [look]

    return tools


def test_stock_a_tool_calls_another_one_that_nobody_is_asked_about() -> None:
    def tools(done: Done) -> list[BaseTool]:
        inner = sender(done)

        @tool
        def look(what: str) -> str:
            """Look."""
            return str(inner.invoke({"to": what}))

        return [look, inner]

    stock = stock_agent([call("look", "l", what="x")], middleware=[gate("send")], tools=tools)
    stock.start()

    assert stock.done == [("send", "x")]


@EVERY_FACE
@EVERY_WAY
def test_a_guarded_tool_that_is_called_by_another_one_runs_only_when_it_is_granted(
    face: str, runtime: Runtime, way: Any
) -> None:
    """Calls that go to the tool itself meet no gate in AtomicBot-ai/atomic-agent#132."""
    agent = agent_of(face, runtime, [call("look", "l", what="x")], tools=through(way))
    with suppress(HitlError):
        agent.start()

    assert agent.done == []
    if agent.status == "waiting":
        agent.settle("reject")
    assert agent.done == []


@EVERY_WAY
def test_a_guarded_tool_runs_nowhere_outside_of_a_graph(database_url: str, way: Any) -> None:
    done: Done = []
    (inner,) = guard([sender(done)], parse_policy(POLICY))
    with pytest.raises((ConfigurationError, CallRefused)):
        way(inner)
    assert done == []


@pytest.mark.parametrize("face", ["middleware", "tool_guard", "guard"])
def test_a_tool_that_finds_the_others_in_its_runtime_calls_none_unasked(
    face: str, runtime: Runtime
) -> None:
    def tools(done: Done) -> list[BaseTool]:
        @tool
        def look(what: str, runtime: ToolRuntime) -> str:
            """Look."""
            other = next(one for one in runtime.tools if one.name == "send")
            return str(other.invoke({"to": what}))

        return [look, sender(done)]

    agent = agent_of(face, runtime, [call("look", "l", what="x")], tools=tools)
    with suppress(HitlError):
        agent.start()

    assert agent.done == []


# agents inside of agents


def delegating(inner: Any) -> Any:
    def tools(done: Done) -> list[BaseTool]:
        agent = inner(done)

        @contract(interrupts=True)
        @tool
        def look(what: str) -> str:
            """Ask another agent."""
            said = agent.invoke({"messages": [("user", what)]})
            return str(said["messages"][-1].text)

        return [look]

    return tools


def test_stock_an_agent_inside_of_another_one_is_not_reviewed() -> None:
    """Without us: keurcien/auxilia#301."""

    def inner(done: Done) -> Any:
        return create_agent(Scripted(turns=(SEND,)), [sender(done)])

    tools = delegating(inner)
    stock = stock_agent([call("look", "l", what="x")], middleware=[gate("send")], tools=tools)
    stock.start()

    assert stock.done == [("send", "x")]


@EVERY_FACE
@pytest.mark.parametrize("inner_face", ["middleware", "guard"])
@pytest.mark.parametrize("call_id", ["a", "l"])
def test_the_calls_of_an_agent_inside_are_asked_about(
    face: str, runtime: Runtime, inner_face: str, call_id: str
) -> None:
    """keurcien/auxilia#301: approvals of sub-agents are dropped. Ids of calls may be the same."""
    clock = Clock()

    def inner(done: Done) -> Any:
        model = Scripted(turns=([call("send", call_id, to="x")],))
        policy = parse_policy(POLICY)
        if inner_face == "middleware":
            ours = HitlMiddleware(policy, clock=clock)
            return create_agent(model, [sender(done)], middleware=[ours])
        return create_agent(model, guard([sender(done)], policy, clock=clock))

    agent = agent_of(
        face,
        runtime,
        [call("look", "l", what="x")],
        tools=delegating(inner),
        clock=clock,
    )
    with suppress(HitlError):
        agent.start()
    assert agent.done == []
    if call_id == "l":
        return  # no call of its own: whether it can be made at all is not promised
    assert [one.call.tool for one in agent.waiting] == ["send"]
    agent.settle("approve")
    assert agent.done == [("send", "x")]


def test_two_gates_before_one_tool_are_refused(runtime: Runtime) -> None:
    """Each would wait for the other to run the call; and which policy holds nobody has said."""

    def tools(done: Done) -> list[BaseTool]:
        return guard([sender(done)], parse_policy(POLICY), clock=clock)

    clock = Clock()
    agent = agent_of("middleware", runtime, SEND, tools=tools, clock=clock)
    with pytest.raises(ConfigurationError, match="guarded already"):
        agent.start()
    agent.ran()


def test_a_node_of_tools_beside_the_gate_is_gated_when_its_tools_are(runtime: Runtime) -> None:
    """A second way to the tools that the graph's author forgot: `guard` is where the tool is."""
    done: Done = []
    clock = Clock()
    tools = guard([sender(done)], parse_policy(POLICY), clock=clock)

    def speak(_: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("because", tool_calls=SEND)]}

    builder = StateGraph(MessagesState)
    builder.add_node("speak", speak)
    builder.add_node("forgotten", ToolNode(tools))
    builder.add_edge(START, "speak")
    builder.add_edge("speak", "forgotten")
    runtime = Runtime(runtime.database, clock=clock)
    agent = Agent(runtime, runtime.compile(builder, name="desk"), clock, done)
    agent.start()

    agent.ran()
    assert len(agent.waiting) == 1
