"""Run every benchmark on a database of its own: `make bench`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import psycopg

from benchmarks.overhead import measure
from benchmarks.policy import measure_policy
from benchmarks.waiting import measure_waiting
from hitl_agent.storage.database import close_shared
from hitl_agent.storage.location import resolve_database_url
from hitl_agent.storage.migrate import migrate

NAME = "hitl_bench"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def list_starts(url: str, runs: int) -> None:
    """How long `hitl list` takes as a whole process, beside a Python that does nothing."""
    command = [sys.executable, "-m", "hitl_agent", "list", "--json", "--database-url", url]
    for name, argv in (("python -c pass", [sys.executable, "-c", "pass"]), ("hitl list", command)):
        spent = []
        for _ in range(runs + 1):
            begun = time.perf_counter()
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            spent.append(time.perf_counter() - begun)
        spent = sorted(spent[1:])
        say(f"{name:<16} median {spent[len(spent) // 2]:.3f} s, max {spent[-1]:.3f} s")


def fresh(server: str) -> str:
    """An empty, migrated database; whatever of ours was open on the one before is closed."""
    close_shared()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
    url = psycopg.conninfo.make_conninfo(server, dbname=NAME)
    migrate(url)
    return url


def main() -> None:
    parser = argparse.ArgumentParser(description="benchmarks, as ratios within one run")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of each figure")
    rounds = parser.parse_args().rounds
    measure_policy(rounds=rounds, say=say)
    server = resolve_database_url()
    url = fresh(server)
    measure(url, rounds=rounds, say=say)
    list_starts(url, runs=rounds)
    measure_waiting(fresh(server), rounds=rounds, say=say)
    close_shared()


main()
