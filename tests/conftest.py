"""Real PostgreSQL for every test: one server, a migrated template, a database cloned from it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hitl_agent.storage import database as shared
from hitl_agent.storage.database import Database
from hitl_agent.storage.embedded import start, stop
from hitl_agent.storage.migrate import migrate

TEMPLATE = "hitl_template"


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
        yield start(folder / "pg")
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


@pytest.fixture
def database_url(server_url: str, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated database of this test alone, also the one that the environment names."""
    with created(server_url, template) as url:
        monkeypatch.setenv("HITL_DATABASE_URL", url)
        yield url
        shared.close_shared()


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
    for name in ("HITL_DATABASE_URL", "HITL_REVIEWER", "HITL_MODEL", "OPENAI_API_KEY"):
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
