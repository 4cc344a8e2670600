"""Words that are not what they look like are told; words of living languages are not."""

# ruff: noqa: RUF001  they are what is tested

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_agent.calls import ToolCall
from hitl_agent.review.cautions import cautions
from hitl_agent.review.mixed_scripts import _LATIN, _script, findings

LOOKS = "has characters that only look like plain Latin ones"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p\u0430ypal.com", "`p\u0430ypal` mixes Cyrillic and Latin: \u0430 is U+0430"),
        ("\u13e2ayPal", "`\u13e2ayPal` mixes Cherokee and Latin: \u13e2 is U+13E2"),
        ("\u0399\u0406", "`\u0399\u0406` mixes Cyrillic and Greek: \u0406 is U+0406"),
        ("a\u0e34b", "`a\u0e34b` mixes Latin and Thai: \u0e34 is U+0E34"),
        ("\u210eello", "`\u210eello` mixes Latin and Mathematical: \u210e is U+210E"),
        ("1\u06623", "`1\u06623` mixes digits of several kinds: \u0662 is U+0662"),
        ("\u0261oogle", f"`\u0261oogle` {LOOKS}: \u0261 is U+0261"),
        ("\U0001d429\U0001d41a\U0001d432", "\U0001d429 is U+1D429, \U0001d41a is U+1D41A"),
        ("\u0430\u0440\u0440\u04cf\u0435", f"{LOOKS}: \u0430 is U+0430, \u0440 is U+0440"),
        ("\u0430\u0440\u0440\u04cf\u0435.com \u043f\u0440\u0438\u0432\u0435\u0442", LOOKS),
        ("b.com\u2044e.org", "`b.com\u2044e.org` has a sign that looks like `/`: \u2044 is U+2044"),
        ("paypal\uff0ecom", "has a sign that looks like `.`: \uff0e is U+FF0E"),
        ("a.com\uff20b", "has a sign that looks like `@`"),
        ("paypal.com\u30celogin", "has a sign that looks like `/`: \u30ce is U+30CE"),
        ("\u05d0\u05d1 100", "a screen may reorder them"),
    ],
)
def test_what_is_not_what_it_looks_like_is_told(text, told):
    assert any(told in one for one in findings(text)), list(findings(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text, user_name@example.com/path?x=1#y",
        "Zoë naïve Łódź straße Đặng ısı Ångström œuvre",
        "it’s 2020–2024 … “so” №5 x² ½ 1.º €20 10µm ™",
        "Привет, а как у вас с ухом? О да.",
        "Ο λόγος και η Ελλάδα",
        "日本語テキスト Tシャツ ＡＢＣ 東京／大阪 時々",
        "한국어 LG전자 大韓民國",
        "北京 T恤 ㄅㄆㄇ",
        "क्षेत्र १० हिन्दी",
        "ไทยที่นี่",
        "שלום עולם",
        "مرحبا بالعالم",
        "🙂 ❤ → ✓",
        "e-mail по-русски, IT-отдел",
    ],
)
def test_words_of_living_languages_are_not(text):
    assert list(findings(text)) == []


def test_each_word_is_told_once_and_many_are_counted():
    words = " ".join(f"p{chr(0x430 + number)}y p\u0430y" for number in range(20))
    assert len(list(findings(words))) == 20
    told = cautions(ToolCall("c", "p\u0430y", {"p\u0430y": [words]}))
    assert told[0].startswith("the tool's name: `p\u0430y` mixes")
    assert told[1].startswith("the name `p\u0430y`: `p\u0430y` mixes")
    assert [one.split(":")[0] for one in told[2:]] == ["`p\u0430y[0]`"] * 6
    assert told[-1] == "`p\u0430y[0]`: 15 more like these"


def test_a_long_word_is_quoted_short():
    (told,) = findings("\u0430" + "a" * 10_000)
    assert len(told) < 150


@given(st.text(max_size=20))
def test_any_text_is_looked_at_and_ascii_is_never_told(text):
    told = list(findings(text))
    assert not (text.isascii() and told)
    assert all(isinstance(one, str) and one for one in told)


@pytest.mark.parametrize(
    ("char", "script"),
    [
        ("a", "Latin"), ("\u00e9", "Latin"), ("\uff41", "Latin"), ("\u0430", "Cyrillic"),
        ("\u03b1", "Greek"), ("\u4e2d", "Han"), ("\u3005", "Han"), ("\u30fc", "Katakana"),
        ("\uff76", "Katakana"), ("\uac00", "Hangul"), ("\u0663", "Arabic"), ("1", None),
        (".", None), ("\u0301", None), ("\u02b0", None), ("\u00b5", None), ("\ufb33", "Hebrew"),
    ],
)  # fmt: skip
def test_the_script_of_a_letter_is_read_from_its_name(char, script):
    assert _script(char) == script


def test_the_lookalikes_are_letters_and_digits_beyond_ascii_that_are_shown_as_they_are():
    from hitl_agent.review import visible

    for char, plain in _LATIN.items():
        assert unicodedata.category(char)[0] in "LN"
        assert visible(char) == char
        assert plain.isascii()
        assert plain.isalnum()
        assert not char.isascii()


@pytest.mark.parametrize("unit", ["\u0430", "\u0430a ", "\u4e2d\u6587", "a\u2044", "\u0662\u0663 "])
def test_the_largest_text_takes_no_longer_than_a_second(unit):
    start = time.process_time()
    for _ in findings(unit * (128 * 1024 // len(unit))):
        pass
    assert time.process_time() - start < 1
