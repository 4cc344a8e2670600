"""Waiting for a database that has gone away: a restart, a failover, a cable."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a lost database is waited for."""

_FIRST, _LONGEST = 0.02, 1.0
"""Seconds between two tries: the first pause, and what doubling it ends at."""

_GONE = {
    "25006",  # read-only: a standby, or a primary that was one until a failover moved the name
    "53300",  # too many connections: as after a restart, when everybody comes back at once
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now: starting up, shutting down, recovering
    "57P05",  # idle_session_timeout
}

_log = logging.getLogger("hitl_agent.storage")


class Patience:
    """Tries again while the database is away, and tells of each outage once.

    An outage begins with the first caller that finds the database away and ends with the last
    that has its answer, so that many threads tell one story.

    Args:
        seconds: how long one caller waits.
        pause: waits the given seconds between two tries.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        seconds: float = PATIENCE,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0

    def wait_out(self, work: Callable[[], T], lost: Callable[[], None]) -> T:
        """Return what `work` returns, trying again while the database is away.

        Args:
            work: must be safe to do again after it was done and only its answer was lost.
            lost: called before each further try, to give up connections that are of no use.

        Raises:
            Exception: what `work` raised, if that is no outage or it lasted too long.
        """
        try:
            return work()
        except Exception as error:
            if not away(error):
                raise
        until = self._clock() + self.seconds
        self._begins()
        back = False
        try:
            for wait in _pauses():
                lost()
                self._pause(wait)
                try:
                    result = work()
                except Exception as error:
                    back = not away(error)  # whatever it says, it answers
                    if back or self._clock() >= until:
                        raise
                else:
                    back = True
                    return result
        finally:
            self._ends(back=back)
        raise AssertionError  # pragma: no cover  the pauses never end

    def _begins(self) -> None:
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                _log.warning("the database does not answer, trying again for %.0f s", self.seconds)

    def _ends(self, *, back: bool) -> None:
        with self._lock:
            self._waiting -= 1
            if back and self._waiting == 0:
                _log.warning("the database answers again")


def away(error: BaseException | None) -> bool:
    """Whether an error, of the driver or ours around it, says that the database is away.

    A statement that was refused or that failed is no outage: the database said so.
    """
    while error is not None:
        if isinstance(error, PoolTimeout):
            return True
        if isinstance(error, PoolClosed):  # on purpose, and for good
            return False
        if isinstance(error, psycopg.Error):
            state = error.sqlstate
            if state is None:  # from the driver itself: no connection, or no longer one
                return isinstance(error, psycopg.OperationalError)
            return state in _GONE or state.startswith("08")
        error = error.__cause__
    return False


def _pauses() -> Iterator[float]:
    """Yield seconds to wait, longer and longer, by chance: not everybody at the same moment."""
    wait = _FIRST
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311  no secret
        wait = min(2 * wait, _LONGEST)
