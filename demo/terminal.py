"""What the demo prints, and the `hitl` processes that it runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from hitl_agent.errors import HitlError

ROOT = Path(__file__).parent.parent

_TIMEOUT = 60.0

_PLAIN_TERMINAL = {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": "100", "LINES": "25"}
"""Variables by which a program prints for a terminal of that size, without colours."""


class DemoFailed(HitlError):
    """Raised when something did not go as it has to."""


def say(text: str = "") -> None:
    """Print a line, before anything that another process prints after it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Hitl:
    """Runs `hitl` commands, each a process of its own, and shows them as typed.

    Args:
        attended: whether a person sits at the terminal; else what is printed looks the same
            everywhere.
        environment: variables for the processes, besides this one's own.
    """

    def __init__(self, *, attended: bool, **environment: str) -> None:
        self._environment = os.environ | environment
        if not attended:
            self._environment |= _PLAIN_TERMINAL

    def __call__(
        self, *arguments: str, ends: Collection[int] = (0,), timeout: float | None = _TIMEOUT
    ) -> None:
        """Run a command to its end.

        Args:
            arguments: what stands behind `hitl`.
            ends: the exit statuses that are fine here.
            timeout: in seconds, or None where a person is asked.

        Raises:
            DemoFailed: it ended in another way, or not in time.
        """
        typed = shlex.join(("hitl", *arguments))
        say(f"\n$ {typed}")
        try:
            done = subprocess.run(  # noqa: S603  our own program, no shell
                [sys.executable, "-m", "hitl_agent", *arguments],
                cwd=ROOT,
                env=self._environment,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DemoFailed(f"`{typed}` did not end within {error.timeout:g} seconds") from error
        if done.returncode not in ends:
            raise DemoFailed(f"`{typed}` ended with status {done.returncode}; its message is above")
