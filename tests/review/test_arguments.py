from __future__ import annotations

import socket
import time
import urllib.request
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hitl_agent.calls import canonical
from hitl_agent.errors import InvalidCall
from hitl_agent.review import check_arguments
from hitl_agent.review.schemas import MAX_STEPS, MAX_WAYS


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class Bank(BaseModel):
    kind: Literal["bank"] = "bank"
    iban: str
    holder: Card | None = None


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")
    kind: Literal["free"] = "free"


class Transfer(BaseModel):
    amount: float
    count: int = 1
    to: Annotated[Card | Bank | Free, Field(discriminator="kind")]
    lines: list[Card | Bank] = []
    by_name: dict[str, Bank] = {}
    pair: tuple[Card, int] | None = None
    note: Any = None


SCHEMA = Transfer.model_json_schema()
CARD = {"kind": "card", "number": "1"}
BANK = {"kind": "bank", "iban": "X"}
FINE = {"amount": 5, "to": CARD}


def refusal(args: Any, schema: Any) -> str:
    with pytest.raises(InvalidCall) as caught:
        check_arguments(args, schema)
    canonical(str(caught.value))
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    "args",
    [
        FINE,
        FINE | {"note": {"any": [{"thing": 1}]}},
        FINE | {"to": {"kind": "free", "and": {"more": 1}}},
        FINE | {"to": BANK | {"holder": CARD}},
        FINE | {"lines": [CARD, BANK], "by_name": {"x": BANK}},
        FINE | {"pair": [CARD, 2]},
        FINE | {"pair": None},
    ],
)
def test_arguments_that_fit_pass(args):
    check_arguments(args, SCHEMA)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (FINE | {"t": 1}, "no argument is named `t`; there are amount, count, to, lines"),
        (FINE | {"to": CARD | {"iban": "X"}}, "no argument is named `to.iban`; there are kind"),
        (FINE | {"to": BANK | {"holder": CARD | {"x": 1}}}, "`to.holder.x`"),
        (FINE | {"lines": [CARD, CARD | {"x": 1}]}, "`lines[1].x`"),
        (FINE | {"lines": [{"iban": "X", "number": "1"}]}, "`lines[0]."),
        (FINE | {"by_name": {"n": BANK | {"x": 1}}}, "`by_name.n.x`"),
        (FINE | {"pair": [CARD | {"x": 1}, 2]}, "`pair[0].x`"),
        ({"amount": 5}, "'to' is a required property"),
        (FINE | {"amount": "5"}, "`amount`: '5' is not of type 'number'"),
        (FINE | {"amount": True}, "`amount`: True is not of type 'number'"),
        (FINE | {"count": 1.5}, "`count`: 1.5 is not of type 'integer'"),
        (FINE | {"lines": [BANK | {"iban": 5}]}, "lines"),
        (FINE | {"x" * 10_000: 1}, "no argument is named `xxx"),
        (FINE | {"\ud800\x00": 1}, "`\ufffd\ufffd`"),
        ([], "[] is not of type 'object'"),
    ],
)
def test_what_pydantic_would_drop_or_turn_into_something_else_is_refused(args, why):
    assert why in refusal(args, SCHEMA)


leaves = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["card", "bank", "x", 0.5])
)
values = st.recursive(
    leaves,
    lambda below: (
        st.lists(below, max_size=2)
        | st.dictionaries(
            st.sampled_from(["kind", "number", "iban", "holder", "amount", "zz"]), below, max_size=4
        )
    ),
    max_leaves=6,
)
transfers = st.fixed_dictionaries(
    {"amount": leaves, "to": values},
    optional={"count": leaves, "lines": values, "by_name": values, "pair": values, "zz": values},
)
cards = st.fixed_dictionaries({"number": st.just("1")}, optional={"kind": leaves, "zz": leaves})
banks = st.fixed_dictionaries(
    {"iban": st.just("X"), "kind": st.just("bank")}, optional={"holder": cards, "number": leaves}
)
nearly = st.fixed_dictionaries(
    {"amount": st.integers(0, 9), "to": cards.map(lambda one: one | {"kind": "card"}) | banks},
    optional={"lines": st.lists(cards | banks, max_size=2), "by_name": st.just({}) | values},
)


def covers(kept: Any, given_: Any) -> bool:
    """Whether everything that was given is still there: defaults may have been filled in."""
    if isinstance(given_, dict):
        return all(key in kept and covers(kept[key], item) for key, item in given_.items())
    if isinstance(given_, list):
        return len(kept) == len(given_) and all(map(covers, kept, given_))
    return kept == given_ and isinstance(kept, bool) is isinstance(given_, bool)


@settings(max_examples=300)
@given(transfers | nearly)
def test_what_passes_reaches_the_tool_whole(args):
    try:
        check_arguments(args, SCHEMA)
    except InvalidCall:
        return
    try:
        kept = Transfer.model_validate(args).model_dump(mode="json")
    except ValidationError:
        return  # the tool refuses it as well: nothing runs
    assert covers(kept, args)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {}, "additionalProperties": True},
        {"properties": {}, "additionalProperties": {}},
        {"properties": {}, "additionalProperties": {"type": "object"}},
        {"properties": {}, "unevaluatedProperties": True},
        {"properties": {"b": {}}, "patternProperties": {"^a$": {}}},
        {"properties": {"b": {}}, "allOf": [{"properties": {"a": {}}}]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {}}},
        {"$ref": "#/definitions/x%20y~1z", "definitions": {"x y/z": {"properties": {"a": {}}}}},
        {"$ref": "#/allOf/0", "allOf": [{"properties": {"a": {}}}]},
        {"if": {"required": ["a"]}, "then": {"properties": {"a": {}}}, "properties": {}},
        {"if": {"required": ["b"]}, "else": {"properties": {"a": {}}}, "properties": {}},
        {"properties": {}, "dependentSchemas": {"a": {"properties": {"a": {}}}, "b": False}},
        {"properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"additionalProperties": {"items": {"properties": {"n": True}}}},
    ],
)
def test_what_a_schema_welcomes_passes(schema):
    check_arguments({"a": {"n": [1]}}, schema)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"properties": {}}, "there are none"),
        ({"properties": {}, "additionalProperties": False}, "there are none"),
        ({"additionalProperties": False}, "'a' is not expected"),
        ({"additionalProperties": {"type": "string"}}, "`a`: {'n': [1]} is not of type 'string'"),
        ({"additionalProperties": False, "patternProperties": {"^b": {}}}, "'a' is not"),
        ({"patternProperties": {"^a": {"type": "null"}}}, "`a`: {'n': [1]} is not of type 'null'"),
        ({"properties": {"b": {}}, "patternProperties": {"(?=a)": {}}}, "no argument is named `a`"),
        ({"properties": {f"p{n}": {} for n in range(1000)}}, "there are p0, p1"),
        ({"anyOf": [{"required": ["b"]}]}, "'b' is a required property"),
        ({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"properties": {}}}}, "`a.n`"),
    ],
)
def test_what_a_schema_does_not_welcome_is_refused(schema, why):
    assert why in refusal({"a": {"n": [1]}}, schema)


HOSTILE: dict[str, Any] = {
    "no object": 5,
    "nothing": None,
    "a list": [],
    "true": True,
    "properties": {"properties": 5},
    "property": {"properties": {"a": 5}},
    "type": {"type": "wat"},
    "types": {"type": {"a": 1}},
    "zero": {"properties": {"a": {"multipleOf": 0}}},
    "allOf": {"allOf": 3},
    "required": {"required": 5},
    "minimum": {"properties": {"a": {"minimum": "x"}}},
    "a ref to a site": {"$ref": "http://127.0.0.1:9/schema.json"},
    "a ref to a file": {"$ref": "file:///etc/passwd"},
    "an id and a ref": {"$id": "http://127.0.0.1:9/x", "$ref": "other.json"},
    "a dynamic ref": {"$dynamicRef": "http://127.0.0.1:9/x"},
    "a ref inside": {"properties": {"a": {"$ref": "https://127.0.0.1:9/x"}}},
    "a ref to nowhere": {"$ref": "#/$defs/none"},
    "a ref past a list": {"$ref": "#/allOf/7", "allOf": []},
    "a ref to an anchor": {"$ref": "#there", "$defs": {"x": {"$anchor": "there"}}},
    "a ref to itself": {"$ref": "#"},
    "refs in a ring": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    "another dialect inside": {
        "properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}
    },
    "patterns past our engine": {
        "patternProperties": {"(a+)+$": {}},
        "unevaluatedProperties": True,
    },
    "many patterns": {"properties": {f"p{n}": {"pattern": f"x{n}"} for n in range(300)}},
    "many patterns for names": {"patternProperties": {f"x{n}": {} for n in range(300)}},
    "no patterns": {"patternProperties": 5},
    "doubling refs": {
        "$ref": "#/$defs/a0",
        "$defs": {
            f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} if n < 40 else {}
            for n in range(41)
        },
    },
    "doubling alternatives": {"allOf": [{"anyOf": [{}, {}]}] * MAX_WAYS},
    "many keywords": {"allOf": [True] * (MAX_STEPS + 1)},
}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_schema_fetches_nothing_and_only_refuses_the_call(schema):
    begun = time.perf_counter()
    assert "the schema of the arguments" in refusal({"a": 1}, schema)
    assert time.perf_counter() - begun < 20


# of which a schema may be made
KEYWORDS = [
    "properties",
    "additionalProperties",
    "patternProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "items",
    "prefixItems",
    "contains",
    "$ref",
    "$defs",
    "type",
    "enum",
    "const",
    "required",
    "pattern",
    "uniqueItems",
    "dependentSchemas",
    "propertyNames",
    "minProperties",
    "multipleOf",
    "a",
    "b",
]
any_schema = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["object", "#", "a", "(a+)+$"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(any_schema, st.dictionaries(st.sampled_from("ab"), values, max_size=2))
def test_any_schema_accepts_or_refuses_and_never_breaks(schema, args):
    try:
        check_arguments(args, schema)
    except InvalidCall as error:
        canonical(str(error))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 50_000 + "!"),
        ({"pattern": r"^[+-]?0*\d*\.?\d*$"}, "0" * 50_000 + "!"),
        ({"propertyNames": {"pattern": "^(a|aa)+$"}}, {"a" * 50_000 + "!": 1}),
        (
            {"patternProperties": {"^(a+)+$": False}, "additionalProperties": False},
            {"a" * 50_000 + "!": 1},
        ),
        ({"uniqueItems": True}, [{"x": n} for n in range(15_000)] + [{"x": 1}]),
        ({"items": {"type": "string"}}, list(range(40_000))),
        ({"items": {"anyOf": [{"minimum": -1}] * 4}}, list(range(40_000))),
    ],
    ids=["nested", "decimal", "names", "name patterns", "unique", "items", "alternatives"],
)
def test_arguments_cannot_make_a_check_hang(schema, value):
    begun = time.perf_counter()
    refusal({"a": value}, {"properties": {"a": schema}})
    assert time.perf_counter() - begun < 10


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("^[A-Z]{2}[0-9]+$", "DE12", True),
        ("^[A-Z]{2}[0-9]+$", "DE12\n", False),
        ("b", "abc", True),
        ("b", "ac", False),
        ("b", 5, True),
        (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", "12.50", True),
        (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", "left to the tool", True),
        ("(", "left to the tool", True),
        ("a{1000}{1000}{1000}", "left to the tool", True),
    ],
)
def test_a_pattern_is_searched_for_where_that_takes_linear_time(pattern, text, fits):
    schema = {"properties": {"a": {"pattern": pattern}}}
    if fits:
        check_arguments({"a": text}, schema)
    else:
        assert "does not match" in refusal({"a": text}, schema)


def test_what_is_no_object_has_no_keys_to_match():
    schema = {"patternProperties": {"x": False}, "additionalProperties": False}
    check_arguments({"a": 5}, {"properties": {"a": schema}})


@pytest.mark.parametrize(
    ("items", "unique"),
    [([1, 2], True), ([1, 1], False), ([1, 1.0], False), ([1, True], True), ([{}, {}], False)],
)
def test_items_that_are_there_twice_are_found(items, unique):
    schema = {"properties": {"a": {"uniqueItems": True}}}
    if unique:
        check_arguments({"a": items}, schema)
    else:
        assert "non-unique" in refusal({"a": items}, schema)
    check_arguments({"a": items}, {"properties": {"a": {"uniqueItems": False}}})
    check_arguments({"a": "no list"}, schema)
