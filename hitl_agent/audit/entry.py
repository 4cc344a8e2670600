"""One entry of the append-only record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from hitl_agent.calls import canonical


class Kind(StrEnum):
    """What an entry tells."""

    VERDICT = "verdict"
    REQUEST = "request"
    VOTE = "vote"
    DECISION = "decision"
    ANSWER_REFUSED = "answer_refused"
    WITHDRAWN = "withdrawn"
    GRANT = "grant"
    RESERVED = "reserved"
    SUSPENDED = "suspended"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to one call, when, and on what evidence.

    Attributes:
        kind: what happened.
        thread_id: LangGraph's thread.
        call_id: the call within the thread.
        at: when, by the clock of the process that did it.
        body: the evidence, plain JSON.
    """

    kind: Kind
    thread_id: str
    call_id: str
    at: datetime
    body: Mapping[str, Any]

    def canonical(self) -> str:
        """Return the entry in RFC 8785 canonical JSON: the text that is stored.

        Raises:
            InvalidCall: the body has no canonical form.
        """
        return canonical(
            {
                "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
                "body": self.body,
                "call_id": self.call_id,
                "kind": str(self.kind),
                "thread_id": self.thread_id,
                "v": 1,
            }
        ).decode("utf-8")
