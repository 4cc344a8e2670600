"""A worker is frozen, another one takes over and finishes, and the first one thaws."""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg

from reliability.crash_points import points_of
from reliability.figures import Figure, Run, Tally, note
from reliability.processes import (
    Points,
    ended,
    send,
    shared_number,
    shared_text,
    worker,
)
from reliability.recovery import recover
from reliability.sides import KINDS, Side, kind_of, new_order

PROMISED = ("keyed", "joined")
"""Tools whose effect is exactly one even if a process sleeps between its check and its send."""

_WAVE = 20
_LIFE = 0.12
_ANSWER = 0.02
_FORKED = """
SELECT count(*) FROM (
    SELECT FROM checkpoints WHERE parent_checkpoint_id IS NOT NULL
    GROUP BY thread_id, checkpoint_ns, parent_checkpoint_id HAVING count(*) > 1
) AS forked
"""


@dataclass(frozen=True)
class Thawed:
    """What came of one side.

    Attributes:
        promised: the orders whose tools can promise.
        open: the others.
        between: orders whose worker was frozen between its check and its send.
        forked: checkpoints with two children.
    """

    promised: Tally
    open: Tally
    between: frozenset[str]
    forked: int


def measure(run: Run) -> Figure:
    """Freeze half of the workers at a random moment, half at a random point."""
    rounds = (8, 8) if run.short else (60, 200)
    plain, ours = _thawed(run, run.plain, rounds[0]), _thawed(run, run.ours, rounds[1])
    double = sorted({*ours.promised.double, *ours.open.double} - ours.between)
    kept = sorted(set(ours.open.double) & ours.between)
    broken = sorted(set(ours.promised.double) & ours.between)
    lost = (*ours.promised.lost, *ours.open.lost)
    return Figure(
        "frozen worker, take-over, thaw",
        f"{len(plain.promised.double) + len(plain.open.double)} of {rounds[0]} double, "
        f"{plain.forked} forked checkpoints",
        f"{rounds[1]}: {len(double) + len(broken)} double, {len(lost)} lost, "
        f"{ours.forked} forked checkpoints",
        f"{rounds[1]}: 0 double, 0 forked checkpoints",
        reached=not (double or broken or lost or ours.forked),
        notes=(
            (
                f"{len(ours.between)} were frozen after their last check and before their send: of "
                f"tools that are opaque or asked afterwards {len(kept)} were double, which nobody "
                "can see from inside the process; of those with a key and those in the attempt's "
                f"transaction {len(broken)}"
            ),
            *note("double", (*double, *broken)),
            *note("lost", lost),
        ),
    )


def _thawed(run: Run, side: Side, rounds: int) -> Thawed:
    url = run.server.database()
    run.sink.delay = _ANSWER
    points = {kind: points_of(side, url, new_order(kind)) for kind in KINDS}
    orders = [new_order(KINDS[number % len(KINDS)]) for number in range(rounds)]
    chosen: dict[str, tuple[str, int] | None] = {
        order: random.choice(points[kind_of(order)]) if number // len(KINDS) % 2 else None
        for number, order in enumerate(orders)
    }
    between: set[str] = set()
    for begin in range(0, rounds, _WAVE):
        wave = orders[begin : begin + _WAVE]
        frozen, lasts = _freeze(side, url, {order: chosen[order] for order in wave})
        between |= {order for order, last in lasts.items() if _sends(last)}
        time.sleep(side.wait())
        # plain LangGraph may wait for a lock that a frozen worker holds, for as long as it sleeps
        recover(side, url, wave, limit=60 if side is run.ours else 3)
        for one in frozen:
            send(one, signal.SIGCONT)
        while frozen:
            ended(frozen)
            time.sleep(0.005)
        run.say(f"{side.name}: {begin + len(wave)} rounds")
    run.sink.delay = 0
    done = recover(side, url, orders)  # what the thawed ones left behind is seen as well
    effects = run.effects(url)
    with psycopg.connect(url) as connection:
        (forked,) = connection.execute(_FORKED).fetchone() or (0,)
    return Thawed(
        Tally.of_orders([one for one in orders if kind_of(one) in PROMISED], effects, done),
        Tally.of_orders([one for one in orders if kind_of(one) not in PROMISED], effects, done),
        frozenset(between),
        forked,
    )


def _sends(last: str) -> bool:
    """Whether a process that is frozen after this point has checked, and not yet sent."""
    return last == "before http"  # before this point a tool has asked `time_left`


def _freeze(
    side: Side, url: str, chosen: dict[str, tuple[str, int] | None]
) -> tuple[list[BaseProcess], dict[str, str]]:
    """Start a worker for each order; return them frozen or ended, and the last point of each."""
    started: list[BaseProcess] = []
    lasts: dict[str, Any] = {}
    for order, point in chosen.items():
        opened, last = shared_number(0), shared_text()
        process = worker(_drive, side, url, order, Points(point, signal.SIGSTOP, last), opened)
        while point is None and not opened.value and process.is_alive():
            time.sleep(0.001)
        if point is None:
            time.sleep(random.uniform(0, _LIFE))
            send(process, signal.SIGSTOP)
        started.append(process)
        lasts[order] = last
    while not all(_still(one) for one in started):
        time.sleep(0.005)
    return started, {order: last.value.decode() for order, last in lasts.items()}


def _still(process: BaseProcess) -> bool:
    if not process.is_alive() or process.pid is None:
        return True
    try:
        return bool(psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return True


def _drive(side: Side, url: str, order: str, points: Points, opened: Any) -> None:
    agent = side.agent(url, points)
    opened.value = 1
    with suppress(Exception):  # one that thaws is refused, this way or that: its effects count
        agent.carry(order)
