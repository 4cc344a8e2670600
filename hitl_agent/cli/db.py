"""Commands for the database: status, migrate, interrupts, stop."""

from __future__ import annotations

from typing import Annotated

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import DatabaseOption, JsonOption, use_database
from hitl_agent.errors import HitlError
from hitl_agent.storage.location import data_dir, is_embedded, resolve_database_url

app = typer.Typer(
    no_args_is_help=True, help="Look after the database. Example: hitl db status --json"
)


@app.command()
def status(json_: JsonOption = False, database_url: DatabaseOption = None) -> None:
    """Say which database is used and whether its schema is ready; ends with 1 if it is not.

    Example: hitl db status --json
    """
    from hitl_agent.storage.connection import connect
    from hitl_agent.storage.migrate import status as schema_status

    with output.reported(json_=json_):
        use_database(database_url)
        embedded = is_embedded()
        url = resolve_database_url()
        with connect(url) as connection:
            found = schema_status(connection)
            name = f"{connection.info.dbname} on {connection.info.host}:{connection.info.port}"
        pending = [f"{version:04}_{one}" for version, one in found.pending]
        if json_:
            output.print_json(
                {
                    "database": name,
                    "embedded": embedded,
                    "server": found.server,
                    "applied": list(found.applied),
                    "pending": pending,
                    "unknown": list(found.unknown),
                    "ready": found.ready,
                }
            )
        else:
            kind = " (embedded)" if embedded else ""
            output.line(f"database   {output.safe(name)}{kind}")
            output.line(f"server     PostgreSQL {found.server}")
            output.line(f"schema     {'ready' if found.ready else 'not ready'}")
            for one in pending:
                output.line(f"pending    {one}")
            if pending:
                output.hint("next: hitl db migrate")
        raise typer.Exit(output.DONE if found.ready else output.FAILED)


@app.command()
def migrate(json_: JsonOption = False, database_url: DatabaseOption = None) -> None:
    """Create or upgrade the schema. Safe to run from several machines at once.

    Example: hitl db migrate --database-url postgresql://app@db.internal/app
    """
    from hitl_agent.storage.migrate import migrate as apply

    with output.reported(json_=json_):
        use_database(database_url)
        applied = apply(resolve_database_url())
        if json_:
            output.print_json({"applied": applied})
        else:
            for one in applied:
                output.line(f"applied    {one}")
            output.line("schema     ready")


@app.command()
def interrupts(
    on: Annotated[
        bool | None,
        typer.Option("--on/--off", help="Set them up and look at all threads, or take them away."),
    ] = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Say whether threads of other graphs are noted for `hitl list`, by triggers on their tables.

    With --on or --off set the triggers up or take them away, as the owner of LangGraph's tables.
    Runs that write checkpoints wait meanwhile. --on also helps after a restore without triggers.

    Example: hitl db interrupts --on
    """
    from hitl_agent.storage import interrupts as noted
    from hitl_agent.storage.database import shared_database

    with output.reported(json_=json_):
        use_database(database_url)
        database = shared_database()
        if on is not None:
            noted.watch(database, wanted=on)
        state = noted.watched(database)
        if json_:
            output.print_json({"interrupts": state})
        else:
            output.line(f"interrupts {'on' if state else 'off'}")


@app.command()
def stop(json_: JsonOption = False) -> None:
    """Stop the embedded server. The data stays; the next command starts it again.

    Example: hitl db stop
    """
    from hitl_agent.storage.embedded import stop as stop_server

    with output.reported(json_=json_):
        use_database(None)
        if not is_embedded():
            raise HitlError(
                "the database is a server of its own, not the embedded one",
                hint="unset HITL_DATABASE_URL to stop the embedded server",
            )
        stopped = stop_server(data_dir() / "postgres")
        if json_:
            output.print_json({"stopped": stopped})
        else:
            output.line("stopped" if stopped else "no embedded server runs")
