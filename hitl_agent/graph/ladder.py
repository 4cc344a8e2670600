"""A planner that asks a stronger one when it is not sure."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from hitl_agent.calls import ToolCall
from hitl_agent.errors import ConfigurationError
from hitl_agent.graph.confidence import GIVEN
from hitl_agent.graph.planner import Planner, admit
from hitl_agent.graph.state import AgentState, pending_calls
from hitl_agent.risk import Estimate, as_estimate

LADDER = "ladder"
"""Key of `additional_kwargs` under which a message says which rung planned it."""


class LadderPlanner:
    """Plans with the first planner, and with the next one where the confidence is too low.

    Unsure is a turn with a call whose confidence is below the limit, whose confidence is not
    known, whose estimator fails, or that is malformed: not knowing is no reason to be content
    with the cheapest. The last one is not asked how sure it is: its plan is the plan, and where it
    is not sure either the policy sends the call to a person. A message without calls asks for
    nothing to be run and is taken as it is. A planner that fails ends the turn: another one is no
    remedy for a service that is down.

    A message of which the ladder was part says so in `additional_kwargs["ladder"]`:
    `{"rung": 2, "before": [[0.4, null]]}` was planned by the second planner, because the first one
    planned two calls, one with confidence 0.4 and one that nobody knows anything about. Where
    tokens are streamed, those of the rungs before were streamed too.

    Args:
        planners: from the cheapest to the strongest, at least one.
        confidence: asked of every call of every rung but the last.
        below: the confidence that is too low ends here, in [0, 1].

    Raises:
        ConfigurationError: there are no planners, or `below` is out of range.
    """

    def __init__(
        self,
        planners: Sequence[Planner],
        confidence: Callable[[ToolCall, Sequence[BaseMessage]], Estimate | float | None],
        *,
        below: float,
    ) -> None:
        if not planners:
            raise ConfigurationError("a ladder has at least one planner")
        if math.isnan(below) or not 0 <= below <= 1:
            raise ConfigurationError("`below` is a number from 0 to 1")
        self._planners = tuple(planners)
        self._confidence = confidence
        self._below = below

    def plan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Return the first plan that is sure enough, or the last.

        Raises:
            PlannerError: a planner that was asked gives no usable plan.
        """
        before: list[list[float | None]] = []
        for planner in self._planners[:-1]:
            message = admit(planner.plan(state, tools, config), state["messages"])
            confidences = self._confidences(message, state)
            if self._sure(confidences):
                return _noted(message, before)
            before.append(confidences)
        message = self._planners[-1].plan(state, tools, config)
        return _noted(admit(message, state["messages"]), before)

    async def aplan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Like `plan`, awaiting the models."""
        before: list[list[float | None]] = []
        for planner in self._planners[:-1]:
            message = admit(await planner.aplan(state, tools, config), state["messages"])
            # in a thread: an estimator may ask a model, and does not await it
            confidences = await asyncio.to_thread(self._confidences, message, state)
            if self._sure(confidences):
                return _noted(message, before)
            before.append(confidences)
        message = await self._planners[-1].aplan(state, tools, config)
        return _noted(admit(message, state["messages"]), before)

    def _sure(self, confidences: Sequence[float | None]) -> bool:
        return all(one is not None and one >= self._below for one in confidences)

    def _confidences(self, message: AIMessage, state: AgentState) -> list[float | None]:
        """Return the confidence of each call, None where it is not known."""
        messages = [*state["messages"], message]
        return [
            None if one.malformed is not None else self._ask(one.call, messages)
            for one in pending_calls(messages)
        ]

    def _ask(self, call: ToolCall, messages: Sequence[BaseMessage]) -> float | None:
        try:
            estimate = as_estimate(self._confidence(call, messages), GIVEN)
        except Exception:  # noqa: BLE001  not known: the gate asks again, and tells
            return None
        return None if estimate is None else estimate.value


def _noted(message: AIMessage, before: list[list[float | None]]) -> AIMessage:
    """Return the message with the rung that it comes from, if there was anything to be sure of."""
    if not before and not message.tool_calls:
        return message
    note = {"rung": len(before) + 1, "before": before}
    kept = {**message.additional_kwargs, LADDER: note}
    return message.model_copy(update={"additional_kwargs": kept})
