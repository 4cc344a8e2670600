"""One connection and one transaction per tool call, with limits on its time.

A tool call is rare and waits for people; a pool would keep connections for nothing. Statements
are never prepared under a name, so a pgbouncer in transaction mode may stand in between.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from langchain_core.tools import ToolException

from tools.outcome import UnknownOutcome
from tools.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

Connection = psycopg.Connection[tuple[Any, ...]]

DatabaseUrl = str | Callable[[], str]
"""A `postgresql://` URL, or a function that says it when a tool is called."""

_CONNECT: dict[str, Any] = {
    "connect_timeout": 10,
    # a server that vanishes from the network is noticed after half a minute, not after hours
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


@contextmanager
def transaction(
    database_url: DatabaseUrl, *, timeout_ms: int, read_only: bool = False
) -> Iterator[Connection]:
    """Connect and open a transaction; commit it at the end, or roll back if anything is raised.

    A read-only transaction is always rolled back, so that not even a setting outlives it.

    Args:
        database_url: which database.
        timeout_ms: limit on each statement, in milliseconds; a lock is waited for as long. The
            transaction as a whole may take twice that (PostgreSQL 17 and later).
        read_only: whether the server refuses every change.

    Raises:
        ToolException: the database cannot be reached or refuses a statement; nothing was changed.
            Or the connection was lost during the commit; the message says that the outcome is
            unknown.
    """
    url = database_url if isinstance(database_url, str) else database_url()
    try:
        connection = psycopg.connect(url, prepare_threshold=None, **_CONNECT)
    except psycopg.Error as error:
        raise ToolException(f"the database cannot be reached: {_text(error)}") from error
    with closing(connection):  # closing rolls back what was not committed
        connection.read_only = read_only
        try:
            # being a query, this also takes the snapshot after which PostgreSQL lets nobody turn
            # a read-only transaction into another one
            connection.execute(
                query("session.sql", "limit_time"),
                {"statement": str(timeout_ms), "transaction": str(2 * timeout_ms)},
            )
            yield connection
        except psycopg.Error as error:
            raise ToolException(f"the database refused: {_text(error)}") from error
        if not read_only:
            _commit(connection)


def _commit(connection: Connection) -> None:
    try:
        connection.commit()
    except psycopg.Error as error:
        if connection.broken:
            raise UnknownOutcome(
                "the connection was lost during the commit; it is not known whether the change "
                "took effect, so look before trying again"
            ) from error
        raise ToolException(f"the database refused: {_text(error)}") from error


def _text(error: psycopg.Error) -> str:
    """Return the server's own words on one line; they hold no password."""
    diagnosis = error.diag
    if diagnosis.message_primary is None:
        return " ".join(str(error).split())
    parts = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint]
    return " ".join("; ".join(part.rstrip(".") for part in parts if part).split())
