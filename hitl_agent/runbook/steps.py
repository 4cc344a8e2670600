"""A plan: its steps, and the arguments that they are proposed with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from hitl_agent.documents import KeyPath
from hitl_agent.errors import PlannerError
from hitl_agent.runbook.templates import fill


@dataclass(frozen=True, slots=True)
class Step:
    """One call to propose.

    Attributes:
        id: unique in the runbook; references name it.
        tool: the tool's name.
        args: plain JSON, references not yet filled in.
        reason: why the call is made, for the reviewer.
        if_refused: whether the plan goes on when the call is refused.
        at: where the step stands, as `file:line:column`.
        places: where each text with a reference stands in the file, by its path in `args`.
    """

    id: str
    tool: str
    args: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    if_refused: Literal["stop", "continue"] = "stop"
    at: str = ""
    places: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runbook:
    """A plan. It lives in graph state, so it goes to plain JSON and back.

    Attributes:
        task: what the plan is for.
        groups: the steps in order; those of one group are proposed in one turn.
    """

    task: str
    groups: tuple[tuple[Step, ...], ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(step for group in self.groups for step in group)

    def to_json(self) -> dict[str, Any]:
        """Return the runbook as plain JSON data."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Runbook:
        """Return the runbook that `to_json` made.

        Raises:
            PlannerError: `data` is no runbook.
        """
        try:
            return _RUNBOOK.validate_json(json.dumps(data), strict=True)
        except (TypeError, ValueError, RecursionError) as error:
            raise PlannerError(
                f"the runbook kept with the thread cannot be read: {error}"
            ) from error


_RUNBOOK = TypeAdapter(Runbook)


def resolve_args(step: Step, results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step's arguments with every reference filled in. Shares nothing with `results`.

    Args:
        step: the step whose call is to be proposed.
        results: what earlier steps returned, as JSON data, by step id.

    Raises:
        PlannerError: a reference leads nowhere; with the place of the reference.
    """

    def filled(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: filled(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return fill(value, results)
        except (ValueError, TypeError, RecursionError) as error:
            at = step.places.get(pointer(path), step.at)
            raise PlannerError(f"{at}: step `{step.id}` {error}") from error

    return {key: filled(value, (key,)) for key, value in step.args.items()}


def pointer(path: KeyPath) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
