"""Values and names as error messages show them."""

from __future__ import annotations

from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_SHOWN = 60


def show(value: object, *, limit: int = _MAX_SHOWN) -> str:
    """Return `value` in backticks for a message: short, and with nothing unseen in it."""
    match value:
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[value]
        case str():
            text = repr(value[: limit + 1])[1:-1]
        case int() if value.bit_length() > _MAX_SHOWN * 3:
            return "a number with too many digits"
        case int() | float() | Decimal():
            text = str(value)
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return f"a {type(value).__name__}"
    return f"`{text if len(text) <= limit else text[:limit] + '…'}`"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` is most likely a misspelling of."""
    return next(iter(get_close_matches(word[:_MAX_SHOWN], list(known), n=1)), None)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean …?` for the closest of `known`, or nothing."""
    found = closest(word, known)
    return f", did you mean {show(found)}?" if found else ""
