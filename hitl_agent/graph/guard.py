"""Guarding tools: whoever calls one, the call is judged, asked about and granted first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from hitl_agent.calls import ToolCall, check_call, clean_json, clean_text, digest
from hitl_agent.errors import (
    CallRefused,
    ConfigurationError,
    ExecutionError,
    InvalidCall,
)
from hitl_agent.execution import Answered, Finished, Judge, Refused, Review
from hitl_agent.graph.answers import answer, own_form
from hitl_agent.graph.asking import ask, pass_answered
from hitl_agent.graph.assessment import Objections
from hitl_agent.graph.gate import Gate, GateOptions
from hitl_agent.graph.once import Once
from hitl_agent.graph.outcome import restored
from hitl_agent.graph.runner import Runner, Told
from hitl_agent.graph.siblings import together
from hitl_agent.graph.stand_in import Arguments, arguments_of, before, in_place_of
from hitl_agent.graph.state import PlannedCall, claim_of
from hitl_agent.graph.tool_call import Callee
from hitl_agent.graph.tool_contract import CALL, task_of_run
from hitl_agent.policy import Policy

MALFORMED = "malformed"
"""What stands in the place of a call's arguments that could not be admitted: what is wrong."""

Answer = ToolMessage | Command[Any] | list[Any]
"""What a node of tools is given for a call."""

Handler = Callable[[ToolCallRequest], Any]
AsyncHandler = Callable[[ToolCallRequest], Awaitable[Any]]


def guard(
    tools: Sequence[BaseTool], policy: Policy | Path | str, **options: Unpack[GateOptions]
) -> list[BaseTool]:
    """Return the tools with a gate before each, for a graph of one's own.

    They are called as before: by a `ToolNode`, in a node, a subgraph, a `Send` task, a function of
    the functional API. A call that is gated stops the task with `interrupt()`; when it is resumed
    the task runs again, and calls that ran return what they returned. A call that is refused
    answers with a `ToolMessage` that says so; called without a call id it raises `CallRefused`.

    A call without an id is known by its task, tool and arguments: made twice in one task it is one
    call. Each `@task` and each `Send` is a task of its own.

    Args:
        tools: what may be called; names are unique.
        policy: what may run by itself, see `build_graph`.
        options: see `build_graph`.

    Raises:
        ConfigurationError: see `build_graph`.
        DocumentError: see `build_graph`.
    """
    refuse_guarded(tools)
    gate = Gate.of(tools, policy, **options)
    return [in_place_of(tool, _Gated(gate, tool)) for tool in tools]


def refuse_guarded(tools: Sequence[BaseTool]) -> None:
    """Refuse tools that have a gate of their own: each of two waits for the other to run the call.

    Raises:
        ConfigurationError: there is one.
    """
    for tool in tools:
        if is_guarded(tool):
            raise ConfigurationError(
                f"the tool `{tool.name}` is guarded already", hint="give the tool as it was before"
            )


def is_guarded(tool: BaseTool) -> bool:
    """Whether a tool has a gate of its own."""
    return isinstance(before(tool), _Gated)


class ToolGuard:
    """A gate before every call of a `ToolNode`, whatever its tools are.

    `ToolNode(tools, wrap_tool_call=guard.wrap_tool_call, awrap_tool_call=guard.awrap_tool_call)`.

    Args:
        policy: what may run by itself, see `build_graph`.
        options: see `build_graph`.

    Raises:
        ConfigurationError: see `build_graph`.
        DocumentError: see `build_graph`.
    """

    def __init__(self, policy: Policy | Path | str, **options: Unpack[GateOptions]) -> None:
        self._gate = Gate.of((), policy, **options)
        self._gates: dict[str, Gate] = {}

    def wrap_tool_call(self, request: ToolCallRequest, handler: Handler) -> Answer:
        """Let a call through to `handler` when it is granted."""
        return self.guarded(request, handler)

    async def awrap_tool_call(self, request: ToolCallRequest, handler: AsyncHandler) -> Answer:
        """Let a call through to `handler` when it is granted, awaiting it."""
        return await self.aguarded(request, handler)

    def guarded(
        self, request: ToolCallRequest, handler: Handler, objections: Objections | None = None
    ) -> Answer:
        """Let a call through like `wrap_tool_call`.

        Args:
            request: LangGraph's.
            handler: runs the tool.
            objections: asked of the call beside the second opinion, when it is judged.
        """
        gate = self._knowing(request.tool, objections)
        guarded = _Handled(gate, request, handler, partial(self._knowing, objections=objections))
        planned = guarded.planned
        if isinstance(planned, ToolMessage):
            return planned
        return _as_answer(_run(gate, request.runtime.config, planned, guarded, guarded.messages))

    async def aguarded(
        self, request: ToolCallRequest, handler: AsyncHandler, objections: Objections | None = None
    ) -> Answer:
        """Let a call through like `guarded`, awaiting the tool."""
        gate = self._knowing(request.tool, objections)
        guarded = _Handled(gate, request, handler, partial(self._knowing, objections=objections))
        planned = guarded.planned
        if isinstance(planned, ToolMessage):
            return planned
        config = request.runtime.config
        return _as_answer(await _arun(gate, config, planned, guarded, guarded.messages))

    def _knowing(self, tool: BaseTool | None, objections: Objections | None) -> Gate:
        """Return a gate that knows the tool; a call of one that is not there is refused."""
        if tool is None:
            return self._gate
        gate = self._gates.get(tool.name)
        if gate is None or gate.tools[0] is not tool:
            refuse_guarded([tool])
            gate = self._gates[tool.name] = self._gate.knowing(tool)
        if objections is None:
            return gate
        return replace(gate, assessor=gate.assessor.asking(objections))


def _run(
    gate: Gate,
    config: RunnableConfig,
    planned: PlannedCall,
    callee: Callee,
    messages: Sequence[BaseMessage] = (),
) -> Told:
    """Bring one call to its end; while a person has to decide, the task stops."""
    runner = Runner(gate, config, gate.database(config), {planned.call.tool: callee})
    while True:
        if not _asked(gate, config, planned, messages) and (told := runner.run([planned])):
            return told[0]


async def _arun(
    gate: Gate,
    config: RunnableConfig,
    planned: PlannedCall,
    callee: Callee,
    messages: Sequence[BaseMessage] = (),
) -> Told:
    """Bring one call to its end like `_run`, awaiting the tool."""
    database = await asyncio.to_thread(gate.database, config)
    runner = Runner(gate, config, database, {planned.call.tool: callee})
    async with together(task_of_run(config) or ""):
        while True:
            if await asyncio.to_thread(_asked, gate, config, planned, messages):
                continue
            if told := await runner.arun([planned]):
                return told[0]


def _asked(
    gate: Gate, config: RunnableConfig, planned: PlannedCall, messages: Sequence[BaseMessage]
) -> bool:
    """Judge a call and ask about it if a person decides; whether it has to be looked at again."""
    (course,) = gate.settle(gate.turn(config, messages), [planned])
    if not isinstance(course, Review):
        judged = None if isinstance(course, Judge) else course.judged
        if judged and (judged.request_id or judged.revision > 1):  # it was asked about
            pass_answered(gate, config, planned.call.call_id)
        return False
    ask(gate, config, planned.call.call_id)
    return True


class _Handled:
    """A call in a `ToolNode`, with what runs it: other wrappers, and the tool behind them.

    Args:
        gate: knows the tool, if there is one.
        request: LangGraph's.
        handler: runs the tool.
        knowing: returns a gate that knows another tool.
    """

    def __init__(
        self,
        gate: Gate,
        request: ToolCallRequest,
        handler: Callable[..., Any],
        knowing: Callable[[BaseTool], Gate],
    ) -> None:
        self._knowing = knowing
        self._schema = gate.schemas.get(request.tool_call["name"], {})
        self._request = request
        self._handler = handler
        self.messages = _messages(request.state)

    @property
    def planned(self) -> PlannedCall | ToolMessage:
        """The call, or the answer to one that cannot be judged as it stands."""
        asked = self._request.tool_call
        call = ToolCall(asked.get("id") or "", asked["name"], asked["args"])
        try:
            call = _checked(call)
        except InvalidCall as error:
            text = f"refused, the call was not run: {error}"
            call_id, name = clean_text(call.call_id), clean_text(call.tool)
            return ToolMessage(text, name=name, tool_call_id=call_id, status="error")
        malformed = None
        if MALFORMED in call.args and MALFORMED not in self._schema.get("properties", {}):
            malformed = str(call.args[MALFORMED])
        return PlannedCall(call, malformed, claim_of(self.messages, call))

    def invoke(self, input: Any, config: RunnableConfig) -> Any:  # noqa: A002  LangChain's name
        """Run the handler on what was granted."""
        once, request = self._granted(input, config)
        return once.believed(self._handler(request))

    async def ainvoke(self, input: Any, config: RunnableConfig) -> Any:  # noqa: A002
        """Run the handler on what was granted, awaiting it."""
        once, request = self._granted(input, config)
        return once.believed(await self._handler(request))

    def _granted(
        self, granted: Mapping[str, Any], config: RunnableConfig
    ) -> tuple[Once, ToolCallRequest]:
        tool = self._request.tool
        assert tool is not None  # noqa: S101  a call of no tool is refused
        once = Once(tool, self._schema, granted["args"], config["configurable"][CALL])
        changed: Any = {
            "tool": in_place_of(tool, once),
            "tool_call": {**self._request.tool_call, "args": granted["args"]},
            # what else the tool, or a wrapper before it, may find to call
            "runtime": replace(self._request.runtime, tools=self._others()),
        }
        return once, self._request.override(**changed)

    def _others(self) -> list[BaseTool]:
        return [
            one if is_guarded(one) else in_place_of(one, _Gated(self._knowing(one), one))
            for one in self._request.runtime.tools
        ]


class _Granted:
    """A guarded tool, called with what was granted and with what no planner gives.

    Args:
        tool: as it was before it was guarded.
        injected: arguments that no planner gives.
        how: with what it was called beside its arguments.
    """

    def __init__(self, tool: BaseTool, injected: Arguments, how: Arguments) -> None:
        self.tool = tool
        self._injected = injected
        self._how = how

    def invoke(self, input: Any, config: RunnableConfig) -> Any:  # noqa: A002  LangChain's name
        """Run the tool."""
        given = {**input["args"], **self._injected}
        return self.tool.run(given, **{**self._how, "config": config})

    async def ainvoke(self, input: Any, config: RunnableConfig) -> Any:  # noqa: A002
        """Run the tool, awaiting it."""
        given = {**input["args"], **self._injected}
        return await self.tool.arun(given, **{**self._how, "config": config})


class _Gated:
    """A gate, in the place of a tool.

    Args:
        gate: knows the tool.
        tool: as it was before it was guarded.
    """

    def __init__(self, gate: Gate, tool: BaseTool) -> None:
        self._gate = gate
        self._tool = tool

    def run(self, given: Any, how: Arguments) -> Any:
        """Run the tool when its call is granted."""
        config, call, injected = self._call(given, how)
        told = _run(self._gate, config, call, _Granted(self._tool, injected, how))
        return _as_answer(told) if how.get("tool_call_id") else _as_value(told)

    async def arun(self, given: Any, how: Arguments) -> Any:
        """Run the tool when its call is granted, awaiting it."""
        config, call, injected = self._call(given, how)
        told = await _arun(self._gate, config, call, _Granted(self._tool, injected, how))
        return _as_answer(told) if how.get("tool_call_id") else _as_value(told)

    def _call(self, given: Any, how: Arguments) -> tuple[RunnableConfig, PlannedCall, Arguments]:
        """Return the task's config, the call, and the arguments that no planner gives.

        Raises:
            ConfigurationError: the tool is not called inside a graph.
            CallRefused: the call cannot be judged as it stands.
        """
        name = self._tool.name
        running: RunnableConfig = {}
        with suppress(RuntimeError):
            running = get_config()
        if (task := task_of_run(running)) is None:
            raise ConfigurationError(
                f"the guarded tool `{name}` was called outside of a graph",
                hint="call it in a node or a task: a gate has to be able to stop it",
            )
        args, injected = arguments_of(self._tool, self._gate.schemas[name], given)
        try:
            call_id = how.get("tool_call_id") or _task_call_id(task, name, args)
            planned = PlannedCall(_checked(ToolCall(call_id, name, args)), None, "")
        except InvalidCall as error:
            raise CallRefused(f"the call of `{name}` was not run: {error}") from error
        return merge_configs(how.get("config"), running), planned, injected


def _checked(call: ToolCall) -> ToolCall:
    """Return a call in plain types: a tuple is a list, a kind of text is text.

    Raises:
        InvalidCall: it cannot be judged, shown and hashed as it stands.
    """
    check_call(call)
    return replace(call, args=clean_json(call.args))


def _task_call_id(task: str, name: str, args: Arguments) -> str:
    return f"task_{digest({'args': args, 'task': task, 'tool': name}).removeprefix('sha256:')[:32]}"


def _as_answer(told: Told) -> Answer:
    """Return what a node of tools is given: a message in the tool's own form, or its `Command`."""
    message = own_form(answer(told), told)
    return restored(told.judged.result, message) if isinstance(told, Finished) else message


def _as_value(told: Told) -> Any:
    """Return what the tool returned, as a checkpoint can hold it, or a reviewer's answer.

    Raises:
        CallRefused: policy or a reviewer has refused the call.
        ExecutionError: the tool has failed.
    """
    if isinstance(told, Refused):
        raise CallRefused(answer(told).text)
    if isinstance(told, Answered):
        return told.judged.message
    result = told.judged.result or {}
    if result.get("status") == "error":
        raise ExecutionError(str(result.get("content")))
    return result.get("value", result.get("content"))


def _messages(state: Any) -> list[BaseMessage]:
    found = state if isinstance(state, list) else None
    if found is None:
        get = state.get if isinstance(state, Mapping) else partial(getattr, state)
        found = get("messages", None)
    return [one for one in found or () if isinstance(one, BaseMessage)]
