from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from hitl_agent.review import visible

EVERY = [chr(code) for code in range(0x110000)]

# Unicode's Default_Ignorable_Code_Point, and what else shows as nothing although it is a letter,
# a mark or a symbol by category
UNSEEN = {
    *range(0x00AD, 0x00AE),
    *range(0x034F, 0x0350),
    *range(0x061C, 0x061D),
    *range(0x115F, 0x1161),
    *range(0x17B4, 0x17B6),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0x3164, 0x3165),
    *range(0xFE00, 0xFE10),
    *range(0xFEFF, 0xFF00),
    *range(0xFFA0, 0xFFA1),
    *range(0xFFF0, 0xFFFD),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
    *(0x2800, 0x13441, 0x13442, 0x16FE4, 0x1D159),
}

# Bidi_Control, and every code point with an explicit direction
REORDERS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN", "B"}

ESCAPE = re.compile(r"\\(\\|n|t|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))", re.ASCII)


def read_back(shown: str) -> str:
    def char(found: re.Match[str]) -> str:
        code = found[2] or found[3] or found[4]
        return chr(int(code, 16)) if code else {"\\": "\\", "n": "\n", "t": "\t"}[found[1]]

    assert "\\" not in ESCAPE.sub("", shown)
    return ESCAPE.sub(char, shown)


def plainly_printable(char: str) -> bool:
    return char == " " or (
        unicodedata.category(char)[0] in "LMNPS"
        and ord(char) not in UNSEEN
        and unicodedata.bidirectional(char) not in REORDERS
    )


def check(text: str, shown: str) -> None:
    assert all(map(plainly_printable, shown)), ascii(shown)
    assert read_back(shown) == text
    assert unicodedata.is_normalized("NFC", shown)
    shown.encode("utf-8")


def escaped(char: str) -> str:
    if char in "\\\n\t":
        return {"\\": "\\\\", "\n": "\\n", "\t": "\\t"}[char]
    code = ord(char)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def test_every_character_comes_out_plainly_printable_and_as_itself_alone():
    seen = set()
    for char in EVERY:
        shown = visible(char)
        seen.add(shown)
        if shown == char:
            assert plainly_printable(char), hex(ord(char))
            assert unicodedata.category(char)[0] != "M"
            assert unicodedata.is_normalized("NFC", char)
        else:
            assert shown == escaped(char)
    assert len(seen) == len(EVERY)


def test_every_character_behind_a_letter_takes_room_or_is_a_mark_or_an_escape():
    skin_tones = {chr(code) for code in range(0x1F3FB, 0x1F400)}  # a change of colour
    for char in EVERY:
        shown = visible("a" + char)
        if shown == "a" + char:
            assert plainly_printable(char), hex(ord(char))
            assert unicodedata.is_normalized("NFC", shown)
            mark = unicodedata.category(char) in ("Mn", "Mc")
            assert mark or char in skin_tones or cell_len(char) > 0, hex(ord(char))
        else:
            assert shown == "a" + escaped(char)


def test_controls_marks_of_direction_and_what_has_no_width_are_escapes():
    controls = [*range(0x20), *range(0x7F, 0xA0)]
    for code in (*controls, *UNSEEN, 0x2028, 0x2029, 0xA0, 0x3000, 0xD800, 0xE000, 0x10FFFF):
        for text in (chr(code), f"a{chr(code)}b", f"\u0915{chr(code)}"):
            assert chr(code) not in visible(text), hex(code)


fragments = st.sampled_from(
    [
        "\\",
        "\\\\",
        "x1b",
        "u202e",
        "n",
        "\n",
        "\x1b",
        "\u202e",
        "\u0301",
        "\u0316",
        "\u0338",
        "e",
        "é",
        "=",
        " ",
        "\u1100",
        "\u1161",
        "\u11a8",
        "각",
        "\u212b",
        "A\u030a",
        "ก",
        "\u0e34",
    ]
)
hard = st.lists(fragments | st.characters(), max_size=12).map("".join)


@settings(max_examples=300)
@given(hard)
@example("a\u0316\u0301")
@example("\u1100\u1161\u11a8")
@example("\\x1b")
@example("\\\u0301")
def test_every_text_comes_out_plainly_printable_and_can_be_read_back(text):
    check(text, visible(text))


@settings(max_examples=300)
@given(hard)
def test_with_lines_only_line_feeds_come_through_too(text):
    shown = visible(text, lines=True)
    assert shown.count("\n") == text.count("\n")
    assert read_back(shown) == text
    for line in shown.split("\n"):
        assert all(map(plainly_printable, line))


@given(hard, hard)
def test_two_texts_never_come_out_the_same(one, other):
    assert (visible(one) == visible(other)) is (one == other)
    assert (visible(one, lines=True) == visible(other, lines=True)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("é", "e\u0301"),
        ("Å", "\u212b"),
        ("K", "\u212a"),
        ("각", "\u1100\u1161\u11a8"),
        ("豈", "\uf900"),
        ("a\u0316\u0301", "á\u0316"),
        ("≠", "=\u0338"),
    ],
)
def test_equivalent_spellings_do_not_look_the_same(one, other):
    normal = unicodedata.normalize("NFC", visible(one))
    assert normal != unicodedata.normalize("NFC", visible(other))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b-c_1!", "a b-c_1!"),
        ("", ""),
        ("Zoë 中文 한국 ไทยที่นี่ हिन्दी عربي עברית €🙂", "Zoë 中文 한국 ไทยที่นี่ हिन्दी عربي עברית €🙂"),
        ("a\tb\nc", "a\\tb\\nc"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eabc", "\\u202eabc"),
        ("a\u200bb", "a\\u200bb"),
        ("\U000e0041", "\\U000e0041"),
        ("C:\\x1b", "C:\\\\x1b"),
        ("\u0301a", "\\u0301a"),
        ("\x1b\u0301", "\\x1b\\u0301"),
        ("\\\u0301", "\\\\\\u0301"),
        (" \u0301", " \\u0301"),
        ("5\u0338", "5\\u0338"),
        ("n\u0336o", "n\\u0336o"),
        ("q" + "\u0323" * 6, "q" + "\u0323" * 4 + "\\u0323\\u0323"),
        ("❤\ufe0f", "❤\\ufe0f"),
        ("a\u20dd", "a\\u20dd"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_shown_of(text, shown):
    assert visible(text) == shown


def test_a_mark_at_the_beginning_of_a_line_is_an_escape():
    assert visible("a\n\u0301b", lines=True) == "a\n\\u0301b"
    assert visible("a\n\\b", lines=True) == "a\n\\\\b"
