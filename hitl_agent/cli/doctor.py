"""The command `doctor`: what of this deployment breaks a promise, and what to do about it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import DatabaseOption, JsonOption, use_database

if TYPE_CHECKING:
    from hitl_agent.storage.doctor import Finding

_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(json_: JsonOption = False, database_url: DatabaseOption = None) -> None:
    """Check the database that agents work on; ends with 1 if a promise is not kept there.

    Example: hitl doctor --json
    """
    with output.reported(json_=json_):
        use_database(database_url)
        from hitl_agent.errors import DatabaseError
        from hitl_agent.storage import doctor as checks
        from hitl_agent.storage.location import data_dir, is_embedded, resolve_database_url

        try:
            data = data_dir() / "postgres" if is_embedded() else None
            findings = checks.examine(resolve_database_url(), checks.utc_now, data)
        except DatabaseError as error:  # the embedded server does not start
            findings = [checks.unusable(error)]
        if json_:
            output.print_json([dataclasses.asdict(one) for one in findings])
        else:
            _print(findings)
        bad = any(one.level == "error" for one in findings)
        raise typer.Exit(output.FAILED if bad else output.DONE)


def _print(findings: list[Finding]) -> None:
    wide = max(len(one.check) for one in findings)
    for one in findings:
        output.line(
            f"{one.level:<7}  {one.check:<{wide}}  {output.safe(one.what)}",
            style=_STYLES[one.level],
        )
        for name, text in (("why", one.why), ("do", one.todo)):
            if text:
                output.line(f"{'':<7}  {'':<{wide}}  {name + ':':<4} {output.safe(text)}")
