"""What the commands for policies print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hitl_agent.cli import output
from hitl_agent.cli.views import print_field
from hitl_agent.policy import Tier
from hitl_agent.policy.changes import Direction

if TYPE_CHECKING:
    from hitl_agent.errors import DocumentError
    from hitl_agent.policy import Facts, Policy, Remark, Verdict
    from hitl_agent.policy.comparison import Change
    from hitl_agent.policy.testing import TestOutcome

STYLES = {
    Tier.AUTO_APPROVE: "green",
    Tier.SOFT_REVIEW: "cyan",
    Tier.HARD_GATE: "yellow",
    Tier.BLOCK: "red",
}
_DIRECTIONS = {Direction.LOOSER: "yellow", Direction.STRICTER: "green", Direction.CHANGED: ""}
WIDE = max(map(len, Tier))


def print_check(
    file: Path,
    policy: Policy | None,
    error: DocumentError | None,
    remarks: Sequence[Remark],
    *,
    limit: int,
    json_: bool,
) -> None:
    """Print what is wrong with a policy, or probably not meant."""
    if json_:
        output.print_json(
            {
                "ok": error is None,
                "file": str(file),
                "digest": policy.digest if policy else None,
                "errors": [_error(error)] if error else [],
                "warnings": [
                    {"line": one.line, "column": one.column, "message": one.message}
                    for one in remarks[:limit]
                ],
            }
        )
        return
    for one in remarks[:limit]:
        output.line(output.safe(one), style="yellow")
    _cut(len(remarks), limit)
    if error:
        output.line(output.safe(error.message), style="red")
        output.hint(f"next: {output.safe(error.hint or f'correct `{file}`')}")
    elif not remarks:
        output.hint(f"nothing is wrong with {output.safe(str(file))}")


def _error(error: DocumentError) -> dict[str, Any]:
    place = f"{error.file}:{error.line}:{error.column}: "
    message = error.message.removeprefix(place)
    return {"line": error.line, "column": error.column, "message": message}


def _cut(number: int, limit: int) -> None:
    if number > limit:
        output.hint(f"the first {limit} of {number} are shown; --limit N shows more")


def print_outcomes(
    policy: Policy, outcomes: Sequence[TestOutcome], *, limit: int, json_: bool
) -> None:
    """Print the tests that failed, and how many passed."""
    failed = [one for one in outcomes if not one.passed]
    passed = len(outcomes) - len(failed)
    if json_:
        output.print_json(
            {
                "ok": bool(outcomes) and not failed,
                "file": policy.file,
                "digest": policy.digest,
                "tests": len(outcomes),
                "passed": passed,
                "failed": len(failed),
                "failures": [_failure(one) for one in failed[:limit]],
            }
        )
        return
    for one in failed[:limit]:
        output.line(output.safe(one), style="red")
        _print_rules(one.verdict)
    _cut(len(failed), limit)
    if outcomes:
        plural = "s" if len(outcomes) != 1 else ""
        style = "red" if failed else "green"
        output.line(f"{passed} of {len(outcomes)} test{plural} passed", style=style)


def _failure(one: TestOutcome) -> dict[str, Any]:
    return {
        "name": one.test.name,
        "number": one.number,
        "line": one.line,
        "column": one.column,
        "message": one.message,
        "expected": one.test.expect.model_dump(),
        "verdict": one.verdict.to_json(),
    }


def _print_rules(verdict: Verdict) -> None:
    for hit in verdict.rules:
        output.line(
            f"    {hit.tier:<{WIDE}}  {output.safe(hit.id)}: {output.safe(hit.reason)}",
            style=STYLES[hit.tier],
        )
    for error in verdict.errors:
        output.line(f"    {'error':<{WIDE}}  {output.safe(error)}", style="red")


def print_verdict(
    policy: Policy, tool: str, verdict: Verdict, facts: Facts, *, json_: bool
) -> None:
    """Print how a call is judged, and why."""
    if json_:
        output.print_json({"tool": tool, **verdict.to_json(), "facts": _facts(facts)})
        return
    print_field("tool", f"{tool} ({verdict.effect})", style="bold")
    print_field("tier", str(verdict.tier), style=STYLES[verdict.tier])
    print_field("why", "")
    _print_rules(verdict)
    if verdict.tier is Tier.HARD_GATE:
        who = f"{verdict.reviewers.min}"
        if verdict.reviewers.roles:
            who += f", among them {', '.join(verdict.reviewers.roles)}"
        if verdict.reviewers.reject == "majority":
            who += "; a majority rejects"
        print_field("reviewers", who)
    if verdict.tier in (Tier.HARD_GATE, Tier.SOFT_REVIEW):
        due = verdict.sla_seconds
        print_field("due", "no deadline" if due is None else f"within {_span(due)}")
        print_field("answers", ", ".join(verdict.allowed_decisions))
    for role, fields in verdict.redactions.items():
        who = "everyone" if role == "*" else role
        print_field("hidden", f"{', '.join(fields)} from {who}")
    for name, text in _assumed(facts):
        print_field(name, text, style="dim")
    print_field("policy", f"{policy.file} {policy.digest}", style="dim")


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "confidence": facts.confidence,
        "category": facts.category,
        "actor": facts.actor,
        "thread": facts.thread,
        "now": facts.now.isoformat() if facts.now else None,
        "untrusted": list(facts.untrusted or ()),
        "history": {
            name: {"count": past.count, "sum": None if past.sum is None else float(past.sum)}
            for name, past in facts.history.items()
        },
    }


def _assumed(facts: Facts) -> Iterator[tuple[str, str]]:
    known = [
        "confidence not known" if facts.confidence is None else f"confidence {facts.confidence}",
        f"untrusted text of {', '.join(facts.untrusted)}"
        if facts.untrusted
        else "no untrusted text",
        f"for {facts.actor}" if facts.actor is not None else "actor not known",
    ]
    if facts.category is not None:
        known.append(f"category {facts.category}")
    if facts.history:
        known.append(f"nothing before in {', '.join(facts.history)}")
    if facts.now:
        known.append(f"at {facts.now.isoformat(timespec='seconds')}")
    yield "assumed", "; ".join(known)


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def print_changes(
    old: Policy, new: Policy, changes: Sequence[Change], *, limit: int, json_: bool
) -> None:
    """Print what changed from one policy to another."""
    counts = {str(each): sum(one.direction is each for one in changes) for each in Direction}
    if json_:
        output.print_json(
            {
                "same": not changes,
                "old": {"file": old.file, "digest": old.digest},
                "new": {"file": new.file, "digest": new.digest},
                **counts,
                "changes": [
                    {
                        "path": one.path,
                        "old": one.old,
                        "new": one.new,
                        "direction": str(one.direction),
                        "line": one.line,
                        "column": one.column,
                    }
                    for one in changes[:limit]
                ],
            }
        )
        return
    for one in changes[:limit]:
        place = f"{new.file}:{one.line}:{one.column}"
        what = f"{output.safe(place)}: {one.direction}: {output.safe(one.path)}: {_turned(one)}"
        output.line(what, style=_DIRECTIONS[one.direction])
    _cut(len(changes), limit)
    if changes:
        told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        plural = "s" if len(changes) != 1 else ""
        output.line(f"{len(changes)} difference{plural}: {told}", style="bold")
    else:
        output.line("both mean the same")


def _turned(one: Change) -> str:
    if one.old is None:
        return f"{_value(one.new)} added"
    if one.new is None:
        return f"{_value(one.old)} taken out"
    return f"{_value(one.old)} -> {_value(one.new)}"


def _value(value: Any) -> str:
    return output.short_args(value, limit=200)
