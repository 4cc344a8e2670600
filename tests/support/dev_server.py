"""The development server of LangGraph, as `langgraph dev` starts it in somebody's project."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

BIN = Path(sys.executable).parent

_QUIET = {
    # nothing leaves this machine
    "LANGSMITH_TRACING": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
}


@dataclass
class Served:
    """A project that is served, seen by its clients, and by reviewers at another desk.

    Attributes:
        url: the server's.
        client: of LangGraph's SDK.
        database_url: where the server was told to keep what is ours.
        project: the directory of `langgraph.json`.
        environment: of the server, and of the reviewers' processes.
        log: what the server has written.
    """

    url: str
    client: SyncLangGraphClient
    database_url: str
    project: Path
    environment: dict[str, str]
    log: Path

    @property
    def logged(self) -> str:
        return self.log.read_text()[-8000:]

    def hitl(self, *arguments: str, status: int = 0) -> str:
        """Run the CLI in a process of its own, as a reviewer at another desk would."""
        done = subprocess.run(
            [sys.executable, "-m", "hitl_agent", *arguments],
            cwd=self.project,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def listed(self, thread_id: str) -> list[dict[str, Any]]:
        found = json.loads(self.hitl("list", "--json"))
        return [one for one in found if one["thread_id"] == thread_id]

    def run(self, thread_id: str, graph: str, **given: Any) -> Any:
        """Run to the end or the next interrupt, and fail with the server's log if it fails."""
        self.client.runs.wait(thread_id, graph, raise_error=False, **given)
        thread = self.client.threads.get(thread_id)
        assert thread["status"] in ("idle", "interrupted"), self.logged
        assert "lockingError" not in self.log.read_text()
        return thread


@contextmanager
def dev_server(
    project: Path,
    database_url: str,
    folder: Path,
    *,
    config: str = "langgraph.json",
    headers: Mapping[str, str] | None = None,
    **environment: str,
) -> Iterator[Served]:
    """Serve a project.

    Args:
        project: the directory of `langgraph.json`.
        database_url: where it keeps what is ours.
        folder: for the server's log, and whatever it and our embedded server would keep.
        config: another name for `langgraph.json`.
        headers: of the client.
        environment: further variables of the server.
    """
    named = os.environ | _QUIET | {"HITL_DATABASE_URL": database_url, "HITL_DATA_DIR": str(folder)}
    for name in ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY", "HITL_MODEL"):
        named.pop(name, None)
    named |= environment
    port = _free_port()
    command = [BIN / "langgraph", "dev", "--no-browser", "--no-reload"]
    command += ["--port", str(port), "--config", config]
    log = folder / "log"
    # it keeps its threads in the directory where it runs, and no setting keeps it from that
    served = folder / "served"
    served.mkdir()
    for one in project.iterdir():
        if one.name != ".langgraph_api":
            (served / one.name).symlink_to(one)
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, cwd=served, env=named, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(server, f"{url}/ok", log)
        with get_sync_client(url=url, headers=headers) as client:
            yield Served(url, client, database_url, project, named, log)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-8000:]
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer of the server: {log.read_text()[-8000:]}")
