"""Recorded calls, judged again under another policy."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hitl_agent.policy.evaluate import Facts, judge
from hitl_agent.policy.measures import Measures, measure
from hitl_agent.policy.replayed_past import Permission, ReplayedPast
from hitl_agent.policy.verdict import Tier, Verdict

if TYPE_CHECKING:
    from hitl_agent.policy.load import Policy

RUNS = (Tier.AUTO_APPROVE, Tier.SOFT_REVIEW)
"""Tiers under which a call runs by itself."""

OBJECTED = ("reject", "edit")
"""Decisions that say of a call that it should not have run as it was."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call as the record has it.

    Attributes:
        thread_id: LangGraph's thread.
        call_id: the call.
        revision: which version of it: the planner's, or what a reviewer made of it.
        tool: the tool's name.
        args: its arguments; None if what is stored are none.
        tier: how it was judged.
        judged_at: when, with its zone; None if what is stored is no usable time.
        confidence: as the verdict was told.
        actor: who the agent acted for.
        ran_before: tools of which a call had begun in the thread when this one was judged.
        permission: when it was allowed to run, by policy or a person; None if it never was.
        decision: what a person said of it, if one did.
        reviewer: who.
        refused: whether no policy could have let it run: its tool is not there, or its arguments
            do not fit.
        objections: what a second opinion held against it.
        errors: what went wrong in those who were asked before the policy.
        hidden: arguments that the policy of then hid from reviewers.
        counts: whether it is judged again; else it is only part of what others look back at.
    """

    thread_id: str
    call_id: str
    revision: int
    tool: str
    args: Mapping[str, Any] | None
    tier: Tier
    judged_at: datetime | None
    confidence: float | None = None
    actor: str | None = None
    ran_before: tuple[str, ...] = ()
    permission: Permission | None = None
    decision: str | None = None
    reviewer: str | None = None
    refused: bool = False
    objections: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A call and what the candidate says of it."""

    call: RecordedCall
    verdict: Verdict


@dataclass(slots=True)
class Report:
    """What a candidate would have done.

    Attributes:
        moves: how many calls went from which tier to which.
        unreadable: rows that are no calls: somebody has changed them.
        disputed: how many calls that reviewers rejected or edited would have run by themselves.
        newest: the last of them, in the order of time.
    """

    moves: Counter[tuple[Tier, Tier]] = field(default_factory=Counter)
    unreadable: int = 0
    disputed: int = 0
    newest: deque[Rejudged] = field(default_factory=deque)

    @property
    def calls(self) -> int:
        """How many calls were judged again."""
        return self.moves.total()

    def before(self, tier: Tier) -> int:
        """Return how many calls had a tier."""
        return sum(number for (old, _), number in self.moves.items() if old is tier)

    def after(self, tier: Tier) -> int:
        """Return how many calls have a tier under the candidate."""
        return sum(number for (_, new), number in self.moves.items() if new is tier)


def longest_span(policy: Policy) -> int:
    """Return how far back a policy's conditions look, in seconds."""
    return ReplayedPast(policy.document).longest


def looks_at_context(policy: Policy) -> bool:
    """Return whether a policy's conditions look at which tools have run in the thread; or may."""
    rules = (rule for entry in policy.document.tools.values() for rule in entry.rules)
    return any("context" in rule.when for rule in rules)


def backtest(policy: Policy, calls: Iterable[RecordedCall], *, keep: int = 100) -> Report:
    """Judge recorded calls again.

    Each call is judged by what was known then: its confidence, its actor, its time, which tools
    had run in its thread. What the candidate says itself is worked out anew: which of those tools
    bring untrusted text, and which calls count in the spans of the past, with which amounts. Those
    are the calls that really were allowed to run, not those that the candidate would have allowed.

    Args:
        policy: the candidate.
        calls: in the order of their judgement. What is kept of them in memory are those within
            the candidate's longest span.
        keep: how many disputed calls the report holds.
    """
    report = Report(newest=deque(maxlen=keep))
    past = ReplayedPast(policy.document)
    for call in calls:
        if call.args is None or call.judged_at is None:
            report.unreadable += call.counts
            continue
        try:
            plan = policy.plan(call.tool)
        except ValueError:  # the verdict says so
            plan = policy.plan(None)
        measures = Measures() if call.refused else measure(plan, call.args)
        if call.counts:
            facts = Facts(
                confidence=call.confidence,
                actor=call.actor,
                thread=call.thread_id,
                now=call.judged_at,
                untrusted=_untrusted(policy, call) if plan.needs_past else None,
                history=past.seen(plan, call.tool, call.actor, measures, call.judged_at),
            )
            _note(report, call, _verdict(policy, call, facts))
        if call.permission and not call.refused:
            past.add(plan, call.tool, call.actor, measures, call.judged_at, call.permission)
    return report


def _verdict(policy: Policy, call: RecordedCall, facts: Facts) -> Verdict:
    return judge(
        policy,
        call.tool,
        dict(call.args or {}),
        facts,
        errors=call.errors,
        objections=call.objections,
    )


def _untrusted(policy: Policy, call: RecordedCall) -> list[str]:
    """Return the tools that, by the candidate, had brought untrusted text into the thread."""
    found = []
    for tool in call.ran_before:
        try:
            if policy.plan(tool).untrusted_output:
                found.append(tool)
        except ValueError:
            found.append(tool)
    return found


def _note(report: Report, call: RecordedCall, verdict: Verdict) -> None:
    tier = Tier.BLOCK if call.refused else verdict.tier
    report.moves[call.tier, tier] += 1
    if tier in RUNS and call.decision in OBJECTED:
        report.disputed += 1
        report.newest.append(Rejudged(call, verdict))
