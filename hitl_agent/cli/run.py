"""Commands that drive a thread: run, resume."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import (
    DatabaseOption,
    GraphArgument,
    GraphNameOption,
    JsonOption,
    LimitOption,
    ThreadArgument,
    json_option,
    use_database,
)
from hitl_agent.errors import ConfigurationError, HitlError, InvalidDecision, UnknownThread
from hitl_agent.review.rendering import command

if TYPE_CHECKING:
    from hitl_agent.recovery import Recovered
    from hitl_agent.runtime import Runtime
    from hitl_agent.storage.leases import Halted
    from hitl_agent.thread_view import ThreadView

_MAX_THREAD_ID = 255


def run(
    graph: GraphArgument,
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="What the agent is asked.")
    ] = None,
    runbook: Annotated[
        Path | None, typer.Option("--runbook", metavar="FILE", help="The plan to follow.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Such as openai:gpt-5.")
    ] = None,
    thread_id: Annotated[
        str | None, typer.Option("--thread", metavar="ID", help="Its id; else a new one.")
    ] = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Start a thread: plan, judge, run what may run, stop at the gate.

    Ends with 0 when done, 3 when a call waits for a person, 1 when it failed.

    Example: hitl run order_desk --runbook refund.yaml
    """
    from hitl_agent.cli.drive import conclude, drive, load_graph
    from hitl_agent.project import find_project
    from hitl_agent.runbook import load_runbook
    from hitl_agent.runtime import Runtime

    with output.reported(json_=json_) as report:
        name = _thread_id(thread_id)
        plan = load_runbook(runbook) if runbook else None
        find_project().require(graph)
        task = task or (plan.task if plan else None)
        if not task or not task.strip():
            again = command("run", graph)
            raise ConfigurationError("there is nothing to do", hint=f'say it: {again} "TASK"')
        use_database(database_url)
        with Runtime.open() as runtime:
            compiled = load_graph(runtime, graph)
            _require_free(runtime, name)
            state: dict[str, Any] = {
                "runbook": plan.to_json() if plan else {},
                "model": model or "",
            }
            if not json_:
                output.line(f"{'thread':<12} {output.safe(name)}", style="dim")
            report.thread_id = name
            graph_input = runtime.start_input(task, **state)
            view = drive(runtime, compiled, name, graph_input, json_=json_)
            report.thread_id = None
            conclude(view, json_=json_)


def resume(
    thread_id: ThreadArgument,
    payload: Annotated[
        str | None,
        typer.Option(
            "--payload",
            metavar="JSON or @FILE",
            help="A LangGraph Command: an object with resume, update or goto.",
        ),
    ] = None,
    graph: GraphNameOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Continue a thread whose decisions are in, or that stopped halfway.

    With --payload, resume it with a raw LangGraph Command.

    Example: hitl resume 7f3c --payload '{"resume": {"type": "approve"}}'
    """
    from hitl_agent.cli.drive import conclude, drive, graph_of
    from hitl_agent.runtime import Runtime

    with output.reported(json_=json_) as report:
        command = _command(json_option(payload, "--payload")) if payload is not None else None
        use_database(database_url)
        with Runtime.open() as runtime:
            view = runtime.thread(thread_id)
            compiled = graph_of(runtime, view, graph)
            if not view.thread.elsewhere:
                view = runtime.thread(thread_id, compiled)
            continued = runtime.resume_input(compiled, thread_id)
            if command is not None:
                graph_input: Any = runtime.command(compiled, view, command)
            elif continued is None and _unanswered(view):
                conclude(view, json_=json_)
            else:
                graph_input = continued
            report.thread_id = thread_id
            view = drive(runtime, compiled, thread_id, graph_input, json_=json_)
            report.thread_id = None
            conclude(view, json_=json_)


def _unanswered(view: ThreadView) -> bool:
    """Whether going on would only ask again; a task that failed since it was answered may go on."""
    return bool(view.waiting or (view.asks and not view.thread.error))


def recover(
    limit: LimitOption = 100,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the threads, longest ago first.")
    ] = False,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Go on with threads that were left halfway, longest ago first.

    Their process is gone, or their decision is in and nobody has taken it up. Nobody is asked
    again, and no call runs twice. Ends with 1 if a thread could not go on.

    Example: hitl recover --dry-run
    """
    from hitl_agent.cli.capture import captured, stoppable
    from hitl_agent.cli.drive import graph_of
    from hitl_agent.recovery import recover as go_on
    from hitl_agent.runtime import Runtime

    with output.reported(json_=json_):
        use_database(database_url)
        with Runtime.open() as runtime:
            if dry_run:
                _print_halted(runtime.leases.halted(limit=limit), json_=json_)
                return
            going = go_on(
                runtime, lambda thread: graph_of(runtime, runtime.thread(thread)), limit=limit
            )
            found = []
            while True:
                with captured(), stoppable():
                    one = next(going, None)
                if one is None:
                    break
                found.append(one)
                if not json_:
                    _print_recovered(one)
    if json_:
        output.print_json([one.to_json() for one in found])
    elif not found:
        output.line("no thread was left halfway")
    if any(one.error for one in found):
        raise typer.Exit(output.FAILED)


def _print_recovered(one: Recovered) -> None:
    why = f": {output.safe(one.error)}" if one.error else ""
    output.line(f"{one.status:<12} {output.safe(one.thread_id)}{why}")
    if one.hint:
        output.hint(one.hint)


def _print_halted(halted: Sequence[Halted], *, json_: bool) -> None:
    if json_:
        output.print_json([{"thread_id": one.thread_id, "holder": one.holder} for one in halted])
        return
    for one in halted:
        output.line(f"{output.safe(one.thread_id)}  last driven by {output.safe(one.holder)}")
    if not halted:
        output.line("no thread was left halfway")


def _thread_id(given: str | None) -> str:
    if given is None:
        return uuid.uuid4().hex[:12]
    if not given.strip() or len(given) > _MAX_THREAD_ID:
        raise ConfigurationError(
            f"a thread's id has 1 to {_MAX_THREAD_ID} characters",
            hint="leave --thread out for a new one",
        )
    return given


def _require_free(runtime: Runtime, thread_id: str) -> None:
    """Refuse to start a thread over one that waits or runs: its questions would be lost."""
    try:
        thread = runtime.thread(thread_id).thread
    except UnknownThread:
        return
    if thread.status in ("waiting", "running", "breakpoint"):
        raise HitlError(
            f"thread `{thread_id}` exists and is {thread.status}",
            hint=f"see `{command('show', thread_id)}`, or take another --thread",
        )


def _command(payload: Any) -> Mapping[str, Any]:
    keys = {"resume", "update", "goto"}
    if not isinstance(payload, dict) or not payload or not payload.keys() <= keys:
        raise InvalidDecision(
            "a payload is an object with resume, update or goto",
            hint='write it like --payload \'{"resume": {"type": "approve"}}\'',
        )
    return payload
