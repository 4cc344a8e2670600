"""Connecting to PostgreSQL, and what may go wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import PoolTimeout

from hitl_agent.errors import (
    ConfigurationError,
    DatabaseNotReady,
    DatabaseUnavailable,
    LeaseLost,
)

CONNECT_TIMEOUT = 10
"""Seconds to wait for a server that does not answer."""

_LEASE_LOST = "HL002"
"""What the database's own triggers say to a writer whose lease is no longer the newest."""


def connection_options() -> dict[str, Any]:
    """Return how we connect: every statement its own transaction, rows as dictionaries."""
    return {
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT,
        # a server whose machine is gone sends no farewell
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 20_000,
        "prepare_threshold": 0,
        "row_factory": dict_row,
    }


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection[DictRow]]:
    """Open one connection, outside any pool.

    Raises:
        DatabaseUnavailable: no connection.
        ConfigurationError: the URL cannot be read.
    """
    with translated():
        _require_readable(url)
        # nothing is prepared: a migration is several statements in one
        with psycopg.connect(
            url, **connection_options() | {"prepare_threshold": None}
        ) as connection:
            yield connection


def _require_readable(url: str) -> None:
    """Raise `ConfigurationError` unless the URL can be read; it may hold a password, so no more."""
    try:
        ports = str(conninfo_to_dict(url).get("port") or "").split(",")
    except psycopg.ProgrammingError:
        ports = ["none"]
    if not all(port == "" or (port.isdigit() and 0 < int(port) < 2**16) for port in ports):
        raise ConfigurationError(
            "the database URL cannot be read",
            hint="write it like `postgresql://user@host:5432/name`",
        )


@contextmanager
def translated() -> Iterator[None]:
    """Turn driver errors that a user can do something about into ours."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise DatabaseNotReady(
            "the database is not migrated", hint="run `hitl db migrate`"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseNotReady(
            f"the role lacks a right: {_first_line(error)}",
            hint="`hitl doctor` says which to grant",
        ) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise DatabaseUnavailable(
            "the database can only be read, as a standby can",
            hint="name the primary in HITL_DATABASE_URL; nothing is lost, run the command again",
        ) from error
    except (psycopg.OperationalError, PoolTimeout) as error:
        if getattr(error, "sqlstate", None) == _LEASE_LOST:
            raise LeaseLost(
                "another worker has taken over the thread",
                hint="nothing was written; the other worker continues the thread",
            ) from error
        raise DatabaseUnavailable(
            f"the database does not answer: {_first_line(error)}",
            hint="start it, or correct HITL_DATABASE_URL; nothing is lost, run the command again",
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
