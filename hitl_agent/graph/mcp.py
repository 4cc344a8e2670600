"""Tools of MCP servers, made fit for the gate. Nothing that a server says is believed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, ToolException
from pydantic import PrivateAttr

from hitl_agent.calls import MAX_BYTES, MAX_NAME, canonical, clean_json, clean_text, digest
from hitl_agent.documents import show
from hitl_agent.errors import ConfigurationError, HitlError, OutcomeUnknown
from hitl_agent.graph.tool_contract import contract, time_left
from hitl_agent.policy.annotations import HINTS
from hitl_agent.policy.suggest.description import MAX_TOOLS
from hitl_agent.review.schemas import Schema

try:
    from langchain_mcp_adapters.client import MultiServerMCPClient
    from langchain_mcp_adapters.interceptors import MCPToolCallRequest
    from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool
    from mcp import ClientSession, McpError, types
except ImportError as error:
    raise ConfigurationError(
        f"MCP servers cannot be used: {error}", hint="install `hitl-agent[mcp]`"
    ) from error

_NAME = re.compile(rf"[A-Za-z0-9_./-]{{1,{MAX_NAME}}}")

_MAX_PARTS = 20_000
"""Parts of a schema, its references followed, as a model's provider is sent them."""

_MAX_PAGES = 1000
_START = 60.0
"""Seconds that a server may take to start and to list its tools."""

_TOLD = 1000
"""Characters of what went wrong."""

_LOST = (types.CONNECTION_CLOSED, 408)
"""Error codes that the client itself gives: the connection closed, no answer in time."""


@dataclass(frozen=True)
class _Server:
    """An MCP server.

    Attributes:
        name: the app's name for it.
        session: opens a session, or lends one that is open.
        prefix: stands before the names of its tools.
    """

    name: str
    session: Callable[[], AbstractAsyncContextManager[ClientSession]]
    prefix: str = ""


async def mcp_tools(
    source: MultiServerMCPClient | ClientSession, *, server_name: str | None = None
) -> list[BaseTool]:
    """Return the tools of MCP servers, for `build_graph` and wherever else tools are gated.

    What was approved is bound to all that the server said of the tool: name, title, description,
    schema and annotations. Right before a call they are read again, and nothing is sent if they
    have changed. A call whose answer is lost is in doubt. A tool of a session is called in the
    event loop that it was opened in, by `ainvoke`; those of a client open a session for each call
    and can be called in any way.

    Args:
        source: a client, whose sessions are opened for each call, or an open session.
        server_name: of a client the one server whose tools are meant; all of them without it. Of a
            session its name in messages.

    Raises:
        ConfigurationError: a server cannot be reached, does not answer within a minute, or lists
            tools that cannot be used: names that are no plain names or are there twice, too many
            or too long descriptions, a schema that leads nowhere; or the client has interceptors,
            which could change a call after it was approved.
    """
    tools: dict[str, BaseTool] = {}
    for server in _servers(source, server_name):
        try:
            # a session's own tasks may not see the timeout: it is around nothing but waiting
            async with asyncio.timeout(_START), server.session() as session:
                listed = await _listed(session)
        except Exception as error:
            if isinstance(_first(error), HitlError):
                raise _first(error) from None
            why = "it does not answer" if isinstance(error, TimeoutError) else _why(error)
            raise ConfigurationError(
                f"the tools of MCP server {show(server.name)} cannot be listed: {why}",
                hint="see that it starts by itself, with this command or at this address",
            ) from error
        for one in listed:
            tool = _tool(server, one)
            if tool.name in tools:
                raise ConfigurationError(
                    f"two tools of MCP servers are named {show(tool.name)}",
                    hint="tell them apart with `MultiServerMCPClient(…, tool_name_prefix=True)`",
                )
            tools[tool.name] = tool
    return list(tools.values())


def _servers(source: MultiServerMCPClient | ClientSession, name: str | None) -> list[_Server]:
    if isinstance(source, ClientSession):
        lent = partial(_lent, source, asyncio.get_running_loop())
        return [_Server(name or "session", lent)]
    if source.tool_interceptors:
        raise ConfigurationError(
            "interceptors of an MCP client could change a call after it was approved",
            hint="take `tool_interceptors` out; headers can stand in the connection",
        )
    if name is not None and name not in source.connections:
        there = ", ".join(show(one) for one in source.connections) or "none"
        raise ConfigurationError(f"there is no MCP server {show(name)}", hint=f"there are: {there}")
    return [
        _Server(one, partial(source.session, one), f"{one}_" if source.tool_name_prefix else "")
        for one in ([name] if name is not None else source.connections)
    ]


@asynccontextmanager
async def _lent(
    session: ClientSession, loop: asyncio.AbstractEventLoop
) -> AsyncIterator[ClientSession]:
    """Lend a session that somebody else opens and closes.

    Raises:
        ConfigurationError: it belongs to another event loop.
    """
    if asyncio.get_running_loop() is not loop:
        raise ConfigurationError(
            "the MCP session belongs to another event loop",
            hint="call the graph with `ainvoke` in that loop, or give `mcp_tools` the client",
        )
    yield session


async def _listed(session: ClientSession) -> list[types.Tool]:
    """Return all that a server lists.

    Raises:
        ConfigurationError: the list is too long, or has no end.
    """
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        found += page.tools
        cursor = page.nextCursor
        if len(found) > MAX_TOOLS:
            break
        if not cursor:
            return found
    raise ConfigurationError(f"an MCP server lists more than {MAX_TOOLS:,} tools, or without end")


def _described(tool: types.Tool) -> Any:
    """Return all that a server says of a tool that a model or a person could go by."""
    said = {"name", "title", "description", "inputSchema", "annotations"}
    return clean_json(tool.model_dump(mode="python", include=said, exclude_none=True))


def _tool(server: _Server, listed: types.Tool) -> BaseTool:
    """Return a tool for the gate.

    Raises:
        ConfigurationError: it cannot be used.
    """
    name = server.prefix + listed.name
    if not _NAME.fullmatch(name):
        raise _unusable(server, name, f"a name has 1 to {MAX_NAME} letters, digits and `_./-`")
    described = _described(listed)
    if (size := len(canonical(described))) > MAX_BYTES:
        raise _unusable(server, name, f"its description has {size:,} bytes, of {MAX_BYTES:,}")
    try:
        schema = Schema(listed.inputSchema)
        _measure(listed.inputSchema, schema, (), [0])
        schema.problem({})
    except Exception as error:
        raise _unusable(server, name, f"its schema cannot be used: {_why(error)}") from error
    annotations = listed.annotations.model_dump() if listed.annotations else {}
    tool = McpTool(
        name=name,
        description=listed.description or "",
        args_schema=listed.inputSchema,
        metadata={hint: annotations.get(hint) for hint in HINTS},
    )
    tool._server, tool._listed = server, listed  # noqa: SLF001  given where it is made
    return contract(version=digest({"server": server.name, "tool": described}))(tool)


def _measure(node: Any, schema: Schema, inside: tuple[str, ...], parts: list[int]) -> None:
    """Refuse a schema that leads nowhere, or grows without bounds when references are filled in.

    Raises:
        ValueError: it does.
    """
    parts[0] += 1
    if parts[0] > _MAX_PARTS:
        raise ValueError("it is too large")
    if isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in inside:
            _measure(schema.resolved(reference), schema, (*inside, reference), parts)
        # definitions are measured where they are referred to
        node = [value for key, value in node.items() if key not in ("$defs", "definitions")]
    if isinstance(node, list):
        for each in node:
            _measure(each, schema, inside, parts)


def _unusable(server: _Server, name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"tool {show(name)} of MCP server {show(server.name)} cannot be used: {why}",
        hint="leave the server out, or ask for a newer one",
    )


class McpTool(BaseTool):
    """A tool of an MCP server; `mcp_tools` makes them. It runs for the executor alone."""

    response_format: Literal["content_and_artifact"] = "content_and_artifact"
    _server: _Server = PrivateAttr()
    _listed: types.Tool = PrivateAttr()

    # no parameter has a name: a server may call its own arguments `config` or `run_manager`
    def _run(self, /, **arguments: Any) -> tuple[Any, Any]:
        return asyncio.run(self._arun(**arguments))

    async def _arun(self, /, **arguments: Any) -> tuple[Any, Any]:
        return await _Sending(self._server, self._listed, arguments).answer()


class _Sending:
    """One call on its way.

    Args:
        server: where to.
        listed: the tool as it was listed when the app started.
        arguments: what was approved.
    """

    def __init__(self, server: _Server, listed: types.Tool, arguments: Mapping[str, Any]) -> None:
        self._server = server
        self._listed = listed
        self._arguments = dict(arguments)
        self._sent = False

    async def answer(self) -> tuple[Any, Any]:
        """Make the call and return content and artifact.

        Raises:
            ToolException: the server refused it or answered with an error.
            OutcomeUnknown: it was sent, and no answer came that can be read.
            HitlError: nothing was sent.
        """
        answer: tuple[Any, Any] | None = None
        problem: Exception | None = None
        left = time_left(ensure_config())
        try:
            async with AsyncExitStack() as stack:
                # half of the time for the way there: who hangs before has not got the call
                async with asyncio.timeout(left / 2):
                    session = await stack.enter_async_context(self._server.session())
                    await self._unchanged(session)
                try:
                    answer = await self._answered(session)
                except Exception as error:  # noqa: BLE001  told apart below, out of all groups
                    problem = error
        except Exception as error:  # noqa: BLE001  of opening, or of closing, which changes nothing
            problem = problem or _first(error)
        if answer is not None:
            return answer
        if isinstance(problem, HitlError | ToolException):
            raise problem
        raise self._told(problem) from problem

    async def _unchanged(self, session: ClientSession) -> None:
        """Raise `ConfigurationError` if the server describes the tool otherwise than it did."""
        now = {one.name: one for one in await _listed(session)}.get(self._listed.name)
        if now is None or _described(now) != _described(self._listed):
            raise ConfigurationError(
                f"MCP server {show(self._server.name)} describes {show(self._listed.name)} "
                "otherwise than when it was loaded; nothing was sent",
                hint="load its tools again: its calls are then judged by what it says now",
            )

    async def _answered(self, session: ClientSession) -> tuple[Any, Any]:
        async def send(
            request: MCPToolCallRequest,  # noqa: ARG001  what was approved is sent, and once
            handler: Callable[..., Any],  # noqa: ARG001
        ) -> types.CallToolResult:
            call = types.CallToolRequest(
                params=types.CallToolRequestParams(
                    name=self._listed.name, arguments=self._arguments
                )
            )
            left = time_left(ensure_config())
            self._sent = True
            # not `call_tool`: it runs the patterns of the server's output schema, in this loop
            async with asyncio.timeout(left):
                return await session.send_request(types.ClientRequest(call), types.CallToolResult)

        converted = convert_mcp_tool_to_langchain_tool(
            session, self._listed, tool_interceptors=[send], server_name=self._server.name
        )
        assert converted.coroutine is not None  # type: ignore[attr-defined]  # noqa: S101
        answer: tuple[Any, Any] = await converted.coroutine()  # type: ignore[attr-defined]
        return answer

    def _told(self, problem: Exception | None) -> Exception:
        """Return what the executor is told of a call without an answer."""
        why = _why(problem) if problem else "the connection closed"
        if not self._sent:
            return ToolException(f"the MCP server cannot be reached, nothing was sent: {why}")
        if isinstance(problem, McpError) and problem.error.code not in _LOST:
            return ToolException(f"the MCP server refused the call: {why}")
        return OutcomeUnknown(f"the call was sent to the MCP server, and no answer is known: {why}")


def _first(error: Exception) -> Exception:
    """Return an error itself, or of a group the first."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _why(error: Exception) -> str:
    """Return what went wrong in a line."""
    text = " ".join(clean_text(str(_first(error))).split())[:_TOLD]
    return text or type(error).__name__
