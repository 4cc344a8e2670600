"""Our graphs under the real `langgraph dev`, talked to with the SDK, reviewed with the CLI."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
from langgraph_sdk import get_sync_client

from hitl_agent import Reject, Runtime
from hitl_agent.runbook import parse_runbook
from hitl_agent.storage.database import close_shared
from tests.conftest import created
from tests.support.chat_server import Call, Fail, Say, chat_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent

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


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def served(server_url, template, tmp_path_factory):
    """The development server of LangGraph in our repository, on a database of its own."""
    folder = tmp_path_factory.mktemp("dev")
    with created(server_url, template) as database_url, chat_server() as model:
        environment = os.environ | {
            "HITL_DATABASE_URL": database_url,
            "HITL_DATA_DIR": str(folder),
            "HITL_WORKSPACE": str(folder / "workspace"),
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": "sk-test",
            # nothing leaves this machine, and nothing stays in the repository
            "LANGSMITH_TRACING": "false",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "LANGGRAPH_NO_VERSION_CHECK": "true",
            "LANGGRAPH_DISABLE_FILE_PERSISTENCE": "true",
        }
        for name in ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY", "HITL_MODEL"):
            environment.pop(name, None)
        port = free_port()
        command = [BIN / "langgraph", "dev", "--no-browser", "--no-reload"]
        command += ["--port", str(port), "--config", "langgraph.json"]
        log = folder / "log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(server, f"{url}/ok", log)
            with get_sync_client(url=url) as client:
                yield Served(client, database_url, environment, model, log)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


class Served:
    def __init__(self, client, database_url, environment, model, log):
        self.client = client
        self.database_url = database_url
        self.environment = environment
        self.model = model
        self.log = log

    def hitl(self, *arguments: str) -> str:
        """Run the CLI in a process of its own, as a reviewer at another desk would."""
        return subprocess.run(
            [sys.executable, "-m", "hitl_agent", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def listed(self, thread_id: str) -> list[dict]:
        found = json.loads(self.hitl("list", "--json"))
        return [one for one in found if one["thread_id"] == thread_id]

    def refunds(self, order_id: str) -> list:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(
                "SELECT amount::text FROM order_desk.refunds WHERE order_id = %s", [order_id]
            ).fetchall()

    def run(self, thread_id: str, graph: str = "order_desk", **given) -> dict:
        """Run to the end or the next interrupt, and fail with the server's log if it fails."""
        self.client.runs.wait(thread_id, graph, raise_error=False, **given)
        thread = self.client.threads.get(thread_id)
        assert thread["status"] in ("idle", "interrupted"), self.log.read_text()[-8000:]
        assert "lockingError" not in self.log.read_text()
        return thread


def wait_for(server: subprocess.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-8000:]
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer of the server: {log.read_text()[-8000:]}")


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

    stopped = served.run(thread_id, input=asked("refund it", runbook=runbook))
    assert stopped["status"] == "interrupted"
    ((asked_for,),) = stopped["interrupts"].values()
    assert asked_for["value"]["action_requests"][0]["name"] == "refund_order"

    (waiting,) = served.listed(thread_id)
    assert waiting["graph"] == "order_desk"
    assert waiting["interrupt_id"] == asked_for["id"]
    assert waiting["request_id"] == asked_for["value"]["request_id"]
    assert waiting["args"] == {"order_id": "A-1001", "amount": 80, "reason": "broken"}
    assert served.refunds("A-1001") == []

    ended = served.run(thread_id, command={"resume": {asked_for["id"]: {"type": "approve"}}})
    assert ended["status"] == "idle"
    assert ended["values"]["messages"][-1]["content"] == "the runbook is done: 2 steps ran"
    assert served.refunds("A-1001") == [("80.00",)]
    assert served.listed(thread_id) == []


def test_a_chat_model_is_asked_without_blocking_the_server_and_heard_while_it_speaks(served):
    refund = {"order_id": "A-1003", "amount": 60, "reason": "late"}
    calls = [
        Call("look_up_order", {"order_id": "A-1003"}, "call_look"),
        Call("refund_order", refund, "call_refund"),
        Call("refund_order", '{"order_id": "A-1003", "amount": 1', "call_cut"),
    ]
    before = len(served.model.requests)
    served.model.then(Say("I will refund 60", calls=calls), Say("all is done"))
    thread_id = served.client.threads.create()["thread_id"]

    heard = list(
        served.client.runs.stream(
            thread_id,
            "order_desk",
            input=asked("refund A-1003", model="openai:gpt-5"),
            stream_mode=["messages-tuple", "updates"],
        )
    )
    assert "error" not in {one.event for one in heard}, served.log.read_text()[-8000:]
    spoken = [one.data[0] for one in heard if one.event == "messages"]
    said = [one["content"] for one in spoken if one["type"] == "AIMessageChunk"]
    assert "".join(said) == "I will refund 60"
    assert len([one for one in said if one]) > 1
    assert served.model.requests[before]["stream"] is True

    (waiting,) = served.listed(thread_id)
    assert waiting["call_id"] == "call_refund"
    ended = served.run(
        thread_id,
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
    assert served.refunds("A-1003") == [("5.00",)]
    results = served.model.results()
    assert "changed by a reviewer" in results["call_refund"]
    assert "malformed" in results["call_cut"]


def test_a_decision_that_is_recorded_stands_whatever_the_sdk_resumes_with(served):
    thread_id = served.client.threads.create()["thread_id"]
    runbook = parse_runbook(RUNBOOK.replace("A-1001", "A-1004")).to_json()
    stopped = served.run(thread_id, input=asked("refund it", runbook=runbook))
    ((asked_for,),) = stopped["interrupts"].values()
    try:
        with Runtime.open(served.database_url) as runtime:
            request = runtime.request(thread_id, "refund.1")
            runtime.decide(request, Reject("no photo"), reviewer="ann")
    finally:
        close_shared()

    ended = served.run(thread_id, command={"resume": {asked_for["id"]: {"type": "approve"}}})
    assert ended["status"] == "idle"
    last = ended["values"]["messages"][-1]["content"]
    assert last.endswith("rejected by ann, the call was not run: no photo")
    assert served.refunds("A-1004") == []


def test_a_model_that_fails_fails_the_run_with_its_reason_and_can_be_asked_again(served):
    served.model.then(Fail(400, "too long a question"), Say("all is done"))
    thread_id = served.client.threads.create()["thread_id"]
    served.client.runs.wait(
        thread_id, "order_desk", input=asked("hi", model="openai:gpt-5"), raise_error=False
    )
    failed = served.client.threads.get(thread_id)
    assert failed["status"] == "error"
    assert failed["error"]["error"] == "PlannerError"
    ended = served.run(thread_id, input=None)
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
