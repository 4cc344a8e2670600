"""What changed in the entries under `tools`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hitl_agent.policy.changes import (
    CHANGED,
    LOOSER,
    STRICTER,
    Direction,
    Found,
    Path,
    named,
    opposite,
    values,
)
from hitl_agent.policy.document import is_exact, matches
from hitl_agent.policy.tool_entry import ReviewersWanted, ToolEntry
from hitl_agent.policy.verdict import Tier
from hitl_agent.policy.weakening import weakened

if TYPE_CHECKING:
    from hitl_agent.policy.document import PolicyDocument
    from hitl_agent.policy.tool_entry import Rule

_EFFECTS = ("read", "write", None, "irreversible")
"""What is not said is gated, and irreversible wants a person whatever else is said."""

_TIERS = tuple(str(one) for one in Tier)


class ToolChanges:
    """The entry of one name or pattern, in both policies."""

    def __init__(self, old: PolicyDocument, new: PolicyDocument, pattern: str) -> None:
        self.documents = (old, new)
        self.pattern = pattern
        self.path = f"tools.{pattern}"
        self.at: Path = ("tools", pattern)
        self.entries = (old.tools.get(pattern), new.tools.get(pattern))
        self.filled = tuple(one or ToolEntry() for one in self.entries)

    def differences(self) -> Iterator[Found]:
        """Yield what differs, key by key."""
        found = list(self._keys())
        if not found and None in self.entries:  # an entry that says nothing
            old, new = (None if one is None else {"effect": None} for one in self.entries)
            found = [Found(self.path, self.at, old, new, CHANGED)]
        yield from found

    def _keys(self) -> Iterator[Found]:
        old, new = self.filled
        if old.effect != new.effect:
            yield self._found("effect", old.effect, new.effect, self._effect())
        for key in ("open_world", "untrusted_output"):
            yield from self._flag(key)
        for key in ("action_type", "amount", "category", "currency", "counterparty", "reason"):
            if (before := getattr(old, key)) != (after := getattr(new, key)):
                yield self._found(key, before, after, CHANGED)
        if old.sla != new.sla:
            yield self._found("sla", old.sla, new.sla, CHANGED)
        for key in ("kinds", "history", "redact"):
            yield from values(
                f"{self.path}.{key}", (*self.at, key), _dump(old, key), _dump(new, key), {}
            )
        for answer in _difference(old.allowed_decisions, new.allowed_decisions):
            runs = answer in ("approve", "edit")
            added = answer in new.allowed_decisions
            direction = (LOOSER if added else STRICTER) if runs else CHANGED
            was, now = (None, answer) if added else (answer, None)
            yield self._found("allowed_decisions", was, now, direction)
        yield from _reviewers(self.path, self.at, old.reviewers, new.reviewers)
        yield from self._rules()

    def _found(self, key: str, old: Any, new: Any, direction: Direction) -> Found:
        return Found(f"{self.path}.{key}", (*self.at, key), old, new, direction)

    def _effect(self) -> Direction:
        old, new = (one.effect for one in self.filled)
        if None in (old, new) and any(self._others(document) for document in self.documents):
            return CHANGED  # what is not said here, another pattern may say
        return LOOSER if _EFFECTS.index(new) < _EFFECTS.index(old) else STRICTER

    def _others(self, document: PolicyDocument) -> bool:
        """Whether other entries may say what this one leaves open."""
        if not is_exact(self.pattern):
            return len(document.tools) > 1
        return any(name != self.pattern and matches(name, self.pattern) for name in document.tools)

    def _flag(self, key: str) -> Iterator[Found]:
        before, after = (getattr(one, key) for one in self.filled)
        elsewhere = any(
            getattr(entry, key) is not None
            for document in self.documents
            for name, entry in document.tools.items()
            if name != self.pattern
        )
        if before == after or (bool(before) == bool(after) and not elsewhere):
            return
        clear = None not in (before, after) or not elsewhere
        direction = STRICTER if after else LOOSER
        yield self._found(key, before, after, direction if clear else CHANGED)

    def _rules(self) -> Iterator[Found]:
        before = {rule.id: rule for rule in self.filled[0].rules}
        after = {rule.id: (i, rule) for i, rule in enumerate(self.filled[1].rules)}
        for name in dict.fromkeys((*before, *after)):
            path = f"{self.path}.rules[{name}]"
            index, now = after.get(name, (None, None))
            at = (*self.at, "rules") if index is None else (*self.at, "rules", index)
            was = before.get(name)
            if was and now:
                yield from self._rule(path, at, was, now)
            elif now:
                yield Found(path, at, None, _shown(now), self._added(now, 1))
            elif was:
                yield Found(path, at, _shown(was), None, opposite(self._added(was, 0)))

    def _added(self, rule: Rule, where: int) -> Direction:
        """Return what it does that one policy has a rule and the other has not."""
        if rule.tier == "block":
            return STRICTER
        if rule.tier == "hard_gate":
            # a tool that the other policy does not name is gated there anyway
            other = self.documents[1 - where]
            named = any(matches(name, self.pattern) for name in other.tools)
            return STRICTER if named or not is_exact(self.pattern) else CHANGED
        if rule.tier == "auto_approve":
            return LOOSER
        # what ran by another permission, or by its confidence alone, is now looked at afterwards
        clear = not any(_lets_run(document, rule) for document in self.documents)
        return LOOSER if clear else CHANGED

    def _rule(self, path: str, at: Path, old: Rule, new: Rule) -> Iterator[Found]:
        if old.when != new.when:
            direction = CHANGED
            if (weaker := weakened(old.when, new.when)) is not None and old.tier == new.tier:
                direction = LOOSER if weaker == new.permits else STRICTER
                if new.tier == "soft_review":
                    direction = CHANGED
            yield Found(f"{path}.when", (*at, "when"), old.when, new.when, direction)
        if old.tier != new.tier:
            lower = _TIERS.index(new.tier) < _TIERS.index(old.tier)
            direction = LOOSER if lower else STRICTER
            yield Found(f"{path}.tier", (*at, "tier"), old.tier, new.tier, direction)
        if old.reason != new.reason:
            yield Found(f"{path}.reason", (*at, "reason"), old.reason, new.reason, CHANGED)
        yield from _reviewers(path, at, old.reviewers, new.reviewers)


def _lets_run(document: PolicyDocument, but: Rule) -> bool:
    """Whether anything but one rule lets calls run: another rule, or a threshold."""
    return any(
        rule.permits and rule != but for entry in document.tools.values() for rule in entry.rules
    ) or any(one.auto_approve_threshold is not None for one in document.escalation_policies)


def _dump(entry: ToolEntry, key: str) -> dict[str, Any]:
    value: dict[str, Any] = entry.model_dump(mode="json", include={key})[key]
    return {name: sorted(one) if isinstance(one, list) else one for name, one in value.items()}


def _shown(rule: Rule) -> Any:
    return {"when": rule.when, "tier": rule.tier}


def _difference(old: tuple[str, ...], new: tuple[str, ...]) -> list[str]:
    return [one for one in dict.fromkeys((*old, *new)) if (one in old) != (one in new)]


def _reviewers(
    path: str, at: Path, old: ReviewersWanted | None, new: ReviewersWanted | None
) -> Iterator[Found]:
    before, after = old or ReviewersWanted(), new or ReviewersWanted()  # one person there always is
    path, at = f"{path}.reviewers", (*at, "reviewers")
    yield from values(path, at, {"min": before.min}, {"min": after.min}, {"min": STRICTER})
    yield from named(f"{path}.roles", (*at, "roles"), before.roles, after.roles, STRICTER)
    if before.reject != after.reject:
        direction = LOOSER if after.reject == "majority" else STRICTER
        yield Found(f"{path}.reject", (*at, "reject"), before.reject, after.reject, direction)
