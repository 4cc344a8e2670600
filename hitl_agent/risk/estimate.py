"""Confidence in one call, from what a model gave: token probabilities, other plans, its words.

Every function returns an `Estimate`, or None when what it is given does not tell. None is not a
low confidence: what happens to a call without any is for the policy to say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

from hitl_agent.calls import MAX_NAME, ToolCall, canonical, clean_text
from hitl_agent.errors import InvalidCall

MAX_SOURCE = MAX_NAME
"""Longest name of a source, in characters."""

Token: TypeAlias = tuple[str, float]
"""A token's text and the natural logarithm of its probability."""

# below every probability that a float has, and small enough that no sum of such overflows
_IMPOSSIBLE = -1e300
_TRIES = 64
"""Most places where arguments are looked for: in text that repeats a name more often, nowhere."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How likely a call is to be right, in the eyes of one source.

    Attributes:
        raw: confidence in [0, 1], as the source gave it.
        source: what it was worked out from, such as `token_logprobs`.
        calibrated: what the raw value is worth, in [0, 1], or None if nothing was fitted.

    Raises:
        ValueError: a number that is none or out of range, or a source that cannot be stored.
    """

    raw: float
    source: str
    calibrated: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "raw", _confidence(self.raw, "a confidence"))
        if self.calibrated is not None:
            value = _confidence(self.calibrated, "a calibrated confidence")
            object.__setattr__(self, "calibrated", value)
        source = self.source
        if not isinstance(source, str) or not 0 < len(source) <= MAX_SOURCE:
            raise ValueError(f"the source of a confidence is text of 1 to {MAX_SOURCE} characters")
        if clean_text(source) != source:
            raise ValueError("the source of a confidence is text that can be stored")

    @property
    def value(self) -> float:
        """The confidence to act on: the calibrated one if there is one."""
        return self.raw if self.calibrated is None else self.calibrated

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as plain JSON data; `Estimate(**data)` reads it again."""
        return {"raw": self.raw, "source": self.source, "calibrated": self.calibrated}


def as_estimate(answer: object, source: str) -> Estimate | None:
    """Return what an estimator answered, None if it cannot tell.

    Args:
        answer: an `Estimate`, a number in [0, 1] or None; anything else is refused.
        source: where a bare number comes from.

    Raises:
        ValueError: the answer is no confidence.
    """
    if answer is None or isinstance(answer, Estimate):
        return answer
    return Estimate(_confidence(answer, "a confidence"), source)


def from_logprobs(call: ToolCall, tokens: Sequence[Token]) -> Estimate | None:
    """Return the geometric mean of the token probabilities, exp((1/n) · Σ ln pᵢ).

    It is the likelihood of the text, normalised by its length as is usual for sequences of
    unequal length, and the inverse of its perplexity. The tokens that count are those of
    `tokens_of`; where the call cannot be found, all that are given: pass the tokens of the call.

    Args:
        call: the call as the model planned it.
        tokens: in the model's order.

    Returns:
        None without tokens.

    Raises:
        ValueError: a log-probability is above zero, NaN or no number.
    """
    logprobs = [_logprob(value) for _, value in tokens]
    if not logprobs:
        return None
    spans: list[Sequence[int]] = [*_spans(call, tokens)] or [range(len(logprobs))]
    return Estimate(math.exp(min(_mean(logprobs, span) for span in spans)), "token_logprobs")


def tokens_of(call: ToolCall, tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Return the tokens that make up the call's name and arguments; none if it is not found.

    It is found where its name is followed by a JSON object that is its arguments, which is how
    most models write a call. Of several places, the least likely.

    Raises:
        ValueError: a log-probability is above zero, NaN or no number.
    """
    logprobs = [_logprob(value) for _, value in tokens]
    spans = _spans(call, tokens)
    if not spans:
        return ()
    return tuple(tokens[at] for at in min(spans, key=lambda span: _mean(logprobs, span)))


def agreement(call: ToolCall, plans: Sequence[Iterable[ToolCall]]) -> Estimate | None:
    """Return the share of plans that contain the same call (self-consistency).

    Args:
        call: the call.
        plans: other plans of the same model for the same conversation; not the call's own.

    Returns:
        None without plans.
    """
    return _share(call, plans, "self_consistency")


def ensemble(call: ToolCall, plans_by_model: Sequence[Iterable[ToolCall]]) -> Estimate | None:
    """Return the share of other models that plan the same call; 1 minus it is their disagreement.

    Args:
        call: the call.
        plans_by_model: one plan of each other model for the same conversation.

    Returns:
        None without other models.
    """
    return _share(call, plans_by_model, "ensemble")


def same_call(one: ToolCall, other: ToolCall) -> bool:
    """Whether two calls do the same: one name and one canonical form of the arguments.

    What has no canonical form is the same as nothing.
    """
    return one.tool == other.tool and _equal(one.args, other.args)


# One line is one statement, and nothing that could change its meaning stands before or after it:
# `low confidence: 0.9`, `confidence: 0.8 or 0.3`, `confidence: 0.8-0.9` and `0,8` are none.
_NUMBER = r"(?P<number>[0-9]{1,3}(?:\.[0-9]{1,17})?|\.[0-9]{1,17})"
_UNIT = r"(?P<unit>[ ]?%|[ ]?/[ ]?(?:100|10)(?![0-9]))?"
_STATED = re.compile(
    r"(?:^|[\n.;,!?(\[{])[ \t]*[-*_\"'`#> \t]{0,8}(?:my[ ])?"
    r"confidence(?:[ ](?:level|score))?[*_\"'`]{0,3}[ ]?[:=][*_\"'`]{0,3}[ ]?[*_\"'`]{0,3}"
    + _NUMBER
    + _UNIT
    + r"[*_\"'`]{0,3}[ \t]*(?=$|[\r\n;)\]}]|\.(?:\s*$|\s+[^\s0-9])|,\s*\")",
    re.IGNORECASE | re.ASCII,
)
_ALONE = re.compile(_NUMBER + r"[ ]?%", re.ASCII)
_MENTION = re.compile("confiden[ct]", re.IGNORECASE | re.ASCII)


def verbalised(text: str) -> Estimate | None:
    """Return the confidence that a model states in its text.

    Read are `confidence: 0.8`, `Confidence: 85/100`, `"confidence": 80%` and the like, standing
    on their own, and a text that is nothing but `80%`. A number without a unit is a share of 1
    and has a decimal point: a `1` could stand on a scale of five.

    Returns:
        None unless there is exactly one statement, in range: a text that speaks of confidence a
        second time may well say something else.
    """
    alone = _ALONE.fullmatch(text.strip())
    if alone:
        return _stated(float(alone["number"]) / 100)
    if len(_MENTION.findall(text)) != 1 or not (found := _STATED.search(text)):
        return None
    unit = (found["unit"] or "").replace(" ", "")
    if not unit and "." not in found["number"]:
        return None
    whole = {"": 1, "%": 100, "/10": 10, "/100": 100}[unit]
    return _stated(float(found["number"]) / whole)


def auxiliary(value: object) -> Estimate:
    """Return the answer of a model of the user's own.

    Raises:
        ValueError: it is no number in [0, 1].
    """
    return Estimate(_confidence(value, "the answer of the auxiliary model"), "auxiliary")


def _stated(value: float) -> Estimate | None:
    return Estimate(value, "verbalised") if value <= 1 else None


def _share(call: ToolCall, plans: Sequence[Iterable[ToolCall]], source: str) -> Estimate | None:
    if not plans:
        return None
    same = sum(any(same_call(call, one) for one in plan) for plan in plans)
    return Estimate(same / len(plans), source)


def _equal(one: Any, other: Any) -> bool:
    try:
        return canonical(one) == canonical(other)
    except InvalidCall:
        return False


def _spans(call: ToolCall, tokens: Sequence[Token]) -> list[list[int]]:
    """Return, for each place where the call stands, the indices of its tokens."""
    text = "".join(token for token, _ in tokens)
    spans = []
    for name, args in _places(call, text):
        at, found = 0, []
        for index, (token, _) in enumerate(tokens):
            end = at + len(token)
            if any(at < part.stop and end > part.start for part in (name, args)):
                found.append(index)
            at = end
        spans.append(found)
    return spans


def _places(call: ToolCall, text: str) -> Iterator[tuple[range, range]]:
    """Give where name and arguments stand: the first object after a name, the name next to it."""
    named: dict[int, range] = {}
    start = -1
    for found in re.finditer(rf"(?<![\w-]){re.escape(call.tool)}(?![\w-])", text):
        if start < found.end() and (start := text.find("{", found.end())) < 0:
            break
        named[start] = range(*found.span())
    if len(named) > _TRIES:
        return
    decode = json.JSONDecoder().raw_decode
    for start, name in named.items():
        try:
            args, end = decode(text, start)
        except (ValueError, RecursionError):
            continue
        if _equal(args, call.args):
            yield name, range(start, end)


def _mean(logprobs: Sequence[float], span: Sequence[int]) -> float:
    return math.fsum(logprobs[at] for at in span) / len(span)


def _logprob(value: object) -> float:
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else _float(value)
    if not number <= 0:
        raise ValueError("a log-probability is a number of at most 0")
    return max(number, _IMPOSSIBLE)


def _confidence(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{what} is a number from 0 to 1, this one a `{type(value).__name__}`")  # noqa: TRY004
    number = _float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{what} is a number from 0 to 1, not {number}")
    return abs(number)  # no negative zero


def _float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan  # an integer beyond every float: no confidence, and no logarithm of one
