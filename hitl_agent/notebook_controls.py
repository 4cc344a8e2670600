"""The controls of a review: buttons and fields of ipywidgets, all within reach of the keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, HBox, Layout, Text, Textarea, VBox

from hitl_agent import markup
from hitl_agent.errors import HitlError, InvalidDecision
from hitl_agent.notebook import is_long, problem_html
from hitl_agent.review import Approve, Decision, Edit, Reject, Respond, visible
from hitl_agent.review.rendering import to_terminal
from hitl_agent.review.request_html import call_html, request_html
from hitl_agent.review.written import read_object

if TYPE_CHECKING:
    from hitl_agent.notebook import Review
    from hitl_agent.review import ReviewRequest

_WIDE = Layout(width="auto")
_LABELLED = {"description_width": "initial"}
_ARGS = "New arguments"
_NAME = 40
"""Characters of a call's name on a button's help."""


class Controls:
    """The controls of a review, as `box`.

    What takes time is done in the review's own thread, from where the controls are drawn anew.

    Args:
        review: what they are for.
    """

    def __init__(self, review: Review) -> None:
        self._review = review
        self._cards: dict[str, _Card] = {}
        self._head = HTML()
        self._problem = HTML()
        self._reviewer = _field(Text, "Reviewer", review.reviewer)
        self._refresh = Button(description="Refresh", tooltip="look again at what waits")
        self._refresh.on_click(lambda _: review.submit(self._refreshed))
        self.box = VBox()
        self.box.add_class("hitl-review")

    def draw(self) -> None:
        """Show the review as it stands."""
        review = self._review
        waiting = review.waiting
        self._head.value = review.html(waiting=False)
        # a card that is there already stays, with what was typed into it
        cards = {
            one.request_id: self._cards.get(one.request_id) or _Card(self, one) for one in waiting
        }
        for one in waiting:
            cards[one.request_id].draw(one)
        self._cards = cards
        boxes = [card.box for card in cards.values()]
        asked = [self._reviewer, *boxes] if boxes else []
        self.box.children = (self._head, *asked, self._problem, self._refresh)

    def decide(self, card: _Card, decision: Decision) -> None:
        """Record a decision, then show what came of it."""
        review = self._review
        reviewer = self._reviewer.value.strip()

        def work() -> None:
            self._problem.value = ""
            review.reviewer = reviewer
            try:
                review.decide(card.request, decision, self._going_on)
            except InvalidDecision as error:
                card.refuse(error)
            except Exception as error:  # noqa: BLE001  the thread that nobody waits for ends here
                self._problem.value = problem_html(error)
                self._look()
            self.draw()

        card.lock()
        review.submit(work)

    def _going_on(self) -> None:
        self._head.value = self._review.html(waiting=False) + markup.frame("recorded, going on …")

    def _refreshed(self) -> None:
        self._problem.value = ""
        self._look()

    def _look(self) -> None:
        try:
            self._review.refresh()
            self.draw()
        except HitlError as error:
            self._problem.value = problem_html(error)


class _Card:
    """The controls of one call.

    Args:
        controls: whose part it is.
        request: the question about the call.
    """

    def __init__(self, controls: Controls, request: ReviewRequest) -> None:
        self.request = request
        self._controls = controls
        self._opened = not is_long(request)
        self._call = HTML()
        self._problem = HTML()
        name = visible(f"{request.call.tool[:_NAME]} ({request.call.call_id[:_NAME]})")
        size = len(to_terminal(request.shown_call))
        self._open = _button(f"Open the whole call ({size:,} characters)", name, self._opens)
        self._reason = _field(Text, "Reason, or answer", "")
        actions: dict[str, Callable[[], None]] = {
            "approve": lambda: self._decides(Approve(self._reason.value)),
            "reject": lambda: self._decides(Reject(self._reason.value)),
            "respond": lambda: self._decides(Respond(self._reason.value)),
            "edit": self._edits,
        }
        self._buttons = {
            word: _button(word.capitalize(), f"{word} {name}", action)
            for word, action in actions.items()
            if word in request.verdict.allowed_decisions
        }
        if "edit" in self._buttons:
            self._buttons["edit"].description = "Edit …"
        self._editor = _Editor(self, f"edit {name}")
        self.box = VBox()

    def draw(self, request: ReviewRequest) -> None:
        """Show the call, and the votes on it so far."""
        self.request = request
        self._call.value = request_html(request, whole=self._opened)
        for word, button in self._buttons.items():
            button.disabled = word == "approve" and not self._opened
        opens = [] if self._opened else [self._open]
        row = HBox(list(self._buttons.values()), layout=Layout(flex_flow="row wrap"))
        self.box.children = (
            self._call,
            *opens,
            self._reason,
            row,
            self._editor.box,
            self._problem,
        )

    def lock(self) -> None:
        """Take no other answer while one is under way."""
        self.refuse(None)
        for button in self._buttons.values():
            button.disabled = True

    def refuse(self, error: InvalidDecision | None) -> None:
        """Say beside the controls why an answer was not taken, or that nothing is wrong."""
        self._problem.value = problem_html(error) if error else ""

    def _opens(self) -> None:
        self._opened = True
        self.draw(self.request)

    def _edits(self) -> None:
        layout = self._editor.box.layout
        layout.display = "" if layout.display == "none" else "none"

    def edited(self, args: dict[str, Any]) -> None:
        """Decide for other arguments."""
        self._decides(Edit(args, self._reason.value))

    def _decides(self, decision: Decision) -> None:
        self._controls.decide(self, decision)


class _Editor:
    """The controls that change a call.

    What is recorded is what was shown: a front end sends a text when it can, and that may be after
    the button was pressed. So the arguments are checked and shown as they would run, and recorded
    by a second button.

    Args:
        card: whose part it is.
        about: what the buttons do, for their help.
    """

    def __init__(self, card: _Card, about: str) -> None:
        self._card = card
        shown = json.dumps(card.request.shown_args, indent=2, ensure_ascii=True)
        self._args = _field(Textarea, f"{_ARGS}, as JSON", shown)
        self._args.rows = 8
        self._args.observe(lambda _: self._show(None), "value")
        self._checked: dict[str, Any] | None = None
        self._preview = HTML()
        check = _button("Check the edit", about, self._check)
        self._record = _button("Record the edit", about, self._records)
        self.box = VBox(
            [self._args, check, self._preview, self._record], layout=Layout(display="none")
        )
        self._show(None)

    def _check(self) -> None:
        self._show(None)
        try:
            args = read_object(self._args.value, _ARGS, hint="correct it and check it again")
            self._card.request.checked(Edit(args))
        except InvalidDecision as error:
            self._card.refuse(error)
        else:
            self._card.refuse(None)
            self._show(args)

    def _show(self, args: dict[str, Any] | None) -> None:
        """Show arguments as they would run, to be recorded; or none."""
        call = self._card.request.call
        self._checked = args
        self._record.disabled = args is None
        self._preview.value = (
            "" if args is None else markup.frame(call_html(replace(call, args=args)))
        )

    def _records(self) -> None:
        if self._checked is not None:
            self._card.edited(self._checked)


def _field(kind: type[Any], label: str, value: str) -> Any:
    # sent when it is left, in one piece: while somebody types, what is sent lags behind
    return kind(
        value=value, description=label, continuous_update=False, style=_LABELLED, layout=_WIDE
    )


def _button(label: str, about: str, action: Callable[[], None]) -> Any:
    button = Button(description=label, tooltip=about, layout=Layout(width="max-content"))

    def pressed(_: Button) -> None:
        if not button.disabled:  # a front end may be a moment behind
            action()

    button.on_click(pressed)
    return button
