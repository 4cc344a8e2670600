"""Commands that look: list, show, history, graph."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import (
    DatabaseOption,
    GraphArgument,
    JsonOption,
    LimitOption,
    ThreadArgument,
    use_database,
)

_WATCH_SECONDS = 2.0


def list_(
    graph: Annotated[str | None, typer.Option("--graph", help="Only this graph.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Only this tool.")] = None,
    limit: LimitOption = 50,
    watch: Annotated[bool, typer.Option("--watch", help="Print again whenever it changes.")] = False,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """List the calls that wait for a person, most urgent first.

    Example: hitl list --tool refund_order --json
    """
    from hitl_agent.cli.views import print_waiting
    from hitl_agent.storage import reviews
    from hitl_agent.storage.database import shared_database

    use_database(database_url)
    with output.reported(json_=json_):
        database = shared_database()
        before: list[str] | None = None
        while True:
            waiting = reviews.waiting(database, graph=graph, tool=tool, limit=limit)
            now = [one.request_id for one in waiting]
            if now != before:
                if watch and output.out.is_terminal and not json_:
                    output.out.clear()
                if json_:
                    output.print_json([one.to_json() for one in waiting])
                elif waiting:
                    print_waiting(waiting)
                else:
                    output.line("nothing waits")
            if not watch:
                break
            before = now
            time.sleep(_WATCH_SECONDS)
        if waiting and not json_:
            output.hint(f"next: hitl show {output.safe(waiting[0].thread_id)}")


def show(
    thread_id: ThreadArgument, json_: JsonOption = False, database_url: DatabaseOption = None
) -> None:
    """Show a thread: its task, what happened so far, what waits and why, what can be answered.

    Example: hitl show 7f3c --json
    """
    from hitl_agent.cli import views
    from hitl_agent.runtime import Runtime

    use_database(database_url)
    with output.reported(json_=json_), Runtime.open() as runtime:
        view = runtime.thread(thread_id)
        if json_:
            output.print_json(view.to_json())
            return
        thread = view.thread
        views.print_field("thread", thread.thread_id)
        views.print_field("graph", thread.graph)
        views.print_field("status", thread.status, style="bold")
        if thread.error:
            views.print_field("error", thread.error, style="red")
        views.print_field("task", view.task)
        if view.results:
            views.print_field("so far", "")
            views.print_results(view.results)
        for one in view.waiting:
            output.line("")
            views.print_request(one)
        name = output.safe(thread.thread_id)
        if view.waiting:
            call = f" --call {output.safe(view.waiting[0].call.call_id)}"
            output.hint(f"next: hitl approve {name}{call if len(view.waiting) > 1 else ''}")
        elif thread.status in ("running", "failed"):
            output.hint(f"next: hitl resume {name}")


def history(
    thread_id: ThreadArgument,
    limit: LimitOption = 1000,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Show checkpoints, verdicts, decisions and executions of a thread, in order.

    Example: hitl history 7f3c
    """
    from hitl_agent.runtime import Runtime

    use_database(database_url)
    with output.reported(json_=json_), Runtime.open() as runtime:
        found = runtime.history(thread_id, limit=limit)
        if json_:
            output.print_json(found)
            return
        for one in found:
            if one["kind"] == "checkpoint":
                what = f"step {one['step']} ({one['source']})"
            else:
                what = f"{one['call_id']} {_told(one['body'])}"
            output.line(f"{output.safe(one['at'])[:23]}  {one['kind']:<15} {output.safe(what)}")


def graph(graph_name: GraphArgument, json_: JsonOption = False) -> None:
    """Print a graph as Mermaid text.

    Example: hitl graph order_desk > order_desk.mmd
    """
    from hitl_agent.project import find_project

    with output.reported(json_=json_):
        mermaid = find_project().load(graph_name).compile().get_graph().draw_mermaid()
        if json_:
            output.print_json({"graph": graph_name, "mermaid": mermaid})
        else:
            output.line(output.safe_lines(mermaid))


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
        body.get("args"),
    ]
    result = body.get("result")
    if isinstance(result, dict):
        told.append(str(result.get("content"))[:120])
    return " ".join(str(one) for one in told if one)
