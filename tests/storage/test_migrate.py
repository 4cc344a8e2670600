"""The schema: applied once, by whoever comes first, and never on a database that is not ours."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import psycopg
import pytest

from hitl_agent import Runtime
from hitl_agent.errors import ConfigurationError, DatabaseNotReady, DatabaseUnavailable
from hitl_agent.storage.connection import connect
from hitl_agent.storage.migrate import migrate, status
from hitl_agent.storage.queries import migrations, queries

ALL = [
    "0001_first",
    "0002_facts_of_calls",
    "0003_leases_and_attempts",
    "0004_votes",
    "0005_interrupts",
    "0006_places_of_questions",
]


def test_the_first_call_creates_everything_and_the_second_nothing(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == ALL
    assert migrate(empty_database_url) == []
    with connect(empty_database_url) as connection:
        assert status(connection).ready


def test_several_processes_at_once_migrate_once(empty_database_url: str) -> None:
    code = f"from hitl_agent.storage.migrate import migrate; print(migrate({empty_database_url!r}))"

    def run(_: int) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        return ended.stdout.strip()

    with ThreadPoolExecutor(3) as pool:
        printed = sorted(pool.map(run, range(3)))
    assert printed == [str(ALL), "[]", "[]"]


def test_a_database_that_is_not_migrated_says_what_to_type(empty_database_url: str) -> None:
    with (
        pytest.raises(DatabaseNotReady, match="not migrated") as caught,
        Runtime.open(empty_database_url),
    ):
        pass
    assert caught.value.hint == "run `hitl db migrate`"


def test_a_database_of_a_newer_release_is_left_alone(database_url: str) -> None:
    insert = "INSERT INTO hitl.migration (version, name) VALUES (9999, 'from_the_future')"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(insert)
    try:
        with pytest.raises(DatabaseNotReady, match="newer hitl-agent"), Runtime.open(database_url):
            pass
        with pytest.raises(DatabaseNotReady, match="newer hitl-agent"):
            migrate(database_url)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("DELETE FROM hitl.migration WHERE version = 9999")


def test_a_server_that_is_too_old_is_named(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitl_agent.storage.migrate.OLDEST_SERVER", 99)
    with pytest.raises(DatabaseNotReady, match="99 or newer"), Runtime.open(database_url):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@127.0.0.1:9/none",
        "postgresql://postgres@/none?host=/nowhere/at/all",
    ],
)
def test_a_server_that_is_down_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not answer"), Runtime.open(url):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "mysql://x",
        "postgresql://[",
        "host=a b=c",
        "postgresql://h:port/x",
        "postgresql://h:99999/x",
    ],
)
def test_a_url_that_cannot_be_read_is_the_users_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"), Runtime.open(url):
        pass


def test_a_lock_that_is_held_is_waited_for(empty_database_url: str) -> None:
    waited: list[float] = []
    with psycopg.connect(empty_database_url) as other:
        other.execute(queries("schema")["try_lock"], prepare=False)

        def pause(seconds: float) -> None:
            waited.append(seconds)
            other.rollback()

        assert migrate(empty_database_url, pause=pause) == ALL
    assert waited


def test_migrations_are_numbered_without_gaps_and_queries_have_names() -> None:
    assert [number for number, _, _ in migrations()] == list(range(1, len(migrations()) + 1))
    for room in ("attempts", "interrupts", "judgements", "record", "reviews", "schema"):
        assert all(sql and not sql.endswith(b";") for sql in queries(room).values())


def test_the_package_says_its_version() -> None:
    assert version("hitl-agent").count(".") == 2
