"""Calls that one task of a graph awaits side by side: none of them stops it while others run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from langgraph.errors import GraphBubbleUp

_Task = tuple[int, str]

_running: dict[_Task, set[object]] = {}
_changed: dict[_Task, asyncio.Event] = {}
_around: ContextVar[tuple[object, ...]] = ContextVar("around", default=())


@asynccontextmanager
async def together(task: str) -> AsyncIterator[None]:
    """Run a call of a task; what stops the graph leaves when no other call of the task runs.

    `asyncio.gather`, with which LangGraph runs the calls of a node, gives up on all of them with
    the first that raises: the others would be cut off in the midst.

    Args:
        task: LangGraph's task.
    """
    key = (id(asyncio.get_running_loop()), task)
    me, around = object(), _around.get()
    running = _running.setdefault(key, set())
    changed = _changed.setdefault(key, asyncio.Event())
    running.add(me)
    before = _around.set((*around, me))
    try:
        yield
    except GraphBubbleUp:
        # a call that made this one waits for it
        running.difference_update((me, *around))
        changed.set()
        while running:
            changed.clear()
            await changed.wait()
        raise
    finally:
        _around.reset(before)
        running.discard(me)
        changed.set()
        if not running:
            _running.pop(key, None)
            _changed.pop(key, None)
