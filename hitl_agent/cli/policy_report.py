"""What `hitl policy backtest` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hitl_agent.cli import output
from hitl_agent.cli.policy_views import STYLES, WIDE
from hitl_agent.policy import Tier
from hitl_agent.review.redaction import hidden_fields, redacted

if TYPE_CHECKING:
    from hitl_agent.policy import Policy
    from hitl_agent.policy.backtest import RecordedCall, Rejudged, Report

_EVERY = 1000
"""Calls between two signs of progress."""


def watched(calls: Iterable[RecordedCall], *, json_: bool) -> Iterator[RecordedCall]:
    """Yield calls, and show on a terminal how far they are."""
    if json_ or not output.err.is_terminal:
        yield from calls
        return
    with output.err.status("reading the record") as status:
        for number, one in enumerate(calls):
            if number and number % _EVERY == 0:
                at = f", at {one.judged_at:%Y-%m-%d}" if one.judged_at else ""
                status.update(f"{number:,} calls{at}")
            yield one


def print_report(policy: Policy, report: Report, *, json_: bool) -> None:
    """Print what a candidate would have done."""
    listed = list(reversed(report.newest))
    if json_:
        output.print_json(
            {
                "candidate": {"file": policy.file, "digest": policy.digest},
                "calls": report.calls,
                "unreadable": report.unreadable,
                "before": {str(tier): report.before(tier) for tier in Tier},
                "after": {str(tier): report.after(tier) for tier in Tier},
                "moves": [
                    {"from": str(old), "to": str(new), "calls": report.moves[old, new]}
                    for old in Tier
                    for new in Tier
                    if report.moves[old, new]
                ],
                "gated": {
                    "before": _share(report.before(Tier.HARD_GATE), report.calls),
                    "after": _share(report.after(Tier.HARD_GATE), report.calls),
                },
                "disputed": report.disputed,
                "would_run": [_disputed(one) for one in listed],
            }
        )
        return
    plural = "s" if report.calls != 1 else ""
    output.line(
        f"{report.calls:,} recorded call{plural} judged again by {output.safe(policy.file)}"
    )
    if report.unreadable:
        rows = (
            "row that is no call was" if report.unreadable == 1 else "rows that are no calls were"
        )
        output.line(f"{report.unreadable:,} {rows} left out", style="red")
    if report.calls:
        _print_moves(report)
        before, after = (
            f"{100 * (_share(number, report.calls) or 0):.1f} % ({number:,})"
            for number in (report.before(Tier.HARD_GATE), report.after(Tier.HARD_GATE))
        )
        output.line(f"gated: {before} before, {after} under the candidate")
    if not report.disputed:
        output.line("no call that reviewers rejected or edited would have run by itself")
        return
    what = "call" if report.disputed == 1 else "calls"
    output.line(
        f"{report.disputed:,} {what} that reviewers rejected or edited would have run:", style="red"
    )
    for one in listed:
        _print_disputed(one)
    if report.disputed > len(listed):
        output.hint(f"the newest {len(listed)} are shown; --limit N shows more")


def _share(number: int, calls: int) -> float | None:
    return number / calls if calls else None


def _print_moves(report: Report) -> None:
    label = "was \\ would be"
    output.line("  ".join((label, *(f"{tier:>{WIDE}}" for tier in Tier))), style="bold")
    for old in Tier:
        if report.before(old):
            cells = (f"{report.moves[old, new]:>{WIDE},}" for new in Tier)
            output.line("  ".join((f"{old:<{len(label)}}", *cells)))


def _args(one: Rejudged) -> dict[str, Any]:
    """Return the arguments as reviewers may see them, by the policy of then and the candidate."""
    hidden = hidden_fields(one.verdict.redactions) | set(one.call.hidden)
    return redacted(one.call.args or {}, hidden)


def _disputed(one: Rejudged) -> dict[str, Any]:
    call, rule = one.call, one.verdict.rules[0]
    return {
        "thread_id": call.thread_id,
        "call_id": call.call_id,
        "revision": call.revision,
        "tool": call.tool,
        "args": _args(one),
        "judged_at": call.judged_at.isoformat() if call.judged_at else None,
        "decision": call.decision,
        "reviewer": call.reviewer,
        "tier": str(call.tier),
        "new_tier": str(one.verdict.tier),
        "rule": {"id": rule.id, "reason": rule.reason},
    }


def _print_disputed(one: Rejudged) -> None:
    call, rule = one.call, one.verdict.rules[0]
    safe = output.safe
    said = {"reject": "rejected", "edit": "edited"}[call.decision or "reject"]
    output.line(f"  {safe(call.tool)} {output.short_args(_args(one), limit=200)}", style="bold")
    output.line(
        f"    thread {safe(call.thread_id)}  call {safe(call.call_id)}  at {call.judged_at}"
    )
    output.line(
        f"    {said} by {safe(call.reviewer or 'a resume value')}; {one.verdict.tier} by"
        f" {safe(rule.id)}: {safe(rule.reason)}",
        style=STYLES[one.verdict.tier],
    )
