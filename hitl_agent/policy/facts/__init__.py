"""What the arguments of a call are about, for conditions: tables, hosts, places, addresses.

A condition that looks for `drop` in a text is got round by spelling; the facts here are worked out
by reading the value as what it is. All of them are pure: no file is looked at, no name is resolved,
nothing is asked of a server. A value that different programs could read differently has no facts:
`facts_of` then raises, and the call waits for a person.

Each kind has its module, which is loaded when the first value of that kind is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

KINDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "sql": MappingProxyType(
            {
                "kinds": "list<string>",
                "tables": "list<string>",
                "written": "list<string>",
                "statements": "int",
                "reads_only": "bool",
                "without_where": "bool",
            }
        ),
        "url": MappingProxyType(
            {
                "scheme": "string",
                "host": "string",
                "port": "int",
                "private": "bool",
                "path": "string",
                "has_credentials": "bool",
                "has_query": "bool",
            }
        ),
        "path": MappingProxyType(
            {
                "inside": "bool",
                "extension": "string",
                "name": "string",
                "hidden": "bool",
                "absolute": "bool",
            }
        ),
        "email": MappingProxyType(
            {"domains": "list<string>", "count": "int", "addresses": "list<string>"}
        ),
    }
)
"""The facts of each kind and their CEL types; the modules say what they mean."""

__all__ = ["KINDS", "facts_of"]


def facts_of(kind: str, value: object, *, workspace: str = ".") -> dict[str, Any]:
    """Work out what a value is about.

    Args:
        kind: one of `KINDS`.
        value: an argument of a call, of whatever shape.
        workspace: the directory that tools may work in, for `path` alone; as its module says.

    Returns:
        Every fact of the kind, as plain values.

    Raises:
        ValueError: the value cannot be read, or not in one way only. The message is a clause that
            says why. Nothing else is raised.
    """
    if kind not in KINDS:
        raise ValueError(f"there are no facts of this kind; there are those of {', '.join(KINDS)}")
    try:
        module = import_module(f"hitl_agent.policy.facts.{kind}")
        facts: dict[str, Any] = (
            module.facts(value, workspace) if kind == "path" else module.facts(value)
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except Exception as error:
        if type(error) is ValueError:  # not its subclasses: their text is not ours
            raise
        raise ValueError(f"it cannot be read as {kind}") from error
    return facts
