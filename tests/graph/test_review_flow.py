"""A turn from plan to answer: what runs, what waits, what the planner is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langgraph.types import Command

from hitl_agent import Runtime
from hitl_agent.errors import InvalidDecision, NothingWaiting, StaleDecision, UnknownThread
from tests.support.flows import POLICY, Clock, call, desk


def test_a_read_and_a_small_write_run_and_a_large_one_waits(runtime: Runtime) -> None:
    agent = desk(
        runtime,
        [call("look", "a", what="x")],
        [call("refund", "b", amount=10), call("refund", "c", amount=70)],
    )
    agent.start()
    assert agent.done == [("look", "x")], "nothing of a turn runs while a call of it waits"
    (waits,) = agent.waiting
    assert waits.call.call_id == "c"
    assert waits.verdict.tier == "hard_gate"
    assert agent.status == "waiting"


def test_each_call_is_decided_by_itself_and_the_planner_hears_of_each(runtime: Runtime) -> None:
    agent = desk(
        runtime,
        [
            call("send", "approved", to="ann"),
            call("refund", "edited", amount=80),
            call("send", "rejected", to="bob"),
            call("send", "answered", to="cy"),
            call("look", "free", what="y"),
        ],
    )
    agent.start()
    assert {one.call.call_id for one in agent.waiting} == {
        "approved",
        "edited",
        "rejected",
        "answered",
    }
    agent.decide("approved", {"type": "approve", "message": "checked"})
    agent.decide(
        "edited", {"type": "edit", "edited_action": {"name": "refund", "args": {"amount": 5}}}
    )
    agent.decide("rejected", {"type": "reject", "message": "not him"}, reviewer="bo")
    agent.decide("answered", {"type": "respond", "message": "he knows"})
    agent.resume()
    assert agent.done == [("send", "ann"), ("refund", 5.0), ("look", "y")]
    assert agent.answer("approved").text == "[approved by ana: checked]\nsent to ann"
    changed = agent.answer("edited").text
    assert changed == '[changed by a reviewer before it ran, to refund {"amount": 5}]\nrefunded 5.0'
    assert agent.answer("rejected").text == "rejected by bo, the call was not run: not him"
    assert agent.answer("rejected").status == "error"
    assert agent.answer("answered").text == "answered by ana in the tool's place: he knows"
    assert json.loads(agent.answer("free").text) == {"what": "y", "total": 70}
    assert agent.status == "done"


def test_messages_answer_the_calls_in_the_planners_order(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "1", to="a"), call("look", "2", what="b")])
    agent.start()
    agent.decide("1", {"type": "approve"})
    state = agent.resume()
    answers = [one.tool_call_id for one in state["messages"] if one.type == "tool"]
    assert answers == ["1", "2"]


def test_an_edited_call_that_is_still_gated_waits_again(runtime: Runtime) -> None:
    agent = desk(runtime, [call("refund", "c", amount=900)])
    agent.start()
    (first,) = agent.waiting
    agent.decide("c", {"type": "edit", "args": {"amount": 90}})
    agent.resume()
    assert agent.done == []
    (second,) = agent.waiting
    assert (second.call.args, second.revision) == ({"amount": 90}, 2)
    assert second.request_id != first.request_id
    with pytest.raises(StaleDecision):
        agent.runtime.decide(first, {"type": "approve"}, reviewer="late")
    agent.decide("c", {"type": "approve"})
    agent.resume()
    assert agent.done == [("refund", 90.0)]


def test_decisions_one_at_a_time_keep_the_others_waiting(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", one, to=one) for one in ("a", "b", "c")])
    agent.start()
    for decided in ("b", "a"):
        agent.decide(decided, {"type": "approve"})
        agent.resume()
        assert agent.done == []
        shown = {one.interrupt_id for one in agent.waiting}
        assert shown == {one.id for one in agent.graph.get_state(agent.config).interrupts}
    agent.decide("c", {"type": "reject"})
    agent.resume()
    assert agent.done == [("send", "a"), ("send", "b")]


def test_a_decision_survives_the_process_that_took_it(runtime: Runtime, database_url: str) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    agent.decide("a", {"type": "approve"})
    with Runtime.open(database_url) as later:
        again = desk(later, [call("send", "a", to="x")], clock=agent.clock)
        again.thread_id = agent.thread_id
        assert again.waiting == []
        again.resume()
        assert again.done == [("send", "x")]
        assert again.status == "done"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"type": "approve"}, "[approved by a reviewer]\nsent to x"),
        ({"decisions": [{"type": "approve"}]}, "[approved by a reviewer]\nsent to x"),
        ([{"type": "accept", "args": None}], "[approved by a reviewer]\nsent to x"),
        (
            [{"type": "response", "args": "no need"}],
            "answered by a reviewer in the tool's place: no need",
        ),
        (
            [{"type": "ignore", "args": None}],
            "rejected by a reviewer, the call was not run: ignored by the reviewer",
        ),
        (
            {"decisions": [{"type": "reject", "message": "no"}]},
            "rejected by a reviewer, the call was not run: no",
        ),
        ({"type": "respond", "message": "ok"}, "answered by a reviewer in the tool's place: ok"),
    ],
)
def test_answers_of_langgraph_clients_are_understood(
    runtime: Runtime, answer: Any, text: str
) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    agent.graph.invoke(Command(resume={agent.waiting[0].interrupt_id: answer}), agent.config)
    assert agent.answer("a").text == text
    assert agent.status == "done"


def test_an_edit_by_resume_value_is_judged_again(runtime: Runtime) -> None:
    agent = desk(runtime, [call("refund", "a", amount=99)])
    agent.start()
    edit = [{"type": "edit", "args": {"action": "refund", "args": {"amount": 7}}}]
    agent.graph.invoke(Command(resume={agent.waiting[0].interrupt_id: edit}), agent.config)
    assert agent.done == [("refund", 7.0)]


@pytest.mark.parametrize(
    "answer",
    [
        True,
        "approve",
        None.__class__,
        {},
        [],
        {"type": "yes"},
        {"decisions": []},
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"type": "edit", "edited_action": {"name": "look", "args": {"what": "x"}}},
        {"type": "edit", "edited_action": {"name": "send", "args": {"nobody": 1}}},
        {"type": "edit", "args": {"to": 5}},
        {"type": "edit", "args": {"to": "x" * 300_000}},
        {"type": "respond", "message": "  "},
        {"type": "approve", "message": {"not": "text"}},
        {"type": "approve", "request_id": "another"},
    ],
)
def test_a_malformed_answer_asks_again_and_never_wedges_the_thread(
    runtime: Runtime, answer: Any
) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    if isinstance(answer, type):
        answer = 3.5
    agent.graph.invoke(Command(resume={agent.waiting[0].interrupt_id: answer}), agent.config)
    assert agent.done == []
    (again,) = agent.waiting
    assert again.problem
    assert agent.status == "waiting"
    assert [one.id for one in agent.graph.get_state(agent.config).interrupts] == [
        again.interrupt_id
    ]
    assert "answer_refused" in agent.kinds("a")
    agent.decide("a", {"type": "approve"})
    agent.resume()
    assert agent.done == [("send", "x")]


def test_a_decision_that_does_not_fit_is_refused_before_it_is_stored(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    before = agent.kinds("a")
    for decision in (
        {"type": "edit", "args": {"too": "y"}},
        {"type": "edit", "args": {"to": 1}},
        {"type": "edit", "args": {"to": "a\x00b"}},
        {"type": "edit", "args": {"to": "\ud800"}},
        {"type": "edit", "args": ["x"]},
        {"type": "maybe"},
    ):
        with pytest.raises(InvalidDecision):
            agent.decide("a", decision)
    with pytest.raises(InvalidDecision):
        agent.decide("a", {"type": "approve"}, reviewer=" ")
    assert agent.kinds("a") == before
    assert agent.waiting[0].problem is None


def test_only_the_decisions_that_policy_allows_are_taken(runtime: Runtime) -> None:
    policy = POLICY.replace(
        "send: {effect: irreversible}",
        "send: {effect: irreversible, allowed_decisions: [approve, reject]}",
    )
    agent = desk(runtime, [call("send", "a", to="x")], policy=policy)
    agent.start()
    with pytest.raises(InvalidDecision, match="not allowed"):
        agent.decide("a", {"type": "edit", "args": {"to": "y"}})
    agent.decide("a", {"type": "approve"})


def test_two_reviewers_at_once_the_second_is_told_who_was_first(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    (request,) = agent.waiting
    agent.runtime.decide(request, {"type": "reject"}, reviewer="ana")
    with pytest.raises(StaleDecision, match="ana decided `reject`"):
        agent.runtime.decide(request, {"type": "approve"}, reviewer="bo")
    with pytest.raises(StaleDecision, match="ana decided `reject`"):
        agent.decide("a", {"type": "approve"})
    agent.resume()
    assert agent.done == []


def test_errors_name_what_is_not_there(runtime: Runtime) -> None:
    agent = desk(runtime, [call("look", "a", what="x")])
    with pytest.raises(UnknownThread):
        agent.decide("a", {"type": "approve"})
    agent.start()
    with pytest.raises(NothingWaiting):
        agent.decide("a", {"type": "approve"})
    with pytest.raises(NothingWaiting, match="is done"):
        agent.resume()


def test_a_tool_that_policy_does_not_name_is_gated(runtime: Runtime) -> None:
    agent = desk(runtime, [call("unlisted", "a", x=1)])
    agent.start()
    assert [hit.id for hit in agent.waiting[0].verdict.rules] == ["unknown-tool"]


@pytest.mark.parametrize(
    ("planned", "text"),
    [
        (call("no_such_tool", "a"), "there is no tool named `no_such_tool`"),
        (call("refund", "a", amount="much"), "the arguments do not fit"),
        (call("refund", "a", amount=1, note="x"), "no argument is named `note`"),
        (call("refund", "a", amount=float("nan")), "the call is malformed"),
        (call("refund", "a", amount=2**70), "a number beyond 2^53"),
        (call("send", "a", to="a\x00b"), "NUL"),
        (call("drop_everything", "a"), "refused by policy"),
    ],
)
def test_a_call_that_cannot_run_is_refused_without_bothering_a_person(
    runtime: Runtime, planned: Any, text: str
) -> None:
    agent = desk(runtime, [planned])
    agent.start()
    assert agent.waiting == []
    assert text in agent.answer("a").text
    assert agent.answer("a").artifact["outcome"] == "blocked"
    assert agent.done == []
    assert agent.kinds("a") == ["verdict"]


def test_a_tool_that_fails_tells_the_planner_and_is_not_run_again(runtime: Runtime) -> None:
    agent = desk(runtime, [call("fails", "a", what="luck")])
    agent.start()
    assert agent.answer("a").text == "the tool failed: no luck\ufffd today"
    assert agent.answer("a").status == "error"
    assert agent.done == [("fails", "luck")]
    assert agent.kinds("a") == ["verdict", "grant", "started", "failed"]
    assert agent.status == "done"


@pytest.mark.parametrize("answer", [1.5, -0.1, float("nan"), True, "0.9", RuntimeError("boom")])
def test_an_estimator_that_fails_or_misstates_puts_the_call_before_a_person(
    runtime: Runtime, answer: Any
) -> None:
    def confidence(planned: Any, messages: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    agent = desk(runtime, [call("look", "a", what="x")], confidence=confidence)
    agent.start()
    assert agent.waiting[0].verdict.errors
    assert agent.done == []


@pytest.mark.parametrize(
    ("value", "waits"), [(0.95, False), (0.8, False), (0.5, True), (None, True)]
)
def test_confidence_moves_a_write_between_the_tiers(
    runtime: Runtime, value: float | None, waits: bool
) -> None:
    policy = (
        "escalation_policies:\n"
        "  - {action_type: refund, auto_approve_threshold: 0.9, soft_review_threshold: 0.7}\n"
        "tools:\n  refund: {effect: write}\n"
    )
    agent = desk(
        runtime,
        [call("refund", "a", amount=9)],
        policy=policy,
        confidence=lambda planned, messages: value,
    )
    agent.start()
    assert (agent.status == "waiting") is waits


def test_a_run_ends_at_the_limit_of_turns(runtime: Runtime) -> None:
    agent = desk(runtime, *([call("look", f"c{turn}", what="x")] for turn in range(9)), max_turns=3)
    agent.start()
    assert len(agent.done) == 3
    assert agent.status == "failed"
    assert "limit of 3 turns" in (agent.runtime.thread(agent.thread_id).thread.error or "")


def test_a_new_message_withdraws_the_questions_that_it_overtakes(runtime: Runtime) -> None:
    agent = desk(runtime, [call("send", "a", to="x")])
    agent.start()
    (request,) = agent.waiting
    agent.graph.invoke(agent.runtime.start_input("never mind"), agent.config)
    assert agent.status == "done"
    assert agent.waiting == []
    assert agent.kinds("a") == ["verdict", "request", "withdrawn"]
    with pytest.raises(StaleDecision, match="left behind"):
        agent.runtime.decide(request, {"type": "approve"}, reviewer="ana")


def test_the_list_puts_what_is_due_first_before_what_waits_longest(runtime: Runtime) -> None:
    policy = POLICY.replace(
        "send: {effect: irreversible}", "send: {effect: irreversible, sla: 600}"
    )
    clock = Clock()
    agents = []
    for planned in (
        call("unlisted", "a", x=1),
        call("send", "b", to="x"),
        call("unlisted", "c", x=1),
    ):
        agents.append(desk(runtime, [planned], policy=policy, clock=clock))
        agents[-1].start()
        clock.advance(minutes=1)
    assert [one.call.call_id for one in agents[0].runtime.waiting()] == ["b", "a", "c"]
    assert [one.call.call_id for one in agents[0].runtime.waiting(limit=1)] == ["b"]
    assert [one.call.call_id for one in agents[0].runtime.waiting(tool="unlisted")] == ["a", "c"]
    assert agents[0].runtime.waiting(graph="another") == []


async def _run_async(agent: Any) -> None:
    await agent.graph.ainvoke(agent.runtime.start_input("do it"), agent.config)
    assert agent.done == []
    agent.decide("a", {"type": "approve"})
    resume = agent.runtime.resume_input(agent.graph, agent.thread_id)
    async for _ in agent.graph.astream(resume, agent.config):
        pass


def test_the_async_way_does_the_same(runtime: Runtime) -> None:
    import asyncio

    agent = desk(runtime, [call("send", "a", to="x"), call("look", "b", what="y")])
    asyncio.run(_run_async(agent))
    assert agent.done == [("send", "x"), ("look", "y")]
    assert agent.status == "done"


def test_the_custom_stream_tells_how_each_call_was_judged(runtime: Runtime) -> None:
    agent = desk(runtime, [call("look", "a", what="x"), call("send", "b", to="y")])
    start = agent.runtime.start_input("do it")
    (chunk,) = agent.graph.stream(start, agent.config, stream_mode="custom")
    assert [(one["call_id"], one["tier"]) for one in chunk["judged"]] == [
        ("a", "auto_approve"),
        ("b", "hard_gate"),
    ]


def test_the_thread_tells_the_same_as_langgraph_at_every_step(runtime: Runtime) -> None:
    agent = desk(runtime, [call("look", "a", what="x")], [call("send", "b", to="x")])
    seen = []
    for _ in agent.graph.stream(agent.runtime.start_input("do it"), agent.config):
        finished = not agent.graph.get_state(agent.config).tasks
        assert (agent.status == "done") == finished
        seen.append(agent.status)
    seen.append(agent.status)  # an interrupt is streamed before LangGraph has written it
    assert seen[-1] == "waiting"
    agent.decide("b", {"type": "approve"})
    assert agent.status == "waiting", "decided, and not yet resumed"
    agent.resume()
    assert agent.graph.get_state(agent.config).tasks == ()
    assert agent.status == "done"
    assert set(seen) == {"running", "waiting"}
