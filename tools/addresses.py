"""Which URL and which network address an HTTP tool may speak to.

The danger is a request from inside of a network to something that trusts that network: a cloud's
metadata service, a database, a router. So a URL is taken apart here, its name resolved once, and
every address it has must be a public one. The caller connects to what was returned here and never
resolves the name again; otherwise a name server that changes its answer would walk around this.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import quote, urlsplit

from langchain_core.tools import ToolException

from tools.arguments import refuse_control_characters

Resolver = Callable[[str, int], list[str]]
"""Name and port to the IP addresses of that name; raises OSError if there are none."""

PORTS = {"http": 80, "https": 443}

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
# what inet_aton takes for an address: 2130706433, 0x7f.1, 0177.0.0.1, 127.1
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Not marked in Python's tables, or only in those of some releases.
_INSIDE = tuple(
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba Cloud's metadata service in it
        "168.63.129.16/32",  # Azure's platform service, on every virtual machine there
        "192.0.0.0/24",  # protocol assignments, and Oracle Cloud's metadata service in it
        "192.88.99.0/24",  # relays from IPv6 to IPv4
        "::/96",  # IPv4 in its oldest disguise
        "64:ff9b::/96",  # NAT64: an IPv4 address follows, public or not
        "64:ff9b:1::/48",
        "2001::/23",  # Teredo and other protocol assignments
        "2002::/16",  # 6to4: an IPv4 address follows
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, still routed here and there
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart.

    Args:
        scheme: `http` or `https`.
        host: lower case, without a final dot and without the brackets of an IPv6 address.
        port: 1 to 65535.
        path: what the request line asks for: path and query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and, unless it is the usual one, port: the value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL that is asked for in fact."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What has to stay the same for headers to be sent again after a redirect."""
        return self.scheme, self.host, self.port


def parse(url: str) -> Target:
    """Take a URL apart.

    Raises:
        ToolException: it is not an http or https URL in its plain form.
    """
    # `urlsplit` drops tabs and line ends without a word, so look before it does
    refuse_control_characters("URL", url)
    if "\\" in url or " " in url:
        raise ToolException(f"`{url}` has a space or a backslash; percent-encode it")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").removesuffix(".")
    except ValueError as error:
        raise ToolException(f"`{url}` is no URL; write `https://host/path`") from error
    if parts.scheme not in PORTS:
        raise ToolException(f"`{url}` is neither http nor https; write `https://host/path`")
    if "@" in parts.netloc:
        raise ToolException("the URL holds a user or password; leave them out")
    if port == 0:
        raise ToolException(f"`{url}` has the port 0; leave it out or write 1 to 65535")
    _check_spelling(host)
    # `urlsplit` overlooks what it cannot place, such as `[::1]example.com`
    plain = f"[{host}]" if ":" in host else host
    suffix = "" if port is None else f":{port}"
    if parts.netloc.lower() not in {plain + suffix, f"{plain}.{suffix}"}:
        raise ToolException(f"`{url}` has an unusual host or port; write `https://host:port/path`")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
    return Target(parts.scheme, host, port or PORTS[parts.scheme], path)


def _check_spelling(host: str) -> None:
    """Refuse every host that is neither a name nor an address in its one normal form."""
    if ":" in host:
        try:
            address: IPv4Address | IPv6Address = IPv6Address(host)
        except ValueError as error:
            raise ToolException(f"`{host}` is no IPv6 address") from error
        if getattr(address, "scope_id", None):
            raise ToolException(f"`{host}` names a network interface; leave that out")
        return
    if not host.isascii():
        raise ToolException(f"`{host}` is not ASCII; write the name in its `xn--…` form")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            IPv4Address(host)
        except ValueError as error:
            raise ToolException(
                f"`{host}` is an unusual spelling of an address; write four decimal numbers"
            ) from error
    elif not _NAME.fullmatch(host):
        raise ToolException(f"`{host}` is no host name; write `https://host/path`")


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the open internet, reachable and not anybody's inside.

    An IPv4 address within an IPv6 one counts as what it is; where a translator would have to
    unpack it (NAT64, 6to4, Teredo) it never counts as public.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.scope_id or ip.is_site_local:
            return False
    return (
        ip.is_global
        and not ip.is_multicast
        and not ip.is_reserved
        and not ip.is_unspecified
        and not any(ip in network for network in _INSIDE)
    )


def resolve(
    target: Target, resolver: Resolver, *, allow_private: bool, timeout: float
) -> list[str]:
    """Return the addresses of the target's host, each of which may be connected to.

    Args:
        target: where to.
        resolver: asked once.
        allow_private: skip the check.
        timeout: seconds to wait for the resolver.

    Raises:
        ToolException: there is none, the answer takes too long, or one is not public. A single
            private address among public ones is enough: such a name is an attempt, or a mistake.
    """
    addresses = _in_time(resolver, target, timeout)
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise ToolException(
                    f"`{target.host}` has the address `{address}`, which is not public; "
                    "name a public host"
                )
    return addresses


def _in_time(resolver: Resolver, target: Target, timeout: float) -> list[str]:
    """Ask in a thread: the system's resolver knows no timeout and may take minutes."""
    answer: list[str] = []
    problem: list[Exception] = []

    def ask() -> None:
        try:
            answer.extend(resolver(target.host, target.port))
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to the caller's thread
            problem.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise ToolException(f"the name `{target.host}` is not resolved in time")
    if problem or not answer:
        cause = problem[0] if problem else None
        raise ToolException(f"the name `{target.host}` has no address; check it") from cause
    return list(dict.fromkeys(answer))


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the operating system."""
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]
