"""Arguments that reviewers are not shown, and their values in what is said of a call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from hitl_agent.policy import Verdict

HIDDEN = "[hidden by policy]"
"""What stands in the place of an argument that is not shown."""

_SHORT = 6
"""Values shorter than this are masked where they stand alone only: `5` is not masked in `50`."""

_CUT = 40
"""Messages quote the beginning of a long value: what begins like one is masked to its end."""

_MANY = 200
"""With more hidden values than these, whole texts are masked."""


def hidden_fields(redactions: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return the arguments that a reviewer of unknown role is not shown: those of any role."""
    return frozenset(field for fields in redactions.values() for field in fields)


def redacted(args: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """Return arguments as they are shown."""
    return {key: HIDDEN if key in fields else value for key, value in args.items()}


class Mask:
    """Hides arguments of one call, and their values in what is said of it.

    Args:
        args: the arguments.
        redactions: what the policy hides, by role.
    """

    def __init__(self, args: Mapping[str, Any], redactions: Mapping[str, Iterable[str]]) -> None:
        self._args = args
        self._fields = hidden_fields(redactions)

    @property
    def args(self) -> dict[str, Any]:
        """The arguments as they are shown."""
        return redacted(self._args, self._fields)

    def like(self, args: Mapping[str, Any]) -> Mask:
        """Return the mask of the same call with other arguments."""
        return Mask(args, {"*": self._fields})

    def text(self, text: str) -> str:
        """Return a text without the values of hidden arguments."""
        hidden = self._fields & self._args.keys()
        if not hidden or not text:
            return text
        if self._values is None or "malformed" in hidden:
            return HIDDEN
        return self._values.sub(HIDDEN, text)

    def verdict(self, verdict: Verdict) -> Verdict:
        """Return a verdict of which nothing tells the values of hidden arguments."""
        if not self._fields:
            return verdict
        return replace(
            verdict,
            rules=tuple(replace(one, reason=self.text(one.reason)) for one in verdict.rules),
            errors=tuple(self.text(one) for one in verdict.errors),
        )

    def restored(self, edited: Mapping[str, Any]) -> dict[str, Any]:
        """Return edited arguments with what was hidden put back, where it was left as it is.

        Args:
            edited: what the reviewer wrote, who saw the arguments masked.

        Raises:
            ValueError: a mask stands where it hides nothing.
        """
        found: dict[str, Any] = {}
        for key, value in edited.items():
            known = key in self._args
            if known and key in self._fields and value == HIDDEN:
                value = self._args[key]  # noqa: PLW2901
            elif (
                self._fields
                and any(HIDDEN in one for one in _texts(value))
                and not (known and value == self._args[key])
            ):
                raise ValueError(f"`{HIDDEN}` stands in `{key}`, and nothing is behind it")
            found[key] = value
        return found

    @cached_property
    def _values(self) -> re.Pattern[str] | None:
        """What matches the hidden values; None if they are too many."""
        spelled: set[str] = set()
        for key in self._fields & self._args.keys():
            for value in _leaves(self._args[key]):
                spelled.update(_spellings(value))
                if len(spelled) > _MANY:
                    return None
        patterns = [_pattern(one) for one in sorted(spelled - {""}, key=len, reverse=True)]
        return re.compile("|".join(patterns) or "(?!)", re.IGNORECASE)


def masked_entries(
    entries: Iterable[Mapping[str, Any]], calls: Mapping[str, Mask]
) -> list[dict[str, Any]]:
    """Return entries of the record as reviewers are shown them.

    Args:
        entries: of one thread, in their order; what is no entry of a call stays as it is.
        calls: masks of calls whose verdict may not be among the entries.
    """
    masks = dict(calls)
    shown: list[dict[str, Any]] = []
    for entry in entries:
        body, call_id = entry.get("body"), entry.get("call_id")
        if not isinstance(body, Mapping) or not isinstance(call_id, str):
            shown.append(dict(entry))
            continue
        verdict, args = body.get("verdict"), body.get("args")
        if isinstance(verdict, Mapping) and isinstance(args, Mapping):
            masks[call_id] = Mask(args, verdict.get("redactions", {}))
        mask = masks.get(call_id)
        shown.append({**entry, "body": _masked(body, mask)} if mask else dict(entry))
    return shown


_SAID = frozenset({"amount", "claim", "counterparty", "errors", "problem", "reason", "task"})
"""Keys of an entry under which the value of an argument may stand."""


def _masked(value: Any, mask: Mask, *, said: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {
            key: mask.like(item).args
            if key == "args" and isinstance(item, Mapping)
            else item
            if key == "result"
            else _masked(item, mask, said=said or key in _SAID)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(one, mask, said=said) for one in value]
    return mask.text(value) if said and isinstance(value, str) else value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    elif value is not None and not isinstance(value, bool):
        yield value


def _texts(value: Any) -> Iterator[str]:
    return (one for one in _leaves(value) if isinstance(one, str))


def _spellings(value: Any) -> Iterator[str]:
    """Yield how a value may be written in a message."""
    text = str(value)
    yield text
    yield text.removesuffix(".0")
    yield repr(text)[1:-1]
    yield json.dumps(text)[1:-1]
    yield " ".join(
        text.replace("_", " ").replace("-", " ").split()
    )  # a category, as it is compared


def _pattern(text: str) -> str:
    if len(text) > _CUT:
        return f"{re.escape(text)}|{re.escape(text[:_CUT])}[^`]*"
    if len(text) >= _SHORT:
        return re.escape(text)
    return rf"(?<!\w){re.escape(text)}(?!\w)"
