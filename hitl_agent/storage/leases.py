"""Leases: who drives a thread. At most one process does, and what another one writes is refused."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID
from weakref import WeakKeyDictionary

from hitl_agent.errors import DatabaseError, ThreadBusy
from hitl_agent.review.rendering import command
from hitl_agent.storage.database import Database

_SQL = "leases"

TTL = timedelta(seconds=30)
"""How long a lease lives that nobody renews: so long a thread waits for a process that is gone."""

Scope = Literal["thread", "attempt"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive a thread.

    Attributes:
        thread_id: LangGraph's thread.
        token: what every write to the thread carries; the database refuses any other one.
        requester: who asked for what the thread does, when the app said so.
    """

    thread_id: str
    token: int
    requester: str | None


@dataclass(frozen=True, slots=True)
class Halted:
    """A thread that may have been left halfway.

    Attributes:
        thread_id: LangGraph's thread.
        holder: who drove it last.
        left: that process is gone, or failed, in the middle.
        decided: questions that were decided and that the graph has not gone on with.
    """

    thread_id: str
    holder: str
    left: bool
    decided: list[UUID]


class Leases:
    """Takes, renews and returns leases on one database.

    Safety does not depend on the clock: the fencing triggers compare tokens. A clock that is wrong
    only lets a lease be taken over too early or too late. The leases that this process holds are
    renewed in a thread of its own, three times in their life.

    Args:
        database: where the leases are.
        clock: returns the time, with its zone.
        ttl: see `TTL`.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], ttl: timedelta = TTL
    ) -> None:
        self._database = database
        self._clock = clock
        self._ttl = ttl
        self._held: dict[int, Lease] = {}
        self._shared: dict[str, _Shared] = {}
        self._joining = threading.Lock()
        self._changing = threading.Lock()
        self._beating = threading.Lock()
        self._beats = False

    @contextmanager
    def held(
        self,
        thread_id: str,
        *,
        scope: Scope = "thread",
        actor: str | None = None,
        resumes: bool = False,
    ) -> Iterator[Lease]:
        """Hold the lease of a thread.

        Args:
            thread_id: LangGraph's thread.
            scope: `attempt` where somebody else drives the thread and writes its checkpoints.
            actor: who asks.
            resumes: whether an earlier run goes on; who asked for that one stays the requester.

        Raises:
            ThreadBusy: another process drives the thread.
        """
        lease = self.take(thread_id, scope=scope, actor=actor, resumes=resumes)
        halted = True
        try:
            yield lease
            halted = False
        finally:
            self.release(lease, halted=halted)

    @contextmanager
    def joined(self, thread_id: str, *, actor: str | None = None) -> Iterator[Lease]:
        """Hold a lease for attempts together with all in this process that do so now.

        Tools of one step run side by side, each under its own grant.

        Args:
            thread_id: LangGraph's thread, which somebody else drives.
            actor: who asks, if this is the first.

        Raises:
            ThreadBusy: another process drives the thread.
        """
        with self._joining:
            if (shared := self._shared.get(thread_id)) is None:
                lease = self.take(thread_id, scope="attempt", actor=actor)
                shared = self._shared[thread_id] = _Shared(lease)
            shared.holders += 1
        try:
            yield shared.lease
        except BaseException:
            shared.halted = True
            raise
        finally:
            with self._joining:
                shared.holders -= 1
                if not shared.holders:
                    del self._shared[thread_id]
                    self.release(shared.lease, halted=shared.halted)

    def take(
        self,
        thread_id: str,
        *,
        scope: Scope = "thread",
        actor: str | None = None,
        resumes: bool = False,
    ) -> Lease:
        """Take the lease of a thread that nobody drives; see `held`."""
        token = secrets.randbits(62) + 1
        now = self._clock()
        rows = self._database.rows(
            _SQL,
            "take",
            thread_id=thread_id,
            token=token,
            holder=_holder(),
            scope=scope,
            actor=actor,
            resumes=resumes,
            now=now,
            expires_at=now + self._ttl,
        )
        if not rows:
            raise self._busy(thread_id)
        lease = Lease(thread_id, token, rows[0]["requester"])
        self._keep(lease)
        return lease

    def release(self, lease: Lease, *, halted: bool = False) -> None:
        """Give a lease back. One that was lost, or cannot be given back now, runs out by itself.

        Args:
            lease: the lease.
            halted: the thread was left halfway: it is among those that `halted` returns.
        """
        with self._changing:
            self._held.pop(lease.token, None)
        # a beat that has seen it held must not come after it was given back
        with self._beating, suppress(DatabaseError):  # what the run has to say matters more
            self._database.wrote(
                _SQL,
                "release",
                thread_id=lease.thread_id,
                token=lease.token,
                halted_at=self._clock() if halted else None,
            )

    def halted(self, *, limit: int) -> list[Halted]:
        """Return threads that may have been left halfway, longest ago first."""
        rows = self._database.rows(_SQL, "halted", now=self._clock(), limit=limit)
        return [Halted(**row) for row in rows]

    def settle(self, halted: Halted) -> None:
        """Note that a thread was looked at and that nothing is to be done.

        Raises:
            ThreadBusy: another process drives it.
        """
        with self.held(halted.thread_id, resumes=True):
            self._database.run(_SQL, "settle", request_ids=halted.decided)

    def postpone(self, halted: Halted) -> None:
        """Put a thread that cannot be gone on with behind the others that were left halfway.

        Raises:
            ThreadBusy: another process drives it.
        """
        self.release(self.take(halted.thread_id, resumes=True), halted=halted.left)

    def _busy(self, thread_id: str) -> ThreadBusy:
        rows = self._database.rows(_SQL, "holder", thread_id=thread_id)
        who, until = "another process", ""
        if rows:
            who = f"{rows[0]['holder']} since {rows[0]['taken_at']:%H:%M:%S}"
            until = f" after {rows[0]['expires_at']:%H:%M:%S}" if rows[0]["expires_at"] else ""
        return ThreadBusy(
            f"thread `{thread_id}` is driven by {who}",
            hint=f"wait for it, or try `{command('resume', thread_id)}`{until}",
        )

    def _keep(self, lease: Lease) -> None:
        with self._changing:
            self._held[lease.token] = lease
            if not self._beats:
                self._beats = True
                threading.Thread(target=self._beat, name="hitl-leases", daemon=True).start()

    def _beat(self) -> None:
        while True:
            time.sleep(self._ttl.total_seconds() / 3)
            with self._beating:
                with self._changing:
                    if not self._held:
                        self._beats = False
                        return
                    held = list(self._held.values())
                with suppress(Exception):  # whatever it is, the next beat tries again
                    self._database.wrote(
                        _SQL,
                        "renew",
                        thread_ids=[one.thread_id for one in held],
                        tokens=[one.token for one in held],
                        expires_at=self._clock() + self._ttl,
                    )


@dataclass(slots=True)
class _Shared:
    """A lease that several hold; `halted` if one of them has failed."""

    lease: Lease
    holders: int = 0
    halted: bool = False


_lock = threading.Lock()
_leases: WeakKeyDictionary[Database, Leases] = WeakKeyDictionary()


def shared_leases(database: Database, clock: Callable[[], datetime]) -> Leases:
    """Return this process's leases on a database for those that no runtime has given any."""
    with _lock:
        if database not in _leases:
            _leases[database] = Leases(database, clock)
        return _leases[database]


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
