"""A verdict as a notebook shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hitl_agent import markup
from hitl_agent.policy.verdict import Tier

if TYPE_CHECKING:
    from hitl_agent.policy.verdict import Verdict


def verdict_html(verdict: Verdict) -> str:
    """Return a verdict as HTML: the tier, and rule by rule why."""
    return markup.frame(markup.fields(_fields(verdict)))


def _fields(verdict: Verdict) -> Iterator[tuple[str, str]]:
    yield "tier", markup.tier(str(verdict.tier))
    yield "effect", markup.text(verdict.effect)
    rules = (
        f"{markup.tier(str(hit.tier))} {markup.text(hit.id)}: {markup.text(hit.reason)}"
        for hit in verdict.rules
    )
    yield "why", markup.listed(rules)
    yield "errors", markup.listed(map(markup.text, verdict.errors))
    if verdict.tier is Tier.HARD_GATE:
        wanted = verdict.reviewers
        who = f"{wanted.min}"
        if wanted.roles:
            who += f", among them {', '.join(wanted.roles)}"
        if wanted.reject == "majority":
            who += "; a majority rejects"
        yield "reviewers", markup.text(who)
    if verdict.tier in (Tier.HARD_GATE, Tier.SOFT_REVIEW):
        due = verdict.sla_seconds
        yield "due", markup.text("no deadline" if due is None else f"within {due:,} seconds")
        yield "answers", markup.text(", ".join(verdict.allowed_decisions))
    hidden = (
        f"{', '.join(names)} from {'everyone' if role == '*' else role}"
        for role, names in verdict.redactions.items()
    )
    yield "hidden", markup.listed(map(markup.text, hidden))
    yield "policy", markup.text(verdict.policy_digest)
