"""A policy to start from, suggested from what tools say of themselves.

Nothing that a tool says is believed where it would lower oversight. The judgement is by English
grammar and by what arguments are for, without a model: the same tools give the same policy.
"""

from hitl_agent.policy.suggest.description import ToolDescription, read_tools
from hitl_agent.policy.suggest.judge import Suggestion, suggest_tool
from hitl_agent.policy.suggest.writing import suggest_policy, suggestions_json

__all__ = [
    "Suggestion",
    "ToolDescription",
    "read_tools",
    "suggest_policy",
    "suggest_tool",
    "suggestions_json",
]
