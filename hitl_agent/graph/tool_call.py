"""Calling a tool: within its time, and where it wants one in a transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import psycopg
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool

from hitl_agent.errors import DatabaseError, LeaseLost, OutcomeUnknown, TimeUp
from hitl_agent.execution import Judged
from hitl_agent.graph.bounded import bounded
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
    except (OutcomeUnknown, TimeoutError) as error:
        return Unknown(str(error) or "the tool did not answer in time")
    except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
        return failure(error)
    return result_of(message)


async def acall_tool(
    tool: BaseTool, judged: Judged, config: RunnableConfig, running: RunningCall
) -> Result | Unknown:
    """Call a tool like `call_tool`, awaiting it."""
    try:
        async with asyncio.timeout(_left(running)):
            message = await tool.ainvoke(_request(judged), _with(config, running))
    except (OutcomeUnknown, TimeoutError) as error:
        return Unknown(str(error) or "the tool did not answer in time")
    except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
        return failure(error)
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
    stop the one that takes over.

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
    outcome: Result | Unknown = Unknown("")
    try:
        with database.transaction(limit=_left(running)) as connection:
            outcome = call_tool(tool, judged, config, replace(running, connection=connection))
            if isinstance(outcome, Unknown):
                raise psycopg.Rollback
            if outcome["status"] == "error":
                outcome["retry"] = True
                raise psycopg.Rollback
            with database.on(connection):
                close(outcome)
    except TimeUp as error:
        return failure(error)
    except LeaseLost:
        raise
    except DatabaseError:
        return None
    return outcome


def _left(running: RunningCall) -> float:
    """Return the seconds that are left; a process may have been frozen since the call began.

    Raises:
        TimeUp: none.
    """
    left = running.until - time.monotonic()
    if left <= 0:
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
