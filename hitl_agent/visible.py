"""Text from outside, made safe to show: what does not plainly show is an escape."""

from __future__ import annotations

import unicodedata

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
