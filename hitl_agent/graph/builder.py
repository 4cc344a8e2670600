"""The graph of four nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Unpack
from weakref import WeakKeyDictionary

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph

from hitl_agent.errors import ConfigurationError
from hitl_agent.graph.assessment import Confidence, Objections
from hitl_agent.graph.executor import ExecutorNode
from hitl_agent.graph.gate import Gate, GateOptions, utc_now
from hitl_agent.graph.guard import refuse_guarded
from hitl_agent.graph.human_review import HumanReviewNode
from hitl_agent.graph.planner import Planner, PlannerNode
from hitl_agent.graph.risk_classifier import RiskClassifierNode
from hitl_agent.graph.state import AgentState, ReviewTask
from hitl_agent.policy import Policy


def build_graph(
    planner: Planner,
    tools: Sequence[BaseTool],
    policy: Policy | Path | str,
    *,
    confidence: Confidence | None = None,
    second_opinion: Objections | None = None,
    classifier_timeout: timedelta = timedelta(seconds=30),
    max_turns: int = 50,
    call_timeout: timedelta = timedelta(minutes=5),
    clock: Callable[[], datetime] = utc_now,
) -> StateGraph[AgentState, Any, Any, Any]:
    """Return the builder of an agent whose risky calls wait for a person.

    Compile it with `Runtime.compile`, or export it as it is for `langgraph.json`.

    Args:
        planner: proposes the calls.
        tools: what may be called; names are unique.
        policy: what may run by itself, or the YAML file that says so. A file is read anew when it
            changes; one that cannot be used leaves the policy before it in force, and is logged.
        confidence: says how confident the planner is of a call; what it raises or misstates puts
            the call before a person.
        second_opinion: says what speaks against a call; any objection, and any failure, puts the
            call before a person.
        classifier_timeout: an estimator or second opinion that takes longer has failed.
        max_turns: turns of the planner in one run, at least 1.
        call_timeout: after this time a call whose process vanished counts as in doubt, and a
            person is asked what became of it.
        clock: returns the time, with its zone.

    Raises:
        ConfigurationError: two tools share a name, or a limit is not positive, or too long.
        DocumentError: the policy is refused, or names an argument that a tool does not have.
    """
    if max_turns < 1:
        raise ConfigurationError("`max_turns` is positive")
    gate = Gate.of(
        tools,
        policy,
        confidence=confidence,
        second_opinion=second_opinion,
        classifier_timeout=classifier_timeout,
        call_timeout=call_timeout,
        clock=clock,
    )
    planning = PlannerNode(planner, gate, max_turns)
    builder = _reviewing(gate, done="executor")
    builder.add_node("planner", _Node(planning.run, planning.arun))
    _executing(builder, gate, done="planner")
    builder.add_edge(START, "planner")
    builder.add_conditional_edges("planner", _after_planning, ["risk_classifier", END])
    _gates[builder] = gate
    return builder


def review_graph(
    tools: Sequence[BaseTool], policy: Policy | Path | str, **options: Unpack[GateOptions]
) -> StateGraph[AgentState, Any, Any, Any]:
    """Return a builder whose graph answers the calls of the last message: in a `ToolNode`'s place.

    It judges every call, asks about those that are gated, and runs what is granted, once all of
    them are settled. Its state has `messages`; add it as a node, compiled:
    `builder.add_node("tools", review_graph(tools, policy).compile())`.

    Args:
        tools: what may be called; names are unique.
        policy: see `build_graph`.
        options: see `build_graph`.

    Raises:
        ConfigurationError: see `build_graph`.
        DocumentError: see `build_graph`.
    """
    gate = Gate.of(tools, policy, **options)
    builder = _reviewing(gate, done="executor")
    _executing(builder, gate, done=END)
    builder.add_edge(START, "risk_classifier")
    _gates[builder] = gate
    return builder


def human_review(
    tools: Sequence[BaseTool], policy: Policy | Path | str, **options: Unpack[GateOptions]
) -> StateGraph[AgentState, Any, Any, Any]:
    """Return a builder whose graph judges the calls of the last message and asks about them.

    It ends when every call is settled, and runs none: the tools behind it are guarded, under the
    same policy, see `guard`. Without it a guarded tool asks by itself, and calls of one turn that
    need nobody run meanwhile.

    Args:
        tools: what may be called; names are unique.
        policy: see `build_graph`.
        options: see `build_graph`.

    Raises:
        ConfigurationError: see `build_graph`.
        DocumentError: see `build_graph`.
    """
    gate = Gate.of(tools, policy, **options)
    builder = _reviewing(gate, done=END)
    builder.add_edge(START, "risk_classifier")
    builder.add_edge("human_review", "risk_classifier")
    _gates[builder] = gate
    return builder


def _reviewing(gate: Gate, *, done: str) -> StateGraph[AgentState, Any, Any, Any]:
    """Return a builder with the classifier and the review; settled calls go to `done`."""
    builder: StateGraph[AgentState, Any, Any, Any] = StateGraph(AgentState)
    builder.add_node(
        "risk_classifier",
        RiskClassifierNode(gate, done).run,
        destinations=("human_review", done),
    )
    builder.add_node("human_review", HumanReviewNode(gate).run, input_schema=ReviewTask)
    return builder


def _executing(builder: StateGraph[AgentState, Any, Any, Any], gate: Gate, *, done: str) -> None:
    """Add the executor; with every call answered it goes to `done`."""
    refuse_guarded(gate.tools)
    executing = ExecutorNode(gate, done)
    builder.add_node(
        "executor",
        _Node(executing.run, executing.arun),
        destinations=(done, "risk_classifier"),
    )
    # the executor sends what is still open back to the classifier, so that a turn whose calls are
    # all settled costs no step more
    builder.add_edge("human_review", "executor")


_gates: WeakKeyDictionary[StateGraph[Any, Any, Any, Any], Gate] = WeakKeyDictionary()


def gate_of(graph: object) -> Gate | None:
    """Return the gate of a graph, compiled or not; None if it was not made here."""
    builder = getattr(graph, "builder", graph)
    return _gates.get(builder) if isinstance(builder, StateGraph) else None


class _Node(Runnable[AgentState, Any]):
    """A node with a sync and an async way, and nothing in between."""

    def __init__(self, run: Callable[..., Any], arun: Callable[..., Awaitable[Any]]) -> None:
        self._run = run
        self._arun = arun

    def invoke(
        self,
        input: AgentState,  # noqa: A002  LangChain's name
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> Any:
        """Run the node."""
        return self._run(input, config or {})

    async def ainvoke(
        self,
        input: AgentState,  # noqa: A002  LangChain's name
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> Any:
        """Run the node, awaiting what it awaits."""
        return await self._arun(input, config or {})


def _after_planning(state: AgentState) -> Literal["risk_classifier", "__end__"]:
    last = state["messages"][-1]
    called = isinstance(last, AIMessage) and (last.tool_calls or last.invalid_tool_calls)
    return "risk_classifier" if called else "__end__"
