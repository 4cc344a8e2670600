"""The record only grows."""

from __future__ import annotations

import json

import psycopg
import pytest
import rfc8785

from hitl_agent import Runtime
from hitl_agent.policy import parse_policy
from hitl_agent.storage import judgements
from hitl_agent.storage.database import Database
from tests.support.flows import call, desk


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE hitl.record SET entry = '{}'",
        "DELETE FROM hitl.record",
        "TRUNCATE hitl.record",
        "UPDATE hitl.record SET kind = kind WHERE false",
    ],
)
def test_a_change_of_the_record_is_refused(database: Database, statement: str) -> None:
    with database.connection() as connection, pytest.raises(psycopg.Error, match="only grows"):
        connection.execute(statement.encode())


def test_every_step_of_a_call_is_an_entry_in_canonical_json(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("send", "a", to="x")])
        agent.start()
        agent.decide("a", {"type": "approve", "message": "fine"})
        agent.resume()
    with database.connection() as connection:
        texts = [
            row["entry"]
            for row in connection.execute("SELECT entry FROM hitl.record ORDER BY entry_id")
        ]
    assert [json.loads(text)["kind"] for text in texts] == [
        "verdict",
        "request",
        "decision",
        "grant",
        "started",
        "succeeded",
    ]
    for text in texts:
        assert rfc8785.dumps(json.loads(text)).decode() == text


def test_the_document_of_every_policy_in_force_is_kept(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("send", "a", to="x")])
        agent.start()
        digest = agent.waiting[0].verdict.policy_digest
    with database.connection() as connection:
        found = connection.execute("SELECT digest, document FROM hitl.policy").fetchall()
    assert [row["digest"] for row in found] == [digest]
    assert "never_run" in found[0]["document"]


def test_the_reviewers_that_a_policy_names_are_kept_with_it(database: Database) -> None:
    named = parse_policy("reviewers: {Ana: [finance], bo: []}")
    for policy in (named, named, parse_policy("version: 1")):
        judgements.keep_policy(database, policy)
    with database.connection() as connection:
        query = "SELECT digest, reviewers FROM hitl.policy"
        found = {row["digest"]: row["reviewers"] for row in connection.execute(query)}
    assert sorted(found.values(), key=str) == [None, {"Ana": ["finance"], "bo": []}]
    assert found[named.digest] is not None


def test_the_history_is_in_the_order_of_time(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("look", "a", what="x")])
        agent.start()
        found = runtime.history(agent.thread_id)
    assert [one["at"] for one in found] == sorted(one["at"] for one in found)
    assert {one["kind"] for one in found} >= {"checkpoint", "verdict", "grant", "succeeded"}


def test_of_a_long_history_the_last_is_shown(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("look", "a", what="x")])
        agent.clock.advance(days=9999)
        agent.start()
        assert [one["kind"] for one in runtime.history(agent.thread_id, limit=2)] == [
            "started",
            "succeeded",
        ]
