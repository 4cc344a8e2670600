"""The saver: strict about types, side by side, sync and async."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import ormsgpack
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Interrupt

from hitl_agent import Runtime
from hitl_agent.errors import CheckpointRefused
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.database import Database
from hitl_agent.storage.gathered import Gathered

CALLED: list[str] = []


def evil(text: str) -> str:
    CALLED.append(text)
    return text


class State(TypedDict, total=False):
    seen: Annotated[list[Any], operator.add]


def counting() -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(State)
    builder.add_node("one", lambda state: {"seen": [len(state["seen"])]})
    builder.add_edge(START, "one")
    return builder


@pytest.mark.parametrize("strict", ["false", "true"])
def test_a_crafted_row_runs_no_code_whatever_the_environment_says(
    database: Database, monkeypatch: pytest.MonkeyPatch, strict: str
) -> None:
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", strict)
    payload = ormsgpack.packb((__name__, "evil", "run me"))
    crafted = ormsgpack.packb(ormsgpack.Ext(0, payload))
    with pytest.raises(CheckpointRefused, match="a type that is not allowed"):
        Checkpointer(database).serde.loads_typed(("msgpack", crafted))
    assert CALLED == []


def test_one_graph_serves_threads_and_tasks(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        graph = runtime.compile(counting(), name="counting")

        async def all_() -> list[Any]:
            return await asyncio.gather(
                *(graph.ainvoke({"seen": [1]}, runtime.config(f"t{n}")) for n in range(12))
            )

        assert [one["seen"] for one in asyncio.run(all_())] == [[1, 1]] * 12
        assert graph.invoke({"seen": [2]}, runtime.config("t0"))["seen"] == [1, 1, 2, 3]

        async def later() -> tuple[list[str], Any]:
            config = runtime.config("t0")
            listed = [
                one.config["configurable"]["checkpoint_id"]
                async for one in runtime.checkpointer.alist(config)
            ]
            state = await graph.aget_state(config)
            await runtime.checkpointer.adelete_thread("t0")
            return listed, state

        listed, state = asyncio.run(later())
        assert len(listed) == 6
        assert listed == sorted(listed, reverse=True)
        assert state.values["seen"] == [1, 1, 2, 3]
        assert graph.get_state(runtime.config("t0")).values == {}


def test_each_checkpoint_is_written_before_the_graph_goes_on(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        seen: list[int] = []

        def look(state: State) -> dict[str, Any]:
            seen.append(len(list(runtime.checkpointer.list(runtime.config("t")))))
            return {}

        builder = StateGraph(State)
        builder.add_node("one", look)
        builder.add_node("two", look)
        builder.add_edge(START, "one")
        builder.add_edge("one", "two")
        runtime.compile(builder, name="g").invoke({"seen": []}, runtime.config("t"))
    assert seen == [2, 3]


def rows_of(database: Database, saver: Any) -> list[Any]:
    """What a saver leaves in LangGraph's tables after writes of every kind."""
    checkpoint = {
        **empty_checkpoint(),
        "id": "1f0e8f3e-0000-6000-8000-000000000001",
        "ts": "2026-03-01T12:00:00+00:00",
        "channel_values": {"seen": [1], "inline": "text", "other": {"a": "b"}},
    }
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    versions: Any = {"seen": "1", "inline": "1", "other": "1", "gone": "1"}
    written = saver.put(config, checkpoint, {"step": 1}, versions)
    saver.put(config, checkpoint, {"step": 2}, {})
    task = "00000000-0000-0000-0000-0000000000aa"
    saver.put_writes(written, [("seen", [2]), ("other", None), ("x", b"")], task, "~a")
    saver.put_writes(written, [("seen", [3])], task, "~a")
    first, again = Interrupt("first", id="1"), Interrupt("again", id="1")
    saver.put_writes(written, [("__interrupt__", [first])], task)
    saver.put_writes(written, [("__interrupt__", [again]), ("__resume__", [1])], task)
    saver.put_writes(written, [("__resume__", [2]), ("__resume__", [3])], task)
    saver.put_writes(written, [], task)
    found: list[Any] = []
    with database.connection() as connection:
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            rows = connection.execute(f"SELECT * FROM {table}".encode()).fetchall()
            found += sorted((sorted(row.items()) for row in rows), key=str)
    saver.delete_thread("t")
    with database.connection() as connection:
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            assert connection.execute(f"SELECT FROM {table}".encode()).fetchall() == []
    return found


def test_it_leaves_the_rows_that_langgraphs_own_saver_leaves(database: Database) -> None:
    ours = rows_of(database, Checkpointer(database))
    theirs = rows_of(database, PostgresSaver(database.pool))
    assert len(ours) == len(theirs) == 8
    assert ours == theirs


def test_statements_that_could_see_each_other_are_not_joined() -> None:
    insert = "INSERT INTO a (x) VALUES (%s) ON CONFLICT DO NOTHING"
    gathered = Gathered()
    gathered.execute(insert, [1])
    fenced = b"SELECT set_config('hitl.token', %s, true)"
    assert gathered.as_one("7") == (
        b"WITH part_0 AS (" + insert.encode() + b") " + fenced,
        [1, "7"],
    )
    gathered.execute(insert, [2])
    assert gathered.as_one("7") is None
    assert list(gathered.one_by_one("7")) == [
        (fenced, ["7"]),
        (insert.encode(), [1]),
        (insert.encode(), [2]),
    ]
    replacing = Gathered()
    replacing.executemany(
        "INSERT INTO a (x) VALUES (%s) ON CONFLICT (x) DO UPDATE SET y = 1", [[1], [1]]
    )
    assert replacing.as_one("") is None
    assert Gathered().as_one("") is None
    many = Gathered()
    many.executemany(insert, [[number] for number in range(201)])
    assert many.as_one("") is None
    assert len(list(many.one_by_one(""))) == 202


def test_a_step_of_very_many_writes_is_kept_whole(database: Database) -> None:
    saver = Checkpointer(database)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    written = saver.put(config, empty_checkpoint(), {"step": 1}, {})
    saver.put_writes(written, [("seen", [number]) for number in range(9000)], "task")
    found = saver.get_tuple(written)
    assert found is not None
    assert [value for _, _, value in found.pending_writes or []] == [[n] for n in range(9000)]
