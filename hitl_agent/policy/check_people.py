"""Whether the people that a policy names can decide what it wants people for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hitl_agent.documents import show
from hitl_agent.policy.check import Remark
from hitl_agent.policy.escalation import SECOND_LIMIT

if TYPE_CHECKING:
    from hitl_agent.documents import Document
    from hitl_agent.policy.changes import Path
    from hitl_agent.policy.document import PolicyDocument


def check_people(document: Document[PolicyDocument]) -> Iterator[Remark]:
    """Yield roles that are wanted where the policy names nobody.

    Raises:
        DocumentError: people are named, and they are too few or lack a role.
    """
    people = document.value.reviewers
    for path, least in _numbers(document.value):
        if people and least > len(people):
            message = f"{least} people are wanted, and `reviewers` names {len(people)}"
            raise document.error(message, *path)
    held = {role for roles in people.values() for role in roles}
    for path, role in _roles(document.value):
        if people and role not in held:
            raise document.error(f"nobody under `reviewers` has the role {show(role)}", *path)
        if not people:
            message = (
                f"nothing says who has the role {show(role)}: what it is wanted for cannot be"
                " approved; name people under `reviewers`"
            )
            yield Remark(document.file, *document.position(*path), message)


def _numbers(value: PolicyDocument) -> Iterator[tuple[Path, int]]:
    """Yield how many people are wanted, and where that stands."""
    for key in ("min_reviewers_per_task", "high_stakes_min_reviewers"):
        yield ("review_settings", key), getattr(value.review_settings, key)
    for index, one in enumerate(value.escalation_policies):
        for currency in one.limits(SECOND_LIMIT):
            key = f"{SECOND_LIMIT}_{currency.lower()}".rstrip("_")
            yield ("escalation_policies", index, key), 2
    for pattern, entry in value.tools.items():
        path: Path = ("tools", pattern)
        if entry.reviewers:
            yield (*path, "reviewers", "min"), entry.reviewers.min
        for index, rule in enumerate(entry.rules):
            if rule.reviewers:
                yield (*path, "rules", index, "reviewers", "min"), rule.reviewers.min


def _roles(value: PolicyDocument) -> Iterator[tuple[Path, str]]:
    """Yield the roles that are wanted, and where that stands."""
    for pattern, entry in value.tools.items():
        path: Path = ("tools", pattern)
        asked = [(path, entry.reviewers)]
        asked += [
            ((*path, "rules", index), rule.reviewers) for index, rule in enumerate(entry.rules)
        ]
        for at, wanted in asked:
            for index, role in enumerate(wanted.roles if wanted else ()):
                yield (*at, "reviewers", "roles", index), role
