"""A verdict comes back from a row by hand-written code: it is to refuse what pydantic refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hitl_agent.policy import Effect, Reviewers, RuleHit, Tier, Verdict

REFERENCE = TypeAdapter(Verdict)
PLAIN = Verdict(
    tier=Tier.HARD_GATE,
    effect=Effect.WRITE,
    rules=(RuleHit("a", Tier.HARD_GATE, "b"),),
    errors=("e",),
    reviewers=Reviewers(1, ("finance",)),
    sla_seconds=60,
    grant_ttl_seconds=600,
    allowed_decisions=("approve",),
    policy_digest="sha256:00",
    redactions={"*": ("card",)},
).to_json()

# no lone surrogates: no row can hold one, and where a key is ignored, so is what stands under it
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([1.0, 0.5, "", "block", "read", "hard_gate", "1", 10**30]),
    lambda below: (
        st.lists(below, max_size=2)
        | st.dictionaries(
            st.sampled_from(["id", "tier", "reason", "min", "roles", "reject", "*"]), below
        )
    ),
    max_leaves=6,
)
rules = st.fixed_dictionaries(
    {"id": st.just("x"), "tier": st.sampled_from(Tier).map(str), "reason": st.just("y")},
    optional={"later": values},
)
verdicts = st.builds(
    lambda base, changed, left_out: {
        key: item for key, item in (base | changed).items() if key != left_out
    },
    st.just(PLAIN),
    st.dictionaries(
        st.sampled_from([*PLAIN, "later"]), values | st.lists(rules, max_size=2), max_size=2
    ),
    st.none() | st.sampled_from(list(PLAIN)),
)


@settings(max_examples=400, deadline=None)
@given(verdicts | values)
@example(PLAIN | {"reviewers": {}})
@example(PLAIN | {"reviewers": {"min": 2}})
@example(PLAIN | {"reviewers": {"roles": []}})
@example(PLAIN | {"reviewers": {"reject": "majority"}})
@example(PLAIN | {"reviewers": {"reject": "none"}})
@example(PLAIN | {"grant_ttl_seconds": True})
@example(PLAIN | {"grant_ttl_seconds": 600.0})
@example(PLAIN | {"redactions": {}})
@example(PLAIN | {"redactions": {"*": "card"}})
@example(PLAIN | {"redactions": {"*": ["card"], "support": []}})
@example(PLAIN | {"redactions": None})
@example({key: value for key, value in PLAIN.items() if key != "redactions"})
@example(PLAIN | {"errors": ["\ud800"]})
@example(PLAIN | {"rules": [PLAIN["rules"][0] | {"tier": "HARD_GATE"}]})
def test_the_same_is_refused_and_the_same_is_read(data):
    try:
        wanted = REFERENCE.validate_json(json.dumps(data), strict=True)
    except ValueError:
        with pytest.raises(ValueError, match="validation error"):
            Verdict.from_json(data)
    else:
        read = Verdict.from_json(data)
        assert read == wanted
        assert type(read.tier) is Tier
        assert type(read.effect) is Effect
        assert all(type(rule.tier) is Tier for rule in read.rules)


def test_the_package_has_its_public_names_and_no_others():
    from hitl_agent import policy

    assert dir(policy) == sorted(policy.__all__)
    assert all(getattr(policy, name) for name in dir(policy))
    with pytest.raises(AttributeError, match="no attribute `jugde`"):
        policy.jugde  # noqa: B018


def test_a_verdict_that_is_read_loads_no_yaml_and_no_pydantic():
    import subprocess
    import sys

    code = (
        "import sys, hitl_agent.policy.verdict, hitl_agent.review, hitl_agent.execution;"
        "print([one for one in ('pydantic', 'yaml', 'jsonschema') if one in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
