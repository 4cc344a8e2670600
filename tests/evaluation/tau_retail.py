"""The tasks of tau-bench retail as runbooks, over tools that replay what was recorded.

Run as a program, this is one reviewer's process: it starts every task, or decides the one call
that waits in each thread, and ends.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from psycopg.types.json import Jsonb

from hitl_agent import Approve, Decision, Reject, RunbookPlanner, Runtime, build_graph
from hitl_agent.policy import Policy, parse_policy
from hitl_agent.runbook import Runbook, Step
from hitl_agent.runtime import Graph
from hitl_agent.storage.location import resolve_database_url

DATA = Path(os.environ.get("HITL_EVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
TASKS = DATA / "tau_retail_tasks.jsonl.gz"
TOOLS = DATA / "tau_retail_tools.json"
NAME = "tau_retail"
DECISIONS: Mapping[str, Decision] = {"approve": Approve(), "reject": Reject("not in this run")}

_TABLES = """
CREATE TABLE tau_records (
    task text, kind text, id text, record jsonb NOT NULL, PRIMARY KEY (task, kind, id)
);
CREATE TABLE tau_calls (task text, step integer, PRIMARY KEY (task, step));
"""
_PUT = """
INSERT INTO tau_records VALUES (%s, %s, %s, %s)
ON CONFLICT (task, kind, id) DO UPDATE SET record = excluded.record
"""

Task = Mapping[str, Any]


@cache
def tasks() -> dict[str, Task]:
    """The tasks by their id, which is also the id of the thread that does them."""
    with gzip.open(TASKS, "rt", encoding="utf-8") as lines:
        return {task["id"]: task for task in map(json.loads, lines)}


def digest(records: Mapping[str, Any]) -> str:
    """The data set's hash of records; by RFC 8785 it would be another: `100.0` would be `100`."""
    return hashlib.sha256(
        json.dumps(records, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def gates(task: Task) -> int:
    return sum(step["kind"] != "read" for step in task["steps"])


def runbook(task: Task) -> Runbook:
    """One step per call; what is refused does not stop the rest, so that every gate is met."""
    steps = [
        Step(f"step{number}", call["name"], call["arguments"], if_refused="continue")
        for number, call in enumerate(task["steps"], 1)
    ]
    return Runbook(task["instruction"], tuple((step,) for step in steps))


def policy() -> Policy:
    """Reads run; whatever writes or ends the conversation waits for a person."""
    kinds = json.loads(TOOLS.read_text("utf-8"))["kinds"]
    rules = {
        name: {"effect": "read" if kind == "read" else "write"}
        for kind, names in kinds.items()
        for name in names
    }
    return parse_policy(json.dumps({"version": 1, "tools": rules}), file="kinds.yaml")


def tools() -> list[BaseTool]:
    described = [one["function"] for one in json.loads(TOOLS.read_text("utf-8"))["tools"]]
    return [_tool(one["name"], one["description"], one["parameters"]) for one in described]


def _tool(name: str, description: str, schema: dict[str, Any]) -> BaseTool:
    def replay(config: RunnableConfig, **arguments: Any) -> str:
        return _replay(config["configurable"]["thread_id"], name, arguments)

    return StructuredTool(name=name, description=description, args_schema=schema, func=replay)


def _replay(task: str, name: str, arguments: Mapping[str, Any]) -> str:
    """Do what the call did when it was recorded: the first such call that was not yet replayed."""
    with psycopg.connect(resolve_database_url()) as connection:
        done = {
            step
            for (step,) in connection.execute("SELECT step FROM tau_calls WHERE task = %s", (task,))
        }
        for number, step in enumerate(tasks()[task]["steps"]):
            if number not in done and (step["name"], step["arguments"]) == (name, arguments):
                break
        else:
            raise LookupError(f"task `{task}` has no recorded call {name} {arguments}")
        connection.execute("INSERT INTO tau_calls VALUES (%s, %s)", (task, number))
        _put(connection, task, step["patch"])
    return step["observation"]


def _put(connection: psycopg.Connection[Any], task: str, records: Mapping[str, Any]) -> None:
    for kind, by_id in records.items():
        for record_id, record in by_id.items():
            connection.execute(_PUT, (task, kind, record_id, Jsonb(record)))


def set_up(database_url: str) -> None:
    """Create the tables and put every task's records in as they were before it."""
    with psycopg.connect(database_url) as connection:
        connection.execute(_TABLES)
        for name, task in tasks().items():
            _put(connection, name, task["touched_initial"])


def records(database_url: str) -> dict[str, dict[str, Any]]:
    """The records of every task, in the shape of the data set."""
    found: dict[str, dict[str, Any]] = {name: {} for name in tasks()}
    with psycopg.connect(database_url) as connection:
        for task, kind, record_id, record in connection.execute("SELECT * FROM tau_records"):
            found[task].setdefault(kind, {})[record_id] = record
    return found


def replayed(database_url: str) -> list[tuple[str, int]]:
    """The calls that ran: task and number of the step."""
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT task, step FROM tau_calls ORDER BY 1, 2").fetchall()


def graph() -> Any:
    """The builder; `langgraph.json` can name it as `tau_retail:graph`."""
    return build_graph(planner=RunbookPlanner(), tools=tools(), policy=policy())


def start(runtime: Runtime, compiled: Graph) -> None:
    """Run every task to its first gate, or its end."""
    for name, task in tasks().items():
        plan = runbook(task)
        compiled.invoke(
            runtime.start_input(plan.task, runbook=plan.to_json()), runtime.config(name)
        )


def decide(runtime: Runtime, compiled: Graph, decision: Decision) -> int:
    """Decide the call that waits in each thread, and run the thread to its next gate or its end."""
    waiting = runtime.waiting(limit=1000)
    for request in waiting:
        runtime.decide(request, decision, reviewer=f"process {os.getpid()}")
        thread_id = request.thread_id
        compiled.invoke(runtime.resume_input(compiled, thread_id), runtime.config(thread_id))
    return len(waiting)


def main(arguments: Sequence[str]) -> None:
    (command,) = arguments
    with Runtime.open() as runtime:
        compiled = runtime.compile(graph(), name=NAME)
        if command == "start":
            start(runtime, compiled)
        else:
            decide(runtime, compiled, DECISIONS[command])


if __name__ == "__main__":
    main(sys.argv[1:])
