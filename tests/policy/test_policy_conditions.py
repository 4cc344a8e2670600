"""Conditions: what is refused at load and where, what has no answer, and that NaN has no way in."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hitl_agent.policy.amounts import comparable, read_amount, read_currency
from hitl_agent.policy.conditions import (
    Conditions,
    EvaluationError,
    ExpressionError,
    environment,
    plain,
)
from hitl_agent.policy.expression_text import arguments_named, is_closed, is_simple, tokens
from hitl_agent.policy.scalars import place_within

ENV = environment((("target", "url"),), frozenset({"day"}))


def holds(text: str, **values: object) -> bool:
    return ENV.condition(text).holds(values)


@pytest.mark.parametrize(
    ("text", "values", "answer"),
    [
        ("amount > 50", {"amount": 50.5}, True),
        ("amount > 50.5", {"amount": 50.5}, False),
        ("args.n > 50", {"args": {"n": 51}}, True),
        ("args.n > 50.5", {"args": {"n": 51}}, True),
        ("args['n'] == 'a'", {"args": {"n": "a"}}, True),
        ("has(args.n)", {"args": {}}, False),
        ("args.to.exists(one, one.endsWith('@x.org'))", {"args": {"to": ["a@x.org"]}}, True),
        ("'a' in context.sources", {"context.sources": ["a", "b"]}, True),
        ("context . untrusted", {"context.untrusted": True}, True),
        ("history.day.count < 3 && history.day.sum + amount <= 50.0",
         {"history.day.count": 2, "history.day.sum": 25.0, "amount": 25.0}, True),
        ("now.getHours('Europe/Berlin') == 1", {"now": datetime(2026, 1, 1, tzinfo=UTC)}, True),
        ("args.note.matches('(?i)^fraud')", {"args": {"note": "Fraud!"}}, True),
        ("double(args.n) * 1.5 > 10.0", {"args": {"n": 7}}, True),
        ("double(args.n) > 50.0", {"args": {"n": "50.5"}}, True),
        ("double(args.n) < 0.0", {"args": {"n": "-0.5"}}, True),
        ("double(args.n) == 0.5", {"args": {"n": 0.5}}, True),
        ("amount / 2.0 > 10.0", {"amount": 21.0}, True),
        ("args.double == 1", {"args": {"double": 1}}, True),
        ("type(args.n) == double", {"args": {"n": 1.0}}, True),
        ('args.n == 1 // one, not "two', {"args": {"n": 1}}, True),
        ("args.n == 1 ||\n  args.n == 2", {"args": {"n": 2}}, True),
        ("args.x == 1 || amount > 5", {"args": {}, "amount": 6.0}, True),
        ("args.n == '😀'", {"args": {"n": "😀"}}, True),
    ],
)  # fmt: skip
def test_conditions_hold_or_do_not(text, values, answer):
    assert holds(text, **values) is answer


@pytest.mark.parametrize(
    ("text", "values", "why"),
    [
        ("args.n > 5", {"args": {}}, "there is no `n`"),
        ("args.n > 5", {"args": {"n": "7"}}, "it compares or combines values of different types"),
        ("args.n > 5", {"args": {"n": None}}, "it compares or combines values of different types"),
        ("args.n > 5", {"args": {"n": [7]}}, "it compares or combines values of different types"),
        ("args.n == 5 && args.m > 1", {"args": {"n": 5}}, "there is no `m`"),
        ("amount > 5", {}, "`amount` is not known"),
        ("context.untrusted", {"args": {}}, "`context.untrusted` is not known"),
        ("context.untrusted", {"context.untrusted": "no"}, "unexpected value type"),
        ("double(args.n) > 5.0", {"args": {"n": "nan"}}, "not a plain number"),
        ("double(args.n) > 5.0", {"args": {"n": "inf"}}, "not a plain number"),
        ("double(args.n) > 5.0", {"args": {"n": "1e9"}}, "not a plain number"),
        ("double(args.n) > 5.0", {"args": {"n": " 7"}}, "not a plain number"),
        ("double(args.n) > 5.0", {"args": {"n": "7\n"}}, "not a plain number"),
        ("double(args.n) > 5.0", {"args": {"n": "5." + "0" * 28 + "1"}}, "more digits"),
        ("double(args.n) > 5.0", {"args": {"n": True}}, "it compares or combines values"),
        ("double(args.n) > 5.0", {"args": {"n": 2**62 + 1}}, "more digits"),
        ("args.n.matches(args.m)", {"args": {"n": "a", "m": "["}}, "invalid regular expression"),
        ("args.n % 2 == 0", {"args": {"n": 2.5}}, "it compares or combines values"),
        ("args.n.all(a, args.n.all(b, args.n.all(c, a + b + c >= 0)))",
         {"args": {"n": list(range(200))}}, "it takes too many steps"),
        ("args.n + 'x' == 'x'", {"args": {"n": 2}}, "it compares or combines values"),
    ],
)  # fmt: skip
def test_a_condition_has_no_answer_and_says_why(text, values, why):
    with pytest.raises(EvaluationError) as caught:
        holds(text, **values)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_failed_evaluation_says_shows_nothing_unseen():
    with pytest.raises(EvaluationError, match="there is no `a") as caught:
        holds("{'b': 1}[args.n] == 1", args={"n": "a\x1b[2J\u202e"})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("amoun > 5", 1, "nothing is named `amoun`, did you mean `amount`?"),
        ("tool == 'é😀' && amoun > 5", 17, "nothing is named `amoun`, did you mean `amount`?"),
        ("foo", 1, "nothing is named `foo`; an argument is `args.NAME`, and text stands in quotes"),
        ("tool == foo", 9, "nothing is named `foo`; an argument"),
        ("context.source", 1, "nothing is named `context.source`, did you mean `context.sources`?"),
        ("context", 1, "nothing is named `context`"),
        ("url.target.privat", 1, "nothing is named `url.target.privat`, did you mean"),
        ("sql.q.statements == 1", 1, "nothing is named `sql.q.statements`; declare the argument"),
        ("history.week.count > 5", 1, "nothing is named `history.week.count`, did you mean"),
        ("open_world && history.day.cnt > 5", 15, "nothing is named `history.day.cnt`"),
        ("tool.matchs('a')", 6, "there is no function `matchs`, did you mean `matches`?"),
        ("open_world || nope(tool)", 15, "there is no function `nope`; there is `all`, `bool`"),
        ("double(args.a, 1) > 5.0", 1, "`double` takes other arguments than these"),
        ("amount = 5", 8, "`=` is not known here; write `==`"),
        ("amount === 5", 10, "`=` is not known here; write `==`"),
        ("amount > 5 and open_world", 12, "`and` is not known here; write `&&`"),
        ("amount > 5 OR open_world", 12, "`OR` is not known here; write `||`"),
        ("not open_world", 1, "`not` is not known here; write `!`"),
        ("not (amount > 5)", 1, "`not` is not known here; write `!`"),
        ("amount > 5 & open_world", 12, "`&` is not known here; write `&&`"),
        ("amount <> 5", 8, "`<>` is not known here; write `!=`"),
        ("open_world == True", 15, "`True` is not known here; write `true`"),
        ("args.to == None", 12, "`None` is not known here; write `null`"),
        ("amount >", 9, "it ends too early"),
        ("(amount > 5", 12, "it ends too early; a `)` is missing"),
        ("amount > 5)", 11, "`)` is not expected here"),
        ("amount > 5,000", 11, "`,` is not expected here"),
        ("amount > 5;", 11, "`;` means nothing here; take it out"),
        ("$x > 5", 1, "`$` means nothing here; take it out"),
        ("tool == 'x", 9, "the text that begins here is not closed"),
        (r'tool == "\q"', 9, "the text that begins here is not closed, or has"),
        ("if amount > 5", 1, "`if` is a word of the language"),
        ("args.?x == 1", 1, "there is no `.?`; ask `has(args.note)` first"),
        ("has(tool)", 5, "`has` asks whether a field is there, as in `has(args.note)`"),
        ("args.to.all(5, true)", 13, "the first argument is a name for each item"),
        (" ", 1, "it is empty; write a condition, such as `amount > 50`"),
        ("// nothing", 1, "it is empty"),
        ("tool > 5", 6, "`>` does not go with text and a whole number"),
        ("now > '2026'", 5, "`>` does not go with a time and text"),
        ("size(tool) > 5.5", 12, "`>` does not go with a whole number and a fraction; write whole"),
        ("context.sources > 0", 17, "`>` does not go with a list and a whole number"),
        ("tool == null", 6, "`==` does not go with text and null; it is never null"),
        ("tool in 'a'", 6, "`in` does not go with text and text"),
        ("args[0] == 1", 5, "`[…]` does not go with a mapping and a whole number"),
        ("open_world && 5", 12, "`&&` takes conditions, and here it has true or false and a whole"),
        ("!tool", 1, "`!` takes conditions, and here it has text"),
        ("tool ? true : false", 6, "`? :` takes a condition and two values of one type"),
        ("tool.size == 1", 5, "text has no fields to choose from with `.`"),
        ("99999999999999999999 > amount", 1, "this number is too large; the largest is 2^63 - 1"),
        ("1e999 > amount", 1, "this number is too large"),
        ("amount", 1, "it can be something else than true or false; compare it, as in `== true`"),
        ("args.ok", 1, "it can be something else than true or false"),
        ("args.a || args.b ? args.ok : true", 1, "it can be something else than true or false"),
        ("tool", 1, "it is text, neither true nor false; compare it with a value"),
        ("5", 1, "it is a whole number, neither true nor false"),
        ("(" * 40 + "open_world" + ")" * 40, 1, "it is nested deeper than 32 levels; split it"),
        ("args.a / args.b > 5", 8, "divide by a number other than 0; instead of `a / b > c` write"),
        ("amount / 0 > 5", 8, "divide by a number other than 0"),
        ("amount / 0.0e9 > 5.0", 8, "divide by a number other than 0"),
        ("amount/0x0 > 5", 7, "divide by a number other than 0"),
        ("amount / (1.0) > 5.0", 8, "divide by a number other than 0"),
        ("args.a % args.b == 0", 8, "divide by a number other than 0"),
        ("tool.matches('[')", 14, "`'['` never has an answer: invalid regular expression"),
        ("tool.matches(  '(?=a)')", 16, "`'(?=a)'` never has an answer: invalid regular"),
        ("matches(args.n, r'(')", 17, "`r'('` never has an answer: invalid regular expression"),
        ("duration('1 day') > duration('1h')", 10, "`'1 day'` never has an answer"),
        ("now > timestamp('2026-01-01')", 17, "`'2026-01-01'` never has an answer"),
        ("now.getHours('Berlin') > 5", 14, "`'Berlin'` never has an answer"),
        ("int('x') > 5", 5, "`'x'` never has an answer"),
    ],
)  # fmt: skip
def test_a_wrong_condition_is_refused_where_it_is_wrong(text, column, message):
    with pytest.raises(ExpressionError) as caught:
        ENV.condition(text)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (1, column)
    assert not re.search("\n|<EOF>|IDENTIFIER|overload|INVALID", caught.value.message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("history.day.count > 5", "; name the span under `history` of the tool"),
        (
            "url.to.host == 'x'",
            "; declare the argument under `kinds` of the tool: `kinds: {NAME: url}`",
        ),
    ],
)
def test_what_is_not_declared_is_told_how_to_be(text, message):
    with pytest.raises(ExpressionError) as caught:
        environment().condition(text)
    assert caught.value.message.endswith(message)


def test_an_error_in_a_later_line_is_found_there():
    with pytest.raises(ExpressionError) as caught:
        ENV.condition("amount > 5\n  // a comment\n  && amoun > 6")
    assert (caught.value.line, caught.value.column) == (3, 6)
    with pytest.raises(ExpressionError) as caught:
        ENV.condition("amount > 5 &&\n  args.a / args.b > 1.0")
    assert (caught.value.line, caught.value.column) == (2, 10)


def test_an_expression_over_arguments_names_nothing_else():
    env = environment(arguments_only=True)
    assert env.expression("args.a + args.b").value({"args": {"a": 1, "b": 2}}) == 3
    with pytest.raises(ExpressionError, match="nothing is named `amount`"):
        env.expression("amount * 2.0")


# NaN


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.sampled_from(["double(args.s)", "args.a * args.b", "args.a - args.c", "args.a / 3.0"]),
    st.fixed_dictionaries(
        {
            "s": st.sampled_from(["nan", "NaN", "inf", "-inf", "1", "1e400", "0x1"]) | st.text(),
            **dict.fromkeys("abc", st.floats(width=64)),
        }
    ),
)
def test_nan_has_no_way_to_come_about(name, sign, part, args):
    """A comparison and its contrary never have the same answer; with NaN they would."""
    try:
        plain(args)
        first = holds(f"{part} {sign} args.{name}", args=args)
        contrary = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}[sign]
        second = holds(f"{part} {contrary} args.{name}", args=args)
    except EvaluationError:
        return
    assert first is not second


# what CEL is given


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        ([-math.inf], "not finite"),
        (2**63, "beyond 2"),
        (-(2**63) - 1, "beyond 2"),
        (10**5000, "beyond 2"),
        (1e300, "beyond 2"),
        ("\ud800", "lone surrogate"),
        ({"a": ["\udfff"]}, "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        ("a\0b", "NUL"),
        (["a", "\0"], "NUL"),
        ({"amount\0": 1}, "NUL"),
        ({"é\0": 1}, "NUL"),
        ({"a": "é\0"}, "NUL"),
        ({1: 2}, "a key that is no text"),
        ({Text("a"): 2}, "a key that is no text"),
        ({None: 2}, "a key that is no text"),
        ((1,), "no JSON"),
        (b"a", "no JSON"),
        ({"a"}, "no JSON"),
        (Text("a"), "no JSON"),
        (Whole(1), "no JSON"),
        (Decimal(1), "no JSON"),
        (object(), "no JSON"),
        (nested(33), "nested too deeply"),
        (nested(5000), "nested too deeply"),
        (CYCLE, "nested too deeply"),
    ],
    ids=range(28),
)
def test_what_cel_cannot_be_given_is_refused(value, why):
    for given_ in (value, {"a": value}, [1, [value]]):
        with pytest.raises(EvaluationError, match=why):
            plain(given_)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-(2.0**62), 2.0**62) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None)
@given(json_values)
def test_cel_takes_what_is_plain_and_gives_it_back(value):
    plain(value)
    env = environment(arguments_only=True)
    found = env.expression("args.v").value({"args": {"v": value}})
    assert json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)


def test_text_that_ends_early_for_cel_is_no_way_around_a_condition():
    """In CEL `a` and NUL and anything equals `a`, and so does a key."""
    from hitl_agent.policy import Tier, judge, parse_policy

    rule = "{id: a, when: args.to == 'ana', tier: auto_approve}"
    policy = parse_policy(f"tools: {{pay: {{effect: write, rules: [{rule}]}}}}")
    assert judge(policy, "pay", {"to": "ana"}).tier is Tier.AUTO_APPROVE
    assert judge(policy, "pay", {"to": "ana\0eve"}).tier is Tier.HARD_GATE
    assert judge(policy, "pay", {"to\0": "ana"}).tier is Tier.HARD_GATE


# many at once

PARTS = [
    "amount > 5", "args.n == 1", "args.n > 'a'", "args.m.k == 1", "open_world", "true", "false",
    "args.n.matches('a')", "double(args.n) > 1.0", "amount * 2.0 > 9.0 || args.m == 1",
    "has(args.m) && args.m > 3", "[1, 2, 3].exists(i, i == args.n)", "tool == '), (' // )",
    "tool == \"\"\"'\"\"\"", "args.n == 1\n&& amount > 5", "amount > 5 // a comment",
    "(" * 20 + "open_world" + ")" * 20,
]  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(PARTS), max_size=60),
    st.fixed_dictionaries(
        {"tool": st.sampled_from(["a", "), ("])},
        optional={
            "args": st.fixed_dictionaries({}, optional={"n": json_values, "m": json_values}),
            "amount": st.floats(0, 10),
            "open_world": st.booleans(),
        },
    ),
)
def test_asking_many_at_once_is_asking_one_by_one(texts, values):
    together = Conditions(ENV.groups(texts)).answers(values)
    assert len(together) == len(texts)
    alone: list[object] = []
    for text in texts:
        try:
            alone.append(holds(text, **values))
        except EvaluationError as error:
            alone.append(str(error))
    assert [one if isinstance(one, bool) else str(one) for one in together] == alone


def test_one_condition_that_takes_too_long_leaves_the_others_their_answers():
    long = "args.n.all(a, args.n.all(b, args.n.all(c, a + b + c >= 0)))"
    values = {"args": {"n": list(range(200))}, "amount": 6.0}
    first, second, third = Conditions(ENV.groups(["amount > 5", long, "amount > 7"])).answers(
        values
    )
    assert (first, third) == (True, False)
    assert str(second) == "it takes too many steps"


@pytest.mark.parametrize(
    "texts",
    [
        ["true), (true"],
        ["true", "false), (true), (false"],
        ["true)", "(true"],
        ["[true", "true]"],
        ["'a' == 'a", "b' == 'b'"],
        ['"""a', 'b""" == "c"'],
        ["true /", "true"],
        ["true, false"],
        ["", "true"],
        ["true //", "1"],
        ["args.a", "true"],
        ["amount"],
        ["1", "2"],
    ],
)
def test_conditions_that_only_make_sense_together_are_refused(texts):
    assert ENV.refused(texts) is not None


@pytest.mark.parametrize("part", PARTS)
def test_conditions_that_are_right_are_right_together(part):
    assert ENV.refused([part, "amount > 1", part]) is None


@settings(deadline=None, max_examples=500)
@given(st.text("ab\"'`()[]{}/\\\n rR.&1 ", max_size=12))
@example('""" " """')
@example("r'\\'")
@example("rb'\\'('")
def test_text_that_is_closed_stands_alone_among_others(text):
    """What reads as one condition beside others reads as the same one alone."""
    try:
        ENV.expression(text)
        alone = True
    except ExpressionError:
        alone = False
    if is_simple(text) or is_closed(tokens(text)):
        try:
            ENV.program(f"[({text}\n),(1\n)]")
        except ExpressionError:
            return
        assert alone


@settings(deadline=None)
@given(st.text('ab"()/%.e12 double', max_size=14))
def test_what_is_simple_has_nothing_to_look_at(text):
    assume(is_simple(text))
    assert is_closed(tokens(text))
    assert not any(word.text in {"/", "%", "(", "double"} for word in tokens(text))


def test_long_text_is_read_quickly():
    for text in ("a" * 4000 + "(", '"' * 4000, "'''" * 1300, "\\" * 4000, "(" * 4000, "/" * 4000):
        is_simple(text)
        is_closed(tokens(text))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("args.a > args.b", [("a", 1, 6), ("b", 1, 15)]),
        ("args['a b'] == 1", [("a b", 1, 6)]),
        ('true\n  && args [ "x" ] == 1', [("x", 2, 13)]),
        ("args . a == 1", [("a", 1, 8)]),
        ("x.args.a == 1 || 'args.b' == args[tool] // args.c", []),
        ("has(args.a.b)", [("a", 1, 10)]),
    ],
)
def test_the_arguments_that_an_expression_names(text, named):
    assert list(arguments_named(text)) == named


# where a part of a value stands


@pytest.mark.parametrize(
    ("lines", "value", "within", "place"),
    [
        (["k: ab cd"], "ab cd", (1, 4), (1, 7)),
        (["k: 'ab''c d'"], "ab'c d", (1, 4), (1, 9)),
        (["k: 'ab''c d'"], "ab'c d", (1, 7), (1, 12)),
        ([r'k: "a\"\x41 b"'], 'a"A b', (1, 5), (1, 13)),
        ([r'k: "a\nb"'], "a\nb", (2, 1), (1, 8)),
        (["k: |", "  ab", "   cd"], "ab\n cd", (2, 2), (3, 4)),
        (["k: |", "", "  ab"], "\nab", (2, 1), (3, 3)),
        (["k: >-", "  ab", "  cd"], "ab cd", (1, 4), (3, 3)),
        (["k: ab", "  cd"], "ab cd", (1, 5), (2, 4)),
        (["k: 'ab", "  cd'"], "ab cd", (1, 4), (2, 3)),
        (["k: ab", "l: cd"], "ab", (1, 3), (1, 6)),
        (["k: 'ab '", "l: cd"], "ab ", (1, 4), (1, 7)),
        (["k: ''"], "", (1, 1), (1, 4)),
    ],
)
def test_a_part_of_a_value_is_found_in_the_file(lines, value, within, place):
    assert place_within(lines, (1, 4), value, *within) == place


@settings(deadline=None)
@given(st.text("ab' \"\\\t", min_size=1), st.data())
def test_a_character_of_a_quoted_value_is_found_exactly(value, data):
    index = data.draw(st.integers(0, len(value) - 1))
    assume(not value[index].isspace())
    for quoted in (json.dumps(value), "'" + value.replace("'", "''") + "'"):
        line, column = place_within([f"k: {quoted}"], (1, 4), value, 1, index + 1)
        found = f"k: {quoted}"[column - 1 :]
        assert line == 1
        assert found.startswith((value[index], "\\" + value[index]))


# amounts in conditions, currencies


@given(st.decimals(0, 10**20, allow_nan=False) | st.floats(0, 1e20) | st.integers(0, 2**70))
def test_an_amount_is_compared_as_it_is_or_not_at_all(amount):
    """However it is written, it never ends up on the other side of a limit."""
    written = format(amount, "f") if isinstance(amount, Decimal) else amount
    try:
        read, number = read_amount(written), comparable(written)
    except ValueError:
        return
    if not isinstance(amount, float):
        assert Decimal(repr(number)) == read == amount


@pytest.mark.parametrize(
    "amount", ["50.00000000000000000001", 2**53 + 1, "9007199254740993", Decimal("1e400")]
)
def test_an_amount_with_too_many_digits_is_not_compared(amount):
    with pytest.raises(ValueError, match="with more digits than a condition can compare"):
        comparable(amount)


@pytest.mark.parametrize("value", ["EUR", "eur", " Inr "])
def test_a_currency_is_a_code(value):
    assert read_currency(value) == value.strip().upper()


@pytest.mark.parametrize("value", ["", "XYZ", "EURO", "€", None, 978, ["EUR"], "E U R", "\uff25UR"])
def test_what_is_no_currency_is_refused(value):
    with pytest.raises(ValueError, match="no ISO 4217 code"):
        read_currency(value)
