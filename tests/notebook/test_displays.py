"""Rich displays: readable everywhere, nothing from outside is markup, nothing is loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import Interrupt

from hitl_agent import Runtime
from hitl_agent.calls import ToolCall
from hitl_agent.history import History
from hitl_agent.notebook import problem_html
from hitl_agent.policy import Effect, Facts, Reviewers, RuleHit, Tier, Verdict, judge, parse_policy
from hitl_agent.review import Requests, ReviewRequest, Vote
from hitl_agent.review.request_html import request_html
from hitl_agent.storage.threads import Thread
from hitl_agent.thread_view import ThreadView
from tests.support.flows import call, desk
from tests.support.hostile import CORPUS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAGS = {"div", "b", "i", "bdi", "code", "pre", "p", "ul", "li", "table", "thead", "tbody"}
TAGS |= {"tr", "th", "td"}


class Read(HTMLParser):
    """What a browser makes of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.tags.add("a comment")


def request(text: str) -> ReviewRequest:
    rule = RuleHit(text, Tier.HARD_GATE, text)
    verdict = Verdict(
        Tier.HARD_GATE,
        Effect.WRITE,
        (rule,),
        (text,),
        Reviewers(2, (text,), "majority"),
        900,
        60,
        ("approve", text),
        text,
        {"*": (text,), text: (text,)},
    )
    return ReviewRequest(
        request_id=text,
        thread_id=text,
        graph=text,
        interrupt_id=None,
        call=ToolCall(text, text, {text: text, "inside": [{text: [text]}]}),
        revision=2,
        call_digest=text,
        verdict=verdict,
        claim=text,
        task=text,
        args_schema={},
        problem=text,
        created_at=NOW,
        due_at=NOW,
        votes=(Vote(text, "approve", text, text, (text,), NOW),),
    )


def displays(text: str) -> dict[str, str]:
    """Every display there is, full of a text."""
    one = request(text)
    said = [
        HumanMessage(text),
        ToolMessage(text, name=text, tool_call_id=text, artifact={"outcome": text}),
        ToolMessage([{"type": "text", "text": text}], tool_call_id="b"),
        AIMessage(text),
    ]
    asks = [Interrupt(value={text: text}, id=text), Interrupt(value=text, id=text)]
    thread = Thread(text, text, "failed", f"{text} ", said, asks, NOW)
    body = {"type": text, "message": text, "reviewer": text, "tool": text, "args": {text: text}}
    history = History(
        [
            {"kind": "checkpoint", "at": text, "step": text, "source": text},
            {"kind": "verdict", "at": text, "call_id": text, "body": {"verdict": {"tier": text}}},
            {"kind": text, "at": text, "call_id": text, "body": body},
            {"kind": "x", "at": text, "call_id": text, "body": {"result": {"content": text}}},
        ]
    )
    return {
        "verdict": one.verdict._repr_html_(),
        "request": one._repr_html_(),
        "requests": Requests([one, one])._repr_html_(),
        "request begun": request_html(one, whole=False),
        "thread": ThreadView(thread, [one])._repr_html_(),
        "thread that asks": ThreadView(replace(thread, status="waiting"), [])._repr_html_(),
        "history": history._repr_html_(),
        "error": problem_html(ValueError(text)),
    }


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_text_is_text_in_every_display(name: str) -> None:
    for shown in displays(CORPUS[name]).values():
        read = Read(shown)
        assert read.tags <= TAGS
        assert read.attributes <= {"class", "style", "role", "scope"}
        assert all(one == "\n" or one.isprintable() for one in read.text)
        assert not set("\u202e\u200b\u2066\ufeff") & set(shown)


@pytest.mark.parametrize("name", displays("x"))
def test_a_display_loads_nothing_and_fits_a_dark_page_as_a_light_one(name: str) -> None:
    shown = displays("x")[name]
    for word in ("script", "http", "url(", "@import", "src=", "href=", "style>", "onload"):
        assert word not in shown.lower()
    for style in re.findall('style="([^"]*)"', shown):
        named = re.findall(r"(?:^|;)(color|background)[^:]*:([^;]*)", style)
        assert all(value in ("inherit", "none") for _, value in named), style


def test_a_verdict_shows_its_tier_and_each_rule_behind_it() -> None:
    policy = parse_policy("tools: {send: {effect: irreversible, reason: letters stay sent}}")
    shown = Read(judge(policy, "send", {"to": "x"}, Facts())._repr_html_()).text
    assert "hard_gate" in shown
    assert "letters stay sent" in shown
    assert policy.digest in shown


def test_a_request_shows_its_call_whole_unless_it_is_to_be_opened() -> None:
    one = request("x")
    one = replace(one, call=ToolCall("a", "send", {"text": "so " * 300 + "the end"}))
    assert "the end" in one._repr_html_()
    begun = request_html(one, whole=False)
    assert "the end" not in begun
    assert "907 characters" in begun


def test_what_waits_shows_itself_call_by_call(runtime: Runtime) -> None:
    agent = desk(runtime, [call("refund", "a", amount=80), call("refund", "b", amount=90)])
    assert runtime.waiting()._repr_html_() == "nothing waits"
    agent.start()
    text = Read(runtime.waiting(agent.thread_id)._repr_html_()).text
    assert '"amount": 80' in text
    assert '"amount": 90' in text


def test_what_the_policy_hides_is_in_no_display(runtime: Runtime) -> None:
    policy = "tools:\n  send: {effect: irreversible, redact: [to]}\n"
    agent = desk(runtime, [call("send", "a", to="4111-1111", text="hello")], policy=policy)
    agent.start()
    history = agent.runtime.history(agent.thread_id)
    shown = [agent.runtime.thread(agent.thread_id), *agent.waiting, history, history[-2:]]
    for one in shown[:-1]:
        text = one._repr_html_()
        assert "4111" not in text
        assert "[hidden by policy]" in text
    assert "4111" not in History(shown[-1])._repr_html_()


def test_a_history_is_a_list_that_shows_who_did_what(runtime: Runtime) -> None:
    agent = desk(runtime, [call("refund", "a", amount=80)])
    agent.start()
    agent.decide("a", {"type": "approve", "message": "seen"})
    agent.resume()
    history = agent.runtime.history(agent.thread_id)
    assert isinstance(history, list)
    text = Read(history._repr_html_()).text
    assert "approve by ana seen" in text
    assert "refunded 80" in text
    assert "step -1 (input)" in text


def test_the_package_and_the_pure_rooms_load_no_notebook() -> None:
    code = (
        "import sys, hitl_agent, hitl_agent.runtime, hitl_agent.policy, hitl_agent.review\n"
        "hitl_agent.policy.parse_policy('version: 1')\n"
        "print([m for m in ('IPython', 'ipywidgets', 'hitl_agent.notebook') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
