"""The `hitl` command."""

from __future__ import annotations

import typer

from hitl_agent.cli import db, decide, run, threads

app = typer.Typer(
    name="hitl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(
        "Run agents whose risky calls wait for a person; list, show and decide what waits.\n\n"
        "Ends with 0 done, 1 failed or refused, 2 wrong usage, 3 stopped and waiting for review, "
        "130 interrupted.\n\nExample: hitl list"
    ),
)
app.command("run")(run.run)
app.command("list")(threads.list_)
app.command("show")(threads.show)
for decision in (decide.approve, decide.reject, decide.edit, decide.respond):
    app.command()(decision)
app.command("resume")(run.resume)
app.command("review")(decide.review)
app.command("history")(threads.history)
app.command("graph")(threads.graph)
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command line."""
    app()
