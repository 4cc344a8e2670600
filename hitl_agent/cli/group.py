"""How the command line starts and ends, whatever was typed."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from hitl_agent.cli import output

_MISUSE: tuple[type[Exception], ...] = tuple(
    one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException"
)
"""Base of Typer's own errors; Typer brings its own copy of click or uses the installed one."""


class HitlGroup(TyperGroup):
    """The top of the command line: wrong usage is told in our form, with exit status 2.

    Typer would print what was typed as it is, control sequences included, and knows no `--json`.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave the process with its exit status."""
        given = list(sys.argv[1:] if args is None else args)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # a terminal that lacks a character shows its escape instead of a traceback
                stream.reconfigure(errors="backslashreplace")
        if not standalone_mode:
            return super().main(
                given, prog_name, complete_var, standalone_mode, windows_expand_args, **extra
            )
        for command in self._commands(given):
            for param in command.get_params(typer.Context(command)):
                _AsItIs.put_before(param)
        try:
            _require_text(given)
            status = super().main(
                given,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except _MISUSE as error:
            status = _told(error, self._path(given), json_="--json" in given)
        except typer.Exit as error:
            status = error.exit_code
        except typer.Abort:
            status = output.INTERRUPTED
        sys.exit(status if isinstance(status, int) else output.DONE)

    def _path(self, given: Sequence[str]) -> str:
        """Return the command that was meant, as far as it is known."""
        return " ".join(("hitl", *(str(one.name) for one in self._commands(given)[1:])))

    def _commands(self, given: Sequence[str]) -> list[Any]:
        """Return the command that was meant, below the groups that it is in."""
        found: list[Any] = [self]
        for one in given:
            command = getattr(found[-1], "commands", {}).get(one)
            if command is None:
                break
            found.append(command)
        return found


class _AsItIs:
    """Takes a value that has its option's type already without a validator.

    Typer 0.29 makes a pydantic validator for every option of a command, a tenth of a second that
    `hitl list` need not wait for. Any other value goes Typer's own way.
    """

    def __init__(self, annotation: type) -> None:
        self._annotation = annotation

    @classmethod
    def put_before(cls, param: Any) -> None:
        """Let a parameter of a plain type try this first, where Typer is built that way."""
        annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        if annotation in (bool, int, str) and param.nargs == 1 and not param.multiple:
            param._runtime_param = cls(annotation)  # noqa: SLF001  without it, only slower

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value as the command takes it."""
        if value is None or type(value) is self._annotation:
            return value
        param._runtime_param = None  # noqa: SLF001
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _require_text(given: Sequence[str]) -> None:
    """Refuse an argument that is not UTF-8: no database and no JSON could hold it."""
    for one in given:
        try:
            one.encode("utf-8")
        except UnicodeEncodeError:
            output.fail(
                f"an argument is not UTF-8: `{one.encode('utf-8', 'backslashreplace').decode()}`",
                "hitl --help",
                output.USAGE,
                json_="--json" in given,
            )


def _told(error: BaseException, path: str, *, json_: bool) -> int:
    """Say what is wrong with the command line; return the exit status."""
    status = int(getattr(error, "exit_code", output.USAGE))
    if type(error).__name__ == "NoArgsIsHelpError":
        return status  # the help is printed already
    text = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
    with contextlib.suppress(typer.Exit):
        output.fail(text[:1].lower() + text[1:], f"{path} --help", status, json_=json_)
    return status
