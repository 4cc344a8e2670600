"""What may stand in a checkpoint, and its bytes."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import ormsgpack
from langchain_core import messages
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import (
    _DeltaSnapshot,  # LangGraph's own mark, which has no other name
)
from langgraph.types import Interrupt, Overwrite, Send, TimeoutPolicy
from pydantic import BaseModel, RootModel

from hitl_agent.calls import clean_text
from hitl_agent.errors import CheckpointRefused, ConfigurationError

MESSAGES: tuple[type, ...] = (
    messages.AIMessage,
    messages.AIMessageChunk,
    messages.ChatMessage,
    messages.FunctionMessage,
    messages.HumanMessage,
    messages.RemoveMessage,
    messages.SystemMessage,
    messages.ToolMessage,
)

CONTROL: tuple[type, ...] = (Interrupt, Overwrite, Send, TimeoutPolicy)

PLAIN: tuple[type, ...] = (
    *(UUID, Decimal, set, frozenset, deque),
    *(datetime, date, time, timedelta, timezone),
)

_DEEPEST = 64
"""Objects within objects; more is an attack on the stack, or a list linked by hand."""

_SINGLE, _POSITIONAL, _NAMED, _METHOD, _PYDANTIC, _SNAPSHOT = 0, 1, 2, 3, 5, 7
"""LangGraph's extension codes. Its codes for pydantic 1 and for arrays are not read."""

_OPTION = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Unread:
    def __str__(self) -> str:
        return "…"


UNREAD = _Unread()
"""Stands for what is there and was not read."""


class Serializer(SerializerProtocol):
    """Writes and reads plain values, messages, LangGraph's control types and what is allowed.

    The bytes are those of LangGraph's serializer, for these types. Unlike it, this one never
    imports what a row names: a name is looked up among the allowed types. It never gives the raw
    parts of what it cannot build, and writes nothing that it would not read. No environment
    variable changes that.

    Args:
        allow: further types: pydantic models, dataclasses, enumerations, named tuples.

    Raises:
        ConfigurationError: two types have one name, or one of them is no type of these kinds.
    """

    def __init__(self, allow: Iterable[type] = ()) -> None:
        self._looks = False
        self._types = {_name(one): one for one in (*MESSAGES, *CONTROL, *PLAIN)}
        for one in allow:
            if not storable(one):
                raise ConfigurationError(
                    f"`{one!r}` cannot be allowed in checkpoints",
                    hint="allow pydantic models, dataclasses, enumerations and named tuples",
                )
            if self._types.setdefault(_name(one), one) is not one:
                raise ConfigurationError(
                    f"two types are named `{'.'.join(_name(one))}`", hint="rename one of them"
                )

    def allowing(self, more: Iterable[type]) -> Serializer:
        """Return a serializer that also allows these."""
        ours = {_name(one) for one in (*MESSAGES, *CONTROL, *PLAIN)}
        kept = [one for name, one in self._types.items() if name not in ours]
        return Serializer((*kept, *(one for one in more if self._types.get(_name(one)) is not one)))

    def looking(self) -> Serializer:
        """Return a serializer that gives `UNREAD` for objects of a type that is not allowed."""
        other = copy.copy(self)
        other._looks = True  # noqa: SLF001  it is one of us
        return other

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return a value's kind and bytes.

        Raises:
            CheckpointRefused: the value, or one inside it, may not stand in a checkpoint.
        """
        if obj is None:
            return "null", b""
        if isinstance(obj, bytes | bytearray):
            return type(obj).__name__, bytes(obj)
        return "msgpack", _Writing(self._types).packed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value.

        Raises:
            CheckpointRefused: the bytes are damaged, or name what is not allowed.
        """
        kind, packed = data
        match kind:
            case "null":
                return None
            case "bytes":
                return bytes(packed)
            case "bytearray":
                return bytearray(packed)
            case "msgpack":
                return _Reading(self._types, looks=self._looks).unpacked(packed)
            case _:
                raise CheckpointRefused(
                    f"a value of kind `{clean_text(kind)}`, which is never written here",
                    hint=_DAMAGED,
                )


_DAMAGED = (
    "somebody else wrote it: restore the checkpoint tables from a backup, or start a new thread"
)


def error_text(error: BaseException) -> str:
    """Return what a checkpoint keeps of an exception, as LangGraph writes it."""
    return clean_text(repr(error))


class _Writing:
    """One value on its way into bytes; ormsgpack drops what its callback raises, so it is kept."""

    def __init__(self, types: dict[tuple[str, str], type]) -> None:
        self._types = types
        self._problem: CheckpointRefused | None = None

    def packed(self, value: Any) -> bytes:
        try:
            return ormsgpack.packb(value, default=self._extension, option=_OPTION)
        except (TypeError, ValueError, RecursionError) as error:
            raise (self._problem or _unwritable(str(error))) from error

    def _extension(self, value: Any) -> ormsgpack.Ext:
        try:
            code, parts = self._parts(value)
        except CheckpointRefused as error:
            self._problem = self._problem or error
            raise
        return ormsgpack.Ext(code, self.packed(parts))

    def _parts(self, value: Any) -> tuple[int, Any]:
        if isinstance(value, _DeltaSnapshot):
            return _SNAPSHOT, value.value
        cls = type(value)
        name = _name(cls)
        if self._types.get(name) is not cls:
            raise CheckpointRefused(
                f"a value of type `{'.'.join(name)}` may not be kept in a checkpoint",
                hint=f"keep plain JSON, or allow it: `Runtime.open(allow=[{name[1]}])`",
            )
        if isinstance(value, BaseModel):
            return _PYDANTIC, (*name, _fields(value), "model_validate_json")
        if isinstance(value, datetime):
            return _METHOD, (*name, value.isoformat(), "fromisoformat")
        if (arguments := _positional(value)) is not None:
            return _POSITIONAL, (*name, arguments)
        if (fields := _named(value)) is not None:
            return _NAMED, (*name, fields)
        return _SINGLE, (*name, _single(value))


class _Reading:
    """One value on its way out of bytes."""

    def __init__(self, types: dict[tuple[str, str], type], *, looks: bool) -> None:
        self._types = types
        self._looks = looks
        self._problem: CheckpointRefused | None = None
        self._depth = 0

    def unpacked(self, packed: bytes) -> Any:
        if self._depth > _DEEPEST:
            raise CheckpointRefused("objects nested too deeply", hint=_DAMAGED)
        try:
            return ormsgpack.unpackb(packed, ext_hook=self._object, option=_OPTION_READ)
        except (TypeError, ValueError, RecursionError) as error:
            raise (
                self._problem or CheckpointRefused(f"damaged bytes: {error}", hint=_DAMAGED)
            ) from error

    def _object(self, code: int, packed: bytes) -> Any:
        self._depth += 1
        try:
            return self._built(code, self.unpacked(packed))
        except CheckpointRefused as error:
            self._problem = self._problem or error
            raise
        finally:
            self._depth -= 1

    def _built(self, code: int, parts: Any) -> Any:
        if code == _SNAPSHOT:
            return _DeltaSnapshot(parts)
        match parts:
            case [str(module), str(name), arguments, *_] if code in _BUILDERS:
                pass
            case _:
                raise CheckpointRefused(f"damaged bytes: an extension {code}", hint=_DAMAGED)
        cls = self._types.get((module, name))
        if cls is None and self._looks:
            return UNREAD
        if cls is None:
            raise CheckpointRefused(
                f"`{clean_text(module)}.{clean_text(name)}`, a type that is not allowed",
                hint="if it is yours, allow it: `Runtime.open(allow=[…])`; if not, " + _DAMAGED,
            )
        try:
            built = _BUILDERS[code](cls, arguments)
        except Exception as error:
            raise CheckpointRefused(
                f"a `{name}` that cannot be built: {type(error).__name__}", hint=_DAMAGED
            ) from error
        if type(built) is not cls:
            raise CheckpointRefused(f"a `{name}` that is none", hint=_DAMAGED)
        return built


_OPTION_READ = ormsgpack.OPT_NON_STR_KEYS


def _send(cls: type, arguments: Any) -> Any:
    if cls is Send and len(arguments) == len(("node", "arg", "timeout")):
        return Send(arguments[0], arguments[1], timeout=arguments[2])
    return cls(*arguments)


def _model(cls: type, arguments: Any) -> Any:
    if not issubclass(cls, BaseModel):
        raise TypeError("no model")
    if issubclass(cls, messages.BaseMessage):
        return cls(**arguments)
    return cls.model_validate(arguments, by_alias=True, by_name=True)


def _moment(cls: type, text: Any) -> Any:
    if cls is not datetime:
        raise TypeError("no moment")
    return datetime.fromisoformat(text)


_BUILDERS: dict[int, Callable[[type, Any], Any]] = {
    _SINGLE: lambda cls, argument: cls(argument),
    _POSITIONAL: _send,
    _NAMED: lambda cls, arguments: cls(**arguments),
    _METHOD: _moment,
    _PYDANTIC: _model,
}


def _fields(model: BaseModel) -> dict[str, Any]:
    """Return a model's fields as they are: a dump would turn what is inside into its raw parts."""
    fields = type(model).model_fields
    return {name: getattr(model, name) for name, field in fields.items() if not field.exclude} | (
        model.model_extra or {}
    )


def _positional(value: Any) -> tuple[Any, ...] | None:
    match value:
        case Send(timeout=None):
            return value.node, value.arg
        case Send():
            return value.node, value.arg, value.timeout
        case timedelta():
            return value.days, value.seconds, value.microseconds
        case date():
            return value.year, value.month, value.day
        case timezone():
            return tuple(value.__getinitargs__())  # type: ignore[attr-defined]
        case _:
            return None


def _named(value: Any) -> dict[str, Any] | None:
    fields: tuple[str, ...]
    if isinstance(value, time):
        fields = ("hour", "minute", "second", "microsecond", "tzinfo", "fold")
    elif isinstance(value, tuple):  # a named one: others are lists
        fields = type(value)._fields  # type: ignore[attr-defined]
    elif dataclasses.is_dataclass(value):
        fields = tuple(one.name for one in dataclasses.fields(value))
    else:
        return None
    return {name: getattr(value, name) for name in fields}


def _single(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case UUID():
            return value.hex
        case Decimal():
            return str(value)
        case _:
            return tuple(value)


def storable(one: Any) -> bool:
    """Whether this is a model, a dataclass, an enumeration or a named tuple."""
    if not isinstance(one, type) or issubclass(one, RootModel):
        return False
    named = issubclass(one, tuple) and hasattr(one, "_fields")
    return named or issubclass(one, BaseModel | Enum) or dataclasses.is_dataclass(one)


def _name(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__name__


def _unwritable(why: str) -> CheckpointRefused:
    return CheckpointRefused(
        f"a value that cannot be kept in a checkpoint: {why}",
        hint="write large numbers as text, and clean text of lone surrogates",
    )
