"""What tools promise, and what becomes of their calls when a process is cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException, tool

from hitl_agent import (
    Happened,
    NotHappened,
    OutcomeUnknown,
    Runtime,
    TimeUp,
    contract,
    idempotency_key,
    time_left,
    transaction,
)
from hitl_agent.errors import CallBusy, ConfigurationError, LeaseLost
from hitl_agent.storage.database import Database
from tests.support.flows import Desk, call, desk


class Cut(BaseException):
    """Ends a process, or as good as."""


Tools = Callable[[list[Any]], list[BaseTool]]


def keyed(*, dies: int = 1, how: type[BaseException] = Cut, **promises: Any) -> Tools:
    """A tool that notes the key it sends under and is cut off the first times, after its effect."""

    def tools(done: list[Any]) -> list[BaseTool]:
        @contract(**promises)
        @tool
        def send(to: str, config: RunnableConfig) -> str:
            """Send a letter."""
            done.append(idempotency_key(config))
            if len(done) <= dies:
                raise how("gone")
            return f"sent to {to}"

        return [send]

    return tools


def approved(runtime: Runtime, tools: Tools, to: str = "x") -> Desk:
    agent = desk(runtime, [call("send", "a", to=to)], tools=tools)
    agent.start()
    agent.decide("a", {"type": "approve"})
    return agent


def cut_off(agent: Desk) -> None:
    with pytest.raises(Cut):
        agent.resume()


def attempt(database: Database) -> dict[str, Any]:
    with database.connection() as connection:
        (row,) = connection.execute("SELECT * FROM hitl.attempt").fetchall()
    return row


DAY = timedelta(days=1)


def test_a_call_under_a_key_is_sent_again_under_the_same_key(
    runtime: Runtime, database: Database
) -> None:
    agent = approved(runtime, keyed(idempotent_for=DAY))
    cut_off(agent)
    with pytest.raises(CallBusy):
        agent.resume()  # the first try may still be on its way
    agent.clock.advance(minutes=7)
    agent.resume()
    assert len(agent.done) == 2
    assert len(set(agent.done)) == 1
    assert agent.status == "done"
    assert attempt(database)["tries"] == 2
    assert agent.kinds("a").count("request") == 1, "nobody was asked"


def test_beyond_the_retention_of_the_key_a_person_is_asked(runtime: Runtime) -> None:
    agent = approved(runtime, keyed(idempotent_for=DAY))
    cut_off(agent)
    agent.clock.advance(hours=23, minutes=56)  # the try would last until after the day is over
    agent.resume()
    assert len(agent.done) == 1
    assert "in doubt" in agent.waiting[0].verdict.errors[0]


def test_a_call_that_ends_its_process_each_time_comes_before_a_person(runtime: Runtime) -> None:
    agent = approved(runtime, keyed(dies=99, idempotent_for=DAY))
    for _ in range(5):
        cut_off(agent)
        agent.clock.advance(minutes=7)
    agent.resume()
    assert len(agent.done) == 5
    assert "in doubt" in agent.waiting[0].verdict.errors[0]


@pytest.mark.parametrize("in_async", [False, True])
def test_a_lost_answer_is_asked_for_again_at_once_under_a_key(
    runtime: Runtime, in_async: bool
) -> None:
    agent = approved(runtime, keyed(dies=2, how=OutcomeUnknown, idempotent_for=DAY))
    agent.resume(in_async=in_async)
    assert len(agent.done) == 3
    assert len(set(agent.done)) == 1
    assert agent.status == "done"


def test_another_call_and_other_arguments_have_another_key(runtime: Runtime) -> None:
    keys: list[str] = []
    for to in ("x", "y"):
        agent = approved(runtime, keyed(dies=0), to)
        agent.resume()
        keys += agent.done
    assert len(set(keys)) == 2


@pytest.mark.parametrize(
    ("said", "sent", "text"),
    [
        (Happened("sent before"), 1, "sent before"),
        (Happened({"id": 7}), 1, '{"id": 7}'),
        (NotHappened(), 2, "sent to x"),
        (RuntimeError("no answer"), 1, None),
        ("yes", 1, None),
    ],
)
def test_a_tool_that_can_be_asked_is_asked(
    runtime: Runtime, said: Any, sent: int, text: str | None
) -> None:
    asked: list[str] = []

    def reconcile(key: str) -> Any:
        asked.append(key)
        if isinstance(said, Exception):
            raise said
        return said

    agent = approved(runtime, keyed(reconcile=reconcile))
    cut_off(agent)
    with pytest.raises(CallBusy):
        agent.resume()
    assert asked == [], "what was sent last may still arrive"
    agent.clock.advance(minutes=7)
    agent.resume()
    assert asked == agent.done[:1]
    assert len(agent.done) == sent
    if text is None:
        assert "in doubt" in agent.waiting[0].verdict.errors[0]
    else:
        assert agent.answer("a").text == f"[approved by ana]\n{text}"


def test_a_lost_answer_of_a_tool_that_can_be_asked_waits_for_its_time(runtime: Runtime) -> None:
    agent = approved(
        runtime, keyed(how=OutcomeUnknown, reconcile=lambda key: Happened("it arrived"))
    )
    with pytest.raises(CallBusy) as busy:
        agent.resume()
    assert "after 12:06:15" in (busy.value.hint or "")
    agent.clock.advance(minutes=7)
    agent.resume()
    assert len(agent.done) == 1
    assert "it arrived" in agent.answer("a").text


def test_what_was_approved_of_one_version_is_judged_anew_of_another(runtime: Runtime) -> None:
    agent = approved(runtime, keyed(dies=0, version="1"))
    newer = desk(
        runtime,
        [call("send", "a", to="x")],
        tools=keyed(dies=0, version="2"),
        clock=agent.clock,
    )
    newer.thread_id = agent.thread_id
    newer.resume()
    assert newer.done == []
    assert [one.revision for one in newer.waiting] == [2]


def test_a_cut_off_call_is_not_sent_again_by_another_version(runtime: Runtime) -> None:
    agent = approved(runtime, keyed(idempotent_for=DAY, version="1"))
    cut_off(agent)
    agent.clock.advance(minutes=7)
    newer = desk(
        runtime,
        [call("send", "a", to="x")],
        tools=keyed(dies=0, idempotent_for=DAY, version="2"),
        clock=agent.clock,
    )
    newer.thread_id = agent.thread_id
    newer.resume()
    assert newer.done == []
    assert "in doubt" in newer.waiting[0].verdict.errors[0]


def paying(*, then: Callable[[psycopg.Connection[Any]], Any]) -> Tools:
    def tools(done: list[Any]) -> list[BaseTool]:
        @contract(transactional=True)
        @tool
        def send(to: str, config: RunnableConfig) -> str:
            """Move money in our own database."""
            connection = transaction(config)
            connection.execute("INSERT INTO moved VALUES (%s)", [to])
            done.append(to)
            then(connection)
            return "moved"

        return [send]

    return tools


@pytest.fixture
def moved(database: Database) -> Any:
    """The rows of a table that a tool writes to."""

    def rows() -> list[str]:
        with database.connection() as connection:
            return [row["to_"] for row in connection.execute("SELECT to_ FROM moved").fetchall()]

    with database.connection() as connection:
        connection.execute("CREATE TABLE moved (to_ text)")
    return rows


@pytest.mark.parametrize("in_async", [False, True])
def test_effect_and_outcome_are_one_transaction(
    runtime: Runtime, moved: Any, in_async: bool
) -> None:
    agent = approved(runtime, paying(then=lambda _: None))
    agent.resume(in_async=in_async)
    assert moved() == ["x"]
    assert agent.kinds("a")[-2:] == ["reserved", "succeeded"]


def test_a_transaction_that_was_cut_off_is_simply_done_again(runtime: Runtime, moved: Any) -> None:
    def cut(_: Any) -> None:
        if len(agent.done) == 1:
            raise Cut

    agent = approved(runtime, paying(then=cut))
    cut_off(agent)
    assert moved() == []
    agent.resume()
    assert moved() == ["x"]
    assert agent.done == ["x", "x"]
    assert agent.kinds("a").count("request") == 1


def failing(_: Any) -> None:
    raise ToolException("no such account")


def test_a_transaction_that_failed_changed_nothing_and_may_be_retried(
    runtime: Runtime, moved: Any
) -> None:
    agent = approved(runtime, paying(then=failing))
    agent.resume()
    assert moved() == []
    assert agent.answer("a").artifact["retry"] is True
    assert "no such account" in agent.answer("a").text


def test_a_lost_connection_in_a_transaction_is_read_and_done_again(
    runtime: Runtime, database: Database, moved: Any
) -> None:
    def kill(connection: psycopg.Connection[Any]) -> None:
        if len(agent.done) == 1:
            with psycopg.connect(database.url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])

    agent = approved(runtime, paying(then=kill))
    agent.resume()
    assert moved() == ["x"]
    assert agent.done == ["x", "x"]
    assert agent.status == "done"


def test_a_transaction_that_never_comes_to_its_end_comes_before_a_person(
    runtime: Runtime, moved: Any
) -> None:
    def cut(_: Any) -> None:
        raise Cut

    agent = approved(runtime, paying(then=cut))
    for _ in range(5):
        cut_off(agent)
    agent.resume()
    assert moved() == []
    assert "was cut off 5 times" in agent.waiting[0].verdict.errors[0]


def test_a_tool_cannot_commit_half_of_it(runtime: Runtime, moved: Any) -> None:
    agent = approved(runtime, paying(then=lambda connection: connection.commit()))
    agent.resume()
    assert moved() == []
    assert agent.answer("a").status == "error"


def test_whoever_lost_the_thread_commits_nothing(runtime: Runtime, moved: Any) -> None:
    def lose(_: Any) -> None:
        agent.clock.advance(minutes=1)
        agent.runtime.leases.take(agent.thread_id)

    agent = approved(runtime, paying(then=lose))
    with pytest.raises(LeaseLost):
        agent.resume()
    assert agent.done == ["x"]
    assert moved() == []


def slow(seconds: float, *, asks: bool, **promises: Any) -> Tools:

    def tools(done: list[Any]) -> list[BaseTool]:
        @contract(timeout=timedelta(seconds=0.05), **promises)
        @tool
        def send(to: str, config: RunnableConfig) -> str:
            """Send, after a while."""
            time.sleep(seconds)  # longer than it may take
            if asks:
                time_left(config)
            done.append(to)
            return "sent"

        return [send]

    return tools


@pytest.mark.parametrize("in_async", [False, True])
def test_a_call_that_takes_too_long_is_in_doubt(runtime: Runtime, in_async: bool) -> None:
    agent = approved(runtime, slow(0.3, asks=False))
    agent.resume(in_async=in_async)
    assert "in doubt" in agent.waiting[0].verdict.errors[0]


def test_a_tool_can_ask_how_much_time_it_has(runtime: Runtime) -> None:
    seen: list[float] = []

    def tools(done: list[Any]) -> list[BaseTool]:
        @tool
        def send(to: str, config: RunnableConfig) -> str:
            """Send."""
            seen.append(time_left(config))
            raise TimeUp("none left")

        return [send]

    agent = approved(runtime, tools)
    agent.resume()
    assert 0 < seen[0] <= 300
    assert agent.answer("a").artifact["retry"] is True


def test_a_failure_does_not_say_that_it_may_be_retried(runtime: Runtime) -> None:
    agent = approved(runtime, keyed(dies=1, how=RuntimeError))
    agent.resume()
    assert agent.answer("a").artifact["retry"] is False


@pytest.mark.parametrize(
    "promises",
    [
        {"timeout": timedelta(0)},
        {"idempotent_for": -DAY},
        {"transactional": True, "idempotent_for": DAY},
        {"transactional": True, "reconcile": lambda key: NotHappened()},
        {"reconcile": asyncio.sleep},
    ],
)
def test_a_contract_that_makes_no_sense_is_refused(promises: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        contract(**promises)


def test_outside_the_executor_a_tool_has_no_call() -> None:
    for ask in (idempotency_key, time_left, transaction):
        with pytest.raises(ConfigurationError, match="not called by the executor"):
            ask({})


def test_without_a_promise_there_is_no_transaction(runtime: Runtime) -> None:
    def tools(done: list[Any]) -> list[BaseTool]:
        @tool
        def send(to: str, config: RunnableConfig) -> str:
            """Send."""
            transaction(config)
            return "sent"

        return [send]

    agent = approved(runtime, tools)
    agent.resume()
    assert "the tool has no transaction" in agent.answer("a").text


def test_a_lost_connection_that_the_tool_takes_for_its_own_failure_is_done_again(
    runtime: Runtime, database: Database, moved: Any
) -> None:
    def kill(connection: psycopg.Connection[Any]) -> None:
        if len(agent.done) == 1:
            with psycopg.connect(database.url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
            connection.execute("SELECT 1")

    agent = approved(runtime, paying(then=kill))
    agent.resume()
    assert moved() == ["x"]
    assert agent.done == ["x", "x"]


@pytest.mark.parametrize("transactional", [False, True])
def test_a_call_whose_opening_took_all_of_its_time_is_opened_again(
    runtime: Runtime, database: Database, transactional: bool
) -> None:
    slow_once = iter([0.2])

    def reached(point: str) -> None:
        if point == "after attempts.open":
            time.sleep(next(slow_once, 0))  # a database that takes longer than the call may

    def tools(done: list[Any]) -> list[BaseTool]:
        @contract(timeout=timedelta(seconds=0.15), transactional=transactional)
        @tool
        def send(to: str) -> str:
            """Send a letter."""
            done.append(to)
            return "sent"

        return [send]

    agent = approved(runtime, tools)
    database.reached = reached
    try:
        agent.resume()
    finally:
        database.reached = lambda _: None
    assert agent.done == ["x"]
    assert agent.answer("a").text == "[approved by ana]\nsent"
    assert attempt(database)["tries"] == 2
