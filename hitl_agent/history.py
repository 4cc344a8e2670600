"""What happened in a thread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hitl_agent import markup
from hitl_agent.review.redaction import masked_entries

_MOST = 300
"""Characters of an entry that a notebook shows."""


class History(list[dict[str, Any]]):
    """Checkpoints, verdicts, decisions and executions of a thread, in the order of time.

    A list of plain JSON objects that a notebook shows as a table. The entries are as they stand on
    the record; what the policy hides from reviewers is hidden in the table alone.
    """

    def _repr_html_(self) -> str:
        rows = [
            [
                markup.text(str(one["at"])[:19].replace("T", " ")),
                markup.text(one.get("call_id") or ""),
                markup.text(one["kind"]),
                markup.text(_cut(_line(one))),
            ]
            for one in masked_entries(self._of_known_calls(), {})
        ]
        return markup.frame(markup.table(("at", "call", "what", ""), rows))

    def _of_known_calls(self) -> list[dict[str, Any]]:
        """Leave out what is said of a call whose verdict, and what it hides, is not among these."""
        known: set[str] = set()
        found = []
        for one in self:
            body, call_id = one.get("body"), str(one.get("call_id"))
            if isinstance(body, Mapping) and isinstance(body.get("verdict"), Mapping):
                known.add(call_id)
            found.append(one if "body" not in one or call_id in known else {**one, "body": {}})
        return found


def told(body: Mapping[str, Any]) -> str:
    """Return the few words of an entry's body that tell it from the next."""
    verdict, result = body.get("verdict"), body.get("result")
    said = [
        body.get("type"),
        verdict.get("tier") if isinstance(verdict, Mapping) else None,
        f"by {body['reviewer'] or 'a resume value'}" if "reviewer" in body else None,
        f"by {body['source']}" if "source" in body else None,
        body.get("message"),
        body.get("problem"),
        body.get("tool"),
        json.dumps(body["args"], ensure_ascii=False) if body.get("args") else None,
        str(result.get("content")) if isinstance(result, Mapping) else None,
    ]
    return " ".join(str(one) for one in said if one)


def _line(entry: Mapping[str, Any]) -> str:
    if entry["kind"] == "checkpoint":
        return f"step {entry['step']} ({entry['source']})"
    return told(entry["body"])


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
