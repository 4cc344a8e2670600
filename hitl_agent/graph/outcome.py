"""What becomes of a tool's call: a result that can be stored, or nobody knows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from hitl_agent.calls import clean_json, clean_text
from hitl_agent.errors import CheckpointRefused, TimeUp
from hitl_agent.storage.serializer import Serializer
from hitl_agent.storage.strict_saver import MESSAGES

_COMMANDS = Serializer((Command,))
"""Packs what tools write into the state beside their message: plain values and messages."""

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


@dataclass(frozen=True, slots=True)
class Suspended:
    """The tool has stopped the graph to ask somebody.

    Attributes:
        stop: what it has raised.
    """

    stop: GraphBubbleUp


Outcome = Result | Unknown | Suspended | None
"""What comes of making a call; None: what was written of it has to be read."""


def result_of(answer: Any) -> Result:
    """Return what is stored of a tool's answer, and what a crash later replays."""
    if isinstance(answer, ToolMessage):
        result = {"status": answer.status, "content": clean_json(answer.content)}
        if answer.artifact is not None:
            result["artifact"] = clean_json(answer.artifact)
        return result
    if (message := _message_in(answer)) is None:
        value = clean_json(answer)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return {"status": "success", "content": text, "value": value}
    result = result_of(message)
    try:
        kind, packed = _COMMANDS.dumps_typed(answer)
        result["returned"] = {"kind": kind, "packed": base64.b64encode(packed).decode()}
    except CheckpointRefused as error:
        result["content"] = f"{result['content']}\n[its state update was not kept: {error}]"
    return result


def restored(result: Mapping[str, Any] | None, message: ToolMessage) -> Any:
    """Return what a tool returned, a `Command` or several, with a message in the place of its own.

    Args:
        result: what is stored.
        message: what the planner is told.
    """
    kept = (result or {}).get("returned")
    if kept is None:
        return message
    answer = _COMMANDS.loads_typed((kept["kind"], base64.b64decode(kept["packed"])))
    if isinstance(answer, list):
        return [_with(one, message) for one in answer]
    return _with(answer, message)


def _with(answer: Any, message: ToolMessage) -> Any:
    if isinstance(answer, ToolMessage):
        return message if answer.tool_call_id == message.tool_call_id else answer
    if isinstance(answer, Command) and isinstance(answer.update, dict):
        told = [_with(one, message) for one in _list(answer.update.get(MESSAGES))]
        return replace(answer, update={**answer.update, MESSAGES: told})
    return answer


def _message_in(answer: Any) -> ToolMessage | None:
    """Return the message for the planner in what a tool returned, if it is no plain value."""
    if isinstance(answer, ToolMessage):
        return answer
    if isinstance(answer, list) and answer:
        if not all(isinstance(one, ToolMessage | Command) for one in answer):
            return None
        found = [_message_in(one) for one in answer]
        return next((one for one in found if one is not None), None)
    if isinstance(answer, Command):
        update = answer.update if isinstance(answer.update, dict) else {}
        found = [one for one in _list(update.get(MESSAGES)) if isinstance(one, ToolMessage)]
        return found[0] if found else ToolMessage("", tool_call_id="")
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


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
