"""A planner that follows a runbook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall as MessageToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from hitl_agent.errors import PlannerError
from hitl_agent.graph.planner import Planner
from hitl_agent.graph.state import AgentState, this_run
from hitl_agent.runbook import Runbook, Step, check_tools, load_runbook, resolve_args


class RunbookPlanner:
    """Proposes the steps of a runbook, group by group, and stops where one is refused or fails.

    Args:
        runbook: a plan, or its file. Without one, the state's `runbook` is followed.
    """

    def __init__(self, runbook: Runbook | Path | str | None = None) -> None:
        self._runbook = load_runbook(runbook) if isinstance(runbook, Path | str) else runbook

    def plan(
        self,
        state: AgentState,
        tools: Sequence[BaseTool],
        config: RunnableConfig,  # noqa: ARG002  the protocol's
    ) -> AIMessage:
        """Return the next group of steps, or the final message."""
        runbook = self._runbook or _of(state)
        messages = state["messages"]
        outcomes = _outcomes(this_run(messages))
        run = sum(isinstance(one, HumanMessage) for one in messages)
        check_tools(runbook, [tool.name for tool in tools])
        results: dict[str, Any] = {}
        for group in runbook.groups:
            if all(_call_id(step, run) in outcomes for step in group):
                for step in group:
                    outcome = outcomes[_call_id(step, run)]
                    if outcome["outcome"] not in ("succeeded", "answered"):
                        if step.if_refused == "stop":
                            return _stopped(step, outcome)
                    else:
                        results[step.id] = outcome["value"]
                continue
            return _proposal(group, results, run)
        steps = "1 step" if len(results) == 1 else f"{len(results)} steps"
        return AIMessage(f"the runbook is done: {steps} ran")

    async def aplan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Like `plan`; nothing to await."""
        return self.plan(state, tools, config)


class RunbookOrModel:
    """Follows the thread's runbook if it has one, else asks a model.

    Args:
        model: plans the threads that have no runbook.
    """

    def __init__(self, model: Planner) -> None:
        self._model = model
        self._runbook = RunbookPlanner()

    def plan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Plan the next turn."""
        return self._of(state).plan(state, tools, config)

    async def aplan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Plan the next turn, awaiting the model."""
        return await self._of(state).aplan(state, tools, config)

    def _of(self, state: AgentState) -> Planner:
        return self._runbook if state.get("runbook") else self._model


def _of(state: AgentState) -> Runbook:
    data = state.get("runbook")
    if not data:
        raise PlannerError("the thread has no runbook", hint="start it with `--runbook FILE`")
    return Runbook.from_json(data)


def _call_id(step: Step, run: int) -> str:
    """Return the step's call id: the same whenever the planner runs again, new in each run."""
    return f"{step.id}.{run}"


def _outcomes(messages: Sequence[BaseMessage]) -> dict[str, dict[str, Any]]:
    return {one.tool_call_id: _outcome(one) for one in messages if isinstance(one, ToolMessage)}


def _outcome(message: ToolMessage) -> dict[str, Any]:
    """Read what the executor noted; a message that somebody else put there is a failure."""
    noted = message.artifact
    if not isinstance(noted, dict) or not isinstance(noted.get("outcome"), str):
        return {"outcome": "failed", "value": None, "text": message.text}
    value = noted.get("value")
    # the tool's own words, without what is said before them of the approval
    text = value if noted["outcome"] == "failed" and isinstance(value, str) else message.text
    return {"outcome": noted["outcome"], "value": _value(value), "text": text}


def _value(content: Any) -> Any:
    """Return a result as JSON: LangChain hands objects and lists on as their JSON text."""
    if isinstance(content, str) and content[:1] in ("{", "["):
        try:
            return json.loads(content)
        except ValueError:
            return content
    return content


def _proposal(group: Sequence[Step], results: dict[str, Any], run: int) -> AIMessage:
    calls = [
        MessageToolCall(
            type="tool_call",
            id=_call_id(step, run),
            name=step.tool,
            args=resolve_args(step, results),
        )
        for step in group
    ]
    reasons = {_call_id(step, run): step.reason for step in group}
    text = "; ".join(step.reason for step in group if step.reason)
    return AIMessage(text, tool_calls=calls, additional_kwargs={"reasons": reasons})


def _stopped(step: Step, outcome: dict[str, Any]) -> AIMessage:
    """End the run; a person's refusal is a proper end, a failure and a policy's refusal are not."""
    kwargs = {} if outcome["outcome"] == "rejected" else {"outcome": "failed"}
    text = f"the runbook stopped at step `{step.id}`: {outcome['text']}"
    return AIMessage(text, additional_kwargs=kwargs)
