"""`hitl approve`, `reject`, `edit`, `respond`: decisions, and those that come to nothing."""

from __future__ import annotations

import json

import psycopg
import pytest


def decisions(url: str) -> list[tuple[str, str, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT type, reviewer, message FROM hitl.decision ORDER BY decided_at"
        ).fetchall()


def test_approve_takes_all_that_wait(hitl, database_url):
    hitl.waits("t")
    ended = hitl("approve", "t", "--reason", "checked", "--as", "bea", "--json")
    assert (ended.status, ended.json["status"]) == (0, "done")
    assert hitl.effects() == ["refund A-1 80", "send ana@example.com"]
    assert decisions(database_url) == [("approve", "bea", "checked")] * 2


def test_reject_takes_all_that_wait(hitl, database_url):
    hitl.waits("t")
    assert hitl("reject", "t", "--reason", "no").status == 0
    assert hitl.effects() == []
    assert decisions(database_url) == [("reject", "ana", "no")] * 2


def test_one_call_is_decided_and_the_rest_waits(hitl):
    hitl.waits("t")
    first = hitl("approve", "t", "--call", "money.1")
    assert first.status == 3
    assert "approved     refund (money.1)" in first.out
    assert hitl.effects() == []
    last = hitl("reject", "t", "--call", "letter.1")
    assert last.status == 0
    assert hitl.effects() == ["refund A-1 80"]


def test_an_edited_call_is_judged_again(hitl):
    hitl.waits("t", "large.yaml")
    small = json.dumps({"order_id": "A-1", "amount": 20})
    assert hitl("edit", "t", "--args", small).status == 0
    assert hitl.effects() == ["refund A-1 20"]


def test_an_edited_call_that_is_still_too_large_waits_again(hitl):
    hitl.waits("t", "large.yaml")
    ended = hitl("edit", "t", "--args", '{"order_id": "A-1", "amount": 70}', "--json")
    assert ended.status == 3
    (again,) = ended.json["waiting"]
    assert (again["args"]["amount"], again["revision"]) == (70, 2)
    assert "2 times" in hitl("show", "t").out
    assert hitl("approve", "t").status == 0
    assert hitl.effects() == ["refund A-1 70"]


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_arguments_come_from_a_file(hitl, source):
    hitl.waits("t", "large.yaml")
    text = (
        '\ufeff{"order_id": "A-1", "amount": 5}'
        if source == "file"
        else '{"order_id": "A-1", "amount": 5}'
    )
    (hitl.folder / "new.json").write_text(text)
    name = "@new.json" if source == "file" else "@-"
    assert hitl("edit", "t", "--args", name, stdin=text).status == 0
    assert hitl.effects() == ["refund A-1 5"]


def test_the_editor_opens_with_the_arguments(hitl, monkeypatch):
    hitl.waits("t", "large.yaml")
    editor = hitl.folder / "my editor.sh"
    editor.write_text('#!/bin/sh\n[ "$1" = --wait ] || exit 9\nsed -i s/80/30/ "$2"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{editor}' --wait")
    assert hitl("edit", "t").status == 0
    assert hitl.effects() == ["refund A-1 30"]


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        ("true", 2, "nothing was changed"),
        ("exit 7", 1, "status 7"),
        ('echo "{" > "$1"', 2, "is no JSON"),
        ('echo "@/etc/passwd" > "$1"', 2, "is no JSON"),
        ('echo "[]" > "$1"', 2, "JSON object"),
        (': > "$1"', 2, "is no JSON"),
        ('rm "$1"', 1, "the editor failed"),
        ("printf '\\377' > \"$1\"", 1, "the editor failed"),
    ],
)
def test_an_editor_that_leaves_nothing_usable_decides_nothing(
    hitl, monkeypatch, database_url, script, status, says
):
    hitl.waits("t", "large.yaml")
    editor = hitl.folder / "editor.sh"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    ended = hitl("edit", "t")
    assert (ended.status, decisions(database_url)) == (status, [])
    assert says in ended.err
    assert "\nnext: " in ended.err


@pytest.mark.parametrize("editor", ["/no/such/editor", "'unclosed"])
def test_an_editor_that_does_not_start_is_named(hitl, monkeypatch, editor):
    hitl.waits("t", "large.yaml")
    monkeypatch.setenv("EDITOR", editor)
    ended = hitl("edit", "t")
    assert ended.status == 1
    assert "the editor failed" in ended.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ('{"order_id": "A-1"}', "'amount' is a required property"),
        ('{"order_id": "A-1", "amount": "20"}', "not of type 'integer'"),
        ('{"order_id": "A-1", "amount": 20, "to": "me"}', "no argument is named `to`"),
        ("{}", "required property"),
        ("[1]", "no JSON object"),
        ("20", "no JSON object"),
        ("", "is no JSON"),
        ("{'a': 1}", "is no JSON"),
        ('{"order_id": "A-1", "amount": 20, "amount": 20000}', "stands there twice"),
        ('{"order_id": "A\\u0000", "amount": 20}', "NUL"),
        ('{"order_id": "\\ud800", "amount": 20}', "surrogate"),
        ('{"order_id": "A-1", "amount": NaN}', "`--args` cannot be used"),
        ('{"order_id": "A-1", "amount": 1e400}', "`--args` cannot be used"),
        ('{"order_id": "A-1", "amount": 9007199254740993}', "`--args` cannot be used"),
        ("[" * 100_000, "nested too deeply"),
        ("@nowhere.json", "`nowhere.json` cannot be read"),
        ("@.", "`.` cannot be read"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_they_are_stored(
    hitl, database_url, args, says
):
    (before,) = hitl.waits("t", "large.yaml")
    ended = hitl("edit", "t", "--args", args)
    assert ended.status == 2
    assert says in ended.err
    assert "\nnext: " in ended.err
    assert decisions(database_url) == []
    assert hitl("list", "--json").json == [before]


def test_a_reviewer_answers_in_the_tools_place(hitl):
    hitl.waits("t", "large.yaml")
    ended = hitl("respond", "t", "--reason", "she withdrew", "--json")
    assert ended.status == 0
    assert ended.json["results"][0]["outcome"] == "answered"
    assert "she withdrew" in ended.json["results"][0]["content"]
    assert hitl.effects() == []


def test_an_answer_needs_a_text(hitl, database_url):
    hitl.waits("t", "large.yaml")
    ended = hitl("respond", "t")
    assert ended.status == 2
    assert "--reason TEXT" in ended.err
    assert decisions(database_url) == []


@pytest.mark.parametrize("command", [("edit", "--args", "{}"), ("respond", "--reason", "x")])
def test_of_several_calls_one_must_be_named(hitl, database_url, command):
    hitl.waits("t")
    ended = hitl(*command, "t")
    assert ended.status == 2
    assert "money.1" in ended.err
    assert "letter.1" in ended.err
    assert "--call ID" in ended.err
    assert decisions(database_url) == []


def test_a_decision_that_does_not_fit_one_of_all_is_recorded_for_none(hitl, database_url):
    hitl.waits("t")
    ended = hitl("approve", "t", "--reason", "x" * 20_001)
    assert ended.status == 2
    assert "20,001 characters" in ended.err
    assert decisions(database_url) == []


def test_a_call_that_was_decided_no_longer_waits(hitl, database_url):
    hitl.waits("t")
    hitl("approve", "t", "--call", "money.1")
    ended = hitl("reject", "t", "--call", "money.1", "--as", "bea")
    assert ended.status == 1
    assert "ana decided `approve`" in ended.err
    assert "hitl show t" in ended.err
    assert len(decisions(database_url)) == 1


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_a_thread_that_is_done_takes_no_decision(hitl, command):
    hitl("run", "desk", "--runbook", "small.yaml", "--thread", "t")
    ended = hitl(command, "t")
    assert ended.status == 1
    assert "nothing waits in thread `t`, it is done" in ended.err


def test_a_call_that_was_never_asked_about_is_named(hitl):
    hitl.waits("t")
    ended = hitl("approve", "t", "--call", "order.1", "--json")
    assert ended.status == 1
    assert "`order.1`" in ended.error["error"]
    assert "hitl show t" in ended.error["next"]


def test_a_decision_needs_a_name(hitl, monkeypatch, database_url):
    hitl.waits("t", "large.yaml")
    assert hitl("approve", "t", "--as", " ").status == 2
    monkeypatch.delenv("HITL_REVIEWER")

    def nobody():
        raise OSError("no login")

    monkeypatch.setattr("getpass.getuser", nobody)
    ended = hitl("approve", "t")
    assert ended.status == 2
    assert "--as NAME" in ended.err
    assert decisions(database_url) == []


def test_a_decision_far_from_the_project_stands_and_says_where_to_resume(
    hitl, monkeypatch, tmp_path, database_url
):
    hitl.waits("t", "large.yaml")
    monkeypatch.chdir(tmp_path)
    ended = hitl("approve", "t")
    assert ended.status == 1
    assert "the decision is recorded" in ended.err
    assert "`hitl resume t`" in ended.err
    assert len(decisions(database_url)) == 1
    assert hitl.effects() == []
    monkeypatch.chdir(hitl.folder)
    assert hitl("resume", "t").status == 0
    assert hitl.effects() == ["refund A-1 80"]


def test_approving_all_tells_what_somebody_else_decided_meanwhile(hitl, monkeypatch):
    hitl.waits("t")
    from hitl_agent.cli import settle

    checked, late = settle.check, []

    def slowly(request, decision):
        checked(request, decision)
        if not late:
            late.append(request)
            assert hitl("reject", "t", "--call", "letter.1", "--as", "bea").status == 3

    monkeypatch.setattr(settle, "check", slowly)
    ended = hitl("approve", "t")
    assert ended.status == 1
    assert "bea decided `reject`" in ended.err
    assert hitl.effects() == ["refund A-1 80"]
