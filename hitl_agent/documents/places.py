"""Where everything in a document stands."""

from __future__ import annotations

from typing import TypeAlias

from hitl_agent.errors import DocumentError

KeyPath: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[int, int]


class Places:
    """Where the values and keys of a file stand, by path: 1-based lines and columns."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[KeyPath, Place] = {}
        self.keys: dict[KeyPath, Place] = {}

    def of_value(self, path: KeyPath) -> Place:
        """Return where the value at `path` stands, or what should hold it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def of_key(self, path: KeyPath) -> Place:
        """Return where the key stands that leads to `path`; a list item has none."""
        return self.keys.get(path) or self.of_value(path)

    def error(self, message: str, place: Place) -> DocumentError:
        """Return the error that says `message` about `place`."""
        return DocumentError(message, file=self.file, line=place[0], column=place[1])


def place_after(text: str) -> Place:
    """Return the place of what follows `text`."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")
