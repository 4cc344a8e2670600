"""The database crashes and comes back, again and again, while workers drive orders."""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from reliability.figures import Figure, Run, Tally, note
from reliability.ours import Ours
from reliability.processes import CORES, ended, send, shared_number, worker
from reliability.recovery import recover
from reliability.sides import KINDS, Side, new_order

_MOST = 40_000
"""Orders for one worker: more than it can drive."""

_PATIENCE = 60.0
_GOAL = 3.0
_HOLD = timedelta(seconds=5)
"""Deadline of a call: longer than the server is away, or calls fail for want of time."""


def measure(run: Run) -> Figure:
    """Measure from the crash until every worker has finished an order begun or not before it."""
    restarts = (2, 3) if run.short else (8, 100)
    plain, plain_times = _restarted(run, run.plain, restarts[0])
    ours, times = _restarted(run, Ours(run.sink, _HOLD), restarts[1])
    p99 = sorted(times)[math.ceil(0.99 * len(times)) - 1]
    return Figure(
        "pg_ctl restart -m immediate during load",
        f"{restarts[0]} restarts: {len(plain.double)} double, {len(plain.lost)} lost; "
        f"recovery up to {max(plain_times):.1f} s",
        f"{restarts[1]} restarts: {len(ours.double)} double, {len(ours.lost)} lost of {ours.of}; "
        f"recovery p99 {p99:.1f} s, at most {max(times):.1f} s",
        f"{restarts[1]} restarts: 0 lost, recovery p99 <= {_GOAL:.0f} s",
        # a short run is no measure of time: the machine is busy with tests
        reached=ours.clean and (run.short or p99 <= _GOAL),
        notes=(
            *note("double", ours.double),
            *note("lost", ours.lost),
        ),
    )


def _restarted(run: Run, side: Side, restarts: int) -> tuple[Tally, list[float]]:
    url = run.server.database()
    hands = [
        [new_order(KINDS[number % len(KINDS)]) for number in range(_MOST)] for _ in range(CORES)
    ]
    places = [shared_number(0) for _ in hands]
    running = [worker(_drive, side, url, *one) for one in zip(hands, places, strict=True)]
    times = []
    for number in range(restarts):
        _beyond(places, [place.value for place in places])
        time.sleep(random.uniform(0, 0.1))
        before, crashed = [place.value for place in places], time.monotonic()
        run.server.restart()
        _beyond(places, before)
        times.append(time.monotonic() - crashed)
        if number % 25 == 24:
            run.say(f"{side.name}: {number + 1} restarts, the slowest {max(times):.1f} s")
    for one in running:
        send(one, signal.SIGKILL)
    while running:
        ended(running)
    time.sleep(side.wait())
    begun = [
        order
        for hand, place in zip(hands, places, strict=True)
        for order in hand[: place.value + 1]
    ]
    run.say(f"{side.name}: {len(begun)} orders, recovering")
    done = recover(side, url, begun)
    return Tally.of_orders(begun, run.effects(url), done), times


def _beyond(places: Sequence[Any], before: Sequence[int]) -> None:
    """Wait until every worker has finished an order more."""
    end = time.monotonic() + _PATIENCE
    while any(place.value <= was for place, was in zip(places, before, strict=True)):
        if time.monotonic() > end:
            return  # the time that is measured says it
        time.sleep(0.002)


def _drive(side: Side, url: str, orders: Sequence[str], place: Any) -> None:
    agent = side.agent(url)
    for order in orders:
        agent.carry(order)
        place.value += 1
