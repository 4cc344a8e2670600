"""Tables and pages of what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from hitl_agent.cli.output import (
    age,
    line,
    out,
    rows,
    safe,
    safe_lines,
    short_args,
    width,
)
from hitl_agent.review.rendering import command, to_lines, to_terminal
from hitl_agent.review.request import ReviewRequest
from hitl_agent.storage.interrupts import Asked, plain

if TYPE_CHECKING:
    from hitl_agent.runtime import ThreadView
    from hitl_agent.storage.threads import Thread

_LABEL = 11
"""Width of the labels of a page."""

CLAIMS = "the planner claims:"
"""Stands before text of a model: nobody has checked it."""

_PAGE = (100, 40)
"""Columns and rows of a page where there is no terminal to ask."""

_LEAST_ROWS = 5
_MENU_ROWS = 6
"""Rows that a page leaves for the question below it."""

_COLUMNS = ("DUE", "WAITS", "TIER", "THREAD", "CALL", "TOOL", "GRAPH", "ARGUMENTS", "WHY")

_OTHERS = ("WAITS", "STATUS", "THREAD", "GRAPH", "NODE", "INTERRUPT", "ASKS")

_LEAST = 25
"""Columns that arguments and reasons each need; with less there is no table."""

_NAME = 40
"""Columns that a name may take in the table; `hitl show` has it whole."""


def print_waiting(waiting: Sequence[ReviewRequest]) -> None:
    """Print what waits, in the order given: a line each, or a few where there is little room."""
    if not _print_table(waiting):
        for index, one in enumerate(waiting):
            if index:
                line("")
            _print_card(one)


def _print_table(waiting: Sequence[ReviewRequest]) -> bool:
    """Print a table; False when arguments and reasons would have no room beside the rest."""
    rows = [_COLUMNS]
    rows += [
        (
            _due(one.due_at),
            age(one.created_at),
            str(one.verdict.tier),
            safe(one.thread_id),
            safe(one.call.call_id, limit=_NAME),
            safe(one.call.tool, limit=_NAME),
            safe(one.graph, limit=_NAME),
            short_args(one.shown_args, limit=200),
            safe(_why(one), limit=200),
        )
        for one in waiting
    ]
    wanted = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    free = width() - sum(wanted[:-2]) - 2 * (len(wanted) - 1)
    if out.is_terminal and sum(wanted[-2:]) > free:  # ids stay whole, the rest shares what is left
        if free < 2 * _LEAST:
            return False
        wanted[-2] = min(wanted[-2], max(free - wanted[-1], free // 2))
        wanted[-1] = min(wanted[-1], free - wanted[-2])
    _print_rows(rows, wanted)
    return True


def _print_rows(rows: Sequence[Sequence[str]], wanted: Sequence[int]) -> None:
    for index, row in enumerate(rows):
        cells = [_fitted(cell, size) for cell, size in zip(row, wanted, strict=True)]
        line("  ".join(cells).rstrip(), style="bold" if index == 0 else None)


def print_others(others: Sequence[Asked | Thread]) -> None:
    """Print what graphs ask by themselves and threads that stopped, in the order given.

    A line each; where there is little room on a terminal, two.
    """
    rows = [_OTHERS, *map(_other, others)]
    wanted = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    free = width() - sum(wanted[:-1]) - 2 * (len(wanted) - 1)
    if not out.is_terminal or free >= _LEAST:
        _print_rows(rows, [*wanted[:-1], min(wanted[-1], free)])
        return
    for waits, status, thread, graph, node, interrupt, asks in rows[1:]:
        where = f"graph {graph}  {f'node {node}  ' if node != '-' else ''}{interrupt}"
        line(f"thread {thread}  {status}  {waits}", style="bold")
        line(f"  {where}")
        line(f"  {asks}", style="yellow")


def _other(one: Asked | Thread) -> Sequence[str]:
    graph = safe(one.graph, limit=_NAME) or "-"
    if isinstance(one, Asked):
        told = f"cannot be read: {safe(one.problem)}" if one.problem else short_args(one.value)
        asks = f"failed since it asked: {told}" if one.failed else told
        node, interrupt = safe(one.node, limit=_NAME) or "-", one.interrupt_id or "-"
        since, status = one.asked_at, "waiting"
    else:
        node = interrupt = "-"
        since, status, asks = one.updated_at, one.status, safe(one.error or "", limit=200)
    interrupt = safe(interrupt, limit=_NAME)
    return age(since), status, safe(one.thread_id), graph, node, interrupt, asks


def _fitted(cell: str, size: int) -> str:
    """Return a cell in as many columns of the terminal: padded, or cut with a sign that it is."""
    short = cell_len(cell) <= size
    return set_cell_size(cell, size) if short else f"{set_cell_size(cell, size - 1)}…"


def _print_card(one: ReviewRequest) -> None:
    tool = safe(one.call.tool, limit=_NAME)
    room = width() - 2
    line(
        f"{tool} {short_args(one.shown_args, limit=max(_LEAST, room - len(tool)))}",
        style="bold",
    )
    line(f"  thread {safe(one.thread_id)}  call {safe(one.call.call_id, limit=_NAME)}")
    graph = safe(one.graph, limit=_NAME)
    tier = f"{one.verdict.tier}  " if not one.gates else ""
    line(f"  {tier}graph {graph}  waits {age(one.created_at)}  due {_due(one.due_at)}")
    line(f"  {safe(_why(one), limit=max(_LEAST, room))}", style="yellow")


def pages(one: ReviewRequest, *, screen: bool = True) -> list[str]:
    """Return a call in pages that are seen at once each.

    Args:
        one: the question about the call.
        screen: fit them to this terminal, if there is one; else they are the same everywhere.
    """
    columns, height = _PAGE
    if screen and out.is_terminal:
        columns, height = out.width, max(_LEAST_ROWS, out.height - _MENU_ROWS)
    found = rows(_call(one), columns)
    return ["\n".join(found[at : at + height]) for at in range(0, len(found), height)]


def _call(one: ReviewRequest) -> str:
    """Return a call under our labels, what is told of it (`!`) last."""
    tool, rest = to_terminal(one.shown_call).split("\n", 1)
    shown = rest.replace("\n", "\n    ")
    return f"{'tool':<{_LABEL}}{tool}\narguments\n    {shown}"


def print_request(one: ReviewRequest, *, begin: bool = False) -> None:
    """Print everything needed to decide on one call.

    Args:
        one: the question about it.
        begin: print the first page only of a call that has several: the person will be asked to
            read on.
    """
    print_field("call", one.call.call_id)
    parts = pages(one) if begin else []
    text, caution, cautions = (parts[0] if len(parts) > 1 else _call(one)).partition("\n    ! ")
    line(text)
    if caution:
        line(f"    ! {cautions}", style="yellow")
    if len(parts) > 1:
        line(f"    … page 1 of {len(parts)}", style="dim")
    print_field("effect", str(one.verdict.effect))
    print_field("stopped" if one.gates else "runs", str(one.verdict.tier), style="yellow")
    for reason in one.verdict.reasons:
        line(f"    - {safe(reason)}")
    if one.claim:
        print_field("claim", CLAIMS)
        print_text("", one.claim)
    if one.problem:
        print_field("problem", f"the last answer was refused: {one.problem}", style="red")
    if one.revision > 1:
        print_field("judged", f"{one.revision} times; what is shown is what would run now")
    print_field("digest", one.call_digest)
    due = f", due {_due(one.due_at)} ({one.due_at:%Y-%m-%d %H:%M %Z})" if one.due_at else ""
    print_field("waits", f"{age(one.created_at)}{due}")
    print_field("answers", ", ".join(one.verdict.allowed_decisions))
    for progress in _voted(one):
        print_field("votes", progress)
    for vote in one.votes:
        said = f": {vote.message}" if vote.message else ""
        line(f"    - {safe(f'{vote.reviewer} {vote.type}{said}')}")


def print_results(results: Sequence[dict[str, Any]]) -> None:
    """Print what happened so far."""
    for one in results:
        content = one["content"]
        text = (
            safe(content, limit=400) if isinstance(content, str) else short_args(content, limit=400)
        )
        line(f"    {safe(one['outcome'] or '?'):<10} {safe(one['tool'])}: {text}")


def print_field(name: str, text: str, *, style: str | None = None) -> None:
    """Print a labelled line."""
    line(f"{name:<{_LABEL}}{safe(text)}".rstrip(), style=style)


def print_text(name: str, text: str, *, style: str | None = None) -> None:
    """Print a labelled text; its further lines stand below the first, indented."""
    line(f"{name:<{_LABEL}}{safe_lines(text, indent=_LABEL)}".rstrip(), style=style)


def print_thread(view: ThreadView) -> None:
    """Print a thread: what it was asked, what happened so far, what waits."""
    thread = view.thread
    print_field("thread", thread.thread_id)
    print_field("graph", thread.graph or "not known")
    print_field("status", thread.status, style="bold")
    if thread.error:
        print_text("error", thread.error, style="red")
    if view.task:
        print_text("task", view.task)
    if view.results:
        print_field("so far", "")
        print_results(view.results)
    final = view.to_json().get("final")
    if isinstance(final, str) and final and final != thread.error:
        print_field("answer", CLAIMS)
        print_text("", final)
    for one in view.waiting:
        line("")
        print_request(one)
    if thread.status == "waiting":
        for interrupt in view.asks:
            line("")
            print_field("interrupt", interrupt.id)
            asks = to_lines(plain(interrupt.value)).replace("\n", "\n" + " " * _LABEL)
            line(f"{'asks':<{_LABEL}}{asks}")


def next_steps(view: ThreadView, graph: str | None = None) -> list[str]:
    """Return the commands that may be typed next; none when there is nothing left to do.

    Args:
        view: the thread.
        graph: its graph's name, where a person had to say it.
    """
    thread = view.thread
    named = {} if thread.graph else {"graph": graph or "NAME"}
    gated = [one for one in view.waiting if one.gates]
    match thread.status:
        case "waiting" if gated:
            return _answers(thread.thread_id, gated)
        case "waiting" if thread.interrupts or not view.waiting:
            again = command("resume", thread.thread_id, **named)
            return [again + " --payload '{\"resume\": ...}'"]
        case "waiting" | "done":
            return _answers(thread.thread_id, view.waiting)
        case "failed" if _ended(view):
            return [command("history", thread.thread_id)]
        case _:
            return [command("resume", thread.thread_id, **named)]


def _answers(thread_id: str, asked: Sequence[ReviewRequest]) -> list[str]:
    """Return the commands that answer the first question; none if there is none."""
    options = {"call": asked[0].call.call_id} if len(asked) > 1 else {}
    return [
        command(name, thread_id, **options) + (" --reason TEXT" if name == "respond" else "")
        for name in ("approve", "reject", "edit", "respond")
        if asked and name in asked[0].verdict.allowed_decisions
    ]


def _ended(view: ThreadView) -> bool:
    """Whether a failed thread came to its end, so that there is nothing to resume."""
    messages = view.thread.messages
    kwargs = messages[-1].additional_kwargs if messages else {}
    return isinstance(kwargs, Mapping) and kwargs.get("outcome") == "failed"


def _why(one: ReviewRequest) -> str:
    """Return what to know of a call before its arguments: what deceives first, then the rest."""
    if one.verdict.errors:  # a call in doubt, for one: that it may have happened comes first
        return "; ".join((*one.verdict.reasons, *one.cautions, *_voted(one)))
    return "; ".join((*one.cautions, *_voted(one), *one.verdict.reasons))


def _voted(one: ReviewRequest) -> list[str]:
    """Return how far the approval is, where it takes more than anybody's one vote."""
    outcome = one.outcome
    several = outcome.wanted > 1 or one.verdict.reviewers.roles or one.votes
    return [outcome.progress] if several else []


def _due(due_at: datetime | None) -> str:
    if due_at is None:
        return "-"
    ahead = age(due_at)
    return f"in {ahead[1:]}" if ahead.startswith("-") else "overdue"
