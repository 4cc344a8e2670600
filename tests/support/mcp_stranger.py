"""An MCP server that nobody should trust: raw JSON-RPC over stdio, without the SDK's manners."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])


def called(params: dict[str, Any]) -> dict[str, Any]:
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps(params) + "\n")
    match params["name"].split("_")[0]:
        case "dies":
            os._exit(9)
        case "hangs":
            time.sleep(120)
        case "garbage":
            return {"result": {"content": "no list"}}
        case "refuses":
            return {"error": {"code": -32602, "message": "no such arguments"}}
        case "fails":
            content = [{"type": "text", "text": "the disk is full"}]
            return {"result": {"isError": True, "content": content}}
        case "traps":
            return {"result": {"content": [], "structuredContent": {"x": "a" * 40 + "!"}}}
    return {"result": {"content": [{"type": "text", "text": "done"}]}}


def answered(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        about = {"name": "stranger", "version": "1"}
        version = params["protocolVersion"]
        return {
            "result": {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": about,
            }
        }
    if method == "tools/list":
        tools = json.loads((folder / "tools.json").read_text())
        if (folder / "endless").exists():
            return {"result": {"tools": tools, "nextCursor": "more"}}
        return {"result": {"tools": tools}}
    if method == "tools/call":
        return called(params)
    return {"error": {"code": -32601, "message": "no such method"}}


sys.stderr.write("\x1b[2Jnothing waits\n")
if (folder / "silent").exists():
    time.sleep(120)
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        said = answered(message["method"], message.get("params") or {})
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"]} | said) + "\n")
        sys.stdout.flush()
