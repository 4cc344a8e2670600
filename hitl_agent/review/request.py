"""A question to the reviewers: one call that waits."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hitl_agent.calls import ToolCall
from hitl_agent.errors import InvalidDecision
from hitl_agent.policy import Tier, Verdict
from hitl_agent.review.cautions import cautions
from hitl_agent.review.decision import Decision, Edit, check_decision
from hitl_agent.review.quorum import Outcome, Vote, quorum
from hitl_agent.review.redaction import Mask

_NAMESPACE = uuid.UUID("6f0e3c0a-5b39-4c57-9d60-6a3f0c5c1d11")


def request_id(thread_id: str, call_id: str, revision: int, call_digest: str) -> str:
    """Return the id of the question about one revision of a call.

    The same question has the same id in every process, so that a node that runs again asks once.
    """
    name = "\x00".join((thread_id, call_id, str(revision), call_digest))
    return str(uuid.uuid5(_NAMESPACE, name))


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """One call that a person is to look at, with everything needed to decide.

    Attributes:
        request_id: what a decision names; bound to the revision and digest of the call.
        thread_id: LangGraph's thread.
        graph: the graph's name in `langgraph.json`.
        interrupt_id: LangGraph's interrupt that carries the question; None before it is put.
        call: the call that would run.
        revision: how often it was judged; above 1 it was edited, or the policy changed.
        call_digest: digest of the call.
        binding: what a grant for it is bound to: the call, and all that it was judged under.
        verdict: why it was stopped, and what may be answered.
        claim: what the planner said of the call, without the values of hidden arguments. Its claim,
            no fact.
        task: what the thread was asked to do.
        args_schema: JSON schema of the tool's arguments.
        problem: why the last answer was not understood, or None.
        created_at: since when it waits.
        due_at: when it should be decided, or None.
        votes: what was answered so far, without the values of hidden arguments.
    """

    request_id: str
    thread_id: str
    graph: str
    interrupt_id: str | None
    call: ToolCall
    revision: int
    call_digest: str
    verdict: Verdict
    claim: str
    task: str
    args_schema: Mapping[str, Any]
    problem: str | None
    created_at: datetime
    due_at: datetime | None
    binding: str = ""
    votes: tuple[Vote, ...] = ()

    @property
    def shown_args(self) -> dict[str, Any]:
        """The arguments without what the policy hides from reviewers."""
        return self._mask.args

    @property
    def shown_call(self) -> ToolCall:
        """The call as reviewers are shown it: `to_terminal` and `to_html` render it."""
        return replace(self.call, args=self.shown_args)

    @property
    def cautions(self) -> list[str]:
        """What to say of the call beside its text, to be made visible like it."""
        return cautions(self.shown_call)

    @property
    def gates(self) -> bool:
        """Whether the call waits for the decision; under `soft_review` it runs meanwhile."""
        return self.verdict.tier is Tier.HARD_GATE

    @property
    def outcome(self) -> Outcome:
        """What the votes so far come to."""
        return quorum(self.verdict.reviewers, self.votes)

    def checked(self, decision: Decision) -> Decision:
        """Return a decision on this call as it is to be recorded.

        Raises:
            InvalidDecision: it may not be given.
        """
        mask = self._mask
        if isinstance(decision, Edit):
            try:
                decision = replace(decision, args=mask.restored(decision.args))
            except ValueError as error:
                raise InvalidDecision(
                    f"the edited arguments of `{self.call.tool}` do not fit: {error}",
                    hint="leave what is hidden as it is, or write a new value in its place",
                ) from error
        try:
            check_decision(
                decision,
                self.call,
                allowed=self.verdict.allowed_decisions,
                schema=self.args_schema,
            )
        except InvalidDecision as error:  # may quote what was put back
            raise InvalidDecision(mask.text(str(error)), hint=error.hint) from None
        return decision

    @property
    def _mask(self) -> Mask:
        return Mask(self.call.args, self.verdict.redactions)

    def _repr_html_(self) -> str:
        # loaded in notebooks alone
        from hitl_agent.review.request_html import request_html  # noqa: PLC0415

        return request_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the request as plain JSON, as `hitl list --json` prints it."""
        verdict = self.verdict
        return {
            "thread_id": self.thread_id,
            "graph": self.graph,
            "interrupt_id": self.interrupt_id,
            "request_id": self.request_id,
            "call_id": self.call.call_id,
            "revision": self.revision,
            "tool": self.call.tool,
            "args": self.shown_args,
            "call_digest": self.call_digest,
            "tier": str(verdict.tier),
            "effect": str(verdict.effect),
            "reasons": list(verdict.reasons),
            "rules": [hit.id for hit in verdict.rules],
            "errors": list(verdict.errors),
            "allowed_decisions": list(verdict.allowed_decisions),
            "reviewers": {
                "min": verdict.reviewers.min,
                "roles": list(verdict.reviewers.roles),
                "reject": verdict.reviewers.reject or "one",
            },
            "votes": [one.to_json() for one in self.votes],
            "policy_digest": verdict.policy_digest,
            "task": self.task,
            "claim": self.claim,
            "cautions": self.cautions,
            "args_schema": dict(self.args_schema),
            "problem": self.problem,
            "created_at": self.created_at.isoformat(),
            "due_at": self.due_at.isoformat() if self.due_at else None,
        }

    def payload(self) -> dict[str, Any]:
        """Return what `interrupt()` carries: LangChain's `HITLRequest` of one action, and ours."""
        call, verdict = self.call, self.verdict
        description = "; ".join(verdict.reasons) or f"`{call.tool}` waits for a decision"
        return {
            "action_requests": [
                {"name": call.tool, "args": self.shown_args, "description": description}
            ],
            "review_configs": [
                {
                    "action_name": call.tool,
                    "allowed_decisions": list(verdict.allowed_decisions),
                    "args_schema": dict(self.args_schema),
                }
            ],
            "request_id": self.request_id,
            "call_id": call.call_id,
            "revision": self.revision,
            "call_digest": self.call_digest,
            "verdict": verdict.to_json(),
            "claim": self.claim,
            "problem": self.problem,
            "votes": [one.to_json() for one in self.votes],
        }


class Requests(list[ReviewRequest]):
    """Questions in an order, which a notebook shows one below the other."""

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in self) or "nothing waits"
