"""While a graph runs: what it prints by itself is shown, escaped; Ctrl-C lets a call end."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from hitl_agent.cli import output

_LONGEST = 10_000
"""Characters of a line of another process that are shown at once."""

_MARK = "  | "
"""Begins each line, so that none passes for one of ours."""


class _Escaped(io.TextIOBase):
    """Writes to another stream with everything unprintable made visible."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = False
        self._pipe: int | None = None

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

    def fileno(self) -> int:
        """Return where a process that a graph starts, as an MCP server, may write the same way."""
        if self._pipe is None:
            read, self._pipe = os.pipe()
            threading.Thread(target=self._hand_on, args=(read,), daemon=True).start()
        return self._pipe

    def _hand_on(self, read: int) -> None:
        # the stream may be closed before the process ends
        with os.fdopen(read, encoding="utf-8", errors="replace") as lines, suppress(ValueError):
            while line := lines.readline(_LONGEST):
                self.write(line)

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


_STOPPING = b"\nstopping when the call that runs has ended; Ctrl-C again leaves it in doubt\n"
_LEFT = b"\nerror: stopped; what became of the call that ran is not known\n"


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the first Ctrl-C stop the thread after the call that runs, the second end the process.

    LangGraph waits for a node that runs before it hands an interrupt on: so the outcome of a call
    is recorded, however long that takes. Whoever cannot wait leaves the call in doubt; it is
    never run again unasked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        # no console here: a handler may run while one is being written to
        if pressed > 1:
            os.write(2, _LEFT)
            os._exit(output.INTERRUPTED)
        if output.err.is_terminal:
            os.write(2, _STOPPING)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
