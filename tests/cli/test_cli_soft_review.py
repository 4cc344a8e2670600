"""`soft_review` and hidden arguments at the terminal: what ran is looked at, and stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from hitl_agent import build_graph
from hitl_agent.policy import parse_policy
from tests.support.flows import Clock, Script, call, tools_noting

SOFT = """
tools:
  look_up: {effect: read}
  refund: {effect: write, rules: [{id: after, when: amount <= 100, tier: soft_review}]}
  send: {effect: irreversible}
  fail: {effect: write, rules: [{id: after, when: 'true', tier: soft_review}]}
"""

HIDING = """
tools:
  look_up: {effect: read}
  refund: {effect: write, redact: [order_id]}
  send: {effect: irreversible, redact: [to, text]}
"""


@pytest.fixture
def soft(hitl):
    (hitl.folder / "policies.yaml").write_text(SOFT)
    return hitl


@pytest.fixture
def hiding(hitl):
    (hitl.folder / "policies.yaml").write_text(HIDING)
    return hitl


@pytest.fixture
def ran(soft):
    """A thread that is done, with one call to look at."""
    ended = soft("run", "desk", "--runbook", "large.yaml", "--thread", "t")
    assert ended.status == 0
    return soft, ended


def test_a_run_that_leaves_something_to_look_at_is_done_and_says_so(ran):
    hitl, ended = ran
    assert hitl.effects() == ["refund A-1 80"]
    assert "soft_review" in ended.out
    assert "hitl review" in ended.err


def test_it_is_listed_and_shown_with_its_tier(ran):
    hitl, _ = ran
    assert "soft_review" in hitl("list").out
    for tier, wanted in (("soft_review", 1), ("hard_gate", 0)):
        listed = hitl("list", "--tier", tier, "--json")
        assert (listed.status, len(listed.json)) == (0, wanted)
    assert hitl("list", "--tier", "auto_approve").status == 2
    shown = hitl("show", "t")
    assert "runs       soft_review" in shown.out
    assert "approve, reject" in shown.out
    assert "hitl approve t" in shown.err
    assert "hitl edit" not in shown.err
    view = hitl("show", "t", "--json").json
    assert (view["status"], view["waiting"][0]["tier"]) == ("done", "soft_review")


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_it_is_decided_once_and_nothing_runs(ran, decision, json_):
    hitl, _ = ran
    ended = hitl(decision, "t", *json_)
    assert ended.status == 0
    if json_:
        assert (ended.json["status"], ended.json["waiting"]) == ("done", [])
    assert hitl.effects() == ["refund A-1 80"]
    again = hitl(decision, "t", "--call", "money.1")
    assert again.status != 0
    assert "ana decided" in again.err
    assert hitl("list", "--json").json == []


@pytest.mark.parametrize("command", [("edit", "--args", "{}"), ("respond", "--reason", "x")])
def test_what_ran_is_neither_edited_nor_answered(ran, command):
    hitl, _ = ran
    ended = hitl(command[0], "t", *command[1:])
    assert ended.status != 0
    assert "not allowed" in ended.err
    assert len(hitl("list", "--json").json) == 1


def test_no_editor_opens_for_what_cannot_be_edited(ran, monkeypatch):
    hitl, _ = ran
    monkeypatch.setenv("EDITOR", "touch opened")
    ended = hitl("edit", "t")
    assert "not allowed" in ended.err
    assert not (hitl.folder / "opened").exists()


def test_it_comes_up_in_a_review_and_nothing_is_resumed(ran):
    hitl, _ = ran
    ended = hitl("review", stdin="r\nnot this one\n")
    assert ended.status == 0
    assert "[e] edit" not in ended.err
    assert "1 decided, 0 waiting" in ended.out
    assert hitl.effects() == ["refund A-1 80"]


def test_beside_a_gated_call_the_gated_one_is_meant(soft):
    waiting = soft.waits("t")
    assert {one["call_id"]: one["tier"] for one in waiting} == {
        "money.1": "soft_review",
        "letter.1": "hard_gate",
    }
    ended = soft("approve", "t")
    assert ended.status == 0
    assert sorted(soft.effects()) == ["refund A-1 80", "send ana@example.com"]
    (left,) = soft("list", "--json").json
    assert left["call_id"] == "money.1"
    assert soft("approve", "t").status == 0
    assert soft("list", "--json").json == []
    assert len(soft.effects()) == 2


def test_rejected_beside_a_gated_call_it_does_not_run(soft):
    soft.waits("t")
    ended = soft("reject", "t", "--call", "money.1")
    assert ended.status == 0
    assert soft.effects() == []
    assert soft("approve", "t").status == 0
    assert soft.effects() == ["send ana@example.com"]


def test_one_that_failed_can_be_decided(soft):
    ended = soft("run", "desk", "--runbook", "failing.yaml", "--thread", "t")
    assert "soft_review" in ended.out
    assert len(soft("list", "--json").json) == 1
    assert soft("reject", "t").status == 0
    assert soft("list", "--json").json == []


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_one_of_a_thread_that_runs_elsewhere_is_decided_here(hitl, database_url, json_):
    done: list[Any] = []
    policy = "tools:\n  refund: {effect: write, rules: [{id: a, when: 'true', tier: soft_review}]}"
    graph = build_graph(
        Script([call("refund", "a", amount=1)]),
        tools_noting(done),
        parse_policy(policy),
        clock=Clock(),
    ).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "far"}, "metadata": {"graph_id": "there"}}
    graph.invoke({"messages": [("user", "x")]}, config)
    assert done == [("refund", 1)]
    shown = hitl("show", "far")
    assert shown.status == 0
    assert "hitl approve far" in shown.err
    assert "--payload" not in shown.err
    ended = hitl("approve", "far", *json_)
    assert ended.status == 0, ended
    if json_:
        assert ended.json["thread_id"] == "far"
        assert ended.json["elsewhere"] is True
    assert hitl("list", "--json").json == []


SECRETS = ("A-1", "ana@example.com", "your refund is on its way")


def test_what_is_hidden_is_hidden_wherever_a_reviewer_looks(hiding):
    hiding("run", "desk", "--runbook", "refund.yaml", "--thread", "t")
    for command in (("list",), ("show", "t"), ("history", "t"), ("review",)):
        for json_ in ((), ("--json",)):
            ended = hiding(*command, *json_, stdin="q\n")
            for secret in SECRETS[1:]:
                assert secret not in ended.out + ended.err, (command, json_)
    assert "[hidden by policy]" in hiding("history", "t").out


def test_an_edit_of_what_is_hidden_is_hidden_in_the_history(hiding):
    hiding.waits("t")
    args = '{"to": "[hidden by policy]", "text": "a text of my own"}'
    ended = hiding("edit", "t", "--call", "letter.1", "--args", args)
    assert ended.status == 3
    for limit in ("1000", "3", "1"):
        for json_ in ((), ("--json",)):
            told = hiding("history", "t", "--limit", limit, *json_).out
            assert "a text of my own" not in told
            assert "ana@example.com" not in told


def test_the_editor_shows_no_more(hiding, monkeypatch):
    hiding.waits("t")
    editor = hiding.folder / "editor.sh"
    editor.write_text('#!/bin/sh\ncp "$1" seen\nsed -i s/80/70/ "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    hiding("edit", "t", "--call", "money.1")
    seen = (hiding.folder / "seen").read_text()
    assert "A-1" not in seen
    assert "[hidden by policy]" in seen


def test_nor_is_it_shown_while_the_thread_runs(hiding):
    ended = hiding("run", "desk", "--runbook", "refund.yaml", "--thread", "t")
    assert ended.status == 3
    assert "plan         send" in ended.out
    for secret in SECRETS[1:]:
        assert secret not in ended.out + ended.err
    args = '{"to": "[hidden by policy]", "text": "a text of my own"}'
    hiding("edit", "t", "--call", "letter.1", "--args", args)
    hiding("reject", "t", "--call", "money.1")
    ended = hiding("approve", "t")
    assert hiding.effects() == ["send ana@example.com"]
    shown = hiding("show", "t").out + hiding("show", "t", "--json").out
    assert "changed by a reviewer" in shown
    for secret in ("a text of my own", "ana@example.com"):
        assert secret not in ended.out + shown


def test_a_thread_that_stopped_halfway_says_how_to_go_on(soft, monkeypatch):
    ended = soft("run", "desk", "--runbook", "failing.yaml", "--thread", "t")
    assert ended.status == 1
    assert "soft_review" in ended.out
    assert "next: hitl show" not in ended.err, ended.err
