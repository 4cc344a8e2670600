"""Checkpoints under a key: nothing of a state is readable, nothing unencrypted is read."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from hitl_agent import Runtime
from hitl_agent.errors import CheckpointRefused, ConfigurationError
from hitl_agent.storage.database import Database
from hitl_agent.storage.encryption import Cipher, configured_cipher
from tests.support.flows import call, desk

OLD, NEW, OTHER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))

SECRET = "the wolf's account"
NUMBER = 714_253


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HITL_ENCRYPTION_KEY", OLD)


@pytest.fixture
def runtime(database: Database) -> Iterator[Runtime]:
    with Runtime.open(database.url) as opened:
        yield opened


class State(TypedDict, total=False):
    text: str
    number: int
    flag: bool
    nothing: None
    nested: dict[str, Any]


GIVEN: State = {
    "text": SECRET,
    "number": NUMBER,
    "flag": True,
    "nothing": None,
    "nested": {"deep": SECRET},
}


def asking() -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(State)
    builder.add_node("one", lambda state: {"number": state["number"]})
    builder.add_node("two", lambda state: {"text": interrupt({"about": SECRET})})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder


def in_tables(database: Database) -> bytes:
    """Everything that stands in LangGraph's tables."""
    found = b""
    with database.connection() as connection:
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            for row in connection.execute(f"SELECT * FROM {table}".encode()):
                found += b"".join(
                    one if isinstance(one, bytes) else str(one).encode() for one in row.values()
                )
    return found


def test_nothing_of_a_state_is_readable_not_even_text_and_numbers(runtime: Runtime) -> None:
    config = runtime.config("t")
    graph = runtime.compile(asking())
    graph.invoke(GIVEN, config)
    graph.invoke(Command(resume=f"answer {SECRET}"), config)
    assert graph.get_state(config).values == GIVEN | {"text": f"answer {SECRET}"}
    stored = in_tables(runtime.database)
    assert SECRET.encode() not in stored
    assert b"wolf" not in stored
    assert str(NUMBER).encode() not in stored
    assert NUMBER.to_bytes(4, "big") not in stored
    assert b"about" not in stored
    with pytest.raises(NotImplementedError, match="aes-256-gcm"):
        PostgresSaver(runtime.database.pool).get_tuple(config)


def test_an_agent_waits_is_decided_and_goes_on_under_a_key(runtime: Runtime) -> None:
    one = desk(runtime, [call("send", "c", to="bo")], [call("refund", "d", amount=20)])
    one.start()
    assert one.status == "waiting"
    assert one.runtime.thread(one.thread_id).task == "do it"
    one.decide("c", {"type": "approve"})
    one.resume()
    assert one.done == [("send", "bo"), ("refund", 20)]
    assert one.status == "done"

    async def later() -> Any:
        state = await one.graph.aget_state(one.config)
        return [each async for each in one.graph.aget_state_history(one.config)], state

    history, state = asyncio.run(later())
    assert len(history) > 3
    assert isinstance(state.values["messages"][-1], AIMessage)


def test_a_key_that_is_replaced_still_reads(database: Database) -> None:
    config = Runtime.config("t")
    with Runtime.open(database.url) as before:
        before.compile(asking()).invoke(GIVEN, config)
    with Runtime.open(database.url, encryption_key=f"{NEW}, {OLD}") as between:
        graph = between.compile(asking())
        graph.invoke(Command(resume="yes"), config)
        assert graph.get_state(config).values["text"] == "yes"
    with Runtime.open(database.url, encryption_key=NEW) as after:
        # what was not written again is still under the old key
        with pytest.raises(
            CheckpointRefused, match=r"channel `\w+`: it is encrypted under key `"
        ) as refused:
            after.compile(asking()).get_state(config)
        assert "after the current one and a comma" in str(refused.value.hint)
        after.compile(asking()).invoke(GIVEN, Runtime.config("u"))


@pytest.mark.parametrize("key", [OTHER, ""])
def test_without_the_key_nothing_is_read(database: Database, key: str) -> None:
    config = Runtime.config("t")
    with Runtime.open(database.url) as before:
        before.compile(asking()).invoke(GIVEN, config)
    with Runtime.open(database.url, encryption_key=key) as after:
        for read in (
            lambda: after.compile(asking()).get_state(config),
            lambda: after.compile(asking()).invoke(None, config),
            lambda: after.thread("t"),
        ):
            with pytest.raises(CheckpointRefused, match="it is encrypted under key") as refused:
                read()
            assert "HITL_ENCRYPTION_KEY" in str(refused.value.hint)


def test_what_is_not_encrypted_is_refused(database: Database) -> None:
    config = Runtime.config("t")
    with Runtime.open(database.url, encryption_key="") as before:
        before.compile(asking()).invoke(GIVEN, config)
    with Runtime.open(database.url) as after:
        with pytest.raises(CheckpointRefused, match="it is not encrypted") as refused:
            after.compile(asking()).get_state(config)
        assert refused.value.hint


def joined(state: list[Any] | None, writes: Any) -> list[Any]:
    return [*(state or []), *(one for write in writes for one in write)]


class Growing(TypedDict, total=False):
    messages: Annotated[list[Any], DeltaChannel(joined, snapshot_frequency=3)]


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("key", ["", OLD])
def test_a_channel_that_is_kept_as_its_changes_is_put_together_again(
    database: Database, key: str
) -> None:
    builder = StateGraph(Growing)
    builder.add_node("one", lambda state: {"messages": [AIMessage(str(len(state["messages"])))]})
    builder.add_edge(START, "one")
    config = Runtime.config("t")
    with Runtime.open(database.url, encryption_key=key) as runtime:
        for _ in range(5):
            runtime.compile(builder).invoke({"messages": [HumanMessage(SECRET)]}, config)
        graph = runtime.compile(builder)
        said = [one.content for one in graph.get_state(config).values["messages"]]
        assert said == [SECRET, "1", SECRET, "3", SECRET, "5", SECRET, "7", SECRET, "9"]
        assert (SECRET.encode() in in_tables(database)) is not bool(key)


INSERTED = "checkpoint || jsonb_build_object('channel_values', '{{\"{}\": {}}}'::jsonb)"


@pytest.mark.parametrize(
    "statement",
    [
        # a plain row in the place of an encrypted one
        "UPDATE checkpoint_blobs SET type = 'msgpack', blob = '\\xc3'",
        "UPDATE checkpoint_blobs SET type = 'null', blob = ''",
        "UPDATE checkpoint_writes SET type = 'msgpack', blob = '\\xc3'",
        # a value in plain JSON, where no encrypted one stands
        f"UPDATE checkpoints SET checkpoint = {INSERTED.format('approved', 'true')}",
        # a byte, the kind, the nonce, the end
        (
            "UPDATE checkpoint_blobs SET blob = set_byte(blob, 14, get_byte(blob, 14) # 1) "
            "WHERE length(blob) > 14"
        ),
        "UPDATE checkpoint_blobs SET blob = set_byte(blob, 0, get_byte(blob, 0) # 1)",
        "UPDATE checkpoint_blobs SET blob = substr(blob, 1, 20)",
        "UPDATE checkpoint_blobs SET blob = ''",
        "UPDATE checkpoint_blobs SET type = replace(type, 'msgpack', 'bytes')",
        # a row of another thread, channel, version or task
        (
            "UPDATE checkpoint_blobs AS a SET blob = b.blob, type = b.type FROM checkpoint_blobs b "
            "WHERE a.thread_id = 't' AND b.thread_id = 'u' AND a.channel = b.channel"
        ),
        (
            "UPDATE checkpoint_blobs AS a SET blob = b.blob, type = b.type FROM checkpoint_blobs b "
            "WHERE a.thread_id = b.thread_id AND a.channel = 'text' AND b.channel = 'nested'"
        ),
        (
            "UPDATE checkpoint_blobs SET version = '1' WHERE channel = 'text'; UPDATE checkpoints "
            "SET checkpoint = jsonb_set(checkpoint, '{channel_versions,text}', '\"1\"')"
        ),
        (
            "UPDATE checkpoint_writes AS a SET blob = b.blob, type = b.type FROM checkpoint_writes "
            "AS b WHERE a.thread_id = 't' AND b.thread_id = 'u' AND a.channel = b.channel"
        ),
        "UPDATE checkpoint_writes SET idx = idx + 7",
    ],
)
def test_what_was_changed_or_moved_is_refused(runtime: Runtime, statement: str) -> None:
    graph = runtime.compile(asking())
    graph.invoke(GIVEN, runtime.config("t"))
    graph.invoke(GIVEN | {"text": "of another"}, runtime.config("u"))
    with runtime.database.connection() as connection:
        for one in statement.split("; "):
            assert connection.execute(one.encode()).rowcount > 0
    with pytest.raises(CheckpointRefused, match="thread `t`, channel `") as refused:
        graph.get_state(runtime.config("t"))
    assert refused.value.hint


def test_a_value_in_plain_json_beside_the_encrypted_one_does_not_count(runtime: Runtime) -> None:
    graph = runtime.compile(asking())
    graph.invoke(GIVEN, runtime.config("t"))
    statement = f"UPDATE checkpoints SET checkpoint = {INSERTED.format('number', '1')}"
    with runtime.database.connection() as connection:
        connection.execute(statement.encode())
    assert graph.get_state(runtime.config("t")).values["number"] == NUMBER


def test_each_value_has_a_nonce_of_its_own() -> None:
    cipher = Cipher([b"k" * 32])
    sealed = [cipher.seal("msgpack", b"same", ["t"]) for _ in range(1000)]
    assert len({data[:12] for _, data in sealed}) == len({data for _, data in sealed}) == 1000
    kind, data = sealed[0]
    assert cipher.unseal(kind, data, ["t"]) == ("msgpack", b"same")
    assert "k" * 4 not in kind
    # places of the same letters are different places
    with pytest.raises(CheckpointRefused):
        cipher.unseal(*cipher.seal("msgpack", b"", ["a", "bc"]), ["ab", "c"])


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("no base64!", "key 1 is not base64"),
        (f"{OLD},", "key 2 has 0 bytes, not 32"),
        (base64.b64encode(b"short").decode(), "key 1 has 5 bytes, not 32"),
        ("ünïcode", "key 1 is not base64"),
    ],
)
def test_a_key_that_is_none_is_refused_and_not_repeated(keys: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        configured_cipher(keys)
    assert refused.value.hint == "make one with `openssl rand -base64 32`"
    assert keys not in str(refused.value)


def test_no_key_is_no_cipher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_cipher() is not None
    assert configured_cipher("") is None
    monkeypatch.setenv("HITL_ENCRYPTION_KEY", " ")
    assert configured_cipher() is None


def test_a_key_without_the_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match="`cryptography` is not installed") as refused:
        configured_cipher(OLD)
    assert refused.value.hint == "install `hitl-agent[encryption]`"
