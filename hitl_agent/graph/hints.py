"""The hints that came with a tool of an MCP server."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.tools import BaseTool

from hitl_agent.policy.annotations import HINTS


def hints_of(tool: BaseTool | None) -> Mapping[str, object] | None:
    """Return what a tool's MCP server says of it; None if no server is known to stand behind it.

    They are where LangChain's adapters put them; a hint that the server does not give is None.
    """
    metadata = (tool.metadata if tool else None) or {}
    return {hint: metadata[hint] for hint in HINTS if hint in metadata} or None
