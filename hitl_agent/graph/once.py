"""A grant's one run: a tool that runs once, with exactly what was granted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp

from hitl_agent.calls import clean_json, digest
from hitl_agent.errors import GrantRefused, OutcomeUnknown
from hitl_agent.graph.places import own_graphs
from hitl_agent.graph.stand_in import Arguments, arguments_of
from hitl_agent.graph.tool_contract import CALL, RunningCall


class Once:
    """A tool that runs once, with exactly what was granted, whatever wraps it.

    Called again it gives the same answer again. A wrapper that answers in its stead when nobody
    knows what became of the call does not get its way.

    Args:
        tool: the tool.
        schema: JSON schema of what a planner may give it.
        args: what was granted.
        running: what the tool may ask of its attempt.
    """

    def __init__(
        self, tool: BaseTool, schema: Mapping[str, Any], args: Arguments, running: RunningCall
    ) -> None:
        self._tool = tool
        self._schema = schema
        self._digest = digest(args)
        self._running = running
        self._used = threading.Lock()
        self._answer: Future[Any] = Future()

    def run(self, given: Any, how: Arguments) -> Any:
        """Run the tool."""
        if self._first(given):
            try:
                self._answer.set_result(self._tool.run(given, **self._told(how)))
            except BaseException as error:  # noqa: BLE001  raised again below
                self._answer.set_exception(error)
        return self._answer.result(timeout=0)

    async def arun(self, given: Any, how: Arguments) -> Any:
        """Run the tool, awaiting it."""
        if self._first(given):
            try:
                self._answer.set_result(await self._tool.arun(given, **self._told(how)))
            except BaseException as error:  # noqa: BLE001  raised again below
                self._answer.set_exception(error)
        return self._answer.result(timeout=0)

    def believed(self, answer: Any) -> Any:
        """Return what a wrapper made of the tool's answer, unless it covers up that there is none.

        Raises:
            OutcomeUnknown: or whatever else says that nobody knows.
            GraphBubbleUp: the tool has stopped the graph.
        """
        failed = self._answer.exception(timeout=0) if self._answer.done() else None
        if isinstance(failed, OutcomeUnknown | TimeoutError | GraphBubbleUp):
            raise failed
        return answer

    def _first(self, given: Any) -> bool:
        """Whether this is the first call; it has to be for what was granted.

        Raises:
            GrantRefused: it is for something else, or the first one still runs.
        """
        args, _ = arguments_of(self._tool, self._schema, given)
        if digest(clean_json(args)) != self._digest:
            raise GrantRefused("the arguments were changed after they were judged")
        first = self._used.acquire(blocking=False)
        if not first and not self._answer.done():
            raise GrantRefused("the grant is in use: a call runs once, whoever repeats it")
        return first

    def _told(self, how: Arguments) -> Arguments:
        config: RunnableConfig = how.get("config") or {}
        named = {CALL: self._running, **own_graphs(config, self._running.key)}
        return {**how, "config": patch_config(config, configurable=named)}
