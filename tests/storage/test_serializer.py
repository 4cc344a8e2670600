"""What may stand in a checkpoint: nothing unlisted is written, nothing crafted is read."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import operator
import pickle
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict
from uuid import uuid4

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy, interrupt
from pydantic import BaseModel, ConfigDict, Field, RootModel
from typer.testing import CliRunner

from hitl_agent import Runtime
from hitl_agent.cli.app import app
from hitl_agent.errors import CheckpointRefused, ConfigurationError, HitlError
from hitl_agent.graph.declared import declared_types
from hitl_agent.storage.database import Database
from hitl_agent.storage.serializer import Serializer
from hitl_agent.storage.strict_saver import StrictSaver
from tests.support.flows import Desk, call, desk

CALLED: list[Any] = []


def evil(*args: Any, **kwargs: Any) -> str:
    CALLED.append((args, kwargs))
    return "done"


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return evil, ("pickled",)


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    LARGE = "large"


class Line(BaseModel):
    model_config = ConfigDict(extra="allow")
    amount: int = Field(alias="Amount")
    colour: Colour = Colour.RED
    hidden: object = Field(default=None, exclude=True)


class Order(BaseModel):
    lines: list[Line]


@dataclass
class Parcel:
    order: Order
    sent: date


class Point(NamedTuple):
    x: int
    y: int


class Numbers(RootModel[list[int]]):
    pass


MESSAGES = [
    HumanMessage("hi", id="1", extra="kept"),
    AIMessage(
        "because",
        id="2",
        tool_calls=[{"name": "refund", "args": {"amount": 1.5}, "id": "c", "type": "tool_call"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model": "m"},
    ),
    AIMessage([{"type": "text", "text": "x"}, "y"]),
    AIMessageChunk("piece"),
    ToolMessage("done", tool_call_id="c", artifact={"outcome": "succeeded", "value": [1, None]}),
    SystemMessage("be kind"),
    RemoveMessage("1"),
]

KEPT = [
    *MESSAGES,
    MESSAGES,
    *(None, True, "text", 1, 1.5, b"bytes", bytearray(b"more"), [1, {"a": None, 1: "one"}]),
    *(uuid4(), Decimal("1.50"), {1, 2}, frozenset("ab"), deque([1])),
    *(
        datetime.fromisoformat("2026-03-01T12:00"),
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        date(2026, 3, 1),
    ),
    *(time(1, 2, 3), time(1, 2, tzinfo=UTC), timedelta(3, 4, 5), timezone(timedelta(hours=1), "x")),
    [Send("review", {"messages": MESSAGES}), Send("b", 1, timeout=TimeoutPolicy(run_timeout=3))],
    [Interrupt({"request_id": "r"}, id="i")],
    {"seen": Overwrite([1])},
]


@pytest.mark.parametrize("value", KEPT, ids=lambda value: type(value).__name__)
def test_what_is_kept_comes_back_and_its_bytes_are_langgraphs(value: Any) -> None:
    serializer = Serializer()
    written = serializer.dumps_typed(value)
    assert written == JsonPlusSerializer(allowed_msgpack_modules=None).dumps_typed(value)
    again = serializer.loads_typed(written)
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    "value", [Colour.RED, Point(1, 2), Parcel(Order(lines=[Line(Amount=1)]), date(2026, 3, 1))]
)
def test_types_that_are_allowed_come_back_with_what_is_in_them(value: Any) -> None:
    serializer = Serializer([Colour, Point]).allowing([Parcel, Order, Line, Colour])
    again = serializer.loads_typed(serializer.dumps_typed([value]))
    assert again == [value]
    assert type(again[0]) is type(value)
    with pytest.raises(CheckpointRefused, match=r"`\S*test_serializer\.\w+` may not be kept"):
        Serializer().dumps_typed({"deep": [value]})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Evil(), "Evil` may not be kept"),
        (Path("x"), "may not be kept"),
        (ValueError("no"), "`builtins.ValueError` may not be kept"),
        (ToolMessage("x", tool_call_id="c", artifact=Line(Amount=1)), "Line` may not be kept"),
        ("\ud800", "surrogates"),
        ({"\ud800": 1}, "surrogates"),
        (2**64, "64-bit"),
        ({object(): 1}, "Dict key"),
        (evil, "may not be kept"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_could_not_be_read_again_is_not_written(value: Any, why: str) -> None:
    with pytest.raises(CheckpointRefused, match=why.replace("`", ".")) as refused:
        Serializer().dumps_typed([value])
    assert refused.value.hint


def test_what_contains_itself_is_not_written() -> None:
    round_: list[Any] = []
    round_.append(round_)
    with pytest.raises(CheckpointRefused, match="Recursion limit"):
        Serializer().dumps_typed(round_)
    task = Send("a", {})
    task.arg["task"] = task
    with pytest.raises(CheckpointRefused):
        Serializer().dumps_typed(task)


@pytest.mark.parametrize("wrong", [Path, int, "text", Numbers])
def test_only_types_whose_parts_are_known_can_be_allowed(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be allowed"):
        Serializer([wrong])


def test_two_types_of_one_name_cannot_both_be_allowed() -> None:
    other = enum.Enum("Colour", {"BLUE": "blue"}, module=__name__)
    with pytest.raises(ConfigurationError, match=r"two types are named `\S+Colour`"):
        Serializer([Colour, other])


def ext(code: int, *parts: Any) -> ormsgpack.Ext:
    return ormsgpack.Ext(code, ormsgpack.packb(parts))


def packed(value: Any) -> tuple[str, bytes]:
    return "msgpack", ormsgpack.packb(value)


def nested(levels: int) -> ormsgpack.Ext:
    value: Any = None
    for _ in range(levels):
        value = ext(0, "builtins", "frozenset", [value])
    return value


HERE = __name__
CRAFTED = {
    "a function": packed(ext(0, HERE, "evil", "run me")),
    "os.system": packed(ext(0, "os", "system", "touch crafted")),
    "with positions": packed(ext(1, "subprocess", "run", [["touch", "crafted"]])),
    "with names": packed(ext(2, HERE, "evil", {"a": 1})),
    "a method": packed(ext(3, "builtins", "eval", "evil()", "__call__")),
    "a method of an allowed type": packed(ext(3, "uuid", "UUID", "x", "__class__")),
    "pydantic 1": packed(ext(4, HERE, "Line", {"amount": 1})),
    "pydantic": packed(ext(5, HERE, "Line", {"amount": 1}, "model_validate_json")),
    "an array": packed(ext(6, "|O", [1], "C", b"12345678")),
    "a code that nobody has": packed(ext(99, "a", "b", "c")),
    "an allowed type in the wrong way": packed(ext(5, "uuid", "UUID", {"hex": "0" * 32})),
    "a message that is none": packed(
        ext(5, "langchain_core.messages.ai", "AIMessage", {"content": "x", "tool_calls": "all"})
    ),
    "a message's parts": packed(ext(5, "langchain_core.messages.ai", "AIMessage", "text")),
    "a number of many digits": packed(ext(0, "decimal", "Decimal", "x")),
    "inside a message": packed(
        ext(
            5,
            "langchain_core.messages.human",
            "HumanMessage",
            {"content": "x", "additional_kwargs": {"a": ext(0, HERE, "evil", 1)}},
        )
    ),
    "a value that is none of its type": packed(ext(5, "builtins", "set", [])),
    "no name": packed(ext(0, 1, 2, 3)),
    "nothing": packed(ormsgpack.Ext(0, b"")),
    "objects in objects": packed(nested(200)),
    "lists in lists": ("msgpack", b"\x91" * 100_000 + b"\xc0"),
    "a list of 4 billion": ("msgpack", b"\xdd\xff\xff\xff\xff"),
    "no bytes": ("msgpack", b""),
    "cut off": ("msgpack", ormsgpack.packb({"a": [1, 2, 3]})[:-2]),
    "pickle": ("pickle", pickle.dumps(Evil())),
    "a constructor in JSON": (
        "json",
        json.dumps({"lc": 2, "type": "constructor", "id": [HERE, "evil"]}).encode(),
    ),
    "encrypted": ("msgpack+aes-256-gcm.00000000", b"0" * 40),
    "a kind that nobody has": ("\x1b[31m", b""),
}


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a crafted row would run leaves a file here, or a call."""
    CALLED.clear()
    monkeypatch.chdir(tmp_path)
    yield
    assert CALLED == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", CRAFTED)
@pytest.mark.parametrize("looking", [False, True])
def test_what_was_crafted_builds_nothing(name: str, looking: bool) -> None:
    serializer = Serializer().looking() if looking else Serializer()
    given = None
    with contextlib.suppress(CheckpointRefused):
        given = serializer.loads_typed(CRAFTED[name])
    # who only looks is told that something is there
    assert given is None or (looking and "Unread" in repr(given))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(CheckpointRefused):
        Serializer().loads_typed(("msgpack", data))


@given(st.sampled_from(KEPT[:12]), st.data())
def test_a_changed_byte_is_read_or_refused(value: Any, data: st.DataObject) -> None:
    kind, written = Serializer().dumps_typed(value)
    if not written:
        return
    place = data.draw(st.integers(0, len(written) - 1))
    changed = bytearray(written)
    changed[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CheckpointRefused):
        Serializer().loads_typed((kind, bytes(changed)))


# -- in the database ------------------------------------------------------------------------------


def sql(database: Database, statement: str, *values: Any) -> None:
    with database.connection() as connection:
        connection.execute(statement.encode(), values)


@pytest.fixture
def runtime(database: Database) -> Iterator[Runtime]:
    with Runtime.open(database.url) as opened:
        yield opened


def hitl(*args: str) -> tuple[int, str]:
    """Run a command; its status and all that it said."""
    done = CliRunner().invoke(app, list(args), prog_name="hitl")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout + done.stderr


def waiting_desk(runtime: Runtime) -> Desk:
    one = desk(runtime, [call("send", "c", to="bo")])
    one.start()
    assert one.status == "waiting"
    return one


ATTACKS: dict[str, Callable[[Database, tuple[str, bytes]], None]] = {
    "messages": lambda database, crafted: sql(
        database,
        "UPDATE checkpoint_blobs SET type = %s, blob = %s WHERE channel = 'messages'",
        *crafted,
    ),
    "interrupt": lambda database, crafted: sql(
        database,
        "UPDATE checkpoint_writes SET type = %s, blob = %s WHERE channel = '__interrupt__'",
        *crafted,
    ),
    "sends": lambda database, crafted: sql(
        database,
        "UPDATE checkpoint_blobs SET type = %s, blob = %s WHERE channel = '__pregel_tasks'",
        *crafted,
    ),
}


@pytest.mark.parametrize(
    ("where", "name"),
    [
        *(("messages", name) for name in CRAFTED),
        *(("interrupt", name) for name in ("a function", "cut off", "pickle")),
        *(("sends", name) for name in ("a function", "cut off", "pickle")),
    ],
)
def test_a_crafted_row_is_refused_with_its_place_and_hides_nothing_else(
    runtime: Runtime, name: str, where: str
) -> None:
    attacked = waiting_desk(runtime)
    ATTACKS[where](runtime.database, CRAFTED[name])
    other = waiting_desk(runtime)

    with pytest.raises(CheckpointRefused, match=f"thread `{attacked.thread_id}`, channel `_?") as e:
        attacked.graph.get_state(attacked.config)
    assert e.value.hint
    for again in (lambda: attacked.graph.invoke(None, attacked.config), attacked.resume):
        with pytest.raises(CheckpointRefused):
            again()
    assert attacked.done == []

    # people still see what waits, and a decision is taken
    assert {one.thread_id for one in runtime.waiting()} == {attacked.thread_id, other.thread_id}
    assert hitl("list")[0] == 0
    assert hitl("show", other.thread_id)[0] == 0
    assert hitl("history", attacked.thread_id)[0] == 0
    status, said = hitl("show", attacked.thread_id)
    assert status == 0 or "channel" in said

    other.decide("c", {"type": "approve"})
    other.resume()
    assert other.done == [("send", "bo")]


RAW = [
    ("messages", packed([{"type": "ai", "content": "x"}]), "messages"),
    ("messages", packed("text"), "messages"),
    ("messages", packed({"a": 1}), "messages"),
    ("messages", ("null", b""), "messages"),
    ("__pregel_tasks", packed([["executor", {}]]), "__pregel_tasks"),
]


@pytest.mark.parametrize(("channel", "crafted", "named"), RAW)
def test_raw_data_in_the_place_of_what_we_know_is_refused(
    runtime: Runtime, channel: str, crafted: tuple[str, bytes], named: str
) -> None:
    attacked = waiting_desk(runtime)
    sql(
        runtime.database,
        "UPDATE checkpoint_blobs SET type = %s, blob = %s WHERE channel = %s",
        *(*crafted, channel),
    )
    with pytest.raises(CheckpointRefused, match=f"channel `{named}`: it holds a `"):
        attacked.graph.get_state(attacked.config)
    with pytest.raises(CheckpointRefused, match=f"channel `{named}`: it holds a `"):
        runtime.thread(attacked.thread_id)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkpoints SET checkpoint = '[]'",
        "UPDATE checkpoints SET checkpoint = '7'",
        "UPDATE checkpoints SET checkpoint = checkpoint - 'ts'",
        "UPDATE checkpoints SET checkpoint = checkpoint - 'v'",
        'UPDATE checkpoints SET checkpoint = checkpoint || \'{"ts": "soon"}\'',
        'UPDATE checkpoints SET checkpoint = checkpoint || \'{"v": "four"}\'',
        "UPDATE checkpoints SET checkpoint = checkpoint || '{\"channel_versions\": 1}'",
        "UPDATE checkpoints SET checkpoint = checkpoint || '{\"versions_seen\": []}'",
        "UPDATE checkpoints SET checkpoint = checkpoint || '{\"channel_values\": [1]}'",
        "UPDATE checkpoints SET metadata = '[]'",
        r"""
        UPDATE checkpoint_blobs SET channel = 'a\b', version = 'x' WHERE version =
            (SELECT max(version) FROM checkpoint_blobs WHERE channel = 'messages');
        UPDATE checkpoints SET checkpoint = checkpoint || '{"channel_versions": {"a\\b": "x"}}'
        """,
    ],
)
def test_a_checkpoint_that_is_none_is_refused(runtime: Runtime, statement: str) -> None:
    attacked = waiting_desk(runtime)
    for one in statement.split(";"):
        sql(runtime.database, one)
    with pytest.raises(CheckpointRefused, match=f"thread `{attacked.thread_id}`"):
        attacked.graph.get_state(attacked.config)
    for command in ("show", "history", "resume"):
        status, said = hitl(command, attacked.thread_id)
        assert status == 1
        assert attacked.thread_id in said
    assert hitl("list")[0] == 0
    assert attacked.done == []


# -- graphs of others -----------------------------------------------------------------------------


class Own(TypedDict, total=False):
    order: Order
    parcels: Annotated[list[Parcel], operator.add]
    colour: Colour
    size: Size
    anything: Any
    messages: Annotated[list[AnyMessage], add_messages]


def own_graph(**update: Any) -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(Own)
    builder.add_node("one", lambda state: update)
    builder.add_node("two", lambda state: {"anything": interrupt("may I?")})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder


ORDER = Order(lines=[Line(Amount=1)])


def test_the_types_that_a_state_declares_may_stand_in_it(runtime: Runtime) -> None:
    parcel = Parcel(ORDER, date(2026, 3, 1))
    builder = own_graph(order=ORDER, parcels=[parcel], colour=Colour.RED, size=Size.LARGE)
    assert {Order, Line, Parcel, Colour, Size} <= set(declared_types(builder))
    config = runtime.config("t")
    runtime.compile(builder).invoke({"messages": ["hi"]}, config)
    later = runtime.compile(builder)
    values = later.get_state(config).values
    assert (values["order"], values["parcels"], values["colour"]) == (ORDER, [parcel], Colour.RED)
    assert type(values["size"]) is Size  # text, that LangGraph would give back as no more than that
    # whoever only looks has not the graph, and needs none of its types
    assert runtime.thread("t").thread.status == "waiting"
    assert runtime.history("t")
    with pytest.raises(CheckpointRefused, match=r"thread `t`, channel `\w+`: `\S+`, a type"):
        runtime.checkpointer.get_tuple(config)
    later.invoke(Command(resume=1), config)
    assert runtime.thread("t").thread.status == "done"


def test_a_question_with_a_value_of_a_graphs_own_is_shown_without_it(runtime: Runtime) -> None:
    builder = StateGraph(Own)
    builder.add_node("one", lambda state: {"anything": interrupt({"about": ORDER})})
    builder.add_edge(START, "one")
    runtime.compile(builder).invoke({"messages": ["hi"]}, runtime.config("t"))
    (asked,) = runtime.thread("t").thread.interrupts
    assert str(asked.value["about"]) == "…"
    assert hitl("show", "t")[0] == 0


def test_the_types_of_a_graph_within_a_graph_are_declared_too(runtime: Runtime) -> None:
    class Outer(TypedDict, total=False):
        anything: Any
        unknown: NotHere  # noqa: F821

    builder = StateGraph(Any)
    builder.add_node("inner", own_graph(colour=Colour.RED).compile())
    builder.add_edge(START, "inner")
    assert Colour in declared_types(builder)
    assert declared_types(object()) == []
    outer = StateGraph(dict)
    outer.schemas[Outer] = {}
    assert declared_types(outer) == []


def test_a_type_that_is_nowhere_declared_is_refused_when_it_is_written(database: Database) -> None:
    config = Runtime.config("t")
    with Runtime.open(database.url) as runtime:
        graph = runtime.compile(own_graph(anything=Point(1, 2)))
        with pytest.raises(CheckpointRefused, match=r"channel `anything`: .*Point` may not") as e:
            graph.invoke({"messages": ["hi"]}, config)
        assert e.value.hint == "keep plain JSON, or allow it: `Runtime.open(allow=[Point])`"
        # nothing of it was written, and the thread is as it was
        assert graph.get_state(config).next == ("one",)
    with Runtime.open(database.url, allow=[Point]) as runtime:
        graph = runtime.compile(own_graph(anything=Point(1, 2)))
        graph.invoke(None, config)
        assert graph.get_state(config).values["anything"] == Point(1, 2)


def test_an_error_is_kept_as_its_text_and_only_as_an_error(runtime: Runtime) -> None:
    def fails(_: Own) -> Own:
        raise RuntimeError("no \ud800\x00 today")

    builder = StateGraph(Own)
    builder.add_node("one", fails)
    builder.add_edge(START, "one")
    graph = runtime.compile(builder)
    with pytest.raises(RuntimeError, match="today"):
        graph.invoke({"messages": ["hi"]}, runtime.config("t"))
    assert "today" in str(runtime.thread("t").thread.error)
    with pytest.raises(CheckpointRefused, match="ValueError` may not be kept"):
        runtime.compile(own_graph(anything=ValueError("x"))).invoke({}, runtime.config("u"))


@pytest.mark.parametrize("strict", ["true", "false"])
def test_langgraphs_own_setting_changes_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, strict: str
) -> None:
    from langgraph._internal import _serde

    monkeypatch.setattr(_serde, "STRICT_MSGPACK_ENABLED", strict == "true")
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", strict)
    one = waiting_desk(runtime)
    assert isinstance(one.graph.checkpointer, StrictSaver)
    assert isinstance(one.graph.checkpointer.serde, Serializer)
    one.decide("c", {"type": "approve"})
    one.resume()
    assert one.done == [("send", "bo")]


@pytest.mark.parametrize(
    "state",
    [{"anything": "a\x00b"}, {"anything": float("nan")}, {"anything": "\ud800"}],
    ids=["NUL", "NaN", "surrogate"],
)
def test_text_and_numbers_that_the_server_cannot_hold_are_refused_clearly(
    runtime: Runtime, state: Any
) -> None:
    """LangGraph keeps text and numbers as JSONB, which has none of these."""
    with pytest.raises(HitlError) as refused:
        runtime.compile(own_graph(**state)).invoke({}, runtime.config("t"))
    assert isinstance(refused.value, CheckpointRefused)
    assert "thread `t`" in refused.value.message
    assert refused.value.hint


def test_the_rows_of_our_graph_are_those_that_langgraphs_saver_can_read(runtime: Runtime) -> None:
    one = waiting_desk(runtime)
    stock = PostgresSaver(runtime.database.pool)
    assert stock.get_tuple(one.config) == runtime.checkpointer.get_tuple(one.config)


def test_it_is_as_strict_where_a_graph_is_awaited(runtime: Runtime) -> None:
    attacked = waiting_desk(runtime)
    ATTACKS["messages"](runtime.database, CRAFTED["a function"])
    with pytest.raises(CheckpointRefused):
        asyncio.run(attacked.graph.aget_state(attacked.config))
    with pytest.raises(CheckpointRefused):
        asyncio.run(attacked.graph.ainvoke(None, attacked.config))
