"""The SQL of the tools: files in `tools/sql`, and the named statements in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)[^\n]*\n", re.MULTILINE)


@cache
def script(file: str) -> bytes:
    """Return a whole file of `tools/sql`, as bytes, which psycopg takes as trusted SQL."""
    return (_FOLDER / file).read_bytes()


@cache
def query(file: str, name: str) -> bytes:
    """Return the statement that follows the line `-- name: <name>: <what it is for>`.

    Raises:
        KeyError: the file has no such statement.
    """
    _, *rest = _NAME.split(script(file).decode())
    return dict(zip(rest[::2], rest[1::2], strict=True))[name].strip().encode()
