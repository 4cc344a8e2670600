"""Text with references to the results of earlier steps; see the package for the syntax."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hitl_agent.documents import show, suggest

MAX_TEXT = 1_000_000
"""Longest text, in characters, that references may be filled in to."""

_MAX_NAMES = 8

_REFERENCE = re.compile(
    r"(?P<step>[A-Za-z_][A-Za-z0-9_-]*)(?P<path>(\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]{1,6}\])*)"
)
_PART = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>[0-9]+)\]")
_OPENING = re.compile(r"(\$+)\{")


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in the result of a step.

    Attributes:
        step: the step's id.
        path: keys and list indexes, from the result down.
    """

    step: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return self.step + "".join(parts)


def parse_template(text: str) -> tuple[str | Reference, ...]:
    """Split `text` into plain text and references; see the package for the syntax.

    Raises:
        ValueError: a reference is not closed or not well formed.
    """
    parts: list[str | Reference] = []
    plain, start = "", 0
    while opening := _OPENING.search(text, start):
        dollars = len(opening[1])
        plain += text[start : opening.start()] + "$" * (dollars // 2)
        start = opening.end()
        if dollars % 2 == 0:
            plain += "{"
            continue
        inside, closed, _ = text[start:].partition("}")
        if not closed:
            raise ValueError("holds `${` without a `}`; for the text `${` write `$${`")
        parts += [plain] if plain else []
        parts.append(_reference(inside))
        plain, start = "", start + len(inside) + 1
    plain += text[start:]
    return (*parts, plain) if plain else tuple(parts)


def fill(text: str, results: Mapping[str, Any]) -> Any:
    """Return what `text` stands for; see the package. Shares nothing with `results`.

    Args:
        text: a template.
        results: what earlier steps returned, as JSON data, by step id.

    Raises:
        ValueError: a reference leads nowhere, or to what cannot be put into text.
        TypeError: a result cannot be copied.
        RecursionError: a result is nested too deeply.
    """
    parts = parse_template(text)
    if len(parts) == 1 and isinstance(parts[0], Reference):
        return copy.deepcopy(_looked_up(parts[0], results))
    filled = ""
    for part in parts:
        filled += part if isinstance(part, str) else _as_text(part, _looked_up(part, results))
        if len(filled) > MAX_TEXT:
            raise ValueError(f"fills in to more than {MAX_TEXT:,} characters")
    return filled


def _reference(inside: str) -> Reference:
    found = _REFERENCE.fullmatch(inside)
    if not found:
        raise ValueError(
            f"holds {show('${' + inside + '}')}, which is no reference; write it like"
            " `${step.key[0]}`, or `$${` for the text `${`"
        )
    parts = _PART.finditer(found["path"])
    return Reference(found["step"], tuple(part["key"] or int(part["index"]) for part in parts))


def _as_text(reference: Reference, value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"refers to {show(str(reference))}, which is no JSON: {error}") from error


def _looked_up(reference: Reference, results: Mapping[str, Any]) -> Any:
    named = f"refers to {show(str(reference))}, but"
    if reference.step not in results:
        raise ValueError(f"{named} `{reference.step}` has no result: its call was not run")
    value = results[reference.step]
    for depth, part in enumerate(reference.path):
        here = show(str(Reference(reference.step, reference.path[:depth])))
        inside = isinstance(value, Mapping) and part in value
        if isinstance(value, list | tuple) and isinstance(part, int):
            inside = part < len(value)
        if not inside:
            raise ValueError(f"{named} {here} {_contents(value, part)}")
        value = value[part]
    return value


def _contents(value: Any, wanted: str | int) -> str:
    """Say what is there instead of what a reference wanted."""
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        names = ", ".join(show(key).strip("`") for key in keys[:_MAX_NAMES])
        more = " …" if len(keys) > _MAX_NAMES else ""
        return f"has only: {names}{more}{suggest(str(wanted), keys)}" if keys else "is empty"
    if isinstance(value, list | tuple):
        return f"is a list of {len(value)}, counted from 0"
    kind = "text" if isinstance(value, str) else show(value)
    return f"is {kind}, with nothing inside"
