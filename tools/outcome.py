"""What a tool raises when it cannot tell whether its effect happened."""

from __future__ import annotations

from langchain_core.tools import ToolException

from hitl_agent import OutcomeUnknown


class UnknownOutcome(OutcomeUnknown, ToolException):
    """The effect was sent on its way and nothing came back: a person has to look."""
