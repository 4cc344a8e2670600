"""What a person is asked, and what a person may answer."""

from hitl_agent.review.arguments import check_arguments
from hitl_agent.review.decision import (
    Approve,
    Decision,
    Edit,
    Reject,
    Respond,
    check_decision,
    read_answer,
)
from hitl_agent.review.quorum import Outcome, Vote, admitted, quorum
from hitl_agent.review.rendering import visible
from hitl_agent.review.request import Requests, ReviewRequest, request_id

__all__ = [
    "Approve",
    "Decision",
    "Edit",
    "Outcome",
    "Reject",
    "Requests",
    "Respond",
    "ReviewRequest",
    "Vote",
    "admitted",
    "check_arguments",
    "check_decision",
    "quorum",
    "read_answer",
    "request_id",
    "visible",
]
