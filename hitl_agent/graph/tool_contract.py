"""What tool authors write: a tool's contract, and what a call is told while it runs."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from hitl_agent.calls import clean_json, digest
from hitl_agent.errors import ConfigurationError, TimeUp
from hitl_agent.execution import NO_PROMISE, Contract
from hitl_agent.execution.contract import LONGEST, Reconcile

Tool = TypeVar("Tool", bound=BaseTool)

CALL = "__hitl_call"
"""Key of `configurable` under which a tool finds the call it runs for."""

_ATTRIBUTE = "_hitl_contract"

_TASK = "__pregel_task_id"
"""LangGraph's key of `configurable` for the task that a node runs as."""


@dataclass(frozen=True, slots=True)
class RunningCall:
    """What a tool may ask about the call it runs for.

    Attributes:
        key: its idempotency key.
        begun: the `moment` at which its time began.
        timeout: how many seconds it has.
        task: LangGraph's task that runs it.
        connection: the attempt's transaction, for a tool that is `transactional`.
    """

    key: str
    begun: tuple[float, float]
    timeout: float
    task: str | None = None
    connection: psycopg.Connection[Any] | None = None

    @property
    def left(self) -> float:
        """Seconds that it has left; 0 or less if its time is over."""
        passed = [now - then for now, then in zip(moment(), self.begun, strict=True)]
        return self.timeout - max(passed)


def moment() -> tuple[float, float]:
    """Return the time by two clocks, in seconds; of what they say has passed, the longer counts.

    The first stands still while the machine sleeps, the second may be set back.
    """
    return time.monotonic(), time.time()


def task_of_run(config: RunnableConfig) -> str | None:
    """Return LangGraph's task in which something runs; None outside of a graph."""
    task = config.get("configurable", {}).get(_TASK)
    return str(task) if task else None


def contract(
    *,
    version: str = "",
    timeout: timedelta | None = None,
    idempotent_for: timedelta | None = None,
    reconcile: Reconcile | None = None,
    transactional: bool = False,
    interrupts: bool = False,
) -> Callable[[Tool], Tool]:
    """Say what a tool promises: how a call of it may be gone on with that was cut off.

    Written above `@tool`. A tool without promises is never called twice: a person is asked.

    Args:
        version: change it when the same arguments come to mean something else: what was approved
            under another version is judged anew.
        timeout: a call is cut off after this time; without it, the graph's `call_timeout`.
        idempotent_for: how long the receiver remembers an idempotency key and answers a repeated
            request without doing it again. The tool has to send `idempotency_key(config)`.
        reconcile: is given the idempotency key of a call that was cut off and returns `Happened`
            or `NotHappened`; it raises if it cannot tell, and a person is asked. It is called only
            after the call's time is over.
        transactional: all that a call does, it does in `transaction(config)`.
        interrupts: the tool may stop the graph to ask, as one does that runs another agent; when
            it is answered it begins anew from its first line, under the same grant. What it does
            before it stops must do no harm when it is done again.

    Raises:
        ConfigurationError: a time is not positive or too long, `transactional` stands beside
            another promise, which it makes pointless, or what stands below is no tool.
    """
    for name, given in (("timeout", timeout), ("idempotent_for", idempotent_for)):
        if given is not None and given <= timedelta(0):
            raise ConfigurationError(f"`{name}` is a time above 0")
    if timeout is not None and timeout > LONGEST:
        raise ConfigurationError("`timeout` is at most ten years")
    if transactional and (idempotent_for or reconcile):
        raise ConfigurationError(
            "a transactional tool is never in doubt", hint="take the other promise out"
        )
    if inspect.iscoroutinefunction(reconcile):
        raise ConfigurationError("`reconcile` is an ordinary function, not a coroutine")
    promise = Contract(version, timeout, idempotent_for, reconcile, transactional, interrupts)

    def keep(tool: Tool) -> Tool:
        if not isinstance(tool, BaseTool):
            raise ConfigurationError("`@contract` stands on a tool", hint="write it above `@tool`")
        # what was said of the version before, as `mcp_tools` does, holds
        version = promise.version or getattr(tool, _ATTRIBUTE, NO_PROMISE).version
        # not in `metadata`, which LangChain sends along with traces and events
        object.__setattr__(tool, _ATTRIBUTE, replace(promise, version=version))
        return tool

    return keep


def contract_of(tool: BaseTool | None, schema: Any, call_timeout: timedelta) -> Contract:
    """Return a tool's contract with nothing left open: its version and its timeout are there."""
    promise = getattr(tool, _ATTRIBUTE, NO_PROMISE)
    return replace(
        promise,
        version=promise.version or digest(clean_json(schema)),
        timeout=promise.timeout or call_timeout,
    )


def idempotency_key(config: RunnableConfig) -> str:
    """Return the key of the call that a tool runs for, 32 hex digits.

    Every try of the call gets the same one, in whichever process, today or after a crash.

    Args:
        config: what LangChain gives to a tool with a parameter `config: RunnableConfig`.

    Raises:
        ConfigurationError: the tool was not called by the executor.
    """
    return _running(config).key


def time_left(config: RunnableConfig) -> float:
    """Return how many seconds the call has left: the timeout for what it sends.

    Ask right before sending. A process that was frozen meanwhile then learns that its time is over,
    before it does what another process may have done in its place.

    Raises:
        TimeUp: none.
        ConfigurationError: the tool was not called by the executor.
    """
    left = _running(config).left
    if left <= 0:
        raise TimeUp("the time for this call is over; nothing was sent")
    return left


def transaction(config: RunnableConfig) -> psycopg.Connection[Any]:
    """Return the connection on which a transactional tool does all that it does.

    What is done on it and the attempt's outcome are committed together, or not at all. It cannot
    be committed or rolled back by the tool; an error that leaves the tool rolls it back.

    Raises:
        ConfigurationError: the tool is not `transactional`, or was not called by the executor.
    """
    connection = _running(config).connection
    if connection is None:
        raise ConfigurationError(
            "the tool has no transaction", hint="declare it with `@contract(transactional=True)`"
        )
    return connection


def _running(config: RunnableConfig) -> RunningCall:
    running = config.get("configurable", {}).get(CALL)
    # a config is handed down: what a graph inside the tool calls is another call, with another key
    if not isinstance(running, RunningCall) or running.task != task_of_run(config):
        raise ConfigurationError("the tool was not called by the executor")
    return running
