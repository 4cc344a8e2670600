"""What conditions can be given: plain JSON within the bounds of the language."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hitl_agent.calls import MAX_DEPTH

_MAX_NUMBER = 2**63


class EvaluationError(ValueError):
    """Raised when a condition has no answer for a call. The call is then gated."""


def plain(value: Any, levels: int = MAX_DEPTH) -> None:
    """Raise unless CEL can be given a value: JSON, finite, in range and not too deep.

    Raises:
        EvaluationError: it cannot.
    """
    inside: Iterable[Any]
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise EvaluationError("a key that is no text")
            if not key.isascii() or "\0" in key:
                _plain_text(key)
        inside = value.values()
    elif type(value) is list:
        inside = value
    else:
        _plain_scalar(value)
        return
    if levels <= 0:
        raise EvaluationError("nested too deeply")
    for item in inside:
        kind = type(item)
        if kind is dict or kind is list:
            plain(item, levels - 1)
        elif kind is not str or not item.isascii() or "\0" in item:
            _plain_scalar(item)


def _plain_scalar(value: Any) -> None:
    kind = type(value)
    if kind is int or kind is float:
        # NaN is in no range; products of larger numbers could become infinite, and then NaN
        if not -_MAX_NUMBER <= value < _MAX_NUMBER:
            raise EvaluationError("a number that is not finite, or beyond 2^63")
    elif kind is str:
        _plain_text(value)
    elif value is not None and kind is not bool:
        raise EvaluationError("a value that is no JSON")


def _plain_text(text: str) -> None:
    if "\0" in text:  # for CEL the text ends there
        raise EvaluationError("text with a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EvaluationError("text with a lone surrogate") from None
