"""A lost database is waited for, longer and longer, and one outage is told once."""

from __future__ import annotations

import logging
import threading

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from hitl_agent.errors import DatabaseUnavailable
from hitl_agent.storage.connection import translated
from hitl_agent.storage.patience import Patience, away

LOST = psycopg.OperationalError("the connection is lost")


class Time:
    """Time that passes in pauses only."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def failing(times, error=LOST):
    left = [error] * times

    def work():
        if left:
            raise left.pop()
        return "done"

    return work


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def patience(time):
    return Patience(60, pause=time.pause, clock=time)


def nothing():
    pass


def test_what_succeeds_at_once_waits_for_nothing_and_tells_nothing(patience, time, caplog):
    assert patience.wait_out(failing(0), nothing) == "done"
    assert (time.pauses, caplog.messages) == ([], [])


def test_pauses_double_from_a_fiftieth_to_a_second_and_are_left_to_chance(patience, time):
    patience.wait_out(failing(12), nothing)
    longest = [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, *[1.0] * 6]
    assert all(up / 2 <= one <= up for one, up in zip(time.pauses, longest, strict=True))
    assert len(set(time.pauses)) == len(time.pauses)


def test_connections_are_given_up_before_each_further_try(patience):
    given_up = []
    patience.wait_out(failing(3), lambda: given_up.append(1))
    assert len(given_up) == 3


def test_an_outage_is_told_when_it_begins_and_when_it_ends(patience, caplog):
    patience.wait_out(failing(9), nothing)
    assert caplog.record_tuples == [
        (
            "hitl_agent.storage",
            logging.WARNING,
            "the database does not answer, trying again for 60 s",
        ),
        ("hitl_agent.storage", logging.WARNING, "the database answers again"),
    ]


def test_after_a_minute_the_error_leaves(patience, time, caplog):
    with pytest.raises(psycopg.OperationalError):
        patience.wait_out(failing(10_000), nothing)
    assert 60 <= time.now < 61
    assert caplog.messages == ["the database does not answer, trying again for 60 s"]


def test_another_error_during_an_outage_ends_it(patience, caplog):
    left = [psycopg.errors.UniqueViolation("twice"), LOST]

    def work():
        raise left.pop()

    with pytest.raises(psycopg.errors.UniqueViolation):
        patience.wait_out(work, nothing)
    assert caplog.messages[-1] == "the database answers again"


def test_many_threads_tell_of_one_outage(caplog):
    threads = 8
    away_for_all = threading.Barrier(threads)
    patience = Patience(60, pause=lambda _: away_for_all.wait(10))
    workers = [
        threading.Thread(target=patience.wait_out, args=(failing(3), nothing))
        for _ in range(threads)
    ]
    for one in workers:
        one.start()
    for one in workers:
        one.join(20)
    assert sorted(caplog.messages) == [
        "the database answers again", "the database does not answer, trying again for 60 s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.OperationalError("connection refused"), True),
        (psycopg.errors.AdminShutdown("x"), True),
        (psycopg.errors.CrashShutdown("x"), True),
        (psycopg.errors.CannotConnectNow("starting up"), True),
        (psycopg.errors.IdleSessionTimeout("x"), True),
        (psycopg.errors.TooManyConnections("x"), True),
        (psycopg.errors.ReadOnlySqlTransaction("a standby"), True),
        (psycopg.errors.ConnectionFailure("x"), True),
        (psycopg.errors.ProtocolViolation("of a pooler: server conn crashed?"), True),
        (PoolTimeout("x"), True),
        (psycopg.errors.QueryCanceled("x"), False),
        (psycopg.errors.DeadlockDetected("x"), False),
        (psycopg.errors.DiskFull("x"), False),
        (psycopg.errors.SyntaxError("x"), False),
        (psycopg.errors.UniqueViolation("x"), False),
        (psycopg.errors.UndefinedTable("x"), False),
        (psycopg.errors.RaiseException("of a trigger"), False),
        (psycopg.InterfaceError("x"), False),
        (DatabaseUnavailable("it does not answer"), False),
        (RuntimeError("x"), False),
    ],
    ids=lambda one: type(one).__name__,
)
def test_only_a_database_that_is_away_is_waited_for(error, expected):
    assert away(error) is expected


def test_the_cause_of_our_own_error_tells_whether_the_database_is_away():
    for error, expected in ((LOST, True), (psycopg.errors.QueryCanceled("x"), False)):
        with pytest.raises(DatabaseUnavailable) as caught, translated():
            raise error
        assert away(caught.value) is expected
