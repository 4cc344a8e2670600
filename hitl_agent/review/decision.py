"""What a reviewer may answer, and how an answer from anywhere is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from hitl_agent.calls import ToolCall, check_call, clean_text
from hitl_agent.errors import InvalidCall, InvalidDecision
from hitl_agent.review.arguments import check_arguments

MAX_MESSAGE = 20_000
"""Longest reason or answer of a reviewer, in characters."""

_MAX_QUOTED = 60


@dataclass(frozen=True, slots=True)
class Approve:
    """Run the call exactly as shown.

    Attributes:
        message: why, or nothing.
    """

    message: str = ""
    type: str = field(default="approve", init=False)


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the arguments; the changed call is judged again before it may run.

    Attributes:
        args: the whole new arguments.
        message: why, or nothing.
    """

    args: Mapping[str, Any]
    message: str = ""
    type: str = field(default="edit", init=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not run the call.

    Attributes:
        message: why; the planner is told.
    """

    message: str = ""
    type: str = field(default="reject", init=False)


@dataclass(frozen=True, slots=True)
class Respond:
    """Do not run the call; give the planner this in place of its result.

    Attributes:
        message: the answer.
    """

    message: str
    type: str = field(default="respond", init=False)


Decision = Approve | Edit | Reject | Respond


def read_answer(answer: Any, *, tool: str) -> Decision:
    """Read an answer in any of the shapes that LangGraph clients send.

    Understood are one decision of LangChain's human-in-the-loop protocol, a `{"decisions": [one]}`
    around it, and the older `[{"type": "accept|edit|response|ignore", "args": …}]`. What is said of
    an answer that is none of these can be stored, whatever the answer holds.

    Args:
        answer: what came back from `interrupt()`, or from a reviewer's client.
        tool: the tool that was asked about; an edit may not switch to another.

    Raises:
        InvalidDecision: it is none of these.
    """
    answer = _single(answer)
    args = answer.get("args")
    message = _text(answer.get("message"))
    match answer.get("type"):
        case "approve" | "accept":
            return Approve(message)
        case "reject":
            return Reject(message)
        case "ignore":
            return Reject(message or "ignored by the reviewer")
        case "respond":
            return Respond(message)
        case "response":
            return Respond(message if args is None else _text(args))
        case "edit":
            return Edit(_edited(answer, tool), message)
        case kind:
            raise InvalidDecision(
                f"{_quoted(kind)} is no decision",
                hint="decide with one of approve, edit, reject, respond",
            )


def check_decision(
    decision: Decision,
    call: ToolCall,
    *,
    allowed: Collection[str],
    schema: Mapping[str, Any],
) -> None:
    """Raise `InvalidDecision` unless the decision may be given on this call.

    Args:
        decision: what the reviewer answered.
        call: the call that was shown.
        allowed: the decision types that the policy allows for it.
        schema: the JSON schema of the tool's arguments.
    """
    if decision.type not in allowed:
        raise InvalidDecision(
            f"`{decision.type}` is not allowed for `{call.tool}`",
            hint=f"decide with one of {', '.join(sorted(allowed))}",
        )
    if _text(decision.message) != decision.message:
        raise InvalidDecision(
            "a message with characters that cannot be stored", hint="say it without them"
        )
    match decision:
        case Edit():
            try:
                check_call(ToolCall(call.call_id, call.tool, decision.args))
                check_arguments(decision.args, schema)
            except InvalidCall as error:
                raise InvalidDecision(
                    f"the edited arguments of `{call.tool}` do not fit: {error}",
                    hint="correct the arguments and edit again",
                ) from error
        case Respond():
            if not decision.message.strip():
                raise InvalidDecision("a response needs a text", hint="say it with --reason TEXT")
        case Approve() | Reject():
            pass
        case _:  # pragma: no cover
            assert_never(decision)


def _single(answer: Any) -> Mapping[str, Any]:
    """Take one decision out of the lists that clients put around it."""
    if isinstance(answer, Mapping) and isinstance(answer.get("decisions"), list):
        answer = answer["decisions"]
    if isinstance(answer, list):
        if len(answer) != 1:
            raise InvalidDecision(f"one decision answers one call, here are {len(answer)}")
        answer = answer[0]
    if not isinstance(answer, Mapping):
        raise InvalidDecision(f"a decision is an object with a `type`, not {_kind(answer)}")
    return answer


def _edited(answer: Mapping[str, Any], tool: str) -> dict[str, Any]:
    """Return the new arguments, alone or with the name of the tool beside them."""
    action = answer.get("edited_action", answer.get("args"))
    if not isinstance(action, Mapping):
        raise InvalidDecision("an edit carries the new call as `edited_action`")
    named = [key for key in ("name", "action") if key in action]
    # arguments that are given alone may well be called `name` or `action` themselves
    if named and ("args" in action or "edited_action" in answer):
        if any(action[key] != tool for key in named):
            name = _quoted(action[named[0]])
            raise InvalidDecision(f"an edit may not switch from `{tool}` to {name}")
        action = action.get("args")
    if not isinstance(action, dict):
        raise InvalidDecision("the arguments of an edit are a JSON object")
    return action


def _text(value: Any) -> str:
    """Read a message; what the database cannot hold in it is replaced."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidDecision(f"a message is text, not {_kind(value)}")
    if len(value) > MAX_MESSAGE:
        raise InvalidDecision(f"a message of {len(value):,} characters; at most {MAX_MESSAGE:,}")
    return clean_text(value)


def _quoted(value: Any) -> str:
    """Return a name from an answer for a message: short, and with nothing that cannot be stored."""
    if not isinstance(value, str):
        return _kind(value)
    return f"`{clean_text(value[:_MAX_QUOTED])}{'…' if len(value) > _MAX_QUOTED else ''}`"


def _kind(value: Any) -> str:
    return {type(None): "nothing", bool: "true or false", str: "text"}.get(
        type(value), f"`{type(value).__name__}`"
    )
