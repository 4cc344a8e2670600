"""What a reviewer is told of a call beside its text: what may deceive the eye, what is long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from hitl_agent.calls import ToolCall
from hitl_agent.review.mixed_scripts import findings

LONG = 400
"""Characters of a text that can be taken in at a glance; of a longer one the length is told."""

_MOST = 5
"""Findings that are told of one text."""


def cautions(call: ToolCall) -> list[str]:
    """Say what in a call may not be what it looks like (`mixed_scripts`), a sentence each.

    The sentences quote the call as it is: they have to be made visible like the call itself.
    """
    told: list[str] = []
    for place, text in _texts(call):
        found = list(findings(text))
        told += [f"{place}: {one}" for one in found[:_MOST]]
        if len(found) > _MOST:
            told.append(f"{place}: {len(found) - _MOST:,} more like these")
    return told


def lengths(call: ToolCall) -> list[str]:
    """Say the length and the digest of each text in a call that is longer than `LONG`.

    The sentences quote names of arguments as they are, like `cautions`.
    """
    return [f"{place}: {length(text)}" for place, text in _texts(call) if len(text) > LONG]


def length(text: str) -> str:
    """Return the size of a text and its digest, such as `3 characters, 3 bytes, sha256:…`."""
    data = text.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(data).hexdigest()
    return f"{len(text):,} characters, {len(data):,} bytes, sha256:{digest}"


def _texts(call: ToolCall) -> Iterator[tuple[str, str]]:
    """Yield every text of a call, with where it stands."""
    yield "the tool's name", call.tool
    yield from _inside(call.args, "")


def _inside(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield f"`{place}`", value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            here = f"{place}.{_name(key)}" if place else _name(key)
            yield f"the name `{here}`", str(key)
            yield from _inside(item, here)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _inside(item, f"{place}[{index}]")


def _name(key: Any) -> str:
    """Return a key for the place of what stands under it: short, and unable to end the quote."""
    text = str(key).replace("`", "'")
    return text if len(text) <= LONG // 10 else f"{text[: LONG // 10]}…"
