"""`review`: what waits is shown and decided in a notebook, with widgets and without."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ipywidgets import HTML, Button, Text, Textarea
from langchain_core.tools import tool

from hitl_agent import Runtime
from hitl_agent.errors import (
    HitlError,
    InvalidDecision,
    NothingWaiting,
    StaleDecision,
    UnknownThread,
)
from hitl_agent.notebook import Review, review
from tests.support.flows import Desk, call, desk

VIEW = "application/vnd.jupyter.widget-view+json"
TWO = "tools:\n  send: {effect: irreversible, reviewers: {min: 2}}\n"
CAPPED = """
tools:
  refund:
    effect: write
    rules:
      - {id: capped, when: amount > 1000, tier: block, reason: nobody pays so much here}
"""


def waits(runtime: Runtime, *calls: Any, **how: Any) -> Desk:
    agent = desk(runtime, list(calls or [call("refund", "a", amount=80)]), **how)
    agent.start()
    assert agent.status == "waiting"
    return agent


def opened(agent: Desk, **how: Any) -> Review:
    how = {"graph": agent.graph, "reviewer": "ana", **how}
    return review(agent.thread_id, agent.runtime, **how)


class Page:
    """A review as its widgets show it, and somebody who works with them."""

    def __init__(self, shown: Review) -> None:
        self.review = shown
        self.bundle = shown._repr_mimebundle_()
        assert VIEW in self.bundle

    def all(self, kind: type) -> list[Any]:
        found, left = [], [self.review._controls.box]
        while left:
            one = left.pop(0)
            if getattr(one.layout, "display", None) == "none":
                continue
            found.append(one)
            left = [*getattr(one, "children", ()), *left]
        return [one for one in found if isinstance(one, kind)]

    @property
    def labels(self) -> list[str]:
        return [one.description for one in self.all(Button)]

    @property
    def text(self) -> str:
        return "".join(one.value for one in self.all(HTML))

    def button(self, label: str, number: int = 0) -> Button:
        return [one for one in self.all(Button) if one.description.startswith(label)][number]

    def write(self, label: str, text: str, number: int = 0) -> None:
        fields = [one for one in self.all((Text, Textarea)) if one.description.startswith(label)]
        fields[number].value = text

    def press(self, label: str, number: int = 0) -> None:
        button = self.button(label, number)
        assert not button.disabled
        button.click()
        self.settle()

    def at(self, call_id: str) -> int:
        return [one.call.call_id for one in self.review.waiting].index(call_id)

    def settle(self) -> None:
        """Wait until all that was begun has ended."""
        done = threading.Event()
        self.review.submit(done.set)
        assert done.wait(30)


@pytest.fixture
def without_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hitl_agent.notebook_controls", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)


# with widgets


def test_an_approval_by_button_is_recorded_under_the_name_and_the_thread_goes_on(
    runtime: Runtime,
) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    assert page.labels == ["Approve", "Reject", "Respond", "Edit …", "Refresh"]
    page.write("Reviewer", "bo")
    page.write("Reason", "the photos show it")
    page.press("Approve")
    assert agent.done == [("refund", 80)]
    assert agent.answer("a").text == "[approved by bo: the photos show it]\nrefunded 80.0"
    assert "approved by bo, refund (a)" in page.text
    assert "<b><bdi>done</bdi></b>" in page.text
    assert page.labels == ["Refresh"]
    assert agent.kinds("a").count("decision") == 1


def test_a_call_is_shown_with_what_a_reviewer_is_shown_elsewhere(runtime: Runtime) -> None:
    agent = waits(runtime, call("send", "a", to="p\u0430ypal.com"))
    (request,) = agent.waiting
    for text in (Page(opened(agent)).text, opened(agent)._repr_mimebundle_()["text/html"]):
        assert "<code><bdi>send</bdi></code>" in text
        assert f"<bdi>{request.call_digest}</bdi>" in text
        assert request.cautions
        assert "CYRILLIC" in text.upper()
        assert "the planner claims, and nobody has checked:" in text
        for reason in request.verdict.reasons:
            assert reason.split("`")[-1] in text


def test_reject_and_respond_by_button(runtime: Runtime) -> None:
    agent = waits(runtime, call("refund", "a", amount=80), call("refund", "b", amount=90))
    page = Page(opened(agent))
    page.write("Reason", "no", page.at("a"))
    page.press("Reject", page.at("a"))
    assert page.labels.count("Approve") == 1
    page.write("Reason", "they withdrew")
    page.press("Respond")
    assert agent.done == []
    assert "rejected by ana" in agent.answer("a").text
    assert "they withdrew" in agent.answer("b").text


def test_an_edit_that_does_not_fit_is_refused_in_its_place_and_one_that_fits_is_judged_again(
    runtime: Runtime,
) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    assert page.all(Textarea) == []
    page.press("Edit")
    (field,) = page.all(Textarea)
    assert field.value == '{\n  "amount": 80\n}'
    for wrong, said in (
        ('{"amount": "much"}', "is not of type"),
        ('{"amount": 1, "amount": 2}', "stands there twice"),
        ('{"amount": 1, "to": "me"}', "to"),
        ("[]", "is no JSON object"),
        ("{", "is no JSON"),
    ):
        page.write("New arguments", wrong)
        page.press("Check the edit")
        assert said in page.text, wrong
        assert page.button("Record").disabled
        assert agent.waiting
    page.write("New arguments", '{"amount": 40}')
    page.press("Check the edit")
    assert "error" not in page.text
    page.press("Record the edit")
    assert agent.done == [("refund", 40)]
    assert agent.answer("a").text.startswith("[changed by a reviewer")


def test_an_edit_is_shown_as_it_would_run_and_a_text_that_comes_late_is_shown_again(
    runtime: Runtime,
) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    page.press("Edit")
    page.write("New arguments", '{"amount": 4}')
    page.press("Check the edit")
    assert "<bdi>&quot;amount&quot;</bdi>: 4\n" in page.text
    page.write("New arguments", '{"amount": 40}')
    assert page.button("Record the edit").disabled
    assert "<bdi>&quot;amount&quot;</bdi>: 4\n" not in page.text
    page.press("Check the edit")
    page.press("Record the edit")
    assert agent.done == [("refund", 40)]


def test_an_edit_that_the_policy_refuses_says_why(runtime: Runtime) -> None:
    agent = waits(runtime, policy=CAPPED)
    page = Page(opened(agent))
    page.press("Edit")
    page.write("New arguments", '{"amount": 5000}')
    page.press("Check the edit")
    page.press("Record the edit")
    assert agent.done == []
    assert "<b><bdi>blocked</bdi></b>" in page.text
    assert "nobody pays so much here" in page.text


def test_a_long_call_has_to_be_opened_before_it_can_be_approved(runtime: Runtime) -> None:
    agent = waits(runtime, call("send", "a", to="x", text="so " * 300 + "the end"))
    page = Page(opened(agent))
    assert page.button("Approve").disabled
    assert not page.button("Reject").disabled
    assert "the end" not in page.text
    page.button("Approve").click()  # a front end may send what it should not
    page.settle()
    assert agent.done == []
    page.press("Open the whole call")
    assert "the end" in page.text
    page.press("Approve")
    assert agent.done == [("send", "x")]


def test_votes_so_far_are_shown_until_there_are_enough(runtime: Runtime) -> None:
    agent = waits(runtime, call("send", "a", to="x"), policy=TWO)
    page = Page(opened(agent))
    page.press("Approve")
    assert "1 of 2; still wanted: 1 more" in page.text
    assert agent.done == []
    page.write("Reviewer", "bo")
    page.press("Approve")
    assert agent.done == [("send", "x")]


def test_a_decision_that_comes_too_late_says_so_and_what_waits_is_shown_anew(
    runtime: Runtime,
) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    agent.decide("a", {"type": "reject"}, reviewer="bo")
    page.press("Approve")
    assert "no longer waits for a decision: bo decided `reject`" in page.text
    assert page.labels == ["Refresh"]
    assert agent.done == []


def test_refresh_shows_what_others_did(runtime: Runtime) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    agent.decide("a", {"type": "approve"}, reviewer="bo")
    agent.resume()
    page.press("Refresh")
    assert page.labels == ["Refresh"]
    assert "refunded 80" in page.text


def test_what_was_typed_is_still_there_after_another_call_was_decided(runtime: Runtime) -> None:
    agent = waits(runtime, call("refund", "a", amount=80), call("refund", "b", amount=90))
    page = Page(opened(agent))
    page.write("Reason", "not yet", page.at("b"))
    page.press("Approve", page.at("a"))
    assert [one.value for one in page.all(Text) if one.description.startswith("Reason")] == [
        "not yet"
    ]


def test_without_a_graph_the_decision_is_recorded_and_the_way_on_is_told(runtime: Runtime) -> None:
    agent = waits(runtime)
    page = Page(opened(agent, graph=None))
    page.press("Approve")
    assert f"hitl resume {agent.thread_id}" in page.text
    assert agent.done == []
    agent.resume()
    assert agent.done == [("refund", 80)]


def test_a_name_that_does_not_count_is_refused_with_what_to_do(runtime: Runtime) -> None:
    agent = waits(
        runtime, call("send", "a", to="x"), policy="reviewers: {bo: []}\n" + TWO.replace("2", "1")
    )
    page = Page(opened(agent))
    page.press("Approve")
    assert "`ana` is not among the reviewers" in page.text
    assert "one of them has to decide: bo" in page.text
    page.write("Reviewer", " ")
    page.press("Approve")
    assert "a decision needs a reviewer" in page.text
    page.write("Reviewer", "bo")
    page.press("Approve")
    assert agent.done == [("send", "x")]


def test_a_thread_that_another_process_drives_is_said_to_be_busy(runtime: Runtime) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    with agent.runtime.leases.held(agent.thread_id, actor=None, resumes=True):
        page.press("Approve")
    assert "the decision is recorded, and the thread did not go on" in page.text
    assert agent.done == []
    agent.resume()
    assert agent.done == [("refund", 80)]


def test_an_error_that_is_not_ours_is_told_as_text(runtime: Runtime) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))

    async def breaks(*_: object) -> None:
        raise RuntimeError("<b>no\x1b</b>")

    page.review._graph = type("Broken", (), {"ainvoke": breaks, "get_state": agent.graph.get_state})
    page.press("Approve")
    assert "error: RuntimeError: &lt;b&gt;no\\x1b&lt;/b&gt;" in page.text


def test_buttons_take_nothing_while_a_decision_is_under_way(runtime: Runtime) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    held = threading.Event()
    page.review.submit(lambda: held.wait(30) and None)
    approve, reject = page.button("Approve"), page.button("Reject")
    approve.click()
    assert approve.disabled
    assert reject.disabled
    held.set()
    page.settle()
    assert agent.done == [("refund", 80)]


def test_fields_do_not_decide_on_enter(runtime: Runtime) -> None:
    page = Page(opened(waits(runtime)))
    for field in page.all(Text):
        assert field._submission_callbacks.callbacks == []
        assert not field.continuous_update  # what is typed would lag behind
    assert all(one.description for one in page.all((Text, Textarea, Button)))


# without widgets


@pytest.mark.usefixtures("without_widgets")
def test_without_ipywidgets_it_is_a_plain_display_and_methods(runtime: Runtime) -> None:
    agent = waits(runtime, call("refund", "a", amount=80), call("refund", "b", amount=90))
    shown = opened(agent)
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "refund\n{\n" in bundle["text/plain"]
    assert shown.approve("a", "seen") is shown
    shown.edit({"amount": 40}, "b", "half")
    assert agent.done == [("refund", 80), ("refund", 40)]
    assert "approved by ana, refund (a)" in shown._repr_mimebundle_()["text/plain"]
    assert "edited by ana, refund (b)" in shown._repr_mimebundle_()["text/html"]


def test_reject_and_respond_by_method(runtime: Runtime) -> None:
    agent = waits(runtime, call("refund", "a", amount=80), call("refund", "b", amount=90))
    shown = opened(agent)
    shown.reject("a", "no")
    shown.respond("they withdrew")
    assert agent.done == []
    assert "they withdrew" in agent.answer("b").text


REFUSED: dict[str, tuple[Callable[[Review], Any], type[HitlError], str]] = {
    "several": (lambda shown: shown.approve(), InvalidDecision, "several calls wait: `"),
    "unknown": (lambda shown: shown.approve("c"), NothingWaiting, "`c`"),
    "long": (lambda shown: shown.approve("b"), InvalidDecision, "too long to be approved unseen"),
    "another digest": (
        lambda shown: shown.approve("b", digest="sha256:00000000"),
        InvalidDecision,
        "has another digest",
    ),
    "short digest": (
        lambda shown: shown.approve("b", digest=shown.waiting[0].call_digest[:12]),
        InvalidDecision,
        "has another digest",
    ),
    "schema": (lambda shown: shown.edit({"amount": "x"}, "a"), InvalidDecision, "do not fit"),
    "empty": (lambda shown: shown.respond(" ", "a"), InvalidDecision, "needs a text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_method_refuses_with_an_error_that_a_notebook_shows_as_text(
    runtime: Runtime, name: str
) -> None:
    agent = waits(runtime, call("refund", "a", amount=80), call("send", "b", to="x" * 500))
    shown = opened(agent)
    shown.refresh()
    work, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said) as caught:
        work(shown)
    told = caught.value._render_traceback_()
    assert told[0].startswith("error: ")
    assert told[1].startswith("next: ")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, again._render_traceback_()) == (caught.value.message, told)
    assert agent.done == []


def test_a_long_call_is_approved_by_method_with_its_digest(runtime: Runtime) -> None:
    agent = waits(runtime, call("send", "a", to="x", text="so " * 300))
    shown = opened(agent).refresh()
    shown.approve(digest=shown.waiting[0].call_digest[:15])
    assert agent.done == [("send", "x")]


def test_a_method_is_about_the_call_as_it_was_shown(runtime: Runtime) -> None:
    agent = waits(runtime)
    shown = opened(agent).refresh()
    agent.decide("a", {"type": "edit", "edited_action": {"name": "refund", "args": {"amount": 90}}})
    agent.resume()
    assert agent.waiting[0].revision == 2
    with pytest.raises(StaleDecision):
        shown.approve()
    shown.refresh().approve()
    assert agent.done == [("refund", 90)]


def test_a_thread_that_is_not_there_is_told_as_text(runtime: Runtime) -> None:
    shown = review("none", runtime, reviewer="ana")._repr_mimebundle_()
    assert shown["text/plain"].startswith("error: there is no thread `none`\nnext: ")
    assert "there is no thread" in shown["text/html"]
    with pytest.raises(UnknownThread):
        review("none", runtime, reviewer="ana").approve()


def test_it_goes_on_while_an_event_loop_runs_with_tools_that_are_async_only(
    runtime: Runtime,
) -> None:
    done = []

    def tools(_: object) -> list[Any]:
        @tool
        async def send(to: str) -> str:
            """Send a letter."""
            await asyncio.sleep(0)
            done.append(to)
            return f"sent to {to}"

        return [send]

    agent = desk(runtime, [call("send", "a", to="x")], tools=tools)

    async def cell() -> None:
        await agent.graph.ainvoke(agent.runtime.start_input("do it"), agent.config)
        opened(agent).approve()

    asyncio.run(cell())
    assert done == ["x"]


def test_the_reviewer_is_the_one_of_the_environment_or_the_login(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert review("t", runtime).reviewer == "me"
    monkeypatch.setenv("HITL_REVIEWER", "ana")
    assert review("t").reviewer == "ana"

    def nobody() -> str:
        raise KeyError("uid")

    monkeypatch.delenv("HITL_REVIEWER")
    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(HitlError, match="nobody says who decides"):
        review("t", runtime)


def test_each_decision_is_recorded_under_the_name_that_stood_there_when_it_was_made(
    runtime: Runtime,
) -> None:
    agent = waits(runtime, call("refund", "a", amount=80), call("refund", "b", amount=90))
    page = Page(opened(agent))
    held = threading.Event()
    page.review.submit(lambda: held.wait(30) and None)
    one, other = page.at("a"), page.at("b")
    for number, name in ((one, "bo"), (other, "cy")):
        page.write("Reviewer", name)
        page.button("Approve", number).click()
    held.set()
    page.settle()
    assert agent.answer("a").text.startswith("[approved by bo]")
    assert agent.answer("b").text.startswith("[approved by cy]")


def test_what_was_wrong_is_gone_after_a_refresh(runtime: Runtime) -> None:
    agent = waits(runtime)
    page = Page(opened(agent))
    agent.decide("a", {"type": "reject"}, reviewer="bo")
    page.press("Approve")
    assert "no longer waits" in page.text
    page.press("Refresh")
    assert "no longer waits" not in page.text


def test_a_fault_in_the_display_leaves_a_trace(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    shown = opened(waits(runtime))
    shown.submit(lambda: 1 / 0)
    Page(shown).settle()
    assert "could not be brought up to date" in caplog.text
