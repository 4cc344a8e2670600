"""Commands that decide: approve, reject, edit, respond."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_agent.cli import output
from hitl_agent.cli.ask import edited, require_read
from hitl_agent.cli.options import (
    AsOption,
    CallOption,
    DatabaseOption,
    JsonOption,
    ReasonOption,
    ThreadArgument,
    object_option,
    reviewer_name,
    use_database,
)
from hitl_agent.errors import DecisionError, UnknownThread
from hitl_agent.review.decision import Approve, Decision, Edit, Reject, Respond

if TYPE_CHECKING:
    from hitl_agent.review import ReviewRequest
    from hitl_agent.runtime import Runtime

Answer = Callable[["ReviewRequest"], Decision]


def approve(
    thread_id: ThreadArgument,
    call: CallOption = None,
    digest: Annotated[
        list[str] | None,
        typer.Option(
            "--digest",
            metavar="DIGEST",
            help="Approve only what has this digest, or one that begins so; long calls need it.",
        ),
    ] = None,
    reason: ReasonOption = "",
    reviewer: AsOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Approve a call, or all that wait in the thread, and resume it.

    A call of more than a page takes --digest, with what stands below it in `hitl show`.

    Example: hitl approve 7f3c --reason "checked with the customer"
    """

    def answer(request: ReviewRequest) -> Approve:
        require_read(request, digest or [])
        return Approve(reason)

    asked = (thread_id, call, True)
    _decide(asked, answer, reviewer, json_=json_, database_url=database_url)


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
    asked = (thread_id, call, True)
    _decide(asked, lambda _: Reject(reason), reviewer, json_=json_, database_url=database_url)


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
        if given is not None:
            return Edit(given, reason)
        request.checked(Edit(request.shown_args))  # nobody edits what cannot be
        return Edit(edited(request), reason)

    with output.reported(json_=json_):
        given = None if args is None else object_option(args, "--args")
    asked = (thread_id, call, False)
    _decide(asked, answer, reviewer, json_=json_, database_url=database_url)


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
    asked = (thread_id, call, False)
    _decide(asked, lambda _: Respond(reason), reviewer, json_=json_, database_url=database_url)


def _stands(runtime: Runtime, thread_id: str) -> dict[str, Any]:
    """Return where a thread stands, of which nothing but questions may be on this database."""
    try:
        return runtime.thread(thread_id).to_json()
    except UnknownThread:
        return {"thread_id": thread_id, "status": "unknown", "waiting": [], "elsewhere": True}


def _decide(
    asked: tuple[str, str | None, bool],
    answer: Answer,
    reviewer: str | None,
    *,
    json_: bool,
    database_url: str | None,
) -> None:
    """Record the decision, then resume the thread.

    Args:
        asked: the thread, one call of it or None, and whether all that wait may be meant.
        answer: makes the decision on a request.
        reviewer: who decides, or None.
        json_: whether to print JSON.
        database_url: the database, or None.
    """
    from hitl_agent.cli.drive import conclude
    from hitl_agent.cli.settle import check, record, requests, resume
    from hitl_agent.runtime import Runtime

    thread_id = asked[0]
    with output.reported(json_=json_) as report:
        use_database(database_url)
        who = reviewer_name(reviewer)
        with Runtime.open() as runtime:
            # every answer is made and checked before the first is recorded
            decided = [(one, answer(one)) for one in requests(runtime, *asked)]
            for one, decision in decided:
                check(one, decision)
            refused: list[DecisionError] = []
            closed: list[ReviewRequest] = []
            for one, decision in decided:
                try:
                    if record(runtime, one, decision, who, json_=json_).decision:
                        closed.append(one)
                except DecisionError as error:
                    refused.append(error)
            if len(refused) == len(decided):
                raise refused[0]
            if not any(one.gates for one in closed):  # they ran, or more votes are wanted
                if refused:
                    raise refused[0]
                if json_:
                    output.print_json(_stands(runtime, thread_id))
                open_ = len(closed) < len(decided)
                raise typer.Exit(output.WAITING if open_ else output.DONE)
            report.thread_id = thread_id
            view = resume(runtime, thread_id, json_=json_)
            report.thread_id = None
            if refused:
                raise refused[0]
            conclude(view, json_=json_)
