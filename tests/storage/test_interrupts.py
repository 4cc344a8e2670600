"""What is listed of any thread is what LangGraph's own `get_state` says, after every step."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from hitl_agent import AgentState, Runtime, build_graph
from hitl_agent.policy import parse_policy
from hitl_agent.storage import interrupts
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.database import Database
from hitl_agent.storage.threads import read_thread
from tests.support.flows import POLICY, Script, call, desk, tools_noting

WAYS = ["plain", "plain async", "ours", "ours async"]
Make = Callable[[BaseCheckpointSaver[Any]], Any]


class State(TypedDict, total=False):
    seen: Annotated[list[Any], operator.add]


def asks(*questions: Any) -> Callable[[State], State]:
    """A node that asks one question after the other; the answer `raise` makes it fail."""

    def node(_: State) -> State:
        answers = [interrupt(one) for one in questions]
        if "raise" in answers:
            raise ValueError("the tool failed")
        return {"seen": answers}

    return node


def graph_of(nodes: dict[str, Any], edges: list[tuple[Any, str]], **compiled: Any) -> Make:
    def make(saver: BaseCheckpointSaver[Any] | None) -> Any:
        builder = StateGraph(State)
        for name, node in nodes.items():
            builder.add_node(name, node)
        for start, end in edges:
            builder.add_edge(start, end)
        return builder.compile(checkpointer=saver, **compiled)

    return make


class Thread:
    """A thread of a graph; after each thing that is done to it, what is listed is compared."""

    def __init__(self, database: Database, way: str, make: Make, thread_id: str = "t") -> None:
        self.database = database
        self.way = way
        self.make = make
        self.config: Any = {"configurable": {"thread_id": thread_id}}
        self.thread_id = thread_id

    def run(self, given: Any, config: Any = None, **how: Any) -> None:
        self._do("invoke", given, config or self.config, **how)

    def answer(self, *answers: tuple[Any, Any], **how: Any) -> None:
        """Answer questions, each named by what it asks."""
        waiting = {str(one.value): one.id for one in self.state().interrupts}
        resume = {waiting[str(asked)]: answer for asked, answer in answers}
        self.run(Command(resume=resume), **how)

    def update(self, values: Any, config: Any = None, **how: Any) -> None:
        self._do("update_state", config or self.config, values, **how)

    def state(self, config: Any = None) -> Any:
        with self._plain() as saver:
            return self.make(saver).get_state(config or self.config)

    def history(self) -> list[Any]:
        with self._plain() as saver:
            return list(self.make(saver).get_state_history(self.config))

    def asked(self) -> list[interrupts.Asked]:
        return interrupts.asked(self.database, thread_id=self.thread_id)

    def compare(self) -> None:
        state = self.state()
        true = sorted((one.id, repr(one.value)) for one in state.interrupts)
        assert sorted((str(one.interrupt_id), repr(one.value)) for one in self.asked()) == true
        self.compare_notes(open_=bool(state.tasks))
        halted = [one.thread_id for one in interrupts.stopped(self.database)]
        assert (self.thread_id in halted) == bool(state.tasks and not state.interrupts)
        if state.metadata is None:
            return
        thread = read_thread(self.database, Checkpointer(self.database), self.thread_id)
        assert sorted((one.id, repr(one.value)) for one in thread.interrupts) == true
        if not state.tasks:
            assert thread.status == "done"
        elif true:
            assert thread.status == "waiting"
        else:
            assert thread.status == ("failed" if any(t.error for t in state.tasks) else "running")

    def compare_notes(self, *, open_: bool) -> None:
        """Nothing is noted that is past: what is noted does not grow with a thread's history."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            noted, past = connection.execute(
                "SELECT EXISTS (SELECT FROM hitl.open_thread WHERE thread_id = %(t)s),"
                " EXISTS (SELECT FROM hitl.interrupt WHERE thread_id = %(t)s"
                " AND hitl.is_past(thread_id, checkpoint_id))",
                {"t": self.thread_id},
            ).fetchone() or (None, None)
        assert (noted, past) == (open_, False)

    def _do(self, name: str, *args: Any, **how: Any) -> None:
        try:
            if "async" in self.way:
                asyncio.run(self._later(name, args, how))
            else:
                with self._plain() if self.way == "plain" else self._ours() as saver:
                    getattr(self.make(saver), name)(*args, **how)
        except ValueError as error:
            if "the tool failed" not in str(error):
                raise
        self.compare()

    async def _later(self, name: str, args: Any, how: Any) -> None:
        if self.way == "ours async":
            await getattr(self.make(Checkpointer(self.database)), f"a{name}")(*args, **how)
            return
        async with AsyncPostgresSaver.from_conn_string(self.database.url) as saver:
            await getattr(self.make(saver), f"a{name}")(*args, **how)

    @contextmanager
    def _ours(self) -> Iterator[Checkpointer]:
        yield Checkpointer(self.database)

    @contextmanager
    def _plain(self) -> Iterator[PostgresSaver]:
        with PostgresSaver.from_conn_string(self.database.url) as saver:
            yield saver


@pytest.fixture(params=WAYS)
def thread(request: pytest.FixtureRequest, database: Database) -> Callable[..., Thread]:
    return lambda make, thread_id="t": Thread(database, request.param, make, thread_id)


@pytest.fixture
def plain(database: Database) -> Callable[..., Thread]:
    return lambda make, thread_id="t": Thread(database, "plain", make, thread_id)


PARALLEL = graph_of(
    {"a": asks("qa"), "b": asks("qb"), "c": lambda _: {"seen": [3]}},
    [(START, "a"), (START, "b"), (START, "c")],
)
SEQUENCE = graph_of({"a": asks("one", "two", "three")}, [(START, "a")])


def test_parallel_questions_are_answered_one_by_one(thread):
    t = thread(PARALLEL)
    t.run({"seen": []})
    assert {(one.node, one.value) for one in t.asked()} == {("a", "qa"), ("b", "qb")}
    t.answer(("qb", "yes"))
    assert [one.value for one in t.asked()] == ["qa"]
    t.answer(("qa", "yes"))
    assert t.asked() == []


@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
def test_with_every_durability(thread, durability):
    t = thread(PARALLEL)
    t.run({"seen": []}, durability=durability)
    t.answer(("qb", "yes"), durability=durability)
    t.answer(("qa", "raise"), durability=durability)
    t.run(None, durability=durability)


def test_several_questions_one_after_another_in_one_task(thread):
    t = thread(SEQUENCE)
    t.run({"seen": []})
    for question in ("one", "two", "three"):
        assert [one.value for one in t.asked()] == [question]
        t.answer((question, "yes"))
    assert t.state().values == {"seen": ["yes"] * 3}


def nested(saver: BaseCheckpointSaver[Any]) -> Any:
    inner = graph_of({"x": asks("ix"), "y": asks("iy")}, [(START, "x"), (START, "y")])(None)
    middle = graph_of({"deep": inner, "m": asks("im")}, [(START, "deep"), (START, "m")])(None)
    outer = {"sub": middle, "o": asks("io")}
    return graph_of(outer, [(START, "sub"), (START, "o"), ("sub", END)])(saver)


def test_subgraphs_in_subgraphs(thread):
    t = thread(nested)
    t.run({"seen": []})
    assert {one.node for one in t.asked()} == {"sub", "o"}
    for question in ("iy", "io", "im", "ix"):
        t.answer((question, question))
    assert t.asked() == []


def sends(saver: BaseCheckpointSaver[Any]) -> Any:
    builder = StateGraph(State)
    builder.add_node("plan", lambda _: {})
    builder.add_node("work", lambda one: asks(one["n"])({}))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", lambda _: [Send("work", {"n": n}) for n in range(3)])
    return builder.compile(checkpointer=saver)


def test_sends(thread):
    t = thread(sends)
    t.run({"seen": []})
    for number in (1, 0, 2):
        t.answer((number, "yes"))
    t.run({"seen": []})


def functional(saver: BaseCheckpointSaver[Any]) -> Any:
    @task
    def ask(question: str) -> Any:
        return interrupt(question)

    @task
    def outer(question: str) -> Any:
        return ask(question).result()

    @entrypoint(checkpointer=saver)
    def flow(_: Any) -> list[Any]:
        both = ask("one"), outer("two")
        return [*(one.result() for one in both), interrupt("three")]

    return flow


@pytest.mark.parametrize("given", ["text", {"an": "object"}])
def test_the_functional_api_asks_once(thread, given):
    t = thread(functional)
    t.run(given)
    for question in ("one", "two", "three"):
        assert [one.value for one in t.asked()] == [question]
        t.answer((question, "yes"))
    assert t.asked() == []


def test_what_is_answered_and_then_raises_still_waits(thread):
    t = thread(graph_of({"a": asks("one"), "b": asks("other")}, [(START, "a"), (START, "b")]))
    t.run({"seen": []})
    t.answer(("one", "raise"))
    failed = {one.value: one.failed for one in t.asked()}
    assert failed.keys() == {"one", "other"}  # which may have been cancelled with it
    assert failed["one"]
    t.run(None)
    t.answer(("other", "yes"))


def test_updated_forked_and_time_travelled_threads(thread):
    t = thread(
        graph_of(
            {"first": lambda _: {"seen": ["f"]}, "a": asks("qa"), "b": asks("qb")},
            [(START, "first"), ("first", "a"), ("a", "b")],
        )
    )
    t.run({"seen": []})
    t.update({"seen": ["by hand"]})
    t.update({"seen": ["as a"]}, as_node="a")
    t.run(None)
    t.answer(("qb", "yes"))
    old = [one for one in t.history() if one.next == ("a",)]
    t.run(None, old[-1].config)
    assert [one.value for one in t.asked()] == ["qa"]
    t.update({"seen": ["fork"]}, old[0].config)
    t.run(None)
    t.answer(("qa", "yes"))
    t.run({"seen": ["new input"]})
    t.run({"seen": ["newer input"]})


JOINED = {name: (lambda _: {"seen": [1]}) for name in ("a", "bb", "ccc")}
JOIN: list[tuple[Any, str]] = [(START, "a"), (START, "bb"), (["a", "bb"], "ccc")]


@pytest.mark.parametrize(
    "breakpoints",
    [{"interrupt_before": ["ccc"]}, {"interrupt_after": ["a"]}, {"interrupt_before": "*"}],
)
def test_static_breakpoints_ask_nothing(thread, breakpoints):
    t = thread(graph_of(JOINED, JOIN, **breakpoints))
    t.run({"seen": []})
    assert t.asked() == []
    for _ in range(3):
        if t.state().next:
            t.run(None)
    assert not t.state().next


def test_failed_threads(thread):
    def fails(_: State) -> State:
        raise ValueError("the tool failed")

    t = thread(graph_of({"a": fails}, [(START, "a")]))
    t.run({"seen": []})
    t.run(None)


def test_deferred_nodes(thread):
    def make(saver: Any) -> Any:
        builder = StateGraph(State)
        builder.add_node("a", asks("qa"))
        builder.add_node("b", lambda _: {"seen": ["b"]})
        builder.add_node("last", asks("ql"), defer=True)
        for start, end in ((START, "a"), (START, "b"), (["a", "b"], "last")):
            builder.add_edge(start, end)
        return builder.compile(checkpointer=saver)

    t = thread(make)
    t.run({"seen": []})
    t.answer(("qa", "yes"))
    t.answer(("ql", "yes"))
    assert not t.state().tasks


def test_a_deleted_thread_is_gone(thread):
    t = thread(PARALLEL)
    t.run({"seen": []})
    with t._plain() as saver:
        saver.delete_thread("t")
    t.compare()
    assert rows(t.database, "SELECT thread_id FROM hitl.interrupt") == []
    assert rows(t.database, "SELECT thread_id FROM hitl.open_thread") == []
    t.run({"seen": []})


def rows(database: Database, sql: str) -> list[Any]:
    with psycopg.connect(database.url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def columns(database: Database, table: str) -> str:
    found = rows(
        database,
        f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
        " AND column_name <> 'thread_id'",
    )
    return ", ".join(name for (name,) in found)


@pytest.mark.parametrize("order", [1, -1])
def test_a_copied_thread_waits_as_well(plain, order):
    t = plain(SEQUENCE)
    t.run({"seen": []})
    t.run({"seen": []})
    t.answer(("one", "yes"))
    for table in ("checkpoint_blobs", "checkpoint_writes", "checkpoints")[::order]:
        kept = columns(t.database, table)
        rows(
            t.database,
            f"INSERT INTO {table} (thread_id, {kept}) SELECT 'copy', {kept} FROM {table}"
            f" ORDER BY checkpoint_ns, {kept.split(',')[0]}" + (" DESC" if order < 0 else ""),
        )
    copy = plain(SEQUENCE, "copy")
    copy.compare()
    assert [one.value for one in copy.asked()] == ["two"]
    copy.answer(("two", "yes"))
    copy.answer(("three", "yes"))
    rows(t.database, "DELETE FROM checkpoints WHERE thread_id = 't'")
    kept = columns(t.database, "checkpoints")
    rows(
        t.database,
        f"INSERT INTO checkpoints (thread_id, {kept}) SELECT 'ended', {kept} FROM checkpoints"
        f" ORDER BY checkpoint_id" + (" DESC" if order < 0 else ""),
    )
    plain(SEQUENCE, "ended").compare()


def test_a_checkpoint_that_was_taken_away_shows_the_one_before(plain):
    t = plain(graph_of({"a": asks("qa"), "b": asks("qb")}, [(START, "a"), ("a", "b")]))
    t.run({"seen": []})
    t.answer(("qa", "yes"))
    rows(
        t.database,
        "DELETE FROM checkpoints"
        " WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM checkpoints)",
    )
    t.compare()
    rows(t.database, "DELETE FROM checkpoint_writes WHERE channel NOT LIKE '\\_\\_%'")
    t.compare()
    assert [one.value for one in t.asked()] == ["qa"]


def test_pruned_threads_and_emptied_tables(plain):
    t = plain(PARALLEL)
    t.run({"seen": []})
    t.answer(("qa", "yes"))
    before = t.asked()
    with t._plain() as saver:
        saver.prune(["t"], strategy="keep_latest")
    t.compare()
    assert t.asked() == before
    rows(t.database, "TRUNCATE checkpoints, checkpoint_writes, checkpoint_blobs")
    assert rows(t.database, "SELECT * FROM hitl.interrupt") == []
    assert rows(t.database, "SELECT * FROM hitl.open_thread") == []


# a pool draws its pauses in a thread of its own, while Hypothesis draws a value
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("way", WAYS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_done_to_a_thread(database_walk, way, data):
    made = data.draw(st.sampled_from([PARALLEL, SEQUENCE, nested, sends]))
    t = Thread(database_walk, way, made)
    rows(t.database, "DELETE FROM checkpoints; DELETE FROM checkpoint_writes")
    rows(t.database, "DELETE FROM checkpoint_blobs")
    t.run({"seen": []})
    for _ in range(data.draw(st.integers(1, 6))):
        waiting = t.state().interrupts
        past = [one.config for one in t.history()]
        match data.draw(st.sampled_from(["answer", "fail", "go on", "new", "update", "travel"])):
            case "answer" if waiting:
                some = data.draw(st.lists(st.sampled_from(waiting), min_size=1, unique_by=id))
                t.run(Command(resume={one.id: "yes" for one in some}))
            case "fail" if waiting:
                t.run(Command(resume={data.draw(st.sampled_from(waiting)).id: "raise"}))
            case "go on" if t.state().tasks:
                t.run(None)
            case "new":
                t.run({"seen": []})
            case "update":
                t.update({"seen": ["u"]}, data.draw(st.sampled_from(past)), as_node="__copy__")
            case "travel":
                t.run(None, data.draw(st.sampled_from(past)))


@pytest.fixture
def database_walk(database: Database) -> Database:
    return database


def test_what_was_there_before_is_listed_as_well(plain):
    t = plain(PARALLEL)
    interrupts.watch(t.database, wanted=False)
    assert not interrupts.watched(t.database)
    for number in range(3):
        one = plain(SEQUENCE, f"before {number}")
        with one._plain() as saver:
            one.make(saver).invoke({"seen": []}, one.config)
        assert one.asked() == []
    with t._plain() as saver:
        graph_of(JOINED, JOIN, interrupt_before=["ccc"])(saver).invoke({"seen": []}, t.config)
        graph_of(JOINED, JOIN)(saver).invoke({"seen": []}, {"configurable": {"thread_id": "end"}})
    interrupts.watch(t.database, wanted=True)
    assert interrupts.watched(t.database)
    for number in range(3):
        plain(SEQUENCE, f"before {number}").compare()
    assert [one.thread_id for one in interrupts.stopped(t.database)] == ["t"]
    assert len(interrupts.asked(t.database)) == 3


def test_rows_that_came_past_the_triggers_are_believed(plain):
    """A replica, or a restore: what was noted is old, what is listed is not."""
    t = plain(SEQUENCE)
    t.run({"seen": []})
    rows(
        t.database,
        "SET session_replication_role = replica;"
        "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint, metadata)"
        " SELECT thread_id, 'f' || checkpoint_id, checkpoint #- '{channel_values,branch:to:a}',"
        " metadata FROM checkpoints ORDER BY checkpoint_id DESC LIMIT 1",
    )
    assert t.state().interrupts == ()
    assert t.asked() == []
    assert Runtime(t.database).stopped() == []
    rows(t.database, "SELECT hitl.look_again(NULL)")
    t.compare()


def test_without_the_triggers_langgraph_works_and_nothing_is_noted(plain):
    t = plain(SEQUENCE)
    interrupts.watch(t.database, wanted=False)
    with t._plain() as saver:
        t.make(saver).invoke({"seen": []}, t.config)
    assert t.asked() == interrupts.stopped(t.database) == []
    interrupts.watch(t.database, wanted=True)


@pytest.mark.parametrize(
    "checkpoint",
    [
        "[]", "1", "null", '"x"', "{}", '{"channel_values": 1, "channel_versions": []}',
        '{"ts": "9999-99-99", "channel_values": {"branch:to:a": null}}',
        '{"ts": [], "channel_values": null, "channel_versions": {"join:a": {}, "__start__": null}}',
    ],
)  # fmt: skip
def test_no_content_keeps_langgraph_from_writing(database, checkpoint):
    with psycopg.connect(database.url, autocommit=True) as connection:
        put = "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES ('t', %s, %s)"
        connection.execute(put, ("1", checkpoint))
        for number, blob in enumerate((b"", b"\x90", b"\x91", b"\xdf" * 9, b"\x00")):
            connection.execute(
                "INSERT INTO checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel,"
                " type, blob, task_path) VALUES ('t', '1', %s, -3, '__interrupt__', %s, %s, '~')",
                (str(number), "msgpack" if number else None, blob),
            )
        for one in interrupts.asked(database):
            assert one.interrupt_id is None or one.thread_id == "t"
        connection.execute(put, ("2", checkpoint))
        connection.execute("DELETE FROM checkpoints")
        connection.execute("SELECT hitl.look_again(NULL)")


def test_a_role_without_rights_on_our_tables_writes_checkpoints(plain):
    t = plain(PARALLEL)
    rows(t.database, "DROP ROLE IF EXISTS writer")
    rows(t.database, "CREATE ROLE writer LOGIN")
    rows(t.database, "GRANT ALL ON checkpoints, checkpoint_writes, checkpoint_blobs TO writer")
    try:
        with PostgresSaver.from_conn_string(
            t.database.url.replace("postgres@", "writer@", 1)
        ) as saver:
            t.make(saver).invoke({"seen": []}, t.config)
            t.compare()
            saver.delete_thread("t")
        t.compare()
    finally:
        rows(t.database, "DROP OWNED BY writer; DROP ROLE writer")


class Odd:
    """What no serializer of ours takes."""


def test_what_cannot_be_read_is_listed_with_its_type(database, monkeypatch):
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    config = {"configurable": {"thread_id": "t"}}
    with PostgresSaver.from_conn_string(database.url) as saver:
        saver.serde = JsonPlusSerializer(pickle_fallback=True)
        graph_of({"a": asks(Odd())}, [(START, "a")])(saver).invoke({"seen": []}, config)
    (one,) = interrupts.asked(database)
    assert (one.thread_id, one.node, one.kind, one.interrupt_id) == ("t", "a", "pickle", None)
    assert "pickle" in one.problem


def test_an_encrypted_question_is_listed_and_read_with_the_key(database, monkeypatch):
    from hitl_agent.storage.encryption import configured_cipher

    cipher = configured_cipher("bm90IGEgc2VjcmV0LCBvbmx5IDMyIGJ5dGVzIGxvbmc=")
    saver = Checkpointer(database, cipher=cipher)
    config: Any = {"configurable": {"thread_id": "t"}}
    graph = graph_of({**JOINED, "ccc": asks("q")}, JOIN)(saver)
    graph.invoke({"seen": []}, config)
    (sealed,) = interrupts.asked(database)
    assert (sealed.interrupt_id, sealed.value) == (None, None)
    assert sealed.kind.startswith("msgpack+aes")
    assert "there is no key here" in sealed.problem
    (read,) = interrupts.asked(database, cipher=cipher)
    assert read.value == "q"
    assert read.interrupt_id == graph.get_state(config).interrupts[0].id
    graph.invoke(Command(resume="yes"), config)
    assert interrupts.asked(database) == []
    assert rows(database, "SELECT * FROM hitl.open_thread") == []


def test_a_question_of_many_megabytes_is_not_read(plain):
    t = plain(graph_of({"a": asks("x" * 5_000_000)}, [(START, "a")]))
    with t._plain() as saver:
        t.make(saver).invoke({"seen": []}, t.config)
    (one,) = t.asked()
    assert (one.value, one.interrupt_id) == (None, None)
    assert one.problem.startswith("it has 5,000,")


def test_the_longest_waiting_comes_first_and_since_is_when_it_was_asked(plain):
    for name in ("one", "two", "three"):
        plain(PARALLEL, name).run({"seen": []})
    listed = interrupts.asked(plain(PARALLEL).database, limit=5)
    assert [one.thread_id for one in listed] == ["one", "one", "two", "two", "three"]
    assert [one.asked_at for one in listed] == sorted(one.asked_at for one in listed)
    t = plain(PARALLEL, "one")
    before = {one.value: one.asked_at for one in t.asked()}
    t.answer(("qa", "yes"))
    assert {one.value: one.asked_at for one in t.asked()} == {"qb": before["qb"]}
    s = plain(SEQUENCE, "later")
    s.run({"seen": []})
    first = s.asked()[0].asked_at
    s.answer(("one", "yes"))
    assert s.asked()[0].asked_at > first


def test_the_graph_is_told_where_a_checkpoint_says_it(plain):
    t = plain(PARALLEL)
    t.run({"seen": []}, t.config | {"metadata": {"graph_id": "desk"}})
    plain(PARALLEL, "other").run({"seen": []})
    found = interrupts.asked(t.database, graph="desk")
    assert {(one.thread_id, one.graph) for one in found} == {("t", "desk")}


def test_a_node_that_a_command_went_to_is_listed_before_langgraph_shows_it(plain):
    t = plain(graph_of({"a": asks("qa"), "b": asks("qb")}, [(START, "a"), ("b", END)]))
    with t._plain() as saver:
        graph = t.make(saver)
        graph.invoke({"seen": []}, t.config)
        graph.invoke(Command(goto="b"), t.config)
        assert [one.value for one in graph.get_state(t.config).interrupts] == ["qa"]
        assert {one.value for one in t.asked()} == {"qa", "qb"}
        answer = {one.interrupt_id: "yes" for one in t.asked()}
        assert graph.invoke(Command(resume=answer), t.config)["seen"] == ["yes", "yes"]


def test_calls_of_ours_are_left_out(database):
    one = desk(Runtime(database), [call("refund", "c1", amount=80), call("send", "c2", to="ada")])
    one.start()
    assert len(one.runtime.waiting()) == 2
    assert one.runtime.interrupts() == one.runtime.stopped() == []
    later = Thread(database, "plain", SEQUENCE, "later")
    later.run({"seen": []})
    assert [found.thread_id for found in one.runtime.interrupts(limit=1)] == ["later"]
    for question in ("one", "two", "three"):
        later.answer((question, "yes"))
    one.decide("c1", {"type": "approve"})
    one.decide("c2", {"type": "approve"})
    assert one.runtime.interrupts() == one.runtime.stopped() == []
    one.resume()
    assert one.status == "done"


def test_what_a_graph_asks_beside_calls_of_ours_is_listed(database):
    runtime = Runtime(database)
    turn = [call("refund", "c1", amount=80), call("send", "c2", to="ada")]
    inner = build_graph(Script(turn), tools_noting([]), parse_policy(POLICY)).compile()
    beside = StateGraph(AgentState)
    beside.add_node("desk", inner)
    beside.add_node("other", lambda _: {"model": interrupt("may I?")})
    beside.add_edge(START, "desk")
    beside.add_edge(START, "other")
    whole = StateGraph(AgentState)
    whole.add_node("all", beside.compile())
    whole.add_edge(START, "all")
    for name, builder in (("beside", beside), ("inside", whole)):
        graph = runtime.compile(builder, name=name)
        graph.invoke(runtime.start_input("do it"), runtime.config(name))
        assert len(runtime.waiting(name)) == 2
        (other,) = runtime.interrupts(name)
        assert (other.value, other.graph) == ("may I?", name)
        view = runtime.thread(name)
        assert [one.id for one in view.asks] == [other.interrupt_id]
        assert len(graph.get_state(runtime.config(name)).interrupts) == 3


def test_a_thread_whose_run_came_to_its_end_stands_at_a_breakpoint(database):
    runtime = Runtime(database)
    graph = runtime.compile(graph_of(JOINED, JOIN, interrupt_before=["ccc"])(None), name="g")
    graph.invoke({"seen": []}, runtime.config("t"))
    assert [(one.thread_id, one.status) for one in runtime.stopped()] == [("t", "breakpoint")]
    assert runtime.stopped(graph="other") == []
    graph.invoke(None, runtime.config("t"))
    assert runtime.thread("t").thread.status == "done"
    assert runtime.stopped() == []


@pytest.mark.parametrize(
    ("breakpoints", "status"),
    [
        ({"interrupt_before": ["ccc"]}, "breakpoint"),
        ({"interrupt_after": ["a"]}, "breakpoint"),
        ({"interrupt_before": "*"}, "breakpoint"),
        ({}, "running"),
    ],
)
def test_with_its_graph_named_the_breakpoint_of_a_foreign_run_is_known(plain, breakpoints, status):
    t = plain(graph_of(JOINED, JOIN, **breakpoints or {"interrupt_before": ["ccc"]}))
    t.run({"seen": []})
    runtime = Runtime(t.database)
    assert runtime.thread("t").thread.status == "running"
    graph = runtime.compile(graph_of(JOINED, JOIN, **breakpoints)(None), name="g")
    assert runtime.thread("t", graph).thread.status == status


def test_with_its_graph_named_a_thread_is_what_get_state_says(plain):
    def gone(_: State) -> State:
        raise ValueError("the tool failed")

    t = plain(PARALLEL)
    t.run({"seen": []})
    runtime = Runtime(t.database)

    def seen(make: Make, thread_id: str = "t") -> Any:
        return runtime.thread(thread_id, runtime.compile(make(None), name="g")).thread

    assert seen(PARALLEL).status == "waiting"
    assert {one.value for one in seen(PARALLEL).interrupts} == {"qa", "qb"}
    later = graph_of({"a": asks("qa"), "z": asks("qz")}, [(START, "a"), (START, "z")])
    assert [one.value for one in seen(later).interrupts] == ["qa"]
    t.answer(("qa", "yes"), ("qb", "yes"))
    assert (seen(PARALLEL).status, seen(PARALLEL).interrupts) == ("done", [])
    failing = plain(graph_of({"a": gone}, [(START, "a")]), "f")
    failing.run({"seen": []})
    assert seen(failing.make, "f").status == "failed"


def test_a_thread_that_cannot_be_read_is_told_with_the_others(plain):
    t = plain(graph_of(JOINED, JOIN, interrupt_before=["ccc"]))
    for name in ("broken", "t"):
        one = plain(t.make, name)
        one.run({"seen": []})
    rows(t.database, "UPDATE checkpoint_blobs SET blob = '\\xc1' WHERE thread_id = 'broken'")
    found = {one.thread_id: one for one in Runtime(t.database).stopped()}
    assert (found["broken"].status, found["t"].status) == ("failed", "running")
    assert "broken" in str(found["broken"].error)
