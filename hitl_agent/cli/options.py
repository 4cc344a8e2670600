"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hitl_agent.errors import InvalidDecision
from hitl_agent.storage.location import DATABASE_URL

ThreadArgument = Annotated[str, typer.Argument(metavar="THREAD", help="The thread's id.")]
GraphArgument = Annotated[
    str, typer.Argument(metavar="GRAPH", help="The graph's name in langgraph.json.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help=f"PostgreSQL to use; else {DATABASE_URL}, else the embedded server.",
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")]
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Who decides; else HITL_REVIEWER, else your login."),
]
CallOption = Annotated[
    str | None, typer.Option("--call", metavar="ID", help="The call; needed if several wait.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept on the record, told the planner.")
]


def use_database(url: str | None) -> None:
    """Make the given database the one of this process: graphs and tools look there too."""
    if url:
        os.environ[DATABASE_URL] = url


def reviewer_name(given: str | None) -> str:
    """Return who decides."""
    return given or os.environ.get("HITL_REVIEWER") or getpass.getuser()


def json_option(text: str, name: str) -> Any:
    """Read JSON from an option, or from a file when it starts with `@`.

    Raises:
        InvalidDecision: it is no JSON.
    """
    try:
        source = Path(text[1:]).read_text("utf-8") if text.startswith("@") else text
        return json.loads(source)
    except OSError as error:
        raise InvalidDecision(f"`{text[1:]}` cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidDecision(
            f"`{name}` is no JSON: {error}", hint=f"write it like {name} '{{\"key\": \"value\"}}'"
        ) from error
