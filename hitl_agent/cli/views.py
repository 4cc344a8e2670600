"""Tables and pages of what waits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from hitl_agent.cli.output import age, line, out, safe, safe_lines, short_args
from hitl_agent.review.request import ReviewRequest


def print_waiting(waiting: Sequence[ReviewRequest]) -> None:
    """Print what waits as a table, in the order given."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("THREAD", "GRAPH", "CALL", "TOOL", "ARGUMENTS", "WHY", "WAITS", "DUE"):
        table.add_column(name, overflow="fold", no_wrap=name in ("WAITS", "DUE"))
    for one in waiting:
        due = f"in {age(one.due_at)[1:]}" if one.due_at and age(one.due_at)[0] == "-" else None
        cells = (
            one.thread_id,
            one.graph,
            one.call.call_id,
            one.call.tool,
            short_args(dict(one.call.args)),
            "; ".join(one.verdict.reasons),
            age(one.created_at),
            due or ("overdue" if one.due_at else "-"),
        )
        table.add_row(*(Text(safe(cell)) for cell in cells))
    out.print(table)


def print_request(one: ReviewRequest) -> None:
    """Print everything needed to decide on one call."""
    _field("call", safe(one.call.call_id))
    _field("tool", f"{safe(one.call.tool)} ({one.verdict.effect})", style="bold")
    _field("arguments", "")
    shown = json.dumps(dict(one.call.args), indent=2, ensure_ascii=False)
    # escapes inside JSON strings are JSON's own: what is left raw is made visible line by line
    for text in shown.split("\n"):
        line(f"    {_json_line(text)}")
    _field("stopped", f"{one.verdict.tier}", style="yellow")
    for reason in one.verdict.reasons:
        line(f"    - {safe(reason)}")
    if one.claim:
        _field("claim", f"{safe(one.claim)} (the planner's own words, not checked)")
    if one.problem:
        _field("problem", f"the last answer was refused: {safe(one.problem)}", style="red")
    _field("digest", one.call_digest)
    due = f", due {one.due_at:%Y-%m-%d %H:%M %Z}" if one.due_at else ""
    _field("waits", f"{age(one.created_at)}{due}")
    _field("answers", ", ".join(one.verdict.allowed_decisions))


def print_results(results: Sequence[dict[str, Any]]) -> None:
    """Print what happened so far."""
    for one in results:
        content = one["content"]
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        line(f"    {one['outcome'] or '?':<10} {safe(one['tool'])}: {safe(text, limit=400)}")


def print_field(name: str, text: str, *, style: str | None = None) -> None:
    """Print a labelled line; the text may have several lines."""
    _field(name, safe_lines(text), style=style)


def _json_line(text: str) -> str:
    """Make one line of JSON safe to show; its backslashes are JSON's and stay."""
    return "\\".join(safe(part) for part in text.split("\\"))


def _field(name: str, text: str, *, style: str | None = None) -> None:
    line(f"{name:<10} {text}".rstrip(), style=style)
