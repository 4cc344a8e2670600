"""Where the commands for policies take things from: files, graphs, moments."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hitl_agent.cli.capture import captured
from hitl_agent.errors import ConfigurationError
from hitl_agent.project import FILE, find_project

if TYPE_CHECKING:
    from hitl_agent.graph.gate import Gate
    from hitl_agent.policy import Policy
    from hitl_agent.policy.suggest import ToolDescription

POLICY = "policies.yaml"

_MAX_BYTES = 16_000_000
"""Largest list of tools that is read at all."""

_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def default_policy() -> Path:
    """Return the project's policy: in the working directory, or beside `langgraph.json` above it.

    Raises:
        ConfigurationError: there is none.
    """
    here = Path.cwd()
    roots = [one for one in (here, *here.parents) if (one / FILE).is_file()][:1]
    for folder in (here, *roots):
        if (folder / POLICY).is_file():
            return Path(POLICY) if folder == here else folder / POLICY
    raise ConfigurationError(
        f"there is no `{POLICY}` in `{here}`, nor beside a `{FILE}` above it",
        hint="name the file: --policy FILE",
    )


def tool_meant(policy: Policy, name: str) -> tuple[str, str | None]:
    """Return the tool whose call is to be judged, and what to say of it.

    A type of action that one tool has stands for that tool.
    """
    from hitl_agent.policy.document import is_exact

    entries = policy.document.tools
    if name in entries:
        return name, None
    having = [
        pattern
        for pattern, entry in entries.items()
        if entry.action_type == name and is_exact(pattern)
    ]
    if len(having) == 1:
        return having[0], f"`{name}` is the type of action of `{having[0]}`, which was judged"
    if having:
        tools = ", ".join(f"`{one}`" for one in having)
        return name, f"`{name}` is the type of action of {tools}; name one to see what it adds"
    return name, None


def gate_of(graph: str) -> Gate:
    """Return the gate of a graph of the project, which knows its tools.

    Raises:
        ConfigurationError: there is no such graph, or `build_graph` did not make it.
    """
    from hitl_agent.graph import builder

    with captured():
        gate = builder.gate_of(find_project().load(graph))
    if gate is None:
        raise ConfigurationError(
            f"graph `{graph}` was not made by `build_graph`, and its tools are not known",
            hint="leave --graph out, or list its tools in a file for `hitl policy suggest`",
        )
    return gate


def schemas_of(graph: str) -> Mapping[str, Mapping[str, Any]]:
    """Return JSON schemas of the arguments of a graph's tools, by tool.

    Raises:
        ConfigurationError: see `gate_of`.
    """
    return gate_of(graph).schemas


def described_tools(source: str | None, graph: str | None) -> list[ToolDescription]:
    """Return tools as they describe themselves, from a file, stdin (`-`) or a graph.

    Raises:
        ConfigurationError: neither or both are named, or it is no list of tools.
    """
    from hitl_agent.policy.suggest import ToolDescription, read_tools

    if (source is None) == (graph is None):
        raise ConfigurationError(
            "name a list of tools, or a graph", hint="see `hitl policy suggest --help`"
        )
    if source is not None:
        return read_tools(_text(source), file="stdin" if source == "-" else source)
    from hitl_agent.graph.hints import hints_of

    gate = gate_of(str(graph))
    return [
        ToolDescription(one.name, one.description, gate.schemas[one.name], hints_of(one) or {})
        for one in gate.tools
    ]


def _text(source: str) -> str:
    """Return what a file or stdin holds.

    Raises:
        ConfigurationError: it cannot be read, or is too large.
    """
    try:
        if source != "-":
            with Path(source).open("rb") as stream:
                content = stream.read(_MAX_BYTES + 1)
        elif sys.stdin is None:
            content = b""
        else:
            content = sys.stdin.buffer.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise ConfigurationError(
            f"`{source}` cannot be read: {why}", hint="name another"
        ) from error
    if len(content) > _MAX_BYTES:
        raise ConfigurationError(
            f"`{source}` is larger than {_MAX_BYTES:,} bytes", hint="split the list"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"`{source}` is not UTF-8", hint="save it as UTF-8") from error


def start_of(text: str, now: datetime | None = None) -> datetime:
    """Return the moment that `--since` names: `7d` ago, or one in ISO 8601; in UTC without a zone.

    Raises:
        ConfigurationError: it names none.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"`--since` is `{text}`, no time", hint="write it like 7d, 24h or 2026-03-01"
        ) from error
