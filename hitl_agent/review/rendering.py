"""Calls and text of models and tools, made safe to show, and ids made safe to paste."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import rfc8785

from hitl_agent.calls import ToolCall
from hitl_agent.markup import isolated
from hitl_agent.review.cautions import LONG, cautions, length, lengths
from hitl_agent.visible import visible

__all__ = [
    "command",
    "to_html",
    "to_json_text",
    "to_line",
    "to_lines",
    "to_terminal",
    "visible",
]


def to_terminal(call: ToolCall) -> str:
    """Return a call as a reviewer reads it: plainly printable text in lines.

    The first line is the tool's name, then come the arguments as JSON that can be read back, then
    a line beginning with `!` for each of its `cautions` and `lengths`. Two calls of different
    canonical form never give the same text: the name stands alone, made `visible`, and the JSON is
    the canonical one, with white space between its parts and more escapes inside its strings.
    """
    told = (f"! {visible(one)}" for one in (*cautions(call), *lengths(call)))
    return "\n".join((visible(call.tool), to_lines(call.args), *told))


def to_html(call: ToolCall) -> str:
    """Return the same as HTML: the tool's name, its arguments, what is told of them.

    Nothing of the call is markup, and each text in it is isolated (`bdi`), so that letters written
    from right to left cannot change the order of what stands around them.
    """
    told = (*cautions(call), *lengths(call))
    items = "".join(f"<li>{isolated(visible(one))}</li>" for one in told)
    return (
        f'<div class="hitl-call"><p><code>{isolated(visible(call.tool))}</code></p>'
        f"<pre>{_json(call.args, lambda text: isolated(_quoted(text)), 1)}</pre>"
        f"{f'<ul>{items}</ul>' if items else ''}</div>"
    )


def to_json_text(value: Any) -> str:
    """Return a value as JSON in printable ASCII: a terminal that shows it acts on nothing.

    Nothing is lost: what stands there as an escape is read back as it was. What has no JSON form
    is given as its text.
    """
    return json.dumps(value, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


def to_lines(value: Any) -> str:
    """Return a JSON value over several lines, as a person reads it: see `to_terminal`."""
    return _json(value, _quoted, 1)


def to_line(value: Any) -> str:
    """Return a JSON value on one line; of long texts the beginning, their length and digest."""
    return _json(value, _shortened, 0)


def _json(value: Any, quote: Callable[[str], str], level: int) -> str:
    """Write JSON in the order of RFC 8785.

    Args:
        value: plain JSON; anything else is written as its text.
        quote: writes a text.
        level: how deep to indent what stands inside; 0 for all on one line.
    """
    if isinstance(value, Mapping):
        pairs = sorted(((str(key), item) for key, item in value.items()), key=_utf16)
        inside = level + 1 if level else 0
        parts = (f"{quote(key)}: {_json(item, quote, inside)}" for key, item in pairs)
        return _bracketed("{", parts, "}", level)
    if isinstance(value, list | tuple):
        inside = level + 1 if level else 0
        return _bracketed("[", (_json(item, quote, inside) for item in value), "]", level)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        try:
            return rfc8785.dumps(value).decode()
        except rfc8785.CanonicalizationError:  # in a row that was changed by hand
            return json.dumps(value)
    return quote(str(value))


def _bracketed(opening: str, parts: Iterator[str], closing: str, level: int) -> str:
    found = list(parts)
    if not found or not level:
        return opening + ", ".join(found) + closing
    start = "\n" + "  " * level
    return opening + start + f",{start}".join(found) + start[:-2] + closing


def _utf16(pair: tuple[str, Any]) -> bytes:
    return pair[0].encode("utf-16-be", "surrogatepass")


def _quoted(text: str) -> str:
    """Return a text as a string of JSON, with what does not plainly show as an escape of JSON's."""
    return f'"{_OF_JSON.sub(_as_in_json, visible(text))}"'


_OF_JSON = re.compile(r'\\(?:\\|x([0-9a-f]{2})|U([0-9a-f]{8}))|"')
"""What `visible` returns that is not the same in JSON, and doubled backslashes, to pass them by."""


def _as_in_json(found: re.Match[str]) -> str:
    if code := found[1] or found[2]:
        return json.dumps(chr(int(code, 16)))[1:-1].replace("\x7f", "\\u007f")
    return '\\"' if found[0] == '"' else found[0]


def _shortened(text: str) -> str:
    if len(text) <= LONG:
        return _quoted(text)
    return f"{_quoted(text[: LONG // 10])}… [{length(text)}]"


def command(name: str, thread_id: str, **options: str) -> str:
    """Return a command that can be pasted into a shell, whatever the ids contain.

    Call ids come from the model: unquoted, one could smuggle a command of its own.
    """
    given = [word for one in options.items() for word in (f"--{one[0]}", _shell_word(one[1]))]
    thread = [_shell_word(thread_id)]
    if thread_id.startswith("-"):
        return " ".join(("hitl", name, *given, "--", *thread))
    return " ".join(("hitl", name, *thread, *given))


def _shell_word(text: str) -> str:
    if visible(text) == text:
        return shlex.quote(text)
    coded = "".join(
        chr(one) if chr(one).isascii() and chr(one).isalnum() else f"\\x{one:02x}"
        for one in text.encode("utf-8", "replace")
    )
    return f"$'{coded}'"
