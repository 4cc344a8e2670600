"""What a document may not say, and the words for it."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest

from hitl_agent.documents import show, suggest
from hitl_agent.errors import DocumentError
from tests.support.documents import load, refusal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "1:1: the document is empty; it holds: `version`, `title`, `items`, `tree`, `anything`",
        ),
        ("# only a comment\n", "1:1: the document is empty"),
        ("---\n", "2:1: the document is empty"),
        ("~", "1:1: the document is empty"),
        ("5", "1:1: the document is `5`; it should be a mapping of keys to values"),
        ("- a", "1:1: the document is a list; it should be a mapping of keys to values"),
        ("title: a\ntitle: b", "2:1: the key `title` is given twice; keep one"),
        ("anything: {b: 1, 'b': 2}", "1:18: the key `b` is given twice"),
        ("anything: &x 1", "1:11: anchors and aliases such as `&x` are not supported"),
        ("anything: *x", "1:11: anchors and aliases such as `*x` are not supported"),
        ("anything: !!str 1", "1:11: tags such as `!!str` are not supported"),
        ("anything: !python/object:os.system {}", "1:11: tags such as `!python/object:os.system`"),
        ("anything: ! 1", "1:11: tags such as `!` are not supported"),
        ("? !!str a\n: 1", "1:3: tags such as `!!str` are not supported"),
        ("<<: {a: 1}", "1:1: merge keys are not supported; write the keys out"),
        ("anything: .nan", "1:11: `.nan` cannot be compared with anything; write a finite number"),
        ("anything: -.INF", "1:11: `-.INF` cannot be compared with anything"),
        ("anything: 1e400", "1:11: `1e400` is a number that is not kept exactly"),
        ("anything: 1e-400", "1:11: `1e-400` is a number that is not kept exactly"),
        ("anything: 1e-99999999999999999999", "1:11: `1e-99999999999999999999` is a number"),
        ("anything: 0.12345678901234567891", "1:11: `0.12345678901234567891` is a number"),
        ("anything: 9007199254740992", "1:11: `9007199254740992` is a number"),
        ("anything: 0xffffffffffffffff", "1:11: `0xffffffffffffffff` is a number"),
        ("anything: 1e20", "1:11: `1e20` is a number that is not kept exactly"),
        pytest.param(
            "anything: " + "9" * 50_000, "1:11: `" + "9" * 60 + "…` is a number", id="digits"
        ),
        (
            "anything: 007",
            "1:11: `007` could be a number or text; drop the zeros or put it in quotes",
        ),
        ("anything: -08", "1:11: `-08` could be a number or text"),
        ("1: a", "1:1: a key must be text; put `1` in quotes"),
        ("null: a", "1:1: a key must be text; put `null` in quotes"),
        (": a", "1:1: this is not YAML"),
        ("? \n: a", "1:2: the key before this `:` is missing"),
        ("{: a}", "1:2: this is not YAML"),
        ("? [a]\n: 1", "1:3: a key must be text, not a mapping or a list"),
        ("{a: 1}: 2", "1:1: a key must be text, not a mapping or a list"),
        ("a: 1\n--- \nb: 2", "2:1: a second document begins here; a file holds one"),
        ("%YAML 1.1\n---\nversion: 1", "1:1: directives are not supported"),
        ("# c\n%TAG !e! tag:e,2000:\n---\nversion: 1", "2:1: directives are not supported"),
        ("title: a: b", "1:9: this is not YAML: mapping values are not allowed"),
        ("title: 'a", "1:10: this is not YAML: found unexpected end of stream"),
        ("title: [a", "1:10: this is not YAML"),
        ("\tversion: 1", "1:1: this is not YAML: found character"),
        ("title: %a", "1:8: this is not YAML"),
        ("version: 1\n...\n%FUTURE", "3:1: directives are not supported"),
        ("%YAML 1.20\n---\nversion: 1", "1:1: directives are not supported"),
        ("title: a\tb", "1:8: this text holds a tab; write spaces, or put it in quotes"),
        ('title: "\\UFFFFFFFF"', "1:11: this is not YAML: found invalid Unicode character escape"),
        ('title: "\\0"', "1:8: this text holds the character U+0000; remove it"),
        ('title: "\\ud800"', "1:11: this is not YAML: found invalid Unicode character escape"),
        ("title: a\x00", "1:9: the character U+0000 cannot be seen and is refused; remove it"),
        ("title: a\n# \x1b[2J", "2:3: the character U+001B cannot be seen"),
        ("# quiet\u2028title: a", "1:8: the character U+2028 cannot be seen"),
        ("# quiet\rtitle: a", "1:8: the character U+000D cannot be seen"),
        ("# quiet\x85title: a", "1:8: the character U+0085 cannot be seen"),
        ("title: \u202eabc", "1:8: the character U+202E cannot be seen"),
        ("title: \ud800", "1:8: the character U+D800 cannot be seen"),
        ("title: a\ufeff", "1:9: the character U+FEFF cannot be seen"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text, message):
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("titel: a", "1:1: unknown key `titel`, did you mean `title`?"),
        (
            "zzz: a",
            "1:1: unknown key `zzz`; known here: `version`, `title`, `items`, `tree`, `anything`",
        ),
        ("version: true", "1:10: `version` is `true`; it should be a whole number"),
        ("version: 1.0", "1:10: `version` is `1.0`; it should be a whole number"),
        ("version: '1'", "1:10: `version` is the text `1`; it should be a whole number"),
        ("version:", "1:9: `version` is `null`; it should be a whole number"),
        ("title: 5", "1:8: `title` is `5`; it should be text (a number or a date goes in quotes)"),
        ("title: ''", "1:8: `title` is empty"),
        ("title: " + "a" * 30, "1:8: `title` is the text `" + "a" * 30 + "`; it should be "),
        ("items: []", "1:8: `items` is a list; it should be a mapping of keys to values"),
        ("items:\n  a:\n    limit: 1", "2:3: `effect` is missing"),
        ("items: {a: {}}", "1:9: `effect` is missing"),
        ("items: {a: {efect: read}}", "1:13: unknown key `efect`, did you mean `effect`?"),
        (
            "items: {a: {effect: wriet}}",
            "1:21: `effect` is `wriet`; write `read` or `write`, did you",
        ),
        ("items: {a: {effect: 5}}", "1:21: `effect` is `5`; write `read` or `write`"),
        ("items: {a: {effect: read, limit: -1}}", "1:34: `limit` is `-1`; it should be greater"),
        (
            "items: {a: {effect: read, on: yes}}",
            "1:31: `on` is the text `yes`; it should be `true`",
        ),
        (
            "items: {a: {effect: read, names: b}}",
            "1:34: `names` is the text `b`; it should be a list",
        ),
        (
            "items: {a: {effect: read, names: [b, 5]}}",
            "1:38: item 2 of `names` is `5`; it should be",
        ),
        ("items: {A: {effect: read}}", "1:9: `A` must be lower case"),
        ("items:\n  forbidden: {effect: read}", "2:3: `forbidden` is taken"),
        ("title: a\nversion: 13", "2:10: `version` brings bad luck"),
        ("tree: [5]", "1:8: item 1 of `tree` is `5`; it should be a mapping"),
        ("tree: [{}]", "1:8: `leaf` is missing"),
        ("tree: [{laef: a}]", "1:9: unknown key `laef`, did you mean `leaf`?"),
        ("tree: [{branch: []}]", "1:17: `branch` is empty"),
        ("tree: [{branch: [{leaf: 5}]}]", "1:25: `leaf` is `5`"),
        (
            "tree: [{branch: [{leaf: a}], leaf: a}]",
            "1:30: unknown key `leaf`; known here: `branch`",
        ),
    ],
)
def test_what_the_model_does_not_know_is_refused_where_it_stands(text, message):
    assert refusal(text).startswith(message)


def test_of_several_faults_the_first_is_told_and_the_others_counted():
    text = "titel: a\nitems:\n  a: {effect: x, limit: -1}\nversion: a"
    message = refusal(text)
    assert message == "1:1: unknown key `titel`, did you mean `title`? (and 3 more)"


def test_text_that_is_not_yaml_comes_with_a_hint():
    with pytest.raises(DocumentError) as caught:
        load("title: a: b")
    assert "goes in quotes" in (caught.value.hint or "")


def test_an_error_survives_pickling():
    with pytest.raises(DocumentError) as caught:
        load("title: 5")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.line, again.column) == (str(caught.value), 1, 8)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "`null`"),
        (True, "`true`"),
        ("a\x1b\u202eb", r"`a\x1b\u202eb`"),
        ("é", "`é`"),
        ("a" * 100, "`" + "a" * 60 + "…`"),
        (5, "`5`"),
        (0.5, "`0.5`"),
        (Decimal("1.50"), "`1.50`"),
        pytest.param(10**5000, "a number with too many digits", id="huge"),
        ({}, "a mapping"),
        ([], "a list"),
        (object(), "a object"),
    ],
)
def test_values_are_shown_short_and_with_nothing_unseen(value, shown):
    assert show(value) == shown


def test_a_word_close_to_a_known_one_is_suggested():
    assert suggest("refnd", ["order", "refund"]) == ", did you mean `refund`?"
    assert suggest("xyz", ["order", "refund"]) == ""
