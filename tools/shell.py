"""Shell tool that is none: one allowed program with an argument list, under limits.

The list of programs is the gate, so choose them for what they can be talked into: `find`, `env`,
`git`, `tar` and every interpreter start other programs when their arguments say so. The limits
here bound time, output and environment; they are no sandbox. A program that leaves its process
group (`setsid`) outlives the call.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from hitl_agent.errors import ConfigurationError
from tools.arguments import Arguments, as_tool, readable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# where programs come from, whatever PATH this process was started with
PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MAX_ARGUMENTS = 1000
MAX_ARGUMENT_BYTES = 100_000  # of all arguments together

_CHUNK = 65_536
_AFTERMATH = 0.5  # seconds in which children of a finished program may still write


class RunCommand(Arguments):
    """Arguments of `run_command`."""

    argv: list[str] = Field(
        min_length=1,
        max_length=MAX_ARGUMENTS,
        description="the program's bare name, then its arguments, each one as it is",
    )


def shell_tools(
    allowed_programs: Collection[str],
    *,
    cwd: Path | str,
    timeout: float = 30,
    max_output_bytes: int = 100_000,
) -> list[BaseTool]:
    """Return `run_command`.

    Args:
        allowed_programs: bare names, looked up now on the usual system directories and never again.
        cwd: directory the programs run in, which is also their HOME.
        timeout: seconds until the program and its process group are killed, above 0.
        max_output_bytes: of standard output, and again of standard error; the rest is thrown away.

    Raises:
        ConfigurationError: a program is not found or not a bare name, `cwd` is no directory, or
            this system has no process groups.
    """
    if os.name != "posix":
        raise ConfigurationError("`run_command` needs process groups, which this system lacks")
    home = Path(cwd).resolve()
    if not home.is_dir():
        raise ConfigurationError(f"`{cwd}` is no directory", hint=f"mkdir -p {cwd}")
    programs = {name: _found(name) for name in sorted(set(allowed_programs))}
    environment = {"PATH": PROGRAM_PATH, "LANG": "C.UTF-8", "HOME": str(home)}

    def run_command(argv: list[str]) -> dict[str, Any]:
        """Run one of the allowed programs with a list of arguments. There is no shell.

        Pipes, redirections, variables and wildcards mean nothing here. Standard input is empty.
        Returns the exit code (negative: killed by that signal), standard output and standard
        error. `truncated` says that output was cut, `timed_out` that the program was killed for
        taking too long.
        """
        _check(argv, programs)
        run = Run(max_output_bytes)
        run.run([programs[argv[0]], *argv[1:]], home, environment, timeout)
        return {
            "exit_code": run.exit_code,
            "stdout": readable(bytes(run.stdout)),
            "stderr": readable(bytes(run.stderr)),
            "truncated": run.truncated,
            "timed_out": run.timed_out,
        }

    return [as_tool(run_command, RunCommand)]


def _found(name: str) -> str:
    path = (
        None
        if "/" in name or name.startswith((".", "-"))
        else shutil.which(name, path=PROGRAM_PATH)
    )
    if path is None:
        raise ConfigurationError(
            f"the program `{name}` is not found in `{PROGRAM_PATH}`",
            hint="install it, or name another one by its bare name",
        )
    return path


def _check(argv: list[str], programs: Mapping[str, str]) -> None:
    if argv[0] not in programs:
        allowed = ", ".join(f"`{name}`" for name in programs) or "none"
        raise ToolException(f"the program `{argv[0]}` is not allowed; allowed: {allowed}")
    if any("\x00" in argument for argument in argv):
        raise ToolException("an argument has a NUL character; leave it out")
    if (size := sum(len(argument.encode()) for argument in argv)) > MAX_ARGUMENT_BYTES:
        raise ToolException(f"the arguments have {size} bytes; give at most {MAX_ARGUMENT_BYTES}")


@dataclass(slots=True)
class Run:
    """One run of a program and what came of it.

    Args:
        limit: bytes kept of each output.
        exit_code: as the operating system says; minus the signal if one ended the program.
        stdout: standard output, up to the limit.
        stderr: standard error, up to the limit.
        truncated: output was thrown away.
        timed_out: the program was killed.
    """

    limit: int
    exit_code: int = 0
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    timed_out: bool = False

    def run(self, argv: list[str], cwd: Path, env: Mapping[str, str], timeout: float) -> None:
        """Start the program, read its output and see that it ends, with all of its group.

        Raises:
            ToolException: it cannot be started.
        """
        deadline = time.monotonic() + timeout
        try:
            process = subprocess.Popen(  # noqa: S603  that is what the tool is for; no shell
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise ToolException(f"`{argv[0]}` cannot be started: {why}") from error
        with process:
            try:
                self._read(process, deadline)
            finally:
                # also when it ended well: nothing that it left running may go on unseen. The
                # group's id stays reserved as long as the group has a member.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                self.exit_code = process.wait()

    def _read(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Read until both outputs end, the program has been over for a moment, or time is up."""
        with selectors.DefaultSelector() as selector:
            for pipe, kept in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
                selector.register(cast("IO[bytes]", pipe), selectors.EVENT_READ, kept)
            until = deadline
            while selector.get_map() or process.poll() is None:
                if process.poll() is not None:
                    # a child that was left behind holds the pipes open
                    until = min(until, time.monotonic() + _AFTERMATH)
                left = until - time.monotonic()
                if left <= 0:
                    break
                for key, _ in selector.select(min(left, 0.02)):
                    if data := os.read(key.fd, _CHUNK):
                        self._keep(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
            self.timed_out = process.poll() is None

    def _keep(self, kept: bytearray, data: bytes) -> None:
        room = self.limit - len(kept)
        kept += data[:room]
        self.truncated = self.truncated or len(data) > room
