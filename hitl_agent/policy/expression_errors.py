"""What CEL says of a wrong expression, in words for somebody who does not know CEL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from hitl_agent.calls import clean_text
from hitl_agent.documents import show, suggest
from hitl_agent.policy.expression_text import SAFE_DOUBLE, ExpressionError, Token, refusal, tokens
from hitl_agent.policy.facts import KINDS

_POSITION = re.compile(r"<input>:(-?\d+):(-?\d+): ")
_UNDECLARED = re.compile(r"undeclared reference to '(.*?)'")
_OVERLOAD = re.compile(r"found no matching overload for '(.*?)' applied to '\((.*)\)'")
_SELECT = re.compile(r"expression of type '(.*?)' cannot be the operand of a select")
_UNREADABLE = re.compile(r"token recognition error at: '(.*?)'?$", re.DOTALL)
_UNEXPECTED = re.compile(
    r"(?:mismatched|extraneous) input '(.*?)' expecting|no viable alternative at input '(.*)'"
)
_RESERVED = re.compile(r"reserved identifier: (\w+)")
_MISSING_KEY = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)
_UNBOUND = re.compile(r'No value with name "(.*)" found')

_FUNCTIONS = re.findall(
    r"\w+",
    "all bool bytes contains double duration dyn endsWith exists exists_one filter getDate"
    " getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes"
    " getMonth getSeconds has int map matches size startsWith string timestamp type uint",
)

_OTHER_LANGUAGES = {
    "and": "&&",
    "AND": "&&",
    "&": "&&",
    "or": "||",
    "OR": "||",
    "|": "||",
    "not": "!",
    "NOT": "!",
    "=": "==",
    "is": "==",
    "True": "true",
    "False": "false",
    "None": "null",
    "<>": "!=",
}

_TYPES = {
    "bool": "true or false",
    "bytes": "bytes",
    "double": "a fraction",
    "dyn": "a value of any type",
    "google.protobuf.Duration": "a duration",
    "google.protobuf.Timestamp": "a time",
    "int": "a whole number",
    "null_type": "null",
    "string": "text",
    "uint": "a whole number of CEL's type `uint`",
}

_SIGNS = {"@in": "in", "_[_]": "[…]", "_?_:_": "? :", "@not_strictly_false": "all"}


def explain(said: str, text: str, names: Iterable[str]) -> ExpressionError:
    """Return what a compiler's complaint means.

    Args:
        said: the complaint.
        text: the expression that was written.
        names: what can be named in it.
    """
    place = _POSITION.search(said)
    line, column = (max(int(part), 1) for part in place.groups()) if place else (1, 1)
    lines = text.split("\n")
    offset = min(sum(len(each) + 1 for each in lines[: line - 1]) + column - 1, len(text))
    problem = (said[place.end() :] if place else said).split("\n")[0]
    problem = problem.removesuffix(" [INVALID_ARGUMENT]").removeprefix("Syntax error: ")
    words = tokens(text)
    if not words:
        return ExpressionError("it is empty; write a condition, such as `amount > 50`")
    for index, word in enumerate(words):
        if written := _of_another_language(words, index):
            message = f"`{written}` is not known here; write `{_OTHER_LANGUAGES[written]}`"
            return refusal(message, text, word.start)
    if found := _UNDECLARED.search(problem):
        return _unknown(_written(found[1]), text, offset, names)
    return refusal(_in_plain_words(problem), text, offset)


def _of_another_language(words: Sequence[Token], index: int) -> str:
    """Return the word or sign that other languages use for one of CEL's, or nothing."""
    word = words[index]
    near = words[index + 1 : index + 2]
    joined = word.text + (near[0].text if near and near[0].start == word.start + 1 else "")
    written = joined if joined == "<>" else word.text
    field = index and words[index - 1].text == "."
    called = near and near[0].text in {"(", "."} and word.text not in {"not", "NOT", "and", "or"}
    known = word.kind in {"name", "sign"} and written in _OTHER_LANGUAGES
    return written if known and not field and not called else ""


def _in_plain_words(problem: str) -> str:
    for part, words in _PLAIN_WORDS.items():
        if part in problem:
            return words
    for pattern, say in _SAID_OF.items():
        if found := pattern.search(problem):
            return say(found)
    return clean_text(problem[:1].lower() + problem[1:])[:300]


_UNCLOSED = "the text that begins here is not closed, or has an unknown `\\` in it"

_PLAIN_WORDS = {
    "token recognition error at: '\"": _UNCLOSED,
    "token recognition error at: ''": _UNCLOSED,
    "input '<EOF>' expecting ')'": "it ends too early; a `)` is missing",
    "input '<EOF>' expecting ']'": "it ends too early; a `]` is missing",
    "input '<EOF>'": "it ends too early",
    "missing ')' at": "it ends too early; a `)` is missing",
    "missing ']' at": "it ends too early; a `]` is missing",
    "unsupported syntax '.?'": "there is no `.?`; ask `has(args.note)` first",
    "recursion limit": "it is nested deeper than 32 levels; split it into several rules",
    "int literal": "this number is too large; the largest is 2^63 - 1",
    "has() argument": "`has` asks whether a field is there, as in `has(args.note)`",
    "simple identifier": (
        "the first argument is a name for each item, as in `args.to.all(one, one != '')`"
    ),
}
"""What parts of a complaint mean, the first that is found."""


def _mismatch(name: str, types: str) -> str:
    given = [type_name(one) for one in _split(types)]
    sign = _SIGNS.get(name) or name.strip("_").replace("_float", "double").replace(
        "float", "double"
    )
    said = " and ".join(given) if len(given) < 3 else f"{', '.join(given[:-1])} and {given[-1]}"  # noqa: PLR2004
    if sign in {"&&", "||", "!"}:
        return f"`{sign}` takes conditions, and here it has {said}; compare it with a value"
    if sign == "? :":
        return f"`? :` takes a condition and two values of one type, and here it has {said}"
    hint = ""
    if {"a whole number", "a fraction"} == set(given):
        hint = "; write whole numbers as `1.0` where the other side is a fraction"
    elif "null" in given:
        hint = "; it is never null"
    return f"`{sign}` does not go with {said}{hint}"


_SAID_OF: Mapping[re.Pattern[str], Callable[[re.Match[str]], str]] = {
    _OVERLOAD: lambda found: _mismatch(found[1], found[2]),
    _SELECT: lambda found: f"{type_name(found[1])} has no fields to choose from with `.`",
    _UNREADABLE: lambda found: f"{show(found[1].strip())} means nothing here; take it out",
    _RESERVED: lambda found: f"`{found[1]}` is a word of the language and means nothing here",
    _UNEXPECTED: lambda found: (
        f"{show(found[1] or found[2])} is not expected here; a sign such as `&&` or `==` may be"
        " missing"
    ),
}
"""What is said of a complaint that names what it is about."""


def _written(name: str) -> str:
    """Return the name of a function as it is written."""
    return "double" if name == SAFE_DOUBLE else name


def _split(types: str) -> list[str]:
    """Split types at the commas between them, not at those within `map(string, dyn)`."""
    return re.split(r",\s*(?![^()]*\))", types)


def type_name(name: str) -> str:
    """Return what CEL's name of a type means."""
    if name.startswith("map("):
        return "a mapping"
    if name.startswith("list("):
        return "a list"
    return _TYPES.get(name, f"of type `{name}`")


def _unknown(name: str, text: str, offset: int, names: Iterable[str]) -> ExpressionError:
    """Say what is meant by a name that nothing has; CEL points behind the name it complains of."""
    spelt = r"\s*\.\s*".join(re.escape(part) for part in name.split("."))
    # of a function CEL points at the bracket, of `a.b` at the last dot
    starts = [one.start() for one in re.finditer(rf"(?<![\w.]){spelt}\b|(?<=\.){spelt}\b", text)]
    at = max((one for one in starts if one <= offset), default=min(starts, default=offset))
    if name in _FUNCTIONS:
        return refusal(f"`{name}` takes other arguments than these", text, at)
    if re.match(rf"{spelt}\s*\(", text[at:]):
        hint = (
            suggest(name, _FUNCTIONS) or f"; there is {', '.join(f'`{one}`' for one in _FUNCTIONS)}"
        )
        return refusal(f"there is no function {show(name)}{hint}", text, at)
    known = sorted(names)
    head = name.partition(".")[0]
    near = [one for one in known if one.startswith(f"{head}.")]
    if hint := suggest(name, near or known):
        pass
    elif near:
        hint = f"; there is {', '.join(f'`{one}`' for one in near[:12])}"
    elif head == "history":
        hint = "; name the span under `history` of the tool"
    elif head in KINDS:
        hint = f"; declare the argument under `kinds` of the tool: `kinds: {{NAME: {head}}}`"
    else:
        hint = "; an argument is `args.NAME`, and text stands in quotes"
    return refusal(f"nothing is named {show(name)}{hint}", text, at)


def plainly(text: str) -> str:
    """Say what CEL says of a failed evaluation in words that fit a sentence."""
    if found := _MISSING_KEY.search(text):
        return f"there is no {show(found[1])}"
    if found := _UNBOUND.search(text):
        return f"`{found[1]}` is not known"
    if "budget" in text:
        return "it takes too many steps"
    if "No matching overloads" in text:
        return "it compares or combines values of different types, or one that is null"
    said = re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", text)
    return clean_text(said[:1].lower() + said[1:])[:200]
