from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.audit import Entry, Kind
from hitl_agent.errors import InvalidCall

AT = datetime(2026, 3, 1, 12, 30, 15, 42, tzinfo=UTC)


def test_an_entry_is_stored_in_canonical_json():
    entry = Entry(Kind.DECISION, "thread", "call", AT, {"type": "approve", "by": "Ána"})
    assert entry.canonical() == (
        '{"at":"2026-03-01T12:30:15.000042+00:00","body":{"by":"Ána","type":"approve"},'
        '"call_id":"call","kind":"decision","thread_id":"thread","v":1}'
    )


@given(
    st.integers(0, 4 * 10**15).map(lambda us: AT + timedelta(microseconds=us)),
    st.integers(-14 * 60, 14 * 60),
)
def test_the_same_moment_is_written_the_same_in_every_zone(at, minutes):
    there = at.astimezone(timezone(timedelta(minutes=minutes)))
    here, elsewhere = (Entry(Kind.GRANT, "t", "c", one, {}).canonical() for one in (at, there))
    assert here == elsewhere
    assert datetime.fromisoformat(json.loads(here)["at"]) == at


@given(st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9)), st.randoms())
def test_the_order_of_keys_in_the_evidence_does_not_matter(body, random):
    keys = list(body)
    random.shuffle(keys)
    again = {key: body[key] for key in keys}
    one, other = (Entry(Kind.STARTED, "t", "c", AT, each) for each in (body, again))
    assert one.canonical() == other.canonical()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_written_by_its_name(kind):
    assert json.loads(Entry(kind, "t", "c", AT, {}).canonical())["kind"] == kind.value


@pytest.mark.parametrize(
    "body", [{"a": float("nan")}, {"a": "\x00"}, {"a": "\ud800"}, {"a": 2**53}, {"a": {1}}]
)
def test_evidence_without_a_canonical_form_is_refused(body):
    with pytest.raises(InvalidCall):
        Entry(Kind.SUCCEEDED, "t", "c", AT, body).canonical()


def test_an_entry_does_not_change():
    entry = Entry(Kind.FAILED, "t", "c", AT, {})
    with pytest.raises(FrozenInstanceError):
        entry.kind = Kind.SUCCEEDED
    assert pickle.loads(pickle.dumps(entry)) == entry
