"""What a reviewer's terminal, a program and a browser are given of hostile text."""

from __future__ import annotations

import html
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from rich.console import Console

from hitl_agent.calls import ToolCall
from hitl_agent.review.rendering import to_html, to_json_text, to_terminal
from reliability.figures import Figure, Run, note
from reliability.processes import CORES, results

_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5")
"""Letters and a symbol that show as nothing."""

_FLOOD = 7
"""Marks in a row that cover the lines above and below."""

CORPUS: Mapping[str, str] = {
    "clear screen": "\x1b[2J\x1b[H$ approved",
    "colour": "\x1b[32mapproved by ana\x1b[0m",
    "window title": "\x1b]0;safe\x07",
    "link that lies": "\x1b]8;;https://evil.example\x1b\\bank.example\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "8-bit control sequence": "\x9b2J",
    "return over the line": "pay 1000000\rpay 1      ",
    "backspaces": "1000000" + "\b" * 7 + "1      ",
    "right to left override": "invoice\u202efdp.exe",
    "isolates": "to \u2066\u202eana\u2069\u2066bob",
    "zero width": "pay\u200bpal\u200d.exam\u2060ple",
    "soft hyphen": "pay\u00adpal.example",
    "tag characters": "safe" + "".join(chr(0xE0000 + ord(one)) for one in "delete all"),
    "combining flood": "a" + "\u0335\u0336\u0337\u0338" * 20,
    "exotic spaces": "rm\u00a0-rf\u3000/\u2003home",
    "line separators": "approve\u2028reject\u2029approve\x85reject",
    "blank letters": "user\u3164name\u2800",
    "bell and NUL": "a\x00b\x07c",
    "lone surrogate": "a\ud800b\udfffc",
    "private use and unassigned": "\ue000\U000f0000\U0002fffe",
    "markup of the terminal library": "[bold green]approved[/] [link=https://evil.example]x[/link]",
    "script": "<script>fetch('//evil.example')</script>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "entity": "&lt;b&gt; &#x202e;",
    "closing tags": "</td></tr></table></body><iframe src=javascript:alert(1)>",
    "formula": "=HYPERLINK(\"https://evil.example\")\t@SUM(1)\r\n+cmd|' /C calc'!A0",
    "very long": "x" * 100_000 + "\x1b[2J",
}


def measure(run: Run) -> Figure:
    """Give every code point and the corpus to each rendering, and look for what came through."""
    plain = [name for name, text in CORPUS.items() if _raw(_printed(text))]
    codes = range(0, sys.maxunicode + 1, 97 if run.short else 1)
    jobs = [(_wrong, (codes[number::CORES],)) for number in range(CORES)]
    _bad()  # worked out once, for all processes
    through = {name: _of_corpus(wrong) for name, wrong in RENDERINGS.items()}
    for found in results(jobs):
        for name, wrong in found.items():
            through[name] += wrong
    raw = sum(len(one) for one in through.values())
    return Figure(
        "hostile strings through terminal, JSON and HTML rendering",
        f"{len(plain)} of {len(CORPUS)} reach the terminal raw",
        f"{len(codes):,} code points and {len(CORPUS)} strings, three renderings: {raw} raw",
        "every code point and a corpus: 0 raw",
        reached=raw == 0,
        notes=tuple(line for name, found in through.items() for line in note(name, found)),
    )


_TEXTS, _WORDS = 64, 16
"""Texts of one call and words of one text; each code point is within a word of its own."""


def _wrong(codes: Sequence[int]) -> dict[str, list[str]]:
    """Return what is wrong with the renderings of some code points."""
    found: dict[str, list[str]] = {name: [] for name in RENDERINGS}
    size = _TEXTS * _WORDS
    for block in (codes[begin : begin + size] for begin in range(0, len(codes), size)):
        words = [f"a{chr(code)}b" for code in block]
        args = {
            f"t{begin}": " ".join(words[begin : begin + _WORDS])
            for begin in range(0, len(words), _WORDS)
        }
        for name, wrong in RENDERINGS.items():
            if why := wrong(args):
                found[name].append(f"among U+{block[0]:04X} to U+{block[-1]:04X}: {why}")
    return found


def _of_corpus(wrong: Callable[[Mapping[str, str]], str | None]) -> list[str]:
    return [f"{what}: {why}" for what, text in CORPUS.items() if (why := wrong({"text": text}))]


def _terminal(args: Mapping[str, str]) -> str | None:
    """Return what is wrong with the terminal's rendering of a call, or None."""
    return _raw(to_terminal(ToolCall("c1", "send", args)))


def _json(args: Mapping[str, str]) -> str | None:
    """Return what is wrong with the JSON, or None: it is safe to look at, and loses nothing."""
    shown = to_json_text(args)
    return "it reads back as something else" if json.loads(shown) != args else _raw(shown)


def _html(args: Mapping[str, str]) -> str | None:
    """Return what is wrong with the HTML, or None: beside the rendering's own tags it is text."""
    page = _TAGS.sub("", to_html(ToolCall("c1", "send", args)))
    return "it adds a tag" if "<" in page or ">" in page else _raw(html.unescape(page))


_TAGS = re.compile(r'</?(?:bdi|code|li|p|pre|ul|div)>|<div class="hitl-call">')

RENDERINGS: Mapping[str, Callable[[Mapping[str, str]], str | None]] = {
    "terminal": _terminal,
    "JSON": _json,
    "HTML": _html,
}


def _printed(text: str) -> str:
    """Return what a terminal receives of text that is printed with Rich, as tutorials do."""
    out = io.StringIO()
    try:
        Console(file=out, force_terminal=True, color_system=None, highlight=False, width=200).print(
            text
        )
    except Exception:  # noqa: BLE001  what cannot be printed is not there to be seen
        return "\x1b"
    return out.getvalue().replace("\n", "")


def _raw(shown: str) -> str | None:
    """Return what in a text does not plainly show, or None."""
    hidden, marks = _bad()
    if found := hidden.intersection(shown):
        return f"U+{ord(min(found)):04X}"
    if marks.isdisjoint(shown):
        return None
    flood = "".join("m" if char in marks else " " for char in shown)
    return "marks without end" if "m" * _FLOOD in flood else None


@cache
def _bad() -> tuple[frozenset[str], frozenset[str]]:
    """Return what no rendering may give out, and marks, told by Unicode's categories alone."""
    hidden, marks = set(_BLANK), set()
    for char in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(char)
        if category[0] == "M":
            marks.add(char)
        elif category[0] in "CZ" and char not in " \n":
            hidden.add(char)
    return frozenset(hidden), frozenset(marks)
