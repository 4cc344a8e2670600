"""The database goes away: a restart, a cut connection, a failover. Nothing is lost or done twice.

What is written here is a table of the tests' own, by a guarded statement like all of ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from hitl_agent import Runtime
from hitl_agent.errors import DatabaseUnavailable, LeaseLost
from hitl_agent.storage import database as module
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.database import Database
from hitl_agent.storage.patience import Patience
from tests.support.flows import call, desk
from tests.support.servers import OwnServer, own_server, proxied

STATEMENTS = {
    "count": b"""
        WITH new AS (INSERT INTO tally VALUES (%(key)s) ON CONFLICT DO NOTHING RETURNING 1)
        SELECT EXISTS (SELECT FROM new) AS written
    """,
    "keys": b"SELECT key FROM tally ORDER BY key",
    "wrong": b"SELECT 1 / 0",
    "fenced": b"DO $$ BEGIN RAISE EXCEPTION 'fenced' USING ERRCODE = 'HL002'; END $$",
}


@pytest.fixture(autouse=True)
def _tally(monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.queries
    monkeypatch.setattr(
        module, "queries", lambda room: STATEMENTS if room == "tally" else real(room)
    )


def opened(url: str, **options: float) -> Database:
    database = Database(url, patience=Patience(**options) if options else None)
    database.open()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS tally (key text PRIMARY KEY)")
        connection.execute("TRUNCATE tally")
    return database


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_server() as found:
        yield found


def keys(database: Database) -> list[str]:
    return [row["key"] for row in database.rows("tally", "keys")]


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_under_load_loses_nothing(server, caplog):
    database = opened(server.url)
    checkpointer = Checkpointer(database)
    from langgraph.checkpoint.base import empty_checkpoint

    stopping = threading.Event()
    slowest: list[float] = []

    def load(worker: int) -> list[str]:
        acknowledged = []
        while not stopping.is_set():
            key = f"{worker}-{len(acknowledged)}"
            begun = time.monotonic()
            database.wrote("tally", "count", key=key)
            config = {"configurable": {"thread_id": key, "checkpoint_ns": ""}}
            checkpointer.put(config, empty_checkpoint(), {}, {})
            slowest.append(time.monotonic() - begun)
            acknowledged.append(key)
        return acknowledged

    recoveries = []
    with ThreadPoolExecutor(6) as pool:
        workers = [pool.submit(load, one) for one in range(6)]
        try:
            for _ in range(4):
                before = len(slowest)
                up = server.restart()
                while len(slowest) < before + 12 and time.monotonic() < up + 20:
                    time.sleep(0.01)
                recoveries.append(time.monotonic() - up)
        finally:
            stopping.set()
        acknowledged = sorted(key for one in workers for key in one.result(60))
    assert keys(database) == acknowledged
    assert {one.config["configurable"]["thread_id"] for one in checkpointer.list(None)} == set(
        acknowledged
    )
    assert max(recoveries) < 3, recoveries
    told = [one for one in caplog.messages if one.startswith("the database")]
    assert told
    assert told == [
        "the database does not answer, trying again for 60 s", "the database answers again",
    ] * (len(told) // 2)  # fmt: skip
    database.close()


@pytest.mark.slow
def test_who_comes_while_the_server_is_down_is_served_when_it_is_up(server):
    database = opened(server.url)
    database.run("tally", "keys")
    server.control("stop", "-m", "immediate")
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(database.wrote, "tally", "count", key=str(one)) for one in range(20)]
        time.sleep(3)  # longer than a pool left to itself tries at short intervals
        assert not any(one.done() for one in waiting)
        server.control("start")
        up = time.monotonic()
        assert all(one.result(30) for one in waiting)
    assert time.monotonic() - up < 3
    assert len(keys(database)) == 20
    database.close()


@pytest.mark.slow
def test_a_server_that_stays_away_is_an_error_with_what_to_do(server):
    database = opened(server.url, seconds=0.3)
    database.pool.timeout = 0.2
    server.control("stop", "-m", "immediate")
    try:
        with pytest.raises(DatabaseUnavailable, match="does not answer") as caught:
            database.rows("tally", "keys")
        assert "nothing is lost" in (caught.value.hint or "")
    finally:
        server.control("start")
    database.close()


def test_a_request_that_never_arrived_is_sent_again(database_url):
    with proxied(database_url) as proxy:
        database = opened(proxy.url)
        keys(database)
        proxy.cut = "request"
        assert database.wrote("tally", "count", key="a") is True
        assert (proxy.cuts, keys(database)) == (1, ["a"])
        database.close()


def test_a_commit_whose_answer_was_lost_is_not_made_twice(database_url):
    with proxied(database_url) as proxy:
        database = opened(proxy.url)
        keys(database)
        proxy.cut = "answer"
        assert database.wrote("tally", "count", key="a") is False
        assert (proxy.cuts, keys(database)) == (1, ["a"])
        database.close()


def test_a_cut_connection_to_the_checkpoints_is_no_loss(database_url):
    from langgraph.checkpoint.base import empty_checkpoint

    with proxied(database_url) as proxy:
        database = opened(proxy.url)
        checkpointer = Checkpointer(database)
        config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        for number, cut in enumerate(["request", "answer"] * 4):
            proxy.cut = cut
            checkpoint = empty_checkpoint()
            stored = checkpointer.put(config, checkpoint, {"step": number}, {})
            proxy.cut = cut
            checkpointer.put_writes(stored, [("a", number)], "task")
            proxy.cut = cut
            found = checkpointer.get_tuple(config)
            assert found is not None
            assert (found.checkpoint["id"], found.pending_writes) == (
                checkpoint["id"],
                [("task", "a", number)],
            )
            proxy.cut = cut
            assert len(list(checkpointer.list(config))) == number + 1
        assert proxy.cuts == 32
        database.close()


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["request", "answer"])
def test_a_run_whose_connection_is_cut_at_any_statement_does_each_thing_once(database_url, cut):
    with proxied(database_url) as proxy:
        database = Database(proxy.url)
        database.open()

        def run() -> None:
            agent = desk(
                Runtime(database),
                [call("look", "a", what="x"), call("refund", "b", amount=20.0)],
                [call("send", "c", to="ana")],
            )
            agent.start()
            agent.decide("c", {"type": "approve"})
            agent.resume()
            assert agent.done == [("look", "x"), ("refund", 20.0), ("send", "ana")]
            assert [agent.answer(one).status for one in "abc"] == ["success"] * 3
            assert agent.status == "done"

        run()
        before = proxy.passed
        run()
        statements = proxy.passed - before
        assert statements > 20
        for number in range(statements):
            proxy.spared, proxy.cut = number, cut
            run()
        assert proxy.cuts == statements
        database.close()


def test_a_connection_that_may_only_read_is_replaced(database_url):
    """As after a failover that made a standby the primary, or this one a standby."""
    database = opened(database_url)
    for _ in range(3):
        with database.pool.connection() as connection:
            connection.execute("SET default_transaction_read_only = on")
        assert database.wrote("tally", "count", key=f"{time.monotonic()}") is True
    database.close()


def test_a_database_that_stays_read_only_is_named(database_url):
    reading = f"{database_url}&options=-cdefault_transaction_read_only%3Don"
    opened(database_url).close()
    database = Database(reading, patience=Patience(0.1))
    database.open()
    with pytest.raises(DatabaseUnavailable, match="can only be read"):
        database.run("tally", "count", key="a")
    database.close()


def test_half_a_transaction_is_not_sent_again_and_the_whole_of_it_may_be(database_url):
    with proxied(database_url) as proxy:
        database = opened(proxy.url)

        def both() -> None:
            with database.locked("k"):
                database.run("tally", "count", key="a")
                proxy.cut = cuts.pop() if cuts else None
                database.run("tally", "count", key="b")

        cuts = ["request"]
        with pytest.raises(DatabaseUnavailable):
            both()
        assert keys(database) == []
        cuts = ["answer", "request"]
        database.patiently(both)
        assert keys(database) == ["a", "b"]
        database.close()


def test_what_the_database_refuses_is_not_tried_again(database_url, caplog):
    database = opened(database_url)
    points: list[str] = []
    database.reached = points.append
    with pytest.raises(psycopg.errors.DivisionByZero):
        database.rows("tally", "wrong")
    assert points == ["before tally.wrong"]
    with pytest.raises(LeaseLost):
        database.run("tally", "fenced")
    assert caplog.messages == []
    database.close()


def test_every_exchange_has_a_name_before_and_after(database_url):
    from langgraph.checkpoint.base import empty_checkpoint

    database = opened(database_url)
    points: list[str] = []
    database.reached = points.append
    database.wrote("tally", "count", key="a")
    checkpointer = Checkpointer(database)
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    stored = checkpointer.put(config, empty_checkpoint(), {}, {})
    checkpointer.put_writes(stored, [("a", 1)], "task")
    checkpointer.get_tuple(config)
    list(checkpointer.list(config))
    names = ["tally.count", *(f"checkpoints.{one}" for one in ("put", "put_writes", "get", "list"))]
    assert points == [f"{when} {name}" for name in names for when in ("before", "after")]
    database.close()
