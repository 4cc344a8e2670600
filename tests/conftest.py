"""Real PostgreSQL for every test: one server, a migrated template, a database cloned from it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from hitl_agent.storage import database as shared
from hitl_agent.storage.database import Database
from hitl_agent.storage.embedded import start, stop
from hitl_agent.storage.migrate import migrate

TEMPLATE = "hitl_template"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: at the end everybody would wait for the last."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a server of this test run: embedded, or the one that HITL_TEST_SERVER names."""
    given = os.environ.get("HITL_TEST_SERVER")
    if given:
        yield given
        return
    # short: a socket's path has at most 107 characters
    folder = Path(tempfile.mkdtemp(prefix="hitl-"))
    try:
        url = start(folder / "pg")
        with psycopg.connect(url, autocommit=True) as connection:
            # nothing here outlives the run: a test that wants a durable server starts its own
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)


def named(server_url: str, database: str) -> str:
    return server_url.replace("/postgres?", f"/{database}?")


@contextlib.contextmanager
def created(server_url: str, template: str = "template0") -> Iterator[str]:
    """A database of its own, dropped afterwards."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield named(server_url, name)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{TEMPLATE}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{TEMPLATE}"')
    migrate(named(server_url, TEMPLATE))
    yield TEMPLATE
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{TEMPLATE}" WITH (FORCE)')


EMPTIED = """
SET session_replication_role = replica;
DELETE FROM hitl.policy; DELETE FROM hitl.judgement; DELETE FROM hitl.review_request;
DELETE FROM hitl.decision; DELETE FROM hitl.vote; DELETE FROM hitl."grant";
DELETE FROM hitl.attempt; DELETE FROM hitl.thread;
DELETE FROM hitl.interrupt; DELETE FROM hitl.open_thread;
DELETE FROM hitl.record; DELETE FROM checkpoints; DELETE FROM checkpoint_blobs;
DELETE FROM checkpoint_writes;
"""

FOREIGN = """
SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('hitl', 'information_schema') AND n.nspname NOT LIKE 'pg_%'
    AND c.relname NOT LIKE 'checkpoint%'
"""


@dataclass
class Clones:
    """Databases cloned from the template; cloning one takes longer than most tests."""

    make: Callable[[], str]
    free: list[str] = field(default_factory=list)

    def take(self) -> str:
        return self.free.pop() if self.free else self.make()

    def give_back(self, url: str) -> None:
        """Empty a database for the next test; one that holds foreign tables is left alone."""
        with psycopg.connect(url, autocommit=True) as connection:
            (foreign,) = connection.execute(FOREIGN).fetchone() or (1,)
            if not foreign:
                connection.execute(EMPTIED)
                self.free.append(url)


@pytest.fixture(scope="session")
def clones(server_url: str, template: str) -> Iterator[Clones]:
    with contextlib.ExitStack() as stack:
        yield Clones(lambda: stack.enter_context(created(server_url, template)))


@pytest.fixture
def database_url(clones: Clones, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated, empty database of this test alone, also the one that the environment names."""
    url = clones.take()
    monkeypatch.setenv("HITL_DATABASE_URL", url)
    yield url
    shared.close_shared()
    clones.give_back(url)


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """A database without any schema of ours."""
    with created(server_url) as url:
        yield url
        shared.close_shared()


@pytest.fixture
def database(database_url: str) -> Database:
    return shared.shared_database(database_url)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the data, the names and the keys of the person who runs them."""
    monkeypatch.setenv("HITL_DATA_DIR", str(tmp_path_factory.getbasetemp() / "data"))
    names = ("HITL_DATABASE_URL", "HITL_ENCRYPTION_KEY", "HITL_REVIEWER", "HITL_MODEL")
    for name in (*names, "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


def stock_postgres() -> Path | None:
    """The programs of a stock PostgreSQL 15 server, if one is installed."""
    found = Path("/usr/lib/postgresql/15/bin")
    return found if (found / "initdb").exists() else None


def run_as_owner(*command: str) -> subprocess.CompletedProcess[str]:
    """Run one of the server's programs; it refuses to be run by root."""
    prefix = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    return subprocess.run((*prefix, *command), check=True, capture_output=True, text=True)
