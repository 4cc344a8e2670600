"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from hitl_agent.cli.completion import graph_names, waiting_threads
from hitl_agent.errors import ConfigurationError, InvalidDecision
from hitl_agent.review import written
from hitl_agent.storage.location import DATABASE_URL

ThreadArgument = Annotated[
    str,
    typer.Argument(metavar="THREAD", help="The thread's id.", autocompletion=waiting_threads),
]
GraphArgument = Annotated[
    str,
    typer.Argument(
        metavar="GRAPH", help="The graph's name in langgraph.json.", autocompletion=graph_names
    ),
]
GraphOption = Annotated[
    str | None,
    typer.Option("--graph", metavar="NAME", help="Only this graph.", autocompletion=graph_names),
]
GraphNameOption = Annotated[
    str | None,
    typer.Option(
        "--graph",
        metavar="NAME",
        help="The thread's graph in langgraph.json, where the thread does not say it.",
        autocompletion=graph_names,
    ),
]
ToolOption = Annotated[str | None, typer.Option("--tool", metavar="NAME", help="Only this tool.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help=f"PostgreSQL to use; else {DATABASE_URL}, else the embedded server.",
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")
]
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
    """Make the given database the one of this process: graphs and tools look there too.

    Without one, the environment names it, else the `env` of the project's `langgraph.json`.

    Raises:
        ConfigurationError: no database is named and `langgraph.json` cannot be read.
    """
    from hitl_agent.project import use_settings

    if url is not None:
        if not url.strip():
            raise ConfigurationError(
                "`--database-url` is empty", hint="write it like `postgresql://user@host:5432/name`"
            )
        os.environ[DATABASE_URL] = url
    if os.environ.get(DATABASE_URL):
        with suppress(ConfigurationError):
            use_settings()
    else:
        use_settings()


def reviewer_name(given: str | None) -> str:
    """Return who decides.

    Raises:
        ConfigurationError: nobody is named and this process has no login.
    """
    name = given if given is not None else os.environ.get("HITL_REVIEWER")
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise ConfigurationError("nobody says who decides", hint="add --as NAME") from error


def json_option(text: str, name: str) -> Any:
    """Read JSON from an option, from a file when it starts with `@`, from stdin when it is `@-`.

    Raises:
        InvalidDecision: it is no JSON, or says something twice, or cannot be stored.
    """
    source = text
    if text.startswith("@"):
        try:
            source = sys.stdin.read() if text == "@-" else Path(text[1:]).read_text("utf-8-sig")
        except OSError as error:
            raise InvalidDecision(
                f"`{text[1:]}` cannot be read: {error.strerror}",
                hint=f"name another file: {name} @FILE",
            ) from error
        except UnicodeDecodeError as error:
            raise InvalidDecision(f"`{text[1:]}` is not UTF-8", hint="save it as UTF-8") from error
    return read_json(source, name)


def object_option(text: str, name: str) -> dict[str, Any]:
    """Read a JSON object like `json_option`.

    Raises:
        InvalidDecision: see `json_option`, or it is no object.
    """
    value = json_option(text, name)
    if not isinstance(value, dict):
        raise InvalidDecision(f"`{name}` is no JSON object", hint=_written(name))
    return value


def _written(name: str) -> str:
    return f'write it like {name} \'{{"key": "value"}}\''


def read_json(text: str, name: str) -> Any:
    """Read JSON that a person wrote, strictly.

    Raises:
        InvalidDecision: see `json_option`.
    """
    return written.read_json(text, name, hint=_written(name))
