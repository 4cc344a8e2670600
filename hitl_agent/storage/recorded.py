"""Every call on the record, in the order of time, for those who judge it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from hitl_agent.calls import MAX_BYTES
from hitl_agent.policy import Tier
from hitl_agent.policy.backtest import RecordedCall
from hitl_agent.policy.replayed_past import Permission
from hitl_agent.storage.database import Database

_PAGE = 500
"""Rows at a time: a page of calls with the longest arguments still fits into memory."""

_MOST = 4 * MAX_BYTES
"""Longest arguments in PostgreSQL's form, which has spaces and escapes that ours has not."""


def recorded_calls(
    database: Database,
    *,
    since: datetime | None = None,
    before: timedelta = timedelta(0),
    graph: str | None = None,
    untrusted: bool = True,
) -> Iterator[RecordedCall]:
    """Yield the calls on the record in the order of their first judgement, page by page.

    A call that was judged again as it was, because the policy changed or because it was in doubt,
    is one; edited, it is another one.

    Args:
        database: where from.
        since: calls judged earlier do not count.
        before: of the time before, how much is yielded all the same, as what others look back at.
        graph: calls of other graphs do not count. The graph of a thread is known from its
            questions and from LangGraph's checkpoints.
        untrusted: whether to look up which tools had run in the thread.
    """
    page: dict[str, Any] = {
        "at": _start(since, before),
        "thread_id": "",
        "call_id": "",
        "revision": 0,
        "graph": graph,
        "untrusted": untrusted,
        "most": _MOST,
        "limit": _PAGE,
    }
    while rows := database.rows("recorded", "calls", **page):
        for row in rows:
            yield _call(row, since)
        if len(rows) < _PAGE:
            return
        page |= {key: rows[-1][key] for key in ("at", "thread_id", "call_id", "revision")}


def _start(since: datetime | None, before: timedelta) -> str:
    if since is None:
        return "-infinity"
    try:
        # what was judged at this very moment is in: no thread has an empty name
        return (since - before).isoformat()
    except OverflowError:
        return "-infinity"


def _call(row: Mapping[str, Any], since: datetime | None) -> RecordedCall:
    judged_at, granted_at, expires_at = row["judged_at"], row["granted_at"], row["expires_at"]
    early = since is not None and judged_at is not None and judged_at < since
    return RecordedCall(
        thread_id=row["thread_id"],
        call_id=row["call_id"],
        revision=row["revision"],
        tool=row["tool"],
        args=_args(row["args"]),
        tier=Tier(row["tier"]),
        judged_at=judged_at,
        confidence=row["confidence"],
        actor=row["actor"],
        ran_before=tuple(row["ran_before"] or ()),
        permission=Permission(granted_at, expires_at, bool(row["used"]))
        if granted_at and expires_at
        else None,
        decision=row["decision"],
        reviewer=row["reviewer"],
        refused=bool(row["refused"]) and row["tier"] == Tier.BLOCK,
        objections=tuple(one.removeprefix(_PREFIX) for one in _texts(row["objections"])),
        errors=_texts(row["errors"]),
        hidden=_texts(row["hidden"]),
        counts=row["of_graph"] and not early,
    )


def _args(text: str | None) -> dict[str, Any] | None:
    """Return arguments; None for what a hand has put in their place."""
    try:
        found = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):  # a number with too many digits, nesting without end
        return None
    return found if isinstance(found, dict) else None


_PREFIX = "a second opinion objects: "
"""Begins the reason of an objection; what judges again puts it there again."""


def _texts(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
