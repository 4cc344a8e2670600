"""One hundred recorded customer-service tasks, gated: what people decide is what happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tau_faces
import tau_retail

from hitl_agent import Runtime, Tier
from hitl_agent.policy import judge

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(
        not tau_retail.TASKS.is_file(),
        reason=f"no evaluation data: `{tau_retail.TASKS}` is not there; set HITL_EVAL_DATA",
    ),
    pytest.mark.slow,
]

OUTCOMES = pytest.mark.parametrize(
    ("decision", "expected"), [("approve", "touched_final"), ("reject", "touched_initial")]
)


@pytest.fixture
def desk(database_url):
    """The URL of a database that holds every task's records as they were before it."""
    tau_retail.set_up(database_url)
    return database_url


@pytest.fixture
def report(record_property, capsys):
    """Tell the counts, to the person who runs the tests and to the test report."""

    def tell(title, **counts):
        for name, count in counts.items():
            record_property(name, count)
        with capsys.disabled():
            told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
            sys.stdout.write(f"\ntau-bench retail, {title}: {told}\n")

    return tell


@OUTCOMES
def test_every_task_ends_in_exactly_what_was_decided(desk, report, decision, expected):
    with Runtime.open(desk) as runtime:
        compiled = runtime.compile(tau_retail.graph(), name=tau_retail.NAME)
        tau_retail.start(runtime, compiled)
        decided = 0
        while found := tau_retail.decide(runtime, compiled, tau_retail.DECISIONS[decision]):
            decided += found
        check_all_done(runtime, decision)
    exact = check_records(desk, decision, expected)
    report(f"{decision} all", exact=exact, **counts(), decided=decided)


@pytest.mark.parametrize("face", tau_faces.FACES)
def test_the_agent_of_each_face_ends_the_first_tasks_in_the_recorded_records(desk, report, face):
    """The first 20 tasks, by agents as people have them: a model, its tools, a loop."""
    first = dict(list(tau_retail.tasks().items())[:20])
    decided = 0
    with Runtime.open(desk) as runtime:
        compiled = runtime.compile(tau_faces.FACES[face](), name=tau_retail.NAME)
        for name, task in first.items():
            compiled.invoke(runtime.start_input(task["instruction"]), runtime.config(name))
        assert threads_that_wait(runtime) == {n for n, t in first.items() if tau_retail.gates(t)}
        while found := tau_retail.decide(runtime, compiled, tau_retail.DECISIONS["approve"]):
            decided += found
        assert {runtime.thread(name).thread.status for name in first} == {"done"}
        told = {name: observed(compiled.get_state(runtime.config(name)).values) for name in first}
    every = tau_retail.records(desk)
    found = {name: every[name] for name in first}
    assert found == {name: task["touched_final"] for name, task in first.items()}
    assert {name: tau_retail.digest(one) for name, one in found.items()} == {
        name: task["touched_final_sha256"] for name, task in first.items()
    }
    assert told == {
        name: [step["observation"] for step in task["steps"]] for name, task in first.items()
    }
    steps = {name: range(len(task["steps"])) for name, task in first.items()}
    assert tau_retail.replayed(desk) == sorted((n, one) for n in steps for one in steps[n])
    assert decided == sum(map(tau_retail.gates, first.values()))
    report(f"the first {len(first)} by {face}", exact=len(found), decided=decided)


@OUTCOMES
@pytest.mark.timeout(300)
def test_a_new_process_between_any_two_gates_changes_nothing(desk, report, decision, expected):
    rounds = max(map(tau_retail.gates, tau_retail.tasks().values()))
    in_new_process(tau_retail.__file__, "start")
    with Runtime.open(desk) as runtime:
        for done in range(rounds):
            assert threads_that_wait(runtime) == {
                name for name, task in tau_retail.tasks().items() if tau_retail.gates(task) > done
            }
            in_new_process(tau_retail.__file__, decision)
        check_all_done(runtime, decision)
        deciders = {name: processes_of(runtime, name) for name in tau_retail.tasks()}
    for name, task in tau_retail.tasks().items():
        assert len(deciders[name]) == len(set(deciders[name])) == tau_retail.gates(task)
    exact = check_records(desk, decision, expected)
    decided = sum(map(len, deciders.values()))
    report(
        f"{decision} all, a new process for every gate of a thread",
        exact=exact,
        **counts(),
        decided=decided,
        processes=rounds + 1,
    )


def test_the_task_with_most_gates_is_done_by_one_hitl_process_per_gate(desk, report, tmp_path):
    name, task = max(tau_retail.tasks().items(), key=lambda item: tau_retail.gates(item[1]))
    project = {
        "dependencies": [str(Path(tau_retail.__file__).parent)],
        "graphs": {tau_retail.NAME: f"{tau_retail.__name__}:graph"},
    }
    (tmp_path / "langgraph.json").write_text(json.dumps(project))
    plan = {
        "task": task["instruction"],
        "steps": [
            {"id": f"step{number}", "tool": call["name"], "args": call["arguments"]}
            for number, call in enumerate(task["steps"])
        ],
    }
    (tmp_path / "plan.yaml").write_text(json.dumps(plan))
    hitl(tmp_path, 3, "run", tau_retail.NAME, "--runbook", "plan.yaml", "--thread", name)
    for left in reversed(range(tau_retail.gates(task))):
        hitl(tmp_path, 3 if left else 0, "approve", name, "--as", "ana")
    assert tau_retail.records(desk)[name] == task["touched_final"]
    gates = tau_retail.gates(task)
    report(f"{name} by the command line", gates=gates, processes=gates + 1)


def test_the_kinds_let_reads_run_and_stop_everything_else():
    kinds = json.loads(tau_retail.TOOLS.read_text("utf-8"))["kinds"]
    policy = tau_retail.policy()
    tiers = {tool: judge(policy, tool, {}).tier for tools in kinds.values() for tool in tools}
    assert {tool for tool, tier in tiers.items() if tier is Tier.AUTO_APPROVE} == set(kinds["read"])
    assert set(tiers.values()) == {Tier.AUTO_APPROVE, Tier.HARD_GATE}


def test_a_call_that_was_not_recorded_changes_nothing_and_says_so(desk):
    tools = {tool.name: tool for tool in tau_retail.tools()}
    name, task = next((n, t) for n, t in tau_retail.tasks().items() if t["steps"])
    other = {"order_id": "#W0000000", "reason": "no longer needed"}
    config = {"configurable": {"thread_id": name}}
    with pytest.raises(LookupError, match="has no recorded call cancel_pending_order"):
        tools["cancel_pending_order"].invoke(other, config)
    assert tau_retail.records(desk)[name] == task["touched_initial"]


def check_records(desk, decision, expected):
    """Every task's records are what the data set says, and by its own hash too."""
    found = tau_retail.records(desk)
    wrong = [
        name
        for name, task in tau_retail.tasks().items()
        if found[name] != task[expected]
        or tau_retail.digest(found[name]) != task[f"{expected}_sha256"]
    ]
    assert wrong == []
    every_write = [
        (name, number)
        for name, task in sorted(tau_retail.tasks().items())
        for number, step in enumerate(task["steps"])
        if decision == "approve" or step["kind"] == "read"
    ]
    assert tau_retail.replayed(desk) == every_write  # each once
    return f"{len(found) - len(wrong)} of {len(found)}"


def check_all_done(runtime, decision):
    outcome = {"approve": "succeeded", "reject": "rejected"}[decision]
    for name, task in tau_retail.tasks().items():
        view = runtime.thread(name)
        assert view.thread.status == "done"
        assert [one["outcome"] for one in view.results] == [
            "succeeded" if step["kind"] == "read" else outcome for step in task["steps"]
        ]


def observed(values):
    """What the model was told of its calls, without the line that names the approval."""
    results = [one.text for one in values["messages"] if one.type == "tool"]
    return [one.split("\n", 1)[1] if one.startswith("[approved by ") else one for one in results]


def counts():
    every = tau_retail.tasks().values()
    calls = sum(len(task["steps"]) for task in every)
    gates = sum(map(tau_retail.gates, every))
    return {"calls": calls, "reads": calls - gates, "gates": gates}


def threads_that_wait(runtime):
    return {request.thread_id for request in runtime.waiting(limit=1000)}


def processes_of(runtime, thread_id):
    """Who decided in a thread: one process for each decision."""
    entries = runtime.history(thread_id)
    return [one["body"]["reviewer"] for one in entries if one["kind"] == "decision"]


def in_new_process(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def hitl(folder, status, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "hitl_agent", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
