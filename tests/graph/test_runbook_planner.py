"""A runbook through the graph: what it plans next, where it stops, how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hitl_agent import ChatModelPlanner, RunbookOrModel, RunbookPlanner, Runtime, build_graph
from hitl_agent.errors import DocumentError, PlannerError
from hitl_agent.policy import parse_policy
from hitl_agent.runbook import parse_runbook
from tests.support.flows import POLICY, Clock, Desk, tools_noting

STEPS = """
task: look and send
steps:
  - {id: seen, tool: look, args: {what: order 7}, reason: to see it}
  - together:
      - {id: letter, tool: send, args: {to: ann, text: "${seen.total} for ${seen.what}"}, reason: r}
      - {id: back, tool: refund, args: {amount: "${seen.total}"}, reason: owed}
  - {id: last, tool: look, args: {what: after}, reason: to be sure}
"""


def follow(runtime: Runtime, text: str | None, **options: Any) -> Desk:
    done: list[tuple[str, Any]] = []
    planner = RunbookPlanner(parse_runbook(text, file="plan.yaml") if text else None)
    builder = build_graph(
        options.get("planner", planner),
        tools_noting(done),
        parse_policy(POLICY),
        clock=(c := Clock()),
    )
    runtime = Runtime(runtime.database, clock=c)
    return Desk(runtime, runtime.compile(builder, name="desk"), c, done)


def test_steps_take_typed_values_of_earlier_ones_and_wait_side_by_side(runtime: Runtime) -> None:
    agent = follow(runtime, STEPS)
    agent.start()
    assert {one.call.call_id: dict(one.call.args) for one in agent.waiting} == {
        "letter.1": {"to": "ann", "text": "70 for order 7"},
        "back.1": {"amount": 70},
    }
    assert {one.claim for one in agent.waiting} == {"r", "owed"}
    for one in ("letter.1", "back.1"):
        agent.decide(one, {"type": "approve"})
    agent.resume()
    assert [name for name, _ in agent.done] == ["look", "send", "refund", "look"]
    view = agent.runtime.thread(agent.thread_id)
    assert (view.thread.status, view.to_json()["final"]) == (
        "done",
        "the runbook is done: 4 steps ran",
    )


def test_a_rejected_step_ends_the_run_and_the_rest_never_runs(runtime: Runtime) -> None:
    agent = follow(runtime, STEPS)
    agent.start()
    agent.decide("letter.1", {"type": "reject", "message": "not her"})
    agent.decide("back.1", {"type": "approve"})
    agent.resume()
    assert [name for name, _ in agent.done] == ["look", "refund"]
    view = agent.runtime.thread(agent.thread_id)
    assert view.thread.status == "done", "a person's word is a proper end"
    assert "stopped at step `letter`: rejected by ana" in view.to_json()["final"]


def test_a_step_that_may_be_refused_lets_the_rest_run(runtime: Runtime) -> None:
    agent = follow(runtime, STEPS.replace("reason: r}", "reason: r, if_refused: continue}"))
    agent.start()
    agent.decide("letter.1", {"type": "reject"})
    agent.decide("back.1", {"type": "respond", "message": "done by hand"})
    agent.resume()
    assert [name for name, _ in agent.done] == ["look", "look"]
    assert agent.status == "done"


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("{id: a, tool: fails, args: {what: luck}}", "the tool failed: no luck"),
        ("{id: a, tool: drop_everything, args: {}}", "refused by policy"),
        ("{id: a, tool: refund, args: {amount: none}}", "the arguments do not fit"),
    ],
)
def test_a_step_that_fails_or_is_refused_by_policy_fails_the_run(
    runtime: Runtime, step: str, why: str
) -> None:
    agent = follow(
        runtime, f"task: t\nsteps:\n  - {step}\n  - {{id: b, tool: look, args: {{what: x}}}}"
    )
    agent.start()
    assert ("look", "x") not in agent.done
    thread = agent.runtime.thread(agent.thread_id).thread
    assert thread.status == "failed"
    assert "stopped at step `a`" in (thread.error or "")
    assert why in (thread.error or "")


def test_a_value_that_is_not_there_names_the_place_and_what_there_is(runtime: Runtime) -> None:
    agent = follow(runtime, STEPS.replace("${seen.total} for", "${seen.totl} for"))
    with pytest.raises(PlannerError, match=r"plan.yaml:6:.*seen.totl.*total"):
        agent.start()
    assert agent.status == "failed"


def test_a_tool_that_the_graph_does_not_have_is_named_before_anything_runs(
    runtime: Runtime,
) -> None:
    agent = follow(runtime, STEPS.replace("tool: refund", "tool: refnd"))
    with pytest.raises(DocumentError, match=r"plan.yaml:7:.*refund"):
        agent.start()
    assert agent.done == []


def test_one_graph_follows_the_runbook_that_each_run_brings(runtime: Runtime) -> None:
    agent = follow(runtime, None)
    for what in ("first", "second"):
        text = f"task: t\nsteps: [{{id: a, tool: look, args: {{what: {what}}}}}]"
        plan = parse_runbook(text, file="p").to_json()
        agent.graph.invoke(agent.runtime.start_input(what, runbook=plan), agent.config)
    assert agent.done == [("look", "first"), ("look", "second")]


def test_without_runbook_and_model_the_run_says_how_to_start(runtime: Runtime) -> None:
    for planner in (RunbookPlanner(), RunbookOrModel(ChatModelPlanner())):
        agent = follow(runtime, None, planner=planner)
        with pytest.raises(PlannerError, match="runbook") as caught:
            agent.start()
        assert "--runbook" in (caught.value.hint or "")
        with pytest.raises(PlannerError):
            asyncio.run(agent.graph.ainvoke(agent.runtime.start_input("t"), agent.config))


def test_a_planner_reads_its_runbook_from_a_file(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("task: t\nsteps: [{id: a, tool: look, args: {what: x}}]")
    agent = follow(runtime, None, planner=RunbookPlanner(file))
    asyncio.run(agent.graph.ainvoke(agent.runtime.start_input("t"), agent.config))
    assert agent.done == [("look", "x")]
    assert agent.status == "done"
