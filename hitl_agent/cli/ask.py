"""Asking the person at the terminal."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hitl_agent.calls import clean_text
from hitl_agent.cli import output
from hitl_agent.cli.options import read_json
from hitl_agent.errors import HitlError, InvalidDecision
from hitl_agent.review.decision import MAX_MESSAGE, Approve, Decision, Edit, Reject, Respond
from hitl_agent.review.rendering import command, to_terminal

if TYPE_CHECKING:
    from hitl_agent.review import ReviewRequest

_SHA256 = "sha256:"
_LEAST_DIGEST = 8

_KEYS = {"a": "approve", "e": "edit", "r": "reject", "p": "respond"}


def require_read(request: ReviewRequest, digests: Sequence[str]) -> None:
    """Raise `InvalidDecision` unless a call may be approved by somebody who is not asked here.

    Args:
        request: the question.
        digests: of calls that may be approved, or their beginnings. Without one, a call that takes
            more than a page is refused: its digest stands below it, for whoever has seen its end.
    """
    from hitl_agent.cli.views import pages

    name, thread_id = request.call.call_id, request.thread_id
    show = f"read it with `{command('show', thread_id)}`"
    begun = [one.removeprefix(_SHA256) for one in digests]
    if any(len(one) < _LEAST_DIGEST for one in begun):
        raise InvalidDecision(
            f"`--digest` takes at least {_LEAST_DIGEST} digits of a digest", hint=show
        )
    found = request.call_digest.removeprefix(_SHA256)
    if begun and not any(map(found.startswith, begun)):
        raise InvalidDecision(f"call `{name}` has another digest than `--digest`", hint=show)
    if not begun and (number := len(pages(request, screen=False))) > 1:
        size = len(to_terminal(request.shown_call))
        raise InvalidDecision(
            f"call `{name}` has {number} pages, {size:,} characters, too many to approve unseen",
            hint=f"{show} and add --digest with the digest below it, or use `hitl review`",
        )


def edited(request: ReviewRequest) -> dict[str, Any]:
    """Open the arguments in the editor and return what was saved.

    Raises:
        InvalidDecision: nothing was saved, or it is no JSON object.
        HitlError: the editor does not start.
    """
    shown = json.dumps(request.shown_args, indent=2, ensure_ascii=True) + "\n"
    with tempfile.TemporaryDirectory(prefix="hitl-") as folder:
        file = Path(folder) / "arguments.json"
        file.write_text(shown, "utf-8")
        try:
            ended = subprocess.run((*_editor(), str(file)), check=False)  # noqa: S603  the user's own
            text = file.read_text("utf-8-sig")
        except (OSError, ValueError) as error:
            raise HitlError(
                f"the editor failed: {error}", hint="set EDITOR, or pass --args JSON"
            ) from error
    if ended.returncode:
        raise HitlError(
            f"the editor ended with status {ended.returncode}, nothing was decided",
            hint="edit again, or pass --args JSON",
        )
    if text == shown:
        raise InvalidDecision("nothing was changed", hint="edit and save, or pass --args JSON")
    args = read_json(text, "--args")
    if not isinstance(args, dict):
        raise InvalidDecision("arguments are a JSON object", hint="edit again")
    return args


def _editor() -> list[str]:
    """Return the user's editor with its arguments.

    Raises:
        HitlError: there is none.
    """
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if named and named.strip():
        return shlex.split(named)
    for one in ("editor", "nano", "vi", "notepad"):
        if found := shutil.which(one):
            return [found]
    raise HitlError("there is no editor", hint="set EDITOR, or pass --args JSON")


def decision(request: ReviewRequest, *, shown: bool = True) -> Decision | str:
    """Ask for a decision; `skip` or `quit` when there is none.

    A call of several pages can be approved when its last one has been shown.

    Args:
        request: the question.
        shown: whether the call, or its first page, has been printed.
    """
    from hitl_agent.cli.views import pages

    allowed = request.verdict.allowed_decisions
    offered = {key: word for key, word in _KEYS.items() if word in allowed}
    all_ = pages(request)
    unread = all_[1:] if shown else all_ * (len(all_) > 1)
    # said again where the answer is typed: long arguments may have scrolled the call away
    call = f"{output.safe(request.call.tool)} ({output.safe(request.call.call_id)})"
    while True:
        words = {**offered, "s": "skip", "q": "quit"}
        if unread:
            words = {"m": "more", **words}
            words.pop("a", None)
        menu = ", ".join(f"[{key}] {word}" for key, word in words.items())
        try:
            given = _line(f"{call}: {menu}").strip().lower()
            word = words.get(given, given)
            if word in ("skip", "quit"):
                return word
            if unread and word in ("more", ""):
                output.dialogue(unread.pop(0))
                output.dialogue(f"    … page {len(all_) - len(unread)} of {len(all_)}")
                continue
            if unread and word in ("a", "approve"):
                output.problem("there is more of it to read before it can be approved: [m] more")
                continue
            if word in offered.values():
                return _answer(word, request)
        except EOFError:
            output.err.print()
            return "quit"
        except KeyboardInterrupt:
            output.err.print()
            raise
        except HitlError as error:
            output.problem(error)
            continue
        output.problem(f"`{given}` is none of {', '.join(words)}")


def _answer(word: str, request: ReviewRequest) -> Decision:
    match word:
        case "approve":
            return Approve(_line("reason, or nothing"))
        case "reject":
            return Reject(_line("reason, or nothing"))
        case "respond":
            return Respond(_line("answer to the planner", needed=True))
        case _:
            return Edit(edited(request))


def _line(prompt: str, *, needed: bool = False) -> str:
    """Ask for one line of text that can be stored.

    Raises:
        EOFError: there is nothing more to read.
        InvalidDecision: the text cannot be used.
    """
    try:
        text = _typed(f"{prompt}: ")
    except UnicodeDecodeError as error:
        raise InvalidDecision("what was typed is not UTF-8") from error
    if clean_text(text) != text:
        raise InvalidDecision("what was typed has characters that cannot be stored")
    if len(text) > MAX_MESSAGE:
        raise InvalidDecision(f"{len(text):,} characters were typed; at most {MAX_MESSAGE:,}")
    if needed and not text.strip():
        raise InvalidDecision("an answer needs a text")
    return text


def _typed(prompt: str) -> str:
    """Read a line; the prompt never gets into output that is not a terminal."""
    if sys.stdin is None:
        raise EOFError
    if sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  gives `input` its line editing
        return input(prompt)
    output.err.print(prompt, end="", soft_wrap=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")
