"""One PostgreSQL database: a pool of connections and named queries over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from hitl_agent.errors import DatabaseNotReady
from hitl_agent.storage.connection import CONNECT_TIMEOUT, connect, connection_options, translated
from hitl_agent.storage.location import is_embedded, resolve_database_url
from hitl_agent.storage.migrate import migrate, require_migrated
from hitl_agent.storage.patience import Patience
from hitl_agent.storage.queries import queries

T = TypeVar("T")

POOL_SIZE = 10
"""Connections of one process, at most."""

ISOLATION = "read committed"
"""What our transactions begin as."""

_LONGEST_LIMIT = 24 * 3600.0
"""Seconds: the longest that a server is told; it counts milliseconds in 31 bits."""

_RECONNECT = 0.5
"""Seconds between two tries of the pool to connect, while somebody waits for a connection."""


class Database:
    """A migrated database, shared by everything in this process that uses the same URL.

    Connections commit statement by statement: every change that must be whole is one statement.
    Only what is read and written under `locked` is one transaction.

    A connection that is lost is waited for, see `patiently`.

    Args:
        url: a `postgresql://` URL.
        patience: how long a lost database is waited for; a minute unless given.

    Attributes:
        reached: called before and after each exchange with the database, with a name such as
            `before attempts.start`. Does nothing, except where a test stops the process.
    """

    reached: Callable[[str], None]

    def __init__(self, url: str, *, patience: Patience | None = None) -> None:
        self.url = url
        self.reached = _nothing
        self._patience = patience or Patience()
        self.pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=POOL_SIZE,
            open=False,
            timeout=CONNECT_TIMEOUT,
            kwargs=connection_options(),
            configure=_configure,
            reconnect_timeout=_RECONNECT,
            reconnect_failed=_reconnect,
            name="hitl",
        )
        self._locked: ContextVar[psycopg.Connection[DictRow] | None] = ContextVar(
            "locked", default=None
        )

    def open(self) -> None:
        """Connect and make sure that the schema is the one this program knows.

        Raises:
            DatabaseUnavailable: no connection.
            DatabaseNotReady: the server is too old, the schema is not this program's, or a pooler
                stands before transactions that are not read committed.
        """
        with connect(self.url) as connection:
            require_migrated(connection)
            _configure(connection)
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
            with self.on(connection):
                yield

    @contextmanager
    def transaction(self, *, limit: float) -> Iterator[psycopg.Connection[DictRow]]:
        """Lend a connection in one transaction, which the server ends when it takes too long.

        Args:
            limit: seconds for a statement, and between two of them.
        """
        milliseconds = str(max(1, int(min(limit, _LONGEST_LIMIT) * 1000)))
        with self.connection() as connection, connection.transaction():
            connection.execute(queries("schema")["limit"], {"limit": milliseconds})
            try:
                yield connection
            finally:
                connection.row_factory = dict_row  # whoever has it next relies on it

    @contextmanager
    def on(self, connection: psycopg.Connection[DictRow]) -> Iterator[None]:
        """Let what is asked of this database inside belong to a connection's transaction."""
        token = self._locked.set(connection)
        try:
            yield
        finally:
            self._locked.reset(token)

    def patiently(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; while the database is away, wait and do it again.

        When a connection breaks, nobody knows whether its last statement was committed, so `work`
        may be done again after it was done: it must be an upsert, a guarded statement, or read
        only. A guarded statement that then answers "nothing to change" may have been the one that
        changed it, so a caller reads again and never assumes.

        Under `locked` nothing is done again: half a transaction cannot be sent twice. Whoever
        wants that waited out puts `patiently` around the whole block.

        Raises:
            DatabaseUnavailable: it stayed away for as long as it is waited for.
            LeaseLost: another worker has taken over the thread.
        """
        with translated():
            if self._locked.get() is not None:
                return work()
            return self._patience.wait_out(work, self.pool.drain)

    def rows(self, room: str, name: str, /, **params: Any) -> list[DictRow]:
        """Run a named query and return its rows; see `patiently`."""
        return self.patiently(lambda: self._sent(room, name, params).fetchall())

    def run(self, room: str, name: str, /, **params: Any) -> None:
        """Run a named statement that returns no rows; see `patiently`."""
        self.patiently(lambda: self._sent(room, name, params))

    def _sent(self, room: str, name: str, params: Mapping[str, Any]) -> psycopg.Cursor[DictRow]:
        with self.connection() as connection:
            self.reached(f"before {room}.{name}")
            cursor = connection.cursor(row_factory=dict_row)  # a tool may have set another one
            cursor.execute(queries(room)[name], _adapted(params))
            self.reached(f"after {room}.{name}")
        return cursor

    def wrote(self, room: str, name: str, /, **params: Any) -> bool:
        """Run a guarded statement and return whether it found what it was to change.

        False may also mean that this very statement changed it and the answer was lost; see
        `patiently`.
        """
        return bool(self.rows(room, name, **params)[0]["written"])


def _nothing(_point: str) -> None:
    pass


def _reconnect(pool: ConnectionPool[psycopg.Connection[DictRow]]) -> None:
    # the pool itself would try less and less often, and never again for those who wait already
    if pool.get_stats().get("requests_waiting"):
        pool.check()


def _configure(connection: psycopg.Connection[DictRow]) -> None:
    """Make a new connection fit to work with, also behind a pooler.

    A pooler that shares servers by transaction, as pgbouncer can, hands every transaction to
    another one: a statement that was prepared is not there, and what `SET` changed is changed for
    a stranger. It is known by giving itself out for another process than the one that answers.

    Raises:
        DatabaseNotReady: a pooler, and transactions there do not begin as read committed.
    """
    row = connection.execute(queries("schema")["session"], prepare=False).fetchone() or {}
    pooled = row["pid"] != connection.info.backend_pid
    if pooled:
        connection.prepare_threshold = None
    if row["isolation"] == ISOLATION:
        return
    # under any other, what is read after waiting for a lock is what was there before, and who
    # comes second to a row fails
    if pooled:
        raise DatabaseNotReady(
            f"behind the pooler, transactions begin as {row['isolation']}",
            hint=f"ALTER ROLE {row['role']} SET default_transaction_isolation = '{ISOLATION}'",
        )
    connection.execute(queries("schema")["isolation"], prepare=False)


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
