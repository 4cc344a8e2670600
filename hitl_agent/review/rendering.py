"""Calls and text of models and tools, made safe to show, and ids made safe to paste."""

from __future__ import annotations

import html
import json
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import rfc8785

from hitl_agent.calls import ToolCall
from hitl_agent.review.cautions import LONG, cautions, length, lengths

_SAFE_CATEGORIES = frozenset({"L", "N", "P", "S"})

_MAX_MARKS = 4
"""Marks on one letter: more than any living script needs cover the lines above and below."""


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return text in which every character that does not plainly show is an escape.

    Control characters (terminal sequences), bidirectional marks, zero-width and other format
    characters, private and unassigned code points, exotic spaces and blank letters become `\xNN`,
    `\uNNNN` or `\UNNNNNNNN`; so do combining marks, except a few on a letter or digit that they
    change plainly. A backslash becomes two, so the escapes can be read back: no two texts give the
    same one. Of characters that Unicode calls equivalent, such as an accented letter and a letter
    with an accent, one spelling is shown as it is (normalization form C), so that two texts do not
    look the same for that reason.

    What remains: letters that look alike in different scripts, and the letters of scripts that are
    written from right to left, which a terminal may show in their own direction.

    Args:
        text: anything.
        lines: leave line feeds as they are, for a place that shows paragraphs.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    shown: list[str] = []
    letter = ""  # what a mark may stand on: a letter or digit just shown, with its marks
    for char in text:
        category = unicodedata.category(char)
        if category[0] == "M" and _fits(char, category, letter):
            shown.append(char)
            letter += char
            continue
        plain = _plain(char, category)
        letter = char if plain and category[0] in "LN" else ""
        if plain or (char == "\n" and lines):
            shown.append(char)
        else:
            shown.append(_escape(char))
    return "".join(shown)


def _fits(mark: str, category: str, letter: str) -> bool:
    """Whether a mark shows plainly on a letter."""
    return (
        0 < len(letter) <= _MAX_MARKS
        and category != "Me"
        and unicodedata.combining(mark) != _OVERLAY
        and mark not in _BLANK
        and not any(word in unicodedata.name(mark, "") for word in ("SELECTOR", "JOINER"))
        and unicodedata.is_normalized("NFC", letter + mark)
    )


def _plain(char: str, category: str) -> bool:
    return char == " " or (
        category[0] in _SAFE_CATEGORIES
        and char not in _BLANK
        and char != "\\"
        and not (char >= "\u1160" and any(first <= char <= last for first, last in _JOINING))
        and unicodedata.is_normalized("NFC", char)
    )


_OVERLAY = 1
"""Combining class of marks that are drawn through the letter: it could be any other below."""

_JOINING = (("\u1160", "\u11ff"), ("\ud7b0", "\ud7ff"))
"""Vowels and finals of Hangul that have no width of their own."""

_BLANK = frozenset(
    "\u034f\u115f\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\ufffc\uffa0"
    "\U00013441\U00013442\U00016fe4\U0001d159"
)
"""Letters, symbols and marks by category that show as nothing."""


def _escape(char: str) -> str:
    code = ord(char)
    if char == "\\":
        return "\\\\"
    if char == "\n":
        return "\\n"
    if char == "\t":
        return "\\t"
    if code < 0x100:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


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
    items = "".join(f"<li>{_isolated(visible(one))}</li>" for one in told)
    return (
        f'<div class="hitl-call"><p><code>{_isolated(visible(call.tool))}</code></p>'
        f"<pre>{_json(call.args, lambda text: _isolated(_quoted(text)), 1)}</pre>"
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


def _isolated(shown: str) -> str:
    return f"<bdi>{html.escape(shown)}</bdi>"


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
