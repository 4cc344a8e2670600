"""One agent behind each face: the same scripted model, tools and policy, gated in another way.

    agent = agent_of(face, runtime, [call("send", "a", to="x")])

builds an agent whose model says the given turns, one after the other, then "done". `build` does the
same for tools, policy and options of one's own; `stock_agent` is LangChain's agent without us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from hitl_agent import (
    ChatModelPlanner,
    HitlMiddleware,
    Runtime,
    ToolGuard,
    build_graph,
    guard,
    review_graph,
)
from hitl_agent.errors import CallBusy
from hitl_agent.policy import Policy, parse_policy
from hitl_agent.review import ReviewRequest
from hitl_agent.runtime import Graph
from tests.support.flows import POLICY, Clock, Desk, tools_noting

Turn = Sequence[dict[str, Any]] | AIMessage
"""What the model says: calls, see `tests.support.flows.call`, or a whole message."""


class Scripted(BaseChatModel):
    """A chat model that says its turns, counted by what it has said in the messages, then "done".

    It remembers nothing, so that it says the same in a replay.
    """

    turns: tuple[Any, ...]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        said = sum(isinstance(one, AIMessage) for one in messages)
        turn = self.turns[said] if said < len(self.turns) else AIMessage("done")
        if not isinstance(turn, AIMessage):
            turn = AIMessage("because", tool_calls=[*turn])
        return ChatResult(generations=[ChatGeneration(message=turn.model_copy(deep=True))])


def _graph(
    model: BaseChatModel, tools: Sequence[BaseTool], policy: Policy, **options: Any
) -> StateGraph[Any, Any, Any, Any]:
    return build_graph(ChatModelPlanner(model), tools, policy, **options)


def _middleware(
    model: BaseChatModel, tools: Sequence[BaseTool], policy: Any, **options: Any
) -> Any:
    before, behind = options.pop("before", ()), options.pop("behind", ())
    gate = HitlMiddleware(policy, **options)
    return create_agent(model, [*tools], middleware=[*before, gate, *behind])


def _own(model: BaseChatModel, tools: Any) -> StateGraph[Any, Any, Any, Any]:
    """A graph as people write it themselves, around a node of tools."""

    def speak(state: MessagesState) -> dict[str, list[AnyMessage]]:
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", speak)
    builder.add_node("tools", tools)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder


def _guard(
    model: BaseChatModel, tools: Sequence[BaseTool], policy: Policy, **options: Any
) -> StateGraph[Any, Any, Any, Any]:
    return _own(model, ToolNode(guard(tools, policy, **options)))


def _tool_guard(
    model: BaseChatModel, tools: Sequence[BaseTool], policy: Policy, **options: Any
) -> StateGraph[Any, Any, Any, Any]:
    one = ToolGuard(policy, **options)
    wrappers: Any = {"wrap_tool_call": one.wrap_tool_call, "awrap_tool_call": one.awrap_tool_call}
    return _own(model, ToolNode(tools, **wrappers))


def _review_graph(
    model: BaseChatModel, tools: Sequence[BaseTool], policy: Policy, **options: Any
) -> StateGraph[Any, Any, Any, Any]:
    return _own(model, review_graph(tools, policy, **options).compile())


def _functional(
    model: BaseChatModel, tools: Sequence[BaseTool], policy: Policy, **options: Any
) -> Any:
    guarded = {one.name: one for one in guard(tools, policy, **options)}

    @task
    def use(call: dict[str, Any]) -> AnyMessage:
        if call["name"] not in guarded:
            return ToolMessage("there is no such tool", tool_call_id=call["id"], status="error")
        return guarded[call["name"]].invoke(call)

    @entrypoint()
    def agent(given: dict[str, list[AnyMessage]]) -> dict[str, list[AnyMessage]]:
        messages = [*given["messages"]]
        while calls := (said := model.invoke(messages)).tool_calls:
            done = [use(call) for call in calls]
            messages += [said, *(one.result() for one in done)]
        return {"messages": [*messages, said]}

    return agent


_FACES: Mapping[str, Callable[..., Any]] = {
    "graph": _graph,
    "middleware": _middleware,
    "guard": _guard,
    "tool_guard": _tool_guard,
    "review_graph": _review_graph,
    "functional": _functional,
}

FACES = tuple(_FACES)
"""Every face: `guard` and `tool_guard` are the two ways to gate a `ToolNode`."""

STATEFUL = FACES[:-1]
"""Those whose messages stand in a state that `update_state` can write."""

MODEL = dict.fromkeys(FACES, "model") | {"graph": "planner"}
"""The node in which the model speaks."""

TOOLS = dict.fromkeys(FACES, "tools") | {"graph": "executor"}
"""The node in which the tools run."""


def build(
    face: str,
    tools: Sequence[BaseTool],
    policy: Any,
    turns: Sequence[Turn],
    runtime: Runtime,
    **options: Any,
) -> Graph:
    """Return an agent behind a face, compiled over the runtime's database.

    Args:
        face: one of `FACES`.
        tools: what may be called.
        policy: what the face takes.
        turns: what the model says.
        runtime: where it runs.
        options: as of `build_graph`; of `middleware` also `before` and `behind`, the middlewares
            before and behind ours.
    """
    made = _FACES[face](Scripted(turns=tuple(turns)), tools, policy, **options)
    return runtime.compile(made, name="desk")


@dataclass
class Agent(Desk):
    """A desk behind a face."""

    face: str = "graph"

    def drive(self, graph_input: Any, config: Any = None) -> Any:
        return self.graph.invoke(graph_input, config or self.config)

    @property
    def interrupts(self) -> dict[str, str]:
        """LangGraph's ids of what it says waits, by the question."""
        found = self.graph.get_state(self.config).interrupts
        return {one.value["request_id"]: one.id for one in found}

    @property
    def interrupt_id(self) -> str:
        """LangGraph's id of the one interrupt."""
        (found,) = self.interrupts.values()
        return found

    def settle(self, decide: Callable[[ReviewRequest], dict[str, Any]] | str) -> None:
        """Decide what waits and resume until the thread is done."""
        for _ in range(10):
            for request in self.waiting:
                answer = {"type": decide} if isinstance(decide, str) else decide(request)
                self.runtime.decide(request, answer, reviewer="ana")
            if self.status == "done":
                return
            with suppress(CallBusy):  # two calls of one id that run side by side
                self.resume()
        raise AssertionError("the thread does not come to its end")

    def ran(self, *wanted: tuple[str, Any]) -> None:
        """Assert what was run, that each had a grant of its own, and that the record says so."""
        assert sorted(self.done) == sorted(wanted)
        kinds: dict[str, list[str]] = {}
        for one in self.runtime.history(self.thread_id):
            if call_id := one.get("call_id"):
                kinds.setdefault(call_id, []).append(one["kind"])
        started = [call_id for call_id, found in kinds.items() if "started" in found]
        assert len(started) == len(wanted), "one attempt for each effect"
        for call_id in started:
            assert kinds[call_id].count("started") == 1
            assert "grant" in kinds[call_id][: kinds[call_id].index("started")]


def agent_of(
    face: str,
    runtime: Runtime,
    *turns: Turn,
    policy: Any = POLICY,
    tools: Callable[[list[tuple[str, Any]]], list[BaseTool]] = tools_noting,
    clock: Clock | None = None,
    **options: Any,
) -> Agent:
    """Return an agent that follows the turns; its tools note what they do in `done`."""
    done: list[tuple[str, Any]] = []
    clock = clock or Clock()
    runtime = Runtime(runtime.database, clock=clock)
    policy = parse_policy(policy) if isinstance(policy, str) else policy
    graph = build(face, tools(done), policy, turns, runtime, clock=clock, **options)
    return Agent(runtime, graph, clock, done, face=face)


@dataclass
class Stock:
    """LangChain's own agent, its thread in memory."""

    graph: Any
    done: list[tuple[str, Any]]

    config = {"configurable": {"thread_id": "1"}}  # noqa: RUF012  never changed

    def start(self) -> Any:
        return self.drive({"messages": [("user", "do it")]})

    def drive(self, graph_input: Any, config: Any = None) -> Any:
        return self.graph.invoke(graph_input, config or self.config)


def stock_agent(
    *turns: Turn,
    middleware: Sequence[AgentMiddleware[Any, Any, Any]],
    tools: Callable[[list[tuple[str, Any]]], list[BaseTool]] = tools_noting,
) -> Stock:
    """Return what LangChain makes of the turns and the same tools, without us."""
    done: list[tuple[str, Any]] = []
    model = Scripted(turns=turns)
    agent = create_agent(model, tools(done), middleware=middleware, checkpointer=InMemorySaver())
    return Stock(agent, done)
