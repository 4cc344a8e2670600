"""The planner node, and what it lets into the state."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall as MessageToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import TypeAdapter, ValidationError

from hitl_agent.calls import MAX_NAME, ToolCall, check_call, clean_json, clean_text
from hitl_agent.errors import InvalidCall, PlannerError
from hitl_agent.graph.gate import Gate, thread_of
from hitl_agent.graph.state import AgentState, pending_calls, this_run
from hitl_agent.storage import reviews
from hitl_agent.storage.checkpoints import lease_of

_EXCERPT = 2000
"""Characters of malformed arguments that are kept."""

_CALL_BLOCKS = ("tool_use", "tool_call", "function_call", "tool_call_chunk", "invalid_tool_call")

_USAGE = TypeAdapter[UsageMetadata | None](UsageMetadata | None)


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
        gate: knows the tools, the clock and the database.
        max_turns: turns of one run; then the run ends with a message that says so.
    """

    def __init__(self, planner: Planner, gate: Gate, max_turns: int) -> None:
        self._planner = planner
        self._gate = gate
        self._max_turns = max_turns

    def run(self, state: AgentState, config: RunnableConfig) -> dict[str, Any]:
        """Plan the next turn."""
        self._leave_behind(state, config)
        if ended := self._over(state):
            return ended
        return _update(state, self._planner.plan(state, self._gate.tools, config))

    async def arun(self, state: AgentState, config: RunnableConfig) -> dict[str, Any]:
        """Plan the next turn, awaiting the model."""
        await asyncio.to_thread(self._leave_behind, state, config)
        if ended := self._over(state):
            return ended
        return _update(state, await self._planner.aplan(state, self._gate.tools, config))

    def _leave_behind(self, state: AgentState, config: RunnableConfig) -> None:
        """Withdraw the questions about calls that a new message has overtaken."""
        if left := [one.call.call_id for one in pending_calls(state["messages"])]:
            database = self._gate.database(config)
            now, lease = self._gate.clock(), lease_of(config)
            reviews.withdraw(database, thread_of(config), left, now, lease=lease)

    def _over(self, state: AgentState) -> dict[str, Any] | None:
        turns = sum(isinstance(one, AIMessage) for one in this_run(state["messages"]))
        if turns < self._max_turns:
            return None
        text = f"stopped: the limit of {self._max_turns} turns is reached"
        return {"messages": [AIMessage(text, additional_kwargs={"outcome": "failed"})]}


def _update(state: AgentState, message: AIMessage) -> dict[str, Any]:
    return {"messages": [admit(message, state["messages"])]}


def admit(message: AIMessage, earlier: Sequence[BaseMessage]) -> AIMessage:
    """Return the message as it may enter the state: a plain `AIMessage` that a checkpoint can hold.

    Text that no checkpoint can hold is replaced. A call that cannot be judged, shown and hashed as
    it stands becomes an invalid call, which is answered with its error and never run. A call id
    that is missing, too long or was used before in the thread is replaced: attempts are kept by
    call id. So is the id of a message that is there already: LangGraph would put the new one in
    its place, and the thread would forget what was said.

    Args:
        message: the planner's.
        earlier: the thread's messages before it.

    Raises:
        PlannerError: it is no `AIMessage`.
    """
    if not isinstance(message, AIMessage):
        raise PlannerError(f"the planner returned `{type(message).__name__}`, no `AIMessage`")
    used = _used_ids(earlier)
    calls: list[MessageToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in message.tool_calls:
        name, args = call.get("name"), call.get("args")
        call_id = _fresh_id(call.get("id"), used)
        if problem := _problem(call_id, name, args):
            invalid.append(_invalid(call_id, name, args, problem))
        else:
            plain = json.loads(json.dumps(args))  # a tuple is a list, a kind of text is text
            calls.append(MessageToolCall(type="tool_call", id=call_id, name=name, args=plain))
    for bad in message.invalid_tool_calls:
        call_id = _fresh_id(bad.get("id"), used)
        invalid.append(_invalid(call_id, bad.get("name"), bad.get("args"), bad.get("error")))
    given = [call.get("id") for call in (*message.tool_calls, *message.invalid_tool_calls)]
    same_ids = all(one["id"] in given for one in (*calls, *invalid))
    return AIMessage(
        _content(message.content, with_calls=same_ids),
        additional_kwargs=_object(message.additional_kwargs, but="tool_calls"),
        response_metadata=_object(message.response_metadata),
        usage_metadata=_usage(message.usage_metadata),
        name=_text(message.name) if message.name else None,
        id=_message_id(message.id, earlier),
        tool_calls=calls,
        invalid_tool_calls=invalid,
    )


def _used_ids(messages: Sequence[BaseMessage]) -> set[str]:
    used: set[str] = set()
    for one in messages:
        if isinstance(one, ToolMessage):
            used.add(one.tool_call_id)
        elif isinstance(one, AIMessage):
            used.update(call["id"] or "" for call in (*one.tool_calls, *one.invalid_tool_calls))
    return used


def _fresh_id(given: object, used: set[str]) -> str:
    call_id = given if isinstance(given, str) else ""
    if not 0 < len(call_id) <= MAX_NAME or clean_text(call_id) != call_id or call_id in used:
        call_id = f"call_{uuid.uuid4().hex}"
    used.add(call_id)
    return call_id


def _message_id(given: object, earlier: Sequence[BaseMessage]) -> str | None:
    """Return the id, or None for LangGraph to give it one."""
    message_id = clean_text(given) if isinstance(given, str) else None
    return None if any(one.id == message_id for one in earlier) else message_id


def _problem(call_id: str, name: object, args: object) -> str | None:
    if not isinstance(name, str) or not isinstance(args, dict):
        return "a call is a tool's name and a JSON object of arguments"
    try:
        check_call(ToolCall(call_id, name, args))
    except InvalidCall as error:
        return str(error)
    return None


def _invalid(call_id: str, name: object, args: object, error: object) -> InvalidToolCall:
    return InvalidToolCall(
        type="invalid_tool_call",
        id=call_id,
        name=_text(name or "unknown")[:MAX_NAME],
        args=_text("" if args is None else args)[:_EXCERPT],
        error=_text(error or "the arguments are no JSON object")[:_EXCERPT],
    )


def _content(content: Any, *, with_calls: bool) -> str | list[str | dict[Any, Any]]:
    """Return the text and the blocks.

    Some providers repeat the calls among the blocks. Where ours differ those are left out: the
    providers' clients write them again from the calls.
    """
    if not isinstance(content, list):
        return _text(content or "")
    return [
        _object(one) if isinstance(one, dict) else _text(one)
        for one in content
        if with_calls or not isinstance(one, dict) or one.get("type") not in _CALL_BLOCKS
    ]


def _object(value: Any, *, but: str = "") -> dict[str, Any]:
    """Return an object of plain JSON.

    Args:
        value: the object.
        but: a key that is left out: from a raw copy LangChain reads calls anew when it loads it.
    """
    if not isinstance(value, dict):
        return {}
    return {_text(key): clean_json(item) for key, item in value.items() if key != but}


def _usage(usage: Any) -> UsageMetadata | None:
    """Return the token counts if they are any."""
    try:
        read = _USAGE.validate_python(usage, strict=True)
    except ValidationError:
        return None
    return read if clean_json(read) == read else None


def _text(value: object) -> str:
    """Return a value of any kind as text: JSON where it can be."""
    clean = clean_json(value)
    return clean if isinstance(clean, str) else json.dumps(clean, ensure_ascii=False)
