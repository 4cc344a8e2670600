"""Eight workers resume the same approved order at the same instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reliability.figures import Figure, Run, Tally, note
from reliability.processes import CORES, at_once, ended, fork, worker
from reliability.recovery import recover
from reliability.server import pooled
from reliability.sides import KINDS, Side, new_order

_WORKERS = 8
_PATIENCE = 60.0


def measure(run: Run) -> Figure:
    """Half of the workers go through pgbouncer, where it is installed."""
    threads = (10, 40) if run.short else (100, 2000)
    plain, _ = _raced(run, run.plain, threads[0])
    ours, bouncer = _raced(run, run.ours, threads[1])
    how = "half through pgbouncer" if bouncer else "pgbouncer is not installed: all direct"
    return Figure(
        "concurrent resumes, direct and through pgbouncer",
        f"{len(plain.double)} of {plain.of} double",
        f"{ours.of} threads x {_WORKERS} workers, {how}: {len(ours.double)} double, "
        f"{len(ours.lost)} lost",
        f"{threads[1]} threads x {_WORKERS} workers: 0 double",
        reached=ours.clean,
        notes=(
            *note("double", ours.double),
            *note("lost", ours.lost),
        ),
    )


def _raced(run: Run, side: Side, threads: int) -> tuple[Tally, bool]:
    url = run.server.database()
    orders = [new_order(KINDS[number % len(KINDS)]) for number in range(threads)]
    at_once([(_ask, (side, url, orders[number::CORES])) for number in range(CORES)])
    run.say(f"{side.name}: {threads} threads wait and are approved")
    with pooled(url) as through:
        start = fork.Barrier(_WORKERS)
        running = [
            worker(_resume, side, (url, through or url)[number % 2], orders, start)
            for number in range(_WORKERS)
        ]
        while running:
            for one in running:
                one.join(0.05)
            ended(running)
    run.say(f"{side.name}: resumed")
    done = recover(side, url, orders)
    return Tally.of_orders(orders, run.effects(url), done), through is not None


def _ask(side: Side, url: str, orders: Sequence[str]) -> None:
    agent = side.agent(url)
    for order in orders:
        agent.ask(order)


def _resume(side: Side, url: str, orders: Sequence[str], start: Any) -> None:
    agent = side.agent(url)
    for order in orders:
        start.wait(_PATIENCE)
        agent.resume(order)
