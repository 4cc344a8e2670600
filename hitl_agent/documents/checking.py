"""From plain data to a checked model; whatever pydantic finds is told with its place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hitl_agent.documents.places import KeyPath, Place, Places
from hitl_agent.documents.reading import read_data
from hitl_agent.documents.wording import closest, show, suggest
from hitl_agent.errors import DocumentError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)


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
    _places: Places = field(repr=False)

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
    data, places = read_data(text, file)
    if data is None:
        message = f"the document is empty; {_listed('it holds', _keys_at(model, ()))}"
        raise places.error(message, places.of_value(()))
    try:
        return Document(model.model_validate(data), data, file, places)
    except ValidationError as error:
        raise _first_complaint(error, data, places, model) from None


def _first_complaint(
    error: ValidationError, data: Any, places: Places, model: type[BaseModel]
) -> DocumentError:
    """Return the complaint that stands first in the document, and say how many follow.

    Only that one is put into words: there may be tens of thousands.
    """
    complaints = [(item, *_path(item["loc"], data)) for item in error.errors(include_url=False)]
    unknown: dict[KeyPath, list[str]] = defaultdict(list)
    for details, path, _ in complaints:
        if _is_unknown(details):
            unknown[path[:-1]].append(str(path[-1]))
    found = [
        (_place(details, path, places), details, path, lost)
        for details, path, lost in complaints
        # what is there, misspelt, is complained of as an unknown key
        if details["type"] != "missing" or not closest(str(lost), unknown[path])
    ]
    place, details, path, lost = min(found, key=itemgetter(0))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return places.error(_message(details, path, lost, model) + more, place)


def _place(details: ErrorDetails, path: KeyPath, places: Places) -> Place:
    at_key = details["loc"][-1:] == ("[key]",) or details["type"] in {"missing", "extra_forbidden"}
    if isinstance(complaint := details.get("ctx", {}).get("error"), Complaint):
        path, at_key = (*path, *complaint.path), at_key or complaint.at_key
    return places.of_key(path) if at_key else places.of_value(path)


def _message(details: ErrorDetails, path: KeyPath, lost: str | int, model: type[BaseModel]) -> str:
    if details["type"] == "missing":
        return f"{show(lost)} is missing"
    if _is_unknown(details):
        key = str(path[-1])
        known = _keys_at(model, details["loc"][:-1], unless=key)
        hint = suggest(key, known) or f"; {_listed('known here', known)}"
        return f"unknown key {show(key)}{hint}"
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    return _expectation(details, path)


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
