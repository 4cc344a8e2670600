"""Facts of e-mail addresses: who receives.

    addresses  as plain `name@domain` in the order given, the domain in lower case and ASCII
    domains    those of the addresses, sorted, each once
    count      how many addresses there are, the same one twice counts twice

A value is one address, several with commas between, or a list with one address in each item; an
empty list names nobody and has a count of 0. An address is `name@domain` or `Some Name
<name@domain>`, where the shown name is letters, digits, spaces and `.'-_` alone.

Mail programs disagree about nearly everything else that RFC 5322 allows (groups, comments, quoted
names, routes, folded lines), and what one takes for a name another sends to. All that is refused.
"""

from __future__ import annotations

import re
from typing import Any

from hitl_agent.documents import show
from hitl_agent.policy.facts.url import ascii_name

MAX_ADDRESSES = 1000
"""Most addresses in a value."""

_MAX_TEXT = 100_000  # characters, of all of them
_MAX_ONE = 320  # characters of one with its shown name
_MAX_ADDRESS, _MAX_LOCAL = 254, 64  # RFC 5321, 4.5.3.1

# RFC 5322, 3.2.3: dot-atom, in ASCII, without what old mail servers take for a route, a program
# or a file (`%`, `!`, `|`, `/`, a backquote), and with no hyphen in front, where it is an option
_ATOM = r"[A-Za-z0-9_+=&#$*?^{}~'-]+"
_ADDRESS = re.compile(rf"(?P<local>(?!-){_ATOM}(?:\.{_ATOM})*)@(?P<domain>[^@<>\s,;:()\[\]\"\\]+)")
_SHOWN = re.compile(r"(?:\"(?P<quoted>[^\"<>]*)\"|(?P<bare>[^\"<>]*?)) ?<(?P<address>[^<>]*)>")
_SHOWN_NAME = re.compile(r"[\w .'-]*")


def facts(value: object) -> dict[str, Any]:
    """Work out the facts of addresses.

    Raises:
        ValueError: one of them is not plainly an address.
    """
    if type(value) is list:
        if len(value) > MAX_ADDRESSES:
            raise ValueError(f"there are more than {MAX_ADDRESSES:,} addresses")
        written = value
    elif type(value) is str:
        if len(value) > _MAX_TEXT or value.count(",") >= MAX_ADDRESSES:
            raise ValueError(f"there are more than {MAX_ADDRESSES:,} addresses")
        written = value.split(",")  # an address with a comma in it is refused for the rest of it
    else:
        raise ValueError(f"it is {show(value)}, neither text nor a list")
    addresses = [_address(one) for one in written]
    return {
        "domains": sorted({one.rpartition("@")[2] for one in addresses}),
        "count": len(addresses),
        "addresses": addresses,
    }


def _address(written: object) -> str:
    if type(written) is not str:
        raise ValueError(f"an address is {show(written)}, not text")
    if len(written) > _MAX_ONE:
        raise ValueError(f"{show(written)} is longer than an address can be")
    if not written.isprintable():
        raise ValueError(f"{show(written)} holds a line break or something that is not seen")
    text = written.strip(" ")
    if not text:
        raise ValueError("an address is empty")
    shown = _SHOWN.fullmatch(text)
    if shown:
        name = shown["quoted"] if shown["quoted"] is not None else shown["bare"]
        if not _SHOWN_NAME.fullmatch(name):
            raise ValueError(f"{show(text)} has a name that can be read as something else")
        text = shown["address"]
    found = _ADDRESS.fullmatch(text)
    if found is None or len(found["local"]) > _MAX_LOCAL:
        raise ValueError(f"{show(text)} is no plain address")
    domain = ascii_name(found["domain"])
    if domain.rpartition(".")[2].isdigit():
        raise ValueError(f"{show(text)} leads to an IP address, not to a domain")
    address = f"{found['local']}@{domain}"
    if len(address) > _MAX_ADDRESS:
        raise ValueError(f"{show(text)} is longer than an address can be")
    return address
