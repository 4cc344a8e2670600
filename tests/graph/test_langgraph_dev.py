"""Our graphs under the real `langgraph dev`, talked to with the SDK, reviewed with the CLI."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from hitl_agent import Reject, Runtime
from hitl_agent.runbook import parse_runbook
from hitl_agent.storage.database import close_shared
from tests.conftest import created
from tests.support.chat_server import Call, Fail, Say, chat_server
from tests.support.dev_server import dev_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

RUNBOOK = """
task: give the money for A-1001 back
steps:
  - id: order
    tool: look_up_order
    args: {order_id: A-1001}
  - id: refund
    tool: refund_order
    args: {order_id: "${order.order_id}", amount: 80, reason: broken}
    reason: the customer sent a photo
"""


@pytest.fixture(scope="module")
def model():
    with chat_server() as model:
        yield model


@pytest.fixture(scope="module")
def served(server_url, template, tmp_path_factory, model):
    """The development server of LangGraph in our repository, on a database of its own."""
    folder = tmp_path_factory.mktemp("dev")
    with (
        created(server_url, template) as database_url,
        dev_server(
            ROOT,
            database_url,
            folder,
            HITL_WORKSPACE=str(folder / "workspace"),
            OPENAI_BASE_URL=model.base_url,
            OPENAI_API_KEY="sk-test",
        ) as served,
    ):
        yield served


def refunds(served, order_id: str) -> list:
    with psycopg.connect(served.database_url) as connection:
        return connection.execute(
            "SELECT amount::text FROM order_desk.refunds WHERE order_id = %s", [order_id]
        ).fetchall()


def asked(task: str, **state) -> dict:
    return {"messages": [{"role": "user", "content": task}], **state}


def test_both_graphs_are_there_as_they_are_exported(served):
    found = served.client.assistants.search()
    assert {one["graph_id"] for one in found} == {"order_desk", "workspace_janitor"}
    for one in found:
        nodes = {
            node["id"] for node in served.client.assistants.get_graph(one["assistant_id"])["nodes"]
        }
        assert {"planner", "risk_classifier", "human_review", "executor"} <= nodes


def test_a_runbook_stops_is_listed_is_resumed_by_the_sdk_and_runs_once(served):
    thread_id = served.client.threads.create()["thread_id"]
    runbook = parse_runbook(RUNBOOK, file="refund.yaml").to_json()

    stopped = served.run(thread_id, "order_desk", input=asked("refund it", runbook=runbook))
    assert stopped["status"] == "interrupted"
    ((asked_for,),) = stopped["interrupts"].values()
    assert asked_for["value"]["action_requests"][0]["name"] == "refund_order"

    (waiting,) = served.listed(thread_id)
    assert waiting["graph"] == "order_desk"
    assert waiting["interrupt_id"] == asked_for["id"]
    assert waiting["request_id"] == asked_for["value"]["request_id"]
    assert waiting["args"] == {"order_id": "A-1001", "amount": 80, "reason": "broken"}
    assert refunds(served, "A-1001") == []

    ended = served.run(
        thread_id, "order_desk", command={"resume": {asked_for["id"]: {"type": "approve"}}}
    )
    assert ended["status"] == "idle"
    assert ended["values"]["messages"][-1]["content"] == "the runbook is done: 2 steps ran"
    assert refunds(served, "A-1001") == [("80.00",)]
    assert served.listed(thread_id) == []


def test_a_chat_model_is_asked_without_blocking_the_server_and_heard_while_it_speaks(served, model):
    refund = {"order_id": "A-1003", "amount": 60, "reason": "late"}
    calls = [
        Call("look_up_order", {"order_id": "A-1003"}, "call_look"),
        Call("refund_order", refund, "call_refund"),
        Call("refund_order", '{"order_id": "A-1003", "amount": 1', "call_cut"),
    ]
    before = len(model.requests)
    model.then(Say("I will refund 60", calls=calls), Say("all is done"))
    thread_id = served.client.threads.create()["thread_id"]

    heard = list(
        served.client.runs.stream(
            thread_id,
            "order_desk",
            input=asked("refund A-1003", model="openai:gpt-5"),
            stream_mode=["messages-tuple", "updates"],
        )
    )
    assert "error" not in {one.event for one in heard}, served.logged
    spoken = [one.data[0] for one in heard if one.event == "messages"]
    said = [one["content"] for one in spoken if one["type"] == "AIMessageChunk"]
    assert "".join(said) == "I will refund 60"
    assert len([one for one in said if one]) > 1
    assert model.requests[before]["stream"] is True

    (waiting,) = served.listed(thread_id)
    assert waiting["call_id"] == "call_refund"
    ended = served.run(
        thread_id,
        "order_desk",
        command={
            "resume": {
                waiting["interrupt_id"]: {
                    "type": "edit",
                    "edited_action": {"name": "refund_order", "args": {**refund, "amount": 5}},
                }
            }
        },
    )
    assert ended["status"] == "idle"
    assert ended["values"]["messages"][-1]["content"] == "all is done"
    assert refunds(served, "A-1003") == [("5.00",)]
    results = model.results()
    assert "changed by a reviewer" in results["call_refund"]
    assert "malformed" in results["call_cut"]


def test_a_decision_that_is_recorded_stands_whatever_the_sdk_resumes_with(served):
    thread_id = served.client.threads.create()["thread_id"]
    runbook = parse_runbook(RUNBOOK.replace("A-1001", "A-1004")).to_json()
    stopped = served.run(thread_id, "order_desk", input=asked("refund it", runbook=runbook))
    ((asked_for,),) = stopped["interrupts"].values()
    try:
        with Runtime.open(served.database_url) as runtime:
            request = runtime.request(thread_id, "refund.1")
            runtime.decide(request, Reject("no photo"), reviewer="ann")
    finally:
        close_shared()

    ended = served.run(
        thread_id, "order_desk", command={"resume": {asked_for["id"]: {"type": "approve"}}}
    )
    assert ended["status"] == "idle"
    last = ended["values"]["messages"][-1]["content"]
    assert last.endswith("rejected by ann, the call was not run: no photo")
    assert refunds(served, "A-1004") == []


def test_a_model_that_fails_fails_the_run_with_its_reason_and_can_be_asked_again(served, model):
    model.then(Fail(400, "too long a question"), Say("all is done"))
    thread_id = served.client.threads.create()["thread_id"]
    served.client.runs.wait(
        thread_id, "order_desk", input=asked("hi", model="openai:gpt-5"), raise_error=False
    )
    failed = served.client.threads.get(thread_id)
    assert failed["status"] == "error"
    assert failed["error"]["error"] == "PlannerError"
    ended = served.run(thread_id, "order_desk", input=None)
    assert ended["values"]["messages"][-1]["content"] == "all is done"


def test_the_janitor_waits_before_it_deletes_and_leaves_what_is_refused(served):
    folder = Path(served.environment["HITL_WORKSPACE"])
    (folder / "old.txt").write_text("old")
    thread_id = served.client.threads.create()["thread_id"]
    runbook = parse_runbook(
        "task: tidy\nsteps:\n  - {id: gone, tool: delete_file, args: {path: old.txt}}\n"
    )
    stopped = served.run(
        thread_id, "workspace_janitor", input=asked("tidy", runbook=runbook.to_json())
    )
    ((asked_for,),) = stopped["interrupts"].values()
    assert served.listed(thread_id)[0]["graph"] == "workspace_janitor"
    ended = served.run(
        thread_id,
        "workspace_janitor",
        command={"resume": {asked_for["id"]: {"type": "reject", "message": "keep"}}},
    )
    assert "the runbook stopped at step `gone`" in ended["values"]["messages"][-1]["content"]
    assert (folder / "old.txt").read_text() == "old"
