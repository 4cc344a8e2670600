"""The judgement of one call: every rule that applies, and the strictest of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hitl_agent.calls import MAX_NAME, clean_text
from hitl_agent.documents import show
from hitl_agent.policy.document import DECISIONS, is_exact, matches
from hitl_agent.policy.verdict import Effect, Reviewers, RuleHit, Tier, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hitl_agent.policy.document import PolicyDocument, ToolRule
    from hitl_agent.policy.load import Policy

# no sign, exponent, space or separator: what tools read in different ways is not read at all
_AMOUNT = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_MAX_BITS = 128  # of an integer; beyond any sum of money

_EFFECTS = tuple(Effect)[:3]
"""What a policy can say of a tool, from the harmless to the final."""


def judge(
    policy: Policy,
    tool: str,
    args: Mapping[str, Any],
    *,
    confidence: float | None = None,
    errors: Sequence[str] = (),
) -> Verdict:
    """Return what the policy says about a call. Raises nothing, whatever the call is.

    Args:
        policy: the policy in force.
        tool: the tool's name.
        args: the call's arguments, of any shape: they come from a model.
        confidence: how sure the planner is, calibrated, from 0 to 1; None if it is not known.
        errors: what went wrong before. Any error means a hard gate at least.
    """
    document = policy.document
    given = (errors,) if isinstance(errors, str) else errors
    problems = tuple(clean_text(str(error)) for error in given)
    rules = _rules_for(document, tool)
    hits = list(_from_lists(document, tool))
    hits += [RuleHit("error", Tier.HARD_GATE, f"an error was met: {text}") for text in problems]
    if not rules:
        reason = f"the policy does not name {show(tool)}"
        hits.append(RuleHit("unknown-tool", Tier.HARD_GATE, reason))
    for pattern, rule in rules:
        for hit in _from_rule(rule, show(tool), args, confidence):
            hits.append(_explained(hit, pattern, rule))
    hits = sorted(dict.fromkeys(hits), key=lambda hit: -hit.tier.severity)
    tier = hits[0].tier
    return Verdict(
        tier=tier,
        effect=_effect(rules),
        rules=tuple(hits),
        errors=problems,
        reviewers=Reviewers(min=1 if tier is Tier.HARD_GATE else 0),
        sla_seconds=_sla(document, rules),
        grant_ttl_seconds=document.defaults.grant_ttl_seconds,
        allowed_decisions=_decisions(rules),
        policy_digest=policy.digest,
    )


def _rules_for(document: PolicyDocument, tool: object) -> list[tuple[str, ToolRule]]:
    """Return the rule of the tool's own name, or else those of every pattern that it fits."""
    if not isinstance(tool, str) or not 0 < len(tool) <= MAX_NAME:
        return []
    if is_exact(tool) and tool in document.tools:
        return [(tool, document.tools[tool])]
    return [item for item in document.tools.items() if matches(item[0], tool)]


def _from_lists(document: PolicyDocument, tool: object) -> Iterator[RuleHit]:
    name = tool if isinstance(tool, str) else ""  # what has no name still fits `*`
    for pattern in document.never_run:
        if matches(pattern, name):
            reason = f"{show(tool)} never runs: `{pattern}` stands in `never_run`"
            yield RuleHit(f"never-run:{pattern}", Tier.BLOCK, reason)
    for pattern in document.always_gate:
        if matches(pattern, name):
            reason = f"{show(tool)} always waits for a person: `{pattern}` stands in `always_gate`"
            yield RuleHit(f"always-gate:{pattern}", Tier.HARD_GATE, reason)


def _from_rule(rule: ToolRule, tool: str, args: object, confidence: object) -> Iterator[RuleHit]:
    if rule.effect == "irreversible":
        yield RuleHit("irreversible", Tier.HARD_GATE, f"{tool} cannot be undone")
        return
    if rule.effect == "read":
        yield RuleHit("read", Tier.AUTO_APPROVE, f"{tool} only reads")
        return
    thresholds = (rule.auto_approve_threshold, rule.soft_review_threshold)
    if rule.max_auto_approve_amount is not None:
        yield _by_amount(Decimal(repr(rule.max_auto_approve_amount)), rule.amount, tool, args)
    if thresholds != (None, None):
        yield _by_confidence(*thresholds, tool, confidence)
    elif rule.max_auto_approve_amount is None:
        reason = f"{tool} changes something, and no limit is set up to which it may run"
        yield RuleHit("write-unlimited", Tier.HARD_GATE, reason)


def _by_amount(limit: Decimal, key: str, tool: str, args: object) -> RuleHit:
    try:
        amount = _amount(args, key)
    except Exception as error:  # noqa: BLE001  a foreign mapping or number may raise anything
        amount = f"raised {type(error).__name__} when it was read"
    if isinstance(amount, str):
        reason = f"{show(key)} of {tool} {amount}"
        return RuleHit("amount-unreadable", Tier.HARD_GATE, reason)
    if amount > limit:
        reason = f"the amount {_digits(amount)} is above the limit of {_digits(limit)} for {tool}"
        return RuleHit("amount-limit", Tier.HARD_GATE, reason)
    reason = f"the amount {_digits(amount)} is within the limit of {_digits(limit)} for {tool}"
    return RuleHit("amount-within-limit", Tier.AUTO_APPROVE, reason)


def _amount(args: object, key: str) -> Decimal | str:
    """Return the amount, finite and not negative, or what is wrong with it."""
    if not isinstance(args, Mapping) or key not in args:
        return "is missing"
    value = args[key]
    amount: Decimal | None = None
    match value:
        case bool():
            pass
        case int() if value.bit_length() <= _MAX_BITS:
            amount = Decimal(int(value))
        case float() if math.isfinite(value):
            amount = Decimal(repr(float(value)))
        case Decimal() if value.is_finite():
            amount = value
        case str() if _AMOUNT.fullmatch(value):
            amount = Decimal(value)
    if amount is None:
        return f"is {show(value)}, not a plain number"
    return amount if amount >= 0 else f"is {show(value)}, less than 0"


def _by_confidence(
    auto: float | None, soft: float | None, tool: str, confidence: object
) -> RuleHit:
    if confidence is None:
        reason = f"{tool} runs on confidence, and none is known"
        return RuleHit("no-confidence", Tier.HARD_GATE, reason)
    if (
        isinstance(confidence, bool)
        or not isinstance(confidence, int | float)
        or not 0 <= confidence <= 1
    ):
        reason = f"the confidence in {tool} is {show(confidence)}, not a number from 0 to 1"
        return RuleHit("confidence-unreadable", Tier.HARD_GATE, reason)
    if auto is not None and confidence >= auto:
        reason = f"confidence {confidence} in {tool} reaches {auto}"
        return RuleHit("auto-threshold", Tier.AUTO_APPROVE, reason)
    if soft is not None and confidence >= soft:
        reason = f"confidence {confidence} in {tool} reaches {soft}: it runs and is looked at after"
        return RuleHit("soft-threshold", Tier.SOFT_REVIEW, reason)
    wanted = auto if soft is None else soft
    reason = f"confidence {confidence} in {tool} is below {wanted}"
    return RuleHit("below-thresholds", Tier.HARD_GATE, reason)


def _explained(hit: RuleHit, pattern: str, rule: ToolRule) -> RuleHit:
    """Add what the policy itself says about the tool, and the pattern that led to the rule."""
    reason = hit.reason
    if rule.reason and hit.tier > Tier.AUTO_APPROVE:
        reason += f": {rule.reason}"
    if not is_exact(pattern):
        reason += f" (rule `{pattern}`)"
    return RuleHit(hit.id, hit.tier, reason)


def _effect(rules: list[tuple[str, ToolRule]]) -> Effect:
    """Return the most final effect that any of the rules names."""
    effects = (Effect(rule.effect) for _, rule in rules)
    return max(effects, key=_EFFECTS.index, default=Effect.UNKNOWN)


def _sla(document: PolicyDocument, rules: list[tuple[str, ToolRule]]) -> int | None:
    """Return the shortest deadline that holds for any of the rules."""
    usual = document.defaults.sla_seconds
    deadlines = [rule.sla_seconds or usual for _, rule in rules] or [usual]
    return min((each for each in deadlines if each is not None), default=None)


def _decisions(rules: list[tuple[str, ToolRule]]) -> tuple[str, ...]:
    """Return what every rule allows; where they agree on nothing, a person can only refuse."""
    allowed = [
        each for each in DECISIONS if all(each in rule.allowed_decisions for _, rule in rules)
    ]
    return tuple(allowed) or ("reject",)


def _digits(amount: Decimal) -> str:
    return show(amount).strip("`").removesuffix(".0")


def refused(policy: Policy, rule_id: str, reason: str) -> Verdict:
    """Return the verdict on a call that cannot run whatever the policy says of its tool.

    Args:
        policy: whose digest goes on the verdict.
        rule_id: what is wrong: `malformed-call`, `no-such-tool`, `invalid-arguments`.
        reason: why, for the planner.
    """
    return Verdict(
        tier=Tier.BLOCK,
        effect=Effect.UNKNOWN,
        rules=(RuleHit(rule_id, Tier.BLOCK, reason),),
        errors=(),
        reviewers=Reviewers(),
        sla_seconds=None,
        grant_ttl_seconds=policy.document.defaults.grant_ttl_seconds,
        allowed_decisions=(),
        policy_digest=policy.digest,
    )
