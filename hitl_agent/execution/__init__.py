"""Running a call at most once: grants, contracts, and what happens next to a call."""

from hitl_agent.execution.contract import NO_PROMISE, Contract, Happened, NotHappened
from hitl_agent.execution.course import (
    Again,
    Answered,
    Ask,
    Busy,
    Course,
    Doubtful,
    Finished,
    Judge,
    Judged,
    Refused,
    Review,
    Run,
    Settled,
    course,
)
from hitl_agent.execution.grant import binding, idempotency_key_of

__all__ = [
    "NO_PROMISE",
    "Again",
    "Answered",
    "Ask",
    "Busy",
    "Contract",
    "Course",
    "Doubtful",
    "Finished",
    "Happened",
    "Judge",
    "Judged",
    "NotHappened",
    "Refused",
    "Review",
    "Run",
    "Settled",
    "binding",
    "course",
    "idempotency_key_of",
]
