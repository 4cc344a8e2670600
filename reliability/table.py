"""The table."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from reliability.figures import Figure

_HEADS = ("figure", "plain LangGraph", "hitl_agent", "to reach", "")
_WIDTHS = (34, 32, 36, 26, 6)


def as_text(figures: Mapping[str, Figure]) -> str:
    """Return the table, and below it what there is to say of single rows."""
    rule = "  ".join("-" * width for width in _WIDTHS)
    lines = [*_lines(_HEADS), rule]
    for one in figures.values():
        verdict = "ok" if one.reached else "MISSED"
        lines += _lines((one.name, one.plain, one.ours, one.goal, verdict))
    for one in figures.values():
        lines += [f"\n{one.name}:", *(f"  {note}" for note in one.notes)] if one.notes else []
    return "\n".join(lines)


def as_json(figures: Mapping[str, Figure]) -> str:
    """Return the same for programs: an object for each row, by the row's name."""
    return json.dumps({name: asdict(one) for name, one in figures.items()}, indent=2)


def _lines(cells: Sequence[str]) -> list[str]:
    wrapped = [
        textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    height = max(len(cell) for cell in wrapped)
    return [
        "  ".join(
            (cell[line] if line < len(cell) else "").ljust(width)
            for cell, width in zip(wrapped, _WIDTHS, strict=True)
        ).rstrip()
        for line in range(height)
    ]
