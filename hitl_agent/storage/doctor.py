"""What of a deployment breaks a promise, or will one day: one check for each, each a finding."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg.rows import DictRow

from hitl_agent.errors import DatabaseError, HitlError
from hitl_agent.storage import migrate
from hitl_agent.storage.connection import connect, translated
from hitl_agent.storage.database import ISOLATION, POOL_SIZE
from hitl_agent.storage.queries import queries

Level = Literal["ok", "warning", "error"]
Facts = dict[str, Any]

_SQL = "doctor"
_UNSAFE = "irreversible tools are not safe"
_FORGETS = (
    "after a crash the server may have forgotten a decision that it acknowledged, and that a call "
    "was begun: it may be run again"
)
_CLOCK_NOTED, _CLOCK_WRONG = 1.0, 5.0  # seconds
_DISK_LOW, _DISK_FULL = 1 << 30, 100 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        level: `error` is a promise that is not kept here, `warning` one that depends on luck.
        what: what was found.
        why: what it means, or "".
        todo: what to do about it, or "".
    """

    check: str
    level: Level
    what: str
    why: str = ""
    todo: str = ""


def examine(url: str, now: Callable[[], datetime], embedded: Path | None) -> list[Finding]:
    """Look at a database and return what was found, in a fixed order.

    A database that does not answer or is not migrated is a finding as well.

    Args:
        url: the database.
        now: the time on this machine.
        embedded: where the data of the embedded server is, or None for a server of one's own.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    try:
        with connect(url) as connection, translated():
            found = [*_examined(connection, now, embedded=embedded is not None)]
    except DatabaseError as error:
        return [unusable(error)]
    return [*found, *(disk(embedded, shutil.disk_usage(embedded).free) if embedded else ())]


def unusable(error: HitlError) -> Finding:
    """Tell of a database that could not be looked at."""
    return Finding("database", "error", error.message, "nothing runs without it", error.hint or "")


def _examined(
    connection: psycopg.Connection[DictRow], now: Callable[[], datetime], *, embedded: bool
) -> Iterator[Finding]:
    sql = queries(_SQL)
    before = now()
    facts = connection.execute(sql["facts"]).fetchone() or {}
    after = now()
    yield server(facts)
    yield migrations(connection, embedded=embedded)
    yield synchronous_commit(facts)
    yield from disk_writes(facts)
    yield standbys(facts)
    yield pooler(facts, connection.info.backend_pid)
    yield isolation(facts, pooled=facts["pid"] != connection.info.backend_pid)
    yield clock(facts["now"], before, after)
    if privileges := connection.execute(sql["privileges"]).fetchone():
        yield role(facts, privileges)
    yield connections(facts)


def server(facts: Facts) -> Finding:
    """Check the version, and that the server takes writes."""
    version = facts["version"]
    what = f"PostgreSQL {version // 10000}.{version % 10000}"
    if version // 10000 < migrate.OLDEST_SERVER:
        return Finding(
            "server",
            "error",
            what,
            f"{migrate.OLDEST_SERVER} is the oldest that hitl-agent works with",
            "upgrade it, or name a newer one in HITL_DATABASE_URL",
        )
    if facts["standby"] or facts["read_only"]:
        return Finding(
            "server",
            "error",
            f"{what}, which can only be read",
            "a standby takes no decisions",
            "name the primary; with several hosts in the URL add target_session_attrs=read-write",
        )
    return Finding("server", "ok", what)


def migrations(connection: psycopg.Connection[DictRow], *, embedded: bool) -> Finding:
    """Check that the schema is the one that this program knows."""
    try:
        with translated():
            migrate.require_migrated(connection)
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            return Finding("migrations", "error", error.message, "nothing runs before", "see role")
        if embedded and not migrate.status(connection).unknown:
            return Finding("migrations", "ok", "due; the next command applies them")
        return Finding(
            "migrations", "error", error.message, "nothing runs before", error.hint or ""
        )
    return Finding("migrations", "ok", "all applied")


def synchronous_commit(facts: Facts) -> Finding:
    """Check that a commit is on disk, and where, before it is acknowledged."""
    value = facts["synchronous_commit"]
    role_ = facts["role"]
    if value == "off":
        return Finding(
            "synchronous_commit",
            "error",
            f"off: {_UNSAFE}",
            _FORGETS,
            f"ALTER ROLE {role_} SET synchronous_commit = on; start the workers anew",
        )
    if value in {"local", "remote_write"} and facts["synchronous_standby_names"]:
        return Finding(
            "synchronous_commit",
            "warning",
            f"{value}, with a synchronous standby",
            "a commit is acknowledged before the standby has it on disk: a failover may forget it",
            f"ALTER ROLE {role_} SET synchronous_commit = on; start the workers anew",
        )
    return Finding("synchronous_commit", "ok", value)


def disk_writes(facts: Facts) -> Iterator[Finding]:
    """Check that the server's disk is written as a crash needs it."""
    for name, why in (
        ("fsync", _FORGETS),
        ("full_page_writes", "after a power cut a page may be half written, and the data corrupt"),
    ):
        if facts[name] == "on":
            yield Finding(name, "ok", "on")
        else:
            yield Finding(
                name,
                "error",
                f"off: {_UNSAFE}",
                why,
                f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()",
            )


def standbys(facts: Facts) -> Finding:
    """Check what a failover would lose."""
    found, wanted = facts["standbys"] or [], facts["synchronous_standby_names"]
    synchronous = [one for one in found if one in {"sync", "quorum"}]
    if synchronous:
        return Finding("standby", "ok", f"{len(found)}, {len(synchronous)} of them synchronous")
    if wanted and None not in found:
        return Finding(
            "standby",
            "error",
            "none of the synchronous standbys is connected",
            f"commits wait for `{wanted}`",
            "start it, or correct synchronous_standby_names",
        )
    if not found:
        return Finding("standby", "ok", "none: no failover, and as durable as the server's disk")
    if None in found:
        return Finding(
            "standby",
            "warning",
            f"{len(found)}, and this role may not see whether synchronous",
            "a failover to an asynchronous one forgets the last decisions and calls",
            f"GRANT pg_monitor TO {facts['role']}, and look again",
        )
    return Finding(
        "standby",
        "warning",
        f"{len(found)}, all asynchronous",
        "a failover forgets the last decisions, and that the last calls were begun: they may be "
        "run again",
        "set synchronous_standby_names; until then look through the tools' own records after a "
        "failover, before work goes on",
    )


def pooler(facts: Facts, claimed_pid: int) -> Finding:
    """Check whether somebody stands between us and the server."""
    if facts["pid"] == claimed_pid:
        return Finding("pooler", "ok", "none; statements are prepared")
    return Finding(
        "pooler", "ok", "one stands between; nothing is prepared and no setting is changed"
    )


def isolation(facts: Facts, *, pooled: bool) -> Finding:
    """Check what transactions begin as, where we cannot set it ourselves."""
    value = facts["isolation"]
    if value == ISOLATION:
        return Finding("isolation", "ok", value)
    if not pooled:
        return Finding("isolation", "ok", f"{value}; our own connections set {ISOLATION}")
    return Finding(
        "isolation",
        "error",
        f"{value}, behind a pooler",
        "who comes second to a row would fail, and a pooler lets nobody set it for himself",
        f"ALTER ROLE {facts['role']} SET default_transaction_isolation = '{ISOLATION}'",
    )


def clock(theirs: datetime, before: datetime, after: datetime) -> Finding:
    """Check this machine's clock against the database's, which was read between two looks at it."""
    late = max(theirs - after, before - theirs, timedelta()).total_seconds()
    which = "behind" if theirs > after else "ahead of"
    if late <= _CLOCK_NOTED:
        return Finding("clock", "ok", "agrees with the database's within a second")
    return Finding(
        "clock",
        "error" if late > _CLOCK_WRONG else "warning",
        f"this machine is {late:.1f} s {which} the database",
        "grants expire and calls fall into doubt too early or too late",
        "let NTP set the clock on both",
    )


def role(facts: Facts, privileges: Facts) -> Finding:
    """Check what our role could do to the record, if somebody else used it."""
    name = facts["role"]
    todo = f"work as a lesser role; its grants are: {'; '.join(grants('ROLE', privileges))}"
    if not privileges["adds"]:
        return Finding(
            "role", "error", f"{name} may not write the record", "nothing runs without it",
            "; ".join(grants(name, privileges)),
        )  # fmt: skip
    if facts["superuser"] or privileges["owner"]:
        what = "is a superuser" if facts["superuser"] else "owns the record"
        return Finding(
            "role",
            "warning",
            f"{name} {what}",
            "whoever gets hold of the URL can switch off the triggers and change what is recorded",
            todo,
        )
    if privileges["changes"]:
        return Finding(
            "role",
            "warning",
            f"{name} may change and remove what is recorded",
            "only a trigger stands in the way",
            f"REVOKE UPDATE, DELETE, TRUNCATE ON hitl.record FROM {name}",
        )
    return Finding("role", "ok", f"{name} may add to the record, not change it")


def grants(name: str, privileges: Facts) -> list[str]:
    """Return the statements that let a role work, and no more."""
    schema = privileges["checkpoints"] or "public"
    tables = ", ".join(
        f"{schema}.{one}" for one in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    )
    return [
        f"GRANT USAGE ON SCHEMA hitl, {schema} TO {name}",
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA hitl TO {name}",
        f"REVOKE UPDATE ON hitl.record, hitl.migration FROM {name}",
        f"REVOKE INSERT ON hitl.migration FROM {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {name}",
    ]


def connections(facts: Facts) -> Finding:
    """Check that there is room for another process of ours."""
    most, used = facts["connections"], facts["connected"]
    what = f"{used} of {most} in use, and each process of ours takes up to {POOL_SIZE}"
    if most - used >= POOL_SIZE:
        return Finding("connections", "ok", what)
    return Finding(
        "connections",
        "warning",
        what,
        "the next process waits for a free one",
        "raise max_connections, or put pgbouncer in between",
    )


def disk(data: Path, free: int) -> Iterator[Finding]:
    """Check the disk under the embedded server, and say what is on it."""
    gibibytes = f"{free / 2**30:.1f} GiB free for `{data}`"
    if free >= _DISK_LOW:
        yield Finding("disk", "ok", gibibytes)
    else:
        yield Finding(
            "disk",
            "error" if free < _DISK_FULL else "warning",
            gibibytes,
            "on a full disk nothing is recorded, so nothing runs",
            "make room, or set HITL_DATA_DIR to a larger disk",
        )
    yield Finding(
        "backup",
        "warning",
        "the embedded server is not backed up",
        "decisions and records are as durable as this disk",
        "copy it with pg_dump, or set HITL_DATABASE_URL to a server that is looked after",
    )


def utc_now() -> datetime:
    """Return this machine's time."""
    return datetime.now(UTC)
