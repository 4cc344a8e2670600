"""`hitl review`: a person at the terminal, line by line."""

from __future__ import annotations

import json

import pytest
from rich.cells import cell_len

from hitl_agent.cli import output


def test_nothing_to_review_is_done(hitl):
    ended = hitl("review")
    assert (ended.status, ended.out) == (0, "0 decided, 0 waiting\n")


def test_each_call_is_shown_and_decided(hitl):
    hitl.waits("t")
    ended = hitl("review", stdin="a\nit is fine\nr\nno letters\n")
    assert ended.status == 0
    assert "2 decided, 0 waiting" in ended.out
    assert "refund the customer of A-1" in ended.out
    assert "1 more after this" in ended.out
    assert "the last one" in ended.out
    assert hitl.effects() == ["refund A-1 80"]
    assert "approve by ana it is fine" in hitl("history", "t").out


def test_whole_words_work_as_well(hitl):
    hitl.waits("t")
    assert hitl("review", stdin="Approve\n\nREJECT\n\n").status == 0
    assert hitl.effects() == ["refund A-1 80"]


def test_what_is_skipped_still_waits(hitl):
    hitl.waits("t")
    ended = hitl("review", stdin="s\nskip\n")
    assert ended.status == 3
    assert "0 decided, 2 waiting" in ended.out
    assert "hitl list" in ended.err


@pytest.mark.parametrize("stdin", ["q\n", "quit\n", "", "a\n", "x\n", "p\n"])
def test_leaving_at_any_prompt_decides_nothing(hitl, stdin):
    hitl.waits("t")
    ended = hitl("review", stdin=stdin)
    assert ended.status == 3
    assert "0 decided, 2 waiting" in ended.out
    assert hitl.effects() == []


def test_a_wrong_key_is_asked_again(hitl):
    hitl.waits("t", "large.yaml")
    ended = hitl("review", stdin="x\n\x1b[31m\n7\ns\n")
    assert ended.status == 3
    assert ended.err.count("is none of a, e, r, p, s, q") == 3
    assert "\x1b" not in ended.err


def test_an_edited_call_that_is_gated_again_comes_next(hitl, monkeypatch):
    hitl.waits("a")
    hitl.waits("b", "large.yaml")
    editor = hitl.folder / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i s/80/70/ "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    ended = hitl("review", "--tool", "refund", "--as", "bea", stdin="e\ns\nq\n")
    assert ended.status == 3
    pages = ended.out.split("thread     ")[1:]
    assert [page.splitlines()[0] for page in pages[:1]] == ["a"]
    # the other call of the turn still waits, so the edited one is judged when both are decided
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    ended = hitl("review", "--as", "bea", stdin="s\na\n\ns\n")
    assert "70" in hitl("show", "a").out


def test_an_edit_in_a_thread_of_one_call_is_shown_again_at_once(hitl, monkeypatch):
    hitl.waits("a", "large.yaml")
    hitl.waits("b", "large.yaml")
    editor = hitl.folder / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i s/80/70/ "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    ended = hitl("review", stdin="e\na\n\nq\n")
    pages = [page.splitlines()[0] for page in ended.out.split("thread     ")[1:]]
    assert pages == ["a", "a", "b"]
    assert hitl.effects() == ["refund A-1 70"]


def test_an_edit_that_does_not_fit_is_asked_again(hitl, monkeypatch):
    hitl.waits("t", "large.yaml")
    editor = hitl.folder / "editor.sh"
    editor.write_text('#!/bin/sh\necho "{}" > "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    ended = hitl("review", stdin="e\nr\nno\n")
    assert ended.status == 0
    assert "do not fit" in ended.err
    assert "1 decided, 0 waiting" in ended.out


def test_text_that_cannot_be_stored_is_asked_again(hitl):
    hitl.waits("t", "large.yaml")
    ended = hitl("review", stdin="a\nnul\x00\na\n" + "x" * 20_001 + "\np\n \nr\nno\n")
    assert ended.status == 0, ended
    assert "cannot be stored" in ended.err
    assert "20,001 characters" in ended.err
    assert "an answer needs a text" in ended.err
    assert "1 decided" in ended.out
    assert hitl.effects() == []


def test_text_that_is_not_utf_8_decides_nothing(hitl):
    hitl.waits("t", "large.yaml")
    ended = hitl("review", stdin=b"a\n\xff\xfe\n")
    assert ended.status == 3
    assert "not UTF-8" in ended.err
    assert hitl.effects() == []


def test_what_somebody_else_decided_meanwhile_is_said(hitl, monkeypatch):
    hitl.waits("t", "large.yaml")
    from hitl_agent.cli import ask

    asked = ask.decision

    def late(request, **options):
        answer = asked(request, **options)
        hitl("reject", "t", "--as", "bea")
        return answer

    monkeypatch.setattr(ask, "decision", late)
    ended = hitl("review", stdin="a\n\n")
    assert "bea decided `reject`" in ended.err
    assert "0 decided, 0 waiting" in ended.out
    assert hitl.effects() == []


def test_the_round_is_narrowed_by_tool(hitl):
    hitl.waits("t")
    ended = hitl("review", "--tool", "send", stdin="a\n\n")
    assert ended.status == 0
    assert "money.1" not in ended.out.split("approved")[0]
    assert len(hitl("list", "--json").json) == 1


def test_json_has_what_was_decided_and_the_prompts_go_elsewhere(hitl):
    (one,) = hitl.waits("t", "large.yaml")
    ended = hitl("review", "--json", stdin="r\nno\n")
    assert ended.json == {
        "decided": [{"request_id": one["request_id"], "decision": "reject"}],
        "waiting": 0,
    }
    assert "[a] approve" in ended.err


@pytest.fixture
def long_call(hitl):
    """A thread of which one call takes three pages, the last of them with what is told of it."""
    hitl.waits("t")
    hitl("reject", "t", "--call", "money.1")
    args = json.dumps({"to": "ada@example.com", "text": "so sorry " * 1000})
    assert hitl("edit", "t", "--call", "letter.1", "--args", args).status == 3
    (one,) = hitl("list", "--json").json
    return one


def test_a_long_call_is_approved_only_when_its_end_was_shown(hitl, long_call):
    ended = hitl("review", stdin="a\nm\napprove\n\na\nread\n")
    assert ended.status == 0
    assert hitl.effects() == ["send ada@example.com"]
    assert ended.out.count("so sorry") < ended.err.count("so sorry") < 1000
    assert ended.err.count("there is more of it to read") == 2
    menus = [one for one in ended.err.splitlines() if "[q] quit" in one]
    assert ["[a] approve" in one for one in menus] == [False, False, False, False, True]
    assert ["[m] more" in one for one in menus] == [True, True, True, True, False]
    last = ended.err.split("page 2 of 3")[1]
    assert "! `text`: 9,000 characters, 9,000 bytes, sha256:" in last


def test_every_row_of_a_long_call_is_shown(hitl, long_call):
    ended = hitl("review", stdin="m\nm\ns\n")
    rows = [
        row
        for row in (ended.out + ended.err.replace("[q] quit: ", "\n")).splitlines()
        if row.startswith(("  … ", '      "text":'))
    ]
    text = "".join(row.removeprefix("  … ") for row in rows)
    assert "so sorry " * 1000 in text


@pytest.mark.parametrize("answer", ["r\nno\n", "p\nwait\n", "s\n", "q\n"])
def test_a_long_call_can_be_answered_otherwise_at_once(hitl, long_call, answer):
    hitl("review", stdin=answer)
    assert hitl.effects() == []


def test_with_json_a_long_call_is_shown_beside_the_prompts(hitl, long_call):
    ended = hitl("review", "--json", stdin="a\nm\nm\nm\na\n\n")
    assert [one["decision"] for one in ended.json["decided"]] == ["approve"]
    assert "so sorry so sorry" in ended.err
    assert hitl.effects() == ["send ada@example.com"]


def test_pages_are_as_large_as_the_terminal(hitl, long_call, monkeypatch):
    monkeypatch.setattr(output.out, "_width", 60)
    monkeypatch.setattr(output.out, "_height", 30)
    monkeypatch.setattr(output.out, "_force_terminal", True)
    from hitl_agent.cli.views import pages
    from hitl_agent.storage.database import shared_database
    from hitl_agent.storage.reviews import waiting

    (one,) = waiting(shared_database())
    found = pages(one)
    assert len(found) > 6
    assert all(len(page.splitlines()) <= 24 for page in found)
    assert all(cell_len(row) <= 60 for page in found for row in page.splitlines())


def test_approving_a_long_call_takes_its_digest(hitl, long_call):
    refused = hitl("approve", "t")
    assert refused.status == 2
    assert "has 3 pages, 9," in refused.err
    assert "hitl show t" in refused.err
    assert long_call["call_digest"].removeprefix("sha256:")[:8] not in refused.err
    other = hitl("approve", "t", "--digest", "0" * 64)
    assert (other.status, "another digest" in other.err) == (2, True)
    short = hitl("approve", "t", "--digest", long_call["call_digest"][:12])
    assert (short.status, "at least 8 digits" in short.err) == (2, True)
    assert hitl.effects() == []
    assert hitl("approve", "t", "--digest", long_call["call_digest"][:15]).status == 0
    assert hitl.effects() == ["send ada@example.com"]


def test_a_digest_holds_an_approval_of_a_short_call_to_what_was_seen(hitl):
    (one,) = hitl.waits("t", "large.yaml")
    assert hitl("edit", "t", "--args", '{"order_id": "A-1", "amount": 70}').status == 3
    assert hitl("approve", "t", "--digest", one["call_digest"]).status == 2
    assert hitl.effects() == []
