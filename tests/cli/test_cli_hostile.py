"""Whatever a model, a tool or a person writes: nothing of it acts on the terminal that shows it."""

from __future__ import annotations

import json
import unicodedata

import pytest

ESC = "\x1b[31m\x1b]0;x\x07\x9b2J\u202e\u200b\ufeff"
COMMANDS = {
    "list": ("list",),
    "list by tool": ("list", "--tool", ESC),
    "list by graph": ("list", "--graph", ESC),
    "show": ("show", "t"),
    "history": ("history", "t"),
    "approve": ("approve", "t", "--reason", ESC, "--as", ESC),
    "reject": ("reject", "t", "--reason", ESC, "--as", ESC),
    "respond": ("respond", "t", "--reason", ESC),
    "edit": ("edit", "t", "--args", json.dumps({"to": ESC})),
    "edit that does not fit": ("edit", "t", "--args", json.dumps({ESC: 1})),
    "edit from nowhere": ("edit", "t", "--args", f"@{ESC}"),
    "resume": ("resume", "t"),
    "resume with an answer": ("resume", "t", "--payload", json.dumps({"resume": {"type": ESC}})),
    "resume to nowhere": ("resume", "t", "--payload", json.dumps({"goto": ESC})),
    "approve another call": ("approve", "t", "--call", ESC),
    "show another thread": ("show", ESC),
    "run another graph": ("run", ESC, ESC),
    "run over it": ("run", "hostile", ESC, "--thread", "t"),
    "run anew": ("run", "hostile", f"{ESC}\nstatus     done", "--thread", ESC),
    "run what raises": ("run", "raises", ESC),
    "run what exits": ("run", "exits", ESC),
    "run without a plan": ("run", "broken_planner", ESC),
    "run from nowhere": ("run", "hostile", "--runbook", f"{ESC}.yaml"),
    "another command": (ESC,),
    "another option": ("list", f"--{ESC}"),
    "another value": ("list", "--limit", ESC),
    "too many": ("list", ESC, ESC),
    "no database": ("list", "--database-url", ESC),
    "no such database": ("list", "--database-url", f"postgresql://u@127.0.0.1:1/{ESC}"),
}


def unseen(text: str) -> list[str]:
    """The characters that would not plainly show."""
    return sorted(
        {char for char in text if char != "\n" and unicodedata.category(char)[0] in "CZ"} - {" "}
    )


@pytest.fixture
def waiting(hitl):
    """A thread that waits, all of whose text is hostile."""
    assert hitl("run", "hostile", f"task {ESC}", "--thread", "t").status == 3
    return hitl


def read(hitl) -> tuple[str, str]:
    """The option with which somebody approves a long call who has read it."""
    return "--digest", hitl("list", "--json").json[0]["call_digest"]


@pytest.mark.parametrize("name", COMMANDS)
def test_text_shows_plainly(waiting, name):
    ended = waiting(*COMMANDS[name])
    assert unseen(ended.out) == []
    assert unseen(ended.err) == []
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_printable_ascii(waiting, name):
    ended = waiting(*COMMANDS[name], "--json")
    assert ended.out.isascii()
    assert unseen(ended.out + ended.err) == []
    if ended.out:
        json.loads(ended.out)
    if ended.status not in (0, 3):
        assert set(ended.error) == {"error", "next"}


def test_review_shows_plainly(waiting):
    ended = waiting("review", stdin=f"{ESC}\na\n" + "m\n" * 6 + f"a\n{ESC}\n")
    assert unseen(ended.out + ended.err) == []
    assert ended.status == 0


def test_no_text_passes_for_a_line_of_ours(waiting):
    """The hostile text has a line that reads `status     done`."""
    seen = [waiting(*COMMANDS[name]) for name in ("show", "run over it")]
    seen += [waiting("approve", "t", *read(waiting)), waiting("show", "t")]
    lines = [line for ended in seen for line in (ended.out + ended.err).splitlines()]
    assert [one for one in lines if one.startswith("status     ")] == [
        "status     waiting",
        "status     done",
    ]
    assert not [one for one in lines if one.startswith("auto_approve")]


def test_markup_is_text(waiting):
    assert "[red]markup[/red]" in waiting("show", "t").out
    assert ":smile:" in waiting("show", "t").out


def test_what_a_tool_prints_goes_to_stderr_marked_as_such(waiting):
    ended = waiting("approve", "t", "--json", *read(waiting))
    assert ended.status == 0
    assert ended.json["status"] == "done"
    assert "  | printed" in ended.err
    assert "  | complained" in ended.err


def test_a_call_that_is_long_is_shown_whole_and_listed_short(waiting):
    shown, listed = waiting("show", "t").out, waiting("list").out
    assert "long " * 5000 in shown
    assert "25,000 characters, 25,000 bytes, sha256:" in shown
    assert max(map(len, listed.splitlines())) < 1000


@pytest.mark.parametrize("name", ["list", "show", "another command", "run what raises"])
def test_a_process_of_its_own_is_no_different(waiting, name):
    """Rich, click and Python itself write to real file descriptors here."""
    ended = waiting.process(*COMMANDS[name], env={"FORCE_COLOR": "", "COLUMNS": "60"})
    assert unseen(ended.out + ended.err) == []


def test_an_argument_that_is_not_utf_8_is_refused(hitl_bare):
    ended = hitl_bare.process("show", "\udcff\x1b[31m")
    assert ended.status == 2
    assert "not UTF-8" in ended.err
    assert unseen(ended.err) == []
