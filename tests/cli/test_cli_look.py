"""`hitl list`, `show`, `history`, `graph`: what a reviewer sees."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import pytest
from rich.cells import cell_len

from hitl_agent import Runtime
from hitl_agent.cli import output, views
from hitl_agent.cli.views import _why
from hitl_agent.policy import Tier
from hitl_agent.policy.verdict import RuleHit
from hitl_agent.review.rendering import to_json_text

LISTED = {
    "thread_id", "graph", "interrupt_id", "request_id", "call_id", "tool", "args", "tier",
    "reasons", "created_at", "due_at",
}  # fmt: skip


def test_nothing_waits_is_said_so(hitl):
    ended = hitl("list")
    assert (ended.status, ended.out) == (0, "nothing waits\n")
    assert hitl("list", "--json").json == []


def test_the_list_has_everything_a_program_needs(hitl):
    hitl.waits("t")
    found = hitl("list", "--json").json
    assert all(set(one) >= LISTED for one in found)
    money = found[0]
    assert money["tool"] == "refund"
    assert money["args"] == {"order_id": "A-1", "amount": 80}
    assert (money["thread_id"], money["graph"], money["call_id"]) == ("t", "desk", "money.1")
    assert money["tier"] == "hard_gate"
    assert "above the limit of 50" in money["reasons"][0]
    assert datetime.fromisoformat(money["due_at"]) > datetime.fromisoformat(money["created_at"])


def test_the_most_urgent_comes_first(hitl):
    hitl.waits("first")
    hitl.waits("second", "large.yaml")
    listed = [(one["thread_id"], one["tool"]) for one in hitl("list", "--json").json]
    assert listed == [("first", "refund"), ("second", "refund"), ("first", "send")]
    text = hitl("list").out.splitlines()
    assert [line.split("first" if "first" in line else "second")[0] != "" for line in text]
    assert [("first" in line, "send" in line) for line in text[1:]] == [
        (True, False),
        (False, False),
        (True, True),
    ]


def test_the_list_is_narrowed_by_graph_tool_and_limit(hitl):
    hitl.waits("t")
    assert len(hitl("list", "--graph", "desk", "--json").json) == 2
    assert hitl("list", "--graph", "other", "--json").json == []
    assert [one["tool"] for one in hitl("list", "--tool", "send", "--json").json] == ["send"]
    assert [one["tool"] for one in hitl("list", "--limit", "1", "--json").json] == ["refund"]
    assert "--limit N shows more" in hitl("list", "--limit", "1").err


def test_the_list_ends_with_the_next_command(hitl):
    hitl.waits("a thread; with spaces")
    assert hitl("list").err == "next: hitl show 'a thread; with spaces'\n"


@pytest.mark.parametrize(("columns", "is_table"), [(150, True), (70, False)])
def test_a_terminal_gets_a_table_or_lines_that_fit(hitl, monkeypatch, capsys, columns, is_table):
    hitl.waits("t")
    from hitl_agent.storage.database import shared_database
    from hitl_agent.storage.reviews import waiting

    monkeypatch.setattr(output.out, "_width", columns)
    monkeypatch.setattr(output.out, "_force_terminal", True)
    monkeypatch.setattr(output.out, "no_color", True)
    views.print_waiting(waiting(shared_database()))
    lines = [output.Text.from_ansi(one).plain for one in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("DUE") == is_table
    assert all(len(one) <= columns for one in lines)


def test_show_has_what_a_decision_needs(hitl):
    hitl.waits("t")
    ended = hitl("show", "t")
    assert ended.status == 0
    for text in (
        "refund the customer of A-1",
        "look_up",
        "money.1",
        "letter.1",
        '"amount": 80',
        "above the limit of 50",
        "the parcel was lost",
        "sha256:",
        "approve, edit, reject, respond",
    ):
        assert text in ended.out
    assert "hitl approve t --call money.1" in ended.err


def test_show_as_json_has_the_same_and_the_state(hitl):
    hitl.waits("t")
    shown = hitl("show", "t", "--json").json
    assert {"waiting", "status", "task", "results"} <= set(shown)
    assert shown["status"] == "waiting"
    assert all(set(one) >= LISTED for one in shown["waiting"])


def test_show_of_a_thread_that_is_done_has_its_answer(hitl):
    hitl("run", "desk", "--runbook", "small.yaml", "--thread", "t")
    ended = hitl("show", "t")
    assert "status     done" in ended.out
    assert "answer     the planner claims:\n           the runbook is done" in ended.out
    assert ended.err == ""
    assert hitl("show", "t", "--json").json["status"] == "done"


def test_show_of_a_failed_thread_points_to_what_helps(hitl):
    hitl("run", "desk", "--runbook", "failing.yaml", "--thread", "ended")
    hitl("run", "broken_planner", "x", "--thread", "stuck")
    assert hitl("show", "ended").err == "next: hitl history ended\n"
    assert hitl("show", "stuck").err == "next: hitl resume stuck\n"


def test_history_tells_everything_in_order(hitl):
    hitl.waits("t", "large.yaml")
    hitl("approve", "t", "--reason", "seen the parcel")
    kinds = [one["kind"] for one in hitl("history", "t", "--json").json]
    told = [one for one in kinds if one != "checkpoint"]
    assert told == ["verdict", "request", "decision", "grant", "started", "succeeded"]
    assert "approve by ana seen the parcel" in hitl("history", "t").out


@pytest.mark.parametrize(
    "command",
    [
        ("show",), ("history",), ("approve",), ("reject",), ("resume",),
        ("edit", "--args", "{}"), ("respond", "--reason", "x"),
        ("resume", "--payload", '{"resume": 1}'), ("approve", "--call", "c"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("thread_id", ["nowhere", "", "\x1b[31m", "t" * 5000])
def test_an_unknown_thread_is_named_with_status_1(hitl, command, thread_id):
    ended = hitl(command[0], *command[1:], "--", thread_id)
    assert ended.status == 1
    assert "there is no thread" in ended.err
    assert "hitl list" in ended.err
    assert "\x1b" not in ended.err


def test_a_graph_is_mermaid_text(hitl_bare):
    ended = hitl_bare("graph", "desk")
    assert ended.status == 0
    for node in ("planner", "risk_classifier", "human_review", "executor"):
        assert node in ended.out
    assert "\\" not in ended.out
    assert hitl_bare("graph", "desk", "--json").json["mermaid"].startswith("---")


@pytest.mark.parametrize("name", ["nope", "raises", "empty"])
def test_a_graph_that_cannot_be_drawn_is_named(hitl_bare, name):
    ended = hitl_bare("graph", name, "--json")
    assert ended.status == 2
    assert name in ended.error["error"]


def test_ids_in_hints_cannot_smuggle_a_command():
    assert output.command("show", "a b; rm -rf /") == "hitl show 'a b; rm -rf /'"
    assert output.command("show", "-x") == "hitl show -- -x"
    assert output.command("approve", "t", call="$(id)") == "hitl approve t --call '$(id)'"
    hostile = output.command("approve", "t", call="a\x1b'`id`\n")
    assert hostile == "hitl approve t --call $'a\\x1b\\x27\\x60id\\x60\\x0a'"


def test_what_json_cannot_say_is_said_as_text():
    shown = to_json_text({"at": datetime(2026, 1, 1)})  # noqa: DTZ001
    assert json.loads(shown) == {"at": "2026-01-01 00:00:00"}


def test_what_the_planner_says_is_labelled_as_its_claim(hitl):
    ran = hitl("run", "desk", "--runbook", "small.yaml", "--thread", "done")
    assert "answer       the planner claims: the runbook is done" in ran.out
    hitl.waits("t")
    assert (
        "claim      the planner claims:\n           the parcel was lost\n" in hitl("show", "t").out
    )


def test_a_name_that_mixes_scripts_is_told_before_the_reasons(hitl):
    hitl.waits("t")
    edited = '{"to": "ada@p\u0430ypal.com", "text": "hello"}'
    hitl("edit", "t", "--call", "letter.1", "--args", edited)
    hitl("reject", "t", "--call", "money.1")
    told = "`to`: `p\u0430ypal` mixes Cyrillic and Latin: \u0430 is U+0430"
    assert f"    }}\n    ! {told}\n" in hitl("show", "t").out
    listed = hitl("list")
    assert f"  {told}; " in listed.out
    assert hitl("list", "--json").json[0]["cautions"] == [told]


def test_a_long_text_is_listed_by_its_beginning_length_and_digest(hitl):
    hitl.waits("t")
    args = json.dumps({"to": "ada@example.com", "text": "so sörry " * 100})
    hitl("edit", "t", "--call", "letter.1", "--args", args)
    hitl("reject", "t", "--call", "money.1")
    digest = sha256(("so sörry " * 100).encode()).hexdigest()
    told = f"900 characters, 1,000 bytes, sha256:{digest}"
    assert f'"text": "so sörry so sörry so sörry so sörry so s"… [{told}]' in hitl("list").out
    assert f"    ! `text`: {told}\n" in hitl("show", "t").out


def test_a_long_line_never_wraps_into_a_line_of_ours(monkeypatch, capsys):
    monkeypatch.setattr(output.out, "_width", 40)
    monkeypatch.setattr(output.out, "_force_terminal", True)
    text = "task".ljust(40) + "status     done".ljust(36) + "中" * 40
    output.line(text)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "task".ljust(40)
    assert lines[1] == "  … status     done".ljust(40)
    assert all(one.startswith("  … ") and cell_len(one) <= 40 for one in lines[1:])
    assert lines[0] + "".join(one.removeprefix("  … ") for one in lines[1:]) == text


def test_that_a_call_may_have_happened_is_told_before_anything_else(hitl):
    edited = '{"to": "ada@p\u0430ypal.com", "text": "hello"}'
    hitl.waits("t")
    hitl("edit", "t", "--call", "letter.1", "--args", edited)
    hitl("reject", "t", "--call", "money.1")
    with Runtime.open() as runtime:
        (asked,) = [one for one in runtime.waiting("t") if one.call.call_id == "letter.1"]
    doubt = RuleHit("errors", Tier.HARD_GATE, "in doubt")
    doubtful = replace(asked.verdict, errors=("in doubt",), rules=(doubt,))
    assert _why(replace(asked, verdict=doubtful)).startswith("in doubt; `to`: ")
    assert _why(asked).startswith("`to`: ")
