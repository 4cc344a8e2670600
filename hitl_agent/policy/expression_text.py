"""What can be told of an expression from its text alone: its words, and what is unsafe in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<skip>\s+|//[^\n]*)"
    r'|(?P<string>[bB]?[rR](?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"[^"\n\r]*"|\'[^\'\n\r]*\')'
    r'|[bB]?(?:"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\''
    r'|"(?:\\.|[^"\\\n\r])*"|\'(?:\\.|[^\'\\\n\r])*\'))'
    r"|(?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[uU]?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>[=!<>]=|&&|\|\||.)",
    re.DOTALL,
)

_SIMPLE = re.compile(r'(?:[\w\s.<>=!&|+*?:-]++|"[^"\\\n\r]*")*+', re.ASCII)
_WANTS_A_LOOK = re.compile(r'"""|[0-9.][eE]|[0-9]{300}|double')

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_QUOTES = frozenset("\"'`")
SAFE_DOUBLE = "_float"
"""Stands for `double` where that is called; as long, so that places stay what they are."""

_ASKED_OF_A_TIME = re.compile(r"get[A-Z][A-Za-z]*")
_CONVERSIONS = frozenset({"duration", "timestamp", "int", "uint"})


class Token(NamedTuple):
    """A word, a literal or a sign.

    Attributes:
        kind: `string`, `number`, `name` or `sign`.
        text: as it is written.
        start: 0-based offset in the expression.
    """

    kind: str
    text: str
    start: int


class ExpressionError(ValueError):
    """Raised when an expression is refused at load.

    Attributes:
        message: what is wrong and what to write instead.
        line: 1-based line within the expression.
        column: 1-based column within the line.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@lru_cache(maxsize=256)
def tokens(text: str) -> tuple[Token, ...]:
    """Return the tokens of an expression, without spaces and comments."""
    return tuple(
        Token(found.lastgroup or "sign", found[0], found.start())
        for found in _TOKEN.finditer(text)
        if found.lastgroup != "skip"
    )


def refusal(message: str, text: str, offset: int) -> ExpressionError:
    """Return the error that says `message` about what stands at a 0-based offset in `text`."""
    line = text.count("\n", 0, offset) + 1
    return ExpressionError(message, line, offset - text.rfind("\n", 0, offset))


def is_simple(text: str) -> bool:
    """Return whether nothing in an expression wants a closer look, as in most of them.

    It then has no brackets, no division, no text but in plain `"`, and no huge number.
    """
    return bool(_SIMPLE.fullmatch(text)) and not _WANTS_A_LOOK.search(text)


def is_closed(words: Sequence[Token]) -> bool:
    """Return whether every bracket and quote is closed, so that text can stand after it."""
    wanted: list[str] = []
    for word in words:
        if word.kind != "sign":
            continue
        if word.text in _CLOSING:
            wanted.append(_CLOSING[word.text])
        elif word.text in _CLOSING.values():
            if not wanted or wanted.pop() != word.text:
                return False
        elif word.text in _QUOTES:
            return False
    return not wanted


def with_safe_double(text: str, words: Sequence[Token]) -> str:
    """Return `text` with calls of our own conversion, which knows no NaN, in place of `double`."""
    for word, after in pairwise(words):
        if word.text == "double" and after.text == "(":
            end = word.start + len(word.text)
            text = text[: word.start] + SAFE_DOUBLE + text[end:]
    return text


def refuse_nan(text: str, words: Sequence[Token]) -> None:
    """Raise unless NaN has no way to come about.

    `0.0 / 0.0` is NaN, for which every comparison is false: a condition that is to stop a call
    would not hold. Arguments are finite, and `double` is ours.

    Raises:
        ExpressionError: something is divided by what can be 0, or a number is infinite.
    """
    for word, after in pairwise((*words, Token("sign", "", len(text)))):
        if word.kind == "number" and not math.isfinite(_number(word)):
            raise refusal("this number is too large", text, word.start)
        if word.text in {"/", "%"} and (after.kind != "number" or _number(after) == 0):
            raise refusal(
                "divide by a number other than 0; instead of `a / b > c` write `a > b * c`",
                text,
                word.start,
            )


def _number(word: Token) -> float:
    text = word.text.rstrip("uU")
    return int(text, 16) if text[:2].lower() == "0x" else float(text)


def constant_parts(words: Sequence[Token]) -> Iterator[tuple[str, Token]]:
    """Yield parts that have an answer without a call, as regular expressions and durations do.

    Yields:
        An expression without variables, and where its literal stands.
    """
    for index, word in enumerate(words):
        literal = _only_literal(words, index)
        if literal is None:
            continue
        if word.text == "matches":
            yield f'"".matches({literal.text})', literal
        elif word.text in _CONVERSIONS:
            yield f"{word.text}({literal.text})", literal
        elif _ASKED_OF_A_TIME.fullmatch(word.text):
            yield f'timestamp("2000-01-01T00:00:00Z").{word.text}({literal.text})', literal


def _only_literal(words: Sequence[Token], index: int) -> Token | None:
    """Return the text literal that is the last argument of the call at `index`."""
    if words[index].kind != "name" or [one.text for one in words[index + 1 : index + 2]] != ["("]:
        return None
    depth = 0
    for place in range(index + 1, len(words)):
        depth += {"(": 1, ")": -1}.get(words[place].text, 0)
        if depth == 0:
            last, before = words[place - 1], words[place - 2]
            return last if last.kind == "string" and before.text in {"(", ","} else None
    return None


def arguments_named(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the arguments that an expression reads as `args.NAME` or `args["NAME"]`.

    Yields:
        The name and its 1-based line and column within the expression.
    """
    words = tokens(text)
    for index, word in enumerate(words):
        if word.text != "args" or word.kind != "name" or (index and words[index - 1].text == "."):
            continue
        after = words[index + 1 : index + 3]
        match [(one.kind, one.text) for one in after]:
            case [(_, "."), ("name", name)]:
                pass
            case [(_, "["), ("string", literal)] if literal[0] in "\"'":
                name = literal[1:-1]
            case _:
                continue
        place = refusal("", text, after[1].start)
        yield name, place.line, place.column
