"""LangGraph's saver, with rows that are checked, and encrypted if there is a key."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Self

import psycopg
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    writes_sort_key,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, TASKS, _DeltaSnapshot
from langgraph.types import Interrupt, Send
from psycopg import Cursor
from psycopg.rows import DictRow, RowMaker, dict_row
from psycopg_pool import ConnectionPool

from hitl_agent.calls import clean_text
from hitl_agent.errors import CheckpointRefused
from hitl_agent.storage.encryption import Cipher, refuse_sealed
from hitl_agent.storage.serializer import UNREAD, Serializer, error_text

MESSAGES = "messages"
JOIN = "join:"
"""Begins the channels of edges that wait for each other: they say what runs next."""

_DAMAGED = "restore the checkpoint tables from a backup, or start a new thread"

_Blobs = list[tuple[str, str, str, str, str, bytes | None]]
_Writes = list[tuple[str, str, str, str, str, int, str, str, bytes]]
_Pending = list[tuple[str, str, Any]]


class StrictSaver(PostgresSaver):
    """`PostgresSaver` that takes over nothing from a row before it has checked it.

    With a cipher every value of every channel is encrypted, also those that LangGraph would leave
    in plain JSON, and nothing is read that is not. Ids, versions, the names of channels and
    LangGraph's metadata stay readable, for its queries and ours need them.

    Args:
        pool: connections to the database.
        serializer: what may stand in a checkpoint.
        cipher: encrypts it, or None.
    """

    serde: Serializer

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection[DictRow]],
        serializer: Serializer,
        cipher: Cipher | None = None,
    ) -> None:
        super().__init__(pool, serde=serializer)
        self.serde = serializer
        self._cipher = cipher
        self._only: Collection[str] | None = None

    def allowing(self, types: Iterable[type]) -> Self:
        """Return a saver that also takes these types."""
        return self._like(serde=self.serde.allowing(types))

    def reading(self, *channels: str) -> Self:
        """Return a saver for looking: of others than these and joins it only tells that they exist.

        Somebody who looks at a thread need not know the types of its graph, and what is damaged
        elsewhere does not keep the thread from sight.
        """
        return self._like(_only=frozenset(channels), serde=self.serde.looking())

    def _like(self, **changes: Any) -> Self:
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:  # noqa: ARG002
        """Return this saver: LangGraph has no say in what it takes."""
        return self

    # LangGraph's faster way reads rows past the checks
    get_delta_channel_history = BaseCheckpointSaver.get_delta_channel_history

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor[DictRow]]:
        """Lend a cursor; values that the server has no place for are refused as ours are."""
        try:
            with super()._cursor(pipeline=pipeline) as cursor:
                cursor.row_factory = _whole_rows
                yield cursor
        except psycopg.DataError as error:
            first = clean_text(str(error)).strip().partition("\n")[0]
            raise CheckpointRefused(f"what no checkpoint can hold: {first}") from error

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint.

        Raises:
            CheckpointRefused: what stands there is not what may stand there.
        """
        with _about(config["configurable"]["thread_id"]):
            return super().get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """List checkpoints, newest first.

        Raises:
            CheckpointRefused: what stands in one of them is not what may stand there.
        """
        with _about((config or {}).get("configurable", {}).get("thread_id", "")):
            yield from super().list(config, filter=filter, before=before, limit=limit)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint.

        Raises:
            CheckpointRefused: a value may not stand there; nothing was written.
        """
        thread_id = config["configurable"]["thread_id"]
        values = checkpoint["channel_values"]
        for channel, value in values.items():
            with _about(thread_id, channel):
                _require(_KEPT, channel, value)
        # LangGraph leaves what is text or a number in plain JSON
        covered = {
            channel: _Covered(value)
            if value is None or isinstance(value, str | int | float)
            else value
            for channel, value in values.items()
            if self._cipher or isinstance(value, Enum)
        }
        checkpoint = {**checkpoint, "channel_values": {**values, **covered}}
        hint = "keep NUL characters, NaN and infinity out of state and config"
        with _about(thread_id, hint=hint):
            return super().put(config, checkpoint, metadata, new_versions)

    def _dump_blobs(
        self,
        thread_id: str,
        checkpoint_ns: str,
        values: dict[str, Any],
        versions: ChannelVersions,
    ) -> _Blobs:
        rows: _Blobs = []
        for channel, version in versions.items():
            value = values[channel]
            value = value.value if isinstance(value, _Covered) else value
            place = (thread_id, checkpoint_ns, channel, str(version))
            with _about(thread_id, channel):
                rows.append((*place, *self._sealed(value, ("blob", *place))))
        return rows

    def _dump_writes(
        self,
        thread_id: str,
        checkpoint_ns: str,
        checkpoint_id: str,
        task_id: str,
        task_path: str,
        writes: Sequence[tuple[str, Any]],
    ) -> _Writes:
        rows: _Writes = []
        for count, (channel, given) in enumerate(writes):
            value = (
                error_text(given)
                if channel == ERROR and isinstance(given, BaseException)
                else given
            )
            index = WRITES_IDX_MAP.get(channel, count)
            task = (thread_id, checkpoint_ns, checkpoint_id, task_id)
            with _about(thread_id, channel):
                _require(_WRITTEN, channel, value)
                sealed = self._sealed(value, ("write", *task, index, channel))
                rows.append((*task, task_path, index, channel, *sealed))
        return rows

    def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        thread_id = value["thread_id"]
        blobs, writes = value["channel_values"] or [], value["pending_writes"] or []
        found = super()._load_checkpoint_tuple(
            {**value, "channel_values": None, "pending_writes": None}
        )
        values = self._values(found.checkpoint, blobs, (thread_id, value["checkpoint_ns"]))
        found.checkpoint["channel_values"] = values
        place = (thread_id, value["checkpoint_ns"], value["checkpoint_id"])
        return found._replace(pending_writes=self._writes(writes, place))

    def _values(
        self, checkpoint: Checkpoint, blobs: Sequence[Any], place: tuple[str, str]
    ) -> dict[str, Any]:
        values = checkpoint["channel_values"]
        stored = {raw.decode(): (kind.decode(), data) for raw, kind, data in blobs}
        for channel in values.keys() - stored.keys() if self._cipher else ():
            with _about(place[0], channel):
                raise CheckpointRefused("it is not encrypted, and there is a key", hint=_DAMAGED)
        for channel, (kind, data) in stored.items():
            if kind != "empty":
                version = str(checkpoint["channel_versions"][channel])
                values[channel] = self._read(
                    channel, kind, data, ("blob", *place, channel, version)
                )
        for channel, value in values.items():
            with _about(place[0], channel):
                if self._reads(channel):
                    _require(_KEPT, channel, value)
        return values

    def _writes(self, rows: Sequence[Any], place: tuple[str, str, str]) -> _Pending:
        writes: _Pending = []
        for task, named, kind, data, _, number in sorted(
            rows, key=lambda row: writes_sort_key(row[4].decode(), row[0].decode(), int(row[5]))
        ):
            task_id, channel, index = task.decode(), named.decode(), int(number)
            at = ("write", *place, task_id, index, channel)
            value = self._read(channel, kind.decode(), data, at)
            with _about(place[0], channel):
                if self._reads(channel):
                    _require(_WRITTEN, channel, value)
            writes.append((task_id, channel, value))
        return writes

    def _reads(self, channel: str) -> bool:
        return self._only is None or channel in self._only or channel.startswith(JOIN)

    def _read(self, channel: str, kind: str, data: bytes, place: tuple[str | int, ...]) -> Any:
        if not self._reads(channel):
            return UNREAD
        with _about(str(place[1]), channel):
            if self._cipher:
                kind, data = self._cipher.unseal(kind, data, place)
            else:
                refuse_sealed(kind)
            return self.serde.loads_typed((kind, data))

    def _sealed(self, value: Any, place: tuple[str | int, ...]) -> tuple[str, bytes]:
        kind, data = self.serde.dumps_typed(value)
        return self._cipher.seal(kind, data, place) if self._cipher else (kind, data)


@dataclass(frozen=True, slots=True)
class _Covered:
    """Keeps a value from being left in plain JSON."""

    value: Any


@contextmanager
def _about(thread_id: str, channel: str | None = None, *, hint: str = _DAMAGED) -> Iterator[None]:
    """Say of what is refused where it stands, and what to do unless that is said already."""
    where = f"thread `{clean_text(str(thread_id))}`"
    if channel is not None:
        where += f", channel `{clean_text(channel)}`"
    try:
        yield
    except CheckpointRefused as error:
        if error.message.startswith("thread `"):
            raise
        raise CheckpointRefused(f"{where}: {error.message}", hint=error.hint or hint) from error


def _require(known: Mapping[str, Callable[[Any], bool]], channel: str, value: Any) -> None:
    """Raise `CheckpointRefused` unless a channel that we know holds what it is for."""
    value = value.value if isinstance(value, _DeltaSnapshot) else value
    if channel in known and not known[channel](value):
        raise CheckpointRefused(
            f"it holds a `{type(value).__name__}` that is not what this channel is for",
            hint=f"a graph's own state with other values needs another name than `{channel}`"
            if channel == MESSAGES
            else _DAMAGED,
        )


def _all(kind: type) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list | tuple) and all(isinstance(one, kind) for one in value)
    )


_KEPT = {MESSAGES: _all(BaseMessage), TASKS: _all(Send)}

_WRITTEN = {
    TASKS: lambda value: isinstance(value, Send),
    INTERRUPT: _all(Interrupt),
    ERROR: lambda value: isinstance(value, str),
}


def _whole_rows(cursor: Cursor[Any]) -> RowMaker[DictRow]:
    """Make rows, and refuse a checkpoint that has not the form that LangGraph gives it."""
    made = dict_row(cursor)

    def whole(values: Sequence[Any]) -> DictRow:
        row = made(values)
        if "checkpoint" in row and not _is_whole(row):
            with _about(row["thread_id"]):
                raise CheckpointRefused("a checkpoint that is none", hint=_DAMAGED)
        return row

    return whole


def _is_whole(row: DictRow) -> bool:
    checkpoint = row["checkpoint"]
    try:
        datetime.fromisoformat(checkpoint["ts"])
        objects = (
            checkpoint["channel_versions"],
            checkpoint["versions_seen"],
            checkpoint.get("channel_values") or {},
            row["metadata"],
        )
        return (
            isinstance(checkpoint["v"], int)
            and isinstance(checkpoint["id"], str)
            and all(isinstance(one, dict) for one in objects)
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
