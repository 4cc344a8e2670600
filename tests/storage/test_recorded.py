"""Every call on the record, for those who judge it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hitl_agent import Runtime
from hitl_agent.policy import Tier, parse_policy
from hitl_agent.policy.backtest import (
    RecordedCall,
    backtest,
    longest_span,
    looks_at_context,
)
from hitl_agent.storage import recorded
from hitl_agent.storage.database import Database
from hitl_agent.storage.recorded import recorded_calls
from tests.support.flows import Clock, Desk, call, desk

AUTO, SOFT, HARD, BLOCK = Tier
POLICY = """
never_run: [drop_everything]
tools:
  look: {effect: read}
  refund: {effect: write, rules: [{id: small, when: amount <= 50, tier: auto_approve}]}
  send: {effect: irreversible, redact: [text]}
"""


def execute(database: Database, statement: str, **params: Any) -> None:
    """Change rows by hand, past the triggers."""
    with database.connection() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(statement.encode(), params)


def by_call(database: Database, **options: Any) -> dict[str, RecordedCall]:
    found = list(recorded_calls(database, **options))
    assert len({(one.call_id, one.revision) for one in found}) == len(found)
    return {f"{one.call_id}.{one.revision}": one for one in found}


def test_a_call_has_what_came_of_it(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        calls = [
            call("look", "a", what="x"), call("send", "b", to="x", text="y"),
            call("send", "c", to="y"), call("drop_everything", "d"), call("nothing", "e"),
        ]  # fmt: skip
        agent = desk(runtime, calls, policy=POLICY)
        agent.start()
        agent.decide("b", {"type": "approve"}, reviewer="bea")
        agent.decide("c", {"type": "reject", "message": "no"})
        agent.resume()
    found = by_call(database)
    assert [*found] == ["a.1", "b.1", "c.1", "d.1", "e.1"]
    now = agent.clock()
    assert found["a.1"].tier is AUTO
    assert found["a.1"].args == {"what": "x"}
    assert found["a.1"].judged_at == now
    assert found["a.1"].permission is not None
    assert found["a.1"].permission.used
    assert (found["b.1"].tier, found["b.1"].decision, found["b.1"].reviewer) == (
        HARD, "approve", "bea",
    )  # fmt: skip
    assert found["b.1"].permission is not None
    assert found["b.1"].hidden == ("text",)
    assert (found["c.1"].decision, found["c.1"].permission) == ("reject", None)
    assert (found["d.1"].tier, found["d.1"].refused) == (BLOCK, False)
    assert (found["e.1"].tier, found["e.1"].refused) == (BLOCK, True)  # there is no such tool
    assert all(one.counts for one in found.values())


def test_an_edited_call_is_another_one(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("refund", "a", amount=80)], policy=POLICY)
        agent.start()
        agent.decide(
            "a", {"type": "edit", "edited_action": {"name": "refund", "args": {"amount": 20}}}
        )
        agent.resume()
    found = by_call(database)
    assert [(one.args, one.tier, one.decision) for one in found.values()] == [
        ({"amount": 80}, HARD, "edit"),
        ({"amount": 20}, AUTO, None),
    ]
    assert [one.permission is not None for one in found.values()] == [False, True]


def test_a_call_that_is_judged_again_under_another_policy_is_one(database: Database) -> None:
    clock = Clock()
    with Runtime.open(database.url) as runtime:
        first = desk(runtime, [call("send", "a", to="x")], policy=POLICY, clock=clock)
        first.start()
        clock.advance(minutes=5)
        other = POLICY.replace("never_run", "always_gate")
        second = desk(runtime, [call("send", "a", to="x")], policy=other, clock=clock)
        second.thread_id = first.thread_id
        second.resume()
        second.decide("a", {"type": "reject", "message": "no"}, reviewer="bea")
        second.resume()
    (one,) = recorded_calls(database)
    assert (one.revision, one.decision, one.reviewer) == (1, "reject", "bea")
    assert one.judged_at == clock() - timedelta(minutes=5)


def killed_while_it_ran(database: Database, agent: Desk) -> None:
    """Leave the call as a process does that is killed while it runs; then its time is up."""
    at = agent.clock() + timedelta(seconds=1)
    execute(
        database,
        """
        INSERT INTO hitl.attempt (
            thread_id, call_id, revision, grant_id, state, started_at, deadline
        )
        SELECT thread_id, call_id, revision, grant_id, 'started', %(at)s, %(at)s
        FROM hitl."grant"
        ON CONFLICT (thread_id, call_id) DO UPDATE
        SET state = 'started', deadline = excluded.deadline, result = NULL, ended_at = NULL
        """,
        at=at,
    )
    execute(database, 'UPDATE hitl."grant" SET consumed_at = granted_at')
    agent.clock.advance(minutes=10)


def test_of_a_call_in_doubt_the_first_judgement_and_opinion_count(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("send", "a", to="x")], policy=POLICY)
        agent.start()
        agent.decide("a", {"type": "approve"}, reviewer="bea")
        killed_while_it_ran(database, agent)
        agent.resume()
        agent.decide("a", {"type": "reject", "message": "leave it"}, reviewer="cem")
        agent.resume()
    with database.connection() as connection:
        (row,) = connection.execute("SELECT count(*) AS n FROM hitl.judgement").fetchall()
    assert row["n"] == 2
    (one,) = recorded_calls(database)
    assert (one.revision, one.decision, one.reviewer) == (1, "approve", "bea")


def test_to_leave_a_call_in_doubt_is_no_opinion_of_it(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("refund", "a", amount=20)], policy=POLICY)
        # the step before the call runs is the last that this process takes
        agent.graph.invoke(
            runtime.start_input("do it"), agent.config, interrupt_before=["executor"]
        )
        killed_while_it_ran(database, agent)
        agent.resume()
        agent.decide("a", {"type": "reject", "message": "leave it"}, reviewer="cem")
        agent.resume()
    assert agent.done == []
    (one,) = recorded_calls(database)
    assert (one.tier, one.decision) == (AUTO, None)
    assert one.permission is not None
    assert one.permission.used


def test_what_was_said_of_one_version_is_not_said_of_another(database: Database) -> None:
    with Runtime.open(database.url) as runtime:
        agent = desk(runtime, [call("refund", "a", amount=80)], policy=POLICY)
        agent.start()
        edit = {"name": "refund", "args": {"amount": 90}}
        agent.decide("a", {"type": "edit", "edited_action": edit})
        agent.resume()
        agent.decide("a", {"type": "approve"})
        agent.resume()
    assert agent.done == [("refund", 90)]
    execute(database, "DELETE FROM hitl.decision WHERE type = 'edit'")
    found = by_call(database)
    assert [one.decision for one in found.values()] == [None, "approve"]
    assert [one.permission is not None for one in found.values()] == [False, True]


def test_tools_that_ran_before_are_named(database: Database) -> None:
    clock = Clock()
    with Runtime.open(database.url) as runtime:
        turns = [[call("look", "a", what="x")], [call("look", "b", what="y")]]
        agent = desk(runtime, *turns, policy=POLICY, clock=clock)
        agent.start()
        other = desk(runtime, [call("look", "c", what="x")], policy=POLICY, clock=clock)
        other.start()
    for table, column in (("judgement", "judged_at"), ("attempt", "started_at")):
        later = f"SET {column} = {column} + interval '1s' WHERE call_id <> 'a'"
        execute(database, f"UPDATE hitl.{table} {later}")
    assert {name: one.ran_before for name, one in by_call(database).items()} == {
        "a.1": (), "b.1": ("look",), "c.1": (),
    }  # fmt: skip
    assert by_call(database, untrusted=False)["b.1"].ran_before == ()


def test_calls_of_other_graphs_or_earlier_ones_do_not_count(database: Database) -> None:
    clock = Clock()
    with Runtime.open(database.url) as runtime:
        for call_id in ("a", "b", "c"):
            desk(runtime, [call("look", call_id, what="x")], policy=POLICY, clock=clock).start()
            clock.advance(hours=1)
    start = clock() - timedelta(hours=2)
    assert [*by_call(database, since=start)] == ["b.1", "c.1"]
    counted = by_call(database, since=start, before=timedelta(hours=1))
    assert {name: one.counts for name, one in counted.items()} == {
        "a.1": False, "b.1": True, "c.1": True,
    }  # fmt: skip
    graphs = {
        name: all(one.counts for one in by_call(database, graph=name).values())
        for name in ("desk", "other")
    }
    assert graphs == {"desk": True, "other": False}


def test_a_span_longer_than_time_itself_begins_with_it(database: Database) -> None:
    long = timedelta(days=366)
    assert list(recorded_calls(database, since=datetime(1, 1, 2, tzinfo=UTC), before=long)) == []


def test_pages_miss_nothing_and_repeat_nothing(database: Database, monkeypatch) -> None:
    with Runtime.open(database.url) as runtime:
        for turn in range(3):
            calls = [call("look", f"{turn}-{index}", what="x") for index in range(5)]
            desk(runtime, calls, policy=POLICY).start()
    everything = [*by_call(database)]
    assert len(everything) == 15
    for size in (1, 2, 5, 15):
        monkeypatch.setattr(recorded, "_PAGE", size)
        assert [*by_call(database)] == everything


@pytest.mark.parametrize(
    "args",
    [
        '"text"',
        "[1]",
        "null",
        "7",
        '{"a": 1' + "0" * 5000 + "}",
        '{"a": "' + "x" * 1_100_000 + '"}',
    ],
    ids=["text", "list", "null", "number", "digits", "long"],
)
def test_arguments_that_are_none_are_no_arguments(database: Database, args) -> None:
    with Runtime.open(database.url) as runtime:
        desk(runtime, [call("look", "a", what="x")], policy=POLICY).start()
    execute(database, "UPDATE hitl.judgement SET args = %(args)s::jsonb", args=args)
    (one,) = recorded_calls(database)
    assert one.args is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hitl.judgement SET judged_at = 'infinity'",
        "UPDATE hitl.judgement SET judged_at = '-infinity'",
        "UPDATE hitl.judgement SET judged_at = '4000-01-01 BC'",
        "UPDATE hitl.judgement SET judged_at = '99999-01-01'",
    ],
)
def test_a_time_that_is_none_is_no_time(database: Database, change) -> None:
    with Runtime.open(database.url) as runtime:
        desk(runtime, [call("look", "a", what="x")], policy=POLICY).start()
        execute(database, change)
        desk(runtime, [call("look", "b", what="x")], policy=POLICY).start()
    found = by_call(database)
    assert (found["a.1"].judged_at, found["b.1"].args) == (None, {"what": "x"})


@pytest.mark.parametrize(
    "verdict",
    [
        "null", "7", '"x"', "[]", "{}", '{"rules": 7, "errors": "x", "redactions": [1]}',
        '{"rules": [{"id": "second-opinion", "reason": 7}], "errors": [7, null, {"a": 1}]}',
        '{"allowed_decisions": {}, "rules": [[[]]], "redactions": {"*": {"a": 1}}}',
    ],
)  # fmt: skip
def test_a_verdict_that_is_none_is_no_matter(database: Database, verdict) -> None:
    with Runtime.open(database.url) as runtime:
        desk(runtime, [call("look", "a", what="x")], policy=POLICY).start()
    execute(database, "UPDATE hitl.judgement SET verdict = %(verdict)s::jsonb", verdict=verdict)
    execute(database, "UPDATE hitl.judgement SET confidence = 'NaN', amount = 'NaN'")
    execute(database, "UPDATE hitl.\"grant\" SET granted_at = '-infinity'")
    (one,) = recorded_calls(database)
    assert (one.args, one.objections, one.errors, one.hidden) == ({"what": "x"}, (), (), ())
    assert one.permission is None


def test_what_was_not_the_policys_doing_is_kept(database: Database) -> None:
    verdict = """{
        "rules": [{"id": "second-opinion", "reason": "a second opinion objects: it smells"},
                  {"id": "error", "reason": "x"}],
        "errors": ["the confidence estimator failed: x", "rule `a` has no answer: y"]
    }"""
    with Runtime.open(database.url) as runtime:
        desk(runtime, [call("look", "a", what="x")], policy=POLICY).start()
    execute(database, "UPDATE hitl.judgement SET verdict = %(verdict)s::jsonb", verdict=verdict)
    (one,) = recorded_calls(database)
    assert one.objections == ("it smells",)
    assert one.errors == ("the confidence estimator failed: x",)


REMEMBERING = """
tools:
  look: {effect: read, untrusted_output: true}
  refund:
    effect: write
    history: {hour: {by: tool, seconds: 3600}}
    rules:
      - id: few
        when: history.hour.count < 2 && history.hour.sum + amount < 60.0
        tier: auto_approve
      - {id: told, when: context.untrusted, tier: hard_gate}
  send: {effect: irreversible}
"""


class Ticking(Clock):
    """Time that moves a little whenever it is asked for."""

    def __call__(self) -> datetime:
        self.advance(milliseconds=1)
        return self.now


def test_under_the_policy_of_then_every_call_is_judged_as_it_was(database: Database) -> None:
    clock, policy = Ticking(), parse_policy(REMEMBERING)
    with Runtime.open(database.url) as runtime:
        for index, amount in enumerate((20, 20, 20, 50, 10, 10)):
            turns = [[call("refund", f"r{index}", amount=amount)]]
            if index in (0, 5):
                turns.insert(0, [call("look", f"l{index}", what="x")])
            agent = desk(runtime, *turns, policy=REMEMBERING, clock=clock)
            agent.start()
            if agent.waiting and index == 3:
                clock.advance(minutes=1)
                agent.decide(f"r{index}", {"type": "approve"})
                agent.resume()
            clock.advance(minutes=17)
    calls = recorded_calls(
        database,
        before=timedelta(seconds=longest_span(policy)),
        untrusted=looks_at_context(policy),
    )
    report = backtest(policy, calls)
    assert all(old is new for old, new in report.moves)
    assert {old for old, _ in report.moves} == {AUTO, HARD}
    assert report.calls == 8
