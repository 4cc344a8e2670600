"""JSON schemas of tools: used without fetching anything and within bounded work.

A schema comes from wherever its tool comes, an MCP server for one, and the arguments come from a
model. So `$ref` leads nowhere outside the schema, the number of steps is limited, patterns run on
an engine that takes linear time, and so does the search for items that are there twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice, product
from typing import Annotated, Any
from urllib.parse import unquote

import jsonschema
from jsonschema import validators
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from referencing import Registry

from hitl_agent.calls import canonical

MAX_STEPS = 100_000
"""Keywords of a schema, and parts of them, that are applied for one check."""

MAX_WAYS = 64
"""Ways through the alternatives of a schema in which one value may be read."""

MAX_PATTERNS = 256
"""Patterns in one schema: so many are kept compiled, and then some."""

_MAX_ERRORS = 100
_MAX_NAMES = 20


class Schema:
    """A tool's schema, for one check in one thread.

    Args:
        schema: JSON schema of an object.

    Raises:
        ValueError: it is no schema that could be used here.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        if not isinstance(schema, Mapping):
            raise ValueError("it is no object")  # noqa: TRY004
        self.root = {key: value for key, value in schema.items() if key != "$schema"}
        _refuse_traps(self.root)
        # an empty registry retrieves nothing; the default one would ask the network
        registry: Registry[Any] = Registry()
        self._validator = _Bounded(self.root, registry=registry)
        _work.left = MAX_STEPS

    def accepts(self, value: Any, node: Any) -> bool:
        """Whether a part of the schema accepts a value."""
        return bool(self._validator.evolve(schema=node).is_valid(value))

    def problem(self, value: Any) -> str | None:
        """Say what is wrong with a value, or None."""
        found = list(islice(self._validator.iter_errors(value), _MAX_ERRORS))
        error = jsonschema.exceptions.best_match(found)
        if error is None:
            return None
        where = error.json_path.removeprefix("$").lstrip(".")
        return f"`{where}`: {error.message}" if where else error.message

    def resolved(self, reference: Any) -> Any:
        """Return the part of the schema that a `$ref` names.

        Raises:
            ValueError: it names none.
        """
        node: Any = self.root
        pointer, *names = unquote(str(reference)).split("/")
        for name in (one.replace("~1", "/").replace("~0", "~") for one in names):
            if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            elif isinstance(node, Mapping) and name in node:
                node = node[name]
            else:
                pointer = ""
        if pointer != "#":
            raise ValueError("a `$ref` leads nowhere inside it")
        return node


def first_unknown(args: Any, schema: Schema) -> str | None:
    """Say which key, here or inside, the schema does not name; None if it names all.

    Keys that the schema does not speak of are welcome where it says so, with
    `additionalProperties` or `unevaluatedProperties`, and where it names none at all. Of
    alternatives that accept the value, it is enough that one names every key.
    """
    return _unknown(args, schema.root, schema, "")


def _unknown(value: Any, node: Any, schema: Schema, path: str) -> str | None:
    found: list[str | None] = []
    if isinstance(value, Mapping):
        found += [_inside_object(value, way, schema, path) for way in _ways(value, node, schema)]
    elif isinstance(value, list):
        found += [_inside_list(value, way, schema, path) for way in _ways(value, node, schema)]
    return None if None in found or not found else found[0]


def _inside_object(
    value: Mapping[str, Any], parts: list[Mapping[str, Any]], schema: Schema, path: str
) -> str | None:
    known = [part["properties"] for part in parts if "properties" in part]
    others = [
        part[key]
        for part in parts
        for key in ("additionalProperties", "unevaluatedProperties")
        if key in part and part[key] is not False
    ]
    for name, item in value.items():
        below = [names[name] for names in known if name in names]
        below += [one for part in parts for one in _by_pattern(part, name)]
        if not below and known and not others:
            names = [str(one) for each in known for one in each][:_MAX_NAMES]
            there = f"there are {', '.join(names) or 'none'}"
            return f"no argument is named `{path}{name}`; {there}"
        if unknown := _unknown(item, {"allOf": below or others}, schema, f"{path}{name}."):
            return unknown
    return None


def _inside_list(
    value: list[Any], parts: list[Mapping[str, Any]], schema: Schema, path: str
) -> str | None:
    for index, item in enumerate(value):
        below = []
        for part in parts:
            first = part.get("prefixItems", [])
            below += [first[index]] if index < len(first) else [part.get("items", True)]
        where = f"{path.removesuffix('.')}[{index}]."
        if unknown := _unknown(item, {"allOf": below}, schema, where):
            return unknown
    return None


def _ways(value: Any, node: Any, schema: Schema) -> list[list[Mapping[str, Any]]]:
    """Return the ways to read a value: each has the parts of the schema that apply together."""
    _spend(1)
    if not isinstance(node, Mapping):
        return [[]]
    together = list(node.get("allOf", []))
    if "$ref" in node:
        together.append(schema.resolved(node["$ref"]))
    if "if" in node:
        together.append(node.get("then" if schema.accepts(value, node["if"]) else "else", True))
    if isinstance(value, Mapping):
        depending = node.get("dependentSchemas", {})
        together += [depending[name] for name in depending if name in value]
    groups = [_ways(value, one, schema) for one in together]
    groups += [
        [
            way
            for one in node[key]
            if schema.accepts(value, one)
            for way in _ways(value, one, schema)
        ]
        for key in ("anyOf", "oneOf")
        if key in node
    ]
    ways = list(islice(product([[node]], *groups), MAX_WAYS + 1))
    if len(ways) > MAX_WAYS:
        raise ValueError("it has too many alternatives")
    return [[part for parts in way for part in parts] for way in ways]


def _refuse_traps(node: Any) -> None:
    """Refuse what would lead the validator around the bounds.

    Raises:
        ValueError: a part names a dialect of its own, for which another validator would be taken,
            or patterns and `unevaluatedProperties` meet, for which patterns are not run here, or
            there are more patterns than can be kept.
    """
    seen: set[str] = set()
    patterns: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if isinstance(one.get("$schema"), str):
                raise ValueError("a part of it has a `$schema` of its own")  # noqa: TRY004
            seen.update(str(key) for key in one)
            by_name = one.get("patternProperties")
            patterns.update(map(str, by_name if isinstance(by_name, Mapping) else ()))
            patterns.add(str(one.get("pattern")))
        if isinstance(one, Mapping | list):
            waiting += one.values() if isinstance(one, Mapping) else one
    if len(patterns) > MAX_PATTERNS:
        raise ValueError("it has too many patterns")
    if {"patternProperties", "unevaluatedProperties"} <= seen:
        raise ValueError("it has both `patternProperties` and `unevaluatedProperties`")


_work = threading.local()
Keyword = Callable[[Any, Any, Any, Any], Iterator[jsonschema.ValidationError] | None]


def _spend(steps: int) -> None:
    _work.left -= steps
    if _work.left < 0:
        raise ValueError("it takes too long to check")


def _counted(keyword: Keyword) -> Keyword:
    def counted(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterator[jsonschema.ValidationError]:
        _spend(1 + len(value) if isinstance(value, Mapping | list) else 1)
        yield from keyword(validator, value, instance, schema) or ()

    return counted


@lru_cache(maxsize=512)
def _pattern(pattern: str) -> Callable[[str], bool] | None:
    """Return the search for a pattern, in linear time; None if the engine cannot read it."""
    try:
        adapter = TypeAdapter[str](
            Annotated[str, StringConstraints(pattern=pattern)],
            config=ConfigDict(regex_engine="rust-regex"),
        )
    except Exception:  # noqa: BLE001  it looks ahead, is too large, or is no pattern
        return None

    def found(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except ValidationError:
            return False
        return True

    return found


def _matches(
    validator: Any, pattern: Any, instance: Any, _schema: Any
) -> Iterator[jsonschema.ValidationError]:
    """Apply `pattern`; one that looks ahead is left to the tool, which checks its own arguments."""
    if validator.is_type(instance, "string"):
        found = _pattern(str(pattern))
        if found is not None and not found(instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _by_pattern(schema: Mapping[str, Any], name: str) -> list[Any]:
    """Return what `patternProperties` says of a key; a pattern that cannot be read fits none."""
    patterns = schema.get("patternProperties", {})
    _spend(len(patterns))
    searches = [(_pattern(str(pattern)), patterns[pattern]) for pattern in patterns]
    return [node for search, node in searches if search is not None and search(name)]


def _pattern_properties(
    validator: Any, _patterns: Any, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(instance, "object"):
        for name, item in instance.items():
            for node in _by_pattern(schema, name):
                yield from validator.descend(item, node, path=name)


def _additional_properties(
    validator: Any, node: Any, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(instance, "object"):
        for name, item in instance.items():
            if name in schema.get("properties", {}) or _by_pattern(schema, name):
                continue
            if node is False:
                yield jsonschema.ValidationError(f"{name!r} is not expected")
            else:
                yield from validator.descend(item, node, path=name)


def _unique_items(
    validator: Any, unique: Any, instance: Any, _schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if unique and validator.is_type(instance, "array"):
        seen = {canonical(item) for item in instance}
        if len(seen) != len(instance):
            yield jsonschema.ValidationError(f"{instance!r} has non-unique elements")


_KEYWORDS: dict[str, Keyword] = {
    **jsonschema.Draft202012Validator.VALIDATORS,
    "additionalProperties": _additional_properties,
    "pattern": _matches,
    "patternProperties": _pattern_properties,
    "uniqueItems": _unique_items,
}

_Bounded: Any = validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    {name: _counted(keyword) for name, keyword in _KEYWORDS.items()},
)
