"""Where a part of a text value stands in the file, whatever the style that it is written in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hitl_agent.documents import Place

_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])")
_ESCAPED_SPACE = re.compile(r"\\(?:[\stnrvfNLP_]|x(?:09|0[aAdD]|20|85|[aA]0)|u00(?:09|20|[aA]0))")


def place_within(lines: Sequence[str], start: Place, value: str, line: int, column: int) -> Place:
    """Return where a character of a text value stands in the file.

    YAML changes the spaces and line breaks of a value, and never the rest: the tenth visible
    character of the value is the tenth in the file.

    Args:
        lines: of the file.
        start: where the value begins, with its quote or its `|`.
        value: the text.
        line: 1-based line of the character within the value.
        column: 1-based column within that line; one past the end is the end.

    Returns:
        1-based line and column in the file.
    """
    written = value.split("\n")
    before = "".join(written[: line - 1]) + written[line - 1][: column - 1]
    wanted, total = (len("".join(text.split())) for text in (before, value))
    top, left = start
    raw = "\n".join([lines[top - 1][left - 1 :], *lines[top:]]) if top <= len(lines) else ""
    last = 0
    for count, (at, end) in enumerate(_visible(raw)):
        last = end if wanted >= total else at
        if count == min(wanted, total - 1):
            break
    above = raw.count("\n", 0, last)
    within = last - (raw.rfind("\n", 0, last) + 1)
    return top + above, within + (1 if above else left)


def _visible(raw: str) -> Iterator[tuple[int, int]]:
    """Yield where each character of a scalar begins and ends, spaces left out."""
    quote = raw[:1] if raw[:1] in {"'", '"'} else ""
    at = len(quote)
    if raw[:1] in {"|", ">"}:
        at = raw.find("\n") + 1 or len(raw)
    while at < len(raw):
        end = at + 1
        if quote == "'" and raw.startswith("''", at):
            end = at + 2
        elif quote == '"' and (found := _ESCAPE.match(raw, at)):
            end = found.end()
        elif quote and raw[at] == quote:
            return
        if not raw[at].isspace() and not (quote == '"' and _ESCAPED_SPACE.match(raw, at)):
            yield at, end
        at = end
