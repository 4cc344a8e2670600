"""While a graph runs: what it prints by itself is shown, escaped, and never mixed with our data."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from hitl_agent.cli import output

_MARK = "  | "
"""Begins each line, so that none passes for one of ours."""


class _Escaped(io.TextIOBase):
    """Writes to another stream with everything unprintable made visible."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = False

    def write(self, text: str) -> int:
        """Write text."""
        for index, part in enumerate(text.split("\n")):
            if index:
                self._stream.write("\n")
                self._begun = False
            if part:
                self._stream.write(output.safe(part) if self._begun else _MARK + output.safe(part))
                self._begun = True
        return len(text)

    def end(self) -> None:
        """End a line that was begun."""
        if self._begun:
            self.write("\n")

    def flush(self) -> None:
        """Flush the stream behind."""
        self._stream.flush()

    def writable(self) -> bool:
        """Say that text can be written."""
        return True


@contextmanager
def captured() -> Iterator[None]:
    """Send what tools, models and graph modules print to stderr, escaped.

    Our own lines go where they always go: stdout holds our data and nothing else.
    """
    stdout, stderr = sys.stdout, sys.stderr
    if stderr is None:
        yield
        return
    output.out.file, output.err.file = stdout or io.StringIO(), stderr
    sys.stdout = sys.stderr = escaped = _Escaped(stderr)
    try:
        yield
    finally:
        escaped.end()
        sys.stdout, sys.stderr = stdout, stderr
        output.out._file = output.err._file = None  # noqa: SLF001  back to whatever sys has
