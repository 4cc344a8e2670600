"""What a tool promises about its calls, beyond what policy says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

LONGEST = timedelta(days=3650)
"""Longest time limit: beyond any call, and within what clocks and threads can count."""

MAX_TRIES = 5
"""Tries of one call without a person: a call that ends its process each time ends before one."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A call that was cut off had its effect.

    Attributes:
        result: what the tool would have returned.
    """

    result: Any = None


@dataclass(frozen=True, slots=True)
class NotHappened:
    """A call that was cut off had no effect, and will have none."""


Reconcile = Callable[[str], Happened | NotHappened]
"""Asks the receiver what became of the call with an idempotency key; raises if it cannot tell."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What a tool promises.

    Attributes:
        version: changes when the same arguments come to mean something else; part of what is
            approved. Empty: a digest of the tool's argument schema stands for it.
        timeout: a call is cut off after this time; None: the graph's `call_timeout`.
        idempotent_for: how long the receiver remembers an idempotency key; None: it takes none.
        reconcile: asks what became of a call that was cut off.
        transactional: all that a call does, it does in the attempt's own transaction.
        interrupts: a call may stop the graph to ask, and begins anew when it is answered.
    """

    version: str = ""
    timeout: timedelta | None = None
    idempotent_for: timedelta | None = None
    reconcile: Reconcile | None = None
    transactional: bool = False
    interrupts: bool = False

    def deadline(self, started_at: datetime) -> datetime:
        """Return until when nobody else touches a call that was started.

        A quarter longer than the call itself may take: what it sent last has time to arrive, and
        clocks may differ a little.
        """
        return started_at + (self.timeout or timedelta()) * 1.25

    def remembers(self, opened_at: datetime | None, now: datetime) -> bool:
        """Whether the receiver knows the key of a call first sent at `opened_at` long enough yet.

        That is, until a try that starts now has certainly arrived.
        """
        return (
            self.idempotent_for is not None
            and opened_at is not None
            and self.deadline(now) - opened_at < self.idempotent_for
        )


NO_PROMISE = Contract()
