"""A process is killed at each point where it is about to talk to the world, or just has."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reliability.figures import Figure, Run, Tally, note
from reliability.ours import unflagged
from reliability.processes import Points, at_once, results
from reliability.recovery import recover
from reliability.sides import KINDS, Side, kind_of, new_order

Point = tuple[str, int]


@dataclass(frozen=True)
class Killed:
    """What became of the orders of one side, each killed at a point of its own.

    Attributes:
        points: by order.
        first: of the orders that were killed once.
        again: of those that were killed right after their effect, and once more in the recovery.
        missed: orders that reached their end without reaching their point.
        unflagged: orders in doubt that nobody was asked about.
    """

    points: Mapping[str, str]
    first: Tally
    again: Tally
    missed: tuple[str, ...]
    unflagged: tuple[str, ...]

    def note(self, what: str, orders: Iterable[str]) -> tuple[str, ...]:
        """Return a line that names the points of some orders, if there are any."""
        return note(what, [self.points[order] for order in orders])


def measure(run: Run) -> Figure:
    """Kill at every point, and at every point of the recovery of what was killed worst."""
    plain, ours = (_killed(run, side) for side in (run.plain, run.ours))
    return Figure(
        "crash at every database and HTTP exchange, four tool kinds",
        f"{_duplicates(plain.first)}; of its recovery: {_duplicates(plain.again)}",
        f"{ours.first}; of its recovery: {ours.again}",
        "every point: 0 double, 0 lost",
        reached=ours.first.clean and ours.again.clean and not ours.unflagged and not ours.missed,
        notes=(
            *plain.note("plain LangGraph duplicates at", plain.first.double),
            *ours.note("double", (*ours.first.double, *ours.again.double)),
            *ours.note("lost", (*ours.first.lost, *ours.again.lost)),
            *ours.note("in doubt, and nobody is asked", ours.unflagged),
            *ours.note("not reached", ours.missed),
        ),
    )


def _duplicates(tally: Tally) -> str:
    return f"{len(tally.double)} of {tally.of} points duplicate"


def _killed(run: Run, side: Side) -> Killed:
    url = run.server.database()
    kinds = KINDS[::3] if run.short else KINDS
    step = 7 if run.short else 1
    listed = {kind: points_of(side, url, new_order(kind))[::step] for kind in kinds}
    first = {new_order(kind): point for kind in kinds for point in listed[kind]}
    run.say(f"{side.name}: {len(first)} points")
    missed = _kill(side, url, first)
    # what was killed after its effect, before anybody knows of it, leaves most to do
    worst = {new_order(kind): _worst(kind) for kind in kinds}
    missed += _kill(side, url, worst)
    time.sleep(side.wait())
    listed = {kind_of(order): points_of(side, url, order)[::step] for order in worst}
    second = {new_order(kind): point for kind in kinds for point in listed[kind]}
    run.say(f"{side.name}: {len(second)} points of the recovery")
    missed += _kill(side, url, {order: _worst(kind_of(order)) for order in second})
    time.sleep(side.wait())
    missed += _kill(side, url, second)
    time.sleep(side.wait())
    orders = [*first, *second]
    recover(side, url, orders, review=False)
    forgotten = tuple(unflagged(url)) if side is run.ours else ()
    done = recover(side, url, orders)
    effects = run.effects(url)
    return Killed(
        {order: f"{kind_of(order)} {name} #{number}" for order, (name, number) in first.items()}
        | {
            order: f"{kind_of(order)} recovery {name} #{number}"
            for order, (name, number) in second.items()
        },
        Tally.of_orders(list(first), effects, done),
        Tally.of_orders(list(second), effects, done),
        tuple(missed),
        forgotten,
    )


def _worst(kind: str) -> Point:
    return ("after transaction" if kind == "joined" else "after http", 1)


def _kill(side: Side, url: str, points: Mapping[str, Point]) -> list[str]:
    """Drive each order in a process that is killed at its point; return those that were not."""
    survived = at_once([(_drive, (side, url, *one)) for one in points.items()])
    return [list(points)[number] for number in survived]


def _drive(side: Side, url: str, order: str, point: Point) -> None:
    side.agent(url, Points(point)).carry(order)


def points_of(side: Side, url: str, order: str) -> list[Point]:
    """Return the points that a process reaches in carrying an order to its end."""
    (points,) = results([(_listed, (side, url, order))])
    return list(points)


def _listed(side: Side, url: str, order: str) -> list[Point]:
    points = Points()
    side.agent(url, points).carry(order)
    # a lease is renewed when it is time to, which is not the same time twice
    return [one for one in points.reached if not one[0].endswith(" leases.renew")]
