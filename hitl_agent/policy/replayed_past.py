"""What happened before each call, kept up to date while recorded calls are replayed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from hitl_agent.policy.evaluate import Past
from hitl_agent.policy.measures import Measures

if TYPE_CHECKING:
    from hitl_agent.policy.document import PolicyDocument
    from hitl_agent.policy.plan import Plan

Key: TypeAlias = tuple[str, int, str]
"""By what is counted, over how many seconds, and which of it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_EXACT = Context(prec=100)  # amounts have up to 60 digits, and what was added is taken out again


@dataclass(frozen=True, slots=True)
class Permission:
    """When a call was allowed to run.

    Attributes:
        granted_at: from when.
        expires_at: until when, unless it was used.
        used: whether it was.
    """

    granted_at: datetime
    expires_at: datetime
    used: bool


@dataclass(slots=True)
class _Window:
    """The calls that count at the moment for one key."""

    count: int = 0
    unreadable: int = 0
    currencies: Counter[str | None] = field(default_factory=Counter)
    sums: dict[str | None, Decimal] = field(default_factory=dict)

    def change(self, measures: Measures, by: int) -> None:
        """Add a call (`by` is 1), or take it out (-1)."""
        self.count += by
        if measures.amount is None:
            self.unreadable += by
            return
        currency = measures.currency
        self.currencies[currency] += by
        turn = _EXACT.add if by > 0 else _EXACT.subtract
        self.sums[currency] = turn(self.sums.get(currency, Decimal(0)), measures.amount)
        if not self.currencies[currency]:
            del self.currencies[currency], self.sums[currency]


class ReplayedPast:
    """Counts the calls that ran or were permitted to, as spans of the past see them.

    What is kept are the calls that count at the moment or will later: those of the longest span.

    Args:
        document: names the spans.
    """

    def __init__(self, document: PolicyDocument) -> None:
        spans = [span for entry in document.tools.values() for span in entry.history.values()]
        self._seconds: dict[str, frozenset[int]] = {
            by: frozenset(span.seconds for span in spans if span.by == by)
            for by in ("tool", "actor", "counterparty")
        }
        self._windows: dict[Key, _Window] = {}
        # moments are whole microseconds
        self._comings: list[tuple[int, int, int, Key, Measures]] = []
        self._goings: list[tuple[int, int, Key, Measures]] = []
        self._order = count()  # two at the same moment are not compared any further

    @property
    def longest(self) -> int:
        """Seconds of the longest span; 0 if there is none."""
        return max((max(each, default=0) for each in self._seconds.values()), default=0)

    def seen(
        self,
        plan: Plan,
        tool: str,
        actor: str | None,
        measures: Measures,
        now: datetime,
    ) -> Mapping[str, Past]:
        """Return the spans that a tool's conditions see, without those whose key is not known."""
        self._move_to(_moment(now))
        own = {"tool": tool, "actor": actor, "counterparty": measures.counterparty}
        return {
            name: self._past((span.by, span.seconds, key), measures.currency)
            for name, span in plan.spans.items()
            if (key := own[span.by])
        }

    def add(
        self,
        plan: Plan,
        tool: str,
        actor: str | None,
        measures: Measures,
        judged_at: datetime,
        permission: Permission,
    ) -> None:
        """Take in a call that was allowed to run; calls come in the order of their judgement."""
        start, last = _moment(permission.granted_at), _moment(permission.expires_at)
        own = {
            # a tool's own spans are asked for by its own calls only
            "tool": (tool, {one.seconds for one in plan.spans.values() if one.by == "tool"}),
            "actor": (actor, self._seconds["actor"]),
            "counterparty": (measures.counterparty, self._seconds["counterparty"]),
        }
        for by, (key, lengths) in own.items():
            for seconds in lengths if key else ():
                end = _moment(judged_at) + seconds * _SECOND
                if not permission.used:
                    end = min(end, last)
                if key and end > start:
                    entry = (start, next(self._order), end, (by, seconds, key), measures)
                    heapq.heappush(self._comings, entry)

    def _past(self, key: Key, currency: str | None) -> Past:
        found = self._windows.get(key)
        if found is None:
            return Past()
        # of all that is done for somebody, most has no amount and adds nothing
        if not found.currencies and key[0] == "actor":
            return Past(found.count)
        readable = not found.unreadable or key[0] == "actor"
        known = readable and list(found.currencies) == [currency]
        return Past(found.count, found.sums[currency] if known else None)

    def _move_to(self, now: int) -> None:
        while self._comings and self._comings[0][0] <= now:
            _, order, end, key, measures = heapq.heappop(self._comings)
            self._windows.setdefault(key, _Window()).change(measures, 1)
            heapq.heappush(self._goings, (end, order, key, measures))
        while self._goings and self._goings[0][0] <= now:
            _, _, key, measures = heapq.heappop(self._goings)
            window = self._windows[key]
            window.change(measures, -1)
            if not window.count:
                del self._windows[key]


def _moment(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
