"""What the planner is told of each call: one `ToolMessage`, whatever became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import ToolMessage

from hitl_agent.execution import Answered, Finished, Judged, Refused
from hitl_agent.review.redaction import hidden_fields, redacted


def answer(settled: Refused | Answered | Finished) -> ToolMessage:
    """Return the message for a settled call.

    Its text is for the planner. Its `artifact` is `{"outcome", "value"}` for programs: outcome is
    `succeeded`, `failed`, `answered`, `rejected` or `blocked`, value the tool's result or the
    reviewer's answer. A failure says under `retry` whether it certainly had no effect, so that the
    same call may be proposed again; nothing is retried by itself.
    """
    judged = settled.judged
    match settled:
        case Finished():
            return _finished(judged, judged.result or {})
        case Answered():
            text = f"answered by {_who(judged)} in the tool's place: {judged.message}"
            return _message(judged, text, "answered", judged.message)
        case Refused(why="blocked"):
            text = f"refused by policy, {_ran(judged)}: {'; '.join(judged.verdict.reasons)}"
            return _message(judged, text, "blocked", status="error")
        case Refused(why="rejected"):
            why = f": {judged.message}" if judged.message else ""
            text = f"rejected by {_who(judged)}, {_ran(judged)}{why}"
            return _message(judged, text, "rejected", status="error")
        case Refused():
            text = "refused, the call was not run: its id was used for another call"
            return _message(judged, text, "blocked", status="error")


def own_form(message: ToolMessage, settled: Refused | Answered | Finished) -> ToolMessage:
    """Return an answer in the form that its tool would give it, for other people's agents.

    Its `artifact` is the tool's own; ours is under `hitl` in its `response_metadata`.
    """
    ours, own = message.artifact, None
    if isinstance(settled, Finished):
        own = (settled.judged.result or {}).get("artifact")
    return message.model_copy(update={"artifact": own, "response_metadata": {"hitl": ours}})


def outcome_of(message: ToolMessage) -> str | None:
    """Return what became of a call by its answer, if the answer is ours."""
    for said in (message.response_metadata.get("hitl"), message.artifact):
        if isinstance(said, Mapping) and isinstance(said.get("outcome"), str):
            return str(said["outcome"])
    return None


def _finished(judged: Judged, result: Mapping[str, Any]) -> ToolMessage:
    """Give the result, preceded by what people did to the call."""
    content = result.get("content", "")
    if note := _note(judged):
        if isinstance(content, list):
            content = [{"type": "text", "text": note}, *content]
        else:
            content = f"{note}\n{content}"
    failed = result.get("status") == "error"
    message = _message(
        judged,
        content,
        "failed" if failed else "succeeded",
        result.get("content"),
        status="error" if failed else "success",
    )
    if failed:
        message.artifact["retry"] = bool(result.get("retry"))
    if "artifact" in result:
        message.artifact["artifact"] = result["artifact"]
    return message


def _note(judged: Judged) -> str:
    notes = []
    if judged.call_digest != judged.planned_digest:
        # the answer is shown to reviewers as well
        shown = redacted(judged.call.args, hidden_fields(judged.verdict.redactions))
        args = json.dumps(shown, ensure_ascii=False)
        notes.append(f"changed by a reviewer before it ran, to {judged.call.tool} {args}")
    if judged.decision == "approve":
        why = f": {judged.message}" if judged.message else ""
        notes.append(f"approved by {_who(judged)}{why}")
    return f"[{'; '.join(notes)}]" if notes else ""


def _ran(judged: Judged) -> str:
    if judged.attempt == "in_doubt":
        return "the call was started before and what became of it is not known"
    return "the call was not run"


def _who(judged: Judged) -> str:
    return judged.reviewer or "a reviewer"


def _message(
    judged: Judged,
    content: Any,
    outcome: str,
    value: Any = None,
    *,
    status: str = "success",
) -> ToolMessage:
    return ToolMessage(
        content,
        tool_call_id=judged.call.call_id,
        name=judged.call.tool,
        status="error" if status == "error" else "success",
        artifact={"outcome": outcome, "value": value},
    )
