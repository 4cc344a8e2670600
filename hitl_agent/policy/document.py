"""What `policies.yaml` may say.

A tool is named by its exact name, or by a pattern in which `*` stands for any characters and `?`
for one. For the rules under `tools`, an exact name comes before every pattern; among patterns that
match, each is applied and the strictest outcome holds. `never_run` and `always_gate` hold whatever
`tools` says. So no entry, added anywhere, lets a pattern run more than it did: only an exact name
under `tools` can say less than a pattern does.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from hitl_agent.documents import Complaint, DocumentModel, show

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1
MAX_SECONDS = 366 * 24 * 3600
MAX_AMOUNT = 1e15
"""Largest limit; every amount up to it with one decimal place is kept exactly."""

Decision: TypeAlias = Literal["approve", "edit", "reject", "respond"]
DECISIONS: tuple[Decision, ...] = ("approve", "edit", "reject", "respond")
"""What a reviewer can answer, unless the policy says less."""

_PATTERN = re.compile(r"[A-Za-z0-9_.:/*?-]{1,128}")


def _pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise ValueError(
            f"{show(text)} is no tool name; write 1 to 128 letters, digits and `_.:/-`,"
            " with `*` for any characters and `?` for one"
        )
    return text


def _version(number: int) -> int:
    if number != VERSION:
        raise ValueError(f"`version` is {show(number)}; this release reads version {VERSION}")
    return number


ToolPattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
Seconds: TypeAlias = Annotated[int, Field(ge=1, le=MAX_SECONDS)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Defaults(DocumentModel):
    """What holds for every tool that says nothing else.

    Attributes:
        sla_seconds: within how many seconds a review is due; no deadline if it is not given.
        grant_ttl_seconds: how long a permission stays usable.
    """

    sla_seconds: Seconds | None = None
    grant_ttl_seconds: Seconds = 86_400


class ToolRule(DocumentModel):
    """What holds for the tools of one name or pattern.

    Attributes:
        effect: `read` changes nothing; `write` can be undone; `irreversible` cannot.
        amount: the argument that holds the amount.
        max_auto_approve_amount: up to and including it a write runs; above, a person decides.
        auto_approve_threshold: from this confidence on a write runs.
        soft_review_threshold: from this confidence on a write runs and is looked at afterwards.
        sla_seconds: within how many seconds a review is due.
        allowed_decisions: what a reviewer can answer.
        reason: why the tool is watched, for reviewers.
    """

    effect: Literal["read", "write", "irreversible"]
    amount: str = Field(default="amount", min_length=1)
    max_auto_approve_amount: Annotated[float, Field(ge=0, le=MAX_AMOUNT)] | None = None
    auto_approve_threshold: Fraction | None = None
    soft_review_threshold: Fraction | None = None
    sla_seconds: Seconds | None = None
    allowed_decisions: tuple[Decision, ...] = Field(default=DECISIONS, strict=False)
    reason: str = Field(default="", max_length=1000)

    @model_validator(mode="after")
    def _check(self) -> ToolRule:
        if not self.allowed_decisions:
            message = "`allowed_decisions` is empty; name one, or take the key out to allow all"
            raise Complaint(message, "allowed_decisions")
        _refuse_repeats(self.allowed_decisions, "allowed_decisions")
        for key in ("max_auto_approve_amount", "auto_approve_threshold", "soft_review_threshold"):
            if self.effect != "write" and getattr(self, key) is not None:
                raise Complaint(f"`{key}` has no effect here: {_ALWAYS[self.effect]}", key)
        auto, soft = self.auto_approve_threshold, self.soft_review_threshold
        if auto is not None and soft is not None and soft > auto:
            raise Complaint(
                f"`soft_review_threshold` {show(soft)} is above `auto_approve_threshold`"
                f" {show(auto)}; less confidence cannot mean less review",
                "soft_review_threshold",
            )
        return self


_ALWAYS = {
    "read": "a tool with `effect: read` always runs; write `effect: write` to limit it",
    "irreversible": "a tool with `effect: irreversible` is always decided by a person;"
    " take the key out",
}


class PolicyDocument(DocumentModel):
    """The whole of `policies.yaml`.

    Attributes:
        version: of this format.
        always_gate: tools of which a person decides every call.
        never_run: tools that never run.
        defaults: what holds for every tool that says nothing else.
        tools: what holds for one tool, or for all that match a pattern.
    """

    version: Annotated[int, AfterValidator(_version)]
    always_gate: tuple[ToolPattern, ...] = Field(default=(), strict=False)
    never_run: tuple[ToolPattern, ...] = Field(default=(), strict=False)
    defaults: Defaults = Defaults()
    tools: dict[ToolPattern, ToolRule] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> PolicyDocument:
        _refuse_repeats(self.always_gate, "always_gate")
        _refuse_repeats(self.never_run, "never_run")
        seen: dict[str, str] = {}
        for pattern in self.tools:
            if (other := seen.setdefault(_normal(pattern), pattern)) != pattern:
                message = f"`{pattern}` matches the same tools as `{other}`; keep one"
                raise Complaint(message, "tools", pattern, at_key=True)
        return self


def matches(pattern: str, tool: str) -> bool:
    """Return whether `tool` is the name `pattern`, or fits it; upper and lower case differ."""
    return fnmatchcase(tool, pattern)  # patterns hold no `[`, which it would read as a set


def is_exact(pattern: str) -> bool:
    """Return whether `pattern` is a name, without wildcards."""
    return "*" not in pattern and "?" not in pattern


def _refuse_repeats(items: Iterable[str], key: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(items):
        if _normal(item) in seen:
            raise Complaint(f"`{item}` is listed twice in `{key}`; keep one", key, index)
        seen.add(_normal(item))


def _normal(pattern: str) -> str:
    """Return one spelling for patterns that match the same names: `*?` is `?*`, `**` is `*`."""
    return re.sub(r"[*?]*\*[*?]*", lambda run: "?" * run[0].count("?") + "*", pattern)
