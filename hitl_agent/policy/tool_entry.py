"""What the policy says of one tool, or of all whose names fit a pattern."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hitl_agent.documents import Complaint, show
from hitl_agent.policy.model import (
    MAX_SECONDS,
    Label,
    Labels,
    PolicyModel,
    Seconds,
    refuse_repeats,
)

Decision: TypeAlias = Literal["approve", "edit", "reject", "respond"]
DECISIONS: tuple[Decision, ...] = ("approve", "edit", "reject", "respond")
"""What a reviewer can answer, unless the policy says less."""

MAX_TEXT = 4000
"""Longest expression, in characters."""

PERMISSIONS = ("auto_approve", "soft_review")
"""Tiers under which a call runs: a rule that names one is a permission."""

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _rule_id(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{show(text)} is no id; write 1 to 128 letters, digits and `_.:/-`, without spaces"
        )
    return text


# CEL keeps these for itself
_RESERVED = re.compile(
    "as|break|const|continue|else|false|for|function|if|import|in|let|loop|namespace|null|package"
    "|return|true|var|void|while"
)


def _identifier(text: str) -> str:
    if _RESERVED.fullmatch(text):
        raise ValueError(f"{show(text)} is a word of the language; conditions cannot name it")
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError(
            f"{show(text)} cannot be named in a condition; write letters, digits and `_`,"
            " a letter first"
        )
    return text


def _by_role(value: object) -> object:
    """A list of fields hides them from everyone."""
    return {"*": value} if isinstance(value, list) else value


Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Reason: TypeAlias = Annotated[str, Field(max_length=1000)]
Identifier: TypeAlias = Annotated[str, AfterValidator(_identifier)]


class ReviewersWanted(PolicyModel):
    """Who has to decide.

    Attributes:
        min: how many different people, 1 to 10.
        roles: roles that have to be among them, each at least once.
        reject: whether `one` rejection decides, or a `majority`: more than half of `min`.
    """

    min: Annotated[int, Field(ge=1, le=10)] = 1
    roles: tuple[Label, ...] = Field(default=(), strict=False)
    reject: Literal["one", "majority"] = "one"

    @model_validator(mode="after")
    def _check(self) -> ReviewersWanted:
        refuse_repeats(self.roles, "roles")
        return self


class Span(PolicyModel):
    """A span of the past, of which conditions see `history.NAME.count` and `history.NAME.sum`.

    Attributes:
        by: `tool` counts the calls of this tool; `actor` those of any tool on behalf of the same
            actor; `counterparty` those of any tool to the same counterparty. Calls that ran or
            were permitted to are counted, and their amounts are summed.
        seconds: how long the span is, up to now.
    """

    by: Literal["tool", "actor", "counterparty"]
    seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)]


class Rule(PolicyModel):
    """A rule: when it applies, the call gets at least this tier, or this permission.

    Attributes:
        id: its name in verdicts and tests; unique within the tool's entry.
        when: a CEL condition.
        tier: `auto_approve` and `soft_review` permit the call; `hard_gate` and `block` stop it.
        reviewers: who has to decide when the rule applies and the call is gated.
        reason: for a person.
    """

    id: Annotated[str, AfterValidator(_rule_id)]
    when: Text
    tier: Literal["auto_approve", "soft_review", "hard_gate", "block"]
    reviewers: ReviewersWanted | None = None
    reason: Reason = ""

    @model_validator(mode="after")
    def _check(self) -> Rule:
        if self.reviewers and self.tier != "hard_gate":
            message = f"`reviewers` has no effect on `tier: {self.tier}`; write `tier: hard_gate`"
            raise Complaint(message, "reviewers", at_key=True)
        return self

    @property
    def permits(self) -> bool:
        """Whether it lets a call run."""
        return self.tier in PERMISSIONS


class ToolEntry(PolicyModel):
    """What holds for the tools of one name or pattern.

    Attributes:
        effect: `read` changes nothing; `write` can be undone; `irreversible` cannot.
        action_type: whose escalation policy holds; without it, that of the tool's own name.
        amount: a CEL expression over `args`, or an argument's name; without it, `amount`.
        category: the same for the category.
        currency: the same for the currency, or an ISO 4217 code.
        counterparty: the same for who receives; only for `history`.
        open_world: whether its arguments leave the house; a read is then no longer free.
        untrusted_output: whether its result may carry other people's text.
        kinds: arguments that are `sql`, `url`, `path` or `email`; conditions see facts of them.
        history: spans of the past that conditions see.
        allowed_decisions: what a reviewer can answer.
        redact: arguments hidden from reviewers, by role; `*` is every role.
        reviewers: who has to decide when a call is gated.
        sla: within how many seconds a review is due.
        reason: why the tool is watched, for reviewers.
        rules: when which tier holds.
    """

    effect: Literal["read", "write", "irreversible"] | None = None
    action_type: Label | None = None
    amount: Text | None = None
    category: Text | None = None
    currency: Text | None = None
    counterparty: Text | None = None
    open_world: bool | None = None
    untrusted_output: bool | None = None
    kinds: dict[Identifier, Literal["sql", "url", "path", "email"]] = Field(default_factory=dict)
    history: dict[Identifier, Span] = Field(default_factory=dict)
    allowed_decisions: tuple[Decision, ...] = Field(default=DECISIONS, strict=False)
    redact: Annotated[dict[Label, Labels], BeforeValidator(_by_role)] = Field(default_factory=dict)
    reviewers: ReviewersWanted | None = None
    sla: Seconds | None = None
    reason: Reason = ""
    rules: tuple[Rule, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _check(self) -> ToolEntry:
        if not self.allowed_decisions:
            message = "`allowed_decisions` is empty; name one, or take the key out to allow all"
            raise Complaint(message, "allowed_decisions")
        refuse_repeats(self.allowed_decisions, "allowed_decisions")
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.id in seen:
                message = f"rule `{rule.id}` is there twice; give it another id"
                raise Complaint(message, "rules", index, "id")
            seen.add(rule.id)
            if rule.permits and self.effect == "irreversible":
                raise Complaint(
                    f"rule `{rule.id}` permits what is irreversible, and a person always decides"
                    " that; take the rule out",
                    "rules",
                    index,
                    "tier",
                )
        return self
