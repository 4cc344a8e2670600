"""From a decision at the terminal to the thread that goes on."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from hitl_agent.cli import output
from hitl_agent.cli.drive import drive, graph_of
from hitl_agent.errors import ConfigurationError, HitlError, InvalidDecision, NothingWaiting
from hitl_agent.review import Decision, Outcome, ReviewRequest
from hitl_agent.review.decision import MAX_MESSAGE
from hitl_agent.review.rendering import command
from hitl_agent.runtime import Runtime, ThreadView

_PAST = {"approve": "approved", "edit": "edited", "reject": "rejected", "respond": "answered"}


def requests(
    runtime: Runtime, thread_id: str, call: str | None, all_: bool
) -> Sequence[ReviewRequest]:
    """Return the questions that a command is about.

    Args:
        runtime: the runtime.
        thread_id: the thread.
        call: one call of it, or None.
        all_: whether all that wait may be meant when no call is named.

    Raises:
        DecisionError: nothing waits, or it is not clear which.
    """
    if call is not None:
        return [runtime.request(thread_id, call)]
    view = runtime.thread(thread_id)
    if not view.waiting:
        raise NothingWaiting(
            f"nothing waits in thread `{thread_id}`, it is {view.thread.status}",
            hint=f"see `{command('show', thread_id)}`",
        )
    # what is looked at afterwards is meant only where nothing waits
    waiting = [one for one in view.waiting if one.gates] or view.waiting
    if len(waiting) > 1 and not all_:
        calls = ", ".join(one.call.call_id for one in waiting)
        raise InvalidDecision(f"several calls wait: {calls}", hint="name one with --call ID")
    return waiting


def check(request: ReviewRequest, decision: Decision) -> None:
    """Raise `InvalidDecision` unless the decision may be given; nothing is stored."""
    if len(decision.message) > MAX_MESSAGE:
        raise InvalidDecision(
            f"a reason of {len(decision.message):,} characters; at most {MAX_MESSAGE:,}",
            hint="say it shorter",
        )
    request.checked(decision)


def record(
    runtime: Runtime, request: ReviewRequest, decision: Decision, reviewer: str, *, json_: bool
) -> Outcome:
    """Record a vote, say so, and return what the votes come to.

    Raises:
        DecisionError: it came too late, or does not fit; nothing is stored.
    """
    outcome = runtime.decide(request, decision, reviewer=reviewer, channel="cli")
    if not json_:
        what = f"{output.safe(request.call.tool)} ({output.safe(request.call.call_id)})"
        more = f", {output.safe(outcome.progress)}" if outcome.decision is None else ""
        output.line(f"{_PAST[decision.type]:<12} {what}{more}", style="bold")
    return outcome


def resume(runtime: Runtime, thread_id: str, *, json_: bool) -> ThreadView:
    """Go on with a thread whose decision is in.

    Raises:
        HitlError: the thread cannot go on from here. The decision stands.
        typer.Exit: its checkpoints are on another server, which has to resume it.
    """
    if not runtime.drives(thread_id):
        output.hint("the decision is recorded; the thread runs on another server, resume it there")
        if json_:
            output.print_json({"thread_id": thread_id, "status": "waiting", "elsewhere": True})
        raise typer.Exit(output.WAITING)
    try:
        graph = graph_of(runtime, runtime.thread(thread_id))
    except ConfigurationError as error:
        resume_ = command("resume", thread_id)
        raise HitlError(
            f"the decision is recorded, but the thread cannot go on from here: {error}",
            hint=f"run `{resume_}` where its `langgraph.json` is",
        ) from error
    try:
        graph_input = runtime.resume_input(graph, thread_id)
    except NothingWaiting:  # another process was faster and brought the thread to its end
        return runtime.thread(thread_id)
    return drive(runtime, graph, thread_id, graph_input, json_=json_)
