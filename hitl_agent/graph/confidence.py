"""Estimators of confidence in a call: what `build_graph` takes as `confidence`.

An estimator sees a call as it is to be judged, which may be a reviewer's edit, and the
conversation, whose last `AIMessage` planned it. What it raises puts the call before a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.constants import TAG_NOSTREAM

from hitl_agent.calls import ToolCall
from hitl_agent.errors import ConfigurationError
from hitl_agent.graph.planner import Planner, admit
from hitl_agent.graph.state import AgentState, pending_calls
from hitl_agent.risk import (
    Calibrator,
    Estimate,
    agreement,
    as_estimate,
    auxiliary,
    ensemble,
    from_logprobs,
    same_call,
    tokens_of,
    verbalised,
)

GIVEN = "given"
"""Source of a confidence that is a bare number."""


class Estimator(Protocol):
    """Says how confident one may be that a call is right."""

    def __call__(
        self, call: ToolCall, messages: Sequence[BaseMessage], /
    ) -> Estimate | float | None:
        """Return a confidence in [0, 1], or None when this estimator cannot tell.

        Args:
            call: the call, as planned or as a reviewer edited it.
            messages: the conversation; its last `AIMessage` planned the call.
        """
        ...


class AuxiliaryModel(Protocol):
    """A model of the user's own that knows which calls turn out right."""

    def confidence(self, tool: str, args: Mapping[str, Any], /) -> float:
        """Return a number in [0, 1]."""
        ...


class TokenLogprobs:
    """Reads the probabilities of the tokens that the planner's model wrote the call with.

    They are there when the model was asked for them (`ChatOpenAI(..., logprobs=True)`) and its
    server counts the tokens of calls. Many give those of the text alone; then this cannot tell.
    Nor can it of a call that a reviewer has changed, which no model wrote.
    """

    def __call__(self, call: ToolCall, messages: Sequence[BaseMessage], /) -> Estimate | None:
        """Return the geometric mean of the call's token probabilities.

        Raises:
            ValueError: what stands in the place of the probabilities is none.
        """
        if _claim(call, messages) is None:
            return None
        message = _turn(messages)[-1]
        logprobs = message.response_metadata.get("logprobs")
        given = logprobs.get("content") if isinstance(logprobs, Mapping) else None
        if not isinstance(given, list):
            return None
        tokens = [_token(one) for one in given]
        if "".join(text for text, _ in tokens) == message.text:
            return None  # the text may speak of the call; these are not the tokens that make it
        return from_logprobs(call, tokens_of(call, tokens))


class SelfConsistency:
    """Has the planner plan the turn again, and counts how often it plans the same call.

    The planner's model has to sample: at temperature 0 it agrees with itself whatever it says.
    The plans of one turn are made once for all its calls, run nothing, and stream nothing.

    Args:
        planner: the agent's, with a model of its own: what else the thread's state names, a model
            or a runbook, is not known here.
        tools: what may be called; the agent's.
        k: plans to make, at least 1.

    Raises:
        ConfigurationError: `k` is not positive.
    """

    def __init__(self, planner: Planner, tools: Sequence[BaseTool], k: int = 5) -> None:
        if k < 1:
            raise ConfigurationError("`k` is at least 1")
        self._plans = _Plans([planner] * k, tools)

    def __call__(self, call: ToolCall, messages: Sequence[BaseMessage], /) -> Estimate | None:
        """Return the share of plans with the same call.

        Raises:
            PlannerError: the planner gives no usable plan.
        """
        return agreement(call, self._plans.of(messages))


class EnsembleAgreement:
    """Has other planners plan the turn, and counts how many plan the same call.

    The plans of one turn are made once for all its calls, run nothing, and stream nothing.

    Args:
        planners: others than the agent's, with models of their own.
        tools: what may be called; the agent's.

    Raises:
        ConfigurationError: there are no planners.
    """

    def __init__(self, planners: Sequence[Planner], tools: Sequence[BaseTool]) -> None:
        if not planners:
            raise ConfigurationError("an ensemble has at least one other planner")
        self._plans = _Plans(planners, tools)

    def __call__(self, call: ToolCall, messages: Sequence[BaseMessage], /) -> Estimate | None:
        """Return the share of planners that plan the same call.

        Raises:
            PlannerError: a planner gives no usable plan.
        """
        return ensemble(call, self._plans.of(messages))


class Verbalised:
    """Reads the confidence that the planner states beside its call, such as `confidence: 0.8`.

    A statement holds for every call of the message. It is the model's own word, which whoever
    wrote the text that the model read may have put there: calibrate it, and trust it least.
    """

    def __call__(self, call: ToolCall, messages: Sequence[BaseMessage], /) -> Estimate | None:
        """Return the stated confidence; None of a call that a reviewer has changed."""
        claim = _claim(call, messages)
        return None if claim is None else verbalised(claim)


class Auxiliary:
    """Asks a model of the user's own.

    Args:
        model: any object with `confidence(tool, args)`.
    """

    def __init__(self, model: AuxiliaryModel) -> None:
        self._model = model

    def __call__(self, call: ToolCall, messages: Sequence[BaseMessage], /) -> Estimate:  # noqa: ARG002
        """Return the model's answer.

        Raises:
            ValueError: the answer is no number in [0, 1].
        """
        return auxiliary(self._model.confidence(call.tool, call.args))


class Calibrated:
    """Turns what an estimator says into what it is worth; the raw confidence is kept beside it.

    Args:
        estimator: whose confidences the calibrator was fitted to.
        calibrator: maps [0, 1] to [0, 1].
    """

    def __init__(
        self,
        estimator: Callable[[ToolCall, Sequence[BaseMessage]], Estimate | float | None],
        calibrator: Calibrator,
    ) -> None:
        self._estimator = estimator
        self._calibrator = calibrator

    def __call__(self, call: ToolCall, messages: Sequence[BaseMessage], /) -> Estimate | None:
        """Return the estimate with its calibrated value.

        Raises:
            ValueError: the estimator answers with no confidence.
        """
        estimate = as_estimate(self._estimator(call, messages), GIVEN)
        if estimate is None:
            return None
        return replace(estimate, calibrated=self._calibrator.apply(estimate.value))


def unseen() -> RunnableConfig:
    """Return the config of the node that runs, for asking a model what no user is to see.

    Callbacks are kept, so that traces show it; its tokens are not streamed as the agent's.
    """
    return ensure_config({"tags": [TAG_NOSTREAM]})


class _Plans:
    """Plans of a turn by several planners; those of the last turn are kept."""

    def __init__(self, planners: Sequence[Planner], tools: Sequence[BaseTool]) -> None:
        self._planners = tuple(planners)
        self._tools = tuple(tools)
        self._kept: tuple[list[BaseMessage], list[list[ToolCall]]] | None = None

    def of(self, messages: Sequence[BaseMessage]) -> list[list[ToolCall]]:
        """Plan what the last `AIMessage` planned, not knowing it; none if there is no such one."""
        turn = _turn(messages)
        if not turn:
            return []
        kept = self._kept  # read once: threads may ask at the same time
        if kept is None or kept[0] != turn:
            kept = turn, [self._plan(one, turn[:-1]) for one in self._planners]
            self._kept = kept
        return kept[1]

    def _plan(self, planner: Planner, before: list[Any]) -> list[ToolCall]:
        state = AgentState(messages=list(before))
        message = admit(planner.plan(state, self._tools, unseen()), before)
        return [ToolCall(one["id"] or "", one["name"], one["args"]) for one in message.tool_calls]


def _turn(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the conversation up to the message that planned; nothing if none did."""
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], AIMessage):
            return list(messages[: index + 1])
    return []


def _claim(call: ToolCall, messages: Sequence[BaseMessage]) -> str | None:
    """Return what the planner said of a call, None if this is not the call that it planned."""
    for one in pending_calls(messages):
        if one.call.call_id == call.call_id and one.malformed is None:
            return one.claim if same_call(one.call, call) else None
    return None


def _token(one: object) -> tuple[str, Any]:
    if not isinstance(one, Mapping) or not isinstance(one.get("token"), str):
        raise ValueError("a token of the model's log-probabilities has no text")  # noqa: TRY004
    return one["token"], one.get("logprob")
