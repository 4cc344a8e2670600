"""What is known of a call beside its tool and its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Past:
    """What happened in a span of the past.

    Attributes:
        count: calls that ran or were permitted to.
        sum: of their amounts; None when it cannot be told, as when currencies are mixed.
    """

    count: int = 0
    sum: Decimal | None = Decimal(0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a call beside its tool and arguments.

    What is None is not known: a condition that looks at it has no answer, and the call is gated.

    Attributes:
        confidence: how sure the planner is, calibrated, from 0 to 1.
        category: the call's category, beside the one in its arguments; both are held against the
            categories that are always reviewed.
        actor: who the agent acts for.
        thread: LangGraph's thread.
        now: the time, with its zone.
        untrusted: tools that brought text of other people into the thread before this call.
        history: what happened in the spans of the past that the policy names.
    """

    confidence: float | None = None
    category: str | None = None
    actor: str | None = None
    thread: str | None = None
    now: datetime | None = None
    untrusted: Sequence[str] | None = None
    history: Mapping[str, Past] = field(default_factory=dict)


NOTHING = Facts()
"""Nothing is known beside the call."""
