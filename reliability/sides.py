"""What both sides do: one order is one thread with one risky call, which a person approves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

KINDS = ("opaque", "keyed", "asked", "joined")
"""Tools by what the world lets one promise: nothing; a key that works once; a question afterwards;
a row in the database that the attempt is in."""

Reached = Callable[[str], None]


def ignored(_: str, /) -> None:
    """Be reached without consequence."""


_numbers = itertools.count(1)


def new_order(kind: str) -> str:
    """Return a name that no other order of the run has; it is its thread's as well."""
    return f"{kind}-{next(_numbers)}"


def kind_of(order: str) -> str:
    """Return the tool that an order is for."""
    return order.partition("-")[0]


class Agent(Protocol):
    """One process's way to drive orders."""

    def carry(self, order: str, *, review: bool = True) -> bool:
        """Drive an order from wherever it is until it is done, waiting out what has to be.

        Args:
            order: its name.
            review: answer what waits for a person, truthfully; else stop there.

        Returns:
            Whether it is done.
        """

    def ask(self, order: str) -> None:
        """Drive a new order to its question and record an approval, where there is a record."""

    def resume(self, order: str) -> None:
        """Continue an approved order once; being refused is fine."""

    def done(self, order: str) -> bool:
        """Whether an order has ended with its result."""


class Side(Protocol):
    """Plain LangGraph, or this project."""

    name: str

    def agent(self, url: str, reached: Reached = ignored) -> Agent:
        """Open a way to drive orders, in the process that is to drive them."""

    def wait(self) -> float:
        """Return the seconds after which what a lost process held is free for others."""
