"""Words that mix scripts, and words of another script that look like Latin ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import groupby

_MAX_WORD = 60
"""Characters of a word that a finding quotes."""

_MAX_NAMED = 3
"""Characters of a word that a finding names."""


def findings(text: str) -> Iterator[str]:
    """Say what in a text may not be what it looks like, a sentence for each word or sign.

    A word is a run of letters, marks and digits. Told are words that Unicode's UTS #39 refuses as
    identifiers at its level "highly restrictive": with letters of more than one script, except
    Latin with the scripts of Japanese, with those of Korean, or with Han and Bopomofo. Told are
    also digits of several scripts in one word; words written wholly in letters that look like
    Latin ones, unless the text has other letters of their script and no Latin stands beside them;
    Latin letters of phonetics and of mathematics that look like plain ones; signs between Latin
    letters that look like those of an address; and text of both directions, which a screen may
    show in another order.

    What remains: letters that look alike within one script, and words in a text of another script
    that could pass for Latin ones.

    Args:
        text: anything. The sentences quote it as it is.
    """
    if text.isascii():
        return
    told = {_script(char) for char in set(text) if not _plain(char)}
    for token in dict.fromkeys(text.split()):
        if token.isascii():
            continue
        # a Latin letter beside it tells that a Latin word is meant, whatever else the text holds
        known = () if any(_script(char) == "Latin" for char in token) else told
        words = ("".join(run) for inside, run in groupby(token, _in_word) if inside)
        for word in dict.fromkeys(words):
            if not word.isascii() and (why := _oddity(word, known)):
                yield f"`{_cut(word)}` {why}"
        yield from _signs(token)
    if _both_directions(text):
        yield "letters written from right to left stand beside others, a screen may reorder them"


def _oddity(word: str, known: Collection[str | None]) -> str | None:
    """Return what is odd about a word; None if nothing is.

    Args:
        word: a run of letters, marks and digits.
        known: scripts of which letters stand in the text that look like nothing Latin.
    """
    scripts = dict.fromkeys(found for found in map(_script, word) if found)
    if len(scripts) > 1 and not any(scripts.keys() <= one for one in _TOGETHER):
        main = "Latin" if "Latin" in scripts else next(iter(scripts))
        others = [char for char in word if _script(char) not in (None, main)]
        return f"mixes {' and '.join(sorted(scripts))}: {_named(others)}"
    digits = [char for char in word if unicodedata.category(char) == "Nd"]
    if len({ord(char) - unicodedata.digit(char) for char in digits}) > 1:
        return f"mixes digits of several kinds: {_named(one for one in digits if one > '9')}"
    like = [char for char in word if _plain(char)]
    looks_latin = all(char.isascii() or _plain(char) for char in word)
    if like and looks_latin and not scripts.keys() & set(known) - _STYLES:
        return f"has characters that only look like plain Latin ones: {_named(like)}"
    return None


def _signs(token: str) -> Iterator[str]:
    """Tell signs in a text of Latin letters that look like the signs that divide an address."""
    like = {char: _SIGNS.get(char) or unicodedata.normalize("NFKC", char) for char in token}
    signs = [char for char in like if char > "~" and like[char] in _DIVIDES]
    rest = set(token).difference(signs)
    if any(map(str.isalnum, rest)) and {_script(char) for char in rest} <= {None, "Latin"}:
        for char in signs:
            yield f"`{_cut(token)}` has a sign that looks like `{like[char]}`: {_named(char)}"


def _both_directions(text: str) -> bool:
    """Whether letters from right to left stand beside letters from left to right, or digits."""
    kinds = set(map(unicodedata.bidirectional, set(text)))
    return bool(kinds & {"R", "AL"}) and bool(kinds & {"L", "EN", "AN"})


def _in_word(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def _plain(char: str) -> str | None:
    """Return the Latin letter or the digit that a character looks like; None if it is none."""
    if _script(char) in _STYLES:
        return unicodedata.normalize("NFKC", char)
    return _LATIN.get(char)


def _cut(word: str) -> str:
    word = word.replace("`", "'")
    return word if len(word) <= _MAX_WORD else f"{word[: _MAX_WORD - 1]}…"


def _named(chars: Iterable[str]) -> str:
    """Name characters by their code points, the first few."""
    found = list(dict.fromkeys(chars))
    named = [f"{char} is U+{ord(char):04X}" for char in found[:_MAX_NAMED]]
    return ", ".join([*named, "…"] if len(found) > _MAX_NAMED else named)


@lru_cache(maxsize=4096)
def _script(char: str) -> str | None:
    """Return the script of a letter, a mark or a foreign digit; None for what all scripts share.

    Python has no script property; the names of Unicode's characters begin with it.
    """
    category = unicodedata.category(char)
    if category[0] not in "LM" and (category != "Nd" or char.isascii()):
        return None
    words = unicodedata.name(char, "UNNAMED").replace("-", " ").split()
    if words[0] in ("FULLWIDTH", "HALFWIDTH"):
        del words[0]
    return None if words[0] in _SHARED else _OF.get(words[0], words[0].capitalize())


_SHARED = frozenset(
    {"COMBINING", "DIGIT", "FEMININE", "MASCULINE", "MICRO", "MODIFIER", "MUSICAL", "SUPERSCRIPT"}
    | {"TURNED", "VEDIC", "VERTICAL"}
)
"""First words of names that tell no script."""

_OF = {
    "CJK": "Han", "IDEOGRAPHIC": "Han", "VIETNAMESE": "Han", "HENTAIGANA": "Hiragana",
    "BLACK": "Mathematical", "DOUBLE": "Mathematical", "EULER": "Mathematical",
    "PLANCK": "Mathematical", "SCRIPT": "Mathematical",
}  # fmt: skip
"""Scripts of which names begin with another word."""

_STYLES = frozenset({"Mathematical"})
"""Letters that are plain ones in a style, such as bold."""

_TOGETHER = (
    {"Latin", "Han", "Hiragana", "Katakana"},
    {"Latin", "Han", "Bopomofo"},
    {"Latin", "Han", "Hangul"},
)
"""Scripts that are written together (UTS #39, section 5.2)."""

_DIVIDES = frozenset("/.:@?#\\")
"""Signs that have a meaning in addresses."""

_SIGNS = dict.fromkeys("\u2044\u2215\u2571\u27cb\u29f8\u30ce\u31d3\u4e3f", "/") | {
    "\u02d0": ":", "\u02f8": ":", "\u0589": ":", "\u05c3": ":", "\u2236": ":", "\ua789": ":",
    "\u06d4": ".", "\u0701": ".", "\u0702": ".", "\u3002": ".", "\ua4f8": ".",
    "\u2216": "\\", "\u29f5": "\\", "\ufe68": "\\",
}  # fmt: skip
"""Signs and letters that look like those, beside the ones that NFKC turns into them."""

# single characters that Unicode's confusables.txt (UTS #39, 13.0.0; Unicode License v3) maps to one
# Latin letter or digit: of living scripts, without those that NFKC maps to it, and without those
# that are plain letters of a language that is written in Latin letters
_LIKE = {
    "2": "\u01a7\u03e8\u14bf\ua644\ua75a",
    "3": "\u01b7\u021c\u0417\u04e0\u2ccc\ua76a\ua7ab",
    "4": "\u13ce",
    "5": "\u01bc",
    "6": "\u13ee\u2cd2",
    "7": "\U000104d2",
    "8": "\u0222\u0223\u09ea\u0a6a",
    "9": "\u09ed\u0a67\u0b68\u0d6d\u2cca\ua76e",
    "A": "\u0391\u0410\u13aa\u15c5\ua4ee",
    "B": "\u0392\u0412\u13f4\u15f7\ua4d0\ua7b4",
    "C": "\u0421\u13df\u2ca4\ua4da\U00010415",
    "D": "\u13a0\u15de\u15ea\ua4d3",
    "E": "\u0395\u0415\u13ac\u2d39\ua4f0",
    "F": "\u03dc\u15b4\ua4dd\ua798",
    "G": "\u050c\u13c0\u13f3\ua4d6",
    "H": "\u0397\u041d\u13bb\u157c\u2c8e\ua4e7",
    "J": "\u037f\u0408\u13ab\u148d\ua4d9\ua7b2",
    "K": "\u039a\u041a\u13e6\u2c94\ua4d7",
    "L": "\u13de\u14aa\u2cd0\ua4e1\U0001041b",
    "M": "\u039c\u03fa\u041c\u13b7\u15f0\u2c98\ua4df",
    "N": "\u039d\u2c9a\ua4e0",
    "O": "\u039f\u041e\u0555\u07c0\u09e6\u0b20\u0b66\u2c9e\u2d54\ua4f3\U00010404\U000104c2",
    "P": "\u03a1\u0420\u13e2\u146d\u2ca2\ua4d1",
    "Q": "\u2d55",
    "R": "\u01a6\u13a1\u13d2\u1587\ua4e3\U000104b4",
    "S": "\u0405\u054f\u13d5\u13da\ua4e2\U00010420",
    "T": "\u03a4\u0422\u13a2\u2ca6\ua4d4",
    "U": "\u054d\u144c\ua4f4\U000104ce",
    "V": "\u0474\u0667\u06f7\u13d9\u142f\u2d38\ua4e6",
    "W": "\u051c\u13b3\u13d4\ua4ea",
    "X": "\u03a7\u0425\u2cac\u2d5d\ua4eb\ua7b3",
    "Y": "\u03a5\u0423\u04ae\u13a9\u13bd\u2ca8\ua4ec",
    "Z": "\u0396\u13c3\ua4dc",
    "a": "\u0251\u03b1\u0430",
    "b": "\u0184\u042c\u13cf\u1472\u15af",
    "c": "\u0441\u1d04\u2ca5\uabaf\U0001043d",
    "d": "\u0501\u13e7\u146f\ua4d2",
    "e": "\u0435\u04bd\uab32",
    "f": "\u0584\u1e9d\ua799\uab35",
    "g": "\u018d\u0261\u0581\u1d83",
    "h": "\u04bb\u0570\u13c2",
    "i": "\u0269\u026a\u03b9\u0456\u04cf\u13a5\ua647\uab75",
    "j": "\u03f3\u0458",
    "l": ("\u0196\u01c0\u0399\u0406\u04c0\u05d5\u05df\u0627\u0661\u06f1\u07ca\u2c92\u2d4f\ua4f2"),
    "n": "\u0578\u057c",
    "o": (
        "\u03bf\u03c3\u043e\u0585\u05e1\u0647\u0665\u06be\u06c1\u06d5\u06f5\u0966\u0a66"
        "\u0ae6\u0be6\u0c66\u0ce6\u0d20\u0d66\u0e50\u0ed0\u101d\u1040\u10ff\u1d0f\u1d11"
        "\u2c9f\uab3d\U0001042c\U000104ea"
    ),
    "p": "\u03c1\u0440\u2ca3",
    "q": "\u051b\u0563\u0566",
    "r": "\u0433\u1d26\u2c85\uab47\uab48\uab81",
    "s": "\u01bd\u0455\ua731\uabaa\U00010448",
    "u": "\u028b\u03c5\u057d\u1d1c\ua79f\uab4e\uab52\U000104f6",
    "v": "\u03bd\u0475\u05d8\u1d20\uaba9",
    "w": "\u026f\u0461\u051d\u0561\u1d21\uab83",
    "x": "\u0445\u1541\u157d",
    "y": "\u0263\u028f\u03b3\u0443\u04af\u10e7\u1d8c\u1eff\uab5a",
    "z": "\u1d22\uab93",
}

_LATIN = {char: plain for plain, chars in _LIKE.items() for char in chars}
