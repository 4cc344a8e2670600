"""JSON that a person wrote, read strictly."""

from __future__ import annotations

import json
from typing import Any

from hitl_agent.calls import canonical
from hitl_agent.errors import InvalidCall, InvalidDecision


def read_json(text: str, name: str, *, hint: str) -> Any:
    """Read JSON that a person wrote.

    Args:
        text: what was written.
        name: where, for the message.
        hint: how to write it.

    Raises:
        InvalidDecision: it is no JSON, or says something twice, or cannot be stored.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
        canonical(value)
    except InvalidCall as error:
        raise InvalidDecision(f"`{name}` cannot be used: {error}", hint=hint) from error
    except RecursionError as error:
        raise InvalidDecision(f"`{name}` is nested too deeply", hint=hint) from error
    except ValueError as error:
        raise InvalidDecision(f"`{name}` is no JSON: {error}", hint=hint) from error
    return value


def read_object(text: str, name: str, *, hint: str) -> dict[str, Any]:
    """Read a JSON object like `read_json`.

    Raises:
        InvalidDecision: see `read_json`, or it is no object.
    """
    value = read_json(text, name, hint=hint)
    if not isinstance(value, dict):
        raise InvalidDecision(f"`{name}` is no JSON object", hint=hint)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: which one was meant, nobody can tell."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidCall(f"`{twice}` stands there twice")
    return found
