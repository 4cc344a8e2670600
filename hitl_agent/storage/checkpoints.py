"""LangGraph's checkpoint saver, set up for several threads, strict types, sync and async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import Cursor
from psycopg.rows import DictRow

from hitl_agent.storage.database import Database
from hitl_agent.storage.gathered import Gathered

_AT_ONCE = 4
"""Checkpoint operations of one process that may run side by side."""


class Checkpointer(PostgresSaver):
    """`PostgresSaver` on a pool, without its one lock around every operation.

    The saver's lock guards a single shared connection; on a pool each operation has its own, so a
    semaphore in its place lets several threads in. The async methods run the same code in a
    thread, so that one compiled graph serves `invoke` and `ainvoke`.

    What one call writes goes out as one statement of LangGraph's own, with several rows: a pipeline
    of single rows costs twice as much and holds no better together.

    Only LangGraph's list of safe types is restored from a checkpoint, whatever
    `LANGGRAPH_STRICT_MSGPACK` says: a row of the checkpoint tables is no code.
    """

    def __init__(self, database: Database) -> None:
        serde = JsonPlusSerializer(allowed_msgpack_modules=None)
        super().__init__(database.pool, serde=serde)
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
            if statement := gathered.as_one():
                cursor.execute(*statement)
            else:
                with cursor.connection.transaction():
                    for sql, row in gathered.one_by_one():
                        cursor.execute(sql, row)

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

        def read() -> Iterator[CheckpointTuple]:
            return iter(list(self.list(config, filter=filter, before=before, limit=limit)))

        for one in await asyncio.to_thread(read):
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
