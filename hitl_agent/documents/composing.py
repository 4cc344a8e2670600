"""From YAML text to plain data: PyYAML parses, and what it would guess at is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import yaml
from yaml import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    MarkedYAMLError,
    NodeEvent,
    ScalarEvent,
)

from hitl_agent.documents.places import KeyPath, Place, Places, place_after
from hitl_agent.documents.reading import MAX_DEPTH, MAX_VALUES, UNSEEN
from hitl_agent.documents.wording import show
from hitl_agent.errors import DocumentError

# libyaml where PyYAML was built with it: twenty times as fast
LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MAX_DIGITS = 40
_MAX_NUMBER = 2**53 - 1  # RFC 8785: beyond it canonical JSON, which counts in doubles, is not exact

# YAML 1.2.2, section 10.3.2, core schema
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_BEGIN_NUMBER = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_COLON = re.compile(r"(?:\s|#.*+)*+:")


class _Frame(NamedTuple):
    """An open mapping or list."""

    path: KeyPath
    into: dict[str, Any] | list[Any]


class Composer:
    """Builds plain data from PyYAML's events, without recursion and without its constructors."""

    def __init__(self, text: str, file: str) -> None:
        self.places = Places(file)
        self._text = text
        self._mark: Any = None  # where the parser is
        self._frames: list[_Frame] = []
        self._key: str | None = None  # read, and waiting for its value
        self._key_end: Any = None
        self._root: Any = None
        self._documents = 0

    def compose(self) -> Any:
        """Return the data, None if there is none; `places` then knows where it stands.

        Raises:
            DocumentError: it is not YAML, or what no document holds.
        """
        for event in self._events():
            self._mark = event.start_mark
            if isinstance(event, NodeEvent):
                self._node(event)
            elif isinstance(event, CollectionEndEvent):
                self._frames.pop()
            elif isinstance(event, DocumentStartEvent):
                self._start()
        return self._root

    def _place(self) -> Place:
        if self._mark is None:
            return (1, 1)
        if self._mark.index == len(self._text):
            return place_after(self._text)  # libyaml takes the end for the start of a new line
        return (self._mark.line + 1, self._mark.column + 1)

    def _after_colon(self) -> Place | None:
        """Return where a value left empty would stand; in `{a: }` libyaml names the brace."""
        end = self._key_end
        found = _COLON.match(self._text, end.index)
        if not found:
            return None
        line, column = place_after(found[0])
        return (end.line + line, column if line > 1 else end.column + column)

    def _refuse(self, message: str) -> DocumentError:
        return self.places.error(message, self._place())

    def _events(self) -> Iterator[Any]:
        try:
            for event in yaml.parse(self._text, Loader=LOADER):
                yield event
                self._mark = event.end_mark
        except MarkedYAMLError as error:
            self._mark = error.problem_mark or error.context_mark or self._mark
            problem = " ".join(f"{error.problem or ''} {error.context or ''}".split())[:200]
            refusal = self._refuse(f"this is not YAML: {problem}")
            refusal.hint = (
                "text with `: ` or ` #` in it, or a sign such as `*` first, goes in quotes"
            )
            raise refusal from None
        except Exception as error:  # the pure parser meets bad escapes with an OverflowError
            raise self._refuse(
                f"this cannot be read as YAML; look here and a little later ({show(str(error))})"
            ) from error

    def _start(self) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._refuse("a second document begins here; a file holds one")

    def _node(self, event: Any) -> None:
        if isinstance(event, AliasEvent) or event.anchor is not None:
            name = show(f"{'*' if isinstance(event, AliasEvent) else '&'}{event.anchor}")
            raise self._refuse(
                f"anchors and aliases such as {name} are not supported; write it out"
            )
        # libyaml keeps silent about the tag `!`
        if event.tag is not None or self._text.startswith("!", event.start_mark.index):
            tag = show((event.tag or "!").replace("tag:yaml.org,2002:", "!!"))
            raise self._refuse(f"tags such as {tag} are not supported; text goes in quotes")
        place = self._place()
        if not self._frames:
            path: KeyPath = ()
            self._root = value = self._value(event)
        else:
            above, into = self._frames[-1]
            if isinstance(into, list):
                path, value = (*above, len(into)), self._value(event)
                into.append(value)
            elif self._key is None:
                self._key = self._as_key(event, into)
                self._key_end = event.end_mark
                self.places.keys[(*above, self._key)] = place
                return
            else:
                path, value = (*above, self._key), self._value(event)
                if value is None and not event.value:
                    place = self._after_colon() or place
                into[self._key] = value
                self._key = None
        self.places.values[path] = place
        if len(self.places.values) > MAX_VALUES:
            raise self._refuse(f"the document holds more than {MAX_VALUES:,} values; split it")
        if isinstance(event, CollectionStartEvent):
            self._frames.append(_Frame(path, value))
            if len(self._frames) > MAX_DEPTH:
                raise self._refuse(f"this is nested deeper than {MAX_DEPTH} levels; flatten it")

    def _as_key(self, event: Any, into: Mapping[str, Any]) -> str:
        if not isinstance(event, ScalarEvent):
            raise self._refuse("a key must be text, not a mapping or a list")
        value = self._value(event)
        if value is None and not event.value:
            raise self._refuse("the key before this `:` is missing")
        if not isinstance(value, str):
            raise self._refuse(f"a key must be text; put {show(event.value)} in quotes")
        if value == "<<" and event.implicit[0]:
            raise self._refuse("merge keys are not supported; write the keys out")
        if value in into:
            raise self._refuse(f"the key {show(value)} is given twice; keep one")
        return value

    def _value(self, event: Any) -> Any:
        if isinstance(event, CollectionStartEvent):
            return {} if isinstance(event, MappingStartEvent) else []
        if event.implicit[0]:
            return self._plain(event.value)
        if found := UNSEEN.search(event.value):
            raise self._refuse(f"this text holds the character U+{ord(found[0]):04X}; remove it")
        return event.value

    def _plain(self, text: str) -> Any:
        """Return what a scalar without quotes stands for."""
        if text in _WORDS:
            return _WORDS[text]
        if "\t" in text:
            raise self._refuse("this text holds a tab; write spaces, or put it in quotes")
        if text[0] not in _BEGIN_NUMBER:
            return text
        shown = show(text)
        if _NOT_FINITE.fullmatch(text):
            raise self._refuse(f"{shown} cannot be compared with anything; write a finite number")
        whole = _INTEGER.fullmatch(text)
        if not whole and not _FLOAT.fullmatch(text):
            return text
        if _LEADING_ZERO.match(text):
            raise self._refuse(
                f"{shown} could be a number or text; drop the zeros or put it in quotes"
            )
        if len(text) <= _MAX_DIGITS:
            number = int(text, 0) if whole else float(text)
            if _is_exact(text, number):
                return number
        raise self._refuse(f"{shown} is a number that is not kept exactly; put it in quotes")


def _is_exact(text: str, number: float) -> bool:
    if isinstance(number, int) or not abs(number) <= _MAX_NUMBER:
        return abs(number) <= _MAX_NUMBER
    try:
        return Decimal(text) == Decimal(repr(number))
    except ArithmeticError:  # an exponent that not even a Decimal has
        return False
