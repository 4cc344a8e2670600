"""Agents of somebody's own under the real `langgraph dev`, with the SDK, and reviewed with us."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client

from hitl_agent import Runtime
from hitl_agent.storage.database import close_shared, shared_database
from tests.conftest import created
from tests.support.answers import APPROVE, ARGS, EDITED, NOT_UNDERSTOOD, REJECT, UNDERSTOOD
from tests.support.dev_server import Served, dev_server
from tests.support.flows import call

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parent / "own_agents"
GRAPHS = ("desk", "agent", "own", "flow", "compiled")


@dataclass
class Thread:
    """A thread on the server, of one graph, with what its tools did."""

    served: Served
    graph: str
    thread_id: str
    name: str

    @classmethod
    def of(cls, served: Served, graph: str) -> Thread:
        thread_id = served.client.threads.create()["thread_id"]
        return cls(served, graph, thread_id, uuid.uuid4().hex[:8])

    def to(self, who: str) -> str:
        """Return a name of this thread alone: all threads note what they do in one file."""
        return f"{who} of {self.name}"

    def start(self, *turns: list[dict[str, Any]]) -> Any:
        asked = {"messages": [{"role": "user", "content": json.dumps(turns)}]}
        return self.served.run(self.thread_id, self.graph, input=asked)

    def resume(self, answer: Any, **given: Any) -> Any:
        command = {"resume": answer}
        return self.served.run(self.thread_id, self.graph, command=command, **given)

    @property
    def waiting(self) -> list[Any]:
        """The interrupts that wait, as a client sees them."""
        tasks = self.served.client.threads.get_state(self.thread_id)["tasks"]
        return [one for task in tasks for one in task["interrupts"]]

    @property
    def done(self) -> list[str]:
        file = Path(self.served.environment["OWN_AGENTS_DONE"])
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return [one for one in lines if one.endswith(f" of {self.name}")]

    def decide(self, decision: dict[str, Any]) -> int:
        """Decide all calls that wait, at another desk; return how many there were."""
        waiting = self.runtime.waiting(self.thread_id)
        for request in waiting:
            self.runtime.decide(request, decision, reviewer="ana")
        return len(waiting)

    @property
    def problem(self) -> str | None:
        """What was wrong about the last answer to the call that waits."""
        (request,) = self.runtime.waiting(self.thread_id)
        return request.problem

    def history(self, kind: str) -> list[dict[str, Any]]:
        entries = self.runtime.history(self.thread_id)
        return [one["body"] for one in entries if one["kind"] == kind]

    @property
    def runtime(self) -> Runtime:
        """At the reviewers' desk; the server has one of its own."""
        return Runtime(shared_database(self.served.database_url))


@contextmanager
def serving(server_url: str, template: str, folder: Path, **how: Any) -> Iterator[Served]:
    """The project on a server and a database of their own."""
    with created(server_url, template) as database_url:
        try:
            done = str(folder / "done")
            with dev_server(PROJECT, database_url, folder, OWN_AGENTS_DONE=done, **how) as served:
                yield served
        finally:
            close_shared()


@pytest.fixture(scope="module")
def served(server_url, template, tmp_path_factory) -> Iterator[Served]:
    with serving(server_url, template, tmp_path_factory.mktemp("own")) as served:
        yield served


@pytest.fixture(params=GRAPHS)
def thread(request: pytest.FixtureRequest, served: Served) -> Thread:
    return Thread.of(served, request.param)


def test_every_graph_is_there_as_it_is_exported(served: Served) -> None:
    assert {one["graph_id"] for one in served.client.assistants.search()} == {*GRAPHS}


def test_it_stops_is_listed_is_approved_elsewhere_and_goes_on_here(thread: Thread) -> None:
    x, y = thread.to("x"), thread.to("y")
    stopped = thread.start([call("look", "1", what=x)], [call("send", "2", to=y)])
    assert stopped["status"] == "interrupted"
    assert thread.done == [f"looked at {x}"]
    (interrupt,) = thread.waiting
    (listed,) = thread.served.listed(thread.thread_id)
    assert (listed["graph"], listed["tool"], listed["args"]) == (thread.graph, "send", {"to": y})
    assert listed["interrupt_id"] == interrupt["id"]
    assert interrupt["value"]["request_id"] == listed["request_id"]
    assert interrupt["value"]["action_requests"][0]["args"] == {"to": y}

    # 3: the thread waits, for whoever drives it
    thread.served.hitl("approve", thread.thread_id, "--as", "ana", status=3)
    assert thread.done == [f"looked at {x}"]
    assert thread.served.listed(thread.thread_id) == []
    ended = thread.resume({interrupt["id"]: None})
    assert ended["status"] == "idle"
    assert thread.done == [f"looked at {x}", f"sent to {y}"]
    (decision,) = thread.history("decision")
    assert (decision["type"], decision["reviewer"], decision["channel"]) == (
        "approve",
        "ana",
        "cli",
    )


def test_what_is_rejected_elsewhere_does_not_run_whatever_the_client_says(thread: Thread) -> None:
    thread.start([call("send", "1", to=thread.to("x"))])
    (interrupt,) = thread.waiting
    thread.decide({"type": "reject", "message": "no"})
    ended = thread.resume({interrupt["id"]: APPROVE})
    assert ended["status"] == "idle"
    assert thread.done == []
    assert "rejected by ana, the call was not run: no" in json.dumps(ended["values"])


def test_a_run_without_an_answer_goes_on_with_what_was_decided(thread: Thread) -> None:
    thread.start([call("send", "1", to=thread.to("x"))])
    waits = thread.served.run(thread.thread_id, thread.graph, input=None)
    assert waits["status"] == "interrupted"
    thread.decide(APPROVE)
    ended = thread.served.run(thread.thread_id, thread.graph, input=None)
    assert ended["status"] == "idle"
    assert thread.done == [f"sent to {thread.to('x')}"]


@pytest.mark.parametrize("graph", ["agent", "own", "flow"])  # ours run them in order
def test_calls_of_one_step_run_side_by_side_each_under_its_own_grant(
    served: Served, graph: str
) -> None:
    """Each of them waits for the other one: one lease on the thread serves both."""
    thread = Thread.of(served, graph)
    x, y = thread.to("x"), thread.to("y")
    thread.start([call("meet", "1", who=x), call("meet", "2", who=y)])
    while thread.decide(APPROVE):  # several questions of one task may come one after the other
        thread.served.run(thread.thread_id, graph, input=None)
    assert sorted(thread.done) == [f"met {x}", f"met {y}"]
    assert served.client.threads.get(thread.thread_id)["status"] == "idle"


FACES = ("desk", "agent", "own")


def at_once(check: Callable[..., None], *cases: tuple[Any, ...]) -> None:
    """Check cases side by side: the server looks for new runs twice in a second."""
    with ThreadPoolExecutor(len(cases)) as pool:
        for one in [pool.submit(check, *case) for case in cases]:
            one.result()


def test_every_shape_of_an_answer_is_understood(served: Served) -> None:
    at_once(check_understood, *((Thread.of(served, graph),) for graph in FACES))


def check_understood(thread: Thread) -> None:
    """A turn for each shape: one call, one answer as a client sends it."""
    thread.start(*([call("send", f"c{at}", **ARGS)] for at, _ in enumerate(UNDERSTOOD)))
    for at, (answer, type_, _) in enumerate(UNDERSTOOD.values()):
        (interrupt,) = thread.waiting
        assert interrupt["value"]["call_id"] == f"c{at}"
        after = thread.resume(answer if at % 2 else {interrupt["id"]: answer})
        if type_ == "edit":
            (interrupt,) = thread.waiting
            assert interrupt["value"]["action_requests"][0]["args"] == EDITED
            after = thread.resume({interrupt["id"]: APPROVE})
    told = [one["content"] for one in after["values"]["messages"] if one["type"] == "tool"]
    ends = {"approve": "\nsent to x", "edit": "\nsent to y", "respond": ": they know"}
    begins = {"reject": "rejected by a reviewer, the call was not run: "}
    for text, (_, type_, message) in zip(told, UNDERSTOOD.values(), strict=True):
        assert text.endswith(ends.get(type_, message))
        assert text.startswith(begins.get(type_, "")[: len(text)])
    expected = [
        one
        for _, type_, message in UNDERSTOOD.values()
        for one in [(type_, message), *([("approve", "")] if type_ == "edit" else [])]
    ]
    decisions = thread.history("decision")
    assert [(one["type"], one["message"]) for one in decisions] == expected
    assert {(one["channel"], one["reviewer"]) for one in decisions} == {("resume", None)}
    assert thread.history("answer_refused") == []


def test_what_is_not_understood_is_asked_again_and_a_proper_answer_works(served: Served) -> None:
    cases = [(Thread.of(served, graph), by_id) for graph in FACES for by_id in (False, True)]
    at_once(check_not_understood, *cases)


def check_not_understood(thread: Thread, by_id: bool) -> None:
    thread.start([call("send", "1", to=thread.to("x"))])
    asked = set()
    for name, answer in NOT_UNDERSTOOD.items():
        (interrupt,) = thread.waiting
        if not by_id and not answer and answer in (None, {}):
            continue  # which is no answer for LangGraph
        thread.resume({interrupt["id"]: answer} if by_id else answer)
        (again,) = thread.waiting
        assert again["value"]["problem"], name
        asked.add(again["value"]["request_id"])
    assert len(asked) == 1
    refused = len(thread.history("answer_refused"))
    thread.served.run(thread.thread_id, thread.graph, input=None)
    assert len(thread.history("answer_refused")) == refused >= len(NOT_UNDERSTOOD) - 2
    assert thread.done == []
    (interrupt,) = thread.waiting
    thread.resume(APPROVE if by_id else {interrupt["id"]: APPROVE})
    assert thread.done == [f"sent to {thread.to('x')}"]


@pytest.mark.parametrize("graph", ["desk", "agent"])
def test_an_answer_that_does_not_say_which_call_it_is_for_wedges_nothing(
    served: Served, graph: str
) -> None:
    thread = Thread.of(served, graph)
    x, y = thread.to("x"), thread.to("y")
    thread.start([call("send", "1", to=x), call("send", "2", to=y)])
    for answer in (APPROVE, {"decisions": [APPROVE, REJECT]}):
        command = {"resume": answer}
        served.client.runs.wait(thread.thread_id, graph, command=command, raise_error=False)
        assert len(thread.waiting) == 2
        assert thread.done == []
    ids = {one["value"]["call_id"]: one["id"] for one in thread.waiting}
    thread.resume({ids["1"]: REJECT, ids["2"]: APPROVE})
    assert thread.done == [f"sent to {y}"]


def test_without_users_an_answer_is_by_whom_the_client_names(served: Served) -> None:
    for graph in FACES:
        thread = Thread.of(served, graph)
        thread.start([call("send", "1", to=thread.to("x"))])
        (interrupt,) = thread.waiting
        thread.resume({interrupt["id"]: REJECT}, config={"configurable": {"reviewer": "zoe"}})
        (decision,) = thread.history("decision")
        assert (decision["reviewer"], decision["channel"]) == ("zoe", "resume")


def test_an_answer_is_by_the_user_that_the_server_knows(
    server_url, template, tmp_path_factory
) -> None:
    how = {"config": "with_users.json", "headers": {"x-user": "ana"}}
    with (
        serving(server_url, template, tmp_path_factory.mktemp("users"), **how) as served,
        get_sync_client(url=served.url, headers={"x-user": "bo"}) as client,
    ):
        for graph in FACES:
            thread = Thread.of(served, graph)
            thread.start([call("send", "1", to=thread.to("x"))])
            named = {"configurable": {"reviewer": "zoe"}}
            (interrupt,) = thread.waiting
            thread.resume({interrupt["id"]: APPROVE}, config=named)
            assert thread.done == []
            assert thread.problem == "`ana` asked for the call and cannot decide on it"

            theirs = replace(thread, served=replace(served, client=client))
            (interrupt,) = theirs.waiting
            theirs.resume({interrupt["id"]: APPROVE}, config=named)
            assert thread.done == [f"sent to {thread.to('x')}"]
            (decision,) = thread.history("decision")
            assert (decision["reviewer"], decision["channel"]) == ("bo", "resume")
