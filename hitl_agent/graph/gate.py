"""What the nodes share: tools, policy, clock, and the way to the database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from hitl_agent.calls import ToolCall, clean_text
from hitl_agent.errors import ConfigurationError, InvalidCall
from hitl_agent.execution import NO_PROMISE, Contract, Course, Judge, Judged, course
from hitl_agent.execution.contract import LONGEST
from hitl_agent.graph.answers import outcome_of
from hitl_agent.graph.assessment import Assessment, Assessor, Confidence, Objections
from hitl_agent.graph.hints import hints_of
from hitl_agent.graph.state import PlannedCall, task_of, this_run
from hitl_agent.graph.tool_contract import contract_of
from hitl_agent.policy import Facts, Past, Policy, Tier, Verdict, judge, refused
from hitl_agent.policy.annotations import objections
from hitl_agent.policy.in_force import PolicyInForce
from hitl_agent.policy.measures import Measures, counted_name, measure
from hitl_agent.policy.plan import Plan
from hitl_agent.review import ReviewRequest, check_arguments, request_id
from hitl_agent.storage import judgements
from hitl_agent.storage.checkpoints import lease_of
from hitl_agent.storage.database import Database, shared_database
from hitl_agent.storage.leases import Lease, Leases, shared_leases

DATABASE = "__hitl_database"
"""Key of `configurable` under which a runtime hands its database to the nodes."""

GRAPH = "graph_id"
"""Key of `metadata` that names the graph: LangGraph's servers use the same."""

ACTOR = "actor"
"""Key of `configurable` that says who the agent acts for."""

LEASES = "__hitl_leases"
"""Key of `configurable` under which a runtime hands its leases to graphs and nodes."""

SERVER_USER = "langgraph_auth_user_id"
"""Key of `configurable` by which LangGraph's servers name an authenticated user."""

_log = logging.getLogger("hitl_agent.policy")

_SHOWN = 10_000
"""Characters of task and claim that a reviewer is shown."""

_OURS = ("answered", "blocked", "rejected")
"""Outcomes of calls that were not run: their answers are ours, or a reviewer's."""


class GateOptions(TypedDict, total=False):
    """Arguments of `build_graph` that every gate takes."""

    confidence: Confidence | None
    second_opinion: Objections | None
    classifier_timeout: timedelta
    call_timeout: timedelta
    clock: Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Turn:
    """Where the calls of a turn belong.

    Attributes:
        database: where they are judged.
        thread_id: LangGraph's thread.
        graph: the graph's name.
        messages: the conversation so far.
        lease: under which the thread is driven; None where somebody else drives it.
        actor: who the agent acts for, when the app says so.
        asked_by: the user whom a server has authenticated, if that is somebody else.
    """

    database: Database
    thread_id: str
    graph: str
    messages: Sequence[BaseMessage]
    lease: Lease | None = None
    actor: str | None = None
    asked_by: str | None = None


@dataclass(frozen=True)
class Gate:
    """The one place where a call is judged.

    Attributes:
        tools: what may be called.
        in_force: what may run by itself.
        clock: returns the time, with its zone.
        call_timeout: after this a call is cut off, unless its tool says otherwise.
        assessor: asked of every call before policy is.
    """

    tools: Sequence[BaseTool]
    in_force: PolicyInForce
    clock: Callable[[], datetime]
    call_timeout: timedelta
    assessor: Assessor = field(default_factory=Assessor)
    _kept: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        tools: Sequence[BaseTool],
        policy: Policy | Path | str,
        *,
        confidence: Confidence | None = None,
        second_opinion: Objections | None = None,
        classifier_timeout: timedelta = timedelta(seconds=30),
        call_timeout: timedelta = timedelta(minutes=5),
        clock: Callable[[], datetime] = utc_now,
    ) -> Gate:
        """Return a gate; for the arguments and what it raises see `build_graph`."""
        names = [tool.name for tool in tools]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigurationError(f"two tools are named `{min(twice)}`")
        if max(call_timeout, classifier_timeout) > LONGEST:
            raise ConfigurationError(
                "`call_timeout` and `classifier_timeout` are at most ten years"
            )
        if min(call_timeout, classifier_timeout) <= timedelta(0):
            raise ConfigurationError("`call_timeout` and `classifier_timeout` are positive")
        if not isinstance(policy, Policy | Path | str):
            raise ConfigurationError(
                f"a policy is a file or a `Policy`, not of type `{type(policy).__name__}`",
                hint="name the file, such as `policies.yaml`, or take `parse_policy(text)`",
            )
        schemas = argument_schemas(tools)

        def fits(candidate: Policy) -> None:
            for remark in candidate.check_tools(schemas):
                _log.warning("%s", remark)

        return cls(
            tools=tuple(tools),
            in_force=PolicyInForce(policy, fits),
            clock=clock,
            call_timeout=call_timeout,
            assessor=Assessor(confidence, second_opinion, classifier_timeout),
        )

    def knowing(self, tool: BaseTool) -> Gate:
        """Return a gate under the same policy that knows one tool, which comes with its call."""
        for remark in self.policy.check_tools(argument_schemas([tool])):
            _log.warning("%s", remark)
        return replace(self, tools=(tool,))

    @property
    def policy(self) -> Policy:
        """The policy in force now."""
        return self.in_force.current()

    @cached_property
    def by_name(self) -> Mapping[str, BaseTool]:
        """The tools by name."""
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def schemas(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON schemas of what a caller may pass, by tool."""
        return argument_schemas(self.tools)

    @cached_property
    def contracts(self) -> Mapping[str, Contract]:
        """What the tools promise, by name."""
        return {
            name: contract_of(tool, self.schemas[name], self.call_timeout)
            for name, tool in self.by_name.items()
        }

    def contract(self, tool: str) -> Contract:
        """What a tool promises; one that is not there promises nothing."""
        return self.contracts.get(tool, NO_PROMISE)

    def leases(self, config: RunnableConfig) -> Leases:
        """Return the runtime's leases, or this process's on the same database."""
        given = config.get("configurable", {}).get(LEASES)
        if isinstance(given, Leases):
            return given
        return shared_leases(self.database(config), self.clock)

    def database(self, config: RunnableConfig) -> Database:
        """Return the runtime's database, or the one that the environment names."""
        given = config.get("configurable", {}).get(DATABASE)
        return given if isinstance(given, Database) else shared_database()

    def _keep(self, database: Database, policy: Policy) -> None:
        """Keep the policy's document, once for each database."""
        if (database.url, policy.digest) not in self._kept:
            judgements.keep_policy(database, policy)
            self._kept.add((database.url, policy.digest))

    def turn(self, config: RunnableConfig, messages: Sequence[BaseMessage]) -> Turn:
        """Return where the calls of a turn belong."""
        graph = str(config.get("metadata", {}).get(GRAPH) or "graph")
        lease = lease_of(config)
        actor, asked_by = self._requesters(config, messages, lease)
        return Turn(
            self.database(config), thread_of(config), graph, messages, lease, actor, asked_by
        )

    def _requesters(
        self, config: RunnableConfig, messages: Sequence[BaseMessage], lease: Lease | None
    ) -> tuple[str | None, str | None]:
        """Return who asked for a run: the actor, and a server's user if that is somebody else.

        Who resumes a run did not ask for it: the first calls of the run tell who did.
        """
        user = counted_name(config.get("configurable", {}).get(SERVER_USER))
        actor = lease.requester if lease else actor_of(config)
        if lease and user in (None, actor):
            return actor, None
        said = [one for one in this_run(messages) if isinstance(one, AIMessage)]
        calls = [call["id"] for one in said for call in one.tool_calls if call["id"]]
        if asked := judgements.requesters(self.database(config), thread_of(config), calls):
            return asked[0] if lease is None else (actor, asked[0][1])
        return actor, user if user != actor else None

    def settle(self, turn: Turn, planned: Sequence[PlannedCall]) -> list[Course]:
        """Judge every call that has to be judged and return what happens next to each.

        No course that comes back is `Judge`. A call in doubt is left to the executor, which has a
        lease to say so.
        """
        # a new call is judged without a look whether it was before, which the write tells as well;
        # an estimator may be slow, and is asked only when its answer counts
        courses: list[Course] = [Judge(one.call, 1) for one in planned]
        if self.assessor.asks:
            courses = self.courses(turn.database, turn.thread_id, planned)
        while any(isinstance(step, Judge) for step in courses):
            known: dict[str, Judged] = {}
            for one, step in zip(planned, courses, strict=True):
                if not isinstance(step, Judge):
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
        return [self._course(one.call, found.get(one.call.call_id), now) for one in planned]

    def _course(self, planned: ToolCall, judged: Judged | None, now: datetime) -> Course:
        tool = judged.call.tool if judged else planned.tool
        return course(
            planned,
            judged,
            policy_digest=self.policy.digest,
            now=now,
            contract=self.contract(tool),
        )

    def _judge(self, turn: Turn, planned: PlannedCall, step: Judge) -> Judged | None:
        """Judge one call; None if it was judged before, here or by another process."""
        policy = self.policy
        self._keep(turn.database, policy)
        call = step.call
        found = self._refused(policy, planned, step)
        assessment = Assessment() if found else self.assessor.assess(call, turn.messages)
        plan = policy.plan(call.tool)
        measures = Measures() if found else measure(plan, call.args)
        keys = {} if found else _keys(plan, call, turn, measures)
        # who counts the past and adds to it does so alone
        with turn.database.locked(*(f"history {by} {key}" for by, key in keys.values())):
            now = self.clock()
            verdict = found or judge(
                policy,
                call.tool,
                dict(call.args),
                self._facts(policy, plan, turn, step, assessment, measures, keys, now),
                errors=(*step.errors, *assessment.errors),
                objections=(*assessment.objections, *self._objections(plan, call.tool)),
            )
            asked = verdict.tier in (Tier.HARD_GATE, Tier.SOFT_REVIEW)
            return judgements.judge(
                turn.database,
                turn.thread_id,
                step,
                verdict,
                lease=turn.lease,
                planned=planned.call,
                tool_version=self.contract(call.tool).version,
                confidence=assessment.confidence,
                known=judgements.Known(
                    actor=turn.actor,
                    asked_by=turn.asked_by,
                    assessment=assessment.source,
                    **asdict(measures),
                ),
                question=self._question(turn, planned, step, verdict, now) if asked else None,
                now=now,
            )

    def _objections(self, plan: Plan, tool: str) -> tuple[str, ...]:
        """Return what a tool's MCP server has against calling it, where it has one."""
        hints = hints_of(self.by_name.get(tool)) or {}
        return objections(hints, plan.effect, open_world=plan.open_world)

    def _untrusted(self, plan: Plan, tool: str) -> bool:
        """Whether a tool's result may carry other people's text, as an MCP server's may."""
        foreign = hints_of(self.by_name.get(tool)) is not None
        return plan.untrusted_output or (foreign and not plan.output_told)

    def _facts(
        self,
        policy: Policy,
        plan: Plan,
        turn: Turn,
        step: Judge,
        assessment: Assessment,
        measures: Measures,
        keys: Mapping[str, tuple[str, str]],
        now: datetime,
    ) -> Facts:
        """Look up what the tool's conditions want to know."""
        untrusted: list[str] | None = None
        if plan.needs_past:
            heard = {*judgements.tools_run(turn.database, turn.thread_id), *_heard(turn.messages)}
            untrusted = [one for one in sorted(heard) if self._untrusted(policy.plan(one), one)]
        history = {
            name: Past(
                *judgements.past(
                    turn.database,
                    (turn.thread_id, step.call.call_id),
                    by=by,
                    key=key,
                    currency=measures.currency,
                    since=now - timedelta(seconds=plan.spans[name].seconds),
                    now=now,
                )
            )
            for name, (by, key) in keys.items()
        }
        return Facts(
            confidence=assessment.confidence,
            actor=turn.actor,
            thread=turn.thread_id,
            now=now,
            untrusted=untrusted,
            history=history,
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

    def _refused(self, policy: Policy, planned: PlannedCall, step: Judge) -> Verdict | None:
        """Return the verdict on a call that no policy can let run."""
        call = step.call
        redactions = policy.plan(call.tool).redactions
        if planned.malformed is not None:
            reason = f"the call is malformed: {planned.malformed}"
            verdict = refused(policy, "malformed-call", reason)
            # where an argument is hidden in a text that is no JSON, all of it is
            return replace(verdict, redactions={"*": ("malformed",)} if redactions else {})
        if call.tool not in self.by_name:
            names = ", ".join(sorted(self.by_name)) or "none"
            reason = f"there is no tool named `{call.tool}`; there are: {names}"
            return replace(refused(policy, "no-such-tool", reason), redactions=redactions)
        try:
            check_arguments(call.args, self.schemas[call.tool])
        except InvalidCall as error:
            verdict = refused(policy, "invalid-arguments", f"the arguments do not fit: {error}")
            return replace(verdict, redactions=redactions)
        return None


def actor_of(config: RunnableConfig) -> str | None:
    """Return who the agent acts for, if the app or LangGraph's server says so."""
    named = config.get("configurable", {})
    return counted_name(named.get(ACTOR) or named.get(SERVER_USER))


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


def argument_schemas(tools: Sequence[BaseTool]) -> dict[str, Mapping[str, Any]]:
    """Return JSON schemas of what a caller may pass, by tool.

    Raises:
        ConfigurationError: a tool describes its arguments in a way that is not understood.
    """
    return {tool.name: _schema(tool) for tool in tools}


def _keys(plan: Plan, call: ToolCall, turn: Turn, measures: Measures) -> dict[str, tuple[str, str]]:
    """Return by what, and by which of it, each span of the past is counted, where that is known."""
    own = {"tool": call.tool, "actor": turn.actor, "counterparty": measures.counterparty}
    return {name: (span.by, key) for name, span in plan.spans.items() if (key := own[span.by])}


def _heard(messages: Sequence[BaseMessage]) -> Iterator[str]:
    """Yield the tools whose results stand in the messages, wherever these come from."""
    called: dict[str, str] = {}
    for one in messages:
        if isinstance(one, AIMessage):
            called |= {call["id"] or "": call["name"] for call in one.tool_calls}
        elif isinstance(one, ToolMessage) and outcome_of(one) not in _OURS:
            # without a name it is the result of nobody knows what
            names = {name for name in (one.name, called.get(one.tool_call_id)) if name}
            yield from names or {""}


def _schema(tool: BaseTool) -> Mapping[str, Any]:
    schema = tool.tool_call_schema
    if isinstance(schema, dict):
        return schema
    if not issubclass(schema, BaseModel):
        raise ConfigurationError(f"tool `{tool.name}` describes its arguments with pydantic 1")
    return schema.model_json_schema()
