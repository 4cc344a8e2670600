"""MCP servers for tests: a real one for git, and one that lies, dies and hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.sessions import StdioConnection

STRANGER = Path(__file__).with_name("mcp_stranger.py")


def git_server(repository: Path) -> StdioConnection:
    return {
        "transport": "stdio",
        "command": sys.executable,
        "args": ["-m", "mcp_server_git", "--repository", str(repository)],
    }


def git_repository(folder: Path) -> Path:
    """A repository with one commit and one file that is staged."""
    for command in (
        ("init", "--quiet", "--initial-branch", "main", str(folder)),
        ("-C", str(folder), "config", "user.name", "ana"),
        ("-C", str(folder), "config", "user.email", "ana@example.org"),
    ):
        subprocess.run(("git", *command), check=True)
    for name in ("first", "second"):
        (folder / f"{name}.txt").write_text(name)
        subprocess.run(("git", "-C", str(folder), "add", f"{name}.txt"), check=True)
        if name == "first":
            subprocess.run(("git", "-C", str(folder), "commit", "-qm", name), check=True)
    return folder


def commits(repository: Path) -> list[str]:
    command = ("git", "-C", str(repository), "log", "--format=%s")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


class Stranger:
    """A server that says what its folder's `tools.json` says now, and notes the calls it gets."""

    def __init__(self, folder: Path, *tools: dict[str, Any]) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.lists(*tools)

    def lists(self, *tools: dict[str, Any]) -> None:
        (self.folder / "tools.json").write_text(json.dumps(tools))

    @property
    def connection(self) -> StdioConnection:
        return {
            "transport": "stdio",
            "command": sys.executable,
            "args": [str(STRANGER), str(self.folder)],
        }

    @property
    def client(self) -> MultiServerMCPClient:
        return MultiServerMCPClient({"stranger": self.connection})

    @property
    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def listed(name: str = "act", **more: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    schema = {"type": "object", "properties": {"what": {"type": "string"}}}
    return {"name": name, "description": "Act.", "inputSchema": schema} | more
