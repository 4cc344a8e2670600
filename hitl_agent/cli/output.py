"""What a command prints: data to stdout, hints and errors to stderr, nothing raw from outside."""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer
from rich.cells import chop_cells
from rich.console import Console
from rich.text import Text

from hitl_agent.errors import ConfigurationError, DocumentError, HitlError, InvalidDecision
from hitl_agent.review.rendering import command, to_json_text, to_line, visible

DONE, FAILED, USAGE, WAITING, INTERRUPTED = 0, 1, 2, 3, 130

_PIPED_WIDTH = 100_000

_GOES_ON = "  … "
"""What stands before the rest of a line that is longer than the screen is wide."""


class _Console(Console):
    """A console that outlives its reader: `hitl approve T | head -1` still does its work."""

    broken = False

    def on_broken_pipe(self) -> None:
        """Go on without an audience."""
        self.broken = True
        with suppress(OSError, ValueError):
            stream = sys.stderr if self.stderr else sys.stdout
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


out = _Console(highlight=False, markup=False, emoji=False)
err = _Console(stderr=True, highlight=False, markup=False, emoji=False)


def abandoned() -> bool:
    """Whether whoever read our output has gone, as far as the system tells."""
    if out.broken or sys.stdout is None or not hasattr(select, "poll"):
        return out.broken
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):  # no file behind it
        return False


def safe(text: object, *, limit: int | None = None) -> str:
    """Return text as it may be shown: one line, escapes visible, cut to `limit` characters."""
    shown = visible(str(text))
    if limit is not None and len(shown) > limit:
        return f"{shown[: limit - 1]}…"
    return shown


def safe_lines(text: object, *, indent: int = 0) -> str:
    """Return text as it may be shown, with its line breaks.

    Later lines are indented, so that no text can pass for a line of ours.
    """
    return visible(str(text), lines=True).replace("\n", "\n" + " " * indent)


def print_json(value: Any) -> None:
    """Print JSON to stdout, unwrapped."""
    if sys.stdout is None:  # closed by the caller
        return
    try:
        sys.stdout.write(to_json_text(value) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        out.on_broken_pipe()


def rows(text: str, columns: int) -> list[str]:
    """Return lines of safe text as rows of a screen; what continues a line stands behind a sign.

    Were it left to the terminal to break long lines, a text of the right length could show what
    looks like a line of ours.
    """
    found: list[str] = []
    for one in text.split("\n"):
        before, rest = "", one
        while True:
            row = (chop_cells(rest, max(1, columns - len(before))) or [""])[0]
            if len(row) < len(rest):
                row = _at_a_space(row)
            found.append(before + row)
            rest, before = rest[len(row) :], _GOES_ON
            if not rest:
                break
    return found


def _at_a_space(row: str) -> str:
    """End a row after its last space, if that is not too far back."""
    kept = row.rpartition(" ")[0] + " "
    return kept if len(kept) > len(row) * 2 / 3 else row


def line(text: str, *, style: str | None = None) -> None:
    """Print lines to stdout without markup, on a terminal as its `rows`."""
    _print(out, text, style or "")


def dialogue(text: str) -> None:
    """Print lines to stderr for a person who is asked, on a terminal as its `rows`."""
    _print(err, text, "")


def _print(console: Console, text: str, style: str) -> None:
    if console.is_terminal:
        text = "\n".join(rows(text, console.width))
    console.print(Text(text, style=style), soft_wrap=True)


def hint(text: str) -> None:
    """Print what to do next to stderr."""
    err.print(Text(text, style="dim"), soft_wrap=True)


def next_hint(commands: Sequence[str]) -> None:
    """Print the commands that may be typed next, one a line."""
    for index, one in enumerate(commands):
        hint(f"{'     ' if index else 'next:'} {one}")


def problem(text: object) -> None:
    """Print what is wrong to stderr."""
    _print(err, f"error: {safe_lines(text, indent=7)}", "red")


def width() -> int:
    """Return the columns there are: the terminal's, or as many as wanted when there is none."""
    return out.width if out.is_terminal else _PIPED_WIDTH


def short_args(args: Any, *, limit: int = 60) -> str:
    """Return arguments on one line, long texts abbreviated."""
    shown = to_line(args)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def json_text(text: str) -> str:
    """Return one line of JSON as it may be shown; its backslashes are JSON's own and stay."""
    return "\\".join(visible(part) for part in text.split("\\"))


def age(then: datetime, now: datetime | None = None) -> str:
    """Return the time between two moments in its largest unit, such as `5m`; `-5m` if ahead."""
    seconds = int(((now or datetime.now(UTC)) - then).total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{sign}{seconds // size}{unit}"
    return f"{sign}{seconds}s"


@dataclass
class Report:
    """What an error's message needs to know.

    Attributes:
        json_: whether errors are JSON.
        thread_id: the thread that is under way, or None.
    """

    json_: bool
    thread_id: str | None = None

    def next(self, hint: str | None = None) -> str | None:
        """Return what to do next, with the command that continues the thread."""
        again = self.thread_id and f"continue with `{command('resume', self.thread_id)}`"
        if again and not (hint and "hitl resume" in hint):
            return f"{hint}; {again}" if hint else again
        return hint


@contextmanager
def reported(*, json_: bool) -> Iterator[Report]:
    """Turn errors into a message and an exit status; a user's mistake never shows a traceback."""
    report = Report(json_)
    try:
        yield report
    except HitlError as error:
        status = USAGE if isinstance(error, ConfigurationError | InvalidDecision) else FAILED
        fail(error.message, report.next(error.hint or _hint(error)), status, json_=json_)
    except KeyboardInterrupt:
        fail("stopped", report.next(), INTERRUPTED, json_=json_)
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # noqa: BLE001  the last net: one line for a person, the rest on demand
        if os.environ.get("HITL_DEBUG"):
            err.print(Text(safe_lines(traceback.format_exc())), soft_wrap=True)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        fail(text, report.next("HITL_DEBUG=1 shows where"), FAILED, json_=json_)


def _hint(error: HitlError) -> str:
    """Say what to do about an error that does not say it."""
    if isinstance(error, DocumentError):
        return f"correct `{error.file}` and run the command again"
    return "correct it and run the command again; `hitl --help` shows the commands"


def fail(message: str, next_: str | None, status: int, *, json_: bool) -> NoReturn:
    """Say what is wrong and what to do next, and end with a status."""
    if json_:
        with suppress(BrokenPipeError, AttributeError):
            sys.stderr.write(to_json_text({"error": message, "next": next_}) + "\n")
    else:
        problem(message)
        if next_:
            hint(f"next: {safe_lines(next_, indent=6)}")
    raise typer.Exit(status)
