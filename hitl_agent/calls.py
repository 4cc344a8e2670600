"""A tool call, its canonical form and its digest: what a reviewer approves, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from hitl_agent.errors import InvalidCall

MAX_BYTES = 256 * 1024
"""Largest canonical form of a call's arguments: more than a person can be asked to read."""

MAX_DEPTH = 32
"""Deepest nesting of arguments and of results."""

_AROUND = 8
"""Levels that digests and entries of the record put around arguments and results."""

MAX_NUMBER = 2**53 - 1
"""Largest number that every JSON reader takes for the same (RFC 8785, section 3.2.2.3)."""

MAX_NAME = 128
"""Longest tool name and call id, in characters."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as planned, or as a reviewer edited it.

    Attributes:
        call_id: unique within the thread; the `tool_call_id` of its `ToolMessage`.
        tool: the tool's name.
        args: plain JSON.
    """

    call_id: str
    tool: str
    args: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the RFC 8785 form of tool name and arguments, as `sha256:` and hex.

        Raises:
            InvalidCall: the arguments have no canonical form.
        """
        return digest({"args": self.args, "tool": self.tool, "v": 1})


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 form of a JSON value.

    Raises:
        InvalidCall: NaN, infinity, a number beyond `MAX_NUMBER`, a lone surrogate, NUL, a key
            that is no string, a value that is no JSON, or nesting so deep that it can be neither
            arguments nor what we put around them.
    """
    plain = _check(value, MAX_DEPTH + _AROUND)
    try:
        # the same bytes, in a quarter of the time; a call is hashed at every step of its way
        return _write(value).encode() if plain else rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise InvalidCall(f"no canonical JSON form: {error}") from error


def digest(value: Any) -> str:
    """Return `sha256:` and the hex SHA-256 of the canonical form of a JSON value.

    Raises:
        InvalidCall: see `canonical`.
    """
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def check_call(call: ToolCall) -> None:
    """Raise `InvalidCall` unless the call can be judged, shown, stored and hashed as it stands."""
    for what, text in (("tool name", call.tool), ("call id", call.call_id)):
        if not isinstance(text, str):
            raise InvalidCall(f"a {what} is text")
        if not 0 < len(text) <= MAX_NAME:
            raise InvalidCall(f"a {what} has 1 to {MAX_NAME} characters, this one {len(text)}")
        _check_text(text)
    if not isinstance(call.args, dict):
        raise InvalidCall("arguments are a JSON object")
    _check(call.args, MAX_DEPTH)
    if (size := len(canonical(call.args))) > MAX_BYTES:
        raise InvalidCall(f"arguments of {size:,} bytes; the limit is {MAX_BYTES:,}")


def clean_text(text: str) -> str:
    """Replace what neither PostgreSQL nor UTF-8 can hold (NUL, lone surrogates) by U+FFFD."""
    text = text.replace("\x00", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean_json(value: Any) -> Any:
    """Return a value of any kind as plain JSON that PostgreSQL can hold.

    Text is cleaned; numbers without a JSON form, foreign types, what is nested deeper than
    `MAX_DEPTH` and what contains itself become their text.
    """
    return _clean(value, frozenset())


def _clean(value: Any, around: frozenset[int]) -> Any:
    """Clean a value; `around` has the ids of the containers that it stands in."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= MAX_NUMBER:
        return int(value) if isinstance(value, int) else float(value)  # of an `Enum` the number
    open_ = isinstance(value, Mapping | list | tuple) and id(value) not in around
    if not open_ or len(around) >= MAX_DEPTH:
        return _as_text(value)
    inside = around | {id(value)}
    try:
        if isinstance(value, Mapping):
            return {_as_text(key): _clean(item, inside) for key, item in value.items()}
        return [_clean(item, inside) for item in value]
    except Exception:  # noqa: BLE001  a foreign container may raise anything
        return _as_text(value)


def _as_text(value: Any) -> str:
    try:
        return clean_text(str(value))
    except Exception:  # noqa: BLE001  `str` of a foreign value may raise anything
        return f"a `{type(value).__name__}` that cannot be shown"


_write = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def _check(value: Any, levels: int) -> bool:
    """Raise `InvalidCall` for what has no canonical form.

    Returns:
        Whether Python's own encoder writes the canonical form: it sorts keys by code point, where
        RFC 8785 does by UTF-16 unit, and writes some numbers in another way.
    """
    if levels < 0:
        raise InvalidCall("nested too deeply")
    if isinstance(value, str):
        _check_text(value)
        return type(value) is str
    if isinstance(value, Mapping):
        plain = type(value) is dict
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidCall(f"a key that is no text but a `{type(key).__name__}`")
            _check_text(key)
            plain &= type(key) is str and key.isascii()
            plain &= _check(item, levels - 1)
        return plain
    if isinstance(value, list | tuple):
        plain = True
        for item in value:
            plain &= _check(item, levels - 1)
        return plain
    if isinstance(value, float | int):
        if value != value:  # noqa: PLR0124  NaN, which is not itself
            raise InvalidCall("NaN is no number of JSON")
        if abs(value) > MAX_NUMBER:
            raise InvalidCall("a number beyond 2^53; write it as text")
        return isinstance(value, bool) or type(value) is int or _is_written_alike(value)
    if value is not None:
        raise InvalidCall(f"a value that is no JSON: `{type(value).__name__}`")
    return True


def _is_written_alike(value: float) -> bool:
    """Whether Python and ECMAScript write a number alike: no fraction of 0, no exponent."""
    return type(value) is float and not value.is_integer() and abs(value) >= 1e-4  # noqa: PLR2004


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise InvalidCall("text with a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidCall("text with a lone surrogate") from error
