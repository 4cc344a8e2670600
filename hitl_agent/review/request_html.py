"""A question to the reviewers as a notebook shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hitl_agent import markup
from hitl_agent.calls import ToolCall
from hitl_agent.review.rendering import to_html, to_line

if TYPE_CHECKING:
    from hitl_agent.review.request import ReviewRequest

CLAIMS = "the planner claims, and nobody has checked:"
"""Stands before text of a model."""

_BEGUN = 300
"""Characters of a call that is shown only begun."""


def request_html(request: ReviewRequest, *, whole: bool = True) -> str:
    """Return everything needed to decide on one call as HTML.

    Args:
        request: the question about it.
        whole: show all of the call; else its beginning, for a person who will open it.
    """
    return markup.frame(markup.fields(_fields(request, whole=whole)))


def _fields(one: ReviewRequest, *, whole: bool) -> Iterator[tuple[str, str]]:
    verdict = one.verdict
    yield "call", markup.text(one.call.call_id)
    yield "wants", call_html(one.shown_call) if whole else _begun(one)
    yield "effect", markup.text(verdict.effect)
    yield "stopped" if one.gates else "runs", markup.tier(str(verdict.tier))
    yield "why", markup.listed(map(markup.text, verdict.reasons))
    yield "errors", markup.listed(map(markup.text, verdict.errors))
    yield "claim", f"<i>{CLAIMS}</i>{markup.lines(one.claim)}" if one.claim else ""
    if one.problem:
        yield "problem", markup.text(f"the last answer was refused: {one.problem}")
    if one.revision > 1:
        yield "judged", markup.text(f"{one.revision} times; what is shown is what would run now")
    yield "digest", markup.text(one.call_digest)
    yield "waits", markup.text(f"since {one.created_at:%Y-%m-%d %H:%M:%S %Z}")
    if one.due_at:
        yield "due", markup.text(f"{one.due_at:%Y-%m-%d %H:%M %Z}")
    yield "answers", markup.text(", ".join(verdict.allowed_decisions))
    yield "votes", markup.listed(map(markup.text, _votes(one)))


def call_html(call: ToolCall) -> str:
    """Return a call like `to_html`, its long lines broken: no part may stand beside the page."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere;margin:0;background:none;color:inherit"
    shown = to_html(call).replace("<p>", '<p style="margin:0">')
    return shown.replace("<pre>", f'<pre style="{style}">')


def _begun(one: ReviewRequest) -> str:
    shown = to_line(one.shown_args)
    cut = shown if len(shown) <= _BEGUN else f"{shown[:_BEGUN]}…"
    told = (markup.text(each) for each in one.cautions)
    return markup.listed((markup.text(one.call.tool), markup.isolated(cut), *told))


def _votes(one: ReviewRequest) -> Iterator[str]:
    """Yield how far the approval is, where it takes more than anybody's one vote."""
    wanted = one.verdict.reviewers
    if one.outcome.wanted > 1 or wanted.roles or one.votes:
        yield one.outcome.progress
    for vote in one.votes:
        said = f": {vote.message}" if vote.message else ""
        yield f"{vote.reviewer} {vote.type}{said}"
