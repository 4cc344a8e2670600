"""Calling what may never return."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def bounded(function: Callable[P, T], timeout: float, /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function and return what it returns, unless it takes too long.

    It runs in a thread of its own, with a copy of the context variables, so that callbacks and
    streams are found there. Python cannot end a thread: one that took too long is left behind,
    whatever it still does is done, and its answer is dropped. It does not keep the process from
    ending.

    Args:
        function: what to call.
        timeout: seconds, above 0.
        args: the function's.
        kwargs: the function's.

    Raises:
        TimeoutError: it has not returned in time.
        ValueError: the time is not positive, or longer than a thread can be waited for.
    """
    if not 0 < timeout <= threading.TIMEOUT_MAX:
        raise ValueError("the limit is a number of seconds above 0")
    future = _begun(function, *args, **kwargs)
    try:
        return future.result(timeout)
    except TimeoutError:
        if future.done():  # the function's own error, or an answer at the last moment
            return future.result()
        raise TimeoutError(f"no answer within {timeout:g} seconds") from None


async def abounded(
    function: Callable[P, T], seconds: float, /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call an ordinary function like `bounded`, awaiting it.

    Raises:
        TimeoutError: it has not returned in time.
    """
    async with asyncio.timeout(seconds):
        return await asyncio.wrap_future(_begun(function, *args, **kwargs))


def _begun(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Begin a call in a thread of its own; who gives up waiting may cancel its future."""
    context = copy_context()
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001  raised again where it was called
            with suppress(InvalidStateError):
                future.set_exception(error)
        else:
            with suppress(InvalidStateError):
                future.set_result(result)

    # not a pool: its threads are waited for when the process ends
    threading.Thread(target=run, name="bounded", daemon=True).start()
    return future
