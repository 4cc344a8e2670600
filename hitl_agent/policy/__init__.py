"""Which tool calls run, which wait for a person and which never run: read from `policies.yaml`."""

from __future__ import annotations

from hitl_agent.policy.document import DECISIONS, Defaults, PolicyDocument, ToolRule
from hitl_agent.policy.evaluate import judge, refused
from hitl_agent.policy.load import Policy, load_policy, parse_policy
from hitl_agent.policy.verdict import Effect, Reviewers, RuleHit, Tier, Verdict

__all__ = [
    "DECISIONS",
    "Defaults",
    "Effect",
    "Policy",
    "PolicyDocument",
    "Reviewers",
    "RuleHit",
    "Tier",
    "ToolRule",
    "Verdict",
    "judge",
    "load_policy",
    "parse_policy",
    "refused",
]
