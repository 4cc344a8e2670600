"""What of a call later judgements look back at: how much it moves, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hitl_agent.calls import clean_text
from hitl_agent.policy.amounts import read_amount, read_currency
from hitl_agent.policy.conditions import EvaluationError, plain

if TYPE_CHECKING:
    from hitl_agent.policy.plan import Plan


_MAX_NAME = 512
"""Longest name by which the past is counted, in characters: what an index can hold."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What a plan reads from a call's arguments; None where it is not there, or cannot be read.

    Attributes:
        amount: how much the call moves.
        currency: an ISO 4217 code.
        counterparty: who receives.
    """

    amount: Decimal | None = None
    currency: str | None = None
    counterparty: str | None = None


def measure(plan: Plan, args: Mapping[str, Any]) -> Measures:
    """Return what a plan reads from arguments. Raises nothing, whatever they are."""
    try:
        plain(args)
    except EvaluationError:
        return Measures()
    return Measures(
        _read(plan.amount, args, read_amount),
        _read(plan.currency, args, read_currency),
        _read(plan.counterparty, args, counted_name),
    )


def _read(
    reading: Callable[[Mapping[str, Any]], Any] | None,
    args: Mapping[str, Any],
    check: Callable[[Any], Any],
) -> Any:
    try:
        return check(reading(args)) if reading else None
    except (KeyError, TypeError, ValueError):
        return None


def counted_name(value: Any) -> str | None:
    """Return a name by which the past can be counted, or None if it is none."""
    fit = isinstance(value, str) and 0 < len(value) <= _MAX_NAME and clean_text(value) == value
    return value if fit else None
