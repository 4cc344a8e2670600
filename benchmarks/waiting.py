"""The first page of `hitl list` among many threads, and what the triggers cost a checkpoint.

Rows are copied by SQL from two real threads of a graph that knows nothing of us: one that waits,
one that was answered and ended. Beside it, what there is without: `checkpointer.list(None)` and
`get_state` of each thread.
"""

from __future__ import annotations

import operator
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import psycopg
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt, interrupt

from hitl_agent.storage import interrupts, reviews
from hitl_agent.storage.database import Database, shared_database

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Threads, one in twenty of which waits: the page is full at each size."""

ONE_IN = 20

MANY = 200_000
"""Further threads that all wait."""

PLAIN_UP_TO = 10_000
PUTS = 100
"""Checkpoints, or writes, of one round of the triggers' cost."""

COPY = """
WITH n AS (SELECT generate_series(%(first)s::int, %(last)s::int) AS n), kept AS (
    INSERT INTO checkpoints (thread_id, checkpoint_id, type, checkpoint, metadata)
    SELECT %(name)s || n, c.checkpoint_id, c.type, c.checkpoint, c.metadata
    FROM (
        SELECT * FROM checkpoints WHERE thread_id = %(name)s
        ORDER BY checkpoint_id DESC LIMIT 1
    ) AS c, n
)
INSERT INTO checkpoint_writes (
    thread_id, checkpoint_id, task_id, task_path, idx, channel, type, blob
)
SELECT %(name)s || n, checkpoint_id, task_id, task_path, idx, channel, type, blob
FROM checkpoint_writes, n
WHERE thread_id = %(name)s AND task_path = '~__pregel_pull, ask'
"""

SERVER = """
INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint, metadata)
SELECT '{thread} ' || n, '{id}', checkpoint, metadata
FROM (SELECT * FROM checkpoints WHERE thread_id = '{thread}' LIMIT 1) AS c,
    generate_series(1, {rows}) AS n
"""


class State(TypedDict, total=False):
    seen: Annotated[list[Any], operator.add]


def ask(_: State) -> State:
    return {"seen": [interrupt({"question": "may I pay 80 back?", "order": "A-1"})]}


def graph(saver: PostgresSaver) -> Any:
    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile(checkpointer=saver)


def measure_waiting(url: str, *, rounds: int, say: Callable[[str], None]) -> None:
    """Print the tables; the database is empty before."""
    database = shared_database(url)
    with psycopg.connect(url, autocommit=True) as connection:
        with PostgresSaver.from_conn_string(url) as saver:
            _triggers(database, saver, rounds, say)
            compiled = graph(saver)
            for name in ("done", "asks"):
                compiled.invoke({"seen": []}, {"configurable": {"thread_id": name}})
            compiled.invoke(Command(resume="yes"), {"configurable": {"thread_id": "done"}})
            say(f"{'threads':>9} {'waiting':>8} {'page ms':>8} {'of first':>8} {'all ms':>9}")
            pages: list[float] = []
            for size in SIZES:
                waiting = size // ONE_IN
                _fill(database, connection, done=size - waiting, asks=waiting)
                pages.append(_page(database, rounds))
                plain = _every_thread(saver, compiled) if size <= PLAIN_UP_TO else None
                _row(say, size, waiting, pages, plain)
            _fill(database, connection, asks=waiting + MANY)
            pages.append(_page(database, rounds))
            _row(say, size + MANY, waiting + MANY, pages, None)
        begun = time.perf_counter()
        interrupts.watch(database, wanted=True)
        say(f"hitl db interrupts --on, all of them: {time.perf_counter() - begun:.1f} s")


def _fill(database: Database, connection: psycopg.Connection[Any], **wanted: int) -> None:
    """Copy each of the two threads until there are so many."""
    interrupts.watch(database, wanted=False)
    for name, last in wanted.items():
        row = connection.execute(
            "SELECT count(*) FROM checkpoints WHERE thread_id ^@ %s AND thread_id <> %s",
            (name, name),
        ).fetchone()
        first = (row or (0,))[0] + 1
        connection.execute(COPY, {"name": name, "first": first, "last": last})
    interrupts.watch(database, wanted=True)
    connection.execute("VACUUM ANALYZE")


def _page(database: Database, rounds: int) -> float:
    """Milliseconds of the first page: what `hitl list` asks the database, and reads of it.

    The median of the calmest of some rounds: the machine may be busy with other things.
    """
    medians = []
    for _ in range(rounds + 1):
        spent = []
        for _ in range(15):
            begun = time.perf_counter()
            found = [*reviews.waiting(database, limit=50), *interrupts.asked(database, limit=50)]
            spent.append(time.perf_counter() - begun)
            assert len(found) == 50
        medians.append(statistics.median(spent))
    return min(medians) * 1000


def _every_thread(saver: PostgresSaver, compiled: Any) -> float:
    """Milliseconds to find what waits without a projection."""
    begun = time.perf_counter()
    threads = {one.config["configurable"]["thread_id"] for one in saver.list(None)}
    configs = [{"configurable": {"thread_id": one}} for one in threads]
    waiting = [one for config in configs for one in compiled.get_state(config).interrupts]
    assert waiting
    return (time.perf_counter() - begun) * 1000


def _row(
    say: Callable[[str], None], size: int, waiting: int, pages: list[float], plain: float | None
) -> None:
    beside = f"{plain:>9,.0f}" if plain is not None else f"{'-':>9}"
    say(f"{size:>9,} {waiting:>8,} {pages[-1]:>8.2f} {pages[-1] / pages[0]:>8.2f} {beside}")


def _triggers(
    database: Database, saver: PostgresSaver, rounds: int, say: Callable[[str], None]
) -> None:
    """Print what a checkpoint and the writes of a task cost with the triggers and without.

    Nothing waits for the disk: what that takes would hide the difference. Rounds with and without
    follow each other, and the ratio is the median of such pairs.
    """
    execute(saver, "SET synchronous_commit = off")
    spent: dict[str, list[tuple[float, float]]] = {}
    for turn in range(rounds * 3 + 1):
        found = {}
        for watched in (True, False) if turn % 2 else (False, True):
            interrupts.watch(database, wanted=watched)
            found[watched] = _written(saver, f"{turn} {watched}")
        for name in found[True] if turn else ():  # the first round warms up
            spent.setdefault(name, []).append((found[True][name], found[False][name]))
    interrupts.watch(database, wanted=True)
    execute(saver, "TRUNCATE checkpoints, checkpoint_writes, checkpoint_blobs")
    execute(saver, "RESET synchronous_commit")
    for name, pairs in spent.items():
        on, off = (statistics.median(one[side] for one in pairs) / PUTS for side in (0, 1))
        ratio = statistics.median(one / other for one, other in pairs)
        say(
            f"{name:<36} {on * 1e6:>5.0f} µs with the triggers, {off * 1e6:>5.0f} µs without,"
            f" ratio {ratio:.2f}"
        )


def execute(saver: PostgresSaver, sql: str) -> None:
    saver.conn.execute(sql)  # type: ignore[union-attr]


def _written(saver: PostgresSaver, thread: str) -> dict[str, float]:
    """Write as a run does; return the seconds of each kind."""
    version = saver.get_next_version(None, None)
    goes_on: dict[str, Any] = {"branch:to:ask": None, "seen": ["x"] * 20}
    ended: dict[str, Any] = {"seen": ["x"] * 20}
    question = (Interrupt(value={"question": "may I?"}, id="1" * 32),)

    def config(number: int) -> Any:
        return {"configurable": {"thread_id": f"{thread} {number}", "checkpoint_ns": ""}}

    def put(values: dict[str, Any]) -> float:
        versions = dict.fromkeys(("branch:to:ask", "seen"), version)
        begun = time.perf_counter()
        for number in range(PUTS):
            checkpoint = {**empty_checkpoint(), "channel_values": values}
            checkpoint["channel_versions"] = versions
            saver.put(config(number % 20), checkpoint, {"step": 1}, {"seen": version})  # type: ignore[arg-type]
        return time.perf_counter() - begun

    def write(channel: str, value: Any) -> float:
        begun = time.perf_counter()
        for number in range(PUTS):
            at = config(number % 20)
            at["configurable"]["checkpoint_id"] = "2"
            saver.put_writes(at, [(channel, value)], str(number), "~__pregel_pull, ask")
        return time.perf_counter() - begun

    def copy(checkpoint_id: str) -> float:
        begun = time.perf_counter()
        execute(saver, SERVER.format(thread=f"{thread} 1", id=checkpoint_id, rows=PUTS))
        return time.perf_counter() - begun

    return {
        "a checkpoint with a next step": put(goes_on),
        "the last checkpoint": put(ended),
        "a value": write("seen", ["x"] * 20),
        "a question": write("__interrupt__", question),
        "a checkpoint, in the server alone": copy("9"),
    }
