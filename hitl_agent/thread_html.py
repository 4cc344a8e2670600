"""A thread as a notebook shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hitl_agent import markup
from hitl_agent.review.rendering import to_line, to_lines
from hitl_agent.review.request_html import CLAIMS, request_html

if TYPE_CHECKING:
    from hitl_agent.thread_view import ThreadView

_MOST = 400
"""Characters of a result."""


def thread_html(view: ThreadView, *, waiting: bool = True) -> str:
    """Return a thread as HTML: what it was asked, what happened so far, what waits.

    Args:
        view: the thread.
        waiting: show the calls that wait, too.
    """
    asked = (request_html(one) for one in view.waiting if waiting)
    return markup.frame(markup.fields(_fields(view))) + "".join(asked)


def _fields(view: ThreadView) -> Iterator[tuple[str, str]]:
    thread = view.thread
    yield "thread", markup.text(thread.thread_id)
    yield "graph", markup.text(thread.graph or "not known")
    yield "status", f"<b>{markup.text(thread.status)}</b>"
    yield "error", markup.lines(thread.error) if thread.error else ""
    yield "task", markup.lines(view.task) if view.task else ""
    yield "so far", markup.listed(_results(view))
    final = view.to_json()["final"]
    if final and final != thread.error:
        yield "answer", f"<i>{CLAIMS}</i>{markup.lines(final)}"
    if thread.status == "waiting" and not view.waiting:
        for one in thread.interrupts:
            yield "asks", markup.lines(one.id) + markup.lines(_plain(one.value))


def _results(view: ThreadView) -> Iterator[str]:
    for one in view.results:
        content = one["content"]
        said = content if isinstance(content, str) else to_line(content)
        cut = said if len(said) <= _MOST else f"{said[:_MOST]}…"
        outcome = markup.text(one["outcome"] or "?")
        yield f"<b>{outcome}</b> {markup.text(one['tool'])}: {markup.text(cut)}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else to_lines(value)
