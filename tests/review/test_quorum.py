"""What votes come to: as many people as are wanted, with the roles, in whatever order they vote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.errors import InvalidDecision
from hitl_agent.policy import Reviewers
from hitl_agent.policy.people import person
from hitl_agent.review import Vote, admitted, quorum

NOW = datetime(2026, 3, 1, tzinfo=UTC)

ANA = ["ana", "Ana", " ANA ", "a\u200bna", "\uff21na"]
NAMES = [*ANA, "bo", "BO", "cy", "dee", "", " ", "\u200b", None]


def vote(reviewer: str | None, type_: str = "approve", *roles: str, after: int = 0) -> Vote:
    return Vote(reviewer, type_, "", "cli", roles, NOW + timedelta(seconds=after))


votes = st.builds(
    lambda name, type_, roles, after: vote(name, type_, *roles, after=after),
    st.sampled_from(NAMES),
    st.sampled_from(["approve", "approve", "approve", "edit", "reject", "respond", "yes", ""]),
    st.sets(st.sampled_from(["finance", "security"])),
    st.integers(0, 3),
)
wanted = st.builds(
    Reviewers,
    st.integers(-2, 5),
    st.lists(st.sampled_from(["finance", "security", "legal"]), unique=True).map(tuple),
    st.sampled_from([None, "one", "majority"]),
)
asked_by = st.sets(st.sampled_from(["ana", "BO", "zed"]))
several = st.lists(votes, max_size=7)


@given(wanted, several, asked_by, st.randoms())
def test_the_order_of_votes_does_not_matter(asked, cast, requesters, random):
    found = quorum(asked, cast, requesters=requesters)
    random.shuffle(cast)
    assert quorum(asked, cast, requesters=requesters) == found


@given(wanted, several, asked_by)
def test_nothing_is_approved_by_too_few_or_without_a_role_or_by_who_asked(asked, cast, requesters):
    found = quorum(asked, cast, requesters=requesters)
    barred = {person(one) for one in requesters}
    assert all(person(one.reviewer or "") not in barred - {""} for one in found.votes)
    if found.decision != "approve":
        return
    approved = [one for one in cast if one.type == "approve"]
    people = {person(one.reviewer or "") for one in approved} - barred
    if asked.min > 1 or asked.roles or requesters:
        people -= {""}  # an answer without a name does not count
    assert len(people) >= max(asked.min, 1)
    held = {role for one in approved if person(one.reviewer or "") in people for role in one.roles}
    assert held.issuperset(asked.roles)
    assert not any(
        one.type in ("edit", "respond") and person(one.reviewer or "") in people for one in cast
    )


@given(wanted, several, votes, asked_by)
def test_one_more_person_never_takes_an_approval_or_a_rejection_back(
    asked, cast, one_more, requesters
):
    before = quorum(asked, cast, requesters=requesters).decision
    if one_more.person in {one.person for one in cast}:
        return
    after = quorum(asked, [*cast, one_more], requesters=requesters).decision
    if one_more.type == "approve":
        assert after in ((before, "approve") if before is None else (before,))
    if before == "reject":
        assert after == "reject"
    if one_more.type == "reject":
        assert after in (before, "reject")


@given(wanted, several, votes, asked_by)
def test_the_vote_that_decides_is_of_the_decisions_type(asked, cast, last, requesters):
    others = [one for one in cast if one.person != last.person]
    if quorum(asked, others, requesters=requesters).decision is None:
        decision = quorum(asked, [*others, last], requesters=requesters).decision
        assert decision in (None, last.type)


@given(several, asked_by)
def test_more_that_is_wanted_never_approves_what_less_did_not(cast, requesters):
    cast = [one for one in cast if one.person]  # without a name only the less wanted would count
    for role in ((), ("finance",)):
        for least in range(1, 4):
            stricter = quorum(Reviewers(least + 1, role), cast, requesters=requesters).decision
            looser = quorum(Reviewers(least, ()), cast, requesters=requesters).decision
            assert stricter != "approve" or looser == "approve"


def test_two_spellings_are_one_person():
    assert quorum(Reviewers(2), [vote(one) for one in ANA]).decision is None
    assert quorum(Reviewers(2), [vote("ana"), vote("bo")]).decision == "approve"


@given(st.text())
def test_the_one_spelling_is_its_own_spelling(name):
    assert person(person(name)) == person(name)
    assert person(name.upper().lower()) in {person(name), person(name.upper())}


@pytest.mark.parametrize(
    ("least", "decides"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (10, 6)]
)
def test_a_majority_is_more_than_half_of_the_people_wanted(least, decides):
    asked = Reviewers(least, (), "majority")
    against = [vote(f"r{index}", "reject") for index in range(decides)]
    assert quorum(asked, against[1:]).decision is None
    assert quorum(asked, against).decision == "reject"
    assert quorum(Reviewers(least), against[:1]).decision == "reject"


def test_a_minority_against_does_not_stop_an_approval():
    asked = Reviewers(3, (), "majority")
    cast = [vote("no", "reject"), *(vote(one) for one in "abc")]
    assert quorum(asked, cast).decision == "approve"
    assert quorum(asked, cast[:3]).decision is None


def test_roles_may_be_one_persons_and_are_not_needed_of_all():
    asked = Reviewers(2, ("finance", "security"))
    both = vote("bo", "approve", "finance", "security")
    assert quorum(asked, [both]).decision is None
    assert quorum(asked, [both, vote("cy")]).decision == "approve"
    assert quorum(asked, [vote("ana", "approve", "finance"), vote("cy")]).decision is None


def test_a_role_counts_only_with_an_approval():
    asked = Reviewers(2, ("finance",), "majority")
    cast = [vote("fay", "reject", "finance"), vote("bo"), vote("cy")]
    assert quorum(asked, cast).decision is None


@pytest.mark.parametrize(
    ("asked", "cast", "progress"),
    [
        (Reviewers(2), [], "0 of 2; still wanted: 2 more"),
        (Reviewers(2), [vote("ana")], "1 of 2; still wanted: 1 more"),
        (
            Reviewers(2, ("finance",)),
            [vote("ana")],
            "1 of 2; still wanted: someone with role finance",
        ),
        (
            Reviewers(3, ("finance",)),
            [vote("ana")],
            "1 of 3; still wanted: 2 more, someone with role finance",
        ),
        (
            Reviewers(1, ("finance",)),
            [vote("ana")],
            "1 of 1; still wanted: someone with role finance",
        ),
        (
            Reviewers(3, (), "majority"),
            [vote("ana"), vote("bo", "reject")],
            "1 of 3, 1 against; still wanted: 2 more",
        ),
        (Reviewers(1), [vote("ana")], "1 of 1"),
    ],
)
def test_it_says_how_far_an_approval_is(asked, cast, progress):
    assert quorum(asked, cast).progress == progress


# who may vote

PEOPLE = {"Ana": ["finance"], "bo": []}


@pytest.mark.parametrize("name", ["ana", "ANA", "a\u200bna"])
def test_a_reviewer_is_known_under_every_spelling_and_named_as_in_the_policy(name):
    found = admitted(name, "approve", Reviewers(1), requesters=(), people=PEOPLE)
    assert found == ("Ana", ("finance",))


@pytest.mark.parametrize("name", ["ana", "Ana ", "\uff21na"])
@pytest.mark.parametrize("answer", ["approve", "edit", "reject", "respond"])
def test_who_asked_decides_nothing(name, answer):
    with pytest.raises(InvalidDecision, match="asked for the call") as caught:
        admitted(name, answer, Reviewers(1), requesters=("ana",), people=None)
    assert caught.value.hint == "somebody else has to decide"


def test_who_is_not_named_is_told_who_is():
    with pytest.raises(InvalidDecision, match="`cy` is not among the reviewers") as caught:
        admitted("cy", "reject", Reviewers(1), requesters=(), people=PEOPLE)
    assert caught.value.hint == "one of them has to decide: Ana, bo"


@pytest.mark.parametrize("name", ["", " ", "\u200b", "x" * 201, "a\x00b", "a\ud800", "\ufdfa" * 20])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(InvalidDecision, match="no text of 1 to 200 characters"):
        admitted(name, "approve", Reviewers(1), requesters=(), people=None)


def test_without_a_name_one_of_one_may_answer():
    assert admitted(None, "approve", Reviewers(1), requesters=(), people=None) == (None, ())
    assert quorum(Reviewers(1), [vote(None)]).decision == "approve"
    assert quorum(Reviewers(0), [vote(None, "reject")]).decision == "reject"


@pytest.mark.parametrize("type_", ["approve", "edit", "reject", "respond"])
@pytest.mark.parametrize(
    ("asked", "requesters"),
    [
        (Reviewers(2), ()),
        (Reviewers(2, (), "majority"), ()),
        (Reviewers(1, ("finance",)), ()),
        (Reviewers(1), ("zed",)),
    ],
)
def test_a_vote_without_a_name_does_not_count_where_it_matters_who_votes(type_, asked, requesters):
    found = quorum(asked, [vote(None, type_, "finance"), vote("\u200b")], requesters=requesters)
    assert (found.decision, found.votes) == (None, ())


@pytest.mark.parametrize(
    ("asked", "requesters", "people"),
    [
        (Reviewers(2), (), None),
        (Reviewers(1, ("finance",)), (), PEOPLE),
        (Reviewers(1), ("ana",), None),
        (Reviewers(1), (), PEOPLE),
    ],
)
def test_without_a_name_nobody_answers_where_it_matters_who_does(asked, requesters, people):
    with pytest.raises(InvalidDecision, match="names no reviewer"):
        admitted(None, "reject", asked, requesters=requesters, people=people)


def test_a_role_that_nobody_is_said_to_have_cannot_be_brought():
    asked = Reviewers(1, ("finance",))
    with pytest.raises(InvalidDecision, match="does not say who has it"):
        admitted("ana", "approve", asked, requesters=(), people=None)
    assert admitted("ana", "reject", asked, requesters=(), people=None) == ("ana", ())


@pytest.mark.parametrize(
    ("types", "decision"),
    [
        (["respond"], "respond"),
        (["edit"], "edit"),
        (["edit", "respond"], "respond"),
        (["approve", "approve", "edit"], "edit"),
        (["respond", "reject"], "reject"),
        (["edit", "reject"], "reject"),
        (["approve", "yes"], None),
    ],
)
def test_an_answer_in_the_tools_place_and_an_edit_end_the_question(types, decision):
    cast = [vote(f"r{index}", type_) for index, type_ in enumerate(types)]
    assert quorum(Reviewers(2), cast).decision == decision


NAME_THE_REVIEWER = "name the reviewer: `hitl approve --as NAME`, or `configurable.reviewer`"


@pytest.mark.parametrize(
    ("name", "asked", "people", "message", "hint"),
    [
        (
            "ana",
            Reviewers(1, ("pay", "law")),
            None,
            "the policy wants somebody with the role `pay`, `law` and does not say who has it",
            "name people and their roles under `reviewers` in the policy, or reject the call",
        ),
        (
            None,
            Reviewers(2),
            None,
            "the answer names no reviewer, and who answers counts here",
            NAME_THE_REVIEWER,
        ),
        (
            "x" * 201,
            Reviewers(1),
            None,
            "the reviewer's name is no text of 1 to 200 characters",
            "name one with --as NAME",
        ),
        (
            "cy",
            Reviewers(1),
            {"bo": [], "Ana": [], "dee": []},
            "`cy` is not among the reviewers that the policy names",
            "one of them has to decide: Ana, bo, dee",
        ),
        (
            "cy",
            Reviewers(1),
            {"bo": [], "Cato": []},
            "`cy` is not among the reviewers that the policy names",
            "one of them has to decide: bo, Cato",
        ),
    ],
)
def test_whose_answer_does_not_count_is_told_what_to_do(name, asked, people, message, hint):
    with pytest.raises(InvalidDecision) as caught:
        admitted(name, "approve", asked, requesters=(), people=people)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_the_longest_name_is_a_name():
    found = admitted("x" * 200, "approve", Reviewers(1), requesters=(), people=None)
    assert found == ("x" * 200, ())


def test_a_vote_is_plain_json():
    assert vote("Ana", "reject", "finance").to_json() == {
        "reviewer": "Ana",
        "type": "reject",
        "message": "",
        "channel": "cli",
        "roles": ["finance"],
        "voted_at": "2026-03-01T00:00:00+00:00",
    }
