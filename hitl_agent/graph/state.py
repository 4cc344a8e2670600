"""The graph's state, and how calls are read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph.message import add_messages

from hitl_agent.calls import ToolCall


class AgentState(TypedDict, total=False):
    """State of an agent, and its input: `{"messages": [...]}`.

    Attributes:
        messages: the conversation, as everywhere in LangGraph.
        runbook: the plan of a `RunbookPlanner` that has none of its own, as `Runbook.to_json`.
        model: the model of a `ChatModelPlanner` that has none of its own, such as `openai:gpt-5`.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    runbook: dict[str, Any]
    model: str


class ReviewTask(TypedDict):
    """What one review task is sent: which call. The question itself is in the database."""

    call_id: str


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of the last turn that has no `ToolMessage` yet.

    Attributes:
        call: the call.
        malformed: why it cannot be judged, or None.
        claim: what the planner said of it.
    """

    call: ToolCall
    malformed: str | None
    claim: str


def pending_calls(messages: Sequence[BaseMessage]) -> list[PlannedCall]:
    """Return the calls of the last turn that have no answer yet, in the planner's order.

    Of several with one id the first: an answer to it is the answer to all of them.
    """
    answered: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AIMessage):
            first: dict[str, PlannedCall] = {}
            for one in _calls(message):
                first.setdefault(one.call.call_id, one)
            return [one for call_id, one in first.items() if call_id not in answered]
    return []


def claim_of(messages: Sequence[BaseMessage], call: ToolCall) -> str:
    """Return what the planner said of a call, in the last message that makes it."""
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            for one in _calls(message):
                if one.call.call_id == call.call_id:
                    return one.claim
    return ""


def task_of(messages: Sequence[BaseMessage]) -> str:
    """Return what the agent was asked last."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return message.text
    return ""


def this_run(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """Return the messages since the agent was asked last."""
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], HumanMessage):
            return messages[index + 1 :]
    return messages


def _calls(message: AIMessage) -> list[PlannedCall]:
    reasons = message.additional_kwargs.get("reasons")
    if not isinstance(reasons, Mapping):
        reasons = {}
    calls = [
        PlannedCall(
            ToolCall(call["id"] or "", call["name"], call["args"]),
            None,
            str(reasons.get(call["id"], message.text)),
        )
        for call in message.tool_calls
    ]
    calls += [
        PlannedCall(
            ToolCall(bad["id"] or "", bad["name"] or "?", {"malformed": bad["args"] or ""}),
            bad["error"] or "the arguments are no JSON object",
            message.text,
        )
        for bad in message.invalid_tool_calls
    ]
    return calls
