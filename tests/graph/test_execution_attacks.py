"""Faults of execution that were found by attacking it, each with the test that showed it."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from enum import Enum
from http import HTTPStatus
from typing import Any

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from psycopg.rows import tuple_row

from hitl_agent import (
    NotHappened,
    OutcomeUnknown,
    Runtime,
    build_graph,
    contract,
    idempotency_key,
    time_left,
    transaction,
)
from hitl_agent.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    InvalidDecision,
    LeaseLost,
    ThreadBusy,
)
from hitl_agent.graph.state import AgentState
from hitl_agent.policy import parse_policy
from hitl_agent.recovery import recover
from hitl_agent.storage import reviews
from hitl_agent.storage.database import Database
from tests.support.flows import POLICY, Clock, Desk, Script, call, desk, tools_noting

Tools = Callable[[list[Any]], list[BaseTool]]

DAY = timedelta(days=1)


class Cut(BaseException):
    """Ends a process, or as good as."""


def approved(runtime: Runtime, tools: Tools, to: str = "x", **options: Any) -> Desk:
    agent = desk(runtime, [call("send", "a", to=to)], tools=tools, **options)
    agent.start()
    agent.decide("a", {"type": "approve"})
    return agent


def sending(does: Callable[[RunnableConfig], Any], **promises: Any) -> Tools:
    """One tool that notes that it was called and then does something."""

    def tools(done: list[Any]) -> list[BaseTool]:
        @contract(**promises)
        @tool
        def send(to: str, config: RunnableConfig) -> Any:
            """Send a letter."""
            done.append(to)
            return does(config)

        return [send]

    return tools


@pytest.fixture
def moved(database: Database) -> Callable[[], list[str]]:
    """The rows of a table that a tool writes to."""

    def rows() -> list[str]:
        with database.connection() as connection:
            return [row["to_"] for row in connection.execute("SELECT to_ FROM moved").fetchall()]

    with database.connection() as connection:
        connection.execute("CREATE TABLE moved (to_ text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    return rows


def paying(then: Callable[[psycopg.Connection[Any]], Any], **promises: Any) -> Tools:
    def does(config: RunnableConfig) -> str:
        connection = transaction(config)
        connection.execute("INSERT INTO moved VALUES ('x')")
        then(connection)
        return "moved"

    return sending(does, transactional=True, **promises)


# transactional tools


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_transactional_tool_that_was_cut_off_writes_nothing_afterwards(
    runtime: Runtime, moved: Any, interrupted: bool
) -> None:
    late, tried = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def does(config: RunnableConfig) -> str:
        connection = transaction(config)
        if interrupted:  # as Ctrl-C does
            _thread.interrupt_main()
        late.wait(20)
        try:
            connection.execute("INSERT INTO moved VALUES ('late')")
        except psycopg.Error as error:
            errors.append(error)
        finally:
            tried.set()
        return "moved"

    tools = sending(does, transactional=True, timeout=timedelta(seconds=10 if interrupted else 0.2))
    agent = approved(runtime, tools)
    with contextlib.suppress(KeyboardInterrupt):
        agent.resume()
    late.set()
    assert tried.wait(20)
    assert moved() == [], "nothing of a call that is not known to have succeeded"
    assert errors


@pytest.mark.parametrize(
    "statements", [["COMMIT"], ["ROLLBACK"], ["COMMIT", "BEGIN"], ["ROLLBACK", "BEGIN"]]
)
def test_a_transactional_tool_that_ends_its_transaction_itself_is_in_doubt(
    runtime: Runtime, moved: Any, statements: list[Any]
) -> None:
    def then(connection: psycopg.Connection[Any]) -> None:
        for one in statements:
            connection.execute(one)

    agent = approved(runtime, paying(then))
    agent.resume()
    assert "in doubt" in agent.waiting[0].verdict.errors[0], "no success that nobody can vouch for"
    assert agent.status == "waiting"


def swallowing(connection: psycopg.Connection[Any]) -> None:
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT 1 / 0")


def twice(connection: psycopg.Connection[Any]) -> None:
    connection.execute("INSERT INTO moved VALUES ('x')")


@pytest.mark.parametrize("then", [swallowing, twice], ids=["swallowed", "at the commit"])
def test_an_error_of_a_transactional_tool_that_shows_at_its_end_is_a_failure(
    runtime: Runtime, moved: Any, then: Any
) -> None:
    agent = approved(runtime, paying(then))
    agent.resume()
    assert moved() == []
    assert agent.answer("a").artifact["outcome"] == "failed"
    assert agent.answer("a").artifact["retry"] is True
    assert agent.status == "done"


def test_a_transactional_tool_may_read_rows_as_it_likes(
    runtime: Runtime, database: Database, moved: Any
) -> None:
    def then(connection: psycopg.Connection[Any]) -> None:
        connection.row_factory = tuple_row

    agent = approved(runtime, paying(then))
    agent.resume()
    assert moved() == ["x"]
    assert agent.status == "done"


def test_a_transactional_tool_whose_connection_is_closed_comes_before_a_person(
    runtime: Runtime, moved: Any
) -> None:
    agent = approved(runtime, paying(lambda connection: connection.close()))
    agent.resume()
    assert moved() == []
    assert "was cut off 5 times" in agent.waiting[0].verdict.errors[0]


# leases in one process


def held(database: Database) -> int:
    with database.connection() as connection:
        (row,) = connection.execute(
            "SELECT count(*) AS n FROM hitl.thread WHERE expires_at > '2026-03-01 12:00:01+00'"
        ).fetchall()
    return int(row["n"])


@pytest.mark.parametrize("writes", [False, True])
def test_a_run_that_is_cancelled_while_it_takes_the_lease_gives_it_back(
    runtime: Runtime, database: Database, monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    agent = approved(runtime, sending(lambda _: "sent"))
    taking, go_on = threading.Event(), threading.Event()
    take = agent.runtime.leases.take

    def slowly(*args: Any, **how: Any) -> Any:
        taking.set()
        go_on.wait(20)
        return take(*args, **how)

    monkeypatch.setattr(agent.runtime.leases, "take", slowly)

    async def cancelled() -> None:
        run = asyncio.ensure_future(
            agent.graph.aupdate_state(agent.config, {"model": "x"})
            if writes
            else agent.graph.ainvoke(None, agent.config)
        )
        await asyncio.to_thread(taking.wait, 20)
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run
        go_on.set()

    asyncio.run(cancelled())
    assert agent.runtime.leases._held == {}, "a lease that nobody uses is renewed for ever"
    assert held(database) == 0


def test_tools_that_hang_do_not_stop_the_async_runs_of_the_process(runtime: Runtime) -> None:
    over = threading.Event()
    tools = sending(lambda _: over.wait(20), timeout=timedelta(seconds=0.1))
    agent = approved(runtime, tools)
    graph_input = agent.runtime.resume_input(agent.graph, agent.thread_id)

    async def run() -> bool:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        try:
            await asyncio.wait_for(agent.graph.ainvoke(graph_input, agent.config), 10)
            return not over.is_set()
        finally:
            over.set()

    assert asyncio.run(run())
    assert "in doubt" in agent.waiting[0].verdict.errors[0]


def test_a_database_that_was_closed_is_not_waited_for(runtime: Runtime, database: Database) -> None:
    database.close()
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        runtime.waiting()
    assert time.monotonic() - begun < 10


# recovery


def test_a_thread_that_fails_in_its_own_way_does_not_keep_the_others_from_recovery(
    runtime: Runtime,
) -> None:
    def broken(state: AgentState) -> dict[str, Any]:
        raise ValueError("no such thing")

    builder = StateGraph(AgentState)
    builder.add_node("broken", broken)
    builder.add_edge(START, "broken")
    builder.add_edge("broken", END)
    agent = desk(runtime, [call("send", "a", to="x")])
    graph = agent.runtime.compile(builder)
    with pytest.raises(ValueError, match="no such thing"):
        graph.invoke({"model": "x"}, agent.runtime.config("broken"))
    agent.clock.advance(seconds=1)
    agent.start()
    agent.decide("a", {"type": "approve"})
    graphs = {"broken": graph, agent.thread_id: agent.graph}
    found = {one.thread_id: one for one in recover(agent.runtime, graphs.__getitem__)}
    assert found[agent.thread_id].status == "done"
    assert found["broken"].status == "failed"
    assert "no such thing" in found["broken"].to_json()["error"]


def test_a_thread_whose_graph_is_not_known_does_not_keep_the_others_from_recovery(
    runtime: Runtime,
) -> None:
    clock = Clock()
    agents = [desk(runtime, [call("send", "a", to="x")], clock=clock) for _ in range(2)]
    for one in agents:
        clock.advance(seconds=5)
        one.start()
        one.decide("a", {"type": "approve"})

    def graph_of(thread_id: str) -> Any:
        if thread_id == agents[0].thread_id:
            raise ConfigurationError("no such graph")
        return agents[1].graph

    clock.advance(seconds=5)
    found = [recover(agents[1].runtime, graph_of, limit=1) for _ in range(2)]
    assert [one.status for some in found for one in some] == ["failed", "done"]


def test_a_thread_whose_process_ended_before_it_had_begun_is_told_of_once(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.runtime.leases.take(agent.thread_id)
    agent.runtime.leases._held.clear()
    agent.clock.advance(minutes=1)

    def graph_of(thread_id: str) -> Any:
        agent.runtime.thread(thread_id)
        return agent.graph

    assert [one.status for one in recover(agent.runtime, graph_of)] == ["failed"]
    assert list(recover(agent.runtime, graph_of)) == []


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), Cut("gone")])
def test_a_receiver_that_cannot_be_asked_leaves_it_to_a_person(
    runtime: Runtime, error: BaseException
) -> None:
    def reconcile(key: str) -> Any:
        raise error

    def does(_: RunnableConfig) -> Any:
        raise Cut

    agent = approved(runtime, sending(does, reconcile=reconcile))
    with pytest.raises(Cut):
        agent.resume()
    agent.clock.advance(minutes=7)
    agent.resume()
    assert "in doubt" in agent.waiting[0].verdict.errors[0]


def test_a_read_that_ends_its_process_each_time_comes_before_a_person(runtime: Runtime) -> None:
    def tools(done: list[Any]) -> list[BaseTool]:
        @tool
        def look(what: str) -> str:
            """Look."""
            done.append(what)
            raise Cut

        return [look]

    agent = desk(runtime, [call("look", "a", what="x")], tools=tools)
    with pytest.raises(Cut):
        agent.start()
    for _ in range(20):
        try:
            agent.resume()
        except Cut:
            continue
        break
    assert len(agent.done) == 5
    assert agent.status == "waiting"


def test_a_worker_that_lost_the_thread_takes_up_no_decision(runtime: Runtime) -> None:
    agent = approved(runtime, sending(lambda _: "sent"))
    old = agent.runtime.leases.take(agent.thread_id)
    agent.clock.advance(minutes=1)
    agent.runtime.leases.release(agent.runtime.leases.take(agent.thread_id))
    reviews.put(agent.runtime.database, agent.thread_id, "a", "i", lease=old)
    agent.runtime.leases.release(old)
    found = list(recover(agent.runtime, lambda _: agent.graph))
    assert [one.status for one in found] == ["done"], "a decision that nobody goes on with is lost"


def test_an_answer_that_came_to_a_worker_that_lost_the_thread_is_gone_on_with(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    (asked,) = agent.graph.get_state(agent.config).interrupts
    put = reviews.put

    def frozen(*args: Any, **how: Any) -> Any:
        """Be taken over before the answer is looked at; the other one finds that all waits."""
        monkeypatch.undo()
        agent.clock.advance(minutes=1)
        agent.runtime.leases.release(agent.runtime.leases.take(agent.thread_id))
        return put(*args, **how)

    monkeypatch.setattr(reviews, "put", frozen)
    with pytest.raises(LeaseLost):
        agent.graph.invoke(Command(resume={asked.id: {"type": "approve"}}), agent.config)
    found = list(recover(agent.runtime, lambda _: agent.graph))
    assert [one.status for one in found] == ["done"]
    assert agent.done == [("send", "x")]


# graphs of others


def test_who_resumes_a_run_on_a_foreign_server_has_not_asked_for_its_calls(
    runtime: Runtime, database: Database
) -> None:
    done: list[Any] = []
    clock = Clock()
    ours = Runtime(database, clock=clock)
    turns = [call("send", "a", to="x")], [call("send", "b", to="y")]
    builder = build_graph(Script(*turns), tools_noting(done), parse_policy(POLICY), clock=clock)
    graph = builder.compile(checkpointer=InMemorySaver())

    def by(who: str) -> Any:
        return {"configurable": {"thread_id": "theirs", "langgraph_auth_user_id": who}}

    graph.invoke(ours.start_input("do it"), by("amy"))
    (asked,) = graph.get_state(by("amy")).interrupts
    graph.invoke(Command(resume={asked.id: {"type": "approve"}}), by("bo"))
    assert len(done) == 1
    with pytest.raises(InvalidDecision, match="asked for the call"):
        ours.decide(ours.request("theirs", "b"), {"type": "approve"}, reviewer="amy")
    ours.decide(ours.request("theirs", "b"), {"type": "approve"}, reviewer="bo")
    graph.invoke(None, by("cy"))
    assert len(done) == 2


def test_an_agent_inside_another_graph_is_driven_under_that_ones_lease(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x"), call("send", "b", to="y")])
    parent = StateGraph(AgentState)
    parent.add_node("agent", agent.graph)
    parent.add_edge(START, "agent")
    parent.add_edge("agent", END)
    graph = agent.runtime.compile(parent, name="parent")
    graph.invoke(agent.runtime.start_input("do it"), agent.config)
    agent.decide("a", {"type": "approve"})
    agent.decide("b", {"type": "reject"})
    graph.invoke(agent.runtime.resume_input(graph, agent.thread_id), agent.config)
    assert agent.done == [("send", "x")]
    assert agent.status == "done"


@pytest.mark.parametrize("way", ["batch", "events", "with_config"])
def test_every_way_to_run_a_graph_takes_the_lease(runtime: Runtime, way: str) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    given = agent.runtime.start_input("do it")

    async def events() -> None:
        async for _ in agent.graph.astream_events(given, agent.config, version="v2"):
            pass

    def run() -> None:
        if way == "batch":
            agent.graph.batch([given], agent.config)
        elif way == "events":
            asyncio.run(events())
        else:
            agent.graph.with_config({"tags": ["x"]}).invoke(given, agent.config)

    with agent.runtime.leases.held(agent.thread_id), pytest.raises(ThreadBusy):
        run()
    run()
    assert agent.waiting


def test_the_fence_needs_no_rights_and_no_search_path_of_a_foreign_writer(
    runtime: Runtime, database: Database
) -> None:
    tables = "checkpoints, checkpoint_writes, checkpoint_blobs"
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE foreigner")
        try:
            connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO foreigner")
            connection.execute("SET ROLE foreigner")
            connection.execute("CREATE TEMP TABLE thread (thread_id text)")
            connection.execute(
                "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint)"
                " VALUES ('t', 'c', '{}')"
            )
            connection.execute("UPDATE checkpoints SET metadata = '{}'")
            connection.execute("DELETE FROM checkpoints")
        finally:
            connection.execute("RESET ROLE")
            connection.execute("DROP OWNED BY foreigner")
            connection.execute("DROP ROLE foreigner")


# what people and planners are told


def test_a_call_in_doubt_that_is_left_alone_is_not_called_not_run(runtime: Runtime) -> None:
    def does(_: RunnableConfig) -> Any:
        raise OutcomeUnknown("the line went dead")

    agent = approved(runtime, sending(does))
    agent.resume()
    agent.decide("a", {"type": "reject", "message": "leave it"})
    agent.resume()
    text = agent.answer("a").text
    assert "was not run" not in text
    assert "not known" in text
    assert "leave it" in text


def test_a_call_judged_before_an_upgrade_is_not_called_changed_by_hand(
    runtime: Runtime, database: Database
) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    with database.connection() as connection:  # as migration 0003 leaves what was there before
        connection.execute("UPDATE hitl.judgement SET binding = '', tool_version = ''")
        connection.execute("""UPDATE hitl."grant" SET binding = call_id""")
    agent.decide("a", {"type": "approve"})
    agent.resume()
    assert agent.done == []
    assert agent.waiting[0].revision == 2
    assert agent.waiting[0].verdict.errors == ()


# contracts and their limits


def test_a_receiver_that_remembers_for_ever_is_one(runtime: Runtime) -> None:
    def does(config: RunnableConfig) -> str:
        idempotency_key(config)
        if len(agent.done) == 1:
            raise Cut
        return "sent"

    agent = approved(runtime, sending(does, idempotent_for=timedelta.max))
    with pytest.raises(Cut):
        agent.resume()
    agent.clock.advance(minutes=7)
    agent.resume()
    assert len(agent.done) == 2
    assert agent.status == "done"


@pytest.mark.parametrize("answers", [True, False], ids=["keyed", "asked"])
def test_a_call_that_was_cut_off_is_not_sent_again_under_a_policy_that_changed(
    runtime: Runtime, answers: bool
) -> None:
    def does(_: RunnableConfig) -> Any:
        raise Cut

    promises: dict[str, Any] = {"idempotent_for": DAY}
    if not answers:
        promises = {"reconcile": lambda key: NotHappened()}
    agent = approved(runtime, sending(does, **promises))
    with pytest.raises(Cut):
        agent.resume()
    agent.clock.advance(minutes=7)
    stricter = desk(
        runtime,
        [call("send", "a", to="x")],
        policy=POLICY.replace("never_run: [", "never_run: [send, "),
        tools=sending(lambda _: "sent", **promises),
        clock=agent.clock,
    )
    stricter.thread_id = agent.thread_id
    stricter.resume()
    assert stricter.done == []
    assert "refused by policy" in stricter.answer("a").text
    assert "was not run" not in stricter.answer("a").text


def test_a_timeout_beyond_all_clocks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ten years"):
        contract(timeout=timedelta.max)


def test_a_contract_below_the_tool_decorator_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="stands on a tool"):
        contract(idempotent_for=DAY)(lambda to: to)  # type: ignore[type-var]


def test_a_promise_survives_the_copies_that_langchain_makes(runtime: Runtime) -> None:
    def does(config: RunnableConfig) -> str:
        transaction(config)
        return "sent"

    def tools(done: list[Any]) -> list[BaseTool]:
        (one,) = sending(does, transactional=True)(done)
        return [one.model_copy(update={"description": "Send."})]

    agent = approved(runtime, tools)
    agent.resume()
    assert agent.answer("a").artifact["outcome"] == "succeeded"


def test_time_that_a_machine_slept_through_is_over(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monotonic clock stands still while a machine is suspended."""
    now = time.time

    def does(config: RunnableConfig) -> str:
        monkeypatch.setattr(time, "time", lambda: now() + 3600)
        time_left(config)
        return "sent"

    agent = approved(runtime, sending(does))
    agent.resume()
    assert agent.answer("a").artifact["outcome"] == "failed"
    assert agent.answer("a").artifact["retry"] is True


@pytest.mark.parametrize("error", [OutcomeUnknown("gone"), TimeoutError("gone")])
def test_an_unknown_outcome_among_several_errors_is_one(runtime: Runtime, error: Exception) -> None:
    def does(_: RunnableConfig) -> Any:
        raise ExceptionGroup("several", [ValueError("x"), ExceptionGroup("inner", [error])])

    agent = approved(runtime, sending(does))
    agent.resume()
    assert "in doubt" in agent.waiting[0].verdict.errors[0]


def test_a_tool_that_interrupts_by_itself_has_failed_and_wedges_nothing(runtime: Runtime) -> None:
    agent = approved(runtime, sending(lambda _: interrupt("really?")))
    agent.resume()
    assert agent.answer("a").artifact["outcome"] == "failed"
    assert "really?" not in agent.answer("a").text, "it may hold what only a reviewer is shown"
    assert agent.status == "done"


def test_a_graph_that_a_tool_runs_does_not_get_the_key_of_the_call(runtime: Runtime) -> None:
    keys: list[Any] = []

    def inner(state: Any, config: RunnableConfig) -> Any:
        try:
            keys.append(idempotency_key(config))
        except ConfigurationError:
            keys.append(None)
        return {}

    builder = StateGraph(AgentState)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    nested = builder.compile()

    def does(config: RunnableConfig) -> str:
        nested.invoke({"messages": []}, config)
        return "sent"

    agent = approved(runtime, sending(does))
    agent.resume()
    assert keys == [None], "one key for two calls makes a receiver drop the second"


class Half(float, Enum):
    """Numbers that are more than that."""

    HALF = 0.5


class Foreign(Mapping[str, Any]):
    """A value of which nothing can be read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("value", [HTTPStatus.OK, [Half.HALF], {"a": Foreign()}])
def test_a_result_with_values_of_other_types_is_one(runtime: Runtime, value: Any) -> None:
    def tools(done: list[Any]) -> list[BaseTool]:
        @tool(response_format="content_and_artifact")
        def look(what: str) -> Any:
            """Look."""
            return what, value

        return [look]

    agent = desk(runtime, [call("look", "a", what="x")], tools=tools)
    agent.start()
    assert agent.status == "done"
    assert agent.answer("a").artifact["outcome"] == "succeeded"


@pytest.mark.parametrize("driven", [True, False])
def test_a_user_cannot_hide_behind_the_name_of_an_actor(
    runtime: Runtime, database: Database, driven: bool
) -> None:
    clock = Clock()
    ours = Runtime(database, clock=clock)
    done: list[Any] = []
    turns = [call("send", "a", to="x")], [call("send", "b", to="y")]
    builder = build_graph(Script(*turns), tools_noting(done), parse_policy(POLICY), clock=clock)
    graph = ours.compile(builder) if driven else builder.compile(checkpointer=InMemorySaver())

    def by(who: str, actor: str) -> Any:
        named = {"thread_id": "theirs", "langgraph_auth_user_id": who, "actor": actor}
        return {"configurable": named}

    graph.invoke(ours.start_input("do it"), by("alice", "sock"))
    for one in ("alice", "sock"):
        with pytest.raises(InvalidDecision, match="asked for the call"):
            ours.decide(ours.request("theirs", "a"), {"type": "approve"}, reviewer=one)
    (asked,) = graph.get_state(by("alice", "sock")).interrupts
    graph.invoke(Command(resume={asked.id: {"type": "approve"}}), by("alice", "sock"))
    assert done == []
    (asked,) = graph.get_state(by("alice", "sock")).interrupts
    graph.invoke(Command(resume={asked.id: {"type": "approve"}}), by("bo", "sock"))
    assert done == [("send", "x")]
    with pytest.raises(InvalidDecision, match="asked for the call"):
        ours.decide(ours.request("theirs", "b"), {"type": "approve"}, reviewer="alice")
    ours.decide(ours.request("theirs", "b"), {"type": "approve"}, reviewer="bo")
