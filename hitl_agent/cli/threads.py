"""Commands that look: list, show, history, graph."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import (
    DatabaseOption,
    GraphArgument,
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
    limit: LimitOption = 50,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print again whenever it changes.")
    ] = False,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """List the calls that wait for a person, most urgent first.

    Calls under `soft_review` have run, or will; approve or reject says whether that was right.

    Example: hitl list --tool refund_order --json
    """
    from hitl_agent.storage import reviews
    from hitl_agent.storage.database import shared_database

    with output.reported(json_=json_):
        use_database(database_url)
        database = shared_database()
        before: str | None = None
        while True:
            waiting = reviews.waiting(database, graph=graph, tool=tool, tier=tier, limit=limit)
            # on a terminal also the ages move on; a reader of lines wants news only
            live = watch and output.out.is_terminal and not json_
            now = _rendered(waiting) if live else str([one.request_id for one in waiting])
            if now != before:
                if live:
                    output.out.clear()
                _print(waiting, json_=json_)
            before = now
            if watch:
                time.sleep(_WATCH_SECONDS)
            if not watch or output.abandoned():
                break
        if waiting and not json_:
            output.hint(f"next: {command('show', waiting[0].thread_id)}")
            if len(waiting) == limit:
                output.hint(f"the first {limit} are shown; --limit N shows more")


def _rendered(waiting: Sequence[ReviewRequest]) -> str:
    with output.out.capture() as capture:
        _print(waiting, json_=False)
    return capture.get()


def _print(waiting: Sequence[ReviewRequest], *, json_: bool) -> None:
    from hitl_agent.cli.views import print_waiting

    if json_:
        output.print_json([one.to_json() for one in waiting])
    elif waiting:
        print_waiting(waiting)
    else:
        output.line("nothing waits")


def show(
    thread_id: ThreadArgument, json_: JsonOption = False, database_url: DatabaseOption = None
) -> None:
    """Show a thread: its task, what happened so far, what waits and why, what can be answered.

    Example: hitl show 7f3c --json
    """
    from hitl_agent.cli.views import next_steps, print_thread
    from hitl_agent.runtime import Runtime

    with output.reported(json_=json_):
        use_database(database_url)
        with Runtime.open() as runtime:
            view = runtime.thread(thread_id)
        if json_:
            output.print_json(view.to_json())
            return
        print_thread(view)
        output.next_hint(next_steps(view))


def history(
    thread_id: ThreadArgument,
    limit: LimitOption = 1000,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Show checkpoints, verdicts, decisions and executions of a thread, in order.

    Example: hitl history 7f3c
    """
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
        found = masked_entries(found, masks)
        if json_:
            output.print_json(found)
            return
        for one in found:
            if one["kind"] == "checkpoint":
                what = f"step {one['step']} ({one['source']})"
            else:
                what = f"{one['call_id']} {_told(one['body'])}"
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
            builder = find_project().load(graph_name)
            try:
                mermaid = builder.compile().get_graph().draw_mermaid()
            except ValueError as error:
                raise ConfigurationError(
                    f"graph `{graph_name}` cannot be compiled: {error}", hint="correct the graph"
                ) from error
        if json_:
            output.print_json({"graph": graph_name, "mermaid": mermaid})
        else:
            output.line(output.safe_lines(mermaid.strip().expandtabs(4)))


def _told(body: dict[str, object]) -> str:
    """Return the few words of an entry that tell it from the next."""
    verdict = body.get("verdict")
    told = [
        body.get("type"),
        verdict.get("tier") if isinstance(verdict, dict) else None,
        f"by {body['reviewer'] or 'a resume value'}" if "reviewer" in body else None,
        f"by {body['source']}" if "source" in body else None,
        body.get("message"),
        body.get("problem"),
        body.get("tool"),
        json.dumps(body["args"], ensure_ascii=False) if body.get("args") else None,
    ]
    result = body.get("result")
    if isinstance(result, dict):
        told.append(str(result.get("content")))
    return " ".join(str(one) for one in told if one)
