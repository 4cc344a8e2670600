"""The judgement of one call: every rule that applies, and the strictest of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hitl_agent.calls import clean_text
from hitl_agent.documents import show
from hitl_agent.policy.amounts import digits
from hitl_agent.policy.known import NOTHING, Facts, Past
from hitl_agent.policy.look import MISSING, Look
from hitl_agent.policy.plan import combined
from hitl_agent.policy.verdict import Effect, Reviewers, RuleHit, Tier, Verdict

if TYPE_CHECKING:
    from hitl_agent.policy.load import Policy
    from hitl_agent.policy.plan import Escalation

_NONE: tuple[object, ...] = ()

__all__ = ["NOTHING", "Facts", "Past", "judge", "refused"]


def judge(
    policy: Policy,
    tool: str,
    args: Mapping[str, Any],
    facts: Facts = NOTHING,
    *,
    errors: Iterable[object] = _NONE,
    objections: Iterable[object] = _NONE,
) -> Verdict:
    """Return what the policy says about a call. Raises nothing, whatever the call is.

    Args:
        policy: the policy in force.
        tool: the tool's name.
        args: the call's arguments, of any shape: they come from a model.
        facts: what else is known.
        errors: what went wrong before. Any error means a hard gate at least.
        objections: what a second opinion holds against the call; the same.
    """
    name = tool if type(tool) is str else _name(tool)
    plan = policy.plan(name)
    met = _texts(errors) if errors is not _NONE else []
    asked = [plan.reviewers]
    hits = list(plan.standing)
    try:
        look = Look(plan, name, args, facts, policy.document.defaults.workspace)
        _look(look, hits, asked, met)
    except Exception as error:  # noqa: BLE001  whatever a foreign value raises, a person decides
        met.append(f"the call cannot be judged: {type(error).__name__}")
    for text in _texts(objections) if objections is not _NONE else ():
        reason = f"a second opinion objects: {text}"
        hits.append(RuleHit("second-opinion", Tier.HARD_GATE, reason))
    if met:
        hits += [RuleHit("error", Tier.HARD_GATE, f"an error was met: {text}") for text in met]
    if len(hits) > 1:
        hits = sorted(dict.fromkeys(hits), key=_order)
    first = hits[0]
    tier = first.tier
    if plan.reason and tier is not Tier.AUTO_APPROVE:
        hits[0] = RuleHit(first.id, tier, f"{first.reason}: {plan.reason}")
    if tier is Tier.HARD_GATE and not _HIGH_STAKES.isdisjoint(hit.id for hit in hits):
        settings = policy.document.review_settings
        asked.append(Reviewers(settings.high_stakes_min_reviewers))
    return Verdict(
        tier=tier,
        effect=plan.effect,
        rules=tuple(hits),
        errors=tuple(met),
        reviewers=combined(asked) if tier is Tier.HARD_GATE else _NOBODY,
        sla_seconds=plan.sla_seconds,
        grant_ttl_seconds=policy.document.defaults.grant_ttl_seconds,
        allowed_decisions=_AFTERWARDS if tier is Tier.SOFT_REVIEW else plan.allowed_decisions,
        policy_digest=policy.digest,
        redactions=plan.redactions,
    )


_NOBODY = Reviewers()
_TWO = Reviewers(2)
_HIGH_STAKES = frozenset({"irreversible", "two-reviewers"})
"""Rules for which the policy can ask for more people than for the rest."""

_AFTERWARDS = ("approve", "reject")
"""What can be said of a call that runs: it was right, or it was not."""

_SEVERITY = {tier: -tier.severity for tier in Tier}


def _order(hit: RuleHit) -> tuple[int, str, str]:
    return _SEVERITY[hit.tier], hit.id, hit.reason


def _name(tool: object) -> str:
    """Return the text of a name that is more than text, as a member of an enum is."""
    return str.__str__(tool) if issubclass(type(tool), str) else ""


def _texts(given: object) -> list[str]:
    """Return what went wrong as text, whatever it was told as."""
    if type(given) in {list, tuple} and not given:
        return []
    try:
        many = [given] if isinstance(given, str | BaseException) else list(given)  # type: ignore[call-overload]
        return [clean_text(str(one)) for one in many]
    except Exception as error:  # noqa: BLE001  what cannot even be told counts all the same
        return [f"a `{type(error).__name__}` while errors were told"]


def _look(look: Look, hits: list[RuleHit], asked: list[Reviewers], met: list[str]) -> None:
    """Collect what rules, thresholds and limits say of a call.

    Args:
        look: the call.
        hits: takes up what they say.
        asked: takes up who has to decide.
        met: takes up what goes wrong.
    """
    plan = look.plan
    permits = _rules(look, hits, asked, met) if plan.rules else []
    if plan.effect is not Effect.IRREVERSIBLE:
        hits += _base(look, permits)
    for escalation in plan.escalations:
        hits += _limits(look, escalation, asked)
    for what, problem in look.problems.items():
        if what in _ERRORS:
            met.append(f"{_ERRORS[what]} {problem}")


def _rules(
    look: Look, hits: list[RuleHit], asked: list[Reviewers], met: list[str]
) -> list[RuleHit]:
    """Collect what the rules say, and return those that permit the call."""
    permits: list[RuleHit] = []
    wrong: list[str] = []
    values = look.values()
    answers = look.plan.conditions.answers(values)
    for index, answer in enumerate(answers):
        if answer is False:
            continue
        rule = look.plan.rules[index]
        if answer is not True:
            why = look.why(rule.condition.names, values) or str(answer)
            wrong.append(f"rule `{rule.id}` has no answer: {why}")
        elif rule.permits:
            permits.append(rule.hit)
        else:
            asked.append(rule.reviewers)
            hits.append(rule.hit)
    met += sorted(wrong)
    return permits


_ERRORS = {"args": "the arguments cannot be judged:", "confidence": "the confidence"}
"""Problems that are errors, whether a rule looks at them or not."""


def _base(look: Look, permits: list[RuleHit]) -> list[RuleHit]:
    """Return what holds before anything raises it: a read, a permission, the thresholds."""
    plan = look.plan
    if plan.effect is Effect.UNKNOWN:
        permits = []  # who permits a tool has to say what it does
    if plan.effect is Effect.READ and not plan.open_world:
        return [RuleHit("read", Tier.AUTO_APPROVE, f"{plan.tool} only reads"), *permits]
    if permits:
        return permits
    if plan.escalations or plan.effect is Effect.UNKNOWN:
        return [_by_confidence(look, one) for one in plan.escalations]
    what = "sends its arguments out" if plan.effect is Effect.READ else "changes something"
    reason = f"{plan.tool} {what}, and nothing permits it"
    return [RuleHit("no-permission", Tier.HARD_GATE, reason)]


def _by_confidence(look: Look, one: Escalation) -> RuleHit:
    tool, confidence = look.plan.tool, look.confidence
    wanted = one.auto if one.soft is None else one.soft
    if wanted is None:
        reason = f"{show(one.action_type)} has no threshold, and nothing permits {tool}"
        return RuleHit("no-permission", Tier.HARD_GATE, reason)
    if confidence is None:
        if "confidence" in look.problems:
            reason = f"the confidence in {tool} {look.problems['confidence']}"
            return RuleHit("confidence-unreadable", Tier.HARD_GATE, reason)
        reason = f"{tool} runs on confidence, and none is known"
        return RuleHit("no-confidence", Tier.HARD_GATE, reason)
    said = f"confidence {confidence} in {tool}"
    if one.auto is not None and confidence >= one.auto:
        return RuleHit("auto-threshold", Tier.AUTO_APPROVE, f"{said} reaches {one.auto}")
    if one.soft is not None and confidence >= one.soft:
        reason = f"{said} reaches {one.soft}: it runs and is looked at after"
        return RuleHit("soft-threshold", Tier.SOFT_REVIEW, reason)
    return RuleHit("below-thresholds", Tier.HARD_GATE, f"{said} is below {wanted}")


def _limits(look: Look, one: Escalation, asked: list[Reviewers]) -> Iterator[RuleHit]:
    if one.categories or one.irreversible:
        yield from _by_category(look, one)
    if one.limits or one.second:
        yield from _by_amount(look, one, asked)


def _by_category(look: Look, one: Escalation) -> Iterator[RuleHit]:
    if look.categories is None:
        problem = look.problems["category"]
        if look.plan.category_mapped or problem != MISSING:
            reason = f"the category of {look.plan.tool} {problem}"
            yield RuleHit("category-unreadable", Tier.HARD_GATE, reason)
        return
    if found := look.categories & one.categories:
        reason = f"the category {show(min(found))} is always reviewed"
        yield RuleHit("category", Tier.HARD_GATE, reason)
    if found := look.categories & one.irreversible:
        reason = f"the category {show(min(found))} cannot be undone"
        yield RuleHit("irreversible", Tier.HARD_GATE, reason)


def _by_amount(look: Look, one: Escalation, asked: list[Reviewers]) -> Iterator[RuleHit]:
    tool, amount, currency = look.plan.tool, look.amount, look.currency
    if amount is None:
        reason = f"the amount of {tool} {look.problems['amount']}"
        yield RuleHit("amount-unreadable", Tier.HARD_GATE, reason)
        return
    if currency is None:
        problem = look.problems["currency"]
        if problem != MISSING or one.currency is None:
            several = ", and its limits are in several" if problem == MISSING else ""
            reason = f"the currency of {tool} {problem}{several}"
            yield RuleHit("currency-unreadable", Tier.HARD_GATE, reason)
            return
        currency = one.currency
    limit = one.limits.get(currency, one.limits.get(""))
    second = one.second.get(currency, one.second.get(""))
    if (one.limits and limit is None) or (one.second and second is None):
        known = ", ".join(sorted({*one.limits, *one.second} - {""}))
        reason = f"the amount of {tool} is in {currency}, and there is a limit in {known} only"
        yield RuleHit("currency", Tier.HARD_GATE, reason)
        return
    if second is not None and amount > second:
        asked.append(_TWO)
        reason = f"the amount {digits(amount)} is above {digits(second)}: two people decide"
        yield RuleHit("two-reviewers", Tier.HARD_GATE, reason)
    if limit is not None:
        above = amount > limit
        relation = "above" if above else "within"
        yield RuleHit(
            "amount-limit" if above else "amount-within-limit",
            Tier.HARD_GATE if above else Tier.AUTO_APPROVE,
            f"the amount {digits(amount)} is {relation} the limit of {digits(limit)} for {tool}",
        )


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
