"""The commands of `hitl`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from hitl_agent.cli import db, decide, doctor, outages, output, policy, review, run, threads
from hitl_agent.cli.group import HitlGroup

app = typer.Typer(
    name="hitl",
    cls=HitlGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(
        "Run agents whose risky calls wait for a person; list, show and decide what waits.\n\n"
        "Ends with 0 done, 1 failed or refused, 2 wrong usage, 3 stopped and waiting for review, "
        "130 interrupted.\n\nExample: hitl list"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            output.line(f"hitl-agent {version('hitl-agent')}")
        except PackageNotFoundError:  # run from a checkout that is not installed
            output.line("hitl-agent, not installed")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    outages.tell()


app.command("run")(run.run)
app.command("list")(threads.list_)
app.command("show")(threads.show)
for decision in (decide.approve, decide.reject, decide.edit, decide.respond):
    app.command()(decision)
app.command("resume")(run.resume)
app.command("recover")(run.recover)
app.command("review")(review.review)
app.command("history")(threads.history)
app.command("graph")(threads.graph)
app.add_typer(policy.app, name="policy")
app.command("doctor")(doctor.doctor)
app.add_typer(db.app, name="db")
