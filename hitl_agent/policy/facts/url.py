"""Facts of a web address: where a request goes.

    scheme           in lower case
    host             in lower case; a name in ASCII (`xn--…`), an IP address in its usual form
    port             the one given, or the scheme's own; 0 where neither is known
    private          whether the host is inside by its spelling: see below
    path             as it is sent, `/` if empty; letters are never percent-encoded, the rest is
    has_credentials  whether there is a user name or a password
    has_query        whether there is a `?`

`private` holds for an IP address that is not one of the public internet (loopback, private,
link-local, shared, reserved, multicast, unspecified, and IPv6 that leads to such an IPv4 address),
however it is spelled, for `localhost`, for a name without a dot and for names under domains that
are never public. No name is looked up: a public name may well lead to a private address, and only
what makes the connection can see that.

What WHATWG, RFC 3986 and old clients read differently is refused.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from hitl_agent.documents import show

MAX_URL = 8000
"""Longest address, in characters."""

_MAX_NAME, _MAX_LABEL, _MAX_PORT, _MAX_BYTE = 253, 63, 65_535, 255
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "ftp": 21, "ftps": 990}
_PORTS |= {"ssh": 22, "sftp": 22, "git": 9418, "ldap": 389, "ldaps": 636, "gopher": 70}
# what leads to no host, or to one that is not where the request goes
_NO_HOST = frozenset(
    {"about", "blob", "data", "file", "filesystem", "jar", "javascript", "mailto", "vbscript"}
    | {"view-source"}
)

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30})://"
    r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.DOTALL,
)
# RFC 3986, appendix A: userinfo, with at most one colon and something in it
_USER = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})"
_AUTHORITY = re.compile(
    rf"(?P<user>(?:{_USER}+(?::{_USER}*)?|:{_USER}+)@)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]@:%]+))(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_LABEL = re.compile(r"[a-z0-9_-]+")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LETTERS = frozenset(("Ll", "Lo", "Lm", "Mn", "Mc", "Nd"))  # IDNA 2008: what a label is made of
_DECODINGS = 4

# RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`, and what networks use of their own accord
_INSIDE = frozenset(
    {"corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost"}
    | {"private", "test"}
)
# our own list, because Python's `is_global` says different things in different releases:
# the special-purpose registries of IANA, without the few addresses in them that are public
_SPECIAL_4 = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
224.0.0.0/4 240.0.0.0/4
"""
_PRIVATE_4 = tuple(IPv4Network(one) for one in _SPECIAL_4.split())
_PUBLIC_6 = IPv6Network("2000::/3")  # all that is given out so far
_PRIVATE_6 = tuple(IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64, _SIX_TO_FOUR = IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16")


def facts(value: object) -> dict[str, Any]:
    """Work out the facts of an address.

    Raises:
        ValueError: it is none, or different programs read it differently.
    """
    if type(value) is not str:
        raise ValueError(f"it is {show(value)}, not text")
    if len(value) > MAX_URL:
        raise ValueError(f"it is longer than {MAX_URL:,} characters")
    for sign in value:
        if sign.isspace() or sign == "\\" or unicodedata.category(sign)[0] in "CZ":
            raise ValueError(f"it holds {show(sign)}, which programs read differently")
    found = _URL.fullmatch(value)
    if found is None:
        raise ValueError("it does not begin with a scheme and `://`")
    scheme, path, query = found["scheme"].lower(), found["path"], found["query"]
    if scheme in _NO_HOST:
        raise ValueError(f"an address with the scheme {show(scheme)} names no host")
    parts = _AUTHORITY.fullmatch(found["authority"])
    if parts is None:
        raise ValueError(f"{show(found['authority'])} is no plain host")
    # `http://a#@b`: where the path is left out, old clients look for the `@` in what follows
    if not path and "@" in value[found.end("authority") :]:
        raise ValueError("there is an `@` after a host without a path")
    port = int(parts["port"] or _PORTS.get(scheme, 0))
    if port > _MAX_PORT:
        raise ValueError(f"there is no port {port}")
    host, private = _version_6(parts["six"]) if parts["six"] else _host(parts["name"])
    return {
        "scheme": scheme,
        "host": host,
        "port": port,
        "private": private,
        "path": _path(path),
        "has_credentials": parts["user"] is not None,
        "has_query": query is not None,
    }


def ascii_name(name: str) -> str:
    """Return a host name as it is looked up: lower case, each label in ASCII.

    A letter that IDNA 2003 and IDNA 2008 take for different ones is refused, and so is one that
    stands for another, such as a full-width `a`.

    Raises:
        ValueError: it is no name, or can be read as several.
    """
    labels = [_label(label) for label in name.split(".")]
    joined = ".".join(labels)
    if len(joined) > _MAX_NAME:
        raise ValueError(f"the host is longer than {_MAX_NAME} characters")
    return joined


def _label(written: str) -> str:
    if not 0 < len(written) <= _MAX_LABEL:  # before what takes more than linear time
        raise ValueError(f"{show(written)} is no part of a host name")
    label = written.lower()
    if not label.isascii():
        # sharp s and final sigma: one standard replaces them, the other keeps them
        plain = unicodedata.normalize("NFKC", written) == written
        if not plain or unicodedata.normalize("NFKC", label) != label.casefold():
            raise ValueError(f"{show(written)} in the host can be read as another name")
        if not all(one == "-" or _is_letter(one) for one in label) or _begins_badly(label):
            raise ValueError(f"{show(written)} is no part of a host name")
        label = "xn--" + label.encode("punycode").decode("ascii")
    elif label.startswith("xn--"):
        try:
            back = label[4:].encode("ascii").decode("punycode")
        except (UnicodeError, ValueError, OverflowError):
            back = ""
        if back.isascii() or _label(back) != label:
            raise ValueError(f"{show(written)} in the host stands for no name")
    if len(label) > _MAX_LABEL or not _LABEL.fullmatch(label):
        raise ValueError(f"{show(written)} is no part of a host name")
    return label


def _is_letter(sign: str) -> bool:
    return unicodedata.category(sign) in _LETTERS if not sign.isascii() else sign.isalnum()


def _begins_badly(label: str) -> bool:
    # RFC 5891, 4.2.3: no hyphens at the ends or like a prefix, no mark without a letter
    hyphens = label.startswith("-") or label.endswith("-") or label[2:4] == "--"
    return hyphens or unicodedata.category(label[0])[0] == "M"


def _host(name: str) -> tuple[str, bool]:
    """Return a name or an IPv4 address in any spelling, and whether it is private."""
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _version_4(name)
    host = ascii_name(name)
    labels = host.split(".")
    return host, len(labels) == 1 or labels[-1] in _INSIDE or labels[-2:] == ["home", "arpa"]


def _version_4(name: str) -> tuple[str, bool]:
    """Return an IPv4 address as `inet_aton` reads it: up to four numbers, the last fills up."""
    octal, decimal = _address(name, 8), _address(name, 10)
    address = octal or decimal
    if address is None:
        raise ValueError(f"{show(name)} is no IP address")
    if octal and decimal and octal != decimal:
        # `010.0.0.1`: a leading zero means base 8 to some and nothing to others
        if not _is_private_4(octal) and not _is_private_4(decimal):
            raise ValueError(f"{show(name)} can be read as {octal} and as {decimal}")
        return name.lower(), True  # as written, so that it equals no address that a rule names
    return str(address), _is_private_4(address)


def _address(name: str, base: int) -> IPv4Address | None:
    parts = name.split(".")
    if len(parts) > 4:  # noqa: PLR2004  the bytes of an address
        return None
    numbers = []
    for part in parts:
        if not _NUMBER.fullmatch(part) or len(part) > 40:  # noqa: PLR2004  more than any address
            return None
        if part[:2] in {"0x", "0X"}:
            numbers.append(int(part[2:] or "0", 16))
        elif part[0] == "0" and base == 8:  # noqa: PLR2004  octal
            if "8" in part or "9" in part:
                return None
            numbers.append(int(part, 8))
        else:
            numbers.append(int(part))
    *first, last = numbers
    room = 256 ** (4 - len(first))
    if any(number > _MAX_BYTE for number in first) or last >= room:
        return None
    return IPv4Address(sum(n * 256 ** (3 - i) for i, n in enumerate(first)) + last)


def _version_6(text: str) -> tuple[str, bool]:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError(f"{show(text)} is no IP address") from None
    if address.ipv4_mapped:  # the connection is one to the IPv4 address
        return str(address.ipv4_mapped), _is_private_4(address.ipv4_mapped)
    if address in _NAT64:
        return str(address), _is_private_4(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address in _SIX_TO_FOUR:
        return str(address), _is_private_4(IPv4Address(int(address) >> 80 & 0xFFFF_FFFF))
    private = address not in _PUBLIC_6 or any(address in one for one in _PRIVATE_6)
    return str(address), private


def _is_private_4(address: IPv4Address) -> bool:
    return any(address in network for network in _PRIVATE_4)


def _path(written: str) -> str:
    """Return the path in the one spelling that RFC 3986, 6.2.2, takes for normal.

    Servers decode before they look, some twice, so a path that leads elsewhere after decoding is
    refused, and so are those that some servers put together from less.
    """
    if len(_ENCODED.findall(written)) != written.count("%"):
        raise ValueError("a `%` in the path is not followed by two hexadecimal digits")
    decoded = written
    for _ in range(_DECODINGS):
        _check_path(decoded)
        before, decoded = decoded, _ENCODED.sub(lambda one: chr(int(one[1], 16)), decoded)
        if decoded == before:
            break
    else:
        raise ValueError("the path is percent-encoded over and over")
    plain = "".join(
        one if one.isascii() else "".join(f"%{byte:02X}" for byte in one.encode())
        for one in written
    )
    return _ENCODED.sub(_plain_letter, plain) or "/"


def _check_path(path: str) -> None:
    if "//" in path:
        raise ValueError("the path holds `//`, which servers read differently")
    for part in re.split(r"[/\\]", path):
        if part.split(";")[0].strip() in {".", ".."}:
            raise ValueError("the path holds `.` or `..`, which lead elsewhere")
    if "\\" in path or any(ord(one) < 32 or ord(one) == 127 for one in path):  # noqa: PLR2004
        raise ValueError("the path holds an encoded backslash or control character")


def _plain_letter(encoded: re.Match[str]) -> str:
    letter = chr(int(encoded[1], 16))
    return letter if letter in _UNRESERVED else encoded[0].upper()
