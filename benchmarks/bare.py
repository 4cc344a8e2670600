"""The graph that people write without us: four nodes, one interrupt, nothing else."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt


@tool
def refund(amount: float) -> str:
    """Pay money back."""
    return f"refunded {amount}"


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


def proposal() -> AIMessage:
    call = {"type": "tool_call", "name": "refund", "args": {"amount": 80.0}, "id": "c1"}
    return AIMessage("", tool_calls=[call])


def planner(state: State) -> dict[str, Any]:
    answered = isinstance(state["messages"][-1], ToolMessage)
    return {"messages": [AIMessage("done") if answered else proposal()]}


def risk_classifier(state: State) -> Command[Any]:
    return Command(goto=[Send("human_review", state["messages"][-1].tool_calls[0])])


def human_review(call: dict[str, Any]) -> Command[Any]:
    request = {"name": call["name"], "args": call["args"], "description": "above the limit"}
    config = {"action_name": call["name"], "allowed_decisions": ["approve", "reject"]}
    interrupt({"action_requests": [request], "review_configs": [config]})
    return Command(goto="executor")


def executor(state: State) -> dict[str, Any]:
    calls = next(m for m in reversed(state["messages"]) if isinstance(m, AIMessage)).tool_calls
    return {"messages": [refund.invoke(call) for call in calls]}


def bare_graph() -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(State)
    builder.add_node("planner", planner)
    builder.add_node("risk_classifier", risk_classifier, destinations=("human_review",))
    builder.add_node("human_review", human_review, destinations=("executor",))
    builder.add_node("executor", executor)
    builder.add_edge(START, "planner")
    builder.add_conditional_edges(
        "planner",
        lambda state: "risk_classifier" if state["messages"][-1].tool_calls else END,
        ["risk_classifier", END],
    )
    builder.add_edge("executor", "planner")
    return builder
