"""The saver: strict about types, side by side, sync and async."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import ormsgpack
import pytest
from langgraph.graph import START, StateGraph

from hitl_agent import Runtime
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.database import Database

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
