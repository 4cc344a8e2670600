"""Calling a tool: within its time, and where it wants one in a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langgraph.errors import GraphBubbleUp

from hitl_agent.errors import DatabaseError, ExecutionError, LeaseLost, OutcomeUnknown, TimeUp
from hitl_agent.execution import Judged
from hitl_agent.graph.bounded import abounded, bounded
from hitl_agent.graph.outcome import Result, Unknown, failure, result_of
from hitl_agent.graph.tool_contract import CALL, RunningCall
from hitl_agent.storage.database import Database


def call_tool(
    tool: BaseTool, judged: Judged, config: RunnableConfig, running: RunningCall
) -> Result | Unknown:
    """Call a tool and return what became of it. What ends the process is not caught."""
    try:
        left = _left(running)
        message = bounded(tool.invoke, left, _request(judged), _with(config, running))
    except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
        return _failed(error)
    return result_of(message)


async def acall_tool(
    tool: BaseTool, judged: Judged, config: RunnableConfig, running: RunningCall
) -> Result | Unknown:
    """Call a tool like `call_tool`, awaiting it."""
    try:
        left, request, inside = _left(running), _request(judged), _with(config, running)
        if _is_sync(tool):
            message = await abounded(tool.invoke, left, request, inside)
        else:
            async with asyncio.timeout(left):
                message = await tool.ainvoke(request, inside)
    except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
        return _failed(error)
    return result_of(message)


def call_in_transaction(
    tool: BaseTool,
    judged: Judged,
    config: RunnableConfig,
    running: RunningCall,
    database: Database,
    close: Callable[[Result], None],
) -> Result | Unknown | None:
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
    if not isinstance(outcome, Unknown) and outcome["status"] == "error":
        outcome["retry"] = True
    return outcome


def _transacted(
    tool: BaseTool,
    judged: Judged,
    config: RunnableConfig,
    running: RunningCall,
    database: Database,
    close: Callable[[Result], None],
) -> Result | Unknown:
    outcome: Result | Unknown = Unknown("")
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
            if isinstance(outcome, Unknown) or outcome["status"] == "error":
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


def _failed(error: Exception) -> Result | Unknown:
    """Return what becomes of a call whose tool has raised."""
    if isinstance(error, GraphBubbleUp):  # which may hold all that a reviewer is shown
        error = ExecutionError("a tool cannot stop the graph to ask; its call goes before a person")
    lost = (OutcomeUnknown, TimeoutError)
    if isinstance(error, lost) or (isinstance(error, ExceptionGroup) and error.subgroup(lost)):
        return Unknown(str(error) or "the tool did not answer in time")
    return failure(error)


def _is_sync(tool: BaseTool) -> bool:
    """Whether LangChain would run the tool in a thread of the event loop's own pool.

    Tools that hang would use that pool up, and nothing else of the process would go on.
    """
    if isinstance(tool, StructuredTool | Tool):
        return tool.coroutine is None
    return type(tool)._arun is BaseTool._arun  # noqa: SLF001  what is not overridden


def _left(running: RunningCall) -> float:
    """Return the seconds that are left; a process may have been frozen since the call began.

    Raises:
        TimeUp: none.
    """
    if (left := running.left) <= 0:
        raise TimeUp("the time for this call was over before it began")
    return left


def _with(config: RunnableConfig, running: RunningCall) -> RunnableConfig:
    return patch_config(config, configurable={CALL: running})


def _request(judged: Judged) -> dict[str, object]:
    return {
        "type": "tool_call",
        "id": judged.call.call_id,
        "name": judged.call.tool,
        "args": dict(judged.call.args),
    }
