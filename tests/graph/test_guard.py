"""Guarded tools, wherever they are called from."""

from __future__ import annotations

import asyncio
import operator
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import Command, Send, interrupt

from hitl_agent import (
    Runtime,
    ToolGuard,
    contract,
    guard,
    human_review,
    idempotency_key,
    review_graph,
)
from hitl_agent.errors import CallRefused, ConfigurationError, ExecutionError
from hitl_agent.policy import Policy, parse_policy
from tests.support.flows import call

POLICY = parse_policy("""
version: 1
never_run: [drop]
tools:
  look: {effect: read}
  send: {effect: irreversible}
  fails: {effect: read}
  move: {effect: read}
  show: {effect: read}
""")


@dataclass
class World:
    """Tools that note what they did, and a thread of one graph."""

    runtime: Runtime
    done: list[str] = field(default_factory=list)
    thread_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    graph: Any = None
    in_async: bool = False
    side_by_side: int | None = None

    @property
    def config(self) -> Any:
        config = self.runtime.config(self.thread_id)
        return {**config, "max_concurrency": self.side_by_side}

    def tools(self) -> list[BaseTool]:
        @tool
        def look(what: str) -> dict[str, str]:
            """Look."""
            self.done.append(f"look {what}")
            return {"saw": what}

        @tool
        def send(to: str) -> str:
            """Send."""
            self.done.append(f"send {to}")
            return f"sent to {to}"

        @tool
        def fails(what: str) -> str:
            """Fail."""
            self.done.append(f"fails {what}")
            raise RuntimeError(f"no {what} today")

        @tool
        def drop(what: str) -> str:
            """Drop."""
            self.done.append(f"drop {what}")
            return "dropped"

        return [look, send, fails, drop]

    def compiled(self, graph: Any) -> World:
        self.graph = self.runtime.compile(graph, name="own")
        return self

    def run(self, graph_input: Any) -> Any:
        if self.in_async:
            return asyncio.run(self.graph.ainvoke(graph_input, self.config))
        return self.graph.invoke(graph_input, self.config)

    def resume(self) -> Any:
        return self.run(self.runtime.resume_input(self.graph, self.thread_id))

    @property
    def waiting(self) -> list[str]:
        return sorted(one.call.args["to"] for one in self.runtime.waiting(self.thread_id))

    def decide(self, to: str, kind: str = "approve", **more: Any) -> None:
        (request,) = [
            one for one in self.runtime.waiting(self.thread_id) if one.call.args["to"] == to
        ]
        self.runtime.decide(request, {"type": kind, **more}, reviewer="ana")

    def kinds(self) -> list[str]:
        return [one["kind"] for one in self.runtime.history(self.thread_id)]


@pytest.fixture(params=["sync", "async"])
def world(runtime: Runtime, request: pytest.FixtureRequest) -> World:
    return World(runtime, in_async=request.param == "async")


def asking(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [AIMessage("because", tool_calls=list(calls))]}


def told(state: Any) -> dict[str, str]:
    return {one.tool_call_id: one.text for one in state["messages"] if isinstance(one, ToolMessage)}


def with_node(node: Any, state: Any = MessagesState) -> StateGraph[Any, Any, Any, Any]:
    return StateGraph(state).add_node("tools", node).add_edge(START, "tools")


def guarded_node(world: World) -> Any:
    return ToolNode(guard(world.tools(), POLICY))


def wrapped_node(world: World) -> Any:
    one = ToolGuard(POLICY)
    return ToolNode(
        world.tools(), wrap_tool_call=one.wrap_tool_call, awrap_tool_call=one.awrap_tool_call
    )


def subgraph(world: World) -> Any:
    return with_node(guarded_node(world)).compile()


def reviewing(world: World) -> Any:
    return review_graph(world.tools(), POLICY).compile()


NODES = pytest.mark.parametrize("node", [guarded_node, wrapped_node, subgraph, reviewing])


@NODES
def test_a_gated_call_waits_and_runs_once_when_it_is_approved(world: World, node: Any) -> None:
    world.compiled(with_node(node(world)))

    world.run(asking(call("look", "1", what="a"), call("send", "2", to="b")))
    assert world.waiting == ["b"]
    assert "send b" not in world.done
    world.decide("b", message="as agreed")
    state = world.resume()

    assert world.done == ["look a", "send b"]
    assert told(state) == {
        "1": '{"saw": "a"}',
        "2": "[approved by ana: as agreed]\nsent to b",
    }
    assert world.kinds().count("started") == 2


@NODES
def test_side_by_side_each_question_has_its_own_answer(world: World, node: Any) -> None:
    world.compiled(with_node(node(world)))
    calls = [call("send", str(number), to=f"p{number}") for number in range(4)]

    world.run(asking(*calls))
    if len(world.waiting) < len(calls):  # one had not begun when another stopped, see below
        world.run(None)
    assert world.waiting == ["p0", "p1", "p2", "p3"]
    world.decide("p2", "reject", message="not this one")
    world.decide("p1")
    world.resume()
    world.decide("p0", "respond", message="by hand")
    world.decide("p3", "edit", edited_action={"name": "send", "args": {"to": "p9"}})
    world.resume()
    assert world.waiting == ["p9"]
    world.decide("p9")
    state = world.resume()

    assert sorted(world.done) == ["send p1", "send p9"]
    assert told(state) == {
        "0": "answered by ana in the tool's place: by hand",
        "1": "[approved by ana]\nsent to p1",
        "2": "rejected by ana, the call was not run: not this one",
        "3": (
            '[changed by a reviewer before it ran, to send {"to": "p9"}; approved by ana]\n'
            "sent to p9"
        ),
    }


@NODES
def test_calls_that_may_not_run_side_by_side_are_all_asked_about_in_the_end(
    world: World, node: Any
) -> None:
    """A node of tools drops the calls that had not begun when another one stopped."""
    world.compiled(with_node(node(world)))
    world.side_by_side = 1

    state = world.run(asking(*(call("send", str(number), to=f"p{number}") for number in range(4))))
    asked = []
    while waiting := world.waiting:
        asked += waiting
        for to in waiting:
            world.decide(to, "approve" if to in ("p1", "p2") else "reject")
        state = world.resume()

    assert sorted(asked) == ["p0", "p1", "p2", "p3"]
    assert sorted(world.done) == ["send p1", "send p2"]
    assert len(told(state)) == 4


@NODES
def test_what_policy_refuses_and_what_fails_is_told(world: World, node: Any) -> None:
    world.compiled(with_node(node(world)))

    state = world.run(
        asking(
            call("drop", "1", what="all"),
            call("fails", "2", what="luck"),
            call("look", "3", wrong="name"),
        )
    )

    assert world.done == ["fails luck"]
    assert told(state)["1"].startswith("refused by policy, the call was not run: ")
    assert "no luck today" in told(state)["2"]
    assert told(state)["3"].startswith("refused by policy, the call was not run: ")


def test_a_call_of_a_tool_that_is_not_there_is_refused(world: World) -> None:
    world.compiled(with_node(wrapped_node(world)))

    state = world.run(asking(call("format_disk", "1", now=True)))

    assert told(state)["1"].startswith("refused by policy, the call was not run: there is no tool")
    assert world.done == []


def test_each_send_is_asked_about_alone(world: World) -> None:
    (_, send, *_) = guard(world.tools(), POLICY)

    class State(TypedDict, total=False):
        to: str
        sent: Annotated[list[str], operator.add]

    def one(state: State, config: RunnableConfig) -> Any:
        return {"sent": [send.invoke({"to": state["to"]}, config)]}

    builder = StateGraph(State)
    builder.add_node("one", one)
    builder.add_conditional_edges(
        START, lambda _: [Send("one", {"to": to}) for to in ("b", "c")], ["one"]
    )
    world.compiled(builder)

    world.run({"to": ""})
    assert world.waiting == ["b", "c"]
    interrupts = world.graph.get_state(world.config).interrupts
    assert {one.value["action_requests"][0]["args"]["to"] for one in interrupts} == {"b", "c"}
    world.run(Command(resume={one.id: {"type": "approve"} for one in interrupts}))

    assert sorted(world.done) == ["send b", "send c"]


def test_the_functional_api_asks_one_after_the_other(world: World) -> None:
    look, send, *_ = guard(world.tools(), POLICY)

    @task
    def sending(to: str) -> str:
        result: str = send.invoke({"to": to})
        return result

    @entrypoint()
    def flow(names: list[str]) -> list[Any]:
        saw = look.invoke({"what": "first"})
        return [saw, *[sending(name).result() for name in names]]

    world.in_async = False  # a sync entrypoint; the async one is below
    world.compiled(flow)

    world.run(["b", "c"])
    assert world.waiting == ["b"]
    world.decide("b")
    world.resume()
    assert world.waiting == ["c"]
    world.decide("c")

    assert world.resume() == [{"saw": "first"}, "sent to b", "sent to c"]
    assert world.done == ["look first", "send b", "send c"]


def test_an_async_entrypoint(runtime: Runtime) -> None:
    world = World(runtime, in_async=True)
    _, send, *_ = guard(world.tools(), POLICY)

    @task
    async def sending(to: str) -> str:
        result: str = await send.ainvoke({"to": to})
        return result

    @entrypoint()
    async def flow(names: list[str]) -> list[str]:
        return list(await asyncio.gather(*map(sending, names)))

    world.compiled(flow)

    world.run(["b", "c"])
    assert world.waiting == ["b", "c"]
    world.decide("b")
    world.decide("c")

    assert world.resume() == ["sent to b", "sent to c"]
    assert sorted(world.done) == ["send b", "send c"]


def test_one_after_the_other_in_one_task_an_answer_is_for_the_question_that_was_seen(
    runtime: Runtime,
) -> None:
    world = World(runtime)
    _, send, *_ = guard(world.tools(), POLICY)

    @entrypoint()
    def flow(names: list[str]) -> list[str]:
        return [send.invoke({"to": name}) for name in names]

    world.compiled(flow)
    world.run(["b", "c"])
    (first,) = world.graph.get_state(world.config).interrupts
    world.run(Command(resume={first.id: {"type": "approve"}}))
    (second,) = world.graph.get_state(world.config).interrupts

    assert first.id != second.id
    assert world.done == ["send b"]
    assert world.waiting == ["c"]
    world.run(None)  # resumed without an answer it asks again
    assert world.waiting == ["c"]
    assert world.run(Command(resume={second.id: {"type": "approve"}})) == ["sent to b", "sent to c"]
    assert world.done == ["send b", "send c"]


def test_side_by_side_in_one_task_an_answer_says_which_question_it_is_for(world: World) -> None:
    world.compiled(with_node(guarded_node(world)))
    world.run(asking(call("send", "1", to="b"), call("send", "2", to="c")))
    (asked,) = world.graph.get_state(world.config).interrupts

    world.run(Command(resume={asked.id: {"type": "approve"}}))
    assert world.done == []
    problems = {one.problem for one in world.runtime.waiting(world.thread_id)}
    assert problems == {"several calls wait here; an answer names the `request_id` it is for"}

    (asked,) = world.graph.get_state(world.config).interrupts
    (c,) = [one for one in world.runtime.waiting(world.thread_id) if one.call.args["to"] == "c"]
    world.run(Command(resume={asked.id: {"type": "approve", "request_id": c.request_id}}))
    assert world.done == ["send c"]
    assert world.waiting == ["b"]


def test_a_question_of_ones_own_in_the_same_node_keeps_its_answer(runtime: Runtime) -> None:
    world = World(runtime)
    _, send, *_ = guard(world.tools(), POLICY)

    @entrypoint()
    def flow(_: str) -> list[str]:
        name = interrupt("whom?")
        sent = send.invoke({"to": name})
        return [sent, interrupt("satisfied?")]

    world.compiled(flow)
    world.run("go")
    (whom,) = world.graph.get_state(world.config).interrupts
    world.run(Command(resume={whom.id: "b"}))
    assert world.waiting == ["b"]
    world.decide("b")
    world.resume()
    (satisfied,) = world.graph.get_state(world.config).interrupts

    assert satisfied.value == "satisfied?"
    assert world.run(Command(resume={satisfied.id: "yes"})) == ["sent to b", "yes"]
    assert world.done == ["send b"]


def test_a_program_that_calls_is_told_by_an_error(runtime: Runtime) -> None:
    world = World(runtime)
    _, send, fails, drop = guard(world.tools(), POLICY)
    errors: list[Exception] = []

    @entrypoint()
    def flow(_: str) -> str:
        for one, args in ((drop, {"what": "all"}), (fails, {"what": "luck"}), (send, {"to": "b"})):
            try:
                one.invoke(args)
            except (CallRefused, ExecutionError) as error:
                errors.append(error)
        return "done"

    world.compiled(flow)
    world.run("go")
    world.decide("b", "reject", message="no")
    errors.clear()
    assert world.resume() == "done"

    refused, failed, rejected = errors
    assert isinstance(refused, CallRefused)
    assert not isinstance(failed, CallRefused)
    assert "no luck today" in str(failed)
    assert str(rejected) == "rejected by ana, the call was not run: no"


def test_the_same_call_twice_in_one_task_is_one_call(runtime: Runtime) -> None:
    world = World(runtime)
    look, *_ = guard(world.tools(), POLICY)

    @entrypoint()
    def flow(_: str) -> list[Any]:
        return [look.invoke({"what": "a"}), look.invoke({"what": "a"}), look.invoke({"what": "b"})]

    assert world.compiled(flow).run("go") == [{"saw": "a"}, {"saw": "a"}, {"saw": "b"}]
    assert world.done == ["look a", "look b"]


def test_outside_of_a_graph_a_guarded_tool_does_not_run(runtime: Runtime) -> None:
    world = World(runtime)
    look, *_ = guard(world.tools(), POLICY)

    for config in (None, world.config):
        with pytest.raises(ConfigurationError, match="outside of a graph"):
            look.invoke({"what": "a"}, config)
        with pytest.raises(ConfigurationError, match="outside of a graph"):
            look.run({"what": "a"})
    assert world.done == []


def test_a_guarded_tool_is_to_a_model_what_it_was(runtime: Runtime) -> None:
    tools = World(runtime).tools()
    for before, after in zip(tools, guard(tools, POLICY), strict=True):
        assert isinstance(after, type(before))
        assert after.tool_call_schema.model_json_schema() == (
            before.tool_call_schema.model_json_schema()
        )
        assert (after.name, after.description) == (before.name, before.description)


@pytest.mark.parametrize("wrapping", [guarded_node, wrapped_node])
def test_what_a_graph_injects_and_a_tool_returns_stays(world: World, wrapping: Any) -> None:
    class State(MessagesState):
        seen: str

    @tool
    def move(
        to: str,
        state: Annotated[dict[str, Any], InjectedState],
        tool_call_id: Annotated[str, InjectedToolCallId],
        config: RunnableConfig,
    ) -> Command[Any]:
        """Move."""
        world.done.append(f"move {to} {len(state['messages'])} {bool(idempotency_key(config))}")
        message = ToolMessage("moved", tool_call_id=tool_call_id, name="move")
        return Command(update={"messages": [message], "seen": to})

    @tool(response_format="content_and_artifact")
    def show(what: str) -> tuple[str, dict[str, str]]:
        """Show."""
        return "shown", {"raw": what}

    world.tools = lambda: [move, show]  # type: ignore[method-assign]
    world.compiled(with_node(wrapping(world), State))

    state = world.run(asking(call("move", "1", to="b"), call("show", "2", what="c")))

    assert world.done == ["move b 1 True"]
    assert state["seen"] == "b"
    assert told(state) == {"1": "moved", "2": "shown"}
    (shown,) = [one for one in state["messages"] if getattr(one, "tool_call_id", "") == "2"]
    assert shown.artifact == {"raw": "c"}


def test_behind_a_review_node_the_turn_runs_when_all_of_it_is_settled(world: World) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("review", human_review(world.tools(), POLICY).compile())
    builder.add_node("tools", guarded_node(world))
    builder.add_edge(START, "review").add_edge("review", "tools").add_edge("tools", END)
    world.compiled(builder)

    world.run(asking(call("look", "1", what="a"), call("send", "2", to="b")))
    assert world.done == []
    world.decide("b")
    state = world.resume()

    assert sorted(world.done) == ["look a", "send b"]
    assert told(state)["2"] == "[approved by ana]\nsent to b"


@NODES
def test_a_foreign_driver_may_run_calls_side_by_side(
    world: World, node: Any, database_url: str
) -> None:
    """Compiled by others the graph finds the database by itself; attempts share one lease."""
    graph = with_node(node(world)).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": world.thread_id}}

    def run(graph_input: Any) -> Any:
        if world.in_async:
            return asyncio.run(graph.ainvoke(graph_input, config))
        return graph.invoke(graph_input, config)

    looks = [call("look", f"l{number}", what=str(number)) for number in range(8)]
    run(asking(*looks, call("send", "s", to="b")))
    assert world.waiting == ["b"]
    world.decide("b")
    state = run(None)

    assert sorted(world.done) == [*[f"look {number}" for number in range(8)], "send b"]
    assert told(state)["s"] == "[approved by ana]\nsent to b"


def agent_as_tool(world: World, *, declared: bool, policy: Policy = POLICY) -> BaseTool:
    inner = with_node(ToolNode(guard(world.tools(), policy))).compile()

    @tool
    def delegate(to: str) -> str:
        """Let another agent send."""
        world.done.append(f"delegate {to}")
        result = inner.invoke(asking(call("send", f"inner-{to}", to=to)))
        return str(result["messages"][-1].content)

    return contract(interrupts=True)(delegate) if declared else delegate


def test_an_agent_inside_a_tool_may_ask_and_its_tool_begins_anew(runtime: Runtime) -> None:
    world = World(runtime)
    policy = parse_policy(
        "version: 1\ntools:\n  delegate:\n    effect: write\n    rules:\n"
        "      - {id: ok, when: 'true', tier: auto_approve, reason: it asks by itself}\n"
    )
    delegate = agent_as_tool(world, declared=True)
    world.compiled(with_node(ToolNode(guard([delegate], policy))))

    world.run(asking(call("delegate", "outer", to="b")))
    assert world.waiting == ["b"]
    world.decide("b")
    state = world.resume()

    assert world.done == ["delegate b", "delegate b", "send b"]
    assert told(state)["outer"] == "[approved by ana]\nsent to b"
    assert world.kinds().count("suspended") == 1


def test_a_tool_that_does_not_say_so_may_not_stop_the_graph(runtime: Runtime) -> None:
    world = World(runtime)
    policy = parse_policy(
        "version: 1\ntools:\n  delegate:\n    effect: write\n    rules:\n"
        "      - {id: ok, when: 'true', tier: auto_approve, reason: it asks by itself}\n"
    )
    world.compiled(with_node(ToolNode(guard([agent_as_tool(world, declared=False)], policy))))

    state = world.run(asking(call("delegate", "outer", to="b")))

    assert "@contract(interrupts=True)" in told(state)["outer"]
    assert world.done == ["delegate b"]
