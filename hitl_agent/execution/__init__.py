"""Running a call at most once: attempts, and what happens next to a call."""

from hitl_agent.execution.course import (
    Answered,
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

__all__ = [
    "Answered",
    "Busy",
    "Course",
    "Doubtful",
    "Finished",
    "Judge",
    "Judged",
    "Refused",
    "Review",
    "Run",
    "Settled",
    "course",
]
