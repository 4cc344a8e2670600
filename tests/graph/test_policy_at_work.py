"""What a policy says of the past, of strangers' text and of the time after a call, in real runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

from hitl_agent import Runtime, build_graph
from hitl_agent.errors import ConfigurationError, DocumentError, InvalidDecision, StaleDecision
from tests.support.flows import Clock, Desk, Script, call, desk, tools_noting

SOFT = """
tools:
  refund: {effect: write, rules: [{id: seen-after, when: amount <= 50, tier: soft_review}]}
  send: {effect: irreversible}
"""

TAINT = """
tools:
  "*":
    rules:
      - {id: after-text, when: context.untrusted && effect != "read", tier: hard_gate}
  look: {effect: read, untrusted_output: true}
  refund: {effect: write, rules: [{id: small, when: amount <= 50, tier: auto_approve}]}
"""

DAY = """
tools:
  refund:
    effect: write
    history: {day: {by: tool, seconds: 86400}}
    rules:
      - {id: small, when: amount <= 50 && history.day.sum + amount <= 100.0, tier: auto_approve}
"""


def test_a_call_under_soft_review_runs_and_is_listed_with_its_tier(runtime: Runtime) -> None:
    agent = desk(runtime, [call("refund", "a", amount=10)], policy=SOFT)
    agent.start()
    assert agent.done == [("refund", 10)]
    assert agent.status == "done"
    (request,) = agent.waiting
    assert request.to_json()["tier"] == "soft_review"
    assert request.verdict.allowed_decisions == ("approve", "reject")
    assert agent.runtime.waiting(tier="soft_review", thread_id=agent.thread_id) == [request]
    assert agent.runtime.waiting(tier="hard_gate", thread_id=agent.thread_id) == []
    assert agent.runtime.thread(agent.thread_id).waiting == [request]


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_what_ran_is_decided_once_and_neither_runs_again_nor_is_undone(
    runtime: Runtime, decision: str
) -> None:
    agent = desk(runtime, [call("refund", "a", amount=10)], policy=SOFT)
    agent.start()
    (request,) = agent.waiting
    agent.decide("a", {"type": decision, "message": "seen"})
    assert agent.waiting == []
    with pytest.raises(StaleDecision):
        agent.runtime.decide(request, {"type": "approve"}, reviewer="bob")
    assert agent.done == [("refund", 10)]
    assert agent.kinds("a") == [
        "verdict",
        "grant",
        "request",
        "started",
        "succeeded",
        "decision",
    ], "no second grant"


@pytest.mark.parametrize(
    "decision",
    [
        {"type": "edit", "edited_action": {"name": "refund", "args": {"amount": 1}}},
        {"type": "respond", "message": "no"},
    ],
)
def test_what_ran_cannot_be_edited_or_answered(runtime: Runtime, decision: dict[str, Any]) -> None:
    agent = desk(runtime, [call("refund", "a", amount=10)], policy=SOFT)
    agent.start()
    with pytest.raises(InvalidDecision, match="not allowed"):
        agent.decide("a", decision)


def test_a_call_that_is_rejected_before_it_began_does_not_run(runtime: Runtime) -> None:
    agent = desk(
        runtime, [call("refund", "a", amount=10), call("send", "b", to="ann")], policy=SOFT
    )
    agent.start()
    assert {one.call.call_id: one.gates for one in agent.waiting} == {"a": False, "b": True}
    assert agent.done == [], "nothing of a turn runs while a call of it waits"
    agent.decide("a", {"type": "reject", "message": "wrong order"})
    agent.decide("b", {"type": "approve"})
    agent.resume()
    assert agent.done == [("send", "ann")]
    assert "rejected by ana" in agent.answer("a").text


def test_after_a_strangers_text_a_write_waits(runtime: Runtime) -> None:
    before = desk(runtime, [call("refund", "a", amount=10)], policy=TAINT)
    before.start()
    assert before.done == [("refund", 10)]
    after = desk(
        runtime, [call("look", "a", what="x")], [call("refund", "b", amount=10)], policy=TAINT
    )
    after.start()
    assert after.done == [("look", "x")]
    assert [one.id for one in after.waiting[0].verdict.rules] == ["after-text", "small"]


def test_what_was_read_is_remembered_when_the_messages_are_gone(runtime: Runtime) -> None:
    agent = desk(
        runtime,
        [call("look", "a", what="x")],
        policy=TAINT,
    )
    agent.start()
    agent.graph.update_state(agent.config, {"messages": []})
    second = Desk(
        agent.runtime,
        desk(runtime, [], [], [call("refund", "b", amount=10)], policy=TAINT).graph,
        agent.clock,
        thread_id=agent.thread_id,
    )
    second.start()
    assert second.waiting[0].verdict.rules[0].id == "after-text"


def test_many_small_sums_add_up(runtime: Runtime) -> None:
    agent = desk(
        runtime,
        [call("refund", "a", amount=50), call("refund", "b", amount=50)],
        [call("refund", "c", amount=50)],
        policy=DAY,
    )
    agent.start()
    assert agent.done == [("refund", 50), ("refund", 50)]
    assert agent.waiting[0].call.call_id == "c"
    agent.clock.advance(hours=25)
    later = desk(runtime, [call("refund", "d", amount=50)], policy=DAY, clock=agent.clock)
    later.start()
    assert later.status == "done", "yesterday no longer counts"


def test_threads_that_are_judged_at_once_do_not_pass_the_limit_together(runtime: Runtime) -> None:
    clock, start = Clock(), threading.Barrier(8)
    agents = [
        desk(runtime, [call("refund", "a", amount=50)], policy=DAY, clock=clock) for _ in range(8)
    ]

    def run(agent: Desk) -> None:
        start.wait()
        agent.start()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, agents))
    assert sum(len(agent.done) for agent in agents) == 2
    assert sum(agent.status == "waiting" for agent in agents) == 6


def test_sums_in_other_currencies_are_not_added_up(runtime: Runtime) -> None:
    @tool
    def pay(amount: float, currency: str) -> str:
        """Pay."""
        return f"{amount} {currency}"

    policy = """
tools:
  pay:
    effect: write
    history: {day: {by: tool, seconds: 86400}}
    rules: [{id: small, when: history.day.sum + amount <= 100.0, tier: auto_approve}]
"""
    agent = desk(
        runtime,
        [call("pay", "a", amount=10, currency="EUR"), call("pay", "b", amount=10, currency="JPY")],
        policy=policy,
        tools=lambda _: [pay],
    )
    agent.start()
    (waits,) = agent.waiting
    assert waits.call.call_id == "b"
    assert "history.day.sum" in waits.verdict.errors[0]


def test_the_past_is_counted_by_actor_and_by_counterparty(runtime: Runtime) -> None:
    @tool
    def pay(to: str, amount: float) -> str:
        """Pay."""
        return to

    policy = """
tools:
  pay:
    effect: write
    counterparty: to
    history: {me: {by: actor, seconds: 60}, them: {by: counterparty, seconds: 60}}
    rules:
      - {id: few, when: history.me.count < 2 && history.them.count < 1, tier: auto_approve}
"""
    clock = Clock()

    def pays(to: str, actor: str | None) -> str:
        agent = desk(
            runtime,
            [call("pay", "a", to=to, amount=1)],
            policy=policy,
            tools=lambda _: [pay],
            clock=clock,
        )
        named = {"actor": actor} if actor else {}
        agent.graph.invoke(
            agent.runtime.start_input("pay"),
            {"configurable": {"thread_id": agent.thread_id, **named}},
        )
        clock.advance(seconds=1)
        return agent.status

    assert pays("ann", "amy") == "done"
    assert pays("ann", "ben") == "waiting", "ann was paid"
    assert pays("bob", "amy") == "done"
    assert pays("cy", "amy") == "waiting", "amy has paid twice"
    assert pays("dan", None) == "waiting", "nobody says who acts"


def test_what_the_policy_hides_is_not_shown_and_survives_an_edit(runtime: Runtime) -> None:
    @tool
    def charge(card: str, amount: int) -> str:
        """Charge a card."""
        return f"{amount} of {card}"

    policy = "tools:\n  charge: {effect: irreversible, redact: [card]}\n"
    agent = desk(
        runtime,
        [call("charge", "a", card="4111", amount=5)],
        policy=policy,
        tools=lambda _: [charge],
    )
    agent.start()
    (request,) = agent.waiting
    (interrupt,) = agent.runtime.thread(agent.thread_id).thread.interrupts
    for shown in (request.to_json()["args"], interrupt.value["action_requests"][0]["args"]):
        assert shown == {"card": "[hidden by policy]", "amount": 5}
    assert "4111" not in str(interrupt.value)
    edited = {"name": "charge", "args": {"card": "[hidden by policy]", "amount": 4}}
    agent.decide("a", {"type": "edit", "edited_action": edited})
    agent.resume()
    agent.decide("a", {"type": "approve"})
    agent.resume()
    assert "4 of 4111" in agent.answer("a").text


def test_a_second_opinion_can_only_stop_a_call(runtime: Runtime) -> None:
    agent = desk(
        runtime,
        [call("look", "a", what="x"), call("drop_everything", "b")],
        second_opinion=lambda planned, messages: ["odd"] if planned.tool == "look" else [],
    )
    agent.start()
    (request,) = agent.waiting
    assert request.verdict.rules[0].id == "second-opinion"
    assert "odd" in request.verdict.rules[0].reason


@pytest.mark.parametrize("part", ["confidence", "second_opinion"])
def test_a_classifier_that_hangs_puts_the_call_before_a_person(runtime: Runtime, part: str) -> None:
    from datetime import timedelta

    released = threading.Event()

    def hangs(*_: Any) -> Sequence[str]:
        released.wait()
        return []

    agent = desk(
        runtime,
        [call("look", "a", what="x")],
        classifier_timeout=timedelta(milliseconds=20),
        **{part: hangs},
    )
    agent.start()
    released.set()
    assert agent.done == []
    assert "no answer within" in agent.waiting[0].verdict.errors[0]


class TestTheFileInForce:
    """A graph that was given the policy's path."""

    GATED = "tools:\n  refund: {effect: write}\n"
    FREE = (
        "tools:\n  refund: {effect: write, rules: [{id: all, when: 'true', tier: auto_approve}]}\n"
    )

    def agent(self, runtime: Runtime, file: Path) -> Desk:
        done: list[tuple[str, Any]] = []
        clock = Clock()
        turns = [[call("refund", f"c{index}", amount=1)] for index in range(3)]
        builder = build_graph(Script(*turns), tools_noting(done), file, clock=clock)
        runtime = Runtime(runtime.database, clock=clock)
        return Desk(runtime, runtime.compile(builder, name="desk"), clock, done)

    def test_a_change_takes_effect_and_a_call_that_waited_is_judged_again(
        self, runtime: Runtime, tmp_path: Path
    ) -> None:
        file = tmp_path / "policies.yaml"
        file.write_text(self.GATED)
        agent = self.agent(runtime, file)
        agent.start()
        file.write_text(self.FREE)
        agent.decide("c0", {"type": "approve"})
        agent.resume()
        assert agent.status == "done"
        assert len(agent.done) == 3
        assert agent.kinds("c0").count("verdict") == 2
        assert agent.kinds("c1").count("verdict") == 1
        with runtime.database.connection() as connection:
            kept = connection.execute("SELECT document FROM hitl.policy").fetchall()
        assert {row["document"] for row in kept} >= {self.GATED, self.FREE}

    @pytest.mark.parametrize(
        "broken",
        [
            "tools: [",
            "tools:\n  refund: {efect: read}\n",
            "tools:\n  refund: {effect: read, rules: [{id: a, when: args.amont > 1, tier: block}]}",
            FREE + "tests: [{tool: refund, expect: {tier: block}}]\n",
            None,
        ],
    )
    def test_a_broken_one_leaves_the_old_in_force_and_is_told(
        self,
        runtime: Runtime,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        broken: str | None,
    ) -> None:
        file = tmp_path / "policies.yaml"
        file.write_text(self.FREE)
        agent = self.agent(runtime, file)
        with caplog.at_level(logging.ERROR, "hitl_agent.policy"):
            if broken is None:
                file.unlink()
            else:
                file.write_text(broken)
            agent.start()
        assert len(agent.done) == 3
        said = [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert len(said) == 1, "and once only"
        assert "stays in force" in caplog.text

    def test_a_policy_that_does_not_fit_the_tools_is_refused_at_the_start(
        self, runtime: Runtime, tmp_path: Path
    ) -> None:
        file = tmp_path / "policies.yaml"
        file.write_text("tools:\n  refund: {effect: write, amount: amont}\n")
        with pytest.raises(DocumentError, match=r"policies\.yaml:2:35: .*did you mean `amount`"):
            self.agent(runtime, file)
        file.write_text(self.FREE + "tests: [{tool: refund, expect: {tier: block}}]\n")
        with pytest.raises(ConfigurationError, match="its own tests fail"):
            self.agent(runtime, file)
