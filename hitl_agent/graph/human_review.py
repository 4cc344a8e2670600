"""The human-review node: one task for each call that waits."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from hitl_agent.graph.asking import ask
from hitl_agent.graph.gate import Gate
from hitl_agent.graph.state import ReviewTask


class HumanReviewNode:
    """Puts the question about one call, stops, and on resume believes the database.

    Args:
        gate: knows the tools, the clock and the database.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def run(self, state: ReviewTask, config: RunnableConfig) -> dict[str, Any]:
        """Ask, unless the call's question is open no longer."""
        ask(self._gate, config, state["call_id"])
        return {}
