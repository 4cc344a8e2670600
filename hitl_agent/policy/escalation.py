"""Escalation policies: thresholds, limits and categories of one type of action."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from hitl_agent.documents import Complaint, DocumentModel, closest, show
from hitl_agent.policy.currencies import CURRENCIES
from hitl_agent.policy.model import Fraction, Label, PolicyModel, Seconds

MAX_AMOUNT = 1e15
"""Largest limit; every amount up to it with one decimal place is kept exactly."""

Limits: TypeAlias = dict[str, Decimal]
"""Amounts by currency: an ISO 4217 code in upper case, or nothing for an amount of any currency."""

AUTO_LIMIT = "max_auto_approve_amount"
SECOND_LIMIT = "require_two_reviewers_above"
_LIMIT = re.compile(rf"({AUTO_LIMIT}|{SECOND_LIMIT})(?:_([a-z]{{3}}))?")
_SUFFIX = re.compile(r"_[a-zA-Z]{3}$")


class EscalationPolicy(PolicyModel):
    """What holds for the calls of one type of action.

    Two more keys set limits, with a currency (`max_auto_approve_amount_eur`) or without:
    `max_auto_approve_amount`, above which a person decides, and `require_two_reviewers_above`,
    above which two do.

    Attributes:
        action_type: which calls: those of tools with this `action_type`, or of this name.
        auto_approve_threshold: from this confidence on a call runs.
        soft_review_threshold: from this confidence on it runs and is looked at afterwards.
        categories_always_review: categories of which a person decides every call.
        irreversible_actions_always_gate: `true` says what holds anyway; a list names tools and
            action types, wherever they stand, and categories of this type, that cannot be undone.
        sla_seconds: within how many seconds a review is due.
        audit: read and not used: every call is on the record.
    """

    model_config = ConfigDict(extra="allow")

    action_type: Label
    auto_approve_threshold: Fraction | None = None
    soft_review_threshold: Fraction | None = None
    categories_always_review: Annotated[tuple[Label, ...], Field(strict=False)] | None = None
    irreversible_actions_always_gate: (
        bool | Annotated[tuple[Label, ...], Field(strict=False)] | None
    ) = None
    sla_seconds: Seconds | None = None
    audit: bool | str | None = None

    @model_validator(mode="after")
    def _check(self) -> EscalationPolicy:
        for key, value in (self.model_extra or {}).items():
            _check_limit(key, value)
        auto, soft = self.auto_approve_threshold, self.soft_review_threshold
        if auto is not None and soft is not None and soft > auto:
            raise Complaint(
                f"`soft_review_threshold` {show(soft)} is above `auto_approve_threshold`"
                f" {show(auto)}; less confidence cannot mean less review",
                "soft_review_threshold",
            )
        for currency, second in self.limits(SECOND_LIMIT).items():
            first = self.limits(AUTO_LIMIT).get(currency)
            if first is not None and second < first:
                key = f"{SECOND_LIMIT}_{currency.lower()}".rstrip("_")
                raise Complaint(
                    f"`{key}` {show(second)} is below `{AUTO_LIMIT}` {show(first)}; a call that"
                    " runs by itself cannot want two reviewers",
                    key,
                )
        return self

    @cached_property
    def irreversible(self) -> tuple[str, ...]:
        """The names and categories that are listed as what cannot be undone."""
        listed = self.irreversible_actions_always_gate
        return listed if isinstance(listed, tuple) else ()

    def limits(self, key: str) -> Limits:
        """Return the limits of one key by currency."""
        found = {}
        for written, value in (self.model_extra or {}).items():
            match = _LIMIT.fullmatch(written)
            if match and match[1] == key:
                found[(match[2] or "").upper()] = Decimal(repr(value))
        return found


def _check_limit(key: str, value: Any) -> None:
    match = _LIMIT.fullmatch(key)
    if not match:
        known = [*EscalationPolicy.model_fields, AUTO_LIMIT, SECOND_LIMIT]
        raise Complaint(f"unknown key {show(key)}{_hint(key, known)}", key, at_key=True)
    if match[2] and match[2].upper() not in CURRENCIES:
        raise Complaint(
            f"{show(match[2])} in {show(key)} is no currency; write an ISO 4217 code such as"
            f" `{match[1]}_eur`, or `{match[1]}` for any",
            key,
            at_key=True,
        )
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_AMOUNT:
        raise Complaint(
            f"{show(key)} is {show(value)}; it should be a number from 0 to {MAX_AMOUNT:.0e}", key
        )


def _hint(key: str, known: list[str]) -> str:
    suffix = _SUFFIX.search(key)
    stem = key[: suffix.start()] if suffix else key
    near, base = closest(key, known), closest(stem, [AUTO_LIMIT, SECOND_LIMIT])
    if suffix and base and suffix[0][1:].upper() in CURRENCIES:
        near = base + suffix[0].lower()
    if near:
        return f", did you mean `{near}`?"
    return f"; known here: {', '.join(f'`{one}`' for one in known)}"


class ReviewSettings(PolicyModel):
    """How reviews are done.

    Attributes:
        max_queue_depth: read and not used yet.
        reviewer_session_limit_minutes: read and not used yet.
        min_reviewers_per_task: how many people decide a gated call.
        high_stakes_min_reviewers: how many decide what is irreversible, or above the second amount.
        inter_rater_agreement_threshold: read and not used yet.
    """

    max_queue_depth: Annotated[int, Field(ge=1)] | None = None
    reviewer_session_limit_minutes: Annotated[float, Field(gt=0)] | None = None
    min_reviewers_per_task: Annotated[int, Field(ge=1, le=10)] = 1
    high_stakes_min_reviewers: Annotated[int, Field(ge=1, le=10)] = 1
    inter_rater_agreement_threshold: Fraction | None = None


class FeedbackPipeline(DocumentModel):
    """What becomes of decisions. All of it is read and not used yet.

    Attributes:
        batch_size: decisions in one batch.
        retrain_trigger: decisions after which calibration is fitted anew.
        min_agreement_for_training: below it a decision is no label.
        store: where decisions are kept.
        audit_log: where they are logged.
    """

    batch_size: Annotated[int, Field(ge=1)] | None = None
    retrain_trigger: int | float | str | None = None
    min_agreement_for_training: Fraction | None = None
    store: str | None = None
    audit_log: bool | str | None = None
