"""What `policies.yaml` may say.

A tool is named by its exact name, or by a pattern in which `*` stands for any characters and `?`
for one. Every entry under `tools` that fits a tool applies to it. What describes the tool (its
effect, its amount) is taken from the exact name where that says it, else the strictest of the
patterns; what is asked for (rules, reviewers, redactions) adds up. `never_run` and `always_gate`
hold whatever `tools` says. So no entry with a pattern lets a tool that is described run more than
it did, except by a rule that permits it in so many words.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from hitl_agent.documents import Complaint, DocumentModel, show
from hitl_agent.policy.escalation import EscalationPolicy, FeedbackPipeline, ReviewSettings
from hitl_agent.policy.model import Fraction, Label, PolicyModel, Seconds
from hitl_agent.policy.people import person
from hitl_agent.policy.tool_entry import Reason, Text, ToolEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1

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


def _people(named: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    if not named:
        raise ValueError("`reviewers` names nobody; name people, or take the key out")
    seen: dict[str, str] = {}
    for name, roles in named.items():
        who = person(name)
        if not who:
            raise Complaint(f"{show(name)} names nobody; write a name", name, at_key=True)
        if (other := seen.setdefault(who, name)) != name:
            message = f"{show(name)} is the same person as {show(other)}; keep one"
            raise Complaint(message, name, at_key=True)
        for index, role in enumerate(roles):
            if role in roles[:index]:
                raise Complaint(f"{show(role)} is listed twice; keep one", name, index)
    return named


ToolPattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
Roles: TypeAlias = Annotated[tuple[Label, ...], Field(strict=False)]
People: TypeAlias = Annotated[dict[Label, Roles], AfterValidator(_people)]


class Defaults(DocumentModel):
    """What holds for every tool that says nothing else.

    Attributes:
        sla_seconds: within how many seconds a review is due; no deadline if it is not given.
        grant_ttl_seconds: how long a permission stays usable.
        workspace: the directory that `path` arguments are held against.
    """

    sla_seconds: Seconds | None = None
    grant_ttl_seconds: Seconds = 86_400
    workspace: Text = "."


class PastGiven(DocumentModel):
    """What a test assumes of a span of the past.

    Attributes:
        count: calls.
        sum: of their amounts.
    """

    count: Annotated[int, Field(ge=0)] = 0
    sum: Annotated[float, Field(ge=0)] = 0.0


class Expected(PolicyModel):
    """What a test expects.

    Attributes:
        tier: of the verdict.
        rule: id of a rule that has to be among those that apply with this tier.
    """

    tier: Literal["auto_approve", "soft_review", "hard_gate", "block"]
    rule: Text | None = None


class PolicyTest(DocumentModel):
    """A call, and what is expected of it.

    Attributes:
        name: what the test shows.
        tool: the tool's name.
        args: the call's arguments.
        confidence: how sure the planner is, in [0, 1]; not known without it.
        category: a category that is told beside the call's own.
        actor: who the agent acts for.
        now: the time, in ISO 8601 with a zone.
        untrusted: tools that brought untrusted text into the thread before.
        history: what happened in the spans of the past; nothing without it.
        expect: what is expected.
    """

    name: Reason = ""
    tool: Text
    args: dict[str, object] = Field(default_factory=dict)
    confidence: Fraction | None = None
    category: str | None = None
    actor: str | None = None
    now: str | None = None
    untrusted: tuple[str, ...] = Field(default=(), strict=False)
    history: dict[str, PastGiven] = Field(default_factory=dict)
    expect: Expected


class PolicyDocument(DocumentModel):
    """The whole of `policies.yaml`.

    Attributes:
        version: of this format.
        escalation_policies: thresholds, limits and categories per type of action.
        review_settings: how reviews are done.
        feedback_pipeline: what becomes of decisions.
        audit_log: read and not used: the record is in the database.
        always_gate: tools of which a person decides every call.
        never_run: tools that never run.
        reviewers: people and their roles; with it only they decide. Empty: anybody with a name.
        defaults: what holds for every tool that says nothing else.
        tools: what holds for one tool, or for all that match a pattern.
        tests: calls, and what is expected of them.
    """

    version: Annotated[int, AfterValidator(_version)] = VERSION
    escalation_policies: tuple[EscalationPolicy, ...] = Field(default=(), strict=False)
    review_settings: ReviewSettings = ReviewSettings()
    feedback_pipeline: FeedbackPipeline = FeedbackPipeline()
    audit_log: bool | str | None = None
    always_gate: tuple[ToolPattern, ...] = Field(default=(), strict=False)
    never_run: tuple[ToolPattern, ...] = Field(default=(), strict=False)
    reviewers: People = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    tools: dict[ToolPattern, ToolEntry] = Field(default_factory=dict)
    tests: tuple[PolicyTest, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _check(self) -> PolicyDocument:
        _refuse_same(self.always_gate, "always_gate")
        _refuse_same(self.never_run, "never_run")
        seen: dict[str, str] = {}
        for pattern in self.tools:
            if (other := seen.setdefault(_normal(pattern), pattern)) != pattern:
                message = f"`{pattern}` matches the same tools as `{other}`; keep one"
                raise Complaint(message, "tools", pattern, at_key=True)
        types: set[str] = set()
        for index, one in enumerate(self.escalation_policies):
            if one.action_type in types:
                message = f"{show(one.action_type)} has an escalation policy already; keep one"
                raise Complaint(message, "escalation_policies", index, "action_type")
            types.add(one.action_type)
        return self

    @cached_property
    def patterns(self) -> tuple[tuple[str, ToolEntry], ...]:
        """The entries under `tools` that name no single tool."""
        return tuple(item for item in self.tools.items() if not is_exact(item[0]))


def matches(pattern: str, tool: str) -> bool:
    """Return whether `tool` is the name `pattern`, or fits it; upper and lower case differ."""
    return fnmatchcase(tool, pattern)  # patterns hold no `[`, which it would read as a set


def is_exact(pattern: str) -> bool:
    """Return whether `pattern` is a name, without wildcards."""
    return "*" not in pattern and "?" not in pattern


def meet(one: str, other: str) -> bool:
    """Return whether some name fits both patterns."""
    if is_exact(one) or is_exact(other):
        return matches(one, other) or matches(other, one)

    @cache
    def rest(i: int, j: int) -> bool:
        if i == len(one) or j == len(other):
            return not (one[i:] + other[j:]).strip("*")
        if one[i] == "*":
            return rest(i + 1, j) or rest(i, j + 1)
        if other[j] == "*":
            return rest(i, j + 1) or rest(i + 1, j)
        return (one[i] == other[j] or "?" in {one[i], other[j]}) and rest(i + 1, j + 1)

    return rest(0, 0)


def _refuse_same(items: Iterable[str], key: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(items):
        if _normal(item) in seen:
            raise Complaint(f"`{item}` is listed twice in `{key}`; keep one", key, index)
        seen.add(_normal(item))


def _normal(pattern: str) -> str:
    """Return one spelling for patterns that match the same names: `*?` is `?*`, `**` is `*`."""
    return re.sub(r"[*?]*\*[*?]*", lambda run: "?" * run[0].count("?") + "*", pattern)
