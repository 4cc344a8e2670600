"""A call as a reviewer sees it: nothing raw, nothing lost, no two calls the same."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from test_rendering import EVERY, hard, plainly_printable

from hitl_agent.calls import ToolCall, canonical
from hitl_agent.errors import InvalidCall
from hitl_agent.review.rendering import to_html, to_json_text, to_line, to_lines, to_terminal
from tests.support.hostile import CORPUS

NAMES = {"div", "p", "code", "bdi", "pre", "ul", "li"}
OURS = {'<div class="hitl-call">'} | {f"<{end}{name}>" for name in NAMES for end in ("", "/")}
TAG = re.compile("<[^>]*>")


class Read(HTMLParser):
    """What a browser makes of HTML: which elements, and the text in them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.tags.add("a comment")

    def handle_decl(self, decl):
        self.tags.add("a declaration")


def json_of(shown: str) -> str:
    """The arguments in what `to_terminal` returned."""
    return "\n".join(one for one in shown.split("\n")[1:] if not one.startswith("! "))


def raw(shown: str, but: str = "") -> list[str]:
    """The characters of what is shown that are not plainly printable."""
    return [ascii(char) for char in set(shown) - set(but) if not plainly_printable(char)]


def check(call: ToolCall) -> None:
    """Nothing raw in any rendering, and all of the call can be read back from each."""
    shown = to_terminal(call)
    assert raw(shown, but="\n") == []
    assert json.loads(json_of(shown)) == call.args
    html = to_html(call)
    assert raw(html, but="\n") == []
    assert set(TAG.findall(html)) <= OURS
    text = TAG.sub("", html)
    assert not set("<>") & set(text)
    assert unescape(text).startswith(shown.split("\n")[0] + json_of(shown))
    plain = to_json_text({"tool": call.tool, "args": call.args})
    assert plain.isascii()
    assert plain.isprintable()
    assert json.loads(plain) == {"tool": call.tool, "args": call.args}
    line = to_line(call.args)
    assert raw(line) == []


@pytest.mark.slow
def test_every_code_point_alone_and_behind_a_letter():
    step = 0x800
    for at in range(0, len(EVERY), step):
        chars = EVERY[at : at + step]
        # apart, because two surrogates side by side would be one character to JSON
        check(ToolCall("c", "a".join(chars), {"text": "-".join(chars)}))


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_text_comes_out_as_escapes_wherever_it_stands(name):
    text = CORPUS[name]
    call = ToolCall(text, text, {text: text, "inside": [{text: [text]}]})
    check(call)
    read = Read(to_html(call))
    assert read.tags <= NAMES
    assert read.attributes == [("class", "hitl-call")]
    assert read.text.startswith(to_terminal(call).split("\n")[0])


def test_all_hostile_texts_together():
    check(ToolCall("c", "".join(CORPUS.values()), CORPUS))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, "1", "true", "null", "{}", "[]", "", "a\nb", '"'])
    | hard,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(hard, below, max_size=3),
    max_leaves=8,
)
names = hard | st.sampled_from(["pay", "pay\n{}", "pay {}", "! x", "{", ""])
calls = st.builds(ToolCall, st.just("c"), names, st.dictionaries(hard, values, max_size=3))


def form(call: ToolCall) -> bytes:
    """The canonical form, of calls that have one."""
    try:
        return canonical({"args": call.args, "tool": call.tool})
    except InvalidCall:
        reject()


@settings(max_examples=300, deadline=None)
@given(calls)
@example(ToolCall("c", "pay\n{}", {}))
def test_all_of_any_call_can_be_read_back(call):
    form(call)
    check(call)


@settings(max_examples=500, deadline=None)
@given(calls, calls)
@example(ToolCall("c", "pay", {"a": 1}), ToolCall("c", "pay", {"a": 1.0}))
@example(ToolCall("c", "pay", {"a": 1}), ToolCall("c", "pay", {"a": "1"}))
@example(ToolCall("c", "pay", {"a": 1, "b": 2}), ToolCall("c", "pay", {"b": 2, "a": 1}))
@example(ToolCall("c", "pay", {"a": [1, 2]}), ToolCall("c", "pay", {"a": [12]}))
@example(ToolCall("c", "pay", {"a": "e\u0301"}), ToolCall("c", "pay", {"a": "\u00e9"}))
@example(ToolCall("c", "pay", {"a": "\\u202e"}), ToolCall("c", "pay", {"a": "\u202e"}))
@example(ToolCall("c", "a\n{}", {}), ToolCall("c", "a", {}))
def test_two_calls_look_the_same_only_if_they_are(one, other):
    same = form(one) == form(other)
    assert (to_terminal(one) == to_terminal(other)) is same
    assert (to_html(one) == to_html(other)) is same


def test_a_call_is_shown_in_the_order_of_its_canonical_form():
    call = ToolCall("c", "pay", {"b": 1.0, "a": [1e21, {}, []], "\U0001f600": -0.0, "\ufb33": None})
    assert to_terminal(call) == (
        'pay\n{\n  "a": [\n    1e+21,\n    {},\n    []\n  ],\n  "b": 1,\n'
        '  "\U0001f600": 0,\n  "\\ufb33": null\n}'
    )
    assert to_line(call.args) == '{"a": [1e+21, {}, []], "b": 1, "\U0001f600": 0, "\\ufb33": null}'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (10**30, "1000000000000000000000000000000"),
        (float("inf"), "Infinity"),
        ((1, "x"), '[\n  1,\n  "x"\n]'),
        (b"\x1b", "\"b'\\\\x1b'\""),
    ],
)
def test_what_no_call_may_hold_is_shown_all_the_same(value, shown):
    """A row that somebody changed by hand must not hide the others."""
    assert to_lines(value) == shown


def test_what_is_long_is_told_with_its_size_and_digest():
    from hashlib import sha256

    text = "\u00e9" * 401
    call = ToolCall("c", "pay", {"short": "x" * 400, "a": [{"b": text}]})
    told = f"401 characters, 802 bytes, sha256:{sha256(text.encode()).hexdigest()}"
    assert to_terminal(call).split("\n")[-1] == f"! `a[0].b`: {told}"
    assert f"<li><bdi>`a[0].b`: {told}</bdi></li>" in to_html(call)
    assert to_line(call.args["a"]) == f'[{{"b": "{text[:40]}"… [{told}]}}]'


def test_a_name_cannot_end_the_quote_in_what_is_told_of_it():
    call = ToolCall("c", "pay", {"a`: fine\n! `b": "x" * 401})
    assert to_terminal(call).split("\n")[-1].startswith("! `a': fine\\n! 'b`: 401 characters")
