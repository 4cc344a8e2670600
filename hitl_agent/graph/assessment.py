"""What is found out about a call before policy is asked: confidence, and what speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from langchain_core.messages import BaseMessage

from hitl_agent.calls import ToolCall, clean_json
from hitl_agent.graph.bounded import bounded
from hitl_agent.risk import Estimate, as_estimate

Confidence = Callable[[ToolCall, Sequence[BaseMessage]], Estimate | float | None]
"""Says how confident the planner is of a call, in [0, 1], or None when it cannot tell."""

Objections = Callable[[ToolCall, Sequence[BaseMessage]], Sequence[str]]
"""Says what speaks against a call; nothing if nothing does. Any objection stops it."""

_TOLD = 2_000
"""Characters of an objection, or of what went wrong."""

_MOST = 20
"""Objections that are kept; one is enough to stop a call."""


@dataclass(frozen=True)
class Assessment:
    """What was found out about a call.

    Attributes:
        confidence: calibrated, in [0, 1]; None if it is not known.
        source: where it comes from: `raw`, `source`, `calibrated`.
        objections: what a second opinion holds against the call.
        errors: what went wrong while asking.
    """

    confidence: float | None = None
    source: Mapping[str, Any] | None = None
    objections: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assessor:
    """Asks an estimator and a second opinion; what goes wrong with them stops the call.

    Attributes:
        confidence: asked of every call, or None.
        second_opinion: asked of every call, or None.
        timeout: what takes longer to answer has failed.
    """

    confidence: Confidence | None = None
    second_opinion: Objections | None = None
    timeout: timedelta = timedelta(seconds=30)

    def asking(self, other: Objections) -> Assessor:
        """Return an assessor that asks somebody else as well for what speaks against a call."""
        mine = self.second_opinion

        def both(call: ToolCall, messages: Sequence[BaseMessage]) -> Sequence[str]:
            first = _texts(other(call, messages))
            return [*first, *_texts(mine(call, messages))] if mine else first

        return replace(self, second_opinion=both)

    @property
    def asks(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self.confidence or self.second_opinion)

    def assess(self, call: ToolCall, messages: Sequence[BaseMessage]) -> Assessment:
        """Return what is found out about a call."""
        errors: list[str] = []
        estimate: Estimate | None = None
        objections: tuple[str, ...] = ()
        try:
            if self.confidence:
                estimate = as_estimate(self._ask(self.confidence, call, messages), "given")
        except Exception as error:  # noqa: BLE001  fails closed: the error is on the verdict
            errors.append(f"the confidence estimator failed: {_why(error)}")
        try:
            if self.second_opinion:
                objections = _texts(self._ask(self.second_opinion, call, messages))
        except Exception as error:  # noqa: BLE001  fails closed: the error is on the verdict
            errors.append(f"the second opinion failed: {_why(error)}")
        return Assessment(
            estimate.value if estimate else None,
            estimate.to_json() if estimate else None,
            objections,
            tuple(errors),
        )

    def _ask(self, who: Callable[..., Any], *args: Any) -> Any:
        return bounded(who, self.timeout.total_seconds(), *args)


def _texts(answer: object) -> tuple[str, ...]:
    if not isinstance(answer, list | tuple) or not all(isinstance(one, str) for one in answer):
        raise TypeError(f"it answered with a `{type(answer).__name__}`, no list of objections")
    return tuple(one[:_TOLD] for one in answer[:_MOST])


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {clean_json(error)}"[:_TOLD]
