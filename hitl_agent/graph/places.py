"""Places: what LangGraph counts in a task, the same when some of its calls do not run again.

A task that is resumed runs from its first line: LangGraph tells its questions, and the graphs that
it runs, from each other by their order. A call that ran is answered from its stored result and does
neither ask nor run a graph again, so what comes after it would be taken for what it did.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig

T = TypeVar("T")

SCRATCHPAD = "__pregel_scratchpad"
"""LangGraph's key of `configurable` for what a task knows of its interrupts."""

PLACE = "place"
"""Key of a result: the place in the task's row of answers that comes after the tool's own."""

counting = threading.Lock()
"""Held by the one call that counts in its task; others of the task may run beside it."""


def go_to(pad: Any, at: int) -> None:
    """Let the task's next `interrupt` be the one at a place; under `counting`."""
    pad.interrupt_counter._counter = count(at).__next__  # noqa: SLF001  there is no other way


def pass_own(config: RunnableConfig, result: Mapping[str, Any] | None) -> None:
    """Pass over the answers that a tool was given when it ran, of which the result is stored."""
    pad, behind = _pad(config), (result or {}).get(PLACE)
    if pad is not None and isinstance(behind, int):
        with counting:
            go_to(pad, max(behind, pad.interrupt_counter()))


def noted(outcome: T, config: RunnableConfig, before: int) -> T:
    """Return what became of a call; a result says how many answers are behind its tool.

    Args:
        outcome: what became of it.
        config: LangGraph's, of the task.
        before: the place when it began.
    """
    after = place(config)
    if isinstance(outcome, dict) and after > before:
        outcome[PLACE] = after
    return outcome


def own_graphs(config: RunnableConfig, key: str) -> dict[str, Any]:
    """Return what a tool's `configurable` needs to count the graphs that it runs by itself.

    Args:
        config: LangGraph's, of the task.
        key: hex digits, of the call.
    """
    if (pad := _pad(config)) is None:
        return {}
    return {SCRATCHPAD: replace(pad, subgraph_counter=count(int(key[:8], 16) + 1).__next__)}


def place(config: RunnableConfig) -> int:
    """Return the place of the task's next `interrupt`; of those that are answered the last."""
    if (pad := _pad(config)) is None:
        return 0
    with counting:
        at: int = pad.interrupt_counter()
        go_to(pad, at)
        return min(at, len(pad.resume))


def _pad(config: RunnableConfig) -> Any:
    return config.get("configurable", {}).get(SCRATCHPAD)
