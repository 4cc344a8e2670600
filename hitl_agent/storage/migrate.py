"""The schema: numbered migrations, applied in order under an advisory lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg.rows import DictRow

from hitl_agent.errors import DatabaseNotReady
from hitl_agent.storage.connection import connect
from hitl_agent.storage.queries import migrations, queries

OLDEST_SERVER = 14
"""Oldest supported major version of PostgreSQL."""

_SQL = "schema"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Which migrations a database has, and which it lacks.

    Attributes:
        server: PostgreSQL's version, such as `18.4`.
        applied: numbers of applied migrations.
        pending: numbers and names that this program has and the database lacks.
        unknown: numbers that the database has and this program does not know.
    """

    server: str
    applied: tuple[int, ...]
    pending: tuple[tuple[int, str], ...]
    unknown: tuple[int, ...]

    @property
    def ready(self) -> bool:
        """Whether this program can work on the database."""
        return not self.pending and not self.unknown


def status(connection: psycopg.Connection[DictRow]) -> SchemaStatus:
    """Read a database's schema status.

    Raises:
        DatabaseNotReady: the server is older than `OLDEST_SERVER`.
    """
    number = connection.info.server_version
    server = f"{number // 10000}.{number % 10000}"
    if number // 10000 < OLDEST_SERVER:
        raise DatabaseNotReady(
            f"the server is PostgreSQL {server}; {OLDEST_SERVER} or newer is needed",
            hint="name a newer server in HITL_DATABASE_URL",
        )
    sql = queries(_SQL)
    applied: tuple[int, ...] = ()
    if _scalar(connection, sql["schema_exists"]):
        applied = tuple(row["version"] for row in connection.execute(sql["applied"]))
    ours = [(version, name) for version, name, _ in migrations()]
    known = {version for version, _ in ours}
    return SchemaStatus(
        server=server,
        applied=applied,
        pending=tuple(one for one in ours if one[0] not in applied),
        unknown=tuple(version for version in applied if version not in known),
    )


def require_migrated(connection: psycopg.Connection[DictRow]) -> None:
    """Raise `DatabaseNotReady` unless the schema is the one this program knows."""
    found = status(connection)
    if found.unknown:
        raise DatabaseNotReady(
            f"the database was migrated by a newer hitl-agent (migration {found.unknown[-1]:04})",
            hint="upgrade with `pip install --upgrade hitl-agent`",
        )
    if found.pending:
        raise DatabaseNotReady("the database is not migrated", hint="run `hitl db migrate`")


def migrate(url: str, *, pause: Callable[[float], None] = time.sleep) -> list[str]:
    """Apply what is missing, LangGraph's checkpoint tables first; return the names applied.

    Safe to call from several processes at once. The lock is tried for and never waited on inside
    a statement: LangGraph builds indexes concurrently, which waits for every older statement, so
    a second process that slept in `pg_advisory_xact_lock` would stop the first for ever. For the
    same reason the lock is taken by a simple query, after which no snapshot is held.

    Args:
        url: the database.
        pause: waits the given seconds between two tries for the lock.

    Raises:
        DatabaseUnavailable: no connection.
        DatabaseNotReady: the server is too old, or migrated by a newer program.
    """
    with connect(url) as connection:
        while True:
            with connection.transaction():
                if _scalar(connection, queries(_SQL)["try_lock"]):
                    return _apply(connection, url)
            pause(0.05)


def _apply(connection: psycopg.Connection[DictRow], url: str) -> list[str]:
    _set_up_checkpoints(url)
    sql = queries(_SQL)
    connection.execute(sql["bootstrap"])
    found = status(connection)
    if found.unknown:
        require_migrated(connection)
    pending = {version for version, _ in found.pending}
    for version, name, statements in migrations():
        if version in pending:
            connection.execute(statements)
            connection.execute(sql["applied_one"], {"version": version, "name": name})
    return [f"{version:04}_{name}" for version, name in found.pending]


def _set_up_checkpoints(url: str) -> None:
    """Create or upgrade LangGraph's tables; on a connection of its own, outside any transaction."""
    from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415  `hitl list` needs none

    with connect(url) as connection:
        PostgresSaver(connection).setup()


def _scalar(connection: psycopg.Connection[DictRow], query: bytes) -> object:
    row = connection.execute(query, prepare=False).fetchone()
    return next(iter(row.values())) if row else None
