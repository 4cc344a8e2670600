"""Commands that decide: approve, reject, edit, respond, review."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import (
    AsOption,
    CallOption,
    DatabaseOption,
    JsonOption,
    ReasonOption,
    ThreadArgument,
    json_option,
    reviewer_name,
    use_database,
)
from hitl_agent.errors import HitlError, InvalidDecision, NothingWaiting
from hitl_agent.review.decision import Approve, Decision, Edit, Reject, Respond

if TYPE_CHECKING:
    from hitl_agent.review import ReviewRequest
    from hitl_agent.runtime import Runtime

Answer = Callable[["ReviewRequest"], Decision]


def approve(
    thread_id: ThreadArgument,
    call: CallOption = None,
    reason: ReasonOption = "",
    reviewer: AsOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Approve a call, or all that wait in the thread, and resume it.

    Example: hitl approve 7f3c --reason "checked with the customer"
    """
    _decide(
        thread_id,
        call,
        lambda _: Approve(reason),
        reviewer=reviewer,
        json_=json_,
        database_url=database_url,
        all_=True,
    )


def reject(
    thread_id: ThreadArgument,
    call: CallOption = None,
    reason: ReasonOption = "",
    reviewer: AsOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Reject a call, or all that wait in the thread, and resume it.

    Example: hitl reject 7f3c --call refund.1 --reason "already refunded"
    """
    _decide(
        thread_id,
        call,
        lambda _: Reject(reason),
        reviewer=reviewer,
        json_=json_,
        database_url=database_url,
        all_=True,
    )


def edit(
    thread_id: ThreadArgument,
    args: Annotated[
        str | None,
        typer.Option("--args", metavar="JSON or @FILE", help="New arguments; else $EDITOR opens."),
    ] = None,
    call: CallOption = None,
    reason: ReasonOption = "",
    reviewer: AsOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Change the arguments of a call; the changed call is judged again before it may run.

    Example: hitl edit 7f3c --args '{"order_id": "A-1001", "amount": 20}'
    """

    def answer(request: ReviewRequest) -> Edit:
        return Edit(_edited(request) if args is None else json_option(args, "--args"), reason)

    _decide(
        thread_id, call, answer, reviewer=reviewer, json_=json_, database_url=database_url
    )


def respond(
    thread_id: ThreadArgument,
    call: CallOption = None,
    reason: ReasonOption = "",
    reviewer: AsOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Answer in the tool's place: the call does not run, the planner gets the text of --reason.

    Example: hitl respond 7f3c --reason "the customer withdrew"
    """
    _decide(
        thread_id,
        call,
        lambda _: Respond(reason),
        reviewer=reviewer,
        json_=json_,
        database_url=database_url,
    )


def review(
    reviewer: AsOption = None,
    graph: Annotated[str | None, typer.Option("--graph", help="Only this graph.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Only this tool.")] = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Go through what waits, one by one.

    Example: hitl review --as ana --tool refund_order
    """
    from hitl_agent.cli.views import print_request
    from hitl_agent.runtime import Runtime

    use_database(database_url)
    seen: set[str] = set()
    decided: list[dict[str, Any]] = []
    with output.reported(json_=json_), Runtime.open() as runtime:
        while True:
            waiting = runtime.waiting(graph=graph, tool=tool, limit=1000)
            request = next((one for one in waiting if one.request_id not in seen), None)
            if request is None:
                break
            seen.add(request.request_id)
            if not json_:
                output.line("")
                output.line(f"thread     {output.safe(request.thread_id)}")
                output.line(f"task       {output.safe(request.task)}")
                print_request(request)
            answer = _asked(request)
            if answer == "quit":
                break
            if isinstance(answer, str):
                continue
            try:
                runtime.decide(request, answer, reviewer=reviewer_name(reviewer), channel="cli")
                _resume(runtime, request.thread_id, json_=json_)
            except HitlError as error:
                output.err.print(f"error: {output.safe_lines(error)}", style="red")
                continue
            decided.append({"request_id": request.request_id, "decision": answer.type})
        left = len(runtime.waiting(graph=graph, tool=tool, limit=1000))
        if json_:
            output.print_json({"decided": decided, "waiting": left})
        else:
            output.line(f"{len(decided)} decided, {left} waiting")
        raise typer.Exit(output.WAITING if left else output.DONE)


def _decide(
    thread_id: str,
    call: str | None,
    answer: Answer,
    *,
    reviewer: str | None,
    json_: bool,
    database_url: str | None,
    all_: bool = False,
) -> None:
    """Record the decision, then resume the thread.

    Args:
        thread_id: the thread.
        call: one call of it, or None.
        answer: makes the decision on a request.
        reviewer: who decides, or None.
        json_: whether to print JSON.
        database_url: the database, or None.
        all_: whether the decision may be given on all that wait at once.
    """
    from hitl_agent.cli.drive import conclude
    from hitl_agent.runtime import Runtime

    use_database(database_url)
    with output.reported(json_=json_, thread_id=thread_id), Runtime.open() as runtime:
        for request in _requests(runtime, thread_id, call, all_=all_):
            runtime.decide(
                request, answer(request), reviewer=reviewer_name(reviewer), channel="cli"
            )
        conclude(_resume(runtime, thread_id, json_=json_), json_=json_)


def _requests(
    runtime: Runtime, thread_id: str, call: str | None, *, all_: bool
) -> Sequence[ReviewRequest]:
    if call is not None:
        return [runtime.request(thread_id, call)]
    view = runtime.thread(thread_id)
    if not view.waiting:
        raise NothingWaiting(
            f"nothing waits in thread `{thread_id}`, it is {view.thread.status}",
            hint=f"see `hitl show {thread_id}`",
        )
    if len(view.waiting) > 1 and not all_:
        calls = ", ".join(one.call.call_id for one in view.waiting)
        raise InvalidDecision(f"several calls wait: {calls}", hint="name one with --call ID")
    return view.waiting


def _resume(runtime: Runtime, thread_id: str, *, json_: bool) -> Any:
    from hitl_agent.cli.drive import drive, graph_of

    graph = graph_of(runtime, runtime.thread(thread_id))
    return drive(
        runtime, graph, thread_id, runtime.resume_input(graph, thread_id), json_=json_
    )


def _edited(request: ReviewRequest) -> Any:
    """Open the arguments in the editor and return what was saved."""
    shown = json.dumps(dict(request.call.args), indent=2, ensure_ascii=True)
    text = typer.edit(shown + "\n", extension=".json")
    if text is None:
        raise InvalidDecision("nothing was changed", hint="edit and save, or pass --args JSON")
    return json_option(text, "--args") if not text.startswith("@") else {}


def _asked(request: ReviewRequest) -> Decision | str:
    """Ask the person at the terminal for a decision; `skip` or `quit` otherwise."""
    allowed = request.verdict.allowed_decisions
    keys = {"a": "approve", "e": "edit", "r": "reject", "p": "respond"}
    offered = {key: word for key, word in keys.items() if word in allowed}
    menu = ", ".join(f"[{key}] {word}" for key, word in offered.items())
    while True:
        try:
            given = typer.prompt(f"{menu}, [s] skip, [q] quit", err=True).strip().lower()
        except typer.Abort:
            return "quit"
        word = offered.get(given, given)
        match word:
            case "s" | "skip":
                return "skip"
            case "q" | "quit":
                return "quit"
            case "approve" | "reject" if word in allowed:
                why = typer.prompt("reason", default="", show_default=False, err=True)
                return Approve(why) if word == "approve" else Reject(why)
            case "respond" if word in allowed:
                return Respond(typer.prompt("answer to the planner", err=True))
            case "edit" if word in allowed:
                try:
                    return Edit(_edited(request))
                except InvalidDecision as error:
                    output.err.print(f"error: {output.safe_lines(error)}", style="red")
            case _:
                output.err.print("one of the letters, please")
