"""At most one process drives a thread; what another one writes is refused."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.errors import InvalidUpdateError
from langgraph.graph import END, START, StateGraph

from hitl_agent import Runtime, build_graph
from hitl_agent.errors import LeaseLost, ThreadBusy
from hitl_agent.graph.gate import utc_now
from hitl_agent.graph.state import AgentState
from hitl_agent.policy import parse_policy
from hitl_agent.storage import reviews
from hitl_agent.storage.checkpoints import LEASE
from hitl_agent.storage.database import Database
from hitl_agent.storage.leases import Lease, Leases
from tests.support.flows import POLICY, Clock, Desk, Script, call, desk, tools_noting


def gated(runtime: Runtime, **options: Any) -> Desk:
    agent = desk(runtime, [call("send", "a", to="x")], **options)
    agent.start()
    return agent


def approved(runtime: Runtime, **options: Any) -> Desk:
    agent = gated(runtime, **options)
    agent.decide("a", {"type": "approve"})
    return agent


def test_a_thread_that_is_driven_cannot_be_driven_by_another(runtime: Runtime) -> None:
    agent = approved(runtime)
    with agent.runtime.leases.held(agent.thread_id):
        with pytest.raises(ThreadBusy) as refused:
            agent.resume()
        with pytest.raises(ThreadBusy):
            agent.graph.update_state(agent.config, {"model": "x"})
        with pytest.raises(ThreadBusy):
            asyncio.run(agent.graph.ainvoke(None, agent.config))
        with pytest.raises(ThreadBusy):
            asyncio.run(agent.graph.aupdate_state(agent.config, {"model": "x"}))
    assert "hitl resume" in (refused.value.hint or "")
    assert agent.done == []
    agent.resume()
    assert agent.done == [("send", "x")]


def test_a_lease_is_given_back_however_a_run_ends(runtime: Runtime, database: Database) -> None:
    def held() -> list[str]:
        with database.connection() as connection:
            rows = connection.execute(
                "SELECT thread_id FROM hitl.thread WHERE expires_at > %s", [agent.clock.now]
            ).fetchall()
        return [row["thread_id"] for row in rows]

    agent = approved(runtime)
    assert held() == []
    steps = agent.graph.stream(
        agent.runtime.resume_input(agent.graph, agent.thread_id), agent.config
    )
    next(steps)
    assert held() == [agent.thread_id]
    steps.close()  # a consumer that has seen enough
    assert held() == []
    asyncio.run(agent.graph.ainvoke(None, agent.config))
    assert held() == []
    with contextlib.suppress(InvalidUpdateError):
        agent.graph.update_state(agent.config, {}, as_node="nobody")
    assert held() == []


def test_a_lease_that_runs_out_is_taken_over_and_the_old_token_fits_nothing(
    runtime: Runtime, database: Database
) -> None:
    agent = approved(runtime)
    old = agent.runtime.leases.take(agent.thread_id)
    agent.clock.advance(minutes=1)
    agent.resume()
    assert agent.done == [("send", "x")]
    before = len(list(agent.runtime.checkpointer.list(agent.config)))
    stale = {"configurable": {**agent.config["configurable"], LEASE: old, "checkpoint_ns": ""}}
    saved = agent.runtime.checkpointer.get_tuple(agent.config)
    assert saved is not None
    with pytest.raises(LeaseLost):
        agent.runtime.checkpointer.put(stale, saved.checkpoint, saved.metadata, {})
    stale["configurable"]["checkpoint_id"] = saved.checkpoint["id"]
    with pytest.raises(LeaseLost):
        agent.runtime.checkpointer.put_writes(stale, [("model", "x")], "task")
    assert len(list(agent.runtime.checkpointer.list(agent.config))) == before
    agent.runtime.leases.release(old)  # takes nothing away from anybody


@pytest.mark.parametrize("in_async", [False, True])
def test_a_worker_that_was_taken_over_while_its_tool_ran_writes_nothing(
    runtime: Runtime, database: Database, in_async: bool
) -> None:
    taken: list[Lease] = []

    def slow(done: list[Any]) -> list[Any]:
        @tool
        def send(to: str, text: str = "") -> str:
            """Send a letter, and meanwhile lose the thread."""
            done.append(("send", to))
            agent.clock.advance(minutes=1)
            taken.append(agent.runtime.leases.take(agent.thread_id))
            return "sent"

        return [send]

    agent = approved(runtime, tools=slow)
    with pytest.raises(LeaseLost):
        agent.resume(in_async=in_async)
    with database.connection() as connection:
        (row,) = connection.execute("SELECT state FROM hitl.attempt").fetchall()
    assert row["state"] == "started", "its outcome was refused; whoever took over decides"
    agent.runtime.leases.release(taken[0])
    agent.clock.advance(minutes=10)
    agent.resume()
    assert agent.done == [("send", "x")]
    assert "in doubt" in agent.waiting[0].verdict.errors[0]


def test_a_beat_does_not_overtake_the_return_of_a_lease(database: Database) -> None:
    """Renewed after it was given back, it would keep everybody out of a thread that failed."""
    leases = Leases(database, utc_now, timedelta(seconds=0.3))
    beats, returned, beaten = threading.Event(), threading.Event(), threading.Event()
    reached = database.reached

    def slowly(point: str) -> None:
        reached(point)
        if point == "before leases.renew":
            beats.set()
            returned.wait(0.2)  # as long as the return could come before the beat
        elif point == "after leases.renew":
            beaten.set()

    database.reached = slowly
    try:
        lease = leases.take("t")
        assert beats.wait(10)
        leases.release(lease, halted=True)
        returned.set()
        assert beaten.wait(10)
        leases.release(leases.take("t"))
    finally:
        database.reached = reached


def test_a_lease_is_renewed_while_it_is_held(database: Database) -> None:
    clock = Clock()
    leases = Leases(database, clock, timedelta(seconds=0.06))
    with leases.held("t"):
        until = clock.now + timedelta(seconds=0.05)
        clock.now = until
        renewed = threading.Event()
        sent = database.reached

        def reached(point: str) -> None:
            if point == "after leases.renew":
                renewed.set()

        database.reached = reached
        try:
            assert renewed.wait(10)
        finally:
            database.reached = sent
        clock.advance(seconds=0.05)  # beyond its first end
        with pytest.raises(ThreadBusy):
            leases.take("t")


def test_rows_of_the_ledger_cannot_be_written_without_a_lease(
    runtime: Runtime, database: Database
) -> None:
    agent = approved(runtime)
    agent.resume()
    with (
        contextlib.closing(psycopg.connect(database.url, autocommit=True)) as connection,
        pytest.raises(psycopg.Error, match="is driven by"),
    ):
        connection.execute("UPDATE hitl.attempt SET state = 'in_doubt', result = NULL")


def test_a_foreign_saver_writes_as_ever_unless_we_drive_the_thread(
    runtime: Runtime, database: Database
) -> None:
    builder = StateGraph(AgentState)
    builder.add_node("say", lambda state: {"model": "said"})
    builder.add_edge(START, "say")
    builder.add_edge("say", END)
    config: Any = {"configurable": {"thread_id": "theirs"}}
    with PostgresSaver.from_conn_string(database.url) as saver:
        foreign = builder.compile(checkpointer=saver)
        assert foreign.invoke({"model": "x"}, config)["model"] == "said"
        ours = runtime.compile(builder)
        ours.invoke({"model": "x"}, config)
        assert foreign.invoke({"model": "y"}, config)["model"] == "said"
        before = ours.get_state(config).metadata
    with (
        contextlib.closing(psycopg.connect(database.url, autocommit=True)) as connection,
        runtime.leases.held("theirs"),
    ):
        foreign = builder.compile(checkpointer=PostgresSaver(connection))  # type: ignore[arg-type]
        with pytest.raises(psycopg.Error):  # the saver's pipeline hides which
            foreign.invoke({"model": "z"}, config)
    assert ours.get_state(config).metadata["step"] == before["step"]


def foreign_graph(done: list[Any], saver: Any, clock: Clock) -> Any:
    """The same agent under a saver that knows no leases."""
    turn = [call("send", "a", to="x"), call("refund", "b", amount=20)]
    builder = build_graph(Script(turn), tools_noting(done), parse_policy(POLICY), clock=clock)
    return builder.compile(checkpointer=saver)


def test_where_a_foreign_server_drives_the_executor_takes_the_lease(
    runtime: Runtime, database: Database
) -> None:
    done: list[Any] = []
    clock = Clock()
    ours = Runtime(database, clock=clock)
    config: Any = {"configurable": {"thread_id": "theirs"}}
    with PostgresSaver.from_conn_string(database.url) as saver:
        graph = foreign_graph(done, saver, clock)
        graph.invoke(runtime.start_input("do it"), config)
        ours.decide(ours.request("theirs", "a"), {"type": "approve"}, reviewer="ana")
        (asked,) = graph.get_state(config).interrupts
        with ours.leases.held("theirs", scope="attempt"), pytest.raises(ThreadBusy):
            graph.invoke(command_for(asked), config)
        graph.invoke(None, config)
    assert done == [("send", "x"), ("refund", 20)]


def command_for(asked: Any) -> Any:
    from langgraph.types import Command

    return Command(resume={asked.id: {"request_id": asked.value["request_id"]}})


def test_who_asked_is_remembered_when_somebody_else_resumes(runtime: Runtime) -> None:
    turns = ([call("send", "a", to="x")], [call("send", "b", to="y")])
    agent = desk(runtime, *turns)
    asked: Any = {"configurable": {"thread_id": agent.thread_id, "actor": "ana"}}
    agent.graph.invoke(agent.runtime.start_input("do it"), asked)
    agent.decide("a", {"type": "approve"}, reviewer="bo")
    by_bo: Any = {"configurable": {"thread_id": agent.thread_id, "actor": "bo"}}
    agent.graph.invoke(agent.runtime.resume_input(agent.graph, agent.thread_id), by_bo)
    agent.decide("b", {"type": "approve"}, reviewer="bo")
    agent.resume()
    verdicts = [one for one in runtime.history(agent.thread_id) if one["kind"] == "verdict"]
    assert [one["body"]["known"]["actor"] for one in verdicts] == ["ana", "ana"]


@contextlib.contextmanager
def frozen_transaction(url: str, thread_id: str) -> Iterator[None]:
    """Somebody in the middle of a fenced write, who never comes to its end."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, blob)"
            " VALUES (%s, 'c', 't', 0, 'x', '')",
            [thread_id],
        )
        yield
        connection.rollback()


def test_a_writer_that_is_frozen_before_its_commit_blocks_nobody(
    runtime: Runtime, database: Database
) -> None:
    agent = approved(runtime)
    with frozen_transaction(database.url, agent.thread_id):
        agent.resume()
    assert agent.done == [("send", "x")]


def test_a_worker_that_lost_the_thread_moves_and_withdraws_no_question(runtime: Runtime) -> None:
    agent = gated(runtime)
    (before,) = agent.waiting
    lost = Lease(agent.thread_id, 7, None)
    database = agent.runtime.database
    assert reviews.put(database, agent.thread_id, "a", "another", lease=lost) is not None
    reviews.withdraw(database, agent.thread_id, ["a"], agent.clock(), lease=lost)
    assert agent.waiting == [before]
    with agent.runtime.leases.held(agent.thread_id) as lease:
        reviews.put(database, agent.thread_id, "a", "another", lease=lease)
        assert [one.interrupt_id for one in agent.waiting] == ["another"]
        reviews.withdraw(database, agent.thread_id, ["a"], agent.clock(), lease=lease)
    assert agent.waiting == []


def test_a_process_that_is_frozen_while_it_judges_holds_its_lock_for_a_while_only(
    database: Database,
) -> None:
    with database.locked("history tool send"), database.connection() as connection:
        (row,) = connection.execute("SHOW idle_in_transaction_session_timeout").fetchall()
    assert list(row.values()) == ["30s"]
