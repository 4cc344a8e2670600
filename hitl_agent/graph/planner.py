"""The planner node, and what it lets into the state."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall
from langchain_core.messages.tool import ToolCall as MessageToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from hitl_agent.calls import MAX_NAME, ToolCall, check_call, clean_json, clean_text
from hitl_agent.errors import InvalidCall
from hitl_agent.graph.state import AgentState, this_run

_EXCERPT = 2000
"""Characters of malformed arguments that are kept."""


@runtime_checkable
class Planner(Protocol):
    """Proposes the next tool calls, or a final answer."""

    def plan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Return the next message; without tool calls it is the final one.

        Args:
            state: the conversation so far, and the planner's own keys.
            tools: what may be called.
            config: LangGraph's, for callbacks and streaming.

        Raises:
            PlannerError: there is no usable plan; the run fails and can be resumed.
        """
        ...

    async def aplan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Like `plan`, awaiting the model."""
        ...


class PlannerNode:
    """Asks the planner for the next turn and admits its message.

    Args:
        planner: who plans.
        tools: what it may call.
        max_turns: turns of one run; then the run ends with a message that says so.
    """

    def __init__(self, planner: Planner, tools: Sequence[BaseTool], max_turns: int) -> None:
        self._planner = planner
        self._tools = tools
        self._max_turns = max_turns

    def run(self, state: AgentState, config: RunnableConfig) -> dict[str, Any]:
        """Plan the next turn."""
        if ended := self._over(state):
            return ended
        return _update(state, self._planner.plan(state, self._tools, config))

    async def arun(self, state: AgentState, config: RunnableConfig) -> dict[str, Any]:
        """Plan the next turn, awaiting the model."""
        if ended := self._over(state):
            return ended
        return _update(state, await self._planner.aplan(state, self._tools, config))

    def _over(self, state: AgentState) -> dict[str, Any] | None:
        turns = sum(isinstance(one, AIMessage) for one in this_run(state["messages"]))
        if turns < self._max_turns:
            return None
        text = f"stopped: the limit of {self._max_turns} turns is reached"
        return {"messages": [AIMessage(text, additional_kwargs={"outcome": "failed"})]}


def _update(state: AgentState, message: AIMessage) -> dict[str, Any]:
    return {"messages": [admit(message, state["messages"])]}


def admit(message: AIMessage, earlier: Sequence[BaseMessage]) -> AIMessage:
    """Return the message as it may enter the state.

    Text that no checkpoint can hold is replaced. A call that cannot be judged, shown and hashed as
    it stands becomes an invalid call, which is answered with its error and never run. A call id
    that is missing, too long or was used before in the thread is replaced: attempts are kept by
    call id.

    Args:
        message: the planner's.
        earlier: the thread's messages before it.
    """
    used = {
        call["id"]
        for one in earlier
        if isinstance(one, AIMessage)
        for call in (*one.tool_calls, *one.invalid_tool_calls)
    }
    calls: list[MessageToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in message.tool_calls:
        call_id = _fresh_id(call["id"], used)
        try:
            check_call(ToolCall(call_id, call["name"], call["args"]))
        except InvalidCall as error:
            invalid.append(_invalid(call_id, call["name"], str(call["args"]), str(error)))
        else:
            calls.append({"type": "tool_call", **call, "id": call_id})
    for bad in message.invalid_tool_calls:
        call_id = _fresh_id(bad["id"], used)
        invalid.append(_invalid(call_id, bad["name"], bad["args"], bad["error"]))
    return message.model_copy(
        update={
            "content": clean_json(message.content),
            "additional_kwargs": clean_json(message.additional_kwargs),
            "response_metadata": clean_json(message.response_metadata),
            "tool_calls": calls,
            "invalid_tool_calls": invalid,
        }
    )


def _fresh_id(given: str | None, used: set[str | None]) -> str:
    call_id = given or ""
    if not 0 < len(call_id) <= MAX_NAME or clean_text(call_id) != call_id or call_id in used:
        call_id = f"call_{uuid.uuid4().hex}"
    used.add(call_id)
    return call_id


def _invalid(
    call_id: str, name: str | None, args: str | None, error: str | None
) -> InvalidToolCall:
    return InvalidToolCall(
        type="invalid_tool_call",
        id=call_id,
        name=clean_text(name or "unknown")[:MAX_NAME],
        args=clean_text(args or "")[:_EXCERPT],
        error=clean_text(error or "the arguments are no JSON object")[:_EXCERPT],
    )
