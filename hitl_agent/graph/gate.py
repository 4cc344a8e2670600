"""What the nodes share: tools, policy, clock, and the way to the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from hitl_agent.calls import ToolCall, clean_text
from hitl_agent.errors import ConfigurationError, InvalidCall
from hitl_agent.execution import Course, Doubtful, Judge, Judged, course
from hitl_agent.graph.state import PlannedCall, task_of
from hitl_agent.policy import Policy, Tier, Verdict, judge, refused
from hitl_agent.review import ReviewRequest, check_arguments, request_id
from hitl_agent.storage import attempts, judgements
from hitl_agent.storage.database import Database, shared_database

DATABASE = "__hitl_database"
"""Key of `configurable` under which a runtime hands its database to the nodes."""

GRAPH = "graph_id"
"""Key of `metadata` that names the graph: LangGraph's servers use the same."""

Confidence = Callable[[ToolCall, Sequence[BaseMessage]], float | None]
"""Says how confident the planner is of a call, in [0, 1], or None when it cannot tell."""


_SHOWN = 10_000
"""Characters of task and claim that a reviewer is shown."""


@dataclass(frozen=True)
class Turn:
    """Where the calls of a turn belong.

    Attributes:
        database: where they are judged.
        thread_id: LangGraph's thread.
        graph: the graph's name.
        messages: the conversation so far.
    """

    database: Database
    thread_id: str
    graph: str
    messages: Sequence[BaseMessage]


@dataclass(frozen=True)
class Gate:
    """The one place where a call is judged.

    Attributes:
        tools: what may be called.
        policy: what may run by itself.
        clock: returns the time, with its zone.
        call_timeout: after this a call that was started counts as in doubt.
        confidence: asked of every call, or None.
    """

    tools: Sequence[BaseTool]
    policy: Policy
    clock: Callable[[], datetime]
    call_timeout: timedelta
    confidence: Confidence | None = None
    _kept: set[str] = field(default_factory=set)

    @cached_property
    def by_name(self) -> Mapping[str, BaseTool]:
        """The tools by name."""
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def schemas(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON schemas of what a caller may pass, by tool."""
        return {tool.name: _schema(tool) for tool in self.tools}

    def database(self, config: RunnableConfig) -> Database:
        """Return the runtime's database, or the one that the environment names."""
        given = config.get("configurable", {}).get(DATABASE)
        database = given if isinstance(given, Database) else shared_database()
        if database.url not in self._kept:
            judgements.keep_policy(database, self.policy)
            self._kept.add(database.url)
        return database

    def turn(self, config: RunnableConfig, messages: Sequence[BaseMessage]) -> Turn:
        """Return where the calls of a turn belong."""
        graph = str(config.get("metadata", {}).get(GRAPH) or "graph")
        return Turn(self.database(config), thread_of(config), graph, messages)

    def settle(self, turn: Turn, planned: Sequence[PlannedCall]) -> list[Course]:
        """Judge every call that has to be judged and return what happens next to each.

        No course that comes back is `Judge` or `Doubtful`.
        """
        # a new call is judged without a look whether it was before, which the write tells as well;
        # an estimator may be slow, and is asked only when its answer counts
        courses: list[Course] = [Judge(one.call, 1) for one in planned]
        if self.confidence:
            courses = self.courses(turn.database, turn.thread_id, planned)
        while any(isinstance(step, Judge | Doubtful) for step in courses):
            known: dict[str, Judged] = {}
            for one, step in zip(planned, courses, strict=True):
                if isinstance(step, Doubtful):
                    self._doubt(turn, step)
                elif not isinstance(step, Judge):
                    known[one.call.call_id] = step.judged
                elif judged := self._judge(turn, one, step):
                    known[one.call.call_id] = judged
            courses = self.courses(turn.database, turn.thread_id, planned, known)
        return courses

    def courses(
        self,
        database: Database,
        thread_id: str,
        planned: Sequence[PlannedCall],
        known: Mapping[str, Judged] | None = None,
    ) -> list[Course]:
        """Return what happens next to each call, changing nothing.

        Args:
            database: where the judgements are.
            thread_id: LangGraph's thread.
            planned: the calls.
            known: judgements just written by this process, by call id; the others are read.
        """
        found = dict(known or {})
        if unknown := [one.call.call_id for one in planned if one.call.call_id not in found]:
            found |= judgements.newest(database, thread_id, unknown)
        now = self.clock()
        return [
            course(one.call, found.get(one.call.call_id), policy_digest=self.policy.digest, now=now)
            for one in planned
        ]

    def _judge(self, turn: Turn, planned: PlannedCall, step: Judge) -> Judged | None:
        """Judge one call; None if it was judged before, here or by another process."""
        verdict, confidence = self._verdict(planned, step, turn.messages)
        now = self.clock()
        gated = verdict.tier is Tier.HARD_GATE
        return judgements.judge(
            turn.database,
            turn.thread_id,
            step,
            verdict,
            planned=planned.call,
            confidence=confidence,
            question=self._question(turn, planned, step, verdict, now) if gated else None,
            now=now,
        )

    def _question(
        self, turn: Turn, planned: PlannedCall, step: Judge, verdict: Verdict, now: datetime
    ) -> ReviewRequest:
        call, sla = step.call, verdict.sla_seconds
        return ReviewRequest(
            request_id=request_id(turn.thread_id, call.call_id, step.revision, call.digest),
            thread_id=turn.thread_id,
            graph=turn.graph,
            interrupt_id=None,
            call=call,
            revision=step.revision,
            call_digest=call.digest,
            verdict=verdict,
            claim=clean_text(planned.claim)[:_SHOWN],
            task=clean_text(task_of(turn.messages))[:_SHOWN],
            args_schema=self.schemas[call.tool],
            problem=None,
            created_at=now,
            due_at=now + timedelta(seconds=sla) if sla is not None else None,
        )

    def _verdict(
        self, planned: PlannedCall, step: Judge, messages: Sequence[BaseMessage]
    ) -> tuple[Verdict, float | None]:
        call = step.call
        if planned.malformed is not None:
            reason = f"the call is malformed: {planned.malformed}"
            return refused(self.policy, "malformed-call", reason), None
        if call.tool not in self.by_name:
            names = ", ".join(sorted(self.by_name)) or "none"
            reason = f"there is no tool named `{call.tool}`; there are: {names}"
            return refused(self.policy, "no-such-tool", reason), None
        try:
            check_arguments(call.args, self.schemas[call.tool])
        except InvalidCall as error:
            return refused(
                self.policy, "invalid-arguments", f"the arguments do not fit: {error}"
            ), None
        confidence, errors = self._confidence(call, messages)
        verdict = judge(
            self.policy,
            call.tool,
            call.args,
            confidence=confidence,
            errors=(*step.errors, *errors),
        )
        return verdict, confidence

    def _confidence(
        self, call: ToolCall, messages: Sequence[BaseMessage]
    ) -> tuple[float | None, tuple[str, ...]]:
        """Ask the estimator; whatever goes wrong with it puts the call before a person."""
        if self.confidence is None:
            return None, ()
        try:
            value = self.confidence(call, messages)
        except Exception as error:  # noqa: BLE001  fails closed: the error is on the verdict
            why = clean_text(f"{type(error).__name__}: {error}")
            return None, (f"the confidence estimator failed: {why}",)
        if value is None:
            return None, ()
        if not isinstance(value, float | int) or isinstance(value, bool) or not 0 <= value <= 1:
            return None, (f"the confidence estimator answered `{clean_text(str(value))}`",)
        return float(value), ()

    def _doubt(self, turn: Turn, step: Doubtful) -> None:
        attempts.end(
            turn.database,
            turn.thread_id,
            step.judged,
            "in_doubt",
            None,
            revision=step.judged.attempt_revision or step.judged.revision,
            now=self.clock(),
        )


def thread_of(config: RunnableConfig) -> str:
    """Return the thread that a node runs in.

    Raises:
        ConfigurationError: the graph runs without one.
    """
    thread_id = config.get("configurable", {}).get("thread_id")
    if not thread_id:
        raise ConfigurationError(
            "a graph with a gate needs a thread",
            hint='pass config={"configurable": {"thread_id": ...}}',
        )
    return str(thread_id)


def _schema(tool: BaseTool) -> Mapping[str, Any]:
    schema = tool.tool_call_schema
    if isinstance(schema, dict):
        return schema
    if not issubclass(schema, BaseModel):
        raise ConfigurationError(f"tool `{tool.name}` describes its arguments with pydantic 1")
    return schema.model_json_schema()
