from __future__ import annotations

import json
import math
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.calls import ToolCall
from hitl_agent.risk import (
    Estimate,
    agreement,
    as_estimate,
    auxiliary,
    ensemble,
    from_logprobs,
    same_call,
    tokens_of,
    verbalised,
)

CALL = ToolCall("c1", "refund", {"amount": 20, "to": "ann"})
RAW = st.floats(0, 1)
NO_CONFIDENCE = [math.nan, math.inf, -0.1, 1.1, True, False, "0.5", Decimal("0.5"), 10**400, [0.5]]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
calls = st.builds(
    ToolCall,
    st.just("c"),
    st.sampled_from(["refund", "send"]),
    st.dictionaries(st.text(max_size=2), json_values, max_size=2),
)


def tokens(*texts, logprob=-1.0):
    return [(text, logprob) for text in texts]


# an estimate


@given(RAW, RAW)
def test_the_value_is_the_calibrated_confidence_if_there_is_one(raw, calibrated):
    assert Estimate(raw, "x").value == raw
    assert Estimate(raw, "x", calibrated).value == calibrated


@given(RAW, st.none() | RAW)
def test_an_estimate_can_be_kept_as_json(raw, calibrated):
    estimate = Estimate(raw, "token_logprobs", calibrated)
    assert Estimate(**json.loads(json.dumps(estimate.to_json()))) == estimate


@pytest.mark.parametrize("bad", NO_CONFIDENCE)
def test_what_is_no_confidence_is_refused(bad):
    for made in (
        lambda: Estimate(bad, "x"),
        lambda: Estimate(0.5, "x", bad),
        lambda: as_estimate(bad, "x"),
        lambda: auxiliary(bad),
    ):
        with pytest.raises(ValueError, match="is a number from 0 to 1"):
            made()


@pytest.mark.parametrize("source", ["", "x" * 129, "a\x00b", "\ud800", None, 5])
def test_a_source_is_text_that_can_be_stored(source):
    with pytest.raises(ValueError, match="the source of a confidence is text"):
        Estimate(0.5, source)


def test_any_kind_of_real_number_is_kept_as_a_float():
    for given_, kept in [(1, 1.0), (0, 0.0), (Fraction(1, 2), 0.5), (-0.0, 0.0)]:
        estimate = Estimate(given_, "x", given_)
        assert repr(estimate.raw) == repr(estimate.calibrated) == repr(kept)


def test_an_answer_is_an_estimate_a_number_or_nothing():
    estimate = Estimate(0.5, "x", 0.6)
    assert as_estimate(estimate, "y") is estimate
    assert as_estimate(0.5, "y") == Estimate(0.5, "y")
    assert as_estimate(None, "y") is None


def test_an_auxiliary_model_answers_with_a_number():
    assert auxiliary(0.25) == Estimate(0.25, "auxiliary")
    with pytest.raises(ValueError, match="auxiliary model"):
        auxiliary(None)


# token probabilities

WRITTEN = [
    ("I will refund it.", -9.0),
    ('<tool_call>{"name": "', -8.0),
    ("ref", -0.1),
    ("und", -0.2),
    ('", "arguments": ', -7.0),
    ('{"to": "ann", ', -0.3),
    ('"amount": 20.0', -0.4),
    ("}", 0.0),
    ("}</tool_call>", -6.0),
]


def test_the_tokens_of_name_and_arguments_count_and_no_others():
    assert tokens_of(CALL, WRITTEN) == (*WRITTEN[2:4], *WRITTEN[5:8])
    estimate = from_logprobs(CALL, WRITTEN)
    assert estimate is not None
    assert estimate.source == "token_logprobs"
    assert estimate.raw == pytest.approx(math.exp(-(0.1 + 0.2 + 0.3 + 0.4 + 0) / 5))


def test_each_of_several_calls_has_its_own_tokens():
    text = [*WRITTEN, ("\nrefund", -2.0), ('{"amount": 5}', -4.0)]
    other = ToolCall("c2", "refund", {"amount": 5})
    assert from_logprobs(other, text).raw == pytest.approx(math.exp(-3))
    assert tokens_of(CALL, text) == tokens_of(CALL, WRITTEN)


def test_of_a_call_that_is_written_twice_the_less_likely_counts():
    args = '{"amount": 20, "to": "ann"}'
    text = [("refund", -0.1), (args, -0.1), ("refund", -2.0), (args, -2.0), ("refund", -1.0)]
    text.append((args, -1.0))
    assert from_logprobs(CALL, text).raw == pytest.approx(math.exp(-2))
    assert tokens_of(CALL, text) == tuple(text[2:4])


@pytest.mark.parametrize(
    "text",
    [
        "done",
        "refund",
        'refunds {"amount": 20, "to": "ann"}',
        'no_refund {"amount": 20, "to": "ann"}',
        'refund {"amount": 21, "to": "ann"}',
        'refund {"amount": 20, "to": "ann"',
        '{"amount": 20, "to": "ann"} refund',
        'refund {"amount": NaN}',
        'refund {"amount": ' + "9" * 5000 + "}",
        'refund {"a":' * 5000,
        "refund" + '{"a":' * 5000,
        "refund " * 50_000,
    ],
)
def test_tokens_without_the_call_are_none_of_its_own(text):
    assert tokens_of(CALL, tokens(text)) == ()
    assert from_logprobs(CALL, tokens("x", text)).raw == pytest.approx(math.exp(-1))


def test_without_tokens_nothing_is_known():
    assert from_logprobs(CALL, []) is None
    assert tokens_of(CALL, []) == ()


@pytest.mark.parametrize("bad", [math.nan, 1e-9, math.inf, True, "-1", None, 10**400])
def test_what_is_no_log_probability_is_refused(bad):
    for read in (from_logprobs, tokens_of):
        with pytest.raises(ValueError, match="a log-probability is a number of at most 0"):
            read(CALL, [("a", -1.0), ("b", bad)])


@given(st.lists(st.tuples(st.text(), st.floats(max_value=0)), min_size=1))
def test_whatever_the_tokens_are_the_confidence_is_one(given_):
    raw = from_logprobs(CALL, given_).raw
    assert 0 <= raw <= 1
    if all(value == 0 for _, value in given_):
        assert raw == 1
    if any(value == -math.inf for _, value in given_):
        assert raw == 0


@given(st.lists(st.integers(1, 12)), st.integers(0, 3))
def test_the_call_is_found_wherever_the_tokens_are_cut(sizes, before):
    text = "refund " * before + '<function=refund>{"amount": 20, "to": "ann"}</function>'
    cut = []
    for size in [*sizes, 1000]:
        cut.append((text[:size], -1.0))
        text = text[size:]
    own = "".join(token for token, _ in tokens_of(CALL, cut))
    assert "refund" in own
    assert '{"amount": 20, "to": "ann"}' in own


# other plans


def test_agreement_is_the_share_of_plans_with_the_same_call():
    same = ToolCall("c9", "refund", {"to": "ann", "amount": 20.0})
    other = ToolCall("c9", "refund", {"to": "ann", "amount": 21})
    renamed = ToolCall("c9", "refund_all", CALL.args)
    plans = [[same], [other, same], [same, same], [other], [renamed], []]
    assert agreement(CALL, plans) == Estimate(0.5, "self_consistency")
    assert ensemble(CALL, plans) == Estimate(0.5, "ensemble")


def test_without_other_plans_nothing_is_known():
    assert agreement(CALL, []) is None
    assert ensemble(CALL, []) is None


@given(calls, st.lists(st.lists(calls, max_size=3), min_size=1, max_size=4))
def test_agreement_is_a_share_whatever_was_planned(call, plans):
    share = agreement(call, plans).raw * len(plans)
    assert share == pytest.approx(round(share))
    assert agreement(call, [*plans, []]).raw <= agreement(call, plans).raw
    assert ensemble(call, plans).raw == agreement(call, plans).raw


@pytest.mark.parametrize("args", [{"x": math.nan}, {"x": "\ud800"}, {"x": object()}, {"x": 10**30}])
def test_arguments_without_a_canonical_form_are_the_same_as_nothing(args):
    call = ToolCall("c", "refund", args)
    assert not same_call(call, call)
    assert agreement(call, [[call]]).raw == 0


def test_true_is_not_one():
    assert not same_call(ToolCall("c", "t", {"x": True}), ToolCall("c", "t", {"x": 1}))
    assert same_call(ToolCall("c", "t", {"x": 1.0}), ToolCall("d", "t", {"x": 1}))


# words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("confidence: 0.8", 0.8),
        ("Confidence: 85/100", 0.85),
        ("CONFIDENCE = 80 %", 0.8),
        ("80%", 0.8),
        (" 99.5 %\n", 0.995),
        ("**Confidence:** 0.9", 0.9),
        ("**Confidence**: **90%**\nI refund the order.", 0.9),
        ("- confidence score: 8/10", 0.8),
        ('{"confidence": 0.75, "call": 1}', 0.75),
        ("{'confidence': 0.75}", 0.75),
        ("I refund it, as asked (confidence: 0.7).", 0.7),
        ("I refund it. My confidence level: .5. Then I mail.", 0.5),
        ("A discount of 80%.\nconfidence: 1.0", 1),
        ("confidence: 0%", 0),
        ("confidence: 100%.", 1),
        ("confidence: 0.8\r\nI refund it.", 0.8),
    ],
)
def test_a_stated_confidence_is_read(text, value):
    assert verbalised(text) == Estimate(value, "verbalised")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I refund it",
        "a discount of 80%",
        "80% of it",
        "180%",
        "confidence: high",
        "confidence: 1.01",
        "confidence: 101%",
        "confidence: 120/100",
        "confidence: 11/10",
        "confidence: 85",
        "confidence: 1",
        "confidence: 4/5",
        "confidence: 85/1000",
        "confidence: -0.8",
        "confidence: 0,8",
        "confidence: 0.8.1",
        "confidence: 0.8 or 0.3",
        "confidence: 0.8-0.9",
        "confidence: 0.8 - 0.9",
        "confidence: 0.1 to 0.9",
        "confidence: 0.8 is too much",
        "confidence: 0.8?",
        "confidence: 0.8e-3",
        "confidence: 0.8, or less",
        "confidence: 0.9. 3",
        "confidence: \u0661\u0662%",
        "confidence: 0.\u0668",
        "confidence: nan",
        "confidence: 0.8\nconfidence: 0.8",
        "confidence: 0.8. I am not confident",
        "low confidence: 0.9",
        "not my confidence: 0.9",
        "overconfidence: 0.9",
        "unconfident. confidence: 0.9",
        "confidence 0.9",
        "confidence: confidence: 0.9",
        "confidence: 0." + "8" * 400,
        "I am 80% confident",
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read(text):
    assert verbalised(text) is None


@given(st.text() | st.from_regex(r"(confidence|[:=\s.,%/0-9])*", fullmatch=True))
def test_whatever_a_model_says_is_a_confidence_or_none(text):
    estimate = verbalised(text)
    assert estimate is None or 0 <= estimate.raw <= 1


@given(st.integers(0, 100), st.sampled_from(["confidence: {}%", "Confidence = {}/100", "{}%"]))
def test_every_percentage_is_read(number, form):
    assert verbalised(form.format(number)).raw == number / 100


@given(RAW.map(lambda raw: f"{raw:.3f}"), RAW.map(lambda raw: f"{raw:.3f}"))
def test_of_two_statements_none_is_read(one, other):
    assert verbalised(f"confidence: {one}").raw == float(one)
    assert verbalised(f"confidence: {one}\nconfidence: {other}") is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", [" ", "\n", "*", "{", "confidence", ". ", "9", "\n \t"])
def test_long_text_is_read_in_time_that_grows_with_its_length(piece):
    assert verbalised(piece * 300_000 + " confidence: 0.8 or") is None


def test_the_room_loads_no_framework():
    code = "import sys, hitl_agent.risk; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"langchain_core", "langgraph", "psycopg", "pydantic", "yaml"}
