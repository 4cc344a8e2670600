"""Commands that look: list, show, history, graph."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import (
    DatabaseOption,
    GraphArgument,
    GraphNameOption,
    GraphOption,
    JsonOption,
    LimitOption,
    ThreadArgument,
    ToolOption,
    use_database,
)
from hitl_agent.errors import ConfigurationError
from hitl_agent.policy import Tier
from hitl_agent.review.rendering import command

if TYPE_CHECKING:
    from hitl_agent.review import ReviewRequest
    from hitl_agent.storage.database import Database
    from hitl_agent.storage.interrupts import Asked
    from hitl_agent.storage.threads import Thread

_HISTORY_LIMIT = 400
"""Characters of a line of history; `--json` has it all."""

_WATCH_SECONDS = 2.0


def _known_tier(tier: str | None) -> str | None:
    # by hand: for a choice typer loads pydantic, which takes longer than the list
    asked = (Tier.HARD_GATE, Tier.SOFT_REVIEW)
    if tier is not None and tier not in asked:
        raise typer.BadParameter(f"`{tier}` is no tier that waits; write {' or '.join(asked)}")
    return tier


def list_(
    graph: GraphOption = None,
    tool: ToolOption = None,
    tier: Annotated[
        str | None,
        typer.Option(
            "--tier",
            metavar="TIER",
            callback=_known_tier,
            help="Only `hard_gate`, or only `soft_review`.",
        ),
    ] = None,
    all_graphs: Annotated[
        bool,
        typer.Option(
            "--all-graphs",
            help="Also threads of any graph that stopped elsewhere: breakpoint, failed, running.",
        ),
    ] = False,
    limit: LimitOption = 50,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print again whenever it changes.")
    ] = False,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """List the calls that wait for a person, most urgent first, then what other graphs ask.

    Calls under `soft_review` have run, or will; approve or reject says whether that was right.

    Example: hitl list --tool refund_order --json
    """
    from hitl_agent.storage import interrupts
    from hitl_agent.storage.database import shared_database

    with output.reported(json_=json_):
        use_database(database_url)
        database = shared_database()
        before: str | None = None
        while True:
            found = _Found.now(database, graph, tool, tier, limit, all_graphs=all_graphs)
            # on a terminal also the ages move on; a reader of lines wants news only
            live = watch and output.out.is_terminal and not json_
            now = _rendered(found) if live else found.news
            if now != before:
                if live:
                    output.out.clear()
                _print(found, json_=json_)
            before = now
            if watch:
                time.sleep(_WATCH_SECONDS)
            if not watch or output.abandoned():
                break
        if all_graphs and not interrupts.watched(database):
            output.hint("threads of other graphs are not noted: `hitl db interrupts --on`")
        shown = [*found.calls, *found.others]
        if shown and not json_:
            output.hint(f"next: {command('show', shown[0].thread_id)}")
            if len(shown) >= limit:
                output.hint(f"the first {limit} are shown; --limit N shows more")


@dataclass(frozen=True, slots=True)
class _Found:
    """What `hitl list` shows at one moment: together at most as much as was asked for.

    Attributes:
        calls: calls that wait for a person.
        others: what graphs ask by themselves, and threads that stopped for another reason.
    """

    calls: Sequence[ReviewRequest]
    others: Sequence[Asked | Thread]

    @classmethod
    def now(
        cls,
        database: Database,
        graph: str | None,
        tool: str | None,
        tier: str | None,
        limit: int,
        *,
        all_graphs: bool,
    ) -> _Found:
        from hitl_agent.storage import interrupts, reviews
        from hitl_agent.storage.encryption import configured_cipher

        calls = reviews.waiting(database, graph=graph, tool=tool, tier=tier, limit=limit)
        others: list[Asked | Thread] = []
        if tool is None and tier is None:  # what graphs ask by themselves has neither
            if left := limit - len(calls):
                cipher = configured_cipher()
                others += interrupts.asked(database, cipher=cipher, graph=graph, limit=left)
            if all_graphs and (left := limit - len(calls) - len(others)):
                from hitl_agent.runtime import Runtime

                others += Runtime(database).stopped(graph=graph, limit=left)
        return cls(calls, others)

    @property
    def news(self) -> str:
        """What is another text when something is new."""
        others = [one.to_json() for one in self.others]
        keys = ("thread_id", "status", "interrupt_id")
        return str(
            [
                [one.request_id for one in self.calls],
                [[one[key] for key in keys] for one in others],
            ]
        )


def _rendered(found: _Found) -> str:
    with output.out.capture() as capture:
        _print(found, json_=False)
    return capture.get()


def _print(found: _Found, *, json_: bool) -> None:
    from hitl_agent.cli.views import print_others, print_waiting

    if json_:
        calls = [one.to_json() for one in found.calls]
        output.print_json([*calls, *(one.to_json() for one in found.others)])
        return
    if found.calls:
        print_waiting(found.calls)
    if found.others:
        if found.calls:
            output.line("")
        print_others(found.others)
    elif not found.calls:
        output.line("nothing waits")


def show(
    thread_id: ThreadArgument,
    graph: GraphNameOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Show a thread: its task, what happened so far, what waits and why, what can be answered.

    With --graph also what only its graph knows, such as whether it stands at a breakpoint.

    Example: hitl show 7f3c --json
    """
    from hitl_agent.cli.views import next_steps, print_thread
    from hitl_agent.runtime import Runtime

    with output.reported(json_=json_):
        use_database(database_url)
        with Runtime.open() as runtime:
            view = runtime.thread(thread_id)
            if graph is not None:
                from hitl_agent.cli.drive import load_graph

                view = runtime.thread(thread_id, load_graph(runtime, graph))
        if json_:
            output.print_json(view.to_json())
            return
        print_thread(view)
        output.next_hint(next_steps(view, graph))


def history(
    thread_id: ThreadArgument,
    limit: LimitOption = 1000,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Show checkpoints, verdicts, decisions and executions of a thread, in order.

    Example: hitl history 7f3c
    """
    from hitl_agent.history import told
    from hitl_agent.review.redaction import Mask, masked_entries
    from hitl_agent.runtime import Runtime
    from hitl_agent.storage import judgements

    with output.reported(json_=json_):
        use_database(database_url)
        with Runtime.open() as runtime:
            found = runtime.history(thread_id, limit=limit)
            calls = {str(one["call_id"]) for one in found if one.get("call_id")}
            known = judgements.newest(runtime.database, thread_id, sorted(calls))
        masks = {key: Mask(one.call.args, one.verdict.redactions) for key, one in known.items()}
        shown = masked_entries(found, masks)
        if json_:
            output.print_json(shown)
            return
        for one in shown:
            if one["kind"] == "checkpoint":
                what = f"step {one['step']} ({one['source']})"
            else:
                what = f"{one['call_id']} {told(one['body'])}"
            kind, what = output.safe(one["kind"]), output.safe(what, limit=_HISTORY_LIMIT)
            output.line(f"{output.safe(one['at'])[:23]}  {kind:<15} {what}".rstrip())


def graph(graph_name: GraphArgument, json_: JsonOption = False) -> None:
    """Print a graph as Mermaid text.

    Example: hitl graph order_desk > order_desk.mmd
    """
    from hitl_agent.cli.capture import captured
    from hitl_agent.project import find_project

    with output.reported(json_=json_):
        with captured():
            found = find_project().load(graph_name)
            try:
                compiled = found.compile() if hasattr(found, "compile") else found
                mermaid = compiled.get_graph().draw_mermaid()
            except ValueError as error:
                raise ConfigurationError(
                    f"graph `{graph_name}` cannot be compiled: {error}", hint="correct the graph"
                ) from error
        if json_:
            output.print_json({"graph": graph_name, "mermaid": mermaid})
        else:
            output.line(output.safe_lines(mermaid.strip().expandtabs(4)))
