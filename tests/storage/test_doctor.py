"""What `hitl doctor` finds: every check by itself, and the whole on real servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from hitl_agent import Runtime
from hitl_agent.storage import doctor
from hitl_agent.storage.database import Database
from hitl_agent.storage.doctor import Finding, utc_now
from tests.support.flows import call, desk
from tests.support.servers import own_server, pgbouncer, standby_of

WELL = {
    "version": 180001,
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_standby_names": "",
    "isolation": "read committed",
    "read_only": False,
    "connections": 97,
    "connected": 12,
    "standbys": None,
    "standby": False,
    "pid": 7,
    "now": datetime(2026, 3, 1, 12, tzinfo=UTC),
    "role": "app",
    "superuser": False,
}
LESSER = {"owner": False, "changes": False, "adds": True, "checkpoints": "public"}


def facts(**changed):
    return WELL | changed


def examined(url: str, data: Path | None = None) -> dict[str, Finding]:
    return {one.check: one for one in doctor.examine(url, utc_now, data)}


@pytest.mark.parametrize(
    ("found", "level", "what"),
    [
        (doctor.server(facts()), "ok", "PostgreSQL 18.1"),
        (doctor.server(facts(version=130009)), "error", "PostgreSQL 13.9"),
        (doctor.server(facts(version=140000)), "ok", "14.0"),
        (doctor.server(facts(standby=True)), "error", "only be read"),
        (doctor.server(facts(read_only=True)), "error", "only be read"),
        (doctor.synchronous_commit(facts()), "ok", "on"),
        (
            doctor.synchronous_commit(facts(synchronous_commit="off")),
            "error",
            "irreversible tools are not safe",
        ),
        (doctor.synchronous_commit(facts(synchronous_commit="local")), "ok", "local"),
        (
            doctor.synchronous_commit(
                facts(synchronous_commit="local", synchronous_standby_names="b")
            ),
            "warning",
            "standby",
        ),
        (doctor.standbys(facts()), "ok", "none"),
        (doctor.standbys(facts(standbys=["async"])), "warning", "all asynchronous"),
        (doctor.standbys(facts(standbys=["async", "sync"])), "ok", "1 of them synchronous"),
        (doctor.standbys(facts(standbys=["quorum"])), "ok", "1 of them synchronous"),
        (doctor.standbys(facts(standbys=[None])), "warning", "may not see"),
        (doctor.standbys(facts(synchronous_standby_names="b")), "error", "none of the synch"),
        (
            doctor.standbys(facts(synchronous_standby_names="b", standbys=["async"])),
            "error",
            "none of the synch",
        ),
        (doctor.pooler(facts(), 7), "ok", "none"),
        (doctor.pooler(facts(), 8), "ok", "nothing is prepared"),
        (doctor.isolation(facts(), pooled=True), "ok", "read committed"),
        (doctor.isolation(facts(isolation="serializable"), pooled=False), "ok", "our own"),
        (doctor.isolation(facts(isolation="serializable"), pooled=True), "error", "pooler"),
        (doctor.role(facts(), LESSER), "ok", "not change it"),
        (doctor.role(facts(), LESSER | {"changes": True}), "warning", "change and remove"),
        (doctor.role(facts(), LESSER | {"owner": True}), "warning", "owns the record"),
        (doctor.role(facts(superuser=True), LESSER), "warning", "superuser"),
        (doctor.role(facts(), LESSER | {"adds": False}), "error", "may not write"),
        (doctor.connections(facts()), "ok", "12 of 97"),
        (doctor.connections(facts(connected=87)), "ok", "87 of 97"),
        (doctor.connections(facts(connected=88)), "warning", "88 of 97"),
    ],
    ids=lambda one: one.check if isinstance(one, Finding) else str(one)[:20],
)
def test_each_check_tells_what_it_found_why_it_matters_and_what_to_do(found, level, what):
    assert found.level == level
    assert what in found.what
    assert bool(found.why) is bool(found.todo) is (level != "ok")


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_disk_that_is_not_written_as_it_should_be_is_an_error(name):
    assert [one.level for one in doctor.disk_writes(facts())] == ["ok", "ok"]
    found = {one.check: one for one in doctor.disk_writes(facts(**{name: "off"}))}
    assert found[name].level == "error"
    assert "irreversible tools are not safe" in found[name].what


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0, "ok"), (1, "ok"), (1.2, "warning"), (5, "warning"), (5.2, "error"), (-1, "ok"),
     (-1.2, "warning"), (-6, "error")],
)  # fmt: skip
def test_clocks_that_differ_are_told_by_how_much(seconds, level):
    theirs = WELL["now"]
    ours = theirs + timedelta(seconds=seconds)
    found = doctor.clock(theirs, ours, ours)
    assert found.level == level
    if level != "ok":
        which = "ahead of" if seconds > 0 else "behind"
        assert found.what == f"this machine is {abs(seconds):.1f} s {which} the database"


def test_a_slow_answer_does_not_pass_for_a_wrong_clock():
    theirs = WELL["now"]
    found = doctor.clock(theirs, theirs - timedelta(seconds=9), theirs + timedelta(seconds=9))
    assert found.level == "ok"


@pytest.mark.parametrize(
    ("free", "level"), [(2 << 30, "ok"), (1 << 30, "ok"), (1 << 29, "warning"), (1 << 20, "error")]
)
def test_the_disk_of_the_embedded_server_is_looked_at_and_its_missing_backup_named(free, level):
    disk, backup = doctor.disk(Path("/data"), free)
    assert (disk.level, backup.level) == (level, "warning")
    assert "`/data`" in disk.what
    assert "pg_dump" in backup.todo


def test_the_findings_of_a_real_server_come_in_order(database_url, tmp_path):
    found = examined(database_url, tmp_path)
    assert list(found) == [
        "server", "migrations", "synchronous_commit", "fsync", "full_page_writes", "standby",
        "pooler", "isolation", "clock", "role", "connections", "disk", "backup",
    ]  # fmt: skip
    assert found["migrations"].level == found["clock"].level == found["pooler"].level == "ok"
    assert found["fsync"].level == "error"  # the server of the tests
    assert found["role"].what == "postgres is a superuser"


def test_a_role_that_commits_asynchronously_is_told_that_nothing_irreversible_is_safe(database_url):
    found = examined(f"{database_url}&options=-csynchronous_commit%3Doff")
    assert found["synchronous_commit"].level == "error"
    assert "irreversible tools are not safe" in found["synchronous_commit"].what


def test_a_database_that_is_not_migrated_is_a_finding(empty_database_url):
    found = examined(empty_database_url)
    assert found["migrations"] == Finding(
        "migrations", "error", "the database is not migrated", "nothing runs before",
        "run `hitl db migrate`",
    )  # fmt: skip
    assert "role" not in found
    assert examined(empty_database_url, Path("/"))["migrations"].what.startswith("due")


def test_a_database_that_does_not_answer_is_the_only_finding():
    (found,) = doctor.examine("postgresql://nobody@127.0.0.1:1/nothing", utc_now, None)
    assert (found.check, found.level) == ("database", "error")
    assert "does not answer" in found.what
    assert found.todo


def test_a_pooler_is_found(database_url):
    with pgbouncer(database_url, pool_size=2) as url:
        found = examined(url)
    assert "stands between" in found["pooler"].what
    assert found["isolation"].level == "ok"


def test_the_docs_propose_the_same_grants():
    page = (Path(__file__).parents[2] / "docs" / "operate.md").read_text("utf-8")
    assert "".join(f"{one};\n" for one in doctor.grants("app", LESSER)) in page


@pytest.mark.slow
def test_a_real_standby_is_seen_also_by_a_role_that_may_nothing():
    with own_server() as server, standby_of(server) as follower:
        assert examined(server.url)["standby"].what == "1, all asynchronous"
        assert "only be read" in examined(follower)["server"].what
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            while examined(server.url)["standby"].level != "ok":
                connection.execute("SELECT pg_sleep(0.05)")
            connection.execute("CREATE ROLE app LOGIN")
        url = server.url.replace("postgres@", "app@")
        found = examined(url)
        assert "may not see" in found["standby"].what
        assert (found["migrations"].level, found["role"].level) == ("error", "error")
        assert found["role"].todo == "; ".join(doctor.grants("app", LESSER))


@pytest.mark.slow
def test_the_lesser_role_that_is_proposed_can_do_the_work_and_cannot_touch_the_record():
    with own_server() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE ROLE app LOGIN")
            proposed = examined(server.url)["role"].todo
            for statement in proposed.split("are: ")[1].replace("ROLE", "app").split("; "):
                connection.execute(statement)
        url = server.url.replace("postgres@", "app@")
        assert conninfo_to_dict(url)["user"] == "app"
        assert examined(url)["role"] == Finding(
            "role", "ok", "app may add to the record, not change it"
        )
        database = Database(url)
        database.open()
        agent = desk(
            Runtime(database),
            [call("refund", "a", amount=20.0), call("send", "b", to="ana")],
        )
        agent.start()
        agent.decide("b", {"type": "approve"})
        agent.resume()
        assert agent.done == [("refund", 20.0), ("send", "ana")]
        assert agent.status == "done"
        for change in (
            "DELETE FROM hitl.record",
            "UPDATE hitl.record SET entry = ''",
            "TRUNCATE hitl.record",
            "ALTER TABLE hitl.record DISABLE TRIGGER ALL",
            "INSERT INTO hitl.migration (version, name) VALUES (99, '')",
        ):
            with (
                psycopg.connect(url) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(change)
        database.close()
