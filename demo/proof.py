"""The proof: what the record says was done is there, each once, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from demo.database import Refund
from demo.mail import Mail
from demo.terminal import DemoFailed
from hitl_agent import ReviewRequest

Effects = Sequence[tuple[str, str]]
"""What is there: the key by which a result names it, and a few words."""

_KEYS = ("refund_id", "message_id")
_SAID = {"approve": "approved", "edit": "edited", "reject": "rejected", "respond": "answered"}

Entries = Sequence[Mapping[str, Any]]


def effects(refunds: Sequence[Refund], mails: Sequence[Mail]) -> Effects:
    """Return the refunds and mails as effects."""
    return [
        *(
            (str(one.refund_id), f"refund of {one.amount} {one.currency} for {one.order_id}")
            for one in refunds
        ),
        *((one.message_id, f"e-mail to {one.to}, `{one.subject}`") for one in mails),
    ]


def once_each(there: Effects, history: Entries) -> None:
    """Check that what is there and what the record says was done are the same, each once.

    Raises:
        DemoFailed: they differ.
    """
    found = sorted(key for key, _ in there)
    if found != sorted(_done(history)) or len(set(found)) != len(found):
        done = ", ".join(_done(history)) or "nothing"
        raise DemoFailed(f"there is {', '.join(found) or 'nothing'}; the record says {done}")


def outcome(there: Effects, history: Entries, waiting: Sequence[ReviewRequest]) -> Iterator[str]:
    """Yield a line for each call that was to have an effect: what came of it, and by whom."""
    words = dict(there)
    decided = {
        one["call_id"]: f"{_SAID[one['body']['type']]} by {one['body']['reviewer']}"
        for one in history
        if one["kind"] == "decision"
    }
    done = _done(history)
    for key, call_id in done.items():
        yield f"once     {words[key]}: {decided.get(call_id, 'within the limit')}"
    for call_id, said in decided.items():
        if call_id not in done.values():
            yield f"never    {call_id}: {said}"
    for request in waiting:
        yield f"not yet  {request.call.call_id}: it still waits for a person"


def _done(history: Entries) -> dict[str, str]:
    """Return the calls that had an effect, by the effect's key."""
    done: dict[str, str] = {}
    for entry in history:
        if entry["kind"] == "succeeded":
            result = json.loads(entry["body"]["result"]["content"])
            done |= {str(result[key]): entry["call_id"] for key in _KEYS if key in result}
    return done
