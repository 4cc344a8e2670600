"""What an MCP server says of its tools: hints that can raise oversight, and never lower it."""

from __future__ import annotations

from collections.abc import Mapping

from hitl_agent.policy.verdict import Effect

HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
"""What MCP calls them. A server may say anything; only `true` and `false` themselves count."""


def destroys(annotations: Mapping[str, object]) -> bool:
    """Whether a tool is said to destroy."""
    return annotations.get("destructiveHint") is True


def changes(annotations: Mapping[str, object]) -> bool:
    """Whether a tool is said to do more than read."""
    return annotations.get("readOnlyHint") is False


def goes_out(annotations: Mapping[str, object]) -> bool:
    """Whether a tool is said to deal with the world outside."""
    return annotations.get("openWorldHint") is True


def objections(
    annotations: Mapping[str, object], effect: Effect, *, open_world: bool
) -> tuple[str, ...]:
    """Return what hints have against a call that policy might let run; nothing if nothing.

    Args:
        annotations: the hints; one that is missing or None says nothing.
        effect: what policy says that the tool does.
        open_world: whether policy says that its arguments leave the house.
    """
    found = [
        f"its server says neither true nor false under `{hint}`"
        for hint in HINTS
        if annotations.get(hint) is not None and not isinstance(annotations[hint], bool)
    ]
    if destroys(annotations):
        found.append("its server says that it destroys (`destructiveHint`)")
        if annotations.get("readOnlyHint") is True:
            found.append("its server says as well that it only reads (`readOnlyHint`)")
    if effect is Effect.READ:
        if changes(annotations):
            found.append("policy says that it only reads, its server not (`readOnlyHint`)")
        if goes_out(annotations) and not open_world:
            found.append("policy says that it reads here, its server outside (`openWorldHint`)")
    return tuple(found)
