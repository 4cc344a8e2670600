"""What the policy says about one call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeVar

E = TypeVar("E", bound=StrEnum)


class Tier(StrEnum):
    """How much oversight a call gets, from the least to the most.

    Tiers compare by severity, so `max` gives the strictest.
    """

    AUTO_APPROVE = "auto_approve"
    SOFT_REVIEW = "soft_review"
    HARD_GATE = "hard_gate"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """0 for the least oversight, 3 for the most."""
        return tuple(Tier).index(self)

    # a StrEnum would compare by the alphabet, in which `soft_review` is the greatest;
    # text that names no tier raises ValueError

    def __lt__(self, other: str) -> bool:
        return self.severity < Tier(other).severity

    def __le__(self, other: str) -> bool:
        return self.severity <= Tier(other).severity

    def __gt__(self, other: str) -> bool:
        return self.severity > Tier(other).severity

    def __ge__(self, other: str) -> bool:
        return self.severity >= Tier(other).severity


class Effect(StrEnum):
    """What a call does to the world; `unknown` if the policy does not name its tool."""

    READ = "read"
    WRITE = "write"
    IRREVERSIBLE = "irreversible"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RuleHit:
    """A rule that applies to the call.

    Attributes:
        id: stable name of the rule, with the pattern that matched where it has one.
        tier: the oversight that this rule asks for.
        reason: a sentence for a person.
    """

    id: str
    tier: Tier
    reason: str


@dataclass(frozen=True, slots=True)
class Reviewers:
    """Who has to decide.

    Attributes:
        min: how many distinct people.
        roles: roles that have to be among them, each at least once; anyone if empty.
        reject: whether `one` rejection decides, or a `majority` of the people wanted; None, where
            nothing is said, is one.
    """

    min: int = 0
    roles: tuple[str, ...] = ()
    reject: Literal["one", "majority"] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen with one call, and why.

    Attributes:
        tier: the strictest that any rule asks for.
        effect: what the policy says the tool does.
        rules: every rule that applies, strictest first: those of the verdict's tier lead.
        errors: what went wrong while judging; any error means a hard gate at least.
        reviewers: who has to decide before the call runs.
        sla_seconds: within how many seconds a review is due, or None for no deadline.
        grant_ttl_seconds: how long a permission for this call stays usable.
        allowed_decisions: what a reviewer can answer.
        policy_digest: of the policy that was applied.
        redactions: arguments hidden from reviewers, by role; `*` is every role.
    """

    tier: Tier
    effect: Effect
    rules: tuple[RuleHit, ...]
    errors: tuple[str, ...]
    reviewers: Reviewers
    sla_seconds: int | None
    grant_ttl_seconds: int
    allowed_decisions: tuple[str, ...]
    policy_digest: str
    redactions: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences for a person, those behind the verdict first, none twice."""
        return tuple(dict.fromkeys(rule.reason for rule in self.rules))

    def _repr_html_(self) -> str:
        # loaded in notebooks alone
        from hitl_agent.policy.verdict_html import verdict_html  # noqa: PLC0415

        return verdict_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain JSON data."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Return the verdict that `to_json` made.

        Raises:
            ValueError: `data` is no verdict.
        """
        # by hand: pydantic takes longer to load than `hitl list` takes to answer
        sla = _value(data, "sla_seconds")
        return cls(
            tier=_choice(data, "tier", Tier),
            effect=_choice(data, "effect", Effect),
            rules=tuple(_rule(item) for item in _list(data, "rules")),
            errors=_texts(data, "errors"),
            reviewers=_reviewers(_value(data, "reviewers")),
            sla_seconds=None if sla is None else _number(data, "sla_seconds"),
            grant_ttl_seconds=_number(data, "grant_ttl_seconds"),
            allowed_decisions=_texts(data, "allowed_decisions"),
            policy_digest=_text(_value(data, "policy_digest"), "policy_digest"),
            redactions=_redactions(data.get("redactions", {})),  # older verdicts have none
        )


def _rule(data: Any) -> RuleHit:
    return RuleHit(
        _text(_value(data, "id"), "id"),
        _choice(data, "tier", Tier),
        _text(_value(data, "reason"), "reason"),
    )


def _reviewers(data: Any) -> Reviewers:
    filled = {"min": 0, "roles": [], "reject": None, **_object(data)}
    reject = filled["reject"]
    if reject not in (None, "one", "majority"):
        raise _wrong("reject", "neither `one` nor `majority`")
    return Reviewers(_number(filled, "min"), _texts(filled, "roles"), reject)


def _redactions(data: Any) -> dict[str, tuple[str, ...]]:
    fields = _object(data)
    return {_text(role, "redactions"): _texts(fields, role) for role in fields}


def _object(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"validation error: a `{type(data).__name__}` where an object belongs")  # noqa: TRY004
    return data


def _value(data: Any, key: str) -> Any:
    if key not in _object(data):
        raise ValueError(f"validation error: `{key}` is missing")
    return data[key]


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise _wrong(key, "no text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(key, "no text that can be stored") from error
    return str(value)


def _list(data: Any, key: str) -> list[Any] | tuple[Any, ...]:
    value = _value(data, key)
    if not isinstance(value, list | tuple):
        raise _wrong(key, "no list")
    return value


def _texts(data: Any, key: str) -> tuple[str, ...]:
    return tuple(_text(item, key) for item in _list(data, key))


def _number(data: Any, key: str) -> int:
    value = _value(data, key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(key, "no whole number")
    return value


def _choice(data: Any, key: str, kind: type[E]) -> E:
    value = _text(_value(data, key), key)
    if value not in tuple(str(each) for each in kind):
        raise _wrong(key, f"no {kind.__name__.lower()}")
    return kind(value)


def _wrong(key: str, what: str) -> ValueError:
    return ValueError(f"validation error: `{key}` of a verdict is {what}")
