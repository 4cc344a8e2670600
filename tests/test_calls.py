from __future__ import annotations

import hashlib
import json
import math
import struct
from collections import OrderedDict
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hitl_agent.audit import Entry, Kind
from hitl_agent.calls import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NAME,
    MAX_NUMBER,
    ToolCall,
    canonical,
    check_call,
    clean_json,
    clean_text,
    digest,
)
from hitl_agent.errors import InvalidCall

NOW = datetime(2026, 3, 1, tzinfo=UTC)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
numbers = st.integers(-MAX_NUMBER, MAX_NUMBER) | st.floats(-MAX_NUMBER, MAX_NUMBER, allow_nan=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, plain, max_size=4)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=4)
    | st.sampled_from([10**400, object(), {1, 2}, 1j, "\ud800", "\x00"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.tuples(below)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), below, max_size=3)
    ),
    max_leaves=10,
)


def nested(levels: int, inside: object = None) -> object:
    for level in range(levels):
        inside = [inside] if level % 2 else {"a": inside}
    return inside


def shuffled(value, draw):
    if isinstance(value, dict):
        items = draw(st.permutations(list(value.items())))
        return {key: shuffled(item, draw) for key, item in items}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


def ecma(value) -> str:
    """RFC 8785, written again from its text."""
    match value:
        case None | bool():
            return json.dumps(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            return str(value)
        case float():
            return ecma_number(value)
        case list():
            return f"[{','.join(map(ecma, value))}]"
    keys = sorted(value, key=lambda key: [*struct.iter_unpack(">H", key.encode("utf-16-be"))])
    return "{" + ",".join(f"{ecma(key)}:{ecma(value[key])}" for key in keys) + "}"


def ecma_number(value: float) -> str:
    """ECMA-262, Number::toString, from the shortest digits that Python gives."""
    if value == 0:
        return "0"
    if value < 0:
        return "-" + ecma_number(-value)
    mantissa, _, exponent = f"{value!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


@given(plain)
@example({"€": 1, "\r": 2, "דּ": 3, "1": 4, "😂": 5, "\x80": 6, "ö": 7})
@example([333333333.33333329, 4.50, 2e-3, 1e-27, 1e-7, 1e-6, -0.0, 5e-324])
def test_the_canonical_form_is_that_of_rfc_8785(value):
    assert canonical(value).decode() == ecma(value)
    assert json.loads(canonical(value)) == value


ASCII = st.characters(min_codepoint=1, max_codepoint=0x7F)


@settings(max_examples=1000)
@given(
    plain
    | st.lists(st.floats(-MAX_NUMBER, MAX_NUMBER))
    | st.dictionaries(st.text(ASCII), st.text(ASCII))
)
@example([1e-4, 9.999e-5, 0.1 + 0.2, 1.5, 9007199254740990.5, -1e-4, 100.0])
@example({"\x7f": '\x7f\u2028\b\f"\\/'})
def test_what_python_writes_is_what_the_library_writes(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(objects, st.data())
def test_a_digest_does_not_change_with_the_order_of_keys(args, data):
    again = shuffled(args, data.draw)
    assert ToolCall("a", "t", again).digest == ToolCall("b", "t", args).digest


@given(objects, objects)
def test_calls_have_one_digest_only_if_they_are_the_same_json(one, other):
    same = canonical(one) == canonical(other)
    assert (ToolCall("c", "t", one).digest == ToolCall("c", "t", other).digest) is same


def test_a_digest_covers_tool_and_arguments_and_no_id():
    call = ToolCall("c1", "pay", {"amount": 1})
    form = b'{"args":{"amount":1},"tool":"pay","v":1}'
    assert call.digest == f"sha256:{hashlib.sha256(form).hexdigest()}"
    assert ToolCall("c2", "pay", {"amount": 1}).digest == call.digest
    assert ToolCall("c1", "pay", {"amount": True}).digest != call.digest
    assert ToolCall("c1", "pay", {"amount": "1"}).digest != call.digest
    assert ToolCall("c1", "Pay", {"amount": 1}).digest != call.digest


REFUSED = {
    "NaN": math.nan,
    "infinity": math.inf,
    "2^53": 2**53,
    "2^53 + 1": 2**53 + 1,
    "-2^53": -(2**53),
    "1e300": 1e300,
    "NUL": "a\x00",
    "surrogate": "\ud800",
    "pair of surrogates": "\ud83d\ude00",
    "NUL in a key": {"\x00": 1},
    "surrogate in a key": {"\udfff": 1},
    "number as key": {1: 1},
    "long number as key": {10**5000: 1},
    "bytes": b"x",
    "set": {1},
    "object": object(),
    "foreign mapping": MappingProxyType({"a": 1}),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("around", [lambda one: one, lambda one: {"a": [one]}], ids=["bare", "in"])
def test_what_two_programs_could_read_differently_has_no_digest(value, around):
    with pytest.raises(InvalidCall):
        digest(around(value))


@given(anything)
def test_a_value_of_any_kind_has_a_canonical_form_or_is_refused(value):
    try:
        form = canonical(value)
    except InvalidCall as error:
        form = str(error).encode()
    assert b"\x00" not in form


def test_what_contains_itself_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(InvalidCall, match="nested"):
        canonical(endless)


def test_the_deepest_arguments_that_are_admitted_can_be_hashed_and_recorded():
    args = {"a": nested(MAX_DEPTH - 1)}
    call = ToolCall("c", "t", args)
    check_call(call)
    assert call.digest.startswith("sha256:")
    body = {"args": args, "verdict": {"rules": [{"id": "x"}]}}
    assert Entry(Kind.VERDICT, "t", "c", NOW, body).canonical()
    with pytest.raises(InvalidCall, match="nested too deeply"):
        check_call(ToolCall("c", "t", {"a": nested(MAX_DEPTH)}))


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (ToolCall("c", "", {}), "a tool name has 1 to 128 characters, this one 0"),
        (ToolCall("", "t", {}), "a call id has 1 to 128 characters, this one 0"),
        (ToolCall("c", "t" * (MAX_NAME + 1), {}), "this one 129"),
        (ToolCall("c", None, {}), "a tool name is text"),
        (ToolCall(7, "t", {}), "a call id is text"),
        (ToolCall("c", "t\x00", {}), "NUL"),
        (ToolCall("c\ud800", "t", {}), "surrogate"),
        (ToolCall("c", "t", []), "arguments are a JSON object"),
        (ToolCall("c", "t", OrderedDict(a={1})), "a value that is no JSON: `set`"),
        (ToolCall("c", "t", {"a": "x" * MAX_BYTES}), "arguments of 262,152 bytes"),
    ],
)
def test_a_call_that_cannot_be_shown_stored_and_hashed_is_refused(call, why):
    with pytest.raises(InvalidCall) as caught:
        check_call(call)
    assert why in str(caught.value)


def test_a_call_at_every_limit_is_admitted():
    name = "t" * MAX_NAME
    check_call(ToolCall(name, name, {"a": "x" * (MAX_BYTES - len('{"a":""}'))}))


@given(st.text())
@example("\ufeffa")
@example("\ud83d\ude00")
@example("\ud800a\x00\udc00")
def test_clean_text_can_be_stored_and_is_clean_already_the_second_time(text):
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert "\x00" not in cleaned
    assert clean_text(cleaned) == cleaned
    canonical(cleaned)
    if "\x00" not in text and text.isascii():
        assert cleaned == text


def test_clean_text_replaces_each_stray_half_and_joins_a_pair():
    assert clean_text("a\ud800b\udc00c\x00d") == "a\ufffdb\ufffdc\ufffdd"
    assert clean_text("\ud83d\ude00\ufeff") == "😀\ufeff"


@given(anything)
def test_clean_json_is_plain_json_and_is_clean_already_the_second_time(value):
    cleaned = clean_json(value)
    assert json.loads(json.dumps(cleaned, allow_nan=False)) == cleaned
    assert clean_json(cleaned) == cleaned
    canonical(cleaned)


@given(plain)
def test_clean_json_leaves_plain_json_as_it_is(value):
    assert clean_json(value) == value


class Rude(dict):
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


class Mute:
    def __str__(self):
        raise RuntimeError("no")


def test_clean_json_never_raises():
    endless: dict = {"a": 1}
    endless |= {"me": endless, "all": [endless, endless, endless]}
    assert clean_json(endless)["all"][0].startswith("{'a': 1,")
    assert clean_json([Mute(), 10**5000, 2**53, -math.inf, (1,)]) == [
        "a `Mute` that cannot be shown",
        "a `int` that cannot be shown",
        "9007199254740992",
        "-inf",
        [1],
    ]
    assert clean_json({None: 1, Mute(): 2}) == {"None": 1, "a `Mute` that cannot be shown": 2}


class Torn(list):
    def __iter__(self):
        raise RuntimeError("no")


def test_a_container_that_cannot_be_looked_through_becomes_its_text():
    assert clean_json([Torn([1, 2])]) == ["[1, 2]"]


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1, 400, 100_000])
def test_a_result_of_any_depth_can_be_recorded_after_the_tool_ran(levels):
    body = {"result": {"status": "success", "artifact": clean_json(nested(levels, 2**53))}}
    assert Entry(Kind.SUCCEEDED, "t", "c", NOW, body).canonical()
    inside = nested(MAX_DEPTH + 1, Rude())
    assert "cannot be shown" in json.dumps(clean_json(inside))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (nested(60), "nested too deeply"),
        ({1: 2}, "a key that is no text but a `int`"),
        (MAX_NUMBER + 1, "a number beyond 2^53; write it as text"),
        (math.nan, "NaN is no number of JSON"),
        ("a\x00", "text with a NUL character"),
        ("\ud800", "text with a lone surrogate"),
        (
            MappingProxyType({"a": 1}),
            "no canonical JSON form: unsupported type: <class 'mappingproxy'>",
        ),
    ],
)
def test_what_has_no_canonical_form_is_told_why(value, why):
    with pytest.raises(InvalidCall) as caught:
        canonical(value)
    assert str(caught.value) == why


def test_arguments_that_are_no_object_are_told_so():
    with pytest.raises(InvalidCall) as caught:
        check_call(ToolCall("c", "t", []))
    assert str(caught.value) == "arguments are a JSON object"


@pytest.mark.parametrize("number", [MAX_NUMBER, -MAX_NUMBER, float(MAX_NUMBER)])
def test_clean_json_keeps_the_largest_number(number):
    assert clean_json(number) == number


def test_clean_json_keeps_the_deepest_nesting():
    deepest = nested(MAX_DEPTH)
    assert clean_json(deepest) == deepest
    assert clean_json([deepest]) != [deepest]


def test_keys_are_in_the_order_of_utf_16_not_of_code_points():
    form = canonical({"\ufb33": 1, "\U0001f600": 2, "a": 3})
    assert form.decode() == '{"a":3,"\U0001f600":2,"\ufb33":1}'
