"""What a reviewer is shown of a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage

from hitl_agent.graph.state import task_of
from hitl_agent.review import ReviewRequest
from hitl_agent.storage.threads import Thread


@dataclass(frozen=True, slots=True)
class ThreadView:
    """Everything a reviewer needs to know of a thread.

    Attributes:
        thread: the thread at its newest checkpoint.
        waiting: the calls that wait for a person.
    """

    thread: Thread
    waiting: Sequence[ReviewRequest]

    @property
    def task(self) -> str:
        """What the thread was asked to do."""
        return task_of(self.thread.messages) or next((one.task for one in self.waiting), "")

    @property
    def results(self) -> list[dict[str, Any]]:
        """What became of each call so far, in order."""
        return [
            {
                "call_id": one.tool_call_id,
                "tool": one.name,
                "outcome": (one.artifact or {}).get("outcome"),
                "content": one.content,
            }
            for one in self.thread.messages
            if isinstance(one, ToolMessage)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the view as plain JSON, as `hitl show --json` prints it."""
        return {
            "thread_id": self.thread.thread_id,
            "graph": self.thread.graph,
            "status": self.thread.status,
            "error": self.thread.error,
            "task": self.task,
            "results": self.results,
            "waiting": [one.to_json() for one in self.waiting],
            "final": _final(self.thread),
            "updated_at": self.thread.updated_at.isoformat(),
        }


def _final(thread: Thread) -> str | None:
    """Return the planner's last message of a thread that ended."""
    if thread.status in ("done", "failed") and thread.messages:
        last = thread.messages[-1]
        return last.text if last.type == "ai" else None
    return None
