"""Middleware for LangChain's `create_agent`: every call of its agents is gated."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.prebuilt.tool_node import ToolCallRequest

from hitl_agent.calls import ToolCall
from hitl_agent.errors import ConfigurationError
from hitl_agent.graph.assessment import Objections
from hitl_agent.graph.gate import GateOptions
from hitl_agent.graph.guard import MALFORMED, Answer, AsyncHandler, Handler, ToolGuard
from hitl_agent.graph.planner import admit
from hitl_agent.policy import Policy, parse_policy

try:
    from langchain.agents.middleware import AgentMiddleware, InterruptOnConfig
    from langchain.agents.middleware.types import ModelRequest, ModelResponse
except ImportError as error:
    raise ConfigurationError(
        f"LangChain's agents cannot be used: {error}", hint="install `hitl-agent[langchain]`"
    ) from error

InterruptOn = Mapping[str, bool | InterruptOnConfig]
"""What LangChain's `HumanInTheLoopMiddleware` takes: tools that wait, and how."""


class HitlMiddleware(AgentMiddleware[Any, Any, Any]):
    """Puts a gate before every tool of an agent made by LangChain's `create_agent`.

    The gate stands where a tool is called, so that a call gets past it on no way through the graph.
    Each call that is gated stops its own task, with an interrupt of its own; the others of the turn
    go on. What the model says is admitted first: a call that no checkpoint can hold, or whose id
    was used before, does not reach the state as it is.

    Args:
        policy: what may run by itself, see `build_graph`; or the `interrupt_on` of LangChain's
            `HumanInTheLoopMiddleware`: tools that are named there wait, others run. `when` is asked
            once, when the call is judged; where it fails, the call waits.
        options: see `build_graph`.

    Raises:
        ConfigurationError: see `build_graph`, or `interrupt_on` is not what LangChain takes.
        DocumentError: see `build_graph`.
    """

    def __init__(
        self, policy: Policy | Path | str | InterruptOn, **options: Unpack[GateOptions]
    ) -> None:
        super().__init__()
        self._interrupt_on: InterruptOn = {}
        if isinstance(policy, Mapping):
            self._interrupt_on = policy
            policy = _as_policy(policy)
        self._guard = ToolGuard(policy, **options)

    def wrap_tool_call(self, request: ToolCallRequest, handler: Handler) -> Answer:  # type: ignore[override]
        """Let a call through when it is granted."""
        return self._guard.guarded(request, handler, self._objections(request))

    async def awrap_tool_call(self, request: ToolCallRequest, handler: AsyncHandler) -> Answer:  # type: ignore[override]
        """Let a call through when it is granted, awaiting it."""
        return await self._guard.aguarded(request, handler, self._objections(request))

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Admit what the model says."""
        return _admitted(handler(request), request.state)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Admit what the model says, awaiting it."""
        return _admitted(await handler(request), request.state)

    def _objections(self, request: ToolCallRequest) -> Objections | None:
        """Return what asks `interrupt_on` about a call, this one or another that it leads to."""

        def objections(call: ToolCall, _: Sequence[BaseMessage]) -> Sequence[str]:
            entry = self._interrupt_on.get(call.tool)
            if entry is None or isinstance(entry, bool):
                return ()
            asked: Any = {"name": call.tool, "args": dict(call.args), "id": call.call_id}
            about = request.override(tool_call={**request.tool_call, **asked})
            when, described = entry.get("when"), entry.get("description")
            if when is not None and not when(about):
                return ()
            if callable(described):  # LangChain's type is that of its own middleware's runtime
                return (str(described(about.tool_call, about.state, cast("Any", about.runtime))),)
            return (described or "`interrupt_on` wants a person to decide",)

        return objections if self._interrupt_on else None


def _as_policy(interrupt_on: InterruptOn) -> Policy:
    """Return the policy that says what an `interrupt_on` says; whether a call waits is asked apart.

    Raises:
        ConfigurationError: it is not what LangChain takes.
    """
    gated: list[str] = []
    tools: dict[str, Any] = {}
    for name, entry in interrupt_on.items():
        allowed = entry.get("allowed_decisions") if isinstance(entry, Mapping) else None
        if not (isinstance(entry, bool) or (allowed and isinstance(allowed, list | tuple))):
            raise ConfigurationError(
                f"`interrupt_on` of `{name}` is neither true, false, nor has `allowed_decisions`",
                hint="write for example {'allowed_decisions': ['approve', 'reject']}",
            )
        if not isinstance(entry, bool) and "when" in entry:
            tools[name] = _running(
                f"tool == {json.dumps(name)}", "`when` of `interrupt_on` decides"
            )
        elif entry:
            gated.append(name)
            tools[name] = {"effect": "write"}
        if allowed:
            tools[name]["allowed_decisions"] = list(allowed)
    named = f"!(tool in {json.dumps(list(tools))})"
    tools["*"] = _running(named, "`interrupt_on` does not stop it")
    document = {"version": 1, "always_gate": gated, "tools": tools}
    return parse_policy(json.dumps(document), file="interrupt_on")


def _running(when: str, reason: str) -> dict[str, Any]:
    rule = {"id": "interrupt-on", "when": when, "tier": "auto_approve", "reason": reason}
    return {"effect": "write", "rules": [rule]}


def _admitted(response: ModelResponse[Any], state: Any) -> ModelResponse[Any]:
    """Return what a model says as it may enter the state.

    A call that cannot be judged as it stands stays a call, with what is wrong in the place of its
    arguments: it is refused, and the model is told.
    """
    earlier = state.get("messages", []) if isinstance(state, Mapping) else []
    told = {one.tool_call_id for one in response.result if isinstance(one, ToolMessage)}
    result: list[BaseMessage] = []
    for message in response.result:
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        if not isinstance(message, AIMessage) or any(call["id"] in told for call in calls):
            result.append(message)  # structured output is answered already
            continue
        admitted = admit(message, earlier)
        malformed = [
            {
                "type": "tool_call",
                "id": one["id"],
                "name": one["name"],
                "args": {MALFORMED: one["error"]},
            }
            for one in admitted.invalid_tool_calls
        ]
        if malformed:
            changed = {"tool_calls": [*admitted.tool_calls, *malformed], "invalid_tool_calls": []}
            admitted = admitted.model_copy(update=changed)
        result.append(admitted)
    response.result = result
    return response
