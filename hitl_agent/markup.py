"""HTML that a notebook shows: nothing from outside is markup, nothing is loaded from anywhere.

Colours are inherited from the page or half transparent, so that it can be read on a light page and
on a dark one.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from hitl_agent.visible import visible

_LINE = "1px solid rgba(128,128,128,.45)"
_CELL = f"border:0;border-top:{_LINE};padding:2px 14px 2px 0;vertical-align:top"
_COLOURS = {
    "auto_approve": "#2f9e5f",
    "soft_review": "#2b8fb8",
    "hard_gate": "#c98500",
    "block": "#d1453f",
}


def isolated(shown: str) -> str:
    """Return text that is safe to show as HTML, its direction kept to itself."""
    return f"<bdi>{html.escape(shown)}</bdi>"


def text(value: object) -> str:
    """Return anything as one line of HTML in which all that does not plainly show is an escape."""
    return isolated(visible(str(value)))


def lines(value: object) -> str:
    """Return text like `text`, with its line breaks."""
    shown = isolated(visible(str(value), lines=True))
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">{shown}</div>'


def listed(items: Iterable[str]) -> str:
    """Return pieces of HTML below one another."""
    return "".join(f'<div style="overflow-wrap:anywhere">{one}</div>' for one in items)


def tier(name: str) -> str:
    """Return the name of a tier, with its colour beside it."""
    colour = _COLOURS.get(name, "currentColor")
    return (
        f'<b style="border-left:.5em solid {colour};padding-left:.4em;white-space:nowrap">'
        f"{text(name)}</b>"
    )


def fields(pairs: Iterable[tuple[str, str]]) -> str:
    """Return pieces of HTML, each beside its label; those that are empty are left out."""
    cells = "".join(
        f'<div style="opacity:.75">{html.escape(label)}</div><div style="min-width:0">{piece}</div>'
        for label, piece in pairs
        if piece
    )
    columns = "minmax(5em,max-content) minmax(0,1fr)"
    return f'<div style="display:grid;grid-template-columns:{columns};gap:2px 14px">{cells}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows of pieces of HTML under a head of labels."""
    style = f'style="{_CELL};text-align:left"'
    body = "".join(
        f"<tr>{''.join(f'<td {style}>{piece}</td>' for piece in row)}</tr>" for row in rows
    )
    names = "".join(f'<th scope="col" {style}>{html.escape(one)}</th>' for one in head)
    return (
        '<table style="border-collapse:collapse;margin:0;background:none">'
        f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
    )


def frame(*pieces: str) -> str:
    """Return pieces of HTML in a frame."""
    style = f"border:{_LINE};border-radius:4px;padding:8px 12px;margin:4px 0;line-height:1.45"
    return f'<div class="hitl" style="{style}">{"".join(pieces)}</div>'
