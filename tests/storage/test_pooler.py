"""Through a real pgbouncer that shares servers by transaction, everything works as without it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from psycopg.conninfo import conninfo_to_dict

from hitl_agent import Runtime
from hitl_agent.errors import DatabaseNotReady
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.database import Database
from hitl_agent.storage.migrate import migrate
from tests.support.flows import Desk, call, desk
from tests.support.servers import own_server, pgbouncer

DAY = """
tools:
  refund:
    effect: write
    history: {day: {by: tool, seconds: 86400}}
    rules:
      - {id: small, when: amount <= 50 && history.day.sum + amount <= 60.0, tier: auto_approve}
"""


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    with pgbouncer(database_url, pool_size=3) as url:
        yield url


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[Database]:
    database = Database(pooled_url)
    database.open()
    yield database
    database.close()


def test_the_pooler_is_noticed_and_nothing_is_prepared(pooled, database):
    for each, threshold in ((pooled, None), (database, 0)):
        with each.connection() as connection:
            assert connection.prepare_threshold == threshold


def test_more_threads_than_servers_run_whole_graphs(pooled):
    """Each of 12 clients runs reads, a write, and a call that waits for a person and is edited."""

    def one(number: int) -> Desk:
        agent = desk(
            Runtime(pooled),
            [
                call("look", f"a{number}", what="x"),
                call("refund", f"b{number}", amount=20.0),
                call("send", f"c{number}", to="ana"),
            ],
        )
        agent.start()
        agent.decide(f"c{number}", {"type": "approve"})
        agent.resume()
        return agent

    with ThreadPoolExecutor(12) as pool:
        agents = list(pool.map(one, range(24)))
    for number, agent in enumerate(agents):
        assert agent.done == [("look", "x"), ("refund", 20.0), ("send", "ana")]
        assert agent.answer(f"c{number}").status == "success"
        assert agent.status == "done"


def test_what_a_policy_counts_is_counted_one_by_one(pooled):
    agents = [
        desk(Runtime(pooled), [call("refund", f"c{number}", amount=40.0)], policy=DAY)
        for number in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Desk.start, agents))
    assert sum(len(one.done) for one in agents) == 1


def test_nothing_is_left_behind_for_the_next_client_of_the_pooler(pooled, pooled_url):
    with pooled.connection():
        pass
    with psycopg.connect(pooled_url, prepare_threshold=None, autocommit=True) as stranger:
        rows = stranger.execute(
            "SELECT name FROM pg_settings WHERE source = 'session' AND name <> 'application_name'"
        )
        assert [name for (name,) in rows] == []


def test_another_isolation_behind_a_pooler_is_refused_with_what_to_type(database_url):
    name = conninfo_to_dict(database_url)["dbname"]
    setting = f'ALTER DATABASE "{name}" %s default_transaction_isolation'
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"{setting % 'SET'} = 'serializable'")
        try:
            with (
                pgbouncer(database_url, pool_size=1) as url,
                pytest.raises(DatabaseNotReady, match="serializable") as caught,
            ):
                Database(url).open()
            assert caught.value.hint == (
                "ALTER ROLE postgres SET default_transaction_isolation = 'read committed'"
            )
            direct = Database(database_url)
            direct.open()
            with direct.connection() as own:
                row = own.execute("SHOW default_transaction_isolation").fetchone()
                assert row == {"default_transaction_isolation": "read committed"}
            direct.close()
        finally:
            connection.execute(setting % "RESET")


def test_migrations_run_through_a_pooler_that_has_two_servers(empty_database_url):
    with pgbouncer(empty_database_url, pool_size=2) as url:
        assert migrate(url)
        assert migrate(url) == []
        database = Database(url)
        database.open()
        database.close()


@pytest.mark.slow
def test_a_server_that_is_restarted_behind_the_pooler_is_waited_out():
    with own_server() as server, pgbouncer(server.url, pool_size=3) as url:
        database = Database(url)
        database.open()
        checkpointer = Checkpointer(database)

        def put(number: int) -> str:
            config = {"configurable": {"thread_id": str(number), "checkpoint_ns": ""}}
            checkpointer.put(config, empty_checkpoint(), {}, {})
            return str(number)

        with ThreadPoolExecutor(6) as pool:
            first = [pool.submit(put, one) for one in range(200)]
            server.restart()
            put_ = {one.result(60) for one in first} | set(pool.map(put, range(200, 300)))
        assert {one.config["configurable"]["thread_id"] for one in checkpointer.list(None)} == put_
        database.close()
