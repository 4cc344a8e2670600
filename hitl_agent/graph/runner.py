"""Running calls: consumes grants, keeps attempts, says what is told to the planner."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp

from hitl_agent.calls import clean_json, clean_text
from hitl_agent.errors import CallBusy, ExecutionError, GrantRefused, HitlError, OutcomeUnknown
from hitl_agent.execution import (
    Again,
    Answered,
    Ask,
    Busy,
    Course,
    Doubtful,
    Finished,
    Happened,
    Judge,
    Judged,
    NotHappened,
    Refused,
    Review,
    Run,
    binding,
    idempotency_key_of,
)
from hitl_agent.execution.contract import MAX_TRIES, Reconcile
from hitl_agent.graph.bounded import bounded
from hitl_agent.graph.gate import Gate, actor_of, thread_of
from hitl_agent.graph.outcome import Outcome, Result, Suspended, Unknown, failure
from hitl_agent.graph.places import pass_own
from hitl_agent.graph.state import PlannedCall
from hitl_agent.graph.tool_call import Callee, acall_tool, call_in_transaction, call_tool
from hitl_agent.graph.tool_contract import RunningCall, moment, task_of_run
from hitl_agent.policy import Effect
from hitl_agent.review.rendering import command
from hitl_agent.storage import attempts
from hitl_agent.storage.checkpoints import lease_of
from hitl_agent.storage.database import Database
from hitl_agent.storage.leases import Lease

Told = Refused | Answered | Finished
"""What the planner is told of."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A call whose attempt is open, for nobody else.

    Attributes:
        judged: the call with its attempt.
        running: what its tool may ask.
    """

    judged: Judged
    running: RunningCall


Steps = Generator[_Opened, Outcome, list[Told]]
"""Yields each call that is to be made, is sent what became of it, returns what is settled."""


class Runner:
    """Runs calls in the planner's order, each against its grant.

    What is run, and whether, comes from the database alone: the arguments of the judgement that
    the grant names, never those of the graph's state. While any of the calls is not settled,
    nothing runs.

    Args:
        gate: knows the tools' contracts and the clock.
        config: LangGraph's.
        database: where the attempts are.
        callees: what is called, by the tool's name.
    """

    def __init__(
        self,
        gate: Gate,
        config: RunnableConfig,
        database: Database,
        callees: Mapping[str, Callee],
    ) -> None:
        self._gate = gate
        self._config = config
        self._database = database
        self._callees = callees

    def run(self, planned: Sequence[PlannedCall]) -> list[Told]:
        """Run what is granted; fewer than there are calls come back while some are open."""
        with self._leased() as lease:
            steps, outcome = self._steps(lease, planned), None
            while isinstance(step := _step(steps, outcome), _Opened):
                try:
                    outcome = self._call(lease, step)
                except BaseException:
                    self._cut_off(lease, step)
                    raise
            return step

    async def arun(self, planned: Sequence[PlannedCall]) -> list[Told]:
        """Run what is granted, awaiting the tools."""
        holding = self._leased()
        lease = await asyncio.to_thread(holding.__enter__)
        try:
            steps, outcome = self._steps(lease, planned), None
            while isinstance(step := await self._stepped(lease, steps, outcome), _Opened):
                try:
                    outcome = await self._acall(lease, step)
                except BaseException:
                    await asyncio.shield(asyncio.to_thread(self._cut_off, lease, step))
                    raise
            return step
        finally:
            await asyncio.shield(asyncio.to_thread(holding.__exit__, *sys.exc_info()))

    async def _stepped(self, lease: Lease, steps: Steps, outcome: Outcome) -> _Opened | list[Told]:
        """Go to the next call; one that was opened when nobody awaits it any more is put back."""
        going = asyncio.ensure_future(asyncio.to_thread(_step, steps, outcome))
        try:
            return await asyncio.shield(going)
        except asyncio.CancelledError:
            step = await going
            if isinstance(step, _Opened):  # nothing was sent
                await asyncio.to_thread(self._put_back, lease, step.judged)
            raise

    @contextmanager
    def _leased(self) -> Iterator[Lease]:
        """Work under the lease of whoever drives the thread, or under one for the attempts."""
        if lease := lease_of(self._config):
            yield lease
            return
        leases = self._gate.leases(self._config)
        with leases.joined(thread_of(self._config), actor=actor_of(self._config)) as lease:
            yield lease

    def _steps(self, lease: Lease, planned: Sequence[PlannedCall]) -> Steps:
        """Bring every call to its end, or as far as it goes."""
        courses = self._courses(lease, planned)
        told: list[Told] = []
        for course in courses:
            if isinstance(course, Doubtful):
                self._doubt(lease, course.judged, "its time is over")
        if any(isinstance(one, Judge | Review | Doubtful) for one in courses):
            return told
        for one, course in zip(planned, courses, strict=True):
            step = self._begin(lease, one, course)
            while isinstance(step, _Opened):
                if step.running.left <= 0 and step.judged.tries < MAX_TRIES:
                    step = self._afresh(lease, one, step.judged)
                else:
                    outcome = yield step
                    step = self._close(lease, one, step, outcome)
            if step is None:
                break
            told.append(step)
        return told

    def _call(self, lease: Lease, opened: _Opened) -> Outcome:
        """Call the tool of an open attempt; for None see `call_in_transaction`."""
        judged, tool = opened.judged, self._callees[opened.judged.call.tool]
        self._database.reached("before tool")
        if judged.attempt == "reserved":
            outcome = call_in_transaction(
                tool,
                judged,
                self._config,
                opened.running,
                self._database,
                lambda result: self._end(lease, judged, result),
            )
        else:
            outcome = call_tool(tool, judged, self._config, opened.running)
        self._database.reached("after tool")
        return outcome

    async def _acall(self, lease: Lease, opened: _Opened) -> Outcome:
        """Call the tool of an open attempt, awaiting it."""
        judged = opened.judged
        if judged.attempt == "reserved":
            return await asyncio.to_thread(self._call, lease, opened)
        tool = self._callees[judged.call.tool]
        self._database.reached("before tool")
        outcome = await acall_tool(tool, judged, self._config, opened.running)
        self._database.reached("after tool")
        return outcome

    def _cut_off(self, lease: Lease, opened: _Opened) -> None:
        """Say of a call that was cut off that it is in doubt, unless its tool can tell more."""
        contract = self._gate.contract(opened.judged.call.tool)
        promises = contract.transactional or contract.idempotent_for or contract.reconcile
        if not promises:
            with suppress(HitlError):  # what ends the run matters more; its deadline says the same
                self._doubt(lease, opened.judged, "the call was cut off")

    def _courses(self, lease: Lease, planned: Sequence[PlannedCall]) -> list[Course]:
        return self._gate.courses(self._database, lease.thread_id, planned)

    def _begin(self, lease: Lease, one: PlannedCall, course: Course) -> _Opened | Told | None:
        """Open the attempt of a granted call, or the next try of one that was cut off.

        None when the call has to be judged again: the policy changed while the turn was run.
        """
        if isinstance(course, Run):
            if opened := self._open(lease, course.judged):
                return opened
            (course,) = self._courses(lease, [one])
        if isinstance(course, Ask):
            return self._ask(lease, course.judged)
        if isinstance(course, Again):
            if opened := self._again(lease, course.judged):
                return opened
            (course,) = self._courses(lease, [one])
        if isinstance(course, Finished):
            pass_own(self._config, course.judged.result)
        if isinstance(course, Refused | Answered | Finished):
            return course
        if isinstance(course, Judge | Review | Doubtful):
            return None
        judged, again = course.judged, command("resume", lease.thread_id)
        if isinstance(course, Busy):
            raise self._busy(judged, again)
        raise GrantRefused(
            f"call `{judged.call.call_id}` of `{judged.call.tool}` has no valid grant "
            f"(revision {judged.revision}); nothing was run",
            hint=f"continue with `{again}`",
        )

    def _open(self, lease: Lease, judged: Judged) -> _Opened | None:
        contract, begun = self._gate.contract(judged.call.tool), moment()
        now = self._gate.clock()
        opened = attempts.open_(
            self._database,
            lease,
            judged,
            "reserved" if contract.transactional else "started",
            bound=binding(
                judged.call,
                thread_id=lease.thread_id,
                tool_version=contract.version,
                policy_digest=self._gate.policy.digest,
                requester=judged.requester,
            ),
            now=now,
            deadline=contract.deadline(now),
        )
        return self._running(opened, begun) if opened else None

    def _again(self, lease: Lease, judged: Judged) -> _Opened | None:
        """Open the next try of a call; None under a policy that may not let it run."""
        if judged.verdict.policy_digest != self._gate.policy.digest:
            return None
        contract, begun = self._gate.contract(judged.call.tool), moment()
        now = self._gate.clock()
        opened = attempts.again(
            self._database, lease, judged, now=now, deadline=contract.deadline(now)
        )
        return self._running(opened, begun) if opened else None

    def _running(self, judged: Judged, begun: tuple[float, float]) -> _Opened:
        timeout = self._gate.contract(judged.call.tool).timeout
        assert timeout is not None  # noqa: S101  a contract of the gate has one
        key = idempotency_key_of(judged.thread_id, judged.call)
        task = task_of_run(self._config)
        return _Opened(judged, RunningCall(key, begun, timeout.total_seconds(), task))

    def _ask(self, lease: Lease, judged: Judged) -> _Opened | Told | None:
        """Ask the receiver what became of a call that was cut off."""
        contract = self._gate.contract(judged.call.tool)
        assert contract.reconcile is not None  # noqa: S101  see `course`
        assert contract.timeout is not None  # noqa: S101
        key = idempotency_key_of(judged.thread_id, judged.call)
        try:
            said = bounded(_asked, contract.timeout.total_seconds(), contract.reconcile, key)
        except Exception as error:  # noqa: BLE001  whatever it is, nobody knows
            self._doubt(lease, judged, f"asking what became of it failed: {error}")
            return None
        if isinstance(said, Happened):
            result: Result = {"status": "success", "content": clean_json(said.result)}
            return self._ended(lease, judged, _as_content(result))
        if isinstance(said, NotHappened) and (opened := self._again(lease, judged)):
            return opened
        why = "its tool does not say what became of it"
        if isinstance(said, NotHappened):
            why = "its tool says that it did not happen, and policy has changed since it was sent"
        self._doubt(lease, judged, why)
        return None

    def _close(
        self,
        lease: Lease,
        one: PlannedCall,
        opened: _Opened,
        outcome: Outcome,
    ) -> _Opened | Told | None:
        """Write what became of a call, or try it again where that does no harm.

        None when the call is in doubt.
        """
        judged = opened.judged
        if outcome is None:  # the connection broke around a commit: what it did is in the row
            return self._afresh(lease, one, judged)
        if isinstance(outcome, Unknown):
            return self._unknown(lease, judged, outcome.why)
        if isinstance(outcome, Suspended):
            return self._suspended(lease, judged, outcome.stop)
        if judged.attempt == "reserved" and outcome["status"] != "error":
            return _finished(judged, outcome)
        return self._ended(lease, judged, outcome)

    def _afresh(self, lease: Lease, one: PlannedCall, judged: Judged) -> _Opened | Told | None:
        """Begin anew with a call of which nothing was sent: opening it took all of its time."""
        if judged.attempt == "started":
            return self._again(lease, judged)
        (course,) = self._courses(lease, [one])
        return self._begin(lease, one, course)

    def _unknown(self, lease: Lease, judged: Judged, why: str) -> _Opened | Told | None:
        if judged.verdict.effect is Effect.READ:
            return self._ended(lease, judged, failure(why))
        contract, now = self._gate.contract(judged.call.tool), self._gate.clock()
        if judged.attempt == "started" and judged.tries < MAX_TRIES:
            if contract.remembers(judged.opened_at, now):
                return self._again(lease, judged)
            if contract.reconcile is not None:
                raise self._busy(judged, command("resume", lease.thread_id))
        self._doubt(lease, judged, why)
        return None

    def _suspended(self, lease: Lease, judged: Judged, stop: GraphBubbleUp) -> Told:
        """Let a tool stop the graph to ask, where it does no harm that it begins anew afterwards.

        Raises:
            GraphBubbleUp: what the tool has raised.
        """
        contract = self._gate.contract(judged.call.tool)
        harmless = judged.verdict.effect is Effect.READ or judged.attempt == "reserved"
        if not (harmless or contract.interrupts):
            error = ExecutionError(
                "it stopped the graph to ask, and would begin anew with the answer; "
                "`@contract(interrupts=True)` says that this does no harm"
            )
            return self._ended(lease, judged, failure(error))
        self._put_back(lease, judged)
        raise stop

    def _put_back(self, lease: Lease, judged: Judged) -> None:
        attempts.suspend(self._database, lease, judged, now=self._gate.clock())

    def _ended(self, lease: Lease, judged: Judged, result: Result) -> Finished:
        self._end(lease, judged, result)
        return _finished(judged, result)

    def _end(self, lease: Lease, judged: Judged, result: Result) -> None:
        """Write the outcome of an open attempt.

        Raises:
            GrantRefused: another process has taken the call for lost.
        """
        state: Literal["succeeded", "failed"] = _state(result)
        if not attempts.end(self._database, lease, judged, state, result, now=self._gate.clock()):
            raise GrantRefused(
                f"call `{judged.call.call_id}` of `{judged.call.tool}` ended as {state} after "
                "another process had taken it for lost",
                hint=f"see `{command('history', lease.thread_id)}`",
            )

    def _doubt(self, lease: Lease, judged: Judged, why: str) -> None:
        known = {"content": clean_text(why)}
        attempts.end(self._database, lease, judged, "in_doubt", known, now=self._gate.clock())

    def _busy(self, judged: Judged, again: str) -> CallBusy:
        return CallBusy(
            f"call `{judged.call.call_id}` of `{judged.call.tool}` is being run since "
            f"{judged.started_at:%H:%M:%S}, here or by another process",
            hint=f"try `{again}` after {judged.deadline:%H:%M:%S}",
        )


def _step(steps: Steps, outcome: Outcome) -> _Opened | list[Told]:
    try:
        return steps.send(outcome)
    except StopIteration as done:  # which no thread can hand to a coroutine
        told: list[Told] = done.value
        return told


def _asked(reconcile: Reconcile, key: str) -> object:
    """Ask a receiver; what would end a process ends only the question."""
    try:
        return reconcile(key)
    except Exception:
        raise
    except BaseException as error:
        raise OutcomeUnknown(f"{type(error).__name__} {error}".strip()) from error


def _state(result: Result) -> Literal["succeeded", "failed"]:
    return "failed" if result["status"] == "error" else "succeeded"


def _finished(judged: Judged, result: Result) -> Finished:
    return Finished(replace(judged, attempt=_state(result), result=result))


def _as_content(result: Result) -> Result:
    """Give a result the form that LangChain gives to what a tool returns."""
    if not isinstance(result["content"], str | list):
        result["content"] = json.dumps(result["content"], ensure_ascii=False)
    return result
