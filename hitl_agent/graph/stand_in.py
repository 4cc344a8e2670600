"""Stand-ins: copies of tools that are of their kind in everything, and run something else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, wraps
from typing import Any, Protocol

from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import _get_all_injected_args

from hitl_agent.calls import canonical
from hitl_agent.errors import ConfigurationError, InvalidCall

_BEFORE = "_hitl_before"
"""Attribute of a stand-in: what is called in the tool's place."""

Arguments = dict[str, Any]


class Before(Protocol):
    """What is called in a tool's place, with its arguments and with how it was called."""

    def run(self, given: Any, how: Arguments) -> Any:
        """Run in the tool's place."""

    async def arun(self, given: Any, how: Arguments) -> Any:
        """Run in the tool's place, awaiting it."""


def before(tool: BaseTool) -> Before | None:
    """Return what is called in the place of a stand-in; None of any other tool."""
    found: Before | None = getattr(tool, _BEFORE, None)
    return found


def in_place_of(tool: BaseTool, before: Before) -> BaseTool:
    """Return a copy of a tool that is of its kind in everything, and runs something else first."""
    guarded = copy.copy(tool)
    guarded.__class__ = _kind(type(tool))
    object.__setattr__(guarded, _BEFORE, before)
    for name in ("func", "coroutine"):  # LangGraph reads their annotations
        if callable(inner := getattr(tool, name, None)):
            object.__setattr__(guarded, name, _closed(tool.name, inner))
    return guarded


def _closed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that looks like another one and does nothing.

    A tool that stands behind a gate is called by itself, not by what it is made of.
    """

    @wraps(function)
    def closed(*_: Any, **__: Any) -> Any:
        raise ConfigurationError(
            f"what the guarded tool `{name}` is made of was called", hint="call the tool"
        )

    return closed


@cache
def _kind(cls: type[BaseTool]) -> type[BaseTool]:
    """Return a subclass of a tool's class; every way to call a tool comes by `run` or `arun`."""

    def run(self: BaseTool, tool_input: Any, *_: Any, **how: Any) -> Any:
        return getattr(self, _BEFORE).run(tool_input, how)

    async def arun(self: BaseTool, tool_input: Any, *_: Any, **how: Any) -> Any:
        return await getattr(self, _BEFORE).arun(tool_input, how)

    members = {"run": run, "arun": arun, "__module__": cls.__module__}
    # their signatures are read, so they stay the tool's own
    members |= {one: _closed(cls.__name__, getattr(cls, one)) for one in ("_run", "_arun")}
    return type(cls.__name__, (cls,), members)


def arguments_of(
    tool: BaseTool, schema: Mapping[str, Any], given: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what a tool was called with into what is judged and what the graph injects.

    Of an argument that a model is not shown nobody can tell who gave it: it is judged too, unless
    no model could have given it.
    """
    if isinstance(given, str):
        given = {next(iter(schema.get("properties", {})), "input"): given}
    injected = _get_all_injected_args(tool)
    hidden = {*injected.state, injected.store, injected.runtime}
    hidden |= {
        key for key in injected.all_injected_keys if key in given and not _is_json(given[key])
    }
    return (
        {key: value for key, value in given.items() if key not in hidden},
        {key: value for key, value in given.items() if key in hidden},
    )


def _is_json(value: Any) -> bool:
    with suppress(InvalidCall):
        return bool(canonical(value))
    return False
