"""The append-only record: what other statements write, and what is read."""

from __future__ import annotations

import json
from typing import Any

from hitl_agent.audit import Entry
from hitl_agent.storage.database import Database


def as_parameter(*entries: Entry) -> str:
    """Return entries as the parameter of the statement that makes them true: a list of texts."""
    return json.dumps([entry.canonical() for entry in entries])


def entries(database: Database, thread_id: str, *, limit: int = 1000) -> list[dict[str, Any]]:
    """Return the last entries of a thread, oldest first, each as plain JSON."""
    rows = database.rows("record", "entries", thread_id=thread_id, limit=limit)
    return [
        {
            "entry_id": row["entry_id"],
            "recorded_at": row["recorded_at"].isoformat(),
            **json.loads(row["entry"]),
        }
        for row in reversed(rows)
    ]
