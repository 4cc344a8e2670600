"""The types that a graph's state declares."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from langgraph.graph import StateGraph

from hitl_agent.storage.serializer import storable


def declared_types(builder: object) -> list[type]:
    """Return the models, dataclasses, enumerations and named tuples that the state names.

    Those inside of them too, and those of graphs that are nodes. What a graph's author has named
    as its state may stand in its checkpoints.
    """
    found: dict[type, None] = {}
    for schema in _schemas(builder):
        _collect(schema, found, set())
    return list(found)


def _schemas(builder: object) -> Iterator[Any]:
    builder = getattr(builder, "builder", builder)  # of a graph that is compiled
    if isinstance(builder, StateGraph):
        yield from builder.schemas
        for node in builder.nodes.values():
            yield from _schemas(node.runnable)


def _collect(hint: Any, found: dict[type, None], seen: set[int]) -> None:
    if id(hint) in seen:
        return
    seen.add(id(hint))
    for inner in typing.get_args(hint):
        _collect(inner, found, seen)
    if storable(hint):
        found[hint] = None
    if storable(hint) or typing.is_typeddict(hint):
        for inner in _hints(hint).values():
            _collect(inner, found, seen)


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError):  # a name that is known to type checkers alone
        return {}
