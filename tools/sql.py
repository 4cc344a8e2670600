"""SQL tools: one read-only query, or one changing statement, on a Postgres database.

Why `sql_query` cannot change a table:

1. The statement travels in the extended query protocol, which takes one statement and refuses
   `SELECT 1; DROP TABLE t` as a syntax error.
2. It travels as the body of `DECLARE … CURSOR FOR`, where PostgreSQL's own parser allows nothing
   but SELECT, VALUES, TABLE and WITH without changes: no COMMIT, SET, DO, COPY or CALL.
3. The transaction is READ ONLY, which also holds for whatever a function does inside, and it has
   its snapshot, after which it cannot be made READ WRITE.
4. It ends in a rollback.

What a query can still do is what its role may do outside of tables: a superuser's functions read
the server's files or end other sessions. Give the URL of a role that may not.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import TYPE_CHECKING, Any

import psycopg
from langchain_core.tools import BaseTool, ToolException
from psycopg.pq import TransactionStatus
from pydantic import Field

from tools.arguments import Arguments, as_tool
from tools.database import Connection, DatabaseUrl, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

Parameter = str | int | float | bool | None

MAX_CHARACTERS = 1_000_000  # of one result, all values together
_EXACT = 2**53 - 1  # the largest integer that every JSON reader keeps as it is

_PARAMETERS = (
    "values for $1, $2, … in the statement, in order; where PostgreSQL cannot tell a value's type, "
    "cast it in the statement, as in $1::int"
)


class SqlQuery(Arguments):
    """Arguments of `sql_query`."""

    sql: str = Field(max_length=100_000, description="one SELECT, VALUES, TABLE or WITH query")
    parameters: list[Parameter] = Field(default=[], max_length=1000, description=_PARAMETERS)


class SqlExecute(Arguments):
    """Arguments of `sql_execute`."""

    sql: str = Field(max_length=100_000, description="one statement that returns no rows")
    parameters: list[Parameter] = Field(default=[], max_length=1000, description=_PARAMETERS)


def sql_tools(
    database_url: DatabaseUrl, *, statement_timeout_ms: int = 5000, max_rows: int = 200
) -> list[BaseTool]:
    """Return `sql_query` and `sql_execute`.

    Args:
        database_url: the database; a function is asked at each call.
        statement_timeout_ms: limit on one statement in milliseconds, above 0.
        max_rows: how many rows a query returns at most, above 0.
    """

    def sql_query(sql: str, parameters: list[Parameter] | None = None) -> dict[str, Any]:
        """Run one query in a read-only transaction and return its columns and rows.

        `truncated` says that there are more rows than were returned. Numbers of exact precision,
        dates, UUIDs and bytes (hexadecimal) come as strings.
        """
        _refuse_nul(sql)
        with transaction(
            database_url, timeout_ms=statement_timeout_ms, read_only=True
        ) as connection:
            deadline = time.monotonic() + 2 * statement_timeout_ms / 1000
            with psycopg.RawServerCursor(connection, "tool") as cursor:
                cursor.execute(sql.encode(), _as_text(parameters or []))
                columns = [column.name for column in cursor.description or ()]
                rows, truncated = _fetch(cursor, max_rows, deadline)
        return {"columns": columns, "rows": rows, "truncated": truncated}

    def sql_execute(sql: str, parameters: list[Parameter] | None = None) -> dict[str, Any]:
        """Run one changing statement in a transaction of its own and commit it.

        Returns how many rows were affected, 0 for a statement that affects no rows. A statement
        that returns rows is refused: use `sql_query`, or leave RETURNING out.
        """
        _refuse_nul(sql)
        values = _as_text(parameters or [])
        with transaction(database_url, timeout_ms=statement_timeout_ms) as connection:
            _refuse_rows(connection, sql.encode())
            with psycopg.RawCursor(connection) as cursor:
                # the binary format makes psycopg use the extended protocol without parameters too
                cursor.execute(sql.encode(), values, binary=True)
                affected = cursor.rowcount
            if connection.info.transaction_status != TransactionStatus.INTRANS:
                raise ToolException("the statement ended the transaction; leave that to the tool")
        return {"rows_affected": max(affected, 0)}

    return [as_tool(sql_query, SqlQuery), as_tool(sql_execute, SqlExecute)]


def _refuse_nul(sql: str) -> None:
    # libpq would stop reading there, and run less than the reviewer saw
    if "\x00" in sql:
        raise ToolException("the statement has a NUL character; leave it out")


def _as_text(parameters: Sequence[Parameter]) -> list[str | None]:
    """Give the values as untyped literals: PostgreSQL takes the type from their place."""
    return [
        None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        for value in parameters
    ]


def _refuse_rows(connection: Connection, sql: bytes) -> None:
    """Ask the server what the statement returns, without running it.

    A result that nobody wants would be read into memory whole, however large.
    """
    backend = connection.pgconn
    prepared = backend.prepare(b"", sql)
    if prepared.status == psycopg.pq.ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(prepared, encoding=connection.info.encoding)
    if backend.describe_prepared(b"").nfields:
        raise ToolException(
            "the statement returns rows; use `sql_query` to read, or leave out RETURNING"
        )


def _fetch(
    cursor: psycopg.RawServerCursor[Any], max_rows: int, deadline: float
) -> tuple[list[list[Any]], bool]:
    """Fetch row by row, so that one row beyond the limits is the most that is held in memory."""
    rows: list[list[Any]] = []
    characters = 0
    while (row := cursor.fetchone()) is not None:  # a row without columns is one too
        values = [_as_json(value) for value in row]
        characters += sum(len(str(value)) for value in values)
        if len(rows) == max_rows or characters > MAX_CHARACTERS:
            return rows, True
        if time.monotonic() > deadline:
            raise ToolException("the query takes too long; ask for less")
        rows.append(values)
    return rows, False


def _as_json(value: Any) -> Any:
    plain: Any = value
    match value:
        case None | bool() | str():
            pass
        case int():
            plain = value if abs(value) <= _EXACT else str(value)
        case float():  # JSON has no infinity; every comparison with NaN is false
            plain = value if abs(value) < math.inf else str(value)
        case bytes():
            plain = "\\x" + value.hex()
        case dt.date() | dt.time():
            plain = value.isoformat()
        case dict():
            plain = {str(key): _as_json(item) for key, item in value.items()}
        case list() | tuple():
            plain = [_as_json(item) for item in value]
        case _:  # Decimal, UUID, timedelta, ranges, network addresses, …
            plain = str(value)
    return plain
