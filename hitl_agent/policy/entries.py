"""The entries under `tools` that apply to one tool, and what they say together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hitl_agent.calls import MAX_NAME
from hitl_agent.policy.conditions import Environment, environment
from hitl_agent.policy.document import is_exact, matches
from hitl_agent.policy.verdict import Effect

if TYPE_CHECKING:
    from hitl_agent.policy.document import PolicyDocument
    from hitl_agent.policy.tool_entry import ToolEntry

_EFFECTS = tuple(Effect)[:3]
"""What a policy can say of a tool, from the harmless to the final."""


class Entries:
    """The entries that apply to one tool, that of its own name first.

    Args:
        document: where they stand.
        tool: its name; an empty one, or one that is too long, has no entry.
    """

    def __init__(self, document: PolicyDocument, tool: str) -> None:
        self.found: list[tuple[str, ToolEntry]] = []
        if not 0 < len(tool) <= MAX_NAME:
            return
        if is_exact(tool) and tool in document.tools:
            self.found.append((tool, document.tools[tool]))
        self.found += [item for item in document.patterns if matches(item[0], tool)]

    def told(self, key: str) -> tuple[Any, ...]:
        """Return what describes the tool: by its exact name if that says it, else by patterns."""
        said: list[Any] = []
        for pattern, entry in self.found:
            value = getattr(entry, key)
            if value is not None and value != "":
                if is_exact(pattern):
                    return (value,)
                said.append(value)
        return tuple(sorted(set(said))) if len(said) > 1 else tuple(said)

    @property
    def effect(self) -> Effect:
        """The most final effect that is told."""
        told = (Effect(effect) for effect in self.told("effect"))
        return max(told, key=_EFFECTS.index, default=Effect.UNKNOWN)

    def action_types(self, name: str) -> tuple[str, ...]:
        """Return the types of the tool: its exact name's, else its patterns' and its own name."""
        told: tuple[str, ...] = self.told("action_type")
        if any(is_exact(pattern) and entry.action_type for pattern, entry in self.found):
            return told
        return tuple(sorted({*told, name} - {""}))


def environment_of(entries: Iterable[tuple[str, ToolEntry]]) -> Environment:
    """Return what the conditions of entries can name."""
    kinds: dict[str, str] = {}
    spans: set[str] = set()
    for _, entry in entries:
        kinds |= entry.kinds
        spans |= entry.history.keys()
    return environment(tuple(sorted(kinds.items())), frozenset(spans))


def environment_for(found: list[tuple[str, ToolEntry]], pattern: str) -> Environment:
    """Return what the conditions of one of a tool's entries can name.

    Those of a pattern name what the pattern declares, whichever tools it meets.
    """
    if is_exact(pattern):
        return environment_of(found)
    return environment_of(item for item in found if item[0] == pattern)
