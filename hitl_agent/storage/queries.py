"""Named SQL: every query lives in `sql/queries/*.sql` under a comment line `-- name: purpose`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- ([a-z_]+): (.+)$", re.MULTILINE)


@cache
def queries(room: str) -> dict[str, bytes]:
    """Return the queries of one file by name.

    Args:
        room: the file's name without `.sql`.
    """
    text = (files("hitl_agent.storage") / "sql" / "queries" / f"{room}.sql").read_text("utf-8")
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {
        head[1]: text[head.end() : end].strip().rstrip(";").encode()
        for head, end in zip(heads, ends, strict=True)
    }


def migrations() -> list[tuple[int, str, bytes]]:
    """Return the numbered migrations in order, as number, name and SQL."""
    folder = files("hitl_agent.storage") / "sql" / "migrations"
    found = sorted(
        (path.name, path.read_bytes()) for path in folder.iterdir() if path.name.endswith(".sql")
    )
    return [(int(name[:4]), name[5:-4], sql) for name, sql in found]
