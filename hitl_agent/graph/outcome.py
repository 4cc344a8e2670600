"""What becomes of a tool's call: a result that can be stored, or nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage

from hitl_agent.calls import clean_json, clean_text
from hitl_agent.errors import TimeUp

Result = dict[str, Any]
"""What is stored of a call: `status`, `content`, and what LangChain calls `artifact`. A failure
says under `retry` whether the same call may be proposed again without harm."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can tell whether the effect happened.

    Attributes:
        why: what is known.
    """

    why: str


def result_of(message: Any) -> Result:
    """Return what is stored of a tool's answer, and what a crash later replays."""
    if not isinstance(message, ToolMessage):
        return {"status": "success", "content": clean_text(str(message))}
    result = {"status": message.status, "content": clean_json(message.content)}
    if message.artifact is not None:
        result["artifact"] = clean_json(message.artifact)
    return result


def failure(error: BaseException | str) -> Result:
    """Return what is stored of a call that failed.

    It may be retried if nothing can have happened: its time was over before it sent anything.
    """
    text = clean_text(str(error)) or type(error).__name__
    return {
        "status": "error",
        "content": f"the tool failed: {text}",
        "retry": isinstance(error, TimeUp),
    }
