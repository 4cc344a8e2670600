"""Holds the arguments that a policy names against those that the tools have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hitl_agent.documents import closest, show, suggest
from hitl_agent.errors import DocumentError
from hitl_agent.policy.check import READINGS, Remark, is_code
from hitl_agent.policy.document import PolicyDocument, is_exact, matches
from hitl_agent.policy.expression_text import arguments_named
from hitl_agent.policy.scalars import place_within

if TYPE_CHECKING:
    from hitl_agent.documents import Document
    from hitl_agent.policy.tool_entry import ToolEntry

_Named = tuple[tuple[str | int, ...], str, str, int, int]


def check_arguments(
    document: Document[PolicyDocument], text: str, schemas: Mapping[str, Mapping[str, Any]]
) -> Iterator[Remark]:
    """Yield what is probably not meant of the tools that there are.

    Raises:
        DocumentError: a tool has no such argument.
    """
    lines = text.split("\n")
    for pattern, entry in document.value.tools.items():
        fitting = [tool for tool in schemas if matches(pattern, tool)]
        if not fitting and is_exact(pattern) and (near := closest(pattern, schemas)):
            place = document.key_position("tools", pattern)
            message = f"no tool is named `{pattern}`, did you mean `{near}`?"
            yield Remark(document.file, *place, message)
        known = _properties([schemas[tool] for tool in fitting])
        if not fitting or known is None:
            continue
        for path, written, name, line, column in _named(entry):
            if name not in known:
                one = f"`{fitting[0]}` has no argument"
                several = f"no tool that fits `{pattern}` has an argument"
                message = f"{one if len(fitting) == 1 else several} {show(name)}"
                if isinstance(document.data["tools"][pattern].get("redact"), list):
                    path = tuple(part for part in path if part != "*")  # noqa: PLW2901
                start = document.position("tools", pattern, *path)
                if path[0] == "kinds":
                    start = document.key_position("tools", pattern, *path)
                place = place_within(lines, start, written, line, column)
                raise DocumentError(
                    message + suggest(name, known),
                    file=document.file,
                    line=place[0],
                    column=place[1],
                )


def _properties(schemas: list[Mapping[str, Any]]) -> frozenset[str] | None:
    """Return the arguments that any of the tools takes, None if one takes any argument."""
    known: set[str] = set()
    for schema in schemas:
        properties = schema.get("properties")
        if schema.get("additionalProperties") or (not properties and "type" not in schema):
            return None
        known |= set(properties or ())
    return frozenset(known)


def _named(entry: ToolEntry) -> Iterator[_Named]:
    """Yield the arguments that an entry names: where, in what, which, and where within that."""
    for key in READINGS:
        told: str | None = getattr(entry, key)
        if told is None or is_code(key, told):
            continue
        if told.strip().isidentifier():
            yield (key,), told, told.strip(), 1, 1
        for name, line, column in arguments_named(told):
            yield (key,), told, name, line, column
    for name in entry.kinds:
        yield ("kinds", name), name, name, 1, 1
    for role, fields in entry.redact.items():
        for index, name in enumerate(fields):
            yield ("redact", role, index), name, name, 1, 1
    for index, rule in enumerate(entry.rules):
        for name, line, column in arguments_named(rule.when):
            yield ("rules", index, "when"), rule.when, name, line, column
