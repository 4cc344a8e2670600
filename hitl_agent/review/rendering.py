"""Text of models and tools, made safe to show to a person."""

from __future__ import annotations

import unicodedata

_SAFE_CATEGORIES = frozenset({"L", "N", "P", "S"})


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return text in which every character that does not plainly show is an escape.

    Control characters (terminal sequences), bidirectional marks, zero-width and other format
    characters, private and unassigned code points, exotic spaces and combining marks at the start
    become `\xNN`, `\uNNNN` or `\UNNNNNNNN`; a backslash becomes two, so that no two texts look the
    same for that reason.

    Args:
        text: anything.
        lines: leave line feeds as they are, for a place that shows paragraphs.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    shown: list[str] = []
    for index, char in enumerate(text):
        if char == "\\":
            shown.append("\\\\")
        elif _plain(char, first=index == 0) or (char == "\n" and lines):
            shown.append(char)
        else:
            shown.append(_escape(char))
    return "".join(shown)


def _plain(char: str, *, first: bool) -> bool:
    if char == " ":
        return True
    if char in _BLANK:
        return False
    category = unicodedata.category(char)
    if category[0] == "M":
        return (
            not first
            and category != "Me"
            and "VARIATION SELECTOR" not in unicodedata.name(char, "")
        )
    return category[0] in _SAFE_CATEGORIES


_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f")
"""Letters, symbols and marks by category that show as nothing."""


def _escape(char: str) -> str:
    code = ord(char)
    if char == "\n":
        return "\\n"
    if char == "\t":
        return "\\t"
    if code < 0x100:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004
