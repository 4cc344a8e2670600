"""HTTP tools: GET and POST to public addresses.

The standard library does all of it: `http.client` takes a connection that is already open, which
is the whole trick behind "the address that was checked is the address that is connected to". A
client with a pool and a resolver of its own would have to be kept from using them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from tools.addresses import Resolver, Target, parse, resolve, system_resolver
from tools.arguments import Arguments, as_tool, readable
from tools.exchange import Answer, Deadline, Request, send

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_REDIRECTS = 5
MAX_BODY = 1_000_000  # bytes sent

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")

# These decide where a request goes, where it ends, or how its answer is packed: ours alone.
_OURS = frozenset(
    {
        *("connection", "content-length", "expect", "host", "http2-settings", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
        *("accept-encoding", "content-encoding"),
        *("forwarded", "max-forwards", "via"),
        *("x-http-method", "x-http-method-override", "x-method-override"),
    }
)

# others are either the same under another name, or a way to keep a decoder busy
_CHARSETS = frozenset({"utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16"})

_HEADERS = "extra request headers by name; not those that belong to the connection"


class HttpGet(Arguments):
    """Arguments of `http_get`."""

    url: str = Field(max_length=8000, description="http or https URL of a public host")
    headers: dict[str, str] = Field(default={}, max_length=50, description=_HEADERS)


class HttpPost(Arguments):
    """Arguments of `http_post`."""

    url: str = Field(max_length=8000, description="http or https URL of a public host")
    body: dict[str, Any] | str = Field(description="an object, which is sent as JSON, or text")
    headers: dict[str, str] = Field(default={}, max_length=50, description=_HEADERS)


def http_tools(
    *,
    allow_private: bool = False,
    allowed_hosts: Collection[str] | None = None,
    timeout: float = 10,
    max_bytes: int = 1_000_000,
    resolver: Resolver = system_resolver,
) -> list[BaseTool]:
    """Return `http_get` and `http_post`.

    Args:
        allow_private: also speak to addresses that are not public: this machine, this network.
        allowed_hosts: the hosts that may be spoken to, each by its full name; None is any.
        timeout: seconds for a call with all its redirects, above 0.
        max_bytes: of an answer's body, above 0; what is beyond is not read.
        resolver: how a name becomes addresses.
    """
    names = None if allowed_hosts is None else frozenset(name.lower() for name in allowed_hosts)
    client = Client(allow_private, names, timeout, max_bytes, resolver)

    def http_get(url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Fetch a URL with GET and return status, final URL, content type and text.

        Up to 5 redirects are followed. `truncated` says that the body was longer than is returned.
        """
        request = Request("GET", parse(url), _checked(headers or {}))
        target, answer = client.follow(request)
        return _result(target, answer)

    def http_post(
        url: str, body: dict[str, Any] | str, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a body to a URL with POST and return status, URL, content type and text.

        A redirect is not followed but reported, with its `location`.
        """
        data, content_type = _encoded(body)
        checked = {"content-type": content_type, **_checked(headers or {})}
        request = Request("POST", parse(url), checked, data)
        answer = client.exchange(request, Deadline(timeout))
        result = _result(request.target, answer)
        if answer.status in _REDIRECTS:
            result["location"] = answer.headers.get("location", "")
        return result

    return [as_tool(http_get, HttpGet), as_tool(http_post, HttpPost)]


@dataclass(frozen=True, slots=True)
class Client:
    """What a request has to go through; the arguments are those of `http_tools`."""

    allow_private: bool
    allowed_hosts: frozenset[str] | None
    timeout: float
    max_bytes: int
    resolver: Resolver

    def exchange(self, request: Request, deadline: Deadline) -> Answer:
        """Check where the request goes, then send it there."""
        target = request.target
        if self.allowed_hosts is not None and target.host not in self.allowed_hosts:
            raise ToolException(
                f"`{target.host}` is not allowed; ask one of "
                + ", ".join(f"`{name}`" for name in sorted(self.allowed_hosts))
            )
        addresses = resolve(
            target,
            self.resolver,
            allow_private=self.allow_private,
            timeout=deadline.remaining(),
        )
        return send(request, addresses, deadline, self.max_bytes)

    def follow(self, request: Request) -> tuple[Target, Answer]:
        """Send the request, go where it is redirected, and return the last target and answer."""
        deadline = Deadline(self.timeout)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self.exchange(request, deadline)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return request.target, answer
            target = _redirected(request.target, location)
            # a header meant for one server, such as a password, is none of another's business
            kept = request.headers if target.origin == request.target.origin else {}
            request = replace(request, target=target, headers=kept)
        raise ToolException(f"more than {MAX_REDIRECTS} redirects; name the final URL")


def _redirected(target: Target, location: str) -> Target:
    try:
        # header bytes arrive as Latin-1, while the few that are not ASCII mean UTF-8
        meant = location.encode("latin-1").decode("utf-8", errors="replace")
        following = parse(urljoin(target.url, meant))
    except (ToolException, ValueError) as error:
        raise ToolException(f"`{target.url}` redirects to where I do not go: {error}") from error
    if target.scheme == "https" and following.scheme == "http":
        raise ToolException(
            f"`{target.url}` redirects from https to `{following.url}`; that is not followed"
        )
    return following


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    checked = {"accept-encoding": "identity", "user-agent": "hitl-agent-tools"}
    given: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(lower):
            raise ToolException(f"`{name}` is no header name; use letters, digits and `-`")
        if lower in _OURS or lower.startswith(("proxy-", "x-forwarded-")):
            raise ToolException(f"the header `{name}` cannot be chosen; leave it out")
        if lower in given:
            raise ToolException(f"the header `{name}` is given twice; give it once")
        if not _VALUE.fullmatch(value):
            raise ToolException(f"the value of the header `{name}` is not plain ASCII on one line")
        given.add(lower)
        checked[lower] = value
    return checked


def _encoded(body: dict[str, Any] | str) -> tuple[bytes, str]:
    if isinstance(body, str):
        data, content_type = body.encode(), "text/plain; charset=utf-8"
    else:
        try:
            data = json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise ToolException(f"the body cannot be written as JSON: {error}") from error
        content_type = "application/json"
    if len(data) > MAX_BODY:
        raise ToolException(f"the body has {len(data)} bytes; send at most {MAX_BODY}")
    return data, content_type


def _result(target: Target, answer: Answer) -> dict[str, Any]:
    content_type = answer.headers.get("content-type", "")
    found = re.search(r"charset=\"?([\w-]+)", content_type, re.IGNORECASE)
    charset = found[1].lower() if found else "utf-8"
    return {
        "status": answer.status,
        "url": target.url,
        "content_type": content_type,
        "body": readable(answer.body, charset if charset in _CHARSETS else "utf-8"),
        "truncated": answer.truncated,
    }
