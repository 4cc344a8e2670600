"""Calls that take more than one person, at the command line."""

from __future__ import annotations

import json

import psycopg
import pytest

POLICY = """
version: 1
reviewers: {ana: [], bo: [finance], cy: []}
tools:
  look_up: {effect: read}
  refund: {effect: write, reviewers: {min: 2, roles: [finance]}}
  send: {effect: irreversible}
"""


@pytest.fixture
def several(hitl):
    """A project in which a refund takes two people, one of finance."""
    (hitl.folder / "policies.yaml").write_text(POLICY)
    return hitl


def test_a_thread_waits_until_enough_have_approved(several):
    several.waits("t", "large.yaml")
    first = several("approve", "t", "--as", "ana", "--reason", "seen")
    assert first.status == 3
    assert (
        first.out.strip()
        == "approved     refund (money.1), 1 of 2; still wanted: someone with role finance"
    )
    assert several.effects() == []
    again = several("approve", "t", "--as", "Ana", "--reason", "seen")
    assert (again.status, "1 of 2" in again.out) == (3, True)
    last = several("approve", "t", "--as", "bo")
    assert last.status == 0
    assert last.out.startswith("approved     refund (money.1)\n")
    assert several.effects() == ["refund A-1 80"]


def test_what_waits_shows_the_votes_so_far(several):
    several.waits("t", "large.yaml")
    several("approve", "t", "--as", "bo", "--reason", "it is \u202eright")
    assert "1 of 2; still wanted: 1 more" in several("list").out
    shown = several("show", "t").out
    assert "votes      1 of 2; still wanted: 1 more" in shown
    assert r"    - bo approve: it is \u202eright" in shown
    for found in (several("list", "--json").json, several("show", "t", "--json").json["waiting"]):
        (vote,) = found[0]["votes"]
        assert (vote["reviewer"], vote["type"], vote["channel"]) == ("bo", "approve", "cli")
        assert vote["roles"] == ["finance"]
        assert found[0]["reviewers"] == {"min": 2, "roles": ["finance"], "reject": "one"}
    assert "vote" in several("history", "t").out


def test_one_vote_leaves_the_thread_waiting_in_json_too(several):
    several.waits("t", "large.yaml")
    ended = several("approve", "t", "--as", "cy", "--json")
    assert (ended.status, ended.json["status"]) == (3, "waiting")
    assert [one["reviewer"] for one in ended.json["waiting"][0]["votes"]] == ["cy"]


def test_who_is_no_reviewer_is_told_who_is(several):
    several.waits("t", "large.yaml")
    ended = several("approve", "t", "--as", "zoe", "--json")
    assert ended.status == 2
    assert "`zoe` is not among the reviewers that the policy names" in str(ended.error)
    assert "ana, bo, cy" in str(ended.error)


def test_one_of_two_calls_is_closed_and_the_thread_asks_for_the_rest(several):
    several.waits("t")
    ended = several("approve", "t", "--as", "ana", "--json")
    assert ended.status == 3
    (still,) = ended.json["waiting"]
    assert (still["tool"], len(still["votes"])) == ("refund", 1)
    assert several("approve", "t", "--as", "bo").status == 0
    assert several.effects() == ["refund A-1 80", "send ana@example.com"]


def test_what_is_refused_for_one_call_is_recorded_for_the_other(several):
    named = POLICY.replace("reviewers: {ana: [], bo: [finance], cy: []}\n", "")
    (several.folder / "policies.yaml").write_text(named)
    several.waits("t")
    ended = several("approve", "t", "--as", "ana", "--json")
    assert ended.status == 2
    assert "does not say who has it" in ended.error["error"]
    (still,) = several("list", "--json").json
    assert (still["tool"], still["votes"]) == ("refund", [])
    assert several("reject", "t", "--as", "ana").status == 0
    assert several.effects() == ["send ana@example.com"]


def test_one_rejection_ends_it(several):
    several.waits("t", "large.yaml")
    several("approve", "t", "--as", "ana")
    assert several("reject", "t", "--as", "cy", "--reason", "no").status == 0
    assert several.effects() == []


def test_a_round_of_reviews_leaves_a_call_to_the_next_reviewer(several, database_url):
    several.waits("t", "large.yaml")
    first = several("review", "--as", "ana", "--json", stdin="a\n\n")
    assert (first.status, first.json["waiting"]) == (3, 1)
    assert several.effects() == []
    last = several("review", "--as", "bo", "--json", stdin="a\n\n")
    assert (last.status, last.json["waiting"]) == (0, 0)
    assert several.effects() == ["refund A-1 80"]
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT person, type FROM hitl.vote ORDER BY person").fetchall()
    assert found == [("ana", "approve"), ("bo", "approve")]


def test_two_processes_at_once_are_both_counted(several):
    several.waits("t", "large.yaml")
    started = [several.start("approve", "t", "--as", name, "--json") for name in ("ana", "bo")]
    ended = []
    for process in started:
        out, err = process.communicate(timeout=120)
        ended.append((process.returncode, out, err))
    assert sorted(code for code, _, _ in ended) == [0, 3], ended
    assert [json.loads(out)["status"] for code, out, _ in ended if code == 0] == ["done"]
    assert several.effects() == ["refund A-1 80"]
