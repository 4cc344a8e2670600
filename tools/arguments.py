"""What every tool here shares: strict arguments, one way to become a tool, text safe to store.

Arguments come from a language model that may be under somebody else's control. A schema refuses
an argument it does not know: one that was dropped in silence would be shown to a reviewer and
never take effect.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, ConfigDict, field_validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Arguments(BaseModel):
    """Base of the argument schemas: no unknown names, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_half_characters(cls, value: object) -> object:
        """Refuse lone surrogates, which JSON can spell and which no file or wire can carry."""
        if any("\ud800" <= character <= "\udfff" for character in _texts(value)):
            raise ValueError("has half a character (a lone surrogate); leave it out")
        return value


def _texts(value: object) -> Iterator[str]:
    """Yield the characters of every string in a JSON value, keys included."""
    match value:
        case str():
            yield from value
        case dict():
            for key, item in value.items():
                yield from _texts(key)
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def as_tool(function: Callable[..., dict[str, Any]], arguments: type[Arguments]) -> BaseTool:
    """Return `function` as a tool under its own name; its docstring is what the model reads."""
    return StructuredTool.from_function(function, args_schema=arguments)


def refuse_control_characters(what: str, value: str, *, allowed: str = "") -> None:
    """Refuse NUL, line ends, escapes and the other control characters (Unicode category Cc).

    Args:
        what: what the value is, for the message.
        value: what the model gave.
        allowed: control characters that are fine here.

    Raises:
        ToolException: there is one.
    """
    for position, character in enumerate(value):
        if character not in allowed and unicodedata.category(character) == "Cc":
            raise ToolException(
                f"the {what} has the control character `U+{ord(character):04X}` "
                f"at position {position}; leave it out"
            )


def readable(data: bytes, encoding: str = "utf-8") -> str:
    """Decode bytes of unknown origin; what is no text becomes U+FFFD.

    NUL goes the same way: JSON can carry it, and a jsonb column cannot.
    """
    return data.decode(encoding, errors="replace").replace("\x00", "\ufffd")
