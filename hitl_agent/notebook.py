"""Review in a notebook: what waits in a thread, with controls to decide on it.

`review(thread_id, runtime, graph)`, as the last line of a cell. With ipywidgets the controls are
buttons and fields. Without, or in a front end that does not draw widgets, the same object is a
plain display, and its methods decide.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from hitl_agent import markup
from hitl_agent.errors import (
    ConfigurationError,
    HitlError,
    InvalidDecision,
    NothingWaiting,
    StaleDecision,
)
from hitl_agent.review import Approve, Decision, Edit, Reject, Respond, ReviewRequest, visible
from hitl_agent.review.cautions import lengths
from hitl_agent.review.rendering import command, to_terminal
from hitl_agent.review.request_html import CLAIMS
from hitl_agent.runtime import Runtime
from hitl_agent.storage.database import shared_database
from hitl_agent.thread_html import thread_html

if TYPE_CHECKING:
    from hitl_agent.graph.compiled import Graph
    from hitl_agent.notebook_controls import Controls
    from hitl_agent.thread_view import ThreadView

_log = logging.getLogger(__name__)

_PAST = {"approve": "approved", "edit": "edited", "reject": "rejected", "respond": "answered"}

_PAGE = (100, 40)
"""Columns and rows that are seen at once, as at a terminal."""

_LEAST_DIGEST = 8


def review(
    thread_id: str,
    runtime: Runtime | None = None,
    graph: Graph | None = None,
    *,
    reviewer: str | None = None,
) -> Review:
    """Return what waits in a thread, to be shown and decided.

    Args:
        thread_id: the thread.
        runtime: the database; else the one that `HITL_DATABASE_URL` names, or the embedded one.
        graph: the compiled graph, with which the thread goes on after a decision. Without it
            decisions are recorded, and `hitl resume` or your own code goes on.
        reviewer: who decides; else `HITL_REVIEWER` names them, or the login.

    Raises:
        ConfigurationError: nobody says who decides.
        DatabaseError: the database cannot be used.
    """
    with _as_text():
        runtime = Runtime(shared_database()) if runtime is None else runtime
        return Review(thread_id, runtime, graph, reviewer or _login())


def _login() -> str:
    """Return who decides where nobody is named."""
    try:
        return os.environ.get("HITL_REVIEWER") or getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise ConfigurationError("nobody says who decides", hint="give `reviewer`") from error


def is_long(request: ReviewRequest) -> bool:
    """Whether a call takes more than a look, so that it has to be opened before it is approved."""
    columns, rows = _PAGE
    shown = to_terminal(request.shown_call).split("\n")
    return bool(lengths(request.shown_call)) or sum(1 + len(one) // columns for one in shown) > rows


class Review:
    """What waits in a thread. `review` makes one; a notebook shows it.

    Decisions are about the calls as they were last shown here: one that was judged anew since then
    is stale. The thread goes on in a thread of its own, so that the kernel's event loop is free.

    Attributes:
        thread_id: the thread.
        reviewer: who decides.
        told: what came of the decisions so far, a sentence each.
    """

    def __init__(
        self, thread_id: str, runtime: Runtime, graph: Graph | None, reviewer: str
    ) -> None:
        self.reviewer = reviewer
        self.told: list[str] = []
        self.thread_id = thread_id
        self._runtime = runtime
        self._graph = graph
        self._view: ThreadView | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="hitl-review")
        self._controls: Controls | None = None

    @property
    def waiting(self) -> list[ReviewRequest]:
        """The calls that wait, as they were last shown."""
        return list(self._view.waiting) if self._view else []

    def approve(self, call_id: str | None = None, reason: str = "", *, digest: str = "") -> Review:
        """Run the call exactly as shown.

        Args:
            call_id: the call; None for the only one that waits.
            reason: why, or nothing.
            digest: the digest that stands below the call, or its first 8 digits: a long call needs
                it.

        Raises:
            DecisionError: it is refused, and nothing is recorded.
            HitlError: it is recorded, and the thread cannot go on.
        """

        def answer(request: ReviewRequest) -> Approve:
            begun = digest.removeprefix("sha256:")
            read = request.call_digest.removeprefix("sha256:").startswith(begun)
            if begun and not (read and len(begun) >= _LEAST_DIGEST):
                raise InvalidDecision(
                    f"call `{request.call.call_id}` has another digest", hint="look at it again"
                )
            if not begun and is_long(request):
                raise InvalidDecision(
                    f"call `{request.call.call_id}` is too long to be approved unseen",
                    hint="read it to its end and give the `digest` that stands below it",
                )
            return Approve(reason)

        return self._answer(call_id, answer)

    def edit(self, args: Mapping[str, Any], call_id: str | None = None, reason: str = "") -> Review:
        """Replace the arguments; the changed call is judged again before it may run.

        Args:
            args: the whole new arguments.
            call_id: the call; None for the only one that waits.
            reason: why, or nothing.

        Raises:
            HitlError: see `approve`.
        """
        return self._answer(call_id, lambda _: Edit(args, reason))

    def reject(self, call_id: str | None = None, reason: str = "") -> Review:
        """Do not run the call.

        Args:
            call_id: the call; None for the only one that waits.
            reason: why; the planner is told.

        Raises:
            HitlError: see `approve`.
        """
        return self._answer(call_id, lambda _: Reject(reason))

    def respond(self, answer: str, call_id: str | None = None) -> Review:
        """Do not run the call; give the planner this in place of its result.

        Args:
            answer: what it is given.
            call_id: the call; None for the only one that waits.

        Raises:
            HitlError: see `approve`.
        """
        return self._answer(call_id, lambda _: Respond(answer))

    def refresh(self) -> Review:
        """Look again at what waits.

        Raises:
            HitlError: there is no such thread, or the database cannot be used.
        """
        with _as_text():
            self._view = self._runtime.thread(self.thread_id)
        return self

    def decide(self, request: ReviewRequest, decision: Decision, said: Callable[[], None]) -> None:
        """Record a decision, go on with the thread if it is decided, and look again.

        Args:
            request: the question, as it was shown.
            decision: the answer.
            said: called when the decision is recorded.

        Raises:
            HitlError: see `approve`.
        """
        outcome = self._runtime.decide(
            request, decision, reviewer=self.reviewer, channel="notebook"
        )
        call = f"{request.call.tool} ({request.call.call_id})"
        more = f", {outcome.progress}" if outcome.decision is None else ""
        why = f": {decision.message}" if decision.message else ""
        self.told.append(f"{_PAST[decision.type]} by {self.reviewer}, {call}{more}{why}")
        said()
        try:
            if outcome.decision and request.gates:
                self._go_on()
        finally:
            self.refresh()

    def submit(self, work: Callable[[], None]) -> None:
        """Do work in the thread that decisions are made in, one after the other."""
        self._worker.submit(work).add_done_callback(_logged)

    def html(self, *, waiting: bool = True) -> str:
        """Return the display.

        Args:
            waiting: show the calls that wait, too.
        """
        told = markup.listed(map(markup.text, self.told))
        said = f'<div role="status">{markup.frame(told)}</div>' if self.told else ""
        return (thread_html(self._view, waiting=waiting) if self._view else "") + said

    def _answer(self, call_id: str | None, answer: Callable[[ReviewRequest], Decision]) -> Review:
        with _as_text():
            if self._view is None:
                self.refresh()
            request = self._asked(call_id)
            decision = answer(request)
            # the cell waits, the event loop of the kernel is not ours to run anything in
            self._worker.submit(self.decide, request, decision, lambda: None).result()
            return self

    def _asked(self, call_id: str | None) -> ReviewRequest:
        """Return the question that a method is about, as it was shown.

        Raises:
            DecisionError: there is none, or it is not clear which.
        """
        waiting = self.waiting
        gated = [one for one in waiting if one.gates] or waiting
        found = [one for one in waiting if one.call.call_id == call_id] if call_id else gated
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f"`{one.call.call_id}`" for one in found)
            raise InvalidDecision(f"several calls wait: {names}", hint="name one with `call_id`")
        if call_id:
            self._runtime.request(self.thread_id, call_id)  # raises what is to be said of it
            raise StaleDecision(
                f"call `{call_id}` was not shown yet", hint="`refresh()` and look at it"
            )
        raise NothingWaiting(f"nothing waits in thread `{self.thread_id}`", hint="`refresh()`")

    def _go_on(self) -> None:
        again = command("resume", self.thread_id)
        if self._graph is None or not self._runtime.drives(self.thread_id):
            where = "from here" if self._graph is None else "on its own server"
            self.told.append(f"the thread does not go on by itself: continue {where}, `{again}`")
            return
        try:
            graph_input = self._runtime.resume_input(self._graph, self.thread_id)
        except NothingWaiting:  # another process was faster and brought the thread to its end
            return
        try:
            # tools may be async only, those of MCP servers for one
            asyncio.run(self._graph.ainvoke(graph_input, self._runtime.config(self.thread_id)))
        except HitlError as error:
            raise HitlError(
                f"the decision is recorded, and the thread did not go on: {error}",
                hint=error.hint or f"continue it with `{again}`",
            ) from error

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the display in all its forms: a front end takes the richest that it can draw."""
        try:
            self.refresh()
        except HitlError as error:
            told = "\n".join(map(visible, problem(error)))
            return {"text/plain": told, "text/html": problem_html(error)}
        plain: dict[str, Any] = {"text/plain": self._text(), "text/html": self.html()}
        try:
            from hitl_agent.notebook_controls import Controls  # noqa: PLC0415  an extra
        except ImportError:
            return plain
        if self._controls is None:
            self._controls = Controls(self)
        self._controls.draw()
        return {**self._controls.box._repr_mimebundle_(), **plain}

    def _text(self) -> str:
        view = self._view
        status = visible(view.thread.status) if view else "not known"
        parts = [f"thread {visible(self.thread_id)}: {status}"]
        for one in self.waiting:
            parts.append(f"\ncall {visible(one.call.call_id)}\n{to_terminal(one.shown_call)}")
            parts += [f"- {visible(reason)}" for reason in one.verdict.reasons]
            parts += [f"{CLAIMS} {visible(one.claim)}"] if one.claim else []
            parts.append(f"digest {one.call_digest}")
            parts.append(f"answers {', '.join(one.verdict.allowed_decisions)}")
        return "\n".join([*parts, *map(visible, self.told)])


def _logged(work: Future[None]) -> None:
    """Leave a trace of a fault of ours in a thread that nobody waits for."""
    if error := work.exception():
        _log.error("the display could not be brought up to date", exc_info=error)


def problem(error: Exception) -> list[str]:
    """Return what a person is told of an error: what is wrong, and what to do next."""
    if not isinstance(error, HitlError):
        return [f"error: {type(error).__name__}: {error}"]
    return [f"error: {error.message}"] + ([f"next: {error.hint}"] if error.hint else [])


def problem_html(error: Exception) -> str:
    """Return the same as HTML."""
    told = markup.listed(map(markup.text, problem(error)))
    return f'<div role="alert">{markup.frame(told)}</div>'


def _rendered(told: list[str]) -> list[str]:
    return list(map(visible, told))


@contextmanager
def _as_text() -> Iterator[None]:
    """Let a notebook show an error of ours as its text, where it would show a traceback."""
    try:
        yield
    except HitlError as error:
        # IPython asks an exception for it; a partial, because errors survive pickling
        error.__dict__["_render_traceback_"] = partial(_rendered, problem(error))
        raise
