"""What a tool says of itself, read from what a server or a framework lists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hitl_agent.documents import show
from hitl_agent.errors import ConfigurationError

MAX_TEXT = 4_000_000
"""Longest text of a list of tools, in characters."""

MAX_TOOLS = 1000
"""Most tools in one list."""

_SCHEMAS = ("input_schema", "inputSchema", "parameters")


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """A tool as it describes itself; nothing in it is to be believed.

    Attributes:
        name: as the model calls it.
        description: for the model.
        schema: JSON schema of its arguments.
        annotations: MCP's hints, `readOnlyHint` and others.
    """

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)


def read_tools(text: str, *, file: str) -> list[ToolDescription]:
    """Read a list of tools.

    Args:
        text: a JSON array of tools, an object that holds it under `tools`, or a tool on each line.
            A tool has `name`, `description` and `inputSchema`, `input_schema` or `parameters`; or
            it is such an object under `function`, as in OpenAI's interface.
        file: its name in errors.

    Returns:
        The tools in their order.

    Raises:
        ConfigurationError: it is no list of tools; with what is wrong and what to write.
    """
    if len(text) > MAX_TEXT:
        raise _error(file, f"the text is longer than {MAX_TEXT:,} characters; split it")
    entries = list(_entries(text.removeprefix("\ufeff"), file))
    if len(entries) > MAX_TOOLS:
        raise _error(file, f"there are more than {MAX_TOOLS:,} tools; split the list")
    tools: dict[str, ToolDescription] = {}
    for where, entry in entries:
        tool = _tool(entry, file, where)
        if tool.name in tools:
            raise _error(file, f"{where}: {show(tool.name)} is there twice; keep one of the two")
        tools[tool.name] = tool
    return list(tools.values())


def _entries(text: str, file: str) -> Iterator[tuple[str, object]]:
    """Return the tools with what names each in an error."""
    try:
        data = _parse(text)
    except json.JSONDecodeError as error:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) > 1 and _is_object(lines[0][1]):
            yield from ((f"line {n}", _line(line, n, file)) for n, line in lines)
            return
        raise _error(
            f"{file}:{error.lineno}:{error.colno}",
            f"this is no JSON: {error.msg.lower()}; write an array of tools",
        ) from None
    except (RecursionError, ValueError) as error:
        raise _error(file, _why(error)) from None
    if isinstance(data, dict) and "tools" in data:
        data = data["tools"]
    elif isinstance(data, dict) and ("name" in data or "function" in data):
        data = [data]  # a list of lines that has one
    if not isinstance(data, list):
        raise _error(
            file,
            f"this is {show(data)}; write an array of tools, each with `name`, `description` and"
            " `inputSchema`, or such an array under `tools`",
        )
    yield from ((f"tool {n}", entry) for n, entry in enumerate(data, 1))


def _line(line: str, number: int, file: str) -> object:
    try:
        return _parse(line)
    except json.JSONDecodeError as error:
        message = f"this is no JSON: {error.msg.lower()}; write one tool on each line"
        raise _error(f"{file}:{number}:{error.colno}", message) from None
    except (RecursionError, ValueError) as error:
        raise _error(f"{file}:{number}:1", _why(error)) from None


def _parse(text: str) -> object:
    return json.loads(text, parse_constant=_no_number, object_pairs_hook=_object_once)


def _object_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is there twice: programs differ in which of the two they believe."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key, times in Counter(keys).items() if times > 1)
        raise ValueError(f"{show(twice)} is there twice in one object; keep one of the two")
    return found


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (RecursionError, ValueError):
        return False


def _no_number(name: str) -> object:
    raise ValueError(f"`{name}` is no JSON number; write a number, or null")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the JSON nests too deep; write tools with flatter schemas"
    message = str(error)
    return message if message.startswith("`") else "the JSON has a number with too many digits"


def _tool(entry: object, file: str, where: str) -> ToolDescription:
    if not isinstance(entry, dict):
        raise _error(file, f"{where} is {show(entry)}; write an object with `name`")
    if "name" not in entry and "function" in entry:
        annotations = entry.get("annotations")
        entry = entry["function"]
        if not isinstance(entry, dict):
            message = f"{where}: `function` is {show(entry)}; write an object with `name`"
            raise _error(file, message)
        entry = {"annotations": annotations} | entry
    name = entry.get("name")
    if name is None:
        raise _error(file, f"{where} has no `name`; write the name that the model calls")
    if not isinstance(name, str) or not name:
        raise _error(file, f"{where}: `name` is {show(name)}; write text that is not empty")
    where = f"{where} ({show(name)})"
    description = entry.get("description")
    if not isinstance(description, str | None):
        raise _error(file, f"{where}: `description` is {show(description)}; write text")
    given = [key for key in _SCHEMAS if entry.get(key) is not None]
    if len(given) > 1:
        raise _error(file, f"{where} has `{given[0]}` and `{given[1]}`; keep one of the two")
    return ToolDescription(
        name,
        description or "",
        _object(entry, given[0] if given else _SCHEMAS[0], file, where),
        _object(entry, "annotations", file, where),
    )


def _object(entry: dict[str, Any], key: str, file: str, where: str) -> dict[str, Any]:
    value = entry.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _error(file, f"{where}: `{key}` is {show(value)}; write an object")
    return value


def _error(place: str, message: str) -> ConfigurationError:
    return ConfigurationError(f"{place}: {message}")
