"""Whether the votes on a question decide it: one pure rule over the set of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hitl_agent.calls import clean_text
from hitl_agent.errors import InvalidDecision
from hitl_agent.policy import Reviewers
from hitl_agent.policy.people import person

MAX_REVIEWER = 200
"""Longest name of a reviewer, in characters."""

_SEVERITY = ("approve", "edit", "respond", "reject")
"""Answers; of several by the same person the last of these counts."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What one person answered to one question.

    Attributes:
        reviewer: who; None when nobody says.
        type: `approve`, `edit`, `reject` or `respond`.
        message: why, or the answer.
        channel: the way it came: `cli`, `runtime`, `resume`.
        roles: those that the policy gives the person.
        voted_at: when.
    """

    reviewer: str | None
    type: str
    message: str
    channel: str
    roles: tuple[str, ...]
    voted_at: datetime

    @property
    def person(self) -> str:
        """Who voted, in the one spelling by which people are told apart; empty for nobody."""
        return person(self.reviewer or "")

    def to_json(self) -> dict[str, Any]:
        """Return the vote as plain JSON."""
        return {
            "reviewer": self.reviewer,
            "type": self.type,
            "message": self.message,
            "channel": self.channel,
            "roles": list(self.roles),
            "voted_at": self.voted_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the votes on a question come to.

    Attributes:
        decision: `approve`, `edit`, `reject` or `respond`; None while the question is open.
        votes: those that count, one of each person, in the order of time.
        wanted: how many people have to approve.
        missing: roles that nobody who approved has.
    """

    decision: str | None
    votes: tuple[Vote, ...]
    wanted: int
    missing: tuple[str, ...]

    def of(self, type_: str) -> tuple[Vote, ...]:
        """Return the votes of one type."""
        return tuple(one for one in self.votes if one.type == type_)

    @property
    def progress(self) -> str:
        """How far the approval is, for a person: `1 of 2; still wanted: 1 more`."""
        approved, against = len(self.of("approve")), len(self.of("reject"))
        text = f"{approved} of {self.wanted}"
        if against:
            text += f", {against} against"
        more = self.wanted - approved
        still = [f"{more} more"] if more > len(self.missing) else []
        still += [f"someone with role {one}" for one in self.missing]
        return f"{text}; still wanted: {', '.join(still)}" if still else text


def quorum(
    wanted: Reviewers, votes: Iterable[Vote], *, requesters: Collection[str] = ()
) -> Outcome:
    """Return what votes come to; their order does not matter.

    In this order:

    1. who asked for the call does not count, nor what is no answer; nor does an answer without a
       name where several people or a role are wanted, or where it is known who asked;
    2. one rejection rejects; under `reject: majority` more than half of the people wanted do;
    3. an answer in the tool's place, and an edit, end the question;
    4. as many people as are wanted approve, if every role is found among them.

    Of several answers by the same person the strictest counts, with the roles that all have.

    Args:
        wanted: who has to decide; fewer than one person counts as one.
        votes: what was answered, all on the same request.
        requesters: who asked for the call.
    """
    least = max(wanted.min, 1)
    asked = {person(one) for one in requesters}
    nameless = least == 1 and not wanted.roles and not asked
    cast: dict[str, Vote] = {}
    for vote in sorted(votes, key=_order):
        who = vote.person
        if vote.type not in _SEVERITY or who in asked or not (who or nameless):
            continue
        held = set(cast[who].roles).intersection(vote.roles) if who in cast else set(vote.roles)
        cast[who] = replace(vote, roles=tuple(sorted(held)))
    counted = tuple(sorted(cast.values(), key=lambda one: (one.voted_at, one.person)))
    types = [one.type for one in counted]
    held = {role for one in counted if one.type == "approve" for role in one.roles}
    missing = tuple(role for role in wanted.roles if role not in held)
    decision = None
    if types.count("reject") >= (least // 2 + 1 if wanted.reject == "majority" else 1):
        decision = "reject"
    elif "respond" in types:
        decision = "respond"
    elif "edit" in types:
        decision = "edit"
    elif types.count("approve") >= least and not missing:
        decision = "approve"
    return Outcome(decision, counted, least, missing)


def admitted(
    reviewer: str | None,
    answer: str,
    wanted: Reviewers,
    *,
    requesters: Collection[str],
    people: Mapping[str, Sequence[str]] | None,
) -> tuple[str | None, tuple[str, ...]]:
    """Return the name under which a vote is cast, and the roles that it brings.

    Args:
        reviewer: who votes; None when nobody says.
        answer: `approve`, `edit`, `reject` or `respond`.
        wanted: who has to decide.
        requesters: who asked for the call.
        people: the reviewers that the policy names, with their roles; None where it names none,
            and everybody with a name counts.

    Raises:
        InvalidDecision: the vote would not count; with who may.
    """
    if people is None and answer == "approve" and wanted.roles:
        roles = ", ".join(f"`{one}`" for one in wanted.roles)
        raise InvalidDecision(
            f"the policy wants somebody with the role {roles} and does not say who has it",
            hint="name people and their roles under `reviewers` in the policy, or reject the call",
        )
    if reviewer is None:
        if wanted.min > 1 or wanted.roles or requesters or people is not None:
            raise InvalidDecision(
                "the answer names no reviewer, and who answers counts here",
                hint="name the reviewer: `hitl approve --as NAME`, or `configurable.reviewer`",
            )
        return None, ()
    who = person(reviewer)
    if not who or max(len(who), len(reviewer)) > MAX_REVIEWER or clean_text(reviewer) != reviewer:
        raise InvalidDecision(
            f"the reviewer's name is no text of 1 to {MAX_REVIEWER} characters",
            hint="name one with --as NAME",
        )
    if who in {person(one) for one in requesters}:
        raise InvalidDecision(
            f"`{reviewer}` asked for the call and cannot decide on it",
            hint="somebody else has to decide",
        )
    if people is None:
        return reviewer, ()
    for name, held in people.items():
        if person(name) == who:
            return name, tuple(held)
    raise InvalidDecision(
        f"`{reviewer}` is not among the reviewers that the policy names",
        hint=f"one of them has to decide: {', '.join(sorted(people, key=str.casefold))}",
    )


def _order(vote: Vote) -> tuple[int, datetime, str, str, str]:
    """Order votes by severity; the rest makes it the same whatever order they come in."""
    severity = _SEVERITY.index(vote.type) if vote.type in _SEVERITY else -1
    return severity, vote.voted_at, vote.reviewer or "", vote.message, vote.channel
