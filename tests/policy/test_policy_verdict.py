from __future__ import annotations

import itertools
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_agent.policy import Effect, Reviewers, RuleHit, Tier, Verdict

HITS = (
    RuleHit("amount-limit", Tier.HARD_GATE, "too much"),
    RuleHit("always-gate:x", Tier.HARD_GATE, "too much"),
    RuleHit("auto-threshold", Tier.AUTO_APPROVE, "sure"),
)


def verdict(**changed) -> Verdict:
    values = {
        "tier": Tier.HARD_GATE,
        "effect": Effect.WRITE,
        "rules": HITS,
        "errors": ("an error",),
        "reviewers": Reviewers(1, ("finance",)),
        "sla_seconds": 60,
        "grant_ttl_seconds": 600,
        "allowed_decisions": ("approve", "reject"),
        "policy_digest": "sha256:00",
        "redactions": {"*": ("card",), "support": ("salary", "iban")},
    }
    return Verdict(**(values | changed))


def test_tiers_compare_by_severity_and_not_by_the_alphabet():
    order = [Tier.AUTO_APPROVE, Tier.SOFT_REVIEW, Tier.HARD_GATE, Tier.BLOCK]
    assert sorted(Tier, key=str) != order
    assert sorted([order[3], order[1], order[0], order[2]]) == order
    assert max(Tier) is Tier.BLOCK
    assert min(Tier) is Tier.AUTO_APPROVE
    for low, high in itertools.pairwise(order):
        assert low < high
        assert low <= high
        assert high > low
        assert high >= low
        assert not high < low
        assert not low >= high
    assert Tier.BLOCK >= Tier.BLOCK <= Tier.BLOCK


def test_a_tier_compares_with_its_name_and_with_nothing_else():
    assert Tier.BLOCK > "soft_review"
    assert Tier.BLOCK > "hard_gate"
    assert "block" > Tier.SOFT_REVIEW  # noqa: SIM300  what `str` would answer is the other way
    assert Tier.BLOCK == "block"
    with pytest.raises(ValueError, match="never"):
        assert Tier.BLOCK < "never"


def test_reasons_begin_with_those_behind_the_verdict_and_repeat_none():
    assert verdict().reasons == ("too much", "sure")


def test_a_verdict_goes_to_plain_json_and_back():
    plain = verdict().to_json()
    assert plain == {
        "tier": "hard_gate",
        "effect": "write",
        "rules": [
            {"id": "amount-limit", "tier": "hard_gate", "reason": "too much"},
            {"id": "always-gate:x", "tier": "hard_gate", "reason": "too much"},
            {"id": "auto-threshold", "tier": "auto_approve", "reason": "sure"},
        ],
        "errors": ["an error"],
        "reviewers": {"min": 1, "roles": ["finance"], "reject": None},
        "sla_seconds": 60,
        "grant_ttl_seconds": 600,
        "allowed_decisions": ["approve", "reject"],
        "policy_digest": "sha256:00",
        "redactions": {"*": ["card"], "support": ["salary", "iban"]},
    }
    assert type(plain["tier"]) is str
    again = Verdict.from_json(json.loads(json.dumps(plain)))
    assert again == verdict()
    assert type(again.tier) is Tier
    assert pickle.loads(pickle.dumps(again)) == again
    assert hash(again) == hash(verdict())


@settings(deadline=None)
@given(
    st.builds(
        verdict,
        tier=st.sampled_from(Tier),
        effect=st.sampled_from(Effect),
        errors=st.lists(st.text(st.characters(codec="utf-8"))).map(tuple),
        sla_seconds=st.none() | st.integers(1, 10**9),
        reviewers=st.builds(
            Reviewers, st.integers(0, 5), reject=st.sampled_from([None, "one", "majority"])
        ),
        redactions=st.dictionaries(
            st.text(st.characters(codec="utf-8")),
            st.lists(st.text(st.characters(codec="utf-8"))).map(tuple),
        ),
    )
)
def test_every_verdict_survives_json(given_verdict):
    plain = json.loads(json.dumps(given_verdict.to_json()))
    assert Verdict.from_json(plain) == given_verdict


@pytest.mark.parametrize(
    "changed",
    [{"tier": "run"}, {"tier": None}, {"rules": [{}]}, {"sla_seconds": "60"}, {"errors": "x"}]
    + [{"redactions": one} for one in (None, [], "x", {"*": "x"}, {"*": [1]}, {"\ud800": []})],
)
def test_what_is_no_verdict_is_refused(changed):
    with pytest.raises(ValueError, match="validation error"):
        Verdict.from_json(verdict().to_json() | changed)
    with pytest.raises(ValueError, match="validation error"):
        Verdict.from_json({})


def test_a_verdict_of_an_earlier_release_hides_nothing():
    earlier = verdict().to_json()
    del earlier["redactions"]
    assert Verdict.from_json(earlier) == verdict(redactions={})


def test_a_verdict_of_an_earlier_release_says_nothing_of_rejections():
    earlier = verdict().to_json()
    del earlier["reviewers"]["reject"]
    assert Verdict.from_json(earlier) == verdict()
    with pytest.raises(ValueError, match="neither `one` nor `majority`"):
        Verdict.from_json(earlier | {"reviewers": {"reject": "none"}})


def test_verdicts_that_differ_in_what_they_hide_differ():
    assert verdict() != verdict(redactions={})


def test_a_key_of_a_later_release_is_passed_over():
    assert Verdict.from_json(verdict().to_json() | {"novelty": 1}) == verdict()
