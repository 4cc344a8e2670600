"""What happens next to a call: one pure rule over what the database says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from hitl_agent.calls import ToolCall
from hitl_agent.errors import InvalidCall
from hitl_agent.execution.contract import MAX_TRIES, NO_PROMISE, Contract
from hitl_agent.execution.grant import binding
from hitl_agent.policy import Effect, Tier, Verdict

_IN_DOUBT = "in doubt"

AttemptState = Literal["reserved", "started", "succeeded", "failed", "in_doubt"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A call's newest judgement and all that came of it, as the database has it.

    Attributes:
        call: the call that was judged: as planned, or as edited.
        revision: 1 for the first judgement, one more for each that followed.
        call_digest: digest of `call`.
        planned_digest: digest of the call as the planner had it when this was judged.
        planned_before: such digests of all its judgements, where they were read.
        verdict: the judgement.
        thread_id: LangGraph's thread.
        requester: who asked for the call, when the app said so.
        tool_version: of the tool when this was judged.
        binding: what a grant for it is bound to, as it is stored.
        request_id: the question to the reviewers, if one was put.
        request_status: `open`, `decided` or `withdrawn`.
        interrupt_id: LangGraph's id of the interrupt that carries the question.
        problem: why the last answer was not understood.
        decision: `approve`, `edit`, `reject`, `respond`, or None.
        decided_args: the arguments of an edit.
        message: the reviewer's reason or answer.
        reviewer: who decided; None for a bare resume value.
        granted: what the grant is bound to; None without one.
        expires_at: when the grant ends; None without one.
        consumed_at: when the grant was used.
        attempt: state of the call's one attempt, of whichever revision.
        attempt_revision: the revision whose grant opened the attempt.
        attempt_id: of its newest try.
        opened_at: when its first try began.
        started_at: when its newest try began.
        deadline: until when nobody else touches a started attempt.
        tries: how often it was tried.
        result: what the attempt left behind.
    """

    call: ToolCall
    revision: int
    call_digest: str
    planned_digest: str
    verdict: Verdict
    thread_id: str = ""
    requester: str | None = None
    tool_version: str = ""
    binding: str = ""
    planned_before: frozenset[str] = field(default=frozenset(), compare=False)
    request_id: str | None = None
    request_status: str | None = None
    interrupt_id: str | None = None
    problem: str | None = None
    decision: str | None = None
    decided_args: Mapping[str, Any] | None = None
    message: str = ""
    reviewer: str | None = None
    granted: str | None = None
    expires_at: datetime | None = None
    consumed_at: datetime | None = None
    attempt: AttemptState | None = None
    attempt_revision: int | None = None
    attempt_id: UUID | None = None
    opened_at: datetime | None = None
    started_at: datetime | None = None
    deadline: datetime | None = None
    tries: int = 1
    result: Mapping[str, Any] | None = None

    @property
    def bound(self) -> str:
        """What a grant for exactly this has to carry, computed from what is here.

        Raises:
            InvalidCall: the call has no canonical form.
        """
        return binding(
            self.call,
            thread_id=self.thread_id,
            tool_version=self.tool_version,
            policy_digest=self.verdict.policy_digest,
            requester=self.requester,
        )


@dataclass(frozen=True, slots=True)
class Judge:
    """Judge this call under this revision; `errors` force it before a person."""

    call: ToolCall
    revision: int
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """A person has to decide."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Run:
    """A grant waits to be consumed."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Refused:
    """The call does not run: `why` is `blocked`, `rejected` or `reused`."""

    judged: Judged
    why: Literal["blocked", "rejected", "reused"]


@dataclass(frozen=True, slots=True)
class Answered:
    """A reviewer answered in the tool's place."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Finished:
    """The call ran; its stored result stands."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Busy:
    """The call was started and may still be running, here or elsewhere."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Again:
    """The call was started and cut off; its receiver knows its key, so it is sent once more."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Ask:
    """The call was started and cut off; its receiver can be asked what became of it."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The call was started, its time is up, and nobody knows what became of it."""

    judged: Judged


Settled = Review | Run | Again | Ask | Refused | Answered | Finished | Busy | Doubtful
"""Every course of a call that has been judged."""

Course = Judge | Settled


def course(  # noqa: PLR0911  one rule after the other, each with its answer
    planned: ToolCall,
    judged: Judged | None,
    *,
    policy_digest: str,
    now: datetime,
    contract: Contract = NO_PROMISE,
) -> Course:
    """Return what happens next to a call.

    Total, and the same for every process that reads the same rows. In this order:

    1. a call never judged is judged;
    2. a finished attempt stands, and a call id that returns with another call is refused;
    3. a started attempt is busy until its deadline; then what its tool promises is made use of,
       and where it promises nothing the call is doubtful;
    4. a call id that two calls use in turn is refused to the one that had it before; a call that
       was changed in the graph's state or in its row, edited by a reviewer, or is in doubt, is
       judged anew;
    5. a refusal by policy or a reviewer, and a reviewer's answer, are the last word;
    6. under a policy or a tool that has changed, the call is judged anew;
    7. an attempt for which nothing was sent yet, and a valid grant, run; a grant that expired or
       is used up is judged anew; else a person decides.

    Args:
        planned: the call as the planner has it.
        judged: what the database says of it; None if it was never judged.
        policy_digest: of the policy in force.
        now: the time.
        contract: what the tool promises now, with its version.

    Raises:
        InvalidCall: `planned` has no digest: it came into the state past `check_call`.
    """
    if judged is None:
        return Judge(planned, 1)
    changed = planned.digest != judged.planned_digest
    if judged.attempt in ("succeeded", "failed"):
        return Refused(judged, "reused") if changed else Finished(judged)
    if judged.attempt == "started":
        return _started(judged, contract, policy_digest, now)
    if changed and planned.digest in judged.planned_before:
        return Refused(judged, "reused")
    errors = _doubts(judged)
    if not _intact(judged):
        if judged.binding:  # those from before an upgrade have none
            errors = (*errors, "the stored call was changed by hand")
        return Judge(planned, judged.revision + 1, errors)
    call = planned if changed else _replacement(judged)
    if call is not None:
        return Judge(call, judged.revision + 1, errors)
    if said := _said(judged):
        return said
    same = (judged.verdict.policy_digest, judged.tool_version) == (policy_digest, contract.version)
    if same and _informed(judged):
        if judged.expires_at is None and judged.decision is None:
            return Review(judged)
        if _usable(judged, now):
            return Run(judged)
    return Judge(judged.call, judged.revision + 1, errors)


def _started(
    judged: Judged, contract: Contract, policy_digest: str, now: datetime
) -> Busy | Again | Ask | Doubtful:
    """Return what happens to a call that was sent and of which no outcome is known."""
    if judged.deadline is None or judged.deadline > now:
        return Busy(judged)
    # another version of the tool may send something else, or ask somebody else
    if _intact(judged) and judged.tool_version == contract.version and judged.tries < MAX_TRIES:
        # and what policy let run then it may not let run now; to ask does no harm
        same_policy = judged.verdict.policy_digest == policy_digest
        if same_policy and contract.remembers(judged.opened_at, now):
            return Again(judged)
        if contract.reconcile is not None:
            return Ask(judged)
    return Doubtful(judged)


def _usable(judged: Judged, now: datetime) -> bool:
    """Whether there is a grant that may still be used."""
    if _is_reserved(judged):
        return judged.tries < MAX_TRIES
    return bool(judged.expires_at and judged.expires_at > now and judged.consumed_at is None)


def _intact(judged: Judged) -> bool:
    """Whether the stored rows are what was judged, and what was granted."""
    try:
        bound = judged.bound
        same = judged.call.digest == judged.call_digest and bound == judged.binding
    except InvalidCall:  # what is in the row now has not even a digest
        return False
    return same and judged.granted in (None, bound)


def _replacement(judged: Judged) -> ToolCall | None:
    """Return the call that takes the judged one's place: edited, or the same one in doubt."""
    if judged.attempt == "in_doubt" and judged.attempt_revision == judged.revision:
        return judged.call
    if judged.decision == "edit":
        return ToolCall(judged.call.call_id, judged.call.tool, dict(judged.decided_args or {}))
    return None


def _said(judged: Judged) -> Refused | Answered | None:
    """Return the last word that policy or a reviewer has spoken on the call, if any."""
    if judged.verdict.tier is Tier.BLOCK:
        return Refused(judged, "blocked")
    if judged.decision == "reject":
        return Refused(judged, "rejected")
    return Answered(judged) if judged.decision == "respond" else None


def _informed(judged: Judged) -> bool:
    """Whether this was judged knowing that the call may have happened, if it may."""
    return (
        judged.attempt != "in_doubt"
        or judged.verdict.effect is Effect.READ
        or any(error.startswith(_IN_DOUBT) for error in judged.verdict.errors)
    )


def _is_reserved(judged: Judged) -> bool:
    return judged.attempt == "reserved" and judged.attempt_revision == judged.revision


def _doubts(judged: Judged) -> tuple[str, ...]:
    """Say why a call that was judged before needs a person; a read may run again some times."""
    if _is_reserved(judged) and judged.tries >= MAX_TRIES:
        return (f"the call was cut off {judged.tries} times before it had an effect",)
    if judged.attempt != "in_doubt":
        return ()
    if judged.verdict.effect is Effect.READ and judged.revision < MAX_TRIES:
        return ()
    since = judged.started_at.isoformat(timespec="seconds") if judged.started_at else "before"
    doubt = (
        f"{_IN_DOUBT}: the call was started at {since} and what became of it is not known; "
        "approve: it did not happen, run it; respond: it happened, with this result; "
        "reject: leave it"
    )
    return (doubt,)
