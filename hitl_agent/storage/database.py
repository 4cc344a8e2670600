"""One PostgreSQL database: a pool of connections and named queries over it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from hitl_agent.errors import DatabaseNotReady
from hitl_agent.storage.connection import CONNECT_TIMEOUT, connect, connection_options, translated
from hitl_agent.storage.location import is_embedded, resolve_database_url
from hitl_agent.storage.migrate import migrate, require_migrated
from hitl_agent.storage.queries import queries

_POOL_SIZE = 10


class Database:
    """A migrated database, shared by everything in this process that uses the same URL.

    Connections commit statement by statement: every change that must be whole is one statement.
    Only what is read and written under `locked` is one transaction.

    Args:
        url: a `postgresql://` URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=_POOL_SIZE,
            open=False,
            timeout=CONNECT_TIMEOUT,
            kwargs=connection_options(),
            configure=_configure,
            name="hitl",
        )
        self._locked: ContextVar[psycopg.Connection[DictRow] | None] = ContextVar(
            "locked", default=None
        )

    def open(self) -> None:
        """Connect and make sure that the schema is the one this program knows.

        Raises:
            DatabaseUnavailable: no connection.
            DatabaseNotReady: the server is too old or the schema is not this program's.
        """
        with connect(self.url) as connection:
            require_migrated(connection)
        self.pool.open()

    def close(self) -> None:
        """Give the connections back."""
        self.pool.close()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """Lend a connection; driver errors leave as ours."""
        if (locked := self._locked.get()) is not None:
            with translated():
                yield locked
            return
        with translated(), self.pool.connection() as connection:
            yield connection

    @contextmanager
    def locked(self, *keys: str) -> Iterator[None]:
        """Let one process at a time read and write what belongs to each of the keys.

        All that is done inside is one transaction, and no other holder of a key begins before it
        has ended. Without keys nothing is locked.
        """
        if not keys:
            yield
            return
        with self.connection() as connection, connection.transaction():
            for key in sorted(set(keys)):  # in one order everywhere, so that nobody waits in a ring
                connection.execute(queries("schema")["lock_key"], {"key": key})
            token = self._locked.set(connection)
            try:
                yield
            finally:
                self._locked.reset(token)

    def rows(self, room: str, name: str, /, **params: Any) -> list[DictRow]:
        """Run a named query and return its rows."""
        with self.connection() as connection:
            return connection.execute(queries(room)[name], _adapted(params)).fetchall()

    def run(self, room: str, name: str, /, **params: Any) -> None:
        """Run a named statement that returns no rows."""
        with self.connection() as connection:
            connection.execute(queries(room)[name], _adapted(params))

    def wrote(self, room: str, name: str, /, **params: Any) -> bool:
        """Run a guarded statement and return whether it found what it was to change."""
        return bool(self.rows(room, name, **params)[0]["written"])


def _configure(connection: psycopg.Connection[DictRow]) -> None:
    # a server may have another default, under which what is read after waiting for a lock is what
    # was there before, and who comes second to a row fails
    connection.execute("SET default_transaction_isolation = 'read committed'")


_lock = threading.Lock()
_opened: dict[str, Database] = {}


def shared_database(url: str | None = None) -> Database:
    """Return this process's open database for a URL, opening it at first use.

    Args:
        url: see `resolve_database_url`.

    Raises:
        DatabaseUnavailable: no connection.
        DatabaseNotReady: see `Database.open`; the embedded server is migrated by itself.
    """
    with _lock:
        named = resolve_database_url(url)
        if named not in _opened:
            database = Database(named)
            try:
                database.open()
            except DatabaseNotReady:
                if not is_embedded(url):
                    raise
                migrate(named)
                database.open()
            _opened[named] = database
        return _opened[named]


def close_shared() -> None:
    """Close every database that `shared_database` opened."""
    with _lock:
        while _opened:
            _opened.popitem()[1].close()


def _adapted(params: Mapping[str, Any]) -> dict[str, Any]:
    return {k: Jsonb(v) if isinstance(v, dict) else v for k, v in params.items()}
