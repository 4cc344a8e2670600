"""Until when a call may still be on its way, and how long its key is good for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.execution import NO_PROMISE, Contract, Happened

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_a_call_may_be_on_its_way_for_a_quarter_longer_than_it_may_take():
    assert Contract(timeout=4 * MINUTE).deadline(NOW) == NOW + 5 * MINUTE
    assert NO_PROMISE.deadline(NOW) == NOW


def test_a_key_is_used_while_a_try_that_starts_now_arrives_before_it_is_forgotten():
    contract = Contract(timeout=4 * MINUTE, idempotent_for=HOUR)
    last = NOW + HOUR - 5 * MINUTE
    assert contract.remembers(NOW, last - MOMENT)
    assert not contract.remembers(NOW, last)
    assert not contract.remembers(NOW, NOW + HOUR)


@pytest.mark.parametrize("contract", [NO_PROMISE, Contract(timeout=MINUTE, reconcile=Happened)])
def test_a_tool_that_takes_no_key_remembers_none(contract):
    assert contract.remembers(NOW, NOW) is False


def test_of_a_call_that_was_never_sent_no_key_is_remembered():
    contract = Contract(idempotent_for=HOUR)
    assert contract.remembers(None, NOW) is False
    assert contract.remembers(NOW, NOW) is True


times = st.timedeltas(timedelta(0), timedelta(days=2))


@given(times, times, times, times)
def test_a_key_that_is_forgotten_stays_forgotten(timeout, retention, passed, more):
    contract = Contract(timeout=timeout, idempotent_for=retention)
    if contract.remembers(NOW, NOW + passed + more):
        assert contract.remembers(NOW, NOW + passed)
        assert contract.deadline(NOW + passed + more) < NOW + retention


@given(times, times)
def test_a_deadline_is_never_before_the_call_is_cut_off(timeout, passed):
    started = NOW + passed
    assert Contract(timeout=timeout).deadline(started) >= started + timeout


def test_a_tool_promises_nothing_unless_it_says_so():
    assert Contract("", None, None, None, transactional=False) == NO_PROMISE
    assert Happened().result is None
