"""Workers are killed at random moments, one after the other, while they drive orders."""

from __future__ import annotations

import random
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

from reliability.figures import Figure, Run, Tally, note
from reliability.ours import unflagged
from reliability.processes import CORES, ended, ended_by, send, shared_number, worker
from reliability.recovery import recover
from reliability.sides import KINDS, Side, new_order

_LIFE = 0.15
"""Longest life of a worker, in seconds, from when it has opened the database."""

_ANSWER = 0.01
"""Seconds that the world takes to answer: time to be killed in."""

_HAND = 12
"""Orders handed to a worker at once: more than it lives to drive."""


def measure(run: Run) -> Figure:
    """Kill, recover, and count what happened outside."""
    kills = (20, 20) if run.short else (200, 1000)
    plain, _ = _killed(run, run.plain, kills[0])
    ours, forgotten = _killed(run, run.ours, kills[1])
    return Figure(
        "random kill -9",
        f"{kills[0]} kills: {plain}",
        f"{kills[1]} kills: {ours}; {len(forgotten)} in doubt unflagged",
        f"{kills[1]} kills: 0 double, 0 lost, 0 in doubt unflagged",
        reached=ours.clean and not forgotten,
        notes=(
            *note("double", ours.double),
            *note("lost", ours.lost),
            *note("unflagged", forgotten),
        ),
    )


@dataclass
class Slot:
    """One worker, the orders it was handed, and when it is to be killed.

    Attributes:
        process: the worker.
        orders: what it drives, in order.
        place: how many of them it has done, or -1 before it has opened the database.
        end: when to kill it.
    """

    process: BaseProcess
    orders: Sequence[str]
    place: Any
    end: float | None = None


@dataclass
class Orders:
    """Orders to hand out: those left halfway as soon as they may be free again, and new ones.

    Attributes:
        wait: seconds for which a killed worker may hold an order.
        begun: orders that some worker may have touched.
        halfway: those of them that are not done, and when they are free.
        unused: orders that were handed out and not touched.
    """

    wait: float
    begun: dict[str, None] = field(default_factory=dict)
    halfway: deque[tuple[float, str]] = field(default_factory=deque)
    unused: deque[str] = field(default_factory=deque)

    def hand(self) -> list[str]:
        """Return orders for one worker."""
        now, old = time.monotonic(), list[str]()
        while self.halfway and self.halfway[0][0] <= now and len(old) < _HAND // 2:
            old.append(self.halfway.popleft()[1])
        new = [
            self.unused.popleft() if self.unused else new_order(random.choice(KINDS))
            for _ in range(_HAND - len(old))
        ]
        # new ones first as often as not, or a worker would never live to begin one
        return random.choice((old + new, new + old))

    def back(self, slot: Slot) -> None:
        """Take back what a worker has not done; the one it was at may be held for a while."""
        done = max(0, slot.place.value)
        self.begun |= dict.fromkeys(slot.orders[: done + 1])
        free = time.monotonic() + self.wait
        for order in slot.orders[done:]:
            if order in self.begun:
                self.halfway.append((free, order))
            else:
                self.unused.append(order)


def _killed(run: Run, side: Side, kills: int) -> tuple[Tally, list[str]]:
    url = run.server.database()
    orders, slots, killed = Orders(side.wait()), list[Slot](), 0
    run.sink.delay = _ANSWER
    while killed < kills:
        while len(slots) < CORES:
            handed, place = orders.hand(), shared_number(-1)
            slots.append(Slot(worker(_drive, side, url, handed, place), handed, place))
        for slot in slots:
            if slot.end is None and slot.place.value >= 0:
                slot.end = time.monotonic() + random.uniform(0, _LIFE)
            elif slot.end is not None and time.monotonic() >= slot.end:
                send(slot.process, signal.SIGKILL)
        over = ended([slot.process for slot in slots])
        for slot in [one for one in slots if one.process in over]:
            slots.remove(slot)
            orders.back(slot)
            killed += ended_by(slot.process) == signal.SIGKILL
            if killed % 200 == 0:
                run.say(f"{side.name}: {killed} kills")
        time.sleep(0.001)
    for slot in slots:
        send(slot.process, signal.SIGKILL)
    remaining = [slot.process for slot in slots]
    while remaining:
        ended(remaining)
    for slot in slots:
        orders.back(slot)
    time.sleep(side.wait())
    begun = list(orders.begun)
    run.say(f"{side.name}: {len(begun)} orders, recovering")
    recover(side, url, begun, review=False)
    forgotten = unflagged(url) if side is run.ours else []
    run.sink.delay = 0
    done = recover(side, url, begun)
    return Tally.of_orders(begun, run.effects(url), done), forgotten


def _drive(side: Side, url: str, orders: Sequence[str], place: Any) -> None:
    agent = side.agent(url)
    place.value = 0
    for order in orders:
        agent.carry(order)
        place.value += 1
