"""What the parts of a policy have in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, model_validator

from hitl_agent.documents import Complaint, DocumentModel

T = TypeVar("T")

MAX_SECONDS = 366 * 24 * 3600

Seconds: TypeAlias = Annotated[int, Field(ge=1, le=MAX_SECONDS)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("this text is empty; write what is meant, or take it out")
    return text


def some(items: T) -> T:
    """Return a list that is not empty, or what is no list.

    Raises:
        ValueError: it is empty.
    """
    if items == ():
        raise ValueError("this list is empty; name one, or take the key out")
    return items


Label: TypeAlias = Annotated[str, Field(max_length=128), AfterValidator(_visible)]
"""The name of a category, a role, an argument or a type of action."""

Labels: TypeAlias = Annotated[tuple[Label, ...], Field(strict=False), AfterValidator(some)]
"""One label or more: an empty list would be read as `none`, or as `any`."""


class PolicyModel(DocumentModel):
    """A part of a policy in which a key without a value is refused.

    `open_world:` with nothing after it would count as if it were not there, and what it was to
    hold back would run.
    """

    @model_validator(mode="before")
    @classmethod
    def _refuse_nothing(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in cls.model_fields:
                if key in data and data[key] is None:
                    message = f"`{key}` has no value; write one, or take the key out"
                    raise Complaint(message, key, at_key=True)
        return data


def refuse_repeats(items: tuple[str, ...], key: str) -> None:
    """Raise a `Complaint` if an item is listed twice."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item in seen:
            raise Complaint(f"`{item}` is listed twice in `{key}`; keep one", key, index)
        seen.add(item)
