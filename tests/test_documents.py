from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from hitl_agent import documents
from hitl_agent.documents import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_LINE,
    MAX_VALUES,
    Complaint,
    Document,
    DocumentModel,
    composing,
    load_document,
    read_text,
    show,
    suggest,
)
from hitl_agent.documents.reading import read_data
from hitl_agent.errors import ConfigurationError, DocumentError

ROOT = Path(__file__).parents[1]

both_parsers = pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML without libyaml")


def _lower(text: str) -> str:
    if not text.islower():
        raise ValueError(f"{show(text)} must be lower case")
    return text


class Item(DocumentModel):
    effect: Literal["read", "write"]
    limit: float | None = Field(default=None, ge=0)
    names: tuple[str, ...] = Field(default=(), strict=False)
    on: bool = False


class Leaf(DocumentModel):
    leaf: str


class Branch(DocumentModel):
    branch: list[Leaf] = Field(min_length=1)


def _kind(entry: object) -> str:
    return "<branch>" if isinstance(entry, dict) and "branch" in entry else "<leaf>"


class Model(DocumentModel):
    version: int = 1
    title: str = Field(default="x", min_length=1, max_length=20)
    items: dict[Annotated[str, AfterValidator(_lower)], Item] = Field(default_factory=dict)
    tree: list[
        Annotated[
            Annotated[Leaf, Tag("<leaf>")] | Annotated[Branch, Tag("<branch>")],
            Discriminator(_kind),
        ]
    ] = Field(default_factory=list)
    anything: Any = None

    @model_validator(mode="after")
    def _check(self) -> Model:
        if "forbidden" in self.items:
            raise Complaint("`forbidden` is taken", "items", "forbidden", at_key=True)
        if self.version == 13:
            raise Complaint("`version` brings bad luck", "version")
        return self


class Anything(DocumentModel):
    a: Any = None


def load(text: str) -> Document[Model]:
    return load_document(text, file="f.yaml", model=Model)


def value_of(scalar: str) -> Any:
    return load_document(f"a: {scalar}", file="f", model=Anything).data["a"]


def refusal(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        load(text)
    assert str(caught.value) == (
        f"f.yaml:{caught.value.line}:{caught.value.column}: " + str(caught.value).split(": ", 1)[1]
    )
    return str(caught.value).removeprefix("f.yaml:")


# what is read


def test_a_document_is_given_as_model_and_as_plain_data():
    document = load("# a comment\nversion: 2\nitems:\n  a: {effect: read}\n")
    assert document.value.items["a"].effect == "read"
    assert document.value.items["a"].names == ()
    assert document.data == {"version": 2, "items": {"a": {"effect": "read"}}}
    assert document.file == "f.yaml"


def test_positions_of_values_and_keys_are_one_based():
    document = load("title: t\nitems:\n  ab: {effect: read, names: [x, yy]}\n")
    assert document.position() == (1, 1)
    assert document.position("title") == (1, 8)
    assert document.position("items") == (3, 3)
    assert document.key_position("items") == (2, 1)
    assert document.position("items", "ab", "names", 1) == (3, 33)
    assert document.key_position("items", "ab", "names", 1) == (3, 33)
    assert document.key_position("items", "ab") == (3, 3)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("anything:", (1, 10)),
        ("anything:   # none\ntitle: a", (1, 10)),
        ("{anything:   }", (1, 11)),
        ("{anything: # none\n\n}", (1, 11)),
        ("{anything}", (1, 10)),
        ("title: a\n? anything\n# a: b\n:  \n", (4, 2)),
    ],
)
def test_a_value_left_empty_stands_after_its_colon(text, place):
    document = load(text)
    assert document.data["anything"] is None
    assert document.position("anything") == place


def test_columns_count_characters():
    document = load("anything: {é: 1, 😀: [2,\u3000, 'é😀']}")
    assert document.position("anything", "😀") == (1, 21)
    assert document.position("anything", "😀", 2) == (1, 27)


def test_the_position_of_what_is_not_there_is_that_of_what_should_hold_it():
    document = load("title: t\nitems:\n  ab: {effect: read}\n")
    assert document.position("items", "ab", "limit", 3) == (3, 7)
    assert document.position("nothing") == (1, 1)
    assert str(document.error("no", "items", "ab", at_key=True)) == "f.yaml:3:3: no"
    assert str(document.error("no", "items", "ab")) == "f.yaml:3:7: no"


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("", None),
        ("~", None),
        ("NULL", None),
        ("True", True),
        ("false", False),
        ("yes", "yes"),
        ("on", "on"),
        ("2024-01-31", "2024-01-31"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("9007199254740991", 2**53 - 1),
        ("0.1", 0.1),
        ("50.00", 50.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("'007'", "007"),
        ('"1"', "1"),
        ("'<<'", "<<"),
        ("v1.2.3", "v1.2.3"),
        ("'a\tb'", "a\tb"),
        ("|\n  two\n  lines", "two\nlines"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(scalar, value):
    read = value_of(scalar)
    assert read == value
    assert type(read) is type(value)


def test_a_byte_order_mark_and_windows_line_ends_are_read():
    assert load("\ufeffversion: 1\r\ntitle: t\r\n").data == {"version": 1, "title": "t"}


def test_a_yaml_1_2_directive_is_read():
    assert load("%YAML 1.2\n---\nversion: 1\n...\n").data == {"version": 1}


# what is refused


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


# bounds


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)

NASTY = [
    LAUGHS,
    "[" * 100_000,
    "{" * 100_000,
    "- " * 400_000,
    "? " * 400_000,
    "{a: " * 200_000,
    "{? " * 300_000,
    "[\n" * 300_000,
    "!" * 100_000,
    "!" * 900_000,
    "!<" + "a" * 99_000,
    "%" * 100_000,
    "&a " * 30_000,
    "*a " * 30_000,
    ": " * 50_000,
    ":" * 100_000,
    "'\n" * 100_000,
    "a" * 100_000 + ": 1",
    '"' + "\\n" * 49_000,
    "\t" * 100_000,
    "".join(" " * n + "-\n" for n in range(1000)),
    "%YAML 99999999999999999999.1\n---\na",
    "%YAML 1.2\n%YAML 1.2\n---\na",
    '"\\x"',
    '"\\U00110000"',
    "a: |99\n b",
    "a: >+-\n b",
    "\n\n \t\n",
    "---\n---\n---",
    "...",
    "...\n...",
    "--- a\n... b",
    "@",
    "`",
    "a:\n\t- b",
    "[a, b]: c: d",
    "? a\n? b\n: c\n: d",
    "{a, b: , : c}",
    "[,]",
    "{,}",
    "!!binary aGk=",
    "!!set {a, b}",
    "!!timestamp 2024-01-01",
    "\x00",
    "\ud800",
    "\udc00" * 400_000,
    "0x" + "f" * 90_000,
    "0o" + "7" * 90_000,
    "-" * 90_000,
    "1" * 90_000 + "e" + "1" * 5,
    "." + "0" * 90_000 + "1",
    "'" * 90_001,
]


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nasty_text_is_refused_quickly(text):
    begin = time.perf_counter()
    with pytest.raises(DocumentError):
        load(text)
    assert time.perf_counter() - begin < 10


def lines_of(piece: str, end: str = "\n") -> str:
    """About a megabyte of `piece`, in lines that are not too long."""
    line = piece * (90_000 // len(piece.encode())) + end
    return line * (MAX_BYTES // len(line.encode()))


HUGE = [
    *map(
        lines_of, ["[", "{", "? ", "- ", "&a ", "*a ", "!a ", "! ", "!", "&", "{? ", "[? ", "{a: "]
    ),
    *map(
        lines_of,
        [": ", "a: ", "a ", "a", "é", "1", "- - a: ", "[],", "{},", "[]", "|", "--- ", "@"],
    ),
    *(
        piece * (MAX_BYTES // len(piece))
        for piece in ["[\n", "{\n", "?\n", "? a\n", "-\n", "- - -\n"]
    ),
    *(
        piece * (MAX_BYTES // len(piece))
        for piece in ["a\n", "a:\n", "#\n", "\n", "---\n", "...\n", "%\n"]
    ),
    *(
        piece * (MAX_BYTES // len(piece))
        for piece in ["%YAML 1.2\n", "!\n", "&a\n", "*a\n", "[a?]: \n"]
    ),
    "'" + lines_of("a ")[1:],
    "'" + lines_of("a ")[2:] + "'",
    '"' + lines_of("\\x41")[4:] + '"',
    '"' + "\\\n" * 499_000 + '"',
    '"' + lines_of("\\U00110000"),
    "|\n " + " a\n" * 333_000,
    ">\n" + " a\n" * 333_000,
    ">" + "\n" * 999_000,
    "!<" + lines_of("a"),
    "!" + lines_of("%41"),
    "a:\n" * 10 + lines_of(" ", end=" a\n"),
    "[" + "[],\n" * 240_000,
    "{" + "? " * 40_000 + "\n}",
    "".join(f"%TAG !a{index}! b\n" for index in range(50_000)) + "---\na",
    "a\n...\n" + "".join(f"%TAG !a{index}! b\n" for index in range(50_000)),
    "".join(f"{'[' * 31}{']' * 31}\n---\n" for _ in range(13_000)),
]

MEASURE = """
import pickle, resource, sys, time
import yaml
from hitl_agent.documents import DocumentModel, composing, load_document
from hitl_agent.errors import DocumentError

class Anything(DocumentModel):
    a: int = 0

composing.LOADER = getattr(yaml, sys.argv[1])
texts = pickle.load(sys.stdin.buffer)
load_document("a: 1", file="f", model=Anything)
with open("/proc/self/statm") as sizes:
    used = int(sizes.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
for text in texts:
    begin = time.process_time()
    try:
        load_document(text, file="f", model=Anything)
    except DocumentError as error:
        refused = "MemoryError" not in repr(error.__cause__)
    else:
        refused = False
    print(ascii(text[:20]), refused, time.process_time() - begin, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
@pytest.mark.parametrize(
    ("loader", "texts", "seconds"),
    [
        pytest.param("CSafeLoader", NASTY + HUGE, 1, marks=both_parsers, id="libyaml"),
        # where libyaml is missing; it takes half a second for most of them
        pytest.param("SafeLoader", NASTY + HUGE[::3], 10, marks=pytest.mark.slow, id="pure"),
    ],
)
def test_nasty_text_is_refused_in_little_time_and_memory(loader, texts, seconds):
    """A parser that crashes, in C, would end the process that runs it."""
    done = subprocess.run(
        (sys.executable, "-c", MEASURE, loader),
        input=pickle.dumps(texts), cwd=ROOT, capture_output=True, timeout=170, check=False,
    )  # fmt: skip
    lines = [line.rsplit(maxsplit=2) for line in done.stdout.decode().splitlines()]
    assert done.returncode == 0, (lines[-1:], done.stderr.decode()[-1000:])
    assert len(lines) == len(texts)
    assert [text for text, refused, _ in lines if refused != "True"] == []
    assert [(text, spent) for text, _, spent in lines if float(spent) > seconds] == []


LARGE = "version: 1\nitems:\n" + "".join(
    f"  tool_{tool}:\n    effect: write\n    names:\n"
    + "".join(
        f"      - amount <= {rule} && history.day.count < 20 && !context.untrusted\n"
        for rule in range(11)
    )
    for tool in range(1000)
)


@both_parsers
def test_a_large_document_is_read_at_once():
    begin = time.process_time()
    document = load(LARGE)
    assert (
        time.process_time() - begin < 3
    )  # it takes a fifth of a second, and took two and a half without libyaml
    assert len(LARGE) > 700_000
    assert len(document.value.items) == 1000
    assert document.position("items", "tool_999", "names", 10) == (14 * 1000 + 2, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            LARGE.replace("effect", "efect"),
            "4:5: unknown key `efect`, did you mean `effect`? (and 999 more)",
        ),
        (
            "items:\n" + "".join(f"  tool_{tool}: {{efect: x}}\n" for tool in range(16_000)),
            "2:12: unknown key `efect`, did you mean `effect`? (and 15999 more)",
        ),
        (
            "items: {a: {" + "\n".join(f"efct{n}: 1," for n in range(45_000)) + "}}",
            "1:13: unknown key `efct0`, did you mean `effect`? (and 44999 more)",
        ),
        ("".join(f"zz{n}: 1\n" for n in range(45_000)), "1:1: unknown key `zz0`; known here: "),
    ],
    ids=range(4),
)
def test_tens_of_thousands_of_faults_are_told_quickly(text, message):
    begin = time.process_time()
    assert refusal(text).startswith(message)
    assert time.process_time() - begin < 10


def test_depth_is_bounded():
    deepest = MAX_DEPTH - 1
    assert value_of("[" * deepest + "]" * deepest) is not None
    with pytest.raises(DocumentError, match="deeper than 32 levels"):
        value_of("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_size_is_bounded_in_bytes(monkeypatch):
    assert MAX_BYTES == 1_000_000
    monkeypatch.setattr(documents.reading, "MAX_BYTES", 100)
    assert load("anything: x\n" + "#" * 88).data == {"anything": "x"}
    assert refusal("anything: x\n" + "#" * 89).startswith("1:1: the document is larger than")
    assert refusal("anything: x # " + "é" * 50).startswith("1:1: the document is larger than")


def test_the_length_of_a_line_is_bounded():
    assert refusal("title: a\n#" + "a" * MAX_LINE).startswith(
        "2:1: this line is longer than 100,000"
    )


def test_the_number_of_values_is_bounded(monkeypatch):
    assert MAX_VALUES == 50_000
    monkeypatch.setattr(composing, "MAX_VALUES", 5)
    assert load("anything: [1, 2, 3]").data == {"anything": [1, 2, 3]}
    assert refusal("anything: [1, 2, 3, 4]").startswith(
        "1:21: the document holds more than 5 values"
    )


def test_what_the_parser_raises_without_a_place_gets_the_last_known(monkeypatch):
    class Broken(yaml.SafeLoader):
        def get_event(self):
            if isinstance(self.peek_event(), yaml.ScalarEvent):
                raise RecursionError("too deep")
            return super().get_event()

    monkeypatch.setattr(composing, "LOADER", Broken)
    message = "this cannot be read as YAML; look here and a little later (`too deep`)"
    assert refusal("a") == f"1:1: {message}"
    assert refusal("# c\n- a") == f"2:1: {message}"


yaml_like = st.text(
    st.sampled_from(list("abcd01.-+_ex:,#'\"[]{}&*!|>%@`?~<= \n\t\\$\r")) | st.characters(),
    max_size=60,
)


@settings(deadline=None)
@given(st.text() | yaml_like | st.binary().map(lambda data: data.decode("utf-8", "replace")))
@example("items: {forbidden: {effect: read}}")
def test_any_text_is_read_or_refused_with_a_place(text):
    try:
        document = load(text)
    except DocumentError as error:
        assert error.line >= 1  # noqa: PT017  it may also be read
        assert error.column >= 1  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert isinstance(document.data, dict)


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(json_data, st.booleans(), st.sampled_from([None, 1, "\t"]))
@example({"😀": ["é\u3000😀", {}, [0.5]]}, False, "\t")
def test_json_that_holds_nothing_unseen_is_read_as_itself(data, as_ascii, indent):
    """JSON is YAML 1.2; every value's place is where its text begins."""
    text = json.dumps({"a": data}, ensure_ascii=as_ascii, indent=indent)
    try:
        document = load_document(text, file="f", model=Anything)
    except DocumentError as error:
        assert re.search("character U\\+|escape code", str(error))  # noqa: PT017
    else:
        assert document.data == {"a": data}
        assert document.position("a") == ((1, 7) if indent is None else (2, 7))


# both parsers

WRITTEN = [
    "? a\n: - b: c\n    d: [e, {f: g}]\n  - |\n    text\n     more\n  - >-\n    folded\n\n    x\n",
    "--- # c\n{a: [b, 'c', ], \"d\": {e: , f}, g: 1}\r\n...\n",
    "é: '😀\n\n  line'\n😀: \"x\\\n  \\u00e9 \\/\"\nb:\n- ~\n-\n",
    *(
        path.read_text()
        for folder in ("", "demo", "graphs", "tests/cli/project")
        for path in sorted((ROOT / folder).glob("*.yaml"))
    ),
]
PIECES = [
    "\n", "\n", "\n  ", "\n    ", " ", "\t", "\r\n", ": ", ":", ", ", ",", "[", "]", "{", "}",
    "- ", "-", "? ", "?", "'", '"', "#", " #", "|", "|-", ">", "|2", "|1-\n", ">+\n", "&x ", "*x",
    "!", "!!str ", "!<a>", "!e!b ", "%YAML 1.2\n", "---", "\n--- ", "...\n", "\\", "\\\n",
    "\\x41", "\\ud800", "\\UFFFFFFFF", "\\/", "'a': ", "a: ", '"b"', "''", "a b", "<<: ", "é",
    "😀", "~", "=", "@", "`", "1", "-\n", "%", "\n%", "\ufeff", "\u3000", "http://a.b/c#d",
    "12:30",
]  # fmt: skip

# The pure parser knows no tabs between tokens and no `?` in a list or mapping in brackets; libyaml
# wants a space after the colon in `{a: , b}`, and takes a comment that touches a `|`.
READ_BY_ONE = re.compile(r"\t|\?|:[,\[\]{}]|[|>][-+0-9]*#")


@st.composite
def altered(draw) -> str:
    lines = draw(st.sampled_from(WRITTEN)).splitlines(keepends=True)
    start = draw(st.integers(0, len(lines) - 1))
    text = "".join(lines[start : start + draw(st.integers(1, 12))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at + draw(st.integers(0, 5)) :]
    return text


def read_with(loader: type, text: str) -> tuple[str, dict, dict] | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composing, "LOADER", loader)
        try:
            data, places = read_data(text, "f")
        except DocumentError:
            return None
    return repr(data), places.values, places.keys


@both_parsers
@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | altered() | yaml_like)
@example("---")
@example("{a: \n}")
@example("{a : # c\n}")
@example("[a: , b: 😀]")
@example("? |\n a\n\n: ")
@example("a: !\nb: ! 'c'")
def test_both_parsers_read_the_same_in_the_same_places_or_refuse(text):
    fast, pure = read_with(yaml.CSafeLoader, text), read_with(yaml.SafeLoader, text)
    if fast is None or pure is None:
        assert fast is pure or READ_BY_ONE.search(text)
    else:
        assert fast == pure


@both_parsers
@pytest.mark.parametrize("text", WRITTEN, ids=range(len(WRITTEN)))
def test_both_parsers_read_what_people_write(text):
    fast = read_with(yaml.CSafeLoader, text)
    assert fast
    assert fast == read_with(yaml.SafeLoader, text)


@both_parsers
@pytest.mark.parametrize(
    ("text", "loader"),
    [
        ("a:\t1", "CSafeLoader"),
        ("[a?]", "CSafeLoader"),
        ("a: |# c\n b", "CSafeLoader"),
        ("{a:, b: 1}", "SafeLoader"),
        ("a: |\n  \tb\n", "SafeLoader"),
    ],
)
def test_what_only_one_parser_reads(text, loader):
    read = {one for one in ("CSafeLoader", "SafeLoader") if read_with(getattr(yaml, one), text)}
    assert read == {loader}


# files


def test_a_file_is_read_as_utf_8(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_bytes("\ufeffé\n".encode())
    assert read_text(path) == "é\n"
    assert read_text(str(path)) == "é\n"


def test_a_missing_file_a_directory_and_a_device_are_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"there is no file `.*nothing`"):
        read_text(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_text(tmp_path)
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_text("/dev/zero")
    with pytest.raises(ConfigurationError):
        read_text("a\x00b")
    with pytest.raises(ConfigurationError, match="cannot be read: file name too long"):
        read_text("a" * 5000)


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_bytes("é: 1\nab".encode() + b"\xff")
    with pytest.raises(DocumentError, match="byte 0xff is not UTF-8") as caught:
        read_text(path)
    assert (caught.value.line, caught.value.column) == (2, 3)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(DocumentError, match=r"larger than 1,000,000 bytes"):
        read_text(path)


# words


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
