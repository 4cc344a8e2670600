"""Calls that take more than one person: who counts, what ends the question, what runs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.types import Command

from hitl_agent import OutcomeUnknown, Runtime, build_graph
from hitl_agent.errors import HitlError, InvalidDecision, StaleDecision
from hitl_agent.review import Outcome
from hitl_agent.storage.database import Database
from tests.support.flows import Clock, Desk, Script, call, desk, tools_noting

APPROVE, REJECT = {"type": "approve"}, {"type": "reject", "message": "no"}
PEOPLE = "reviewers: {Ana: [finance], bo: [finance, security], cy: [], dee: []}\n"


def wanting(wanted: str, people: str = PEOPLE) -> str:
    return f"{people}tools:\n  send: {{effect: irreversible, reviewers: {wanted}}}\n"


def waits(runtime: Runtime, policy: str, **config: Any) -> Desk:
    agent = desk(runtime, [call("send", "a", to="x")], policy=policy)
    config = {"configurable": {"thread_id": agent.thread_id, **config}}
    agent.graph.invoke(agent.runtime.start_input("do it"), config)
    assert agent.status == "waiting"
    return agent


def votes(agent: Desk, reviewer: str, decision: dict[str, Any] = APPROVE) -> Outcome:
    request = agent.runtime.request(agent.thread_id, "a")
    return agent.runtime.decide(request, decision, reviewer=reviewer)


def test_a_call_runs_when_as_many_people_as_are_wanted_approve(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 2}", people=""))
    first = votes(agent, "ana", {"type": "approve", "message": "seen"})
    assert (first.decision, first.progress) == (None, "1 of 2; still wanted: 1 more")
    (request,) = agent.waiting
    (shown,) = request.to_json()["votes"]
    assert (shown["reviewer"], shown["type"], shown["message"]) == ("ana", "approve", "seen")
    assert agent.runtime.resume_input(agent.graph, agent.thread_id) is None
    agent.resume()
    assert agent.done == [], "a thread that is resumed too early asks again"
    (interrupt,) = agent.graph.get_state(agent.config).interrupts
    assert [one["reviewer"] for one in interrupt.value["votes"]] == ["ana"]
    assert votes(agent, "bo").decision == "approve"
    agent.resume()
    assert agent.done == [("send", "x")]
    assert agent.answer("a").text == "[approved by ana, bo: seen]\nsent to x"
    assert agent.kinds("a") == [
        "verdict",
        "request",
        "vote",
        "decision",
        "grant",
        "started",
        "succeeded",
    ]
    (decision,) = (
        one["body"] for one in agent.runtime.history(agent.thread_id) if one["kind"] == "decision"
    )
    assert decision["votes"] == [
        {"reviewer": "ana", "type": "approve"},
        {"reviewer": "bo", "type": "approve"},
    ]


def test_one_person_under_two_names_is_one_reviewer(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 2}", people=""))
    for spelling in ("ana", "ANA ", "a\u200bna", "\uff41na"):
        assert votes(agent, spelling).progress == "1 of 2; still wanted: 1 more"
    assert len(agent.waiting[0].votes) == 1


def test_every_role_has_to_be_brought(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 2, roles: [finance]}"))
    assert votes(agent, "cy").decision is None
    outcome = votes(agent, "dee")
    assert outcome.progress == "2 of 2; still wanted: someone with role finance"
    assert votes(agent, "ana").decision == "approve"
    agent.resume()
    assert agent.answer("a").text.startswith("[approved by Ana, cy, dee]")


def test_only_people_that_the_policy_names_decide(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 1}"))
    for decision in (APPROVE, REJECT):
        with pytest.raises(InvalidDecision, match="`zoe` is not among the reviewers") as caught:
            votes(agent, "zoe", decision)
        assert caught.value.hint == "one of them has to decide: Ana, bo, cy, dee"
    assert agent.waiting[0].votes == ()
    assert votes(agent, "CY").decision == "approve"


def test_a_role_without_named_people_cannot_be_approved_and_can_be_rejected(
    runtime: Runtime,
) -> None:
    agent = waits(runtime, wanting("{roles: [finance]}", people=""))
    with pytest.raises(InvalidDecision, match="does not say who has it"):
        votes(agent, "ana")
    assert votes(agent, "ana", REJECT).decision == "reject"
    agent.resume()
    assert (agent.done, agent.status) == ([], "done")


@pytest.mark.parametrize("decision", [APPROVE, REJECT, {"type": "edit", "args": {"to": "y"}}])
def test_who_asked_for_the_call_never_decides_on_it(
    runtime: Runtime, decision: dict[str, Any]
) -> None:
    agent = waits(runtime, wanting("{min: 1}"), actor="Cy")
    with pytest.raises(InvalidDecision, match="asked for the call"):
        votes(agent, " cy", decision)
    assert agent.status == "waiting"
    assert agent.waiting[0].votes == ()
    assert votes(agent, "dee").decision == "approve"


def test_one_rejection_rejects(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 3}"))
    votes(agent, "ana")
    votes(agent, "bo")
    assert votes(agent, "cy", REJECT).decision == "reject"
    with pytest.raises(StaleDecision, match="cy decided `reject`"):
        agent.runtime.request(agent.thread_id, "a")
    agent.resume()
    assert agent.done == []
    assert agent.answer("a").text == "rejected by cy, the call was not run: no"


def test_a_majority_rejects_where_the_policy_says_so(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 3, reject: majority}"))
    assert votes(agent, "ana", REJECT).progress == "0 of 3, 1 against; still wanted: 3 more"
    votes(agent, "bo")
    assert votes(agent, "cy", {"type": "reject", "message": "never"}).decision == "reject"
    agent.resume()
    assert agent.answer("a").text == "rejected by Ana, cy, the call was not run: no; never"


def test_a_later_vote_takes_the_place_of_the_earlier_one(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 2, reject: majority}"))
    votes(agent, "ana", REJECT)
    assert votes(agent, "ana").progress == "1 of 2; still wanted: 1 more"
    assert votes(agent, "ana", REJECT).progress == "0 of 2, 1 against; still wanted: 2 more"
    assert votes(agent, "bo", REJECT).decision == "reject"


def test_an_answer_in_the_tools_place_ends_the_question(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 2}"))
    votes(agent, "ana")
    assert votes(agent, "bo", {"type": "respond", "message": "he knows"}).decision == "respond"
    agent.resume()
    assert agent.answer("a").text == "answered by bo in the tool's place: he knows"


def test_an_edit_voids_the_votes_before_it(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 2}"))
    (before,) = agent.waiting
    votes(agent, "ana")
    assert votes(agent, "bo", {"type": "edit", "args": {"to": "y"}}).decision == "edit"
    agent.resume()
    (after,) = agent.waiting
    assert (after.votes, after.call.args) == ((), {"to": "y"})
    with pytest.raises(StaleDecision, match="bo decided `edit`"):
        agent.runtime.decide(before, APPROVE, reviewer="ana")
    assert votes(agent, "cy").progress == "1 of 2; still wanted: 1 more"
    assert votes(agent, "ana").decision == "approve"
    agent.resume()
    assert agent.done == [("send", "y")]


def test_another_policy_voids_the_votes_before_it(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(wanting("{min: 2}"))
    done: list[tuple[str, Any]] = []
    clock = Clock()
    builder = build_graph(
        Script([call("send", "a", to="x")]), tools_noting(done), file, clock=clock
    )
    runtime = Runtime(runtime.database, clock=clock)
    agent = Desk(runtime, runtime.compile(builder, name="desk"), clock, done)
    agent.start()
    votes(agent, "cy")
    file.write_text(wanting("{min: 2}", people="reviewers: {ana: [], bo: []}\n"))
    assert votes(agent, "dee").decision == "approve", "the question was put under the other policy"
    agent.resume()
    assert agent.done == []
    assert (agent.waiting[0].votes, agent.waiting[0].revision) == ((), 2)
    with pytest.raises(InvalidDecision, match="not among"):
        votes(agent, "cy")
    votes(agent, "ana")
    assert votes(agent, "bo").decision == "approve"
    agent.resume()
    assert agent.done == [("send", "x")]


def test_a_call_in_doubt_takes_as_many_people_as_the_call_did(runtime: Runtime) -> None:
    def tools(done: list[tuple[str, Any]]) -> list[BaseTool]:
        @tool
        def send(to: str) -> str:
            """Send a letter, and do not hear of it at the first try."""
            done.append(("send", to))
            if len(done) == 1:
                raise OutcomeUnknown("the line went dead")
            return "sent"

        return [send]

    agent = desk(runtime, [call("send", "a", to="x")], policy=wanting("{min: 2}"), tools=tools)
    agent.start()
    votes(agent, "ana")
    votes(agent, "bo")
    agent.resume()
    (request,) = agent.waiting
    assert (request.revision, request.votes) == (2, ())
    assert "in doubt" in request.verdict.errors[0]
    assert votes(agent, "ana").decision is None
    assert len(agent.done) == 1
    assert votes(agent, "bo").decision == "approve"
    agent.resume()
    assert len(agent.done) == 2
    assert agent.status == "done"


class TestAnAnswerThatComesWithTheResume:
    """`Command(resume=...)`: who answers is what the app or the server says, or nobody."""

    def resumed(self, agent: Desk, answer: dict[str, Any] = APPROVE, **config: Any) -> None:
        (interrupt,) = agent.graph.get_state(agent.config).interrupts
        agent.graph.invoke(
            Command(resume={interrupt.id: answer}),
            {"configurable": {"thread_id": agent.thread_id, **config}},
        )

    @pytest.mark.parametrize("answer", [APPROVE, REJECT, {"type": "edit", "args": {"to": "y"}}])
    @pytest.mark.parametrize(
        ("policy", "config"),
        [
            (wanting("{min: 2}", people=""), {}),
            (wanting("{min: 1}"), {}),
            (wanting("{min: 1}", people=""), {"actor": "cy"}),
        ],
    )
    def test_without_a_name_it_is_refused_where_it_matters_who_answers(
        self, runtime: Runtime, policy: str, config: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        agent = waits(runtime, policy, **config)
        self.resumed(agent, answer)
        assert (agent.done, agent.status) == ([], "waiting")
        (request,) = agent.waiting
        assert "names no reviewer" in (request.problem or "")
        assert request.votes == ()
        assert "answer_refused" in agent.kinds("a")

    def test_with_names_it_is_counted_until_enough_have_answered(self, runtime: Runtime) -> None:
        agent = waits(runtime, wanting("{min: 2, roles: [security]}"))
        self.resumed(agent, reviewer="ana")
        assert (agent.done, agent.status) == ([], "waiting")
        self.resumed(agent, reviewer="ANA")
        assert agent.status == "waiting"
        self.resumed(agent, reviewer="zoe")
        assert "not among the reviewers" in (agent.waiting[0].problem or "")
        self.resumed(agent, reviewer="bo")
        assert agent.done == [("send", "x")]
        assert agent.answer("a").text == "[approved by Ana, bo]\nsent to x"

    def test_a_server_that_knows_its_users_is_believed(self, runtime: Runtime) -> None:
        agent = waits(runtime, wanting("{min: 2}"))
        self.resumed(agent, reviewer="ana", langgraph_auth_user_id="cy")
        assert [one.reviewer for one in agent.waiting[0].votes] == ["cy"]

    def test_who_asked_is_refused_under_any_actor_of_the_resume(self, runtime: Runtime) -> None:
        agent = waits(runtime, wanting("{min: 1}"), actor="cy")
        self.resumed(agent, reviewer="cy", actor="somebody")
        assert "asked for the call" in (agent.waiting[0].problem or "")
        assert agent.done == []


def test_what_runs_under_soft_review_takes_as_many_as_ever(runtime: Runtime) -> None:
    policy = (
        "reviewers: {ana: []}\ntools:\n  refund:\n    effect: write\n"
        "    rules: [{id: s, when: amount < 50, tier: soft_review}]\n"
    )
    agent = desk(runtime, [call("refund", "a", amount=10)], policy=policy)
    agent.start()
    with pytest.raises(InvalidDecision, match="not among"):
        votes(agent, "bo")
    assert votes(agent, "ana").decision == "approve"
    assert agent.kinds("a").count("grant") == 1


def test_a_vote_does_not_tell_what_is_hidden(runtime: Runtime) -> None:
    policy = "tools:\n  send: {effect: irreversible, redact: [to], reviewers: {min: 2}}\n"
    agent = desk(runtime, [call("send", "a", to="4111-1111-1111")], policy=policy)
    agent.start()
    votes(agent, "ana", {"type": "approve", "message": "4111-1111-1111 is fine"})
    assert "4111" not in str(agent.waiting[0].to_json())
    assert "is fine" in agent.waiting[0].votes[0].message


# deliveries that come again, late, or at once


@pytest.mark.parametrize("order", sorted(set(itertools.permutations(["ana", "bo", "ana"]))))
def test_a_vote_that_is_delivered_again_counts_once(
    runtime: Runtime, order: tuple[str, ...]
) -> None:
    agent = waits(runtime, wanting("{min: 2}"))
    (request,) = agent.waiting
    for reviewer in (*order, "bo", *order):
        agent.runtime.decide(request, APPROVE, reviewer=reviewer)
    with pytest.raises(StaleDecision, match="decided `approve`"):
        agent.runtime.decide(request, APPROVE, reviewer="cy")
    with pytest.raises(StaleDecision, match="decided `approve`"):
        agent.runtime.decide(request, REJECT, reviewer="ana")
    with pytest.raises(StaleDecision, match="decided `approve`"):
        agent.runtime.decide(request, APPROVE | {"message": "other"}, reviewer="ana")
    assert [agent.kinds("a").count(kind) for kind in ("vote", "decision", "grant")] == [1, 1, 1]
    agent.resume()
    assert agent.done == [("send", "x")]


def test_an_edit_that_is_delivered_again_is_known_by_its_arguments(runtime: Runtime) -> None:
    agent = waits(runtime, wanting("{min: 2}"))
    (request,) = agent.waiting
    edit = {"type": "edit", "args": {"to": "y"}}
    for _ in range(2):
        assert agent.runtime.decide(request, edit, reviewer="ana").decision == "edit"
    with pytest.raises(StaleDecision):
        agent.runtime.decide(request, edit | {"args": {"to": "z"}}, reviewer="ana")


@pytest.mark.parametrize("reviewers", [["ana"], ["ana", "bo"]])
def test_a_vote_whose_answer_was_lost_is_found_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, reviewers: list[str]
) -> None:
    agent = waits(runtime, wanting(f"{{min: {len(reviewers)}}}"))
    (request,) = agent.waiting
    wrote = Database.wrote

    def twice(self: Database, room: str, name: str, /, **params: Any) -> bool:
        if (room, name) == ("reviews", "vote"):
            wrote(self, room, name, **params)  # committed, and the connection broke
        return wrote(self, room, name, **params)

    monkeypatch.setattr(Database, "wrote", twice)
    found = [agent.runtime.decide(request, APPROVE, reviewer=one) for one in reviewers]
    assert found[-1].decision == "approve"
    assert agent.kinds("a").count("decision") == agent.kinds("a").count("grant") == 1
    agent.resume()
    assert agent.done == [("send", "x")]


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run works in threads of their own, all begun at the same moment; what each came to."""
    barrier = threading.Barrier(len(works))
    found: list[Any] = [None] * len(works)

    def run(index: int) -> None:
        barrier.wait()
        try:
            found[index] = works[index]()
        except HitlError as error:
            found[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return found


def test_two_who_approve_at_once_are_both_counted(runtime: Runtime) -> None:
    calls = [call("send", f"c{index}", to="x") for index in range(40)]
    agent = desk(runtime, calls, policy=wanting("{min: 2}"))
    agent.start()
    for request in agent.waiting:
        found = at_once(
            lambda request=request: agent.runtime.decide(request, APPROVE, reviewer="ana"),
            lambda request=request: agent.runtime.decide(request, APPROVE, reviewer="bo"),
        )
        assert sorted(str(one.decision) for one in found) == ["None", "approve"]
    agent.resume()
    assert len(agent.done) == 40


def test_of_many_at_once_the_decision_is_one_and_fits_the_votes(runtime: Runtime) -> None:
    people = "reviewers: {" + ", ".join(f"r{index}: []" for index in range(8)) + "}\n"
    calls = [call("send", f"c{index}", to=f"x{index}") for index in range(8)]
    agent = desk(runtime, calls, policy=wanting("{min: 8}", people=people))
    agent.start()
    for number, request in enumerate(agent.waiting):
        answers = [REJECT if index < number % 2 else APPROVE for index in range(8)]
        found = at_once(
            *(
                lambda request=request, index=index, answer=answer: agent.runtime.decide(
                    request, answer, reviewer=f"r{index}"
                )
                for index, answer in enumerate(answers)
            )
        )
        assert all(isinstance(one, Outcome | StaleDecision) for one in found)
        decided = [one.decision for one in found if isinstance(one, Outcome) and one.decision]
        assert decided == (["reject"] if number % 2 else ["approve"])
    agent.resume()
    assert len(agent.done) == 4
