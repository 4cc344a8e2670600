"""Several statements gathered into one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

_MOST_ROWS = 200
"""Rows of one statement, which takes 65,535 parameters; each count is a plan of its own."""

_FENCED = b"SELECT set_config('hitl.token', %s, true)"
"""Says to the transaction under which lease it writes; the fence is asked when it commits."""

_VALUES = re.compile(r"VALUES\s*\((?:%s(?:::\w+)?,?\s*)+\)")


class Gathered:
    """Takes the place of a cursor that only writes, and keeps what it is told.

    PostgreSQL runs the parts of one statement against the same snapshot, so they are joined only
    when they cannot see each other: each into a table of its own, and no row meant to replace
    another one of the same statement.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[str, list[Sequence[Any]]]] = []

    def execute(self, sql: str, row: Sequence[Any]) -> None:
        """Keep one statement."""
        self._parts.append((sql, [row]))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Keep a statement for each row."""
        if kept := list(rows):
            self._parts.append((sql, kept))

    def as_one(self, token: str) -> tuple[bytes, list[Any]] | None:
        """Return one statement and its parameters, or None if the parts cannot be joined.

        Args:
            token: of the lease under which it is written, or nothing.
        """
        sql = _joined(tuple((sql, len(rows)) for sql, rows in self._parts))
        if sql is None:
            return None
        values = [value for _, rows in self._parts for row in rows for value in row]
        return sql, [*values, token]

    def one_by_one(self, token: str) -> Iterator[tuple[bytes, Sequence[Any]]]:
        """Return the statements in order, for one transaction."""
        yield _FENCED, [token]
        for sql, rows in self._parts:
            for row in rows:
                yield sql.encode(), row


@lru_cache(maxsize=1024)
def _joined(parts: tuple[tuple[str, int], ...]) -> bytes | None:
    tables = [re.search(r"\b(?:INTO|FROM)\s+(\w+)", sql) for sql, _ in parts]
    names = [table[1] for table in tables if table]
    if not parts or len(set(names)) != len(parts) or sum(rows for _, rows in parts) > _MOST_ROWS:
        return None
    statements = []
    for sql, rows in parts:
        values = _VALUES.search(sql)
        if rows > 1 and (values is None or "DO UPDATE" in sql):
            return None
        row = values[0].removeprefix("VALUES") if values else ""
        many = sql if values is None else sql.replace(values[0], "VALUES" + ",".join([row] * rows))
        statements.append(many.strip().rstrip(";"))
    named = ", ".join(f"part_{number} AS ({sql})" for number, sql in enumerate(statements))
    return f"WITH {named} ".encode() + _FENCED
