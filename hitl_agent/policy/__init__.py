"""Which tool calls run, which wait for a person and which never run: read from `policies.yaml`.

What reads and applies a policy is loaded when it is first used: whoever only shows verdicts, as
`hitl list` does, does not wait for pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hitl_agent.policy.verdict import Effect, Reviewers, RuleHit, Tier, Verdict

if TYPE_CHECKING:
    from hitl_agent.policy.check import Remark
    from hitl_agent.policy.document import Defaults, PolicyDocument
    from hitl_agent.policy.evaluate import judge, refused
    from hitl_agent.policy.known import Facts, Past
    from hitl_agent.policy.load import Policy, load_policy, parse_policy
    from hitl_agent.policy.tool_entry import DECISIONS, ToolEntry

_HOMES = {
    "DECISIONS": "tool_entry",
    "Defaults": "document",
    "Facts": "known",
    "Past": "known",
    "Policy": "load",
    "PolicyDocument": "document",
    "Remark": "check",
    "ToolEntry": "tool_entry",
    "judge": "evaluate",
    "load_policy": "load",
    "parse_policy": "load",
    "refused": "evaluate",
}

__all__ = [
    "DECISIONS",
    "Defaults",
    "Effect",
    "Facts",
    "Past",
    "Policy",
    "PolicyDocument",
    "Remark",
    "Reviewers",
    "RuleHit",
    "Tier",
    "ToolEntry",
    "Verdict",
    "judge",
    "load_policy",
    "parse_policy",
    "refused",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module `hitl_agent.policy` has no attribute `{name}`")
    value = getattr(import_module(f"hitl_agent.policy.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
