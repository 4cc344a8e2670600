"""What changed in meaning from one policy to another, and whether it lets more run or less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hitl_agent.policy.changes import (
    CHANGED,
    LOOSER,
    STRICTER,
    Direction,
    Found,
    Path,
    named,
    values,
)
from hitl_agent.policy.document import is_exact, matches
from hitl_agent.policy.escalation import AUTO_LIMIT, SECOND_LIMIT
from hitl_agent.policy.people import person
from hitl_agent.policy.plan import fold
from hitl_agent.policy.testing import position
from hitl_agent.policy.tool_changes import ToolChanges

if TYPE_CHECKING:
    from hitl_agent.policy.document import PolicyDocument, PolicyTest
    from hitl_agent.policy.escalation import EscalationPolicy
    from hitl_agent.policy.load import Policy


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        path: the keys that lead to it, such as `tools.refund_order.effect`.
        old: what was there, as JSON; None if nothing was.
        new: what is there, as JSON; None if nothing is.
        direction: what it does to oversight.
        line: 1-based line in the new file: of the new value, or of what should hold it.
        column: 1-based column.
    """

    path: str
    old: Any
    new: Any
    direction: Direction
    line: int
    column: int


def compare(old: Policy, new: Policy) -> list[Change]:
    """Return every difference in meaning, in the order of the new file.

    Layout, comments, the order of keys and items, and defaults that are written out are none.
    """
    found = [
        Change(one.path, one.old, one.new, one.direction, *position(new, *one.at))
        for one in _differences(old.document, new.document)
    ]
    return sorted(found, key=lambda one: (one.line, one.column, one.path))


def _differences(old: PolicyDocument, new: PolicyDocument) -> Iterator[Found]:
    for key in ("never_run", "always_gate"):
        yield from _stops(key, getattr(old, key), getattr(new, key))
    yield from values(
        "defaults",
        ("defaults",),
        old.defaults.model_dump(),
        new.defaults.model_dump(),
        # the longer a permission can be used, the more runs under it
        {"grant_ttl_seconds": LOOSER},
    )
    yield from values(
        "review_settings",
        ("review_settings",),
        old.review_settings.model_dump(),
        new.review_settings.model_dump(),
        {"min_reviewers_per_task": STRICTER, "high_stakes_min_reviewers": STRICTER},
    )
    pipelines = (old.feedback_pipeline.model_dump(), new.feedback_pipeline.model_dump())
    yield from values("feedback_pipeline", ("feedback_pipeline",), *pipelines, {})
    logs = ({"audit_log": old.audit_log}, {"audit_log": new.audit_log})
    yield from values("", (), *logs, {})
    yield from _people(old.reviewers, new.reviewers)
    yield from _escalations(old, new)
    for pattern in dict.fromkeys((*old.tools, *new.tools)):
        yield from ToolChanges(old, new, pattern).differences()
    yield from _tests(old.tests, new.tests)


def _stops(key: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Found]:
    """Yield what was added to a list of tools that stop, and what was taken out."""
    for index, item in enumerate(new):
        if item not in old:
            yield Found(key, (key, index), None, item, _unless(item, old, STRICTER))
    for item in old:
        if item not in new:
            yield Found(key, (key,), item, None, _unless(item, new, LOOSER))


def _unless(item: str, others: Iterable[str], direction: Direction) -> Direction:
    """Return the direction, unless what others say holds for the same tool anyway."""
    covered = is_exact(item) and any(matches(one, item) for one in others)
    return CHANGED if covered else direction


def _people(
    old: Mapping[str, tuple[str, ...]], new: Mapping[str, tuple[str, ...]]
) -> Iterator[Found]:
    """Yield who may decide now and could not, or could and may not, and roles likewise."""
    if bool(old) != bool(new):  # without names everybody counts
        was, now = (_listed(one) if one else None for one in (old, new))
        yield Found("reviewers", ("reviewers",), was, now, STRICTER if new else LOOSER)
        return
    before = {person(name): (name, roles) for name, roles in old.items()}
    after = {person(name): (name, roles) for name, roles in new.items()}
    for who in dict.fromkeys((*before, *after)):
        if who not in before:
            name = after[who][0]
            yield Found("reviewers", ("reviewers", name), None, name, LOOSER)
        elif who not in after:
            yield Found("reviewers", ("reviewers",), before[who][0], None, STRICTER)
        else:
            name = after[who][0]
            at: Path = ("reviewers", name)
            yield from named(f"reviewers.{who}", at, before[who][1], after[who][1], LOOSER)


def _listed(people: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(roles) for name, roles in people.items()}


def _escalations(old: PolicyDocument, new: PolicyDocument) -> Iterator[Found]:
    before = {one.action_type: one for one in old.escalation_policies}
    after = {one.action_type: (i, one) for i, one in enumerate(new.escalation_policies)}
    for name in dict.fromkeys((*before, *after)):
        path = f"escalation_policies[{name}]"
        index, current = after.get(name, (None, None))
        at: Path = ("escalation_policies",) if index is None else ("escalation_policies", index)
        previous = before.get(name)
        if previous and current:
            yield from _escalation(path, at, previous, current)
            continue
        # which of its parts loosen and which tighten depends on what held for its tools without it
        told = current or previous
        direction = CHANGED
        if told and (told.auto_approve_threshold, told.soft_review_threshold) != (None, None):
            direction = LOOSER if current else STRICTER
        yield Found(path, at, _plain(previous), _plain(current), direction)


def _plain(one: EscalationPolicy | None) -> Any:
    return None if one is None else one.model_dump(mode="json", exclude_none=True)


def _escalation(
    path: str, at: Path, old: EscalationPolicy, new: EscalationPolicy
) -> Iterator[Found]:
    for key in ("auto_approve_threshold", "soft_review_threshold"):
        was, now = getattr(old, key), getattr(new, key)
        if was != now:
            # a threshold that is not there is one that nothing reaches
            lower = now is not None and (was is None or now < was)
            yield Found(f"{path}.{key}", (*at, key), was, now, LOOSER if lower else STRICTER)
    for key in (AUTO_LIMIT, SECOND_LIMIT):
        yield from _limits(path, at, key, old, new)
    key = "categories_always_review"
    listed = [{fold(item): item for item in getattr(one, key) or ()} for one in (old, new)]
    for name in dict.fromkeys((*listed[0], *listed[1])):
        if (name in listed[0]) != (name in listed[1]):
            direction = STRICTER if name in listed[1] else LOOSER
            items = listed[0].get(name), listed[1].get(name)
            yield Found(f"{path}.{key}", (*at, key), items[0], items[1], direction)
    key = "irreversible_actions_always_gate"
    # `true` says what holds anyway, `false` has no effect
    yield from named(f"{path}.{key}", (*at, key), old.irreversible, new.irreversible, STRICTER)
    yield from values(path, at, _rest(old), _rest(new), {})


def _rest(one: EscalationPolicy) -> dict[str, Any]:
    return {"sla_seconds": one.sla_seconds, "audit": one.audit}


def _limits(
    path: str, at: Path, key: str, old: EscalationPolicy, new: EscalationPolicy
) -> Iterator[Found]:
    before, after = old.limits(key), new.limits(key)
    for currency in dict.fromkeys((*before, *after)):
        was, now = before.get(currency), after.get(currency)
        if was == now:
            continue
        written = f"{key}_{currency.lower()}" if currency else key
        if was is not None and now is not None:
            direction = LOOSER if now > was else STRICTER
        elif not before or not after:
            direction = STRICTER if now is not None else LOOSER
        else:  # one currency less is gated, and another may have become ambiguous
            direction = CHANGED
        yield Found(
            f"{path}.{written}",
            (*at, written),
            None if was is None else float(was),
            None if now is None else float(now),
            direction,
        )


def _tests(old: tuple[PolicyTest, ...], new: tuple[PolicyTest, ...]) -> Iterator[Found]:
    """Yield tests that were added, taken out or changed; one that has a name is known by it."""
    before = {_test_name(i, one, old): one for i, one in enumerate(old)}
    after = {_test_name(i, one, new): (i, one) for i, one in enumerate(new)}
    for name in dict.fromkeys((*before, *after)):
        index, now = after.get(name, (None, None))
        was = before.get(name)
        if was != now:
            at: Path = ("tests",) if index is None else ("tests", index)
            yield Found(f"tests[{name}]", at, _expected(was), _expected(now), CHANGED)


def _test_name(index: int, test: PolicyTest, tests: tuple[PolicyTest, ...]) -> str:
    unique = test.name and sum(one.name == test.name for one in tests) == 1
    return test.name if unique else f"#{index + 1}"


def _expected(test: PolicyTest | None) -> Any:
    return None if test is None else test.model_dump(mode="json", exclude_defaults=True)
