"""Suggestions as the text of a policy, and as JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from hitl_agent.policy.suggest.description import ToolDescription
from hitl_agent.policy.suggest.judge import Suggestion, suggest_tool

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_MAX_COMMENT = 160
_MAX_EVIDENCE = 8
_MAX_SHOWN_NAME = 60

_HEAD = """\
# A policy to start from, suggested from the names, descriptions and schemas of {count}.
# They are what the tools say of themselves: read every line, and correct what is wrong.
version: 1
"""

_EVERY_TOOL = """\
tools:
  "*":
    # what a tool that is not listed brings in may be anybody's
    untrusted_output: true
    rules:
      - id: after-untrusted-text
        when: context.untrusted && (effect != "read" || open_world)
        tier: hard_gate
        reason: >-
          text that others wrote was read before, and this call changes something
          or leaves the house
"""


def suggest_policy(tools: Iterable[ToolDescription]) -> str:
    """Return the text of a policy to start from, with the evidence in comments.

    A tool of which nothing can be told is listed under `always_gate`, and so is one whose name is
    there twice. A tool whose name the policy could not hold is left out, and so it is gated too.
    """
    listed = list(tools)
    times = Counter(tool.name for tool in listed)
    unfit = [tool.name for tool in listed if not _NAME.fullmatch(tool.name)]
    judged = {tool.name: suggest_tool(tool) for tool in listed if _NAME.fullmatch(tool.name)}
    twice = {name for name in judged if times[name] > 1}
    gated = [name for name, one in judged.items() if one.effect == "unknown" or name in twice]
    parts = [_HEAD.format(count=f"{len(listed)} tool{'s' if len(listed) != 1 else ''}")]
    parts += [
        f"# left out, and gated as unknown, for a name that no policy can hold: {_name(name)}\n"
        for name in unfit
    ]
    if gated:
        parts.append(
            "\n# what these do cannot be told: a person decides every call\nalways_gate:\n"
        )
        parts += [f"  - {json.dumps(name)}\n" for name in gated]
    parts += ["\n", _EVERY_TOOL]
    parts += [_entry(name, one, twice=name in twice) for name, one in judged.items()]
    return "".join(parts)


def suggestions_json(tools: Iterable[ToolDescription]) -> dict[str, Any]:
    """Return the suggestions as JSON has them, by tool; of a name that is there twice the last."""
    return {
        "tools": {
            tool.name: {
                "effect": (one := suggest_tool(tool)).effect,
                "open_world": one.open_world,
                "untrusted_output": one.untrusted_output,
                "evidence": [comment(each) for each in one.evidence[:_MAX_EVIDENCE]],
            }
            for tool in tools
        }
    }


def comment(text: str) -> str:
    """Return text as it can stand in a comment: on one line, short, and nothing unseen in it."""
    seen = "".join(each if each.isprintable() else " " for each in text[: 4 * _MAX_COMMENT])
    short = " ".join(seen.split())
    return short if len(short) <= _MAX_COMMENT else short[: _MAX_COMMENT - 1] + "…"


def _name(name: str) -> str:
    return comment(f"{name[:_MAX_SHOWN_NAME]}{'…' if len(name) > _MAX_SHOWN_NAME else ''}")


def _entry(name: str, one: Suggestion, *, twice: bool) -> str:
    lines = [f"  {json.dumps(name)}:"]
    if twice:
        lines.append("    # the name is there twice, and only one of the two was judged")
    lines += [f"    # {line}" for line in _evidence(one.evidence)]
    known = one.effect != "unknown" and not twice
    lines.append(
        f"    effect: {one.effect}" if known else "    # effect: read, write or irreversible?"
    )
    lines.append(f"    open_world: {json.dumps(one.open_world)}")
    lines.append(f"    untrusted_output: {json.dumps(one.untrusted_output)}")
    if one.kinds:
        lines.append(f"    kinds: {_flow(one.kinds.items())}")
    if one.amount is not None:
        lines.append(f"    amount: {json.dumps(one.amount)}")
    return "\n".join(lines) + "\n"


def _evidence(evidence: Sequence[str]) -> list[str]:
    return [comment(each) for each in evidence[:_MAX_EVIDENCE]]


def _flow(items: Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in items) + "}"
