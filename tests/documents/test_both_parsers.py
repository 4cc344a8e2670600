"""PyYAML reads the same with libyaml and without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hitl_agent.documents import composing
from hitl_agent.documents.reading import read_data
from hitl_agent.errors import DocumentError
from tests.support.documents import both_parsers, yaml_like

ROOT = Path(__file__).parents[2]

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
