"""`hitl db`, and every command on a database that cannot be used."""

from __future__ import annotations

import psycopg
import pytest

EVERY = [
    ("list",), ("show", "t"), ("approve", "t"), ("reject", "t"), ("edit", "t", "--args", "{}"),
    ("respond", "t", "--reason", "x"), ("resume", "t"), ("review",), ("history", "t"),
    ("run", "desk", "--runbook", "small.yaml"),
]  # fmt: skip
DOWN = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.mark.parametrize("args", [*EVERY, ("db", "status"), ("db", "migrate")], ids=" ".join)
def test_a_database_that_is_down_is_named_with_status_1(hitl_bare, args):
    ended = hitl_bare(*args, "--database-url", DOWN)
    assert ended.status == 1
    assert "the database does not answer" in ended.err
    assert "\nnext: " in ended.err
    assert hitl_bare.effects() == []
    assert "does not answer" in hitl_bare(*args, "--database-url", DOWN, "--json").error["error"]


@pytest.mark.parametrize("url", ["garbage", "mysql://x", "postgresql://h/x?nope=1", "", " ", "="])
@pytest.mark.parametrize("args", [("list",), ("db", "status"), ("db", "migrate")], ids=" ".join)
def test_a_url_that_cannot_be_read_is_wrong_usage(hitl_bare, args, url):
    ended = hitl_bare(*args, "--database-url", url)
    assert ended.status == 2, ended
    assert "postgresql://user@host:5432/name" in ended.err


@pytest.mark.parametrize("args", EVERY, ids=" ".join)
def test_a_database_that_is_not_migrated_is_named_with_status_1(
    hitl_bare, empty_database_url, monkeypatch, args
):
    monkeypatch.setenv("HITL_DATABASE_URL", empty_database_url)
    ended = hitl_bare(*args)
    assert ended.status == 1
    assert "the database is not migrated" in ended.err
    assert "hitl db migrate" in ended.err
    assert hitl_bare.effects() == []


def test_an_empty_database_is_migrated_once(hitl_bare, empty_database_url):
    def db(command):
        return hitl_bare("db", command, "--database-url", empty_database_url, "--json")

    before = db("status")
    assert (before.status, before.json["ready"]) == (1, False)
    assert before.json["pending"] == db("migrate").json["applied"] != []
    assert db("migrate").json["applied"] == []
    after = db("status")
    assert (after.status, after.json["ready"], after.json["embedded"]) == (0, True, False)


def test_the_status_says_what_to_do(hitl_bare, empty_database_url):
    ended = hitl_bare("db", "status", "--database-url", empty_database_url)
    assert "not ready" in ended.out
    assert ended.err == "next: hitl db migrate\n"


def test_a_database_of_a_newer_program_is_left_alone(hitl_bare, empty_database_url, monkeypatch):
    monkeypatch.setenv("HITL_DATABASE_URL", empty_database_url)
    assert hitl_bare("db", "migrate").status == 0
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO hitl.migration (version, name) VALUES (9999, 'later')")
    for args in (("list",), ("db", "migrate")):
        ended = hitl_bare(*args)
        assert ended.status == 1
        assert "newer" in ended.err
    assert hitl_bare("db", "status").status == 1


def test_a_server_of_its_own_is_not_stopped(hitl):
    ended = hitl("db", "stop")
    assert ended.status == 1
    assert "not the embedded one" in ended.err


def test_no_embedded_server_runs(hitl_bare, monkeypatch, tmp_path):
    monkeypatch.setenv("HITL_DATA_DIR", str(tmp_path / "data"))
    ended = hitl_bare("db", "stop")
    assert (ended.status, ended.out) == (0, "no embedded server runs\n")
    assert hitl_bare("db", "stop", "--json").json == {"stopped": False}


def test_a_broken_project_file_does_not_hide_behind_the_embedded_database(hitl_bare):
    (hitl_bare.folder / "langgraph.json").write_text("{")
    assert hitl_bare("list").status == 2
    assert hitl_bare("list", "--database-url", DOWN).status == 1


@pytest.mark.parametrize("url", ["postgresql//app:s3cret@db/app", "postgresql://app:s3cret@[::1/x"])
def test_a_url_that_cannot_be_read_is_not_repeated_with_its_password(hitl_bare, url):
    assert "s3cret" not in hitl_bare("list", "--database-url", url).err
