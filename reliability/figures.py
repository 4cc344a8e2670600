"""What a row of the table says, and what it is measured with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import psycopg

from reliability.server import Server
from reliability.sides import Side
from reliability.sink import Sink


@dataclass(frozen=True)
class Run:
    """What every row is measured with.

    Attributes:
        server: PostgreSQL.
        sink: the world outside.
        short: far fewer rounds; the figures then say that nothing is broken, and no more.
        say: tells the user how far it is.
        plain: one side.
        ours: the other.
    """

    server: Server
    sink: Sink
    short: bool
    say: Callable[[str], None]
    plain: Side
    ours: Side

    def effects(self, url: str) -> Counter[str]:
        """Return how often each order's effect happened, at the sink or in a database."""
        counted = Counter(self.sink.counts())
        with psycopg.connect(url) as connection:
            counted.update(row[0] for row in connection.execute("SELECT order_id FROM effects"))
        return counted


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes:
        name: what is measured.
        plain: plain LangGraph's figure.
        ours: hitl_agent's figure.
        goal: what is to be reached.
        reached: whether ours reaches it.
        notes: what else there is to say, a line each.
    """

    name: str
    plain: str
    ours: str
    goal: str
    reached: bool
    notes: tuple[str, ...] = ()


def note(what: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return a line that names the first of those to which something happened, if there are any."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (f"{what}: {', '.join(names[:8])}{more}",) if names else ()


@dataclass(frozen=True)
class Tally:
    """What became of a number of orders, each of which was to have its effect once.

    Attributes:
        of: how many orders.
        double: orders whose effect happened more than once.
        lost: orders that did not end with their result, or whose effect never happened.
    """

    of: int
    double: tuple[str, ...]
    lost: tuple[str, ...]

    @classmethod
    def of_orders(cls, orders: Sequence[str], effects: Counter[str], done: Iterable[str]) -> Tally:
        """Compare what was to happen with what happened."""
        ended = set(done)
        return cls(
            len(orders),
            tuple(one for one in orders if effects[one] > 1),
            tuple(one for one in orders if not effects[one] or one not in ended),
        )

    @property
    def clean(self) -> bool:
        """Whether every effect happened once."""
        return not self.double and not self.lost

    def __str__(self) -> str:
        return f"{len(self.double)} double, {len(self.lost)} lost of {self.of}"
