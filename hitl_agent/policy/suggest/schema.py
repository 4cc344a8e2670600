"""The arguments of a tool, read from a JSON schema that may be anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hitl_agent.policy.suggest.names import words_of

MAX_PARTS = 5000
"""Parts of a schema that are looked at; a tool with a larger one is not believed to only read."""

_MAX_DEPTH = 12
_MAX_ENUM = 100
_MAX_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument, or a field of one.

    Attributes:
        name: as the schema has it.
        words: of the name.
        types: JSON types that its value can have; empty if any.
        format: JSON schema's `format`, if any.
        about: words of its description.
        choices: texts that its value is one of; empty if any.
        top: whether it is an argument itself.
    """

    name: str
    words: tuple[str, ...]
    types: frozenset[str]
    format: str
    about: frozenset[str]
    choices: tuple[str, ...]
    top: bool

    @property
    def text(self) -> bool:
        """Whether it takes text of any kind."""
        return not self.choices and (not self.types or "string" in self.types)

    @property
    def last(self) -> str:
        """The last word of its name, which says what it is."""
        return self.words[-1] if self.words else ""


class Arguments(NamedTuple):
    """All arguments, and whether that is all."""

    every: tuple[Argument, ...]
    complete: bool


def read_arguments(schema: object) -> Arguments:
    """Return the arguments that a JSON schema describes, fields of objects included."""
    walk = _Walk(schema)
    return Arguments(tuple(walk.arguments(schema, 0)), walk.complete)


class _Walk:
    def __init__(self, root: object) -> None:
        self.root = root
        self.left = MAX_PARTS
        self.complete = True
        self._walked: set[int] = set()  # a schema may contain itself

    def arguments(self, schema: object, depth: int) -> Iterator[Argument]:
        if depth > _MAX_DEPTH:
            self.complete = False
            return
        for part in self._parts(schema):
            if id(part) in self._walked:
                continue
            self._walked.add(id(part))
            properties = part.get("properties")
            for name, each in properties.items() if isinstance(properties, Mapping) else ():
                if self.left <= 0:
                    self.complete = False
                    return
                yield self._argument(str(name), each, top=depth == 0)
                yield from self.arguments(each, depth + 1)
            if "items" in part:
                yield from self.arguments(part["items"], depth + 1)

    def _argument(self, name: str, schema: object, *, top: bool) -> Argument:
        parts = list(self._parts(schema))
        for part in list(parts):
            parts += self._parts(part.get("items")) if "items" in part else []
        types: set[str] = set()
        choices: list[str] = []
        about: set[str] = set()
        format_ = ""
        for part in parts:
            given = part.get("type")
            types |= {one for one in _listed(given) if isinstance(one, str)}
            choices += [
                one for one in _listed(part.get("enum"))[:_MAX_ENUM] if isinstance(one, str)
            ]
            choices += [one for one in [part.get("const")] if isinstance(one, str)]
            for key in ("description", "title"):
                if isinstance(text := part.get(key), str):
                    about |= set(words_of_text(text))
            if isinstance(part.get("format"), str):
                format_ = part["format"]
        words = tuple(words_of(name))
        return Argument(
            name, words, frozenset(types), format_, frozenset(about), tuple(choices), top
        )

    def _parts(self, schema: object) -> Iterator[Mapping[str, Any]]:
        """Return a schema and its alternatives, wherever they stand."""
        waiting = [(schema, 0)]
        followed: set[str] = set()
        while waiting:
            part, depth = waiting.pop()
            self.left -= 1
            if self.left < 0 or depth > _MAX_DEPTH:
                self.complete = False
                return
            if not isinstance(part, Mapping):
                continue
            yield part
            for key in ("anyOf", "oneOf", "allOf"):
                waiting += [(one, depth + 1) for one in _listed(part.get(key))[: MAX_PARTS + 1]]
            reference = part.get("$ref")
            if isinstance(reference, str) and reference not in followed:
                followed.add(reference)
                waiting.append((self._at(reference), depth + 1))

    def _at(self, reference: str) -> object:
        """Return what a reference within the schema points to."""
        found = self.root
        steps = reference[:1000].split("/")
        if steps[0] != "#":
            self.complete = False
            return None
        for step in steps[1:]:
            found = found.get(step) if isinstance(found, Mapping) else None
        if found is None:
            self.complete = False
        return found


def _listed(value: object) -> list[Any]:
    if isinstance(value, str):
        return [value]
    return list(value) if isinstance(value, Sequence) else []


def words_of_text(text: str) -> list[str]:
    """Return the words of a sentence, in lower case and without the signs around them."""
    return [word.strip(".,;:()[]{}`'\"*!?").lower() for word in text[:_MAX_DESCRIPTION].split()]
