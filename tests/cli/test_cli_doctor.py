"""`hitl doctor`: what it prints, and with which status it ends."""

from __future__ import annotations

import logging

import pytest

from hitl_agent.storage import doctor
from hitl_agent.storage.doctor import Finding

FOUND = [
    Finding("server", "ok", "PostgreSQL 18.1"),
    Finding("standby", "warning", "2, all \x1b asynchronous", "a failover forgets", "set it"),
]
WRONG = Finding("synchronous_commit", "error", "off: not safe", "it forgets", "SET it on")


@pytest.fixture
def finds(hitl_bare, monkeypatch):
    def use(*findings):
        monkeypatch.setattr(doctor, "examine", lambda *_: list(findings))
        return lambda *args: hitl_bare("doctor", "--database-url", "postgresql://x/y", *args)

    return use


def test_findings_are_aligned_with_why_and_what_to_do(finds):
    ended = finds(*FOUND, WRONG)()
    assert ended.status == 1
    assert ended.out.splitlines() == [
        "ok       server              PostgreSQL 18.1",
        "warning  standby             2, all \\x1b asynchronous",
        "                             why: a failover forgets",
        "                             do:  set it",
        "error    synchronous_commit  off: not safe",
        "                             why: it forgets",
        "                             do:  SET it on",
    ]


def test_warnings_alone_end_with_0(finds):
    assert finds(*FOUND)().status == 0


def test_as_json_each_finding_is_an_object(finds):
    ended = finds(WRONG)("--json")
    assert ended.status == 1
    assert ended.json == [
        {
            "check": "synchronous_commit",
            "level": "error",
            "what": "off: not safe",
            "why": "it forgets",
            "todo": "SET it on",
        }
    ]


def test_a_real_database_is_examined(hitl):
    ended = hitl("doctor", "--json")
    levels = {one["check"]: one["level"] for one in ended.json}
    assert levels["migrations"] == "ok"
    assert "disk" not in levels
    assert ended.status == (1 if "error" in levels.values() else 0)


def test_a_database_that_is_down_or_not_migrated_is_a_finding(hitl_bare, empty_database_url):
    ended = hitl_bare("doctor", "--database-url", "postgresql://nobody@127.0.0.1:1/nothing")
    assert (ended.status, ended.err) == (1, "")
    assert ended.out.startswith("error    database  the database does not answer")
    ended = hitl_bare("doctor", "--database-url", empty_database_url)
    assert ended.status == 1
    assert "run `hitl db migrate`" in ended.out


def test_an_embedded_server_that_does_not_start_is_a_finding(hitl_bare, monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "postgres").write_text("a file where a directory should be")
    monkeypatch.setenv("HITL_DATA_DIR", str(tmp_path / "data"))
    ended = hitl_bare("doctor", "--json")
    assert ended.status == 1
    assert [one["check"] for one in ended.json] == ["database"]


def test_a_url_that_cannot_be_read_is_wrong_usage(hitl_bare):
    assert hitl_bare("doctor", "--database-url", "garbage").status == 2


def test_an_outage_is_told_on_stderr_and_the_pool_is_silent(hitl, monkeypatch):
    from hitl_agent import Runtime

    def away(*_, **__):
        logging.getLogger("hitl_agent.storage").warning("the database does not answer \x1b")
        logging.getLogger("psycopg.pool").warning("error connecting")
        return []

    monkeypatch.setattr(Runtime, "waiting", away)
    monkeypatch.setattr("hitl_agent.storage.reviews.waiting", away)
    ended = hitl("list", "--json")
    assert ended.json == []
    assert ended.err.splitlines() == ["the database does not answer \\x1b"]
    assert "the database" not in ended.out
