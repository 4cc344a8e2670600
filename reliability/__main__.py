"""Measure every figure and print the table: `make reliability`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping

from reliability import (
    concurrent,
    crash_points,
    deliveries,
    frozen,
    hostile,
    kills,
    overhead,
    restarts,
)
from reliability.figures import Figure, Run
from reliability.ours import Ours
from reliability.plain import Plain
from reliability.processes import kill_all
from reliability.server import server
from reliability.sink import sink
from reliability.table import as_json, as_text

ROWS: Mapping[str, Callable[[Run], Figure]] = {
    "crash": crash_points.measure,
    "kill": kills.measure,
    "frozen": frozen.measure,
    "concurrent": concurrent.measure,
    "deliveries": deliveries.measure,
    "restart": restarts.measure,
    "hostile": hostile.measure,
    "overhead": overhead.measure,
}


def main() -> int:
    """Run the rows that are asked for; 1 if one of them is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m reliability",
        description="Effects when things go wrong: plain LangGraph beside hitl_agent.",
        epilog="example: python -m reliability --short --row kill --row frozen",
    )
    parser.add_argument(
        "--row", action="append", choices=ROWS, help="only this row; may be given again"
    )
    parser.add_argument("--short", action="store_true", help="few rounds, about a minute")
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    options = parser.parse_args()
    begun = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - begun:6.1f} s  {text}\n")
        sys.stderr.flush()

    logging.disable(logging.WARNING)  # servers go away on purpose, and pools complain of it
    # ended like this as well, the run takes its server and its workers with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures: dict[str, Figure] = {}
    with server() as postgres, sink() as world:
        run = Run(postgres, world, options.short, say, Plain(world), Ours(world))
        try:
            for name in options.row or ROWS:
                say(name)
                try:
                    figures[name] = ROWS[name](run)
                except RuntimeError as error:  # a worker's: the other rows are still worth having
                    figures[name] = Figure(name, "-", f"failed: {error}", "-", reached=False)
        finally:
            kill_all()
    sys.stdout.write((as_json if options.json else as_text)(figures) + "\n")
    say("done")
    return 0 if all(one.reached for one in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
