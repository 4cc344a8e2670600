"""The executor node: runs the turn's calls and answers the planner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from hitl_agent.graph.answers import answer
from hitl_agent.graph.gate import Gate
from hitl_agent.graph.runner import Runner, Told
from hitl_agent.graph.state import AgentState, PlannedCall, pending_calls


class ExecutorNode:
    """Runs the calls of the turn; while any of them is not settled, asks the classifier again.

    Args:
        gate: knows the tools, the clock and the database.
        done: the node to which a turn goes whose calls are all answered.
    """

    def __init__(self, gate: Gate, done: str) -> None:
        self._gate = gate
        self._done = done

    def run(self, state: AgentState, config: RunnableConfig) -> Command[str]:
        """Run what is granted."""
        runner = Runner(self._gate, config, self._gate.database(config), self._gate.by_name)
        planned = pending_calls(state["messages"])
        return self._next(planned, runner.run(planned))

    async def arun(self, state: AgentState, config: RunnableConfig) -> Command[str]:
        """Run what is granted, awaiting the tools."""
        database = await asyncio.to_thread(self._gate.database, config)
        runner = Runner(self._gate, config, database, self._gate.by_name)
        planned = pending_calls(state["messages"])
        return self._next(planned, await runner.arun(planned))

    def _next(self, planned: Sequence[PlannedCall], told: Sequence[Told]) -> Command[str]:
        """Go on with the answers there are, to the classifier if some are missing."""
        goto = self._done if len(told) == len(planned) else "risk_classifier"
        return Command(update={"messages": [answer(one) for one in told]}, goto=goto)
