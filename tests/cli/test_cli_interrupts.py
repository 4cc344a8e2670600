"""`hitl list`, `show` and `resume` on threads of graphs that know nothing of us."""

from __future__ import annotations

import json
import os
import select
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from hitl_agent import Runtime
from hitl_agent.cli import output, views

FLOWS = """
from typing import TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    answer: str


def ask(state):
    answer = interrupt({"question": "may I \\x1b[31m\\u202e?", "amount": 80})
    if answer == "fail":
        raise RuntimeError("no \\x1b[31m money")
    return {"answer": answer}


builder = StateGraph(State)
builder.add_node("ask", ask)
builder.add_node("tell", lambda state: {"answer": state["answer"] + "!"})
builder.add_edge(START, "ask")
builder.add_edge("ask", "tell")
plain = builder.compile()
breaks = builder.compile(interrupt_before=["tell"])
"""


@pytest.fixture
def shop(hitl):
    """A user's own graphs, and a way to run a thread of one as their own program would."""
    (hitl.folder / "flows" / "shop.py").write_text(FLOWS)
    file = hitl.folder / "langgraph.json"
    data = json.loads(file.read_text())
    for name in ("plain", "breaks"):
        data["graphs"][f"shop_{name}"] = f"./flows/shop.py:{name}"
    file.write_text(json.dumps(data))
    found: dict[str, Any] = {}
    exec(FLOWS, found)

    def run(thread_id: str, given: Any, graph: str = "plain") -> None:
        with PostgresSaver.from_conn_string(os.environ["HITL_DATABASE_URL"]) as saver:
            compiled = found[graph].copy(update={"checkpointer": saver})
            compiled.invoke(given, {"configurable": {"thread_id": thread_id}})

    return run


def test_a_thread_of_any_graph_is_listed_safely(hitl, shop):
    shop("t", {})
    ended = hitl("list")
    assert ended.status == 0
    head, line = ended.out.splitlines()
    assert head.split() == ["WAITS", "STATUS", "THREAD", "GRAPH", "NODE", "INTERRUPT", "ASKS"]
    assert line.split()[1:5] == ["waiting", "t", "-", "ask"]
    assert "\x1b" not in ended.out
    assert "\u202e" not in ended.out
    assert '"amount": 80' in line
    assert ended.err == "next: hitl show t\n"
    assert hitl("list", "--tool", "ask").out == hitl("list", "--tier", "hard_gate").out
    assert hitl("list", "--tool", "ask").out == "nothing waits\n"


def test_the_list_is_what_get_state_says(hitl, shop):
    shop("t", {})
    (one,) = hitl("list", "--json").json
    assert one["asks"] == {"question": "may I \x1b[31m\u202e?", "amount": 80}
    assert (one["thread_id"], one["status"], one["node"]) == ("t", "waiting", "ask")
    assert (one["request_id"], one["call_id"], one["tool"], one["due_at"]) == (None,) * 4
    shop("t", Command(resume={one["interrupt_id"]: "yes"}))
    assert hitl("list", "--json").json == []
    assert hitl("list", "--all-graphs").out == "nothing waits\n"


def test_calls_come_first_and_are_printed_as_ever(hitl, shop):
    hitl.waits("ours")
    before = hitl("list").out
    shop("theirs", {})
    ended = hitl("list")
    assert ended.out.startswith(before + "\nWAITS")
    assert [one["thread_id"] for one in hitl("list", "--json").json] == ["ours", "ours", "theirs"]
    assert [one["thread_id"] for one in hitl("list", "--limit", "2", "--json").json] == ["ours"] * 2
    assert "--limit N shows more" in hitl("list", "--limit", "3").err
    assert "theirs" not in hitl("list", "--graph", "desk").out


def test_threads_that_stopped_are_told_apart(hitl, shop):
    shop("waits", {})
    shop("broke", {}, "breaks")
    shop("broke", Command(resume="yes"), "breaks")
    shop("done", {})
    shop("done", Command(resume="yes"))
    hitl("run", "broken_planner", "x", "--thread", "failed")
    listed = hitl("list", "--all-graphs", "--json").json
    assert {one["thread_id"]: one["status"] for one in listed} == {
        "waits": "waiting",
        "broke": "running",
        "failed": "failed",
    }
    shown = hitl("show", "broke", "--json").json
    assert shown["status"] == "running"
    shown = hitl("show", "broke", "--graph", "shop_breaks", "--json").json
    assert shown["status"] == "breakpoint"
    assert hitl("show", "broke", "--graph", "shop_plain", "--json").json["status"] == "running"
    assert "failed" in hitl("list", "--all-graphs").out
    assert hitl("list").out.count("\n") == 2


def test_a_breakpoint_of_a_graph_that_hitl_runs_is_known(hitl, shop):
    ended = hitl("run", "shop_breaks", "x", "--thread", "t")
    assert ended.status == 3
    ended = hitl("resume", "t", "--payload", '{"resume": "yes"}')
    assert (ended.status, ended.err) == (3, "next: hitl resume t\n")
    assert "status     breakpoint" in hitl("show", "t").out
    assert "breakpoint" in hitl("list", "--all-graphs").out
    again = hitl("run", "shop_breaks", "x", "--thread", "t")
    assert (again.status, "exists and is breakpoint" in again.err) == (1, True)
    assert hitl("resume", "t").status == 0
    assert hitl("list", "--all-graphs").out == "nothing waits\n"


def test_a_foreign_thread_is_shown_and_resumed_when_its_graph_is_named(hitl, shop):
    shop("t", {})
    shown = hitl("show", "t")
    assert shown.status == 0
    assert "status     waiting" in shown.out
    assert '"amount": 80' in shown.out
    assert "\x1b" not in shown.out
    assert shown.err == "next: hitl resume t --graph NAME --payload '{\"resume\": ...}'\n"
    refused = hitl("resume", "t", "--payload", '{"resume": "yes"}')
    assert refused.status == 2
    assert "does not say which graph" in refused.err
    assert "hitl resume t --graph NAME" in refused.err
    assert "names no graph `shop_plian`" in hitl("resume", "t", "--graph", "shop_plian").err
    asked = hitl("resume", "t", "--graph", "shop_plain")
    assert asked.status == 3
    assert "--payload" in asked.err
    answer = json.dumps({"resume": {hitl("list", "--json").json[0]["interrupt_id"]: "yes"}})
    ended = hitl("resume", "t", "--graph", "shop_plain", "--payload", answer, "--json")
    assert ended.status == 0, ended
    assert ended.json["status"] == "done"
    assert hitl("show", "t", "--json").json["graph"] == "shop_plain"


def test_one_that_failed_after_its_answer_is_listed_and_answered_again(hitl, shop):
    shop("t", {})
    failed = hitl("resume", "t", "--graph", "shop_plain", "--payload", '{"resume": "fail"}')
    assert failed.status == 1
    assert "\x1b" not in failed.err
    listed = hitl("list")
    assert "failed since it asked" in listed.out
    assert "\x1b" not in listed.out
    assert hitl("list", "--json").json[0]["failed"] is True
    shown = hitl("show", "t")
    assert "status     waiting" in shown.out
    assert "money" in shown.out


def test_a_question_beside_calls_of_ours_is_shown_with_them(hitl):
    hitl.waits("t")
    assert hitl("show", "t", "--json").json["interrupts"] == []


class Deep(TypedDict, total=False):
    answer: str


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "question",
    [
        nested(100), {("a", "tuple"): 1, b"bytes": 2, 3: float("nan")}, "x" * 6_000_000,
        b"\x00\xff",
        {"\u202e\x1b]0;": "\x9b31m"}, ["\r\n\tstatus     done\x1b[2J"] * 3, None, float("inf"),
        {"request_id": "8c6f5c5e-0000-4000-8000-000000000000"},
    ],
    ids=lambda _: "",
)  # fmt: skip
def test_hostile_questions_are_listed_and_do_no_harm(hitl, question):
    builder = StateGraph(Deep)
    builder.add_node("ask\x1b[31m", lambda _: {"answer": interrupt(question)})
    builder.add_edge(START, "ask\x1b[31m")
    with PostgresSaver.from_conn_string(os.environ["HITL_DATABASE_URL"]) as saver:
        config = {"configurable": {"thread_id": "t\x1b[31m"}}
        builder.compile(checkpointer=saver).invoke({}, config)
    for args in (("list",), ("list", "--all-graphs"), ("show", "t\x1b[31m")):
        ended = hitl(*args)
        assert "Error" not in ended.err, ended.err
        for text in (ended.out, ended.err):
            assert not {"\x1b", "\x9b", "\u202e", "\r", "\t", "\x00"} & set(text)
        assert not [line for line in ended.out.splitlines() if line.startswith("status     done")]
    (one,) = hitl("list", "--json").json
    assert one["thread_id"] == "t\x1b[31m"
    assert one["interrupt_id"] or one["problem"]


@pytest.mark.parametrize("columns", [60, 200])
def test_on_a_terminal_lines_fit(hitl, shop, monkeypatch, capsys, columns):
    shop("t", {})
    monkeypatch.setattr(output.out, "_width", columns)
    monkeypatch.setattr(output.out, "_force_terminal", True)
    monkeypatch.setattr(output.out, "no_color", True)
    with Runtime.open() as runtime:
        views.print_others(runtime.interrupts())
    lines = [output.Text.from_ansi(one).plain for one in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("WAITS") == (columns == 200)
    assert all(len(one) <= columns for one in lines)
    assert "ask" in "".join(lines)


def test_watching_tells_of_what_other_graphs_ask(hitl, shop):
    watching = hitl.start("list", "--watch", "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline()) == []
    shop("t", {})
    assert select.select([watching.stdout], [], [], 30)[0]
    assert json.loads(watching.stdout.readline())[0]["thread_id"] == "t"


def test_the_triggers_are_taken_away_and_set_up(hitl, shop):
    assert hitl("db", "interrupts").out == "interrupts on\n"
    assert hitl("db", "interrupts", "--off", "--json").json == {"interrupts": False}
    shop("t", {})
    assert hitl("list").out == "nothing waits\n"
    assert "hitl db interrupts --on" in hitl("list", "--all-graphs").err
    assert hitl("db", "interrupts", "--on").out == "interrupts on\n"
    assert [one["thread_id"] for one in hitl("list", "--json").json] == ["t"]
