"""Threads that nobody drives any more are found and gone on with."""

from __future__ import annotations

from typing import Any

import pytest

from hitl_agent import Runtime
from hitl_agent.errors import ConfigurationError
from hitl_agent.recovery import Recovered, recover
from hitl_agent.runtime import Graph
from hitl_agent.storage.database import Database
from tests.support.flows import Desk, call, desk


class Cut(BaseException):
    """A process that ends here."""


def recovered(agent: Desk, **options: Any) -> list[Recovered]:
    return list(recover(agent.runtime, lambda _: agent.graph, **options))


def cut(agent: Desk, database: Database, point: str, nth: int = 1) -> None:
    """Let the process of the agent end at a point, and leave its lease as a killed one does."""
    left = nth

    def reached(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            database.reached = lambda _: None
            agent.runtime.leases._held.clear()
            agent.runtime.leases.release = lambda *_, **how: None  # type: ignore[method-assign]
            raise Cut

    database.reached = reached


@pytest.fixture(autouse=True)
def _as_it_was(database: Database) -> Any:
    yield
    database.reached = lambda _: None


def test_where_nothing_was_left_nothing_is_found(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    agent.clock.advance(days=1)
    assert recovered(agent) == [], "it waits for a person"
    agent.decide("a", {"type": "approve"})
    agent.resume()
    agent.clock.advance(days=1)
    assert recovered(agent) == []


def test_a_decision_that_nobody_took_up_is_taken_up(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    agent.decide("a", {"type": "approve"})
    assert recovered(agent) == [Recovered(agent.thread_id, "done")]
    assert agent.done == [("send", "x")]
    assert recovered(agent) == []


def test_a_decision_among_open_questions_is_taken_up_once(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x"), call("send", "b", to="y")])
    agent.start()
    agent.decide("a", {"type": "approve"})
    assert recovered(agent) == [Recovered(agent.thread_id, "waiting")]
    assert recovered(agent) == []
    assert [one.call.call_id for one in agent.waiting] == ["b"]
    agent.decide("b", {"type": "approve"})
    assert recovered(agent) == [Recovered(agent.thread_id, "done")]
    assert agent.done == [("send", "x"), ("send", "y")]


POINTS = [
    ("before checkpoints.put", 1),
    ("after checkpoints.put", 1),
    ("after checkpoints.put_writes", 1),
    ("before judgements.judge", 1),
    ("after judgements.judge", 1),
    ("after checkpoints.put", 2),
    ("after checkpoints.put_writes", 2),
    ("before reviews.put", 1),
    ("after reviews.put", 1),
    ("after checkpoints.put", 3),
]


@pytest.mark.parametrize(("point", "nth"), POINTS)
def test_wherever_a_process_ends_the_thread_comes_to_its_question(
    runtime: Runtime, database: Database, point: str, nth: int
) -> None:
    agent = desk(runtime, [call("send", "a", to="x"), call("send", "b", to="y")])
    cut(agent, database, point, nth)
    with pytest.raises(Cut):
        agent.start()
    agent.clock.advance(minutes=1)
    again = desk(runtime, [call("send", "a", to="x"), call("send", "b", to="y")], clock=agent.clock)
    again.thread_id = agent.thread_id
    if point == "before checkpoints.put":  # its input was never stored: it was never begun
        again.start()
    else:
        assert recovered(again) == [Recovered(agent.thread_id, "waiting")]
    assert {one.call.call_id for one in again.waiting} == {"a", "b"}
    assert again.done == []


def test_what_one_thread_fails_with_does_not_keep_the_others(runtime: Runtime) -> None:
    agents = []
    for _ in range(3):
        agent = desk(runtime, [call("send", "a", to="x")])
        agent.start()
        agent.decide("a", {"type": "approve"})
        agents.append(agent)
    by_id = {one.thread_id: one for one in agents}

    def graph_of(thread_id: str) -> Graph:
        if thread_id == agents[0].thread_id:
            raise ConfigurationError("no graph is named `desk`", hint="name it")
        return by_id[thread_id].graph

    with agents[1].runtime.leases.held(agents[1].thread_id):
        found = {one.thread_id: one for one in recover(agents[1].runtime, graph_of)}
    assert found[agents[0].thread_id].status == "failed"
    assert found[agents[0].thread_id].to_json()["hint"] == "name it"
    assert found[agents[2].thread_id].status == "done"
    assert agents[1].thread_id not in found, "it is driven"


def test_there_is_a_limit_and_an_order(runtime: Runtime) -> None:
    agents = []
    for _ in range(3):
        agent = desk(runtime, [call("look", "a", what="x")])
        agent.runtime.leases.take(agent.thread_id)
        agents.append(agent)
    clock = agents[0].clock
    clock.advance(minutes=1)
    halted = agents[0].runtime.leases.halted(limit=2)
    assert len(halted) == 2
    assert all(one.left for one in halted)
