"""Nothing that is written takes long, or much, to be refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from hitl_agent import documents
from hitl_agent.documents import MAX_BYTES, MAX_DEPTH, MAX_LINE, MAX_VALUES, composing
from hitl_agent.errors import DocumentError
from tests.support.documents import both_parsers, load, refusal, value_of

ROOT = Path(__file__).parents[2]


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
        pytest.param("SafeLoader", NASTY + HUGE, 10, marks=pytest.mark.slow, id="pure"),
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
