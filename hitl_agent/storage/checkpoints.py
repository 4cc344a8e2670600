"""LangGraph's checkpoint saver, set up for several threads, strict types, sync and async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from psycopg import Cursor
from psycopg.rows import DictRow

from hitl_agent.storage.database import Database
from hitl_agent.storage.encryption import Cipher
from hitl_agent.storage.gathered import Gathered
from hitl_agent.storage.leases import Lease
from hitl_agent.storage.serializer import Serializer
from hitl_agent.storage.strict_saver import StrictSaver

T = TypeVar("T")

LEASE = "__hitl_lease"
"""Key of `configurable` that holds the lease under which a thread is driven."""

_token: ContextVar[str] = ContextVar("token", default="")

_AT_ONCE = 4
"""Checkpoint operations of one process that may run side by side."""


class Checkpointer(StrictSaver):
    """LangGraph's saver on a pool, without its one lock around every operation.

    The saver's lock guards a single shared connection; on a pool each operation has its own, so a
    semaphore in its place lets several threads in. The async methods run the same code in a
    thread, so that one compiled graph serves `invoke` and `ainvoke`.

    What one call writes goes out as one statement of LangGraph's own, with several rows: a pipeline
    of single rows costs twice as much and holds no better together.

    A database that is away is waited for: what is written are upserts, safe to send twice.

    Args:
        database: an open database.
        allow: types that may stand in a checkpoint, beside messages and plain values.
        cipher: encrypts what stands there, or None.
    """

    def __init__(
        self, database: Database, *, allow: Iterable[type] = (), cipher: Cipher | None = None
    ) -> None:
        super().__init__(database.pool, Serializer(allow), cipher)
        self._database = database
        self.lock = threading.BoundedSemaphore(_AT_ONCE)  # type: ignore[assignment]

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor[DictRow]]:
        """Lend a cursor; one that would open a pipeline gathers what it is given instead."""
        with super()._cursor() as cursor:
            if not pipeline:
                yield cursor
                return
            gathered = Gathered()
            yield cast("Cursor[DictRow]", gathered)
            token = _token.get()
            if statement := gathered.as_one(token):
                cursor.execute(*statement)
            else:
                with cursor.connection.transaction():
                    for sql, row in gathered.one_by_one(token):
                        cursor.execute(sql, row)

    def _patiently(self, name: str, work: Callable[[], T]) -> T:
        def once() -> T:
            self._database.reached(f"before checkpoints.{name}")
            result = work()
            self._database.reached(f"after checkpoints.{name}")
            return result

        return self._database.patiently(once)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint."""
        read = super().get_tuple
        return self._patiently("get", lambda: read(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """List checkpoints, newest first."""
        read = super().list
        found = self._patiently(
            "list", lambda: [*read(config, filter=filter, before=before, limit=limit)]
        )
        return iter(found)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint."""
        write = super().put
        with _under(config):
            return self._patiently("put", lambda: write(config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Write what a task produced."""
        write = super().put_writes
        with _under(config):
            self._patiently("put_writes", lambda: write(config, writes, task_id, task_path))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint in a thread."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """List checkpoints in a thread, newest first."""
        found = await asyncio.to_thread(
            self.list, config, filter=filter, before=before, limit=limit
        )
        for one in found:
            yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint in a thread."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Write what a task produced in a thread."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints in a thread."""
        await asyncio.to_thread(self.delete_thread, thread_id)


def lease_of(config: RunnableConfig) -> Lease | None:
    """Return the lease under which a thread is driven; None where somebody else drives it.

    A config is handed down into whatever a node or a tool runs, also to graphs on other threads.
    """
    named = config.get("configurable", {})
    lease = named.get(LEASE)
    driven = isinstance(lease, Lease) and lease.thread_id == str(named.get("thread_id"))
    return lease if driven else None


@contextmanager
def _under(config: RunnableConfig) -> Iterator[None]:
    lease = lease_of(config)
    before = _token.set(str(lease.token) if lease else "")
    try:
        yield
    finally:
        _token.reset(before)
