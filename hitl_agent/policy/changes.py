"""Differences between two policies, and what they do to oversight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


class Direction(StrEnum):
    """What a change does to oversight.

    `looser` lets more calls run, or with fewer people; `stricter` lets fewer. A `changed` one does
    neither, both, or what the text of the policies alone cannot tell.
    """

    LOOSER = "looser"
    STRICTER = "stricter"
    CHANGED = "changed"


LOOSER, STRICTER, CHANGED = Direction


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, before it has its place.

    Attributes:
        path: the keys that lead to it, for a person.
        at: those that lead to it in the new file.
        old: what was there, as JSON; None if nothing was.
        new: what is there, as JSON; None if nothing is.
        direction: what it does to oversight.
    """

    path: str
    at: Path
    old: Any
    new: Any
    direction: Direction


def values(
    path: str,
    at: Path,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    more: Mapping[str, Direction],
) -> Iterator[Found]:
    """Yield the keys whose values differ; `more` says what a greater number does."""
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        direction = CHANGED
        if key in more and before is not None and after is not None:
            direction = more[key] if after > before else opposite(more[key])
        yield Found(f"{path}.{key}" if path else key, (*at, key), before, after, direction)


def opposite(direction: Direction) -> Direction:
    """Return what the change back would do."""
    return {LOOSER: STRICTER, STRICTER: LOOSER, CHANGED: CHANGED}[direction]


def named(
    path: str, at: Path, old: Iterable[str], new: Iterable[str], added: Direction
) -> Iterator[Found]:
    """Yield items that one list has and the other has not."""
    before, after = list(old), list(new)
    for item in after:
        if item not in before:
            yield Found(path, at, None, item, added)
    for item in before:
        if item not in after:
            yield Found(path, at, item, None, opposite(added))
