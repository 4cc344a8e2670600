"""What a command prints: data to stdout, hints and errors to stderr, nothing raw from outside."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from hitl_agent.errors import ConfigurationError, HitlError, InvalidDecision
from hitl_agent.review.rendering import visible

DONE, FAILED, USAGE, WAITING, INTERRUPTED = 0, 1, 2, 3, 130

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def safe(text: object, *, limit: int | None = None) -> str:
    """Return text as it may be shown: one line, escapes visible, cut to `limit` characters."""
    shown = visible(str(text))
    if limit is not None and len(shown) > limit:
        return f"{shown[: limit - 1]}…"
    return shown


def safe_lines(text: object) -> str:
    """Return text as it may be shown, with its line breaks."""
    return visible(str(text), lines=True)


def as_json(value: Any) -> str:
    """Return JSON in ASCII: whatever a terminal would act on is an escape."""
    return json.dumps(value, ensure_ascii=True, default=str)


def print_json(value: Any) -> None:
    """Print JSON to stdout, unwrapped."""
    sys.stdout.write(as_json(value) + "\n")
    sys.stdout.flush()


def line(text: str, *, style: str | None = None) -> None:
    """Print a line to stdout without wrapping or markup."""
    out.print(Text(text, style=style or ""), soft_wrap=True)


def hint(text: str) -> None:
    """Print what to do next to stderr."""
    err.print(Text(text, style="dim"), soft_wrap=True)


def short_args(args: Any, *, limit: int = 60) -> str:
    """Return arguments on one line."""
    return safe(json.dumps(args, ensure_ascii=False), limit=limit)


def age(then: datetime, now: datetime | None = None) -> str:
    """Return the time between two moments in its largest unit, such as `5m`; `-5m` if ahead."""
    seconds = int(((now or datetime.now(UTC)) - then).total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{sign}{seconds // size}{unit}"
    return f"{sign}{seconds}s"


@contextmanager
def reported(*, json_: bool, thread_id: str | None = None) -> Iterator[None]:
    """Turn errors into a message and an exit status; a user's mistake never shows a traceback."""
    try:
        yield
    except HitlError as error:
        status = USAGE if isinstance(error, ConfigurationError | InvalidDecision) else FAILED
        fail(error.message if not error.args else str(error), error.hint, status, json_=json_)
    except KeyboardInterrupt:
        again = f"continue with `hitl resume {thread_id}`" if thread_id else None
        fail("stopped; nothing is lost", again, INTERRUPTED, json_=json_)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # noqa: BLE001  the last net: one line for a person, the rest on demand
        if os.environ.get("HITL_DEBUG"):
            traceback.print_exc()
        again = f"continue with `hitl resume {thread_id}`; " if thread_id else ""
        fail(
            f"{type(error).__name__}: {error}",
            f"{again}HITL_DEBUG=1 shows where",
            FAILED,
            json_=json_,
        )


def fail(message: str, next_: str | None, status: int, *, json_: bool) -> NoReturn:
    """Say what is wrong and what to do next, and end with a status."""
    if json_:
        sys.stderr.write(as_json({"error": message, "next": next_}) + "\n")
    else:
        err.print(Text(f"error: {safe_lines(message)}", style="red"), soft_wrap=True)
        if next_:
            hint(f"next: {safe_lines(next_)}")
    raise typer.Exit(status)
