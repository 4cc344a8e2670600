"""Finishing what other processes left halfway, in processes of their own."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from reliability.processes import CORES, ended, fork, send, worker
from reliability.sides import Side

_LIMIT = 60.0
"""Seconds without an order getting anywhere after which those that are left are given up."""


def recover(
    side: Side, url: str, orders: Sequence[str], *, review: bool = True, limit: float = _LIMIT
) -> set[str]:
    """Carry orders on to their end and return those that got there.

    Args:
        side: whose.
        url: their database.
        orders: which.
        review: a person answers what waits; else it is left waiting.
        limit: seconds without getting anywhere after which it is given up.
    """
    done: set[str] = set()
    pipes: list[Any] = []
    running = []
    for number in range(CORES):
        here, there = fork.Pipe(duplex=False)
        running.append(worker(_carry, side, url, orders[number::CORES], review, there))
        there.close()
        pipes.append(here)
    heard = time.monotonic()
    while pipes and time.monotonic() < heard + limit:
        for pipe in list[Any](wait(pipes, 1)):
            try:
                order, reached = pipe.recv()
            except EOFError:  # the worker has ended
                pipes.remove(pipe)
                continue
            heard = time.monotonic()
            if reached:
                done.add(order)
    while running:
        if pipes:
            for one in running:
                send(one, signal.SIGKILL)
        ended(running)
    return done


def _carry(side: Side, url: str, orders: Sequence[str], review: bool, out: Connection) -> None:  # noqa: FBT001  passed by position to a process
    agent = side.agent(url)
    for order in orders:
        out.send((order, agent.carry(order, review=review) and agent.done(order)))
