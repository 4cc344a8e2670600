"""What clients send back from an interrupt: what is understood, and what is not."""

from __future__ import annotations

from typing import Any

TOOL = "send"
ARGS = {"to": "x"}
EDITED = {"to": "y"}

APPROVE = {"type": "approve"}
EDIT = {"type": "edit", "edited_action": {"name": TOOL, "args": EDITED}}
REJECT = {"type": "reject", "message": "not now"}
RESPOND = {"type": "respond", "message": "they know"}


def _nested(depth: int) -> Any:
    found: Any = "approve"
    for _ in range(depth):
        found = {"decisions": [found]}
    return found


UNDERSTOOD: dict[str, tuple[Any, str, str]] = {
    # name: what is sent, the decision, its message
    "approve": (APPROVE, "approve", ""),
    "approve, with a reason": ({**APPROVE, "message": "checked"}, "approve", "checked"),
    "approve, in a batch of one": ({"decisions": [APPROVE]}, "approve", ""),
    "approve, in a list": ([APPROVE], "approve", ""),
    "accept, of an agent inbox": ([{"type": "accept", "args": None}], "approve", ""),
    "accept, alone": ({"type": "accept"}, "approve", ""),
    "approve, more than is asked": ({**APPROVE, "id": "?", "args": None}, "approve", ""),
    "approve, with a NUL": ({**APPROVE, "message": "a\0b"}, "approve", "a\ufffdb"),
    "edit": (EDIT, "edit", ""),
    "edit, in a batch of one": ({"decisions": [EDIT]}, "edit", ""),
    "edit, of an agent inbox": (
        [{"type": "edit", "args": {"action": TOOL, "args": EDITED}}],
        "edit",
        "",
    ),
    "edit, arguments alone": ({"type": "edit", "args": EDITED}, "edit", ""),
    "reject": (REJECT, "reject", "not now"),
    "reject, without a reason": ({"type": "reject"}, "reject", ""),
    "reject, in a batch of one": ({"decisions": [REJECT]}, "reject", "not now"),
    "ignore, of an agent inbox": (
        [{"type": "ignore", "args": None}],
        "reject",
        "ignored by the reviewer",
    ),
    "respond": (RESPOND, "respond", "they know"),
    "respond, in a batch of one": ({"decisions": [RESPOND]}, "respond", "they know"),
    "response, of an agent inbox": (
        [{"type": "response", "args": "they know"}],
        "respond",
        "they know",
    ),
}

NOT_UNDERSTOOD: dict[str, Any] = {
    "text": "approve",
    "no text": "",
    "true": True,
    "false": False,
    "nothing": None,
    "zero": 0,
    "a number": 3.5,
    "an empty list": [],
    "an empty object": {},
    "a list of several": [APPROVE, APPROVE],
    "a batch of none": {"decisions": []},
    "a batch of several": {"decisions": [APPROVE, REJECT]},
    "a batch that is no list": {"decisions": "approve"},
    "batches in batches": _nested(60),
    "a list in a list": [[APPROVE]],
    "a type that is none": {"type": "run it"},
    "no type": {"message": "go on"},
    "a type that is a list": {"type": ["approve"]},
    "a type in capitals": {"type": "APPROVE"},
    "a message that is an object": {"type": "approve", "message": {"a": 1}},
    "an edit of nothing": {"type": "edit"},
    "an edit to another tool": {"type": "edit", "edited_action": {"name": "look", "args": EDITED}},
    "an edit to no arguments": {"type": "edit", "edited_action": {"name": TOOL, "args": None}},
    "an edit to what does not fit": {
        "type": "edit",
        "edited_action": {"name": TOOL, "args": {"to": 7, "all": True}},
    },
    "an answer without a text": {"type": "respond"},
    "an answer that is a list": [{"type": "response", "args": ["they", "know"]}],
    "NUL": "\0",
    "a type with NUL": {"type": "approve\0"},
    "an escape sequence": {"type": "\x1b[2J\u202eapprove"},
    "another question's": {"request_id": "nobody's", **APPROVE},
    "10 MB of text": "approve " * 1_310_720,
    "a message of 10 MB": {"type": "approve", "message": "yes " * 2_621_440},
}
