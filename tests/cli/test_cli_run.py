"""`hitl run`: from a runbook or a task to the gate, or to a clear error."""

from __future__ import annotations

import json

import pytest


def test_a_runbook_runs_to_the_gate_and_waits(hitl):
    ended = hitl("run", "desk", "--runbook", "refund.yaml", "--thread", "t")
    assert ended.status == 3
    assert "auto_approve look_up" in ended.out
    assert "hard_gate    refund" in ended.out
    assert "hitl show t" in ended.err
    assert hitl.effects() == []


def test_what_the_policy_lets_run_runs_to_the_end(hitl):
    ended = hitl("run", "desk", "--runbook", "small.yaml")
    assert ended.status == 0
    assert "refunded 20" in ended.out
    assert hitl.effects() == ["refund A-1 20"]


def test_json_is_the_thread_and_nothing_else(hitl):
    ended = hitl("run", "desk", "--runbook", "refund.yaml", "--thread", "t", "--json")
    assert ended.status == 3
    assert ended.json["thread_id"] == "t"
    assert ended.json["status"] == "waiting"
    assert ended.json["task"] == "refund the customer of A-1"
    assert ended.json["results"][0]["tool"] == "look_up"
    assert {one["tool"] for one in ended.json["waiting"]} == {"refund", "send"}


def test_a_task_on_the_command_line_replaces_the_runbooks(hitl):
    ended = hitl("run", "desk", "do it now", "--runbook", "small.yaml", "--json")
    assert (ended.status, ended.json["task"]) == (0, "do it now")


def test_a_thread_gets_an_id_when_none_is_named(hitl):
    first, second = (hitl("run", "desk", "--runbook", "small.yaml", "--json") for _ in range(2))
    assert first.json["thread_id"] != second.json["thread_id"]


@pytest.mark.parametrize(
    "graph",
    [
        "desk_by_module",
        "desk_factory",
        "desk_async_factory",
        "desk_with_config",
        "desk_compiled",
        "desk_in_object",
    ],
)
def test_every_way_to_name_a_graph_works(hitl, graph):
    ended = hitl("run", graph, "--runbook", "small.yaml", "--json")
    assert (ended.status, ended.json["graph"], ended.json["status"]) == (0, graph, "done")


def test_the_project_is_found_from_a_folder_below(hitl, monkeypatch):
    below = hitl.folder / "flows" / "deep"
    below.mkdir()
    monkeypatch.chdir(below)
    assert hitl("run", "desk", "--runbook", "../../small.yaml").status == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("desk",), "there is nothing to do"),
        (("desk", "  "), "there is nothing to do"),
        (("dest", "x"), "did you mean `desk`"),
        (("zzzz", "x"), "graphs: desk"),
        (("raises", "x"), "RuntimeError: no key"),
        (("exits", "x"), "SystemExit: no key"),
        (("half_written", "x"), "SyntaxError"),
        (("no_such_name", "x"), "did you mean `graph`"),
        (("no_such_file", "x"), "there is no file"),
        (("no_such_module", "x"), "ModuleNotFoundError"),
        (("no_graph", "x"), "is a `str`, no graph"),
        (("empty", "x"), "cannot be compiled"),
        (("desk", "--runbook", "nowhere.yaml"), "nowhere.yaml"),
        (("desk", "--runbook", "langgraph.json"), "langgraph.json:"),
        (("desk", "x", "--thread", ""), "a thread's id has 1 to 255 characters"),
        (("desk", "x", "--thread", "t" * 256), "a thread's id has 1 to 255 characters"),
    ],
)
def test_what_a_person_wrote_wrong_is_named_with_status_2(hitl, args, says):
    ended = hitl("run", *args)
    assert ended.status == 2
    assert says in ended.err
    assert "\nnext: " in ended.err
    assert "Traceback" not in ended.out + ended.err
    assert hitl("list", "--json").json == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", ":1:2:"),
        ("[]", "names no graphs"),
        ('{"graphs": {}}', "names no graphs"),
        ('{"graphs": {"desk": 3}}', "graph `desk` does not say where it is"),
        ('{"graphs": {"desk": "./flows/desk.py"}}', "does not say where it is"),
        ('{"graphs": {"desk": "./flows/desk:graph"}}', "does not say where it is"),
        ('{"graphs": {"desk": "a.py:b"}, "dependencies": "."}', "`dependencies`"),
        ('{"graphs": {"desk": "a.py:b"}, "env": 3}', "`env`"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_broken_langgraph_json_is_named_with_status_2(hitl, text, says):
    (hitl.folder / "langgraph.json").write_text(text)
    ended = hitl("run", "desk", "x")
    assert ended.status == 2
    assert says in ended.err
    assert "\nnext: " in ended.err


def test_without_a_langgraph_json_one_is_asked_for(hitl, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ended = hitl("run", "desk", "x")
    assert ended.status == 2
    assert "there is no `langgraph.json`" in ended.err


def test_a_failing_tool_ends_the_runbook_with_status_1(hitl):
    ended = hitl("run", "desk", "--runbook", "failing.yaml", "--thread", "t")
    assert ended.status == 1
    assert "the desk is on fire" in ended.err
    assert ended.err.rstrip().endswith("next: hitl history t")


def test_a_failing_planner_leaves_a_thread_that_can_be_resumed(hitl):
    ended = hitl("run", "broken_planner", "x", "--thread", "t")
    assert ended.status == 1
    assert "RuntimeError: no plan" in ended.err
    assert "`hitl resume t`" in ended.err
    assert hitl("show", "t", "--json").json["status"] == "failed"
    assert hitl("resume", "t").status == 1


def test_a_task_without_model_or_runbook_says_what_is_missing(hitl):
    ended = hitl("run", "desk", "do something")
    assert ended.status == 1
    assert "--runbook FILE" in ended.err


def test_a_thread_that_waits_is_not_started_over(hitl):
    hitl.waits("t")
    ended = hitl("run", "desk", "--runbook", "small.yaml", "--thread", "t")
    assert ended.status == 1
    assert "exists and is waiting" in ended.err
    assert len(hitl("list", "--json").json) == 2


def test_a_thread_that_is_done_takes_another_task(hitl):
    for _ in range(2):
        assert hitl("run", "desk", "--runbook", "small.yaml", "--thread", "t").status == 0
    assert len(hitl.effects()) == 2


def test_a_graph_that_knows_nothing_of_us_stops_and_is_resumed_by_payload(hitl):
    ended = hitl("run", "foreign", "x", "--thread", "t")
    assert ended.status == 3
    assert "hitl resume t --payload" in ended.err
    shown = hitl("show", "t")
    assert "may I" in shown.out
    assert "\x1b" not in shown.out
    assert hitl("resume", "t", "--payload", json.dumps({"resume": "yes"})).status == 0


def test_a_planner_that_says_nothing_is_done(hitl):
    assert hitl("run", "silent", "x").status == 0


def test_the_projects_env_names_the_database(hitl, monkeypatch, database_url):
    monkeypatch.delenv("HITL_DATABASE_URL")
    (hitl.folder / ".env").write_text(f'HITL_DATABASE_URL="{database_url}"\nOTHER=1\nBARE\n')
    data = json.loads((hitl.folder / "langgraph.json").read_text())
    (hitl.folder / "langgraph.json").write_text(json.dumps(data | {"env": ".env"}))
    monkeypatch.setenv("HITL_DATABASE_URL", "")
    monkeypatch.delenv("HITL_DATABASE_URL")
    try:
        ended = hitl("db", "status", "--json")
    finally:
        monkeypatch.setenv("HITL_DATABASE_URL", database_url)
    assert ended.status == 0
    assert not ended.json["embedded"]
