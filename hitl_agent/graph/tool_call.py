"""Calling a tool: within its time, and where it wants one in a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

import psycopg
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langgraph.errors import GraphBubbleUp

from hitl_agent.errors import DatabaseError, LeaseLost, OutcomeUnknown, TimeUp
from hitl_agent.execution import Judged
from hitl_agent.graph.bounded import abounded, bounded
from hitl_agent.graph.outcome import Outcome, Result, Suspended, Unknown, failure, result_of
from hitl_agent.graph.places import noted, own_graphs, place
from hitl_agent.graph.tool_contract import CALL, RunningCall
from hitl_agent.storage.database import Database


class Callee(Protocol):
    """What can be called: a LangChain tool, or what stands before one."""

    def invoke(self, input: Any, config: RunnableConfig) -> Any:  # noqa: A002  LangChain's name
        """Make the call."""

    async def ainvoke(self, input: Any, config: RunnableConfig) -> Any:  # noqa: A002
        """Make the call, awaiting it."""


def call_tool(
    tool: Callee, judged: Judged, config: RunnableConfig, running: RunningCall
) -> Result | Unknown | Suspended:
    """Call a tool and return what became of it. What ends the process is not caught."""
    before = place(config)
    try:
        left = _left(running)
        message = bounded(tool.invoke, left, _request(judged), _with(config, running))
    except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
        return noted(_failed(error), config, before)
    return noted(result_of(message), config, before)


async def acall_tool(
    tool: Callee, judged: Judged, config: RunnableConfig, running: RunningCall
) -> Result | Unknown | Suspended:
    """Call a tool like `call_tool`, awaiting it."""
    before = place(config)
    try:
        left, request, inside = _left(running), _request(judged), _with(config, running)
        if _is_sync(tool):
            message = await abounded(tool.invoke, left, request, inside)
        else:
            async with asyncio.timeout(left):
                message = await tool.ainvoke(request, inside)
    except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
        return noted(_failed(error), config, before)
    return noted(result_of(message), config, before)


def call_in_transaction(
    tool: Callee,
    judged: Judged,
    config: RunnableConfig,
    running: RunningCall,
    database: Database,
    close: Callable[[Result], None],
) -> Outcome:
    """Call a tool whose effect and outcome are one transaction.

    The server ends the transaction of a process that is frozen inside: what it has locked must not
    stop the one that takes over. A tool that was cut off loses the connection: what it does later
    belongs to no transaction of ours.

    Args:
        tool: the tool.
        judged: the call.
        config: LangGraph's.
        running: what the tool may ask.
        database: where the transaction is.
        close: writes the outcome, in the transaction.

    Returns:
        What became of it; on success all is committed, else nothing. None if the connection was
        lost: what became of it has to be read.
    """
    try:
        outcome = _transacted(tool, judged, config, running, database, close)
    except TimeUp as error:
        outcome = failure(error)
    except LeaseLost:
        raise
    except OutcomeUnknown as error:
        outcome = Unknown(str(error))
    except (DatabaseError, psycopg.errors.IdleInTransactionSessionTimeout):
        return None
    except psycopg.Error as error:  # one that the tool has passed over, or that shows at the commit
        outcome = failure(error)
    if isinstance(outcome, dict) and outcome["status"] == "error":
        outcome["retry"] = True
    return outcome


def _transacted(
    tool: Callee,
    judged: Judged,
    config: RunnableConfig,
    running: RunningCall,
    database: Database,
    close: Callable[[Result], None],
) -> Result | Unknown | Suspended:
    outcome: Result | Unknown | Suspended = Unknown("")
    # of a connection that was taken away nothing can be rolled back, nor need be
    with suppress(psycopg.Rollback), database.transaction(limit=_left(running)) as connection:
        with _unbroken(connection):
            try:
                outcome = call_tool(tool, judged, config, replace(running, connection=connection))
            finally:
                if isinstance(outcome, Unknown):  # the tool may still be at work
                    with connection.lock:  # not in the midst of a statement
                        connection.close()
            if not isinstance(outcome, Unknown) and connection.broken:
                # which the tool has taken for a failure of its own
                raise psycopg.OperationalError("the connection was lost")
            if not isinstance(outcome, dict) or outcome["status"] == "error":
                raise psycopg.Rollback
        with database.on(connection):
            close(outcome)
    return outcome


@contextmanager
def _unbroken(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Work in a part of a transaction, which is gone where the transaction was ended meanwhile.

    Raises:
        OutcomeUnknown: it was ended; what was done in it is committed, or lost.
    """
    try:
        with connection.transaction():
            yield
    except (
        psycopg.errors.NoActiveSqlTransaction,
        psycopg.errors.InvalidSavepointSpecification,
    ) as error:
        raise OutcomeUnknown("the tool has ended its transaction by itself") from error


def _failed(error: Exception) -> Result | Unknown | Suspended:
    """Return what becomes of a call whose tool has raised."""
    if isinstance(error, GraphBubbleUp):
        return Suspended(error)
    lost = (OutcomeUnknown, TimeoutError)
    if isinstance(error, lost) or (isinstance(error, ExceptionGroup) and error.subgroup(lost)):
        return Unknown(str(error) or "the tool did not answer in time")
    return failure(error)


def _is_sync(tool: Callee) -> bool:
    """Whether LangChain would run the tool in a thread of the event loop's own pool.

    Tools that hang would use that pool up, and nothing else of the process would go on.
    """
    inner = getattr(tool, "tool", tool)  # of a guarded one
    if isinstance(inner, StructuredTool | Tool):
        return inner.coroutine is None
    # what is not overridden
    return isinstance(inner, BaseTool) and type(inner)._arun is BaseTool._arun  # noqa: SLF001


def _left(running: RunningCall) -> float:
    """Return the seconds that are left; a process may have been frozen since the call began.

    Raises:
        TimeUp: none.
    """
    if (left := running.left) <= 0:
        raise TimeUp("the time for this call was over before it began")
    return left


def _with(config: RunnableConfig, running: RunningCall) -> RunnableConfig:
    return patch_config(config, configurable={CALL: running, **own_graphs(config, running.key)})


def _request(judged: Judged) -> dict[str, object]:
    return {
        "type": "tool_call",
        "id": judged.call.call_id,
        "name": judged.call.tool,
        "args": dict(judged.call.args),
    }
