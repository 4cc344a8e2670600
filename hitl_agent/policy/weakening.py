"""Whether a condition that differs in its numbers alone holds for more calls, or for fewer."""

from __future__ import annotations

from collections.abc import Sequence

from hitl_agent.policy.expression_text import Token, tokens

_UP = ("<", "<=")
_DOWN = (">", ">=")
_COMPARES = (*_UP, *_DOWN, "==", "!=")
_ENDS = ("", "&&", "||", ")")
_SIGNS = (*_COMPARES, "&&", "||", "(", ")", ".", "[", "]", "+", "-", "*", "/", "%")


def weakened(old: str, new: str) -> bool | None:
    """Return True if `new` holds for more calls than `old`, False for fewer, None if unclear.

    It is clear only for comparisons joined by `&&`, `||` and parentheses that say the same but
    for the numbers that stand alone on their right: what joins them never turns more into less.
    """
    before, after = tokens(old), tokens(new)
    if len(before) != len(after) or not _is_plain(before):
        return None
    found: set[bool] = set()
    for index, (was, now) in enumerate(zip(before, after, strict=True)):
        if (was.kind, was.text) == (now.kind, now.text):
            continue
        left, right = _text(before, index - 1), _text(before, index + 1)
        limit = left in (*_UP, *_DOWN) and right in _ENDS
        numbers = _number(was), _number(now)
        if not limit or numbers[0] is None or numbers[1] is None:
            return None
        if numbers[0] != numbers[1]:
            found.add((numbers[1] > numbers[0]) == (left in _UP))
    return found.pop() if len(found) == 1 else None


def _is_plain(words: Sequence[Token]) -> bool:
    """Whether there is nothing but comparisons, of values that are no conditions themselves."""
    for index, word in enumerate(words):
        around = (_text(words, index - 1), _text(words, index + 1))
        if word.kind == "sign" and word.text not in _SIGNS:
            return False
        named = index > 0 and words[index - 1].kind == "name"
        called, listed = word.text == "(" and named, word.text == "[" and not named
        if called or listed or (word.text in _COMPARES and (around[0] == ")" or around[1] == "(")):
            return False
    return True


def _text(words: Sequence[Token], index: int) -> str:
    return words[index].text if 0 <= index < len(words) else ""


def _number(word: Token) -> float | None:
    try:
        return float(word.text) if word.kind == "number" else None
    except ValueError:  # hexadecimal, or unsigned
        return None
