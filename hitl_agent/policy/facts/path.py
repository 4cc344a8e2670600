r"""Facts of a file path: where it leads, by its spelling alone.

    inside     whether it leads into the workspace, or to the workspace itself
    absolute   whether it begins at the root, or with `~` at somebody's home
    name       its last part, '' where that is the root, the workspace or above it
    extension  of the name, in lower case and without the dot; '' if there is none
    hidden     whether some part, as written, begins with a dot

A relative path is taken to begin in the workspace; an absolute one is compared with it, which
needs an absolute workspace: of a relative one no absolute path is known to be inside. No file is
looked at: a link in the workspace may lead out of it, and only the tool that opens the file can
see that. Case counts.

What some systems, shells and libraries take for something else than a path is refused: `\`, `:`
(drives, streams, hosts, schemes), `$` and `%NAME%` (variables), encoded characters, parts
with a space at either end or a dot at the last, and characters that are not seen.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from hitl_agent.documents import show

MAX_PATH = 4096
"""Longest path, in characters."""

_EXPANDED = re.compile(r"%[0-9A-Fa-f]{2}|%[^%/]+%")
_SIGNS = "/\\:~$%."


def facts(value: object, workspace: str = ".") -> dict[str, Any]:
    """Work out the facts of a path.

    Args:
        value: the path.
        workspace: the directory that tools may work in.

    Raises:
        ValueError: it is no path, or different programs read it differently.
    """
    if type(value) is not str:
        raise ValueError(f"it is {show(value)}, not text")
    _check(value)
    parts = [part for part in value.split("/") if part not in {"", "."}]
    absolute = value.startswith(("/", "~"))
    base = [part for part in workspace.replace("\\", "/").split("/") if part not in {"", "."}]
    rooted = workspace.startswith("/")
    if not absolute:
        parts_from_base = [*base, *parts]
        inside = _within(_walked(parts_from_base, rooted=rooted), _walked(base, rooted=rooted))
    else:
        # POSIX leaves open what two slashes in front mean, and `~` is a home where it is expanded
        plain = value.startswith("/") and not value.startswith("//")
        walked = _walked(parts, rooted=True)
        inside = plain and rooted and _within(walked, _walked(base, rooted=True))
    name = next(iter(_walked(parts, rooted=absolute)[-1:]), "")
    name = "" if name == ".." else name
    return {
        "inside": inside,
        "extension": name.rpartition(".")[2].lower() if "." in name.lstrip(".") else "",
        "name": name,
        "hidden": any(part.startswith(".") and part != ".." for part in parts),
        "absolute": absolute,
    }


def _check(value: str) -> None:
    if not value:
        raise ValueError("it is empty")
    if len(value) > MAX_PATH:
        raise ValueError(f"it is longer than {MAX_PATH:,} characters")
    for sign in value:
        if not (sign.isprintable() or sign == " ") or sign in "\\:$":
            raise ValueError(f"it holds {show(sign)}, which programs read differently")
        if not sign.isascii():
            plain = unicodedata.normalize("NFKC", sign)
            if any(one in _SIGNS for one in plain):
                raise ValueError(f"it holds {show(sign)}, which can be read as {show(plain)}")
    if _EXPANDED.search(value):
        raise ValueError("it holds a `%` that can stand for something else")
    for part in value.split("/"):
        if part != part.strip() or (part.endswith(".") and part not in {".", ".."}):
            raise ValueError(f"some systems drop the dot or space at an end of {show(part)}")


def _walked(parts: list[str], *, rooted: bool) -> list[str]:
    """Follow `..`; what is left of them stands in front, and above the root is the root."""
    way: list[str] = []
    for part in parts:
        if part != "..":
            way.append(part)
        elif way and way[-1] != "..":
            way.pop()
        elif not rooted:
            way.append(part)
    return way


def _within(way: list[str], base: list[str]) -> bool:
    return way[: len(base)] == base and ".." not in way[len(base) :]
