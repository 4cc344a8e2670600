"""What of a policy concerns one tool, worked out once: entries, conditions, limits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from hitl_agent.documents import show
from hitl_agent.policy.conditions import (
    Conditions,
    Expression,
    Group,
    environment,
)
from hitl_agent.policy.currencies import CURRENCIES
from hitl_agent.policy.document import is_exact, matches
from hitl_agent.policy.entries import Entries, environment_for
from hitl_agent.policy.escalation import AUTO_LIMIT, SECOND_LIMIT, EscalationPolicy
from hitl_agent.policy.tool_entry import DECISIONS
from hitl_agent.policy.verdict import Effect, Reviewers, RuleHit, Tier

if TYPE_CHECKING:
    from hitl_agent.policy.document import PolicyDocument
    from hitl_agent.policy.tool_entry import Rule, Span, ToolEntry

_ARGUMENT = re.compile(r"(?:args\.)?([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class PlannedRule:
    """A rule, ready to be asked.

    Attributes:
        id: its name.
        condition: when it applies.
        hit: what it then says.
        permits: whether it lets the call run.
        reviewers: who has to decide when it applies.
    """

    id: str
    condition: Expression
    hit: RuleHit
    permits: bool
    reviewers: Reviewers


@dataclass(frozen=True, slots=True)
class Escalation:
    """An escalation policy, ready to be applied.

    Attributes:
        action_type: whose.
        auto: from this confidence on a call runs.
        soft: from this confidence on it runs and is looked at afterwards.
        limits: amounts above which a person decides, by currency.
        second: amounts above which two do, by currency.
        currency: the one currency of all its limits, in which a call is that names none; None if
            there are several.
        categories: of which a person decides every call, folded.
        irreversible: of which none can be undone, folded.
    """

    action_type: str
    auto: float | None
    soft: float | None
    limits: Mapping[str, Decimal]
    second: Mapping[str, Decimal]
    currency: str | None
    categories: frozenset[str]
    irreversible: frozenset[str]


Reading = Callable[[Mapping[str, Any]], Any]
"""Reads a value from arguments; raises KeyError for a missing argument, else ValueError."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What of the policy concerns one tool.

    Attributes:
        tool: its name as it is shown.
        effect: what it does.
        open_world: whether its arguments leave the house.
        untrusted_output: whether its result may carry other people's text.
        output_told: whether the policy says that itself.
        action_types: whose escalation policies hold, by the alphabet.
        standing: hits that hold for every call.
        rules: rules that are asked of every call.
        conditions: theirs, in their order.
        names: what they name.
        escalations: thresholds and limits.
        amount: reads the amount; None where several ways to do so differ.
        category: reads the category.
        category_mapped: whether the policy says where the category is.
        currency: reads the currency.
        counterparty: reads who receives.
        kinds: arguments of which facts are worked out.
        spans: spans of the past that conditions see.
        reviewers: who has to decide when a call is gated.
        sla_seconds: within how many seconds a review is due.
        allowed_decisions: what a reviewer can answer.
        redactions: arguments hidden from reviewers, by role.
        reason: why the tool is watched.
    """

    tool: str
    effect: Effect
    open_world: bool
    untrusted_output: bool
    output_told: bool
    action_types: tuple[str, ...]
    standing: tuple[RuleHit, ...]
    rules: tuple[PlannedRule, ...]
    conditions: Conditions
    names: frozenset[str]
    escalations: tuple[Escalation, ...]
    amount: Reading | None
    category: Reading | None
    category_mapped: bool
    currency: Reading | None
    counterparty: Reading | None
    kinds: Mapping[str, str]
    spans: Mapping[str, Span]
    reviewers: Reviewers
    sla_seconds: int | None
    allowed_decisions: tuple[str, ...]
    redactions: Mapping[str, tuple[str, ...]]
    reason: str

    @property
    def needs_past(self) -> bool:
        """Whether a condition looks at what happened before in the thread or elsewhere."""
        return bool(self.spans) or any(name.startswith("context.") for name in self.names)


def plan(document: PolicyDocument, tool: str) -> Plan:
    """Return what of the policy concerns a tool, of any name.

    Raises:
        ExpressionError: a condition is wrong; never for a document that was loaded.
    """
    entries = Entries(document, tool)
    found = entries.found
    types = entries.action_types(tool)
    escalations = [one for one in document.escalation_policies if one.action_type in types]
    named = {one.action_type for one in escalations}
    if tool not in named and len(types) > 1:
        types = tuple(one for one in types if one != tool)  # a name, and no type
    rules, conditions = _rules(found)
    told = entries.told
    return Plan(
        tool=show(tool),
        effect=entries.effect,
        open_world=any(told("open_world")),
        # what a tool that nobody described brings in may be anybody's
        untrusted_output=any(told("untrusted_output") or (entries.effect is Effect.UNKNOWN,)),
        output_told=bool(told("untrusted_output")),
        action_types=types,
        standing=tuple(_standing(document, tool, entries, named, types)),
        rules=rules,
        conditions=conditions,
        names=environment().shared(name for rule in rules for name in rule.condition.names),
        escalations=tuple(_escalation(one) for one in escalations),
        amount=_only(told("amount"), reading, "amount"),
        category=_only(told("category"), reading, "category"),
        category_mapped=bool(told("category")),
        currency=_only(told("currency"), _currency, "currency"),
        counterparty=_only(told("counterparty"), reading, "counterparty"),
        kinds={name: kind for _, entry in found for name, kind in entry.kinds.items()},
        spans={name: span for _, entry in found for name, span in entry.history.items()},
        reviewers=_wanted(found, document.review_settings.min_reviewers_per_task),
        sla_seconds=_sla(document, entries, escalations),
        allowed_decisions=_decisions(found),
        redactions=_redactions(found),
        reason="; ".join(told("reason")),
    )


def reading(text: str) -> Reading:
    """Return what reads a value from arguments: a bare name is the argument of that name.

    Raises:
        ExpressionError: `text` is neither a name nor an expression over `args`.
    """
    if found := _ARGUMENT.fullmatch(text.strip()):
        key = found[1]
        return lambda args: args[key]
    expression = environment(arguments_only=True).expression(text)
    return lambda args: expression.value({"args": args})


def _currency(text: str) -> Reading:
    if text.upper() in CURRENCIES:
        return lambda _: text.upper()
    return reading(text)


def _only(told: tuple[str, ...], read: Callable[[str], Reading], default: str) -> Reading | None:
    """Return the one way to read a value, or None where several patterns disagree."""
    return read((told or (default,))[0]) if len(told) <= 1 else None


def _standing(
    document: PolicyDocument, name: str, entries: Entries, named: set[str], types: tuple[str, ...]
) -> Iterator[RuleHit]:
    """Yield what holds for every call of a tool."""
    shown = show(name)
    for pattern in document.never_run:
        if matches(pattern, name):
            reason = f"{shown} never runs: `{pattern}` stands in `never_run`"
            yield RuleHit(f"never-run:{pattern}", Tier.BLOCK, reason)
    for pattern in document.always_gate:
        if matches(pattern, name):
            reason = f"{shown} always waits for a person: `{pattern}` stands in `always_gate`"
            yield RuleHit(f"always-gate:{pattern}", Tier.HARD_GATE, reason)
    if entries.effect is Effect.IRREVERSIBLE:
        yield RuleHit("irreversible", Tier.HARD_GATE, f"{shown} cannot be undone")
    if listed_as_final(document, (name, *types)):
        reason = f"{shown} stands in `irreversible_actions_always_gate`"
        yield RuleHit("irreversible", Tier.HARD_GATE, reason)
    if not entries.found and not named:
        reason = f"the policy does not name {shown}"
        yield RuleHit("unknown-tool", Tier.HARD_GATE, reason)
    elif entries.effect is Effect.UNKNOWN and not named:
        reason = f"the policy does not say what {shown} does"
        yield RuleHit("unknown-effect", Tier.HARD_GATE, reason)
    for one in entries.told("action_type"):
        if one not in named:
            reason = f"no escalation policy names the action type {show(one)}"
            yield RuleHit("unknown-action-type", Tier.HARD_GATE, reason)


def listed_as_final(document: PolicyDocument, names: Iterable[str]) -> str | None:
    """Return what in `irreversible_actions_always_gate` names a tool or its type, or None."""
    folded = [fold(name) for name in names if name]
    for one in document.escalation_policies:
        for listed in one.irreversible:
            if any(matches(fold(listed).replace("[", "[[]"), name) for name in folded):
                return listed
    return None


def _rules(found: list[tuple[str, ToolEntry]]) -> tuple[tuple[PlannedRule, ...], Conditions]:
    rules: list[PlannedRule] = []
    groups = list[Group]()
    for pattern, entry in found:
        if not entry.rules:
            continue
        parts = environment_for(found, pattern).groups([rule.when for rule in entry.rules])
        groups += parts
        conditions = [one for part in parts for one in part.conditions]
        rules += [
            _rule(pattern, rule, condition)
            for rule, condition in zip(entry.rules, conditions, strict=True)
        ]
    return tuple(rules), Conditions(groups)


def _rule(pattern: str, rule: Rule, condition: Expression) -> PlannedRule:
    reason = rule.reason or f"rule `{rule.id}` applies"
    if not is_exact(pattern):
        reason += f" (rule `{pattern}`)"
    asked = rule.reviewers
    return PlannedRule(
        rule.id,
        condition,
        RuleHit(rule.id, Tier(rule.tier), reason),
        rule.permits,
        Reviewers(asked.min, asked.roles, asked.reject) if asked else Reviewers(),
    )


def _escalation(one: EscalationPolicy) -> Escalation:
    limits, second = one.limits(AUTO_LIMIT), one.limits(SECOND_LIMIT)
    currencies = {*limits, *second}
    return Escalation(
        action_type=one.action_type,
        auto=one.auto_approve_threshold,
        soft=one.soft_review_threshold,
        limits=limits,
        second=second,
        currency=next(iter(currencies)) if len(currencies) == 1 else None,
        categories=frozenset(fold(each) for each in one.categories_always_review or ()),
        irreversible=frozenset(fold(each) for each in one.irreversible),
    )


def fold(name: str) -> str:
    """Return one spelling for categories and names that a person takes for the same."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
        name = "".join(one for one in name if unicodedata.category(one) != "Cf")
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def combined(wanted: Iterable[Reviewers]) -> Reviewers:
    """Return who satisfies each of several demands: the most people, and every role.

    One rejection decides, unless all that say something of it want a majority.
    """
    least, roles, said = 0, set[str](), set[str | None]()
    for one in wanted:
        least = max(least, one.min)
        roles.update(one.roles)
        said.add(one.reject)
    reject = next((each for each in _STRICTEST_FIRST if each in said), None)
    return Reviewers(least, tuple(sorted(roles)), reject)


_STRICTEST_FIRST: tuple[Literal["one", "majority"], ...] = ("one", "majority")
"""How many rejections decide."""


def _wanted(found: list[tuple[str, ToolEntry]], least: int) -> Reviewers:
    told = [entry.reviewers for _, entry in found if entry.reviewers]
    return combined(
        [Reviewers(least), *(Reviewers(one.min, one.roles, one.reject) for one in told)]
    )


def _sla(
    document: PolicyDocument, entries: Entries, escalations: list[EscalationPolicy]
) -> int | None:
    """Return the shortest deadline that anything sets, or the usual one."""
    told = [*entries.told("sla"), *(one.sla_seconds for one in escalations)]
    return min((one for one in told if one is not None), default=document.defaults.sla_seconds)


def _decisions(found: list[tuple[str, ToolEntry]]) -> tuple[str, ...]:
    """Return what every entry allows; where they agree on nothing, a person can only refuse."""
    allowed = [
        each for each in DECISIONS if all(each in entry.allowed_decisions for _, entry in found)
    ]
    return tuple(allowed) or ("reject",)


def _redactions(found: list[tuple[str, ToolEntry]]) -> dict[str, tuple[str, ...]]:
    hidden: dict[str, set[str]] = {}
    for _, entry in found:
        for role, fields in entry.redact.items():
            hidden.setdefault(role, set()).update(fields)
    return {role: tuple(sorted(hidden[role])) for role in sorted(hidden)}
