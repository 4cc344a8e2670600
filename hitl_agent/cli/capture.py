"""While a graph runs: what it prints by itself is shown, escaped, and never mixed with our data."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from hitl_agent.cli import output


class _Escaped(io.TextIOBase):
    """Writes to another stream with everything unprintable made visible."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        self._stream.write(output.safe_lines(text))
        return len(text)

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
    sys.stdout = sys.stderr = _Escaped(stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        output.out._file = output.err._file = None  # noqa: SLF001  back to whatever sys has
