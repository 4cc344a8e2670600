"""Workers: real processes, forked from this one, which has imported everything and opened nothing.

LangGraph takes longer to import than a worker lives, so a fresh Python for each kill would be most
of the run. What is forked must hold no connection and no thread: two processes would share it.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

fork = multiprocessing.get_context("fork")

CORES = os.cpu_count() or 1


def worker(target: Callable[..., Any], *args: Any) -> BaseProcess:
    """Start a process that runs `target`."""
    if threading.active_count() != 1:
        raise RuntimeError("this process has threads: what it forks would hang")
    process = fork.Process(target=_quiet, args=(target, *args), daemon=True)
    process.start()
    _started.append(process)
    return process


_started: list[BaseProcess] = []


def kill_all() -> None:
    """Kill every worker that is left, frozen ones as well, which would hear of nothing else."""
    for process in _started:
        send(process, signal.SIGKILL)
        process.join()


def _quiet(target: Callable[..., Any], *args: Any) -> None:
    """Run a worker; at its end nothing is tidied up, which would take longer than most work."""
    gc.disable()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        target(*args)
    except BaseException:  # noqa: BLE001  whatever it is, the harness is told by the exit code
        import traceback  # noqa: PLC0415  only where it is needed

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def at_once(
    jobs: Sequence[tuple[Callable[..., Any], Sequence[Any]]], most: int = CORES
) -> list[int]:
    """Run jobs in processes, `most` side by side; return which ended without being killed."""
    left = deque(enumerate(jobs))
    running: list[BaseProcess] = []
    numbers: dict[BaseProcess, int] = {}
    survived = []
    while left or running:
        while left and len(running) < most:
            number, (target, args) = left.popleft()
            running.append(worker(target, *args))
            numbers[running[-1]] = number
        survived += [numbers[one] for one in ended(running) if not ended_by(one)]
        time.sleep(0.001)
    return survived


def results(jobs: Sequence[tuple[Callable[..., Any], Sequence[Any]]]) -> list[Any]:
    """Run jobs in processes, all side by side, and return what they return.

    Raises:
        RuntimeError: one failed; what it met is on stderr.
    """
    running, pipes = [], []
    for target, args in jobs:
        here, there = fork.Pipe(duplex=False)
        running.append(worker(_told, there, target, *args))
        there.close()
        pipes.append(here)
    found = []
    for pipe in pipes:
        try:
            found.append(pipe.recv())
        except EOFError as error:
            raise RuntimeError("a worker failed") from error
    while running:
        ended(running)
    return found


def _told(out: Connection, target: Callable[..., Any], *args: Any) -> None:
    out.send(target(*args))


def ended(running: list[BaseProcess]) -> list[BaseProcess]:
    """Take those that have ended out of the list and return them.

    Raises:
        RuntimeError: one failed; what it met is on stderr.
    """
    over = [one for one in running if not one.is_alive()]
    for one in over:
        running.remove(one)
        one.join()
        if one.exitcode is not None and one.exitcode > 0:
            raise RuntimeError(f"a worker failed: {one}")
    return over


def ended_by(process: BaseProcess) -> int:
    """Return the signal that ended a process, or 0."""
    return max(0, -(process.exitcode or 0))


def send(process: BaseProcess, number: int) -> None:
    """Send a signal to a process that has not been waited for."""
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, number)


class Points:
    """Counts the named points that a process reaches, and stops it at one of them.

    Args:
        at: name, and which time it is reached, from 1; None stops nowhere.
        number: of the signal to stop with.
        last: see `shared_text`; holds the last point's name.
    """

    def __init__(
        self,
        at: tuple[str, int] | None = None,
        number: int = int(signal.SIGKILL),
        last: Any = None,
    ) -> None:
        self._at = at
        self._number = number
        self._last = last
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()
        self.reached: list[tuple[str, int]] = []

    def __call__(self, name: str) -> None:
        """Note that a point is reached."""
        with self._lock:
            self._counted[name] += 1
            point = (name, self._counted[name])
            self.reached.append(point)
            if self._last is not None:
                self._last.value = name.encode()
        if point == self._at:
            os.kill(os.getpid(), self._number)


def shared_text() -> Any:
    """Return a short text, empty at first, that a worker writes and the harness reads."""
    return fork.RawArray(ctypes.c_char, 100)


def shared_number(value: int) -> Any:
    """Return a number that a worker writes and the harness reads."""
    return fork.RawValue(ctypes.c_int, value)
