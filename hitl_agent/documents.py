"""YAML documents that a person wrote: plain data, checked, with the place of everything in them.

A document here is what JSON can hold, written in YAML 1.2: mappings with text keys, lists, text,
numbers, true, false and null. Whatever could be read in two ways is refused rather than guessed:
anchors and aliases, tags, merge keys, a key given twice, numbers that a program cannot keep
exactly, line breaks and writing directions that an editor may not show. So a date is text, `yes`
is text, and a document has bounded size, depth and number of values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from hitl_agent.errors import ConfigurationError, DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

MAX_BYTES = 1_000_000
MAX_LINE = 100_000  # ruamel reads a tag in time that grows with the square of its length
MAX_DEPTH = 32
MAX_VALUES = 50_000
_MAX_SHOWN = 60
_MAX_DIGITS = 40
_MAX_NUMBER = 2**53 - 1  # RFC 8785: beyond it canonical JSON, which counts in doubles, is not exact

KeyPath: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[int, int]
M = TypeVar("M", bound=BaseModel)

# C0 without tab and line breaks, DEL, C1 with NEL, line and paragraph separator, the embeddings,
# overrides and isolates of bidirectional text, surrogates, a byte order mark inside, noncharacters
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
_UNSEEN_IN_TEXT = re.compile(_UNSEEN.pattern + "|\r(?!\n)")

# YAML 1.2.2, section 10.3.2, core schema
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class DocumentModel(BaseModel):
    """What documents are checked against: no unknown keys, no value turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Complaint(ValueError):
    """Raised by a model's validators to name the part at fault; becomes a DocumentError.

    Args:
        message: what is wrong and what to write instead.
        path: from the value being validated down to the part.
        at_key: whether the part's key is at fault and not its value.
    """

    def __init__(self, message: str, *path: str | int, at_key: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.at_key = at_key


@dataclass(frozen=True)
class Document(Generic[M]):
    """A document that was read and checked.

    Attributes:
        value: the model.
        data: the same as plain JSON data, as it was written: no defaults filled in.
        file: the document's name as the user gave it.
    """

    value: M
    data: dict[str, Any]
    file: str
    _places: _Places = field(repr=False)

    def position(self, *path: str | int) -> Place:
        """Return the 1-based line and column of the value at `path`, or of what should hold it."""
        return self._places.of_value(path)

    def key_position(self, *path: str | int) -> Place:
        """Return the place of the key that leads to the value at `path`; a list item has none."""
        return self._places.of_key(path)

    def error(self, message: str, *path: str | int, at_key: bool = False) -> DocumentError:
        """Return the error that says `message` about the value at `path`, or about its key."""
        place = self._places.of_key(path) if at_key else self._places.of_value(path)
        return self._places.error(message, place)


def load_document(text: str, *, file: str, model: type[M]) -> Document[M]:
    """Read `text` and check it against `model`, which is to forbid unknown keys.

    Raises:
        DocumentError: with the place of the offending key or value, of the first one if several.
    """
    text = text.removeprefix("\ufeff")
    _check_text(text, file)
    composer = _Composer(text, file)
    data, places = composer.compose(), composer.places
    if data is None:
        message = f"the document is empty; {_listed('it holds', _keys_at(model, ()))}"
        raise places.error(message, places.of_value(()))
    try:
        return Document(model.model_validate(data), data, file, places)
    except ValidationError as error:
        raise _first_complaint(error, data, places, model) from None


def read_text(path: str | Path) -> str:
    """Return the text of the UTF-8 file at `path`, without a byte order mark.

    Raises:
        ConfigurationError: there is no such file, it is no regular file, or it is not readable.
        DocumentError: it is too large, or not UTF-8.
    """
    shown = show(str(path), limit=1000)
    try:
        if not Path(path).exists():
            raise ConfigurationError(f"there is no file {shown}")
        if not Path(path).is_file():
            raise ConfigurationError(f"{shown} is not a file")
        with Path(path).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{shown} cannot be read: {str(why).lower()}") from error
    if len(content) > MAX_BYTES:
        raise _Places(str(path)).error(_TOO_LARGE, (1, 1))
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        place = _place_after(content[: error.start].decode("utf-8"))
        raise _Places(str(path)).error(message, place) from None


def show(value: object, *, limit: int = _MAX_SHOWN) -> str:
    """Return `value` in backticks for a message: short, and with nothing unseen in it."""
    match value:
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[value]
        case str():
            text = repr(value[: limit + 1])[1:-1]
        case int() if value.bit_length() > _MAX_SHOWN * 3:
            return "a number with too many digits"
        case int() | float() | Decimal():
            text = str(value)
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return f"a {type(value).__name__}"
    return f"`{text if len(text) <= limit else text[:limit] + '…'}`"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` is most likely a misspelling of."""
    return next(iter(get_close_matches(word[:_MAX_SHOWN], list(known), n=1)), None)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean …?` for the closest of `known`, or nothing."""
    found = closest(word, known)
    return f", did you mean {show(found)}?" if found else ""


_TOO_LARGE = f"the document is larger than {MAX_BYTES:,} bytes; split it"


class _Places:
    """Where the values and keys of a file stand, by path."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[KeyPath, Place] = {}
        self.keys: dict[KeyPath, Place] = {}

    def of_value(self, path: KeyPath) -> Place:
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def of_key(self, path: KeyPath) -> Place:
        return self.keys.get(path) or self.of_value(path)

    def error(self, message: str, place: Place) -> DocumentError:
        return DocumentError(message, file=self.file, line=place[0], column=place[1])


def _check_text(text: str, file: str) -> None:
    """Refuse what ruamel would read slowly, or an editor would not show as it is read."""
    places = _Places(file)
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise places.error(_TOO_LARGE, (1, 1))
    if found := _UNSEEN_IN_TEXT.search(text):
        message = f"the character U+{ord(found[0]):04X} cannot be seen and is refused; remove it"
        raise places.error(message, _place_after(text[: found.start()]))
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > MAX_LINE:
            raise places.error(f"this line is longer than {MAX_LINE:,}; break it", (number, 1))


def _place_after(text: str) -> Place:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


class _Frame(NamedTuple):
    """An open mapping or list."""

    path: KeyPath
    into: dict[str, Any] | list[Any]


class _Composer:
    """Builds plain data from ruamel's events, without recursion and without its constructors."""

    def __init__(self, text: str, file: str) -> None:
        self.places = _Places(file)
        self._text = text
        self._place = (1, 1)
        self._frames: list[_Frame] = []
        self._key: str | None = None  # read, and waiting for its value
        self._root: Any = None
        self._documents = 0

    def compose(self) -> Any:
        for event in self._events():
            self._place = (event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, DocumentStartEvent):
                self._start(event)
            elif isinstance(event, CollectionEndEvent):
                self._frames.pop()
            elif isinstance(event, NodeEvent):
                self._node(event)
        return self._root

    def _refuse(self, message: str) -> DocumentError:
        return self.places.error(message, self._place)

    def _events(self) -> Iterator[Any]:
        try:
            for event in YAML(typ="safe", pure=True).parse(self._text):
                yield event
                self._place = (event.end_mark.line + 1, event.end_mark.column + 1)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._place = (mark.line + 1, mark.column + 1)
            problem = " ".join(f"{error.problem or ''} {error.context or ''}".split())[:200]
            refusal = self._refuse(f"this is not YAML: {problem}")
            refusal.hint = (
                "text with `: ` or ` #` in it, or a sign such as `*` first, goes in quotes"
            )
            raise refusal from None
        except Exception as error:  # ruamel meets some malformed input with a ValueError, or worse
            raise self._refuse(
                f"this cannot be read as YAML; look here and a little later ({show(str(error))})"
            ) from error

    def _start(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._refuse("a second document begins here; a file holds one")
        if event.version not in {None, (1, 2)} or event.tags:
            raise self._refuse("directives are not supported; remove the lines that begin with `%`")

    def _node(self, event: Any) -> None:
        if isinstance(event, AliasEvent) or event.anchor is not None:
            name = show(f"{'*' if isinstance(event, AliasEvent) else '&'}{event.anchor}")
            raise self._refuse(
                f"anchors and aliases such as {name} are not supported; write it out"
            )
        if event.ctag is not None:
            tag = show(str(event.ctag).replace("tag:yaml.org,2002:", "!!"))
            raise self._refuse(f"tags such as {tag} are not supported; text goes in quotes")
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
                self.places.keys[(*above, self._key)] = self._place
                return
            else:
                path, value = (*above, self._key), self._value(event)
                into[self._key] = value
                self._key = None
        self.places.values[path] = self._place
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
        if found := _UNSEEN.search(event.value):
            raise self._refuse(f"this text holds the character U+{ord(found[0]):04X}; remove it")
        return event.value

    def _plain(self, text: str) -> Any:
        """Return what a scalar without quotes stands for."""
        if text in _WORDS:
            return _WORDS[text]
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


def _first_complaint(
    error: ValidationError, data: Any, places: _Places, model: type[BaseModel]
) -> DocumentError:
    """Return the complaint that stands first in the document, and say how many follow."""
    found: list[tuple[Place, str]] = []
    all_details = error.errors(include_url=False)
    unknown = [_path(item["loc"], data)[0] for item in all_details if _is_unknown(item)]
    for details in all_details:
        path, lost = _path(details["loc"], data)
        at_key = details["loc"][-1:] == ("[key]",)
        if details["type"] == "missing":
            siblings = [str(each[-1]) for each in unknown if each[:-1] == path]
            if closest(str(lost), siblings):
                continue  # it is there, misspelt, and complained of as an unknown key
            message, at_key = f"{show(lost)} is missing", True
        elif _is_unknown(details):
            key = str(path[-1])
            known = _keys_at(model, details["loc"][:-1], unless=key)
            hint = suggest(key, known) or f"; {_listed('known here', known)}"
            message, at_key = f"unknown key {show(key)}{hint}", True
        elif details["type"] == "value_error":
            complaint = details["ctx"]["error"]
            message = str(complaint)
            if isinstance(complaint, Complaint):
                path, at_key = (*path, *complaint.path), at_key or complaint.at_key
        else:
            message = _expectation(details, path)
        found.append((places.of_key(path) if at_key else places.of_value(path), message))
    place, message = min(found, key=lambda item: item[0])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return places.error(message + more, place)


def _is_unknown(details: ErrorDetails) -> bool:
    return details["type"] == "extra_forbidden"


def _path(loc: KeyPath, data: Any) -> tuple[KeyPath, str | int]:
    """Follow pydantic's `loc` through the data, past the names it gives to parts of a union.

    Returns:
        The path as far as it leads, and the last part that led nowhere.
    """
    path: KeyPath = ()
    lost: str | int = ""
    for part in loc:
        inside = part in data if isinstance(data, dict) else isinstance(part, int)
        if inside and isinstance(data, (dict, list)):
            data = data[part]  # type: ignore[index]  # a list's part is an int
            path = (*path, part)
        else:
            lost = part
    return path, lost


def _expectation(details: ErrorDetails, path: KeyPath) -> str:
    """Say in one clause what the value is and what it should be."""
    match path:
        case (*_, str(key)):
            name = show(key)
        case (*_, str(key), int(index)):
            name = f"item {index + 1} of {show(key)}"
        case _:
            name = "this" if path else "the document"
    kind, value, wanted = (
        details["type"],
        details["input"],
        details["msg"].removeprefix("Input should be "),
    )
    if kind == "literal_error":
        choice = details["ctx"]["expected"].replace("'", "`")
        return f"{name} is {show(value)}; write {choice}{_closest(value, choice)}"
    if kind in {"too_short", "string_too_short"}:
        return f"{name} is empty"
    shown = f"the text {show(value)}" if isinstance(value, str) else show(value)
    return f"{name} is {shown}; it should be {_EXPECTED.get(kind) or wanted}"


_EXPECTED = {
    "string_type": "text (a number or a date goes in quotes)",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
}


def _closest(value: object, choice: str) -> str:
    return suggest(value, re.findall(r"`([^`]*)`", choice)) if isinstance(value, str) else ""


def _listed(what: str, keys: list[str]) -> str:
    return f"{what}: {', '.join(f'`{key}`' for key in keys)}"


def _keys_at(model: type[BaseModel], path: KeyPath, *, unless: str = "") -> list[str]:
    """Return the keys that `model` knows for the mapping at `path`, from its JSON schema.

    Of a union, the parts that know the key `unless` are left out: they were not the ones chosen.
    """
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def alternatives(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "$ref" in node:
            yield from alternatives(definitions[node["$ref"].rpartition("/")[2]])
        for choice in node.get("anyOf", []) + node.get("oneOf", []):
            yield from alternatives(choice)
        yield node

    nodes = list(alternatives(schema))
    for part in path:
        below = [_below(node, part) for node in nodes]
        # a part that leads nowhere is pydantic's name for one part of a union: stay
        nodes = [found for node in below if node for found in alternatives(node)] or nodes
    known = [node.get("properties", {}) for node in nodes]
    return list(dict.fromkeys(key for keys in known if unless not in keys for key in keys))


def _below(node: dict[str, Any], part: str | int) -> Any:
    if isinstance(part, int):
        return node.get("items")
    return node.get("properties", {}).get(part) or node.get("additionalProperties")
