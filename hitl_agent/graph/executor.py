"""The executor node: consumes grants, runs calls, answers the planner."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from hitl_agent.calls import clean_json, clean_text
from hitl_agent.errors import CallBusy, GrantRefused, OutcomeUnknown
from hitl_agent.execution import (
    Answered,
    Busy,
    Course,
    Doubtful,
    Finished,
    Judge,
    Judged,
    Refused,
    Review,
    Run,
)
from hitl_agent.graph.answers import answer
from hitl_agent.graph.gate import Gate, thread_of
from hitl_agent.graph.state import AgentState, PlannedCall, pending_calls
from hitl_agent.policy import Effect
from hitl_agent.review.rendering import command
from hitl_agent.storage import attempts
from hitl_agent.storage.database import Database

Next = Command[Literal["planner", "risk_classifier"]]


class ExecutorNode:
    """Runs the calls of the turn in the planner's order, each against its grant.

    What is run, and whether, comes from the database alone: the arguments of the judgement that
    the grant names, never those of the graph's state. While any call of the turn is not settled,
    nothing runs and the classifier is asked again.

    Args:
        gate: knows the tools, the clock and the database.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def run(self, state: AgentState, config: RunnableConfig) -> Next:
        """Run what is granted."""
        database, thread_id = self._gate.database(config), thread_of(config)
        planned = pending_calls(state["messages"])
        courses = self._gate.courses(database, thread_id, planned)
        if not _settled(courses):
            return Command(goto="risk_classifier")
        messages: list[ToolMessage] = []
        for one, course in zip(planned, courses, strict=True):
            begun = self._begin(database, thread_id, one, course)
            if begun is None:
                break
            if isinstance(begun, Run):
                result = self._call(database, thread_id, begun.judged, config)
                if result is None:
                    break
                begun = self._end(database, thread_id, begun.judged, result)
            messages.append(answer(begun))
        return _next(planned, messages)

    async def arun(self, state: AgentState, config: RunnableConfig) -> Next:
        """Run what is granted, awaiting the tools."""
        thread_id = thread_of(config)
        planned = pending_calls(state["messages"])
        database = await asyncio.to_thread(self._gate.database, config)
        courses = await asyncio.to_thread(self._gate.courses, database, thread_id, planned)
        if not _settled(courses):
            return Command(goto="risk_classifier")
        messages: list[ToolMessage] = []
        for one, course in zip(planned, courses, strict=True):
            begun = await asyncio.to_thread(self._begin, database, thread_id, one, course)
            if begun is None:
                break
            if isinstance(begun, Run):
                result = await self._acall(database, thread_id, begun.judged, config)
                if result is None:
                    break
                begun = await asyncio.to_thread(
                    self._end, database, thread_id, begun.judged, result
                )
            messages.append(answer(begun))
        return _next(planned, messages)

    def _begin(
        self, database: Database, thread_id: str, planned: PlannedCall, course: Course
    ) -> Run | Refused | Answered | Finished | None:
        """Open the attempt of a granted call; `Run` comes back only to the one that opened it.

        None when the call has to be judged again: the policy changed while the turn was run.
        """
        if isinstance(course, Run):
            now = self._gate.clock()
            opened = attempts.start(
                database,
                thread_id,
                course.judged,
                policy_digest=self._gate.policy.digest,
                now=now,
                deadline=now + self._gate.call_timeout,
            )
            if opened:
                return course
            (course,) = self._gate.courses(database, thread_id, [planned])
        if isinstance(course, Judge | Review | Doubtful):
            return None
        judged = course.judged
        again = command("resume", thread_id)
        if isinstance(course, Busy):
            raise CallBusy(
                f"call `{planned.call.call_id}` of `{planned.call.tool}` is being run since "
                f"{course.judged.started_at:%H:%M:%S}, here or by another process",
                hint=f"try `{again}` after {course.judged.deadline:%H:%M:%S}",
            )
        if isinstance(course, Refused | Answered | Finished):
            return course
        raise GrantRefused(
            f"call `{planned.call.call_id}` of `{planned.call.tool}` has no valid grant "
            f"(revision {judged.revision}); nothing was run",
            hint=f"continue with `{again}`",
        )

    def _call(
        self, database: Database, thread_id: str, judged: Judged, config: RunnableConfig
    ) -> dict[str, Any] | None:
        """Call the tool; None when nobody can tell what became of it. A read has failed, then."""
        try:
            message = self._gate.by_name[judged.call.tool].invoke(_tool_call(judged), config)
        except OutcomeUnknown as error:
            if judged.verdict.effect is Effect.READ:
                return _failure(error)
            self._doubt(database, thread_id, judged, str(error))
            return None
        except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
            return _failure(error)
        except BaseException:
            self._doubt(database, thread_id, judged, "the call was cut off")
            raise
        return _outcome(message)

    async def _acall(
        self, database: Database, thread_id: str, judged: Judged, config: RunnableConfig
    ) -> dict[str, Any] | None:
        """Like `_call`, awaiting the tool."""
        try:
            message = await self._gate.by_name[judged.call.tool].ainvoke(_tool_call(judged), config)
        except OutcomeUnknown as error:
            if judged.verdict.effect is Effect.READ:
                return _failure(error)
            await asyncio.to_thread(self._doubt, database, thread_id, judged, str(error))
            return None
        except Exception as error:  # noqa: BLE001  any failure of a tool is an outcome
            return _failure(error)
        except BaseException:
            doubt = asyncio.to_thread(self._doubt, database, thread_id, judged, "it was cut off")
            await asyncio.shield(doubt)
            raise
        return _outcome(message)

    def _doubt(self, database: Database, thread_id: str, judged: Judged, why: str) -> None:
        """Note that nobody here can tell what became of the call."""
        attempts.end(
            database,
            thread_id,
            judged,
            "in_doubt",
            {"content": clean_text(why)},
            revision=judged.revision,
            now=self._gate.clock(),
        )

    def _end(
        self, database: Database, thread_id: str, judged: Judged, result: Mapping[str, Any]
    ) -> Finished:
        state: Literal["succeeded", "failed"] = (
            "failed" if result["status"] == "error" else "succeeded"
        )
        closed = attempts.end(
            database,
            thread_id,
            judged,
            state,
            result,
            revision=judged.revision,
            now=self._gate.clock(),
        )
        if not closed:
            raise GrantRefused(
                f"call `{judged.call.call_id}` of `{judged.call.tool}` ended as {state} after "
                "another process had taken it for lost",
                hint=f"see `{command('history', thread_id)}`",
            )
        return Finished(replace(judged, attempt=state, result=result))


def _next(planned: Sequence[PlannedCall], messages: list[ToolMessage]) -> Next:
    """Go on with the answers there are: to the planner with all, to the classifier with some."""
    goto: Literal["planner", "risk_classifier"] = (
        "planner" if len(messages) == len(planned) else "risk_classifier"
    )
    return Command(update={"messages": messages}, goto=goto)


def _settled(courses: Sequence[Course]) -> bool:
    return not any(isinstance(one, Judge | Review | Doubtful) for one in courses)


def _tool_call(judged: Judged) -> dict[str, Any]:
    return {
        "type": "tool_call",
        "id": judged.call.call_id,
        "name": judged.call.tool,
        "args": dict(judged.call.args),
    }


def _outcome(message: Any) -> dict[str, Any]:
    """Return what is stored of a tool's result, and what a crash later replays."""
    if not isinstance(message, ToolMessage):
        return {"status": "success", "content": clean_text(str(message))}
    outcome = {"status": message.status, "content": clean_json(message.content)}
    if message.artifact is not None:
        outcome["artifact"] = clean_json(message.artifact)
    return outcome


def _failure(error: Exception) -> dict[str, Any]:
    text = clean_text(str(error)) or type(error).__name__
    return {"status": "error", "content": f"the tool failed: {text}"}
