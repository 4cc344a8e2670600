"""`hitl resume`: continuing, and raw `Command` payloads."""

from __future__ import annotations

import json

import pytest


def test_without_a_decision_the_thread_still_waits(hitl):
    hitl.waits("t")
    ended = hitl("resume", "t")
    assert ended.status == 3
    assert "money.1" in ended.out


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "approve"},
        {"decisions": [{"type": "approve"}]},
        [{"type": "accept", "args": None}],
    ],
)
def test_a_payload_answers_the_one_interrupt(hitl, answer):
    hitl.waits("t", "large.yaml")
    assert hitl("resume", "t", "--payload", json.dumps({"resume": answer})).status == 0
    assert hitl.effects() == ["refund A-1 80"]


def test_a_payload_comes_from_a_file(hitl):
    hitl.waits("t", "large.yaml")
    (hitl.folder / "p.json").write_text('{"resume": {"type": "reject", "message": "no"}}')
    assert hitl("resume", "t", "--payload", "@p.json").status == 0
    assert hitl.effects() == []


def test_of_several_interrupts_a_payload_names_which(hitl):
    money, letter = hitl.waits("t")
    bare = hitl("resume", "t", "--payload", '{"resume": {"type": "approve"}}')
    assert bare.status == 2
    assert money["interrupt_id"] in bare.err
    assert letter["interrupt_id"] in bare.err
    named = {money["interrupt_id"]: {"type": "approve"}}
    assert hitl("resume", "t", "--payload", json.dumps({"resume": named})).status == 3
    (left,) = hitl("list", "--json").json
    assert left["call_id"] == "letter.1"


def test_an_answer_that_is_not_understood_is_asked_again(hitl):
    hitl.waits("t", "large.yaml")
    ended = hitl("resume", "t", "--payload", '{"resume": "\\u001b[31mof course"}')
    assert ended.status == 3
    shown = hitl("show", "t").out
    assert "the last answer was refused" in shown
    assert "\x1b" not in shown
    assert hitl("approve", "t").status == 0
    assert hitl.effects() == ["refund A-1 80"]


@pytest.mark.parametrize(
    "answer", [None, {}, [], {"type": "edit"}, {"type": "approve", "message": 3}]
)
def test_an_odd_answer_never_wedges_the_thread(hitl, answer):
    hitl.waits("t", "large.yaml")
    ended = hitl("resume", "t", "--payload", json.dumps({"resume": answer}))
    assert ended.status == 3, ended
    assert hitl("approve", "t").status == 0
    assert hitl.effects() == ["refund A-1 80"]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ("{", "is no JSON"),
        ("", "is no JSON"),
        ("null", "a payload is an object"),
        ("[]", "a payload is an object"),
        ("{}", "a payload is an object"),
        ('{"approve": true}', "a payload is an object"),
        ('{"resume": 1, "graph": "__parent__"}', "a payload is an object"),
        ('{"resume": 1, "resume": 2}', "stands there twice"),
        ('{"resume": {"type": "approve", "message": "\\u0000"}}', "NUL"),
        ('{"goto": "nowhere"}', "names a node that is not there"),
        ('{"goto": 3}', "names a node that is not there"),
        ('{"goto": [["executor"]]}', "names a node that is not there"),
        ('{"update": [1]}', "`update` is an object"),
        ("@nowhere.json", "cannot be read"),
    ],
)
def test_a_malformed_payload_is_refused_with_status_2(hitl, payload, says):
    before = hitl.waits("t", "large.yaml")
    ended = hitl("resume", "t", "--payload", payload)
    assert ended.status == 2
    assert says in ended.err
    assert hitl("list", "--json").json == before
    assert hitl.effects() == []


@pytest.mark.parametrize("node", ["executor", "planner", "risk_classifier"])
def test_going_to_a_node_runs_nothing_that_waits(hitl, node):
    hitl.waits("t", "large.yaml")
    ended = hitl("resume", "t", "--payload", json.dumps({"goto": node}))
    assert ended.status in (1, 3)
    assert hitl.effects() == []


def test_an_update_reaches_the_state(hitl):
    hitl.waits("t", "large.yaml")
    said = [{"role": "user", "content": "hurry up"}]
    ended = hitl("resume", "t", "--payload", json.dumps({"update": {"messages": said}}))
    assert ended.status in (0, 3)
    assert hitl.effects() == []
    hitl("reject", "t")  # LangGraph applies the update when the step ends
    assert hitl("show", "t", "--json").json["task"] == "hurry up"


@pytest.mark.parametrize("extra", [(), ("--payload", '{"resume": {"type": "approve"}}')])
def test_a_thread_that_is_done_has_nothing_to_resume(hitl, extra):
    hitl("run", "desk", "--runbook", "small.yaml", "--thread", "t")
    ended = hitl("resume", "t", *extra)
    assert ended.status == 1
    assert "is done" in ended.err
    assert len(hitl.effects()) == 1
