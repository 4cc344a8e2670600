"""What a confidence is worth: calibrators that were fitted elsewhere, read and applied.

Each maps [0, 1] to [0, 1] and never ranks two confidences the other way round. A calibrator
belongs to the source whose confidences it was fitted to.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any, TypeAlias

MAX_KNOTS = 10_000
"""Most knots of an isotonic calibrator."""

_LOWEST = -700.0
"""Below this, exp(-x) is beyond what a float holds, and exp(x) is the sigmoid of x."""

_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Identity:
    """Takes confidence for what it is."""

    def apply(self, raw: float) -> float:
        """Return the confidence itself.

        Raises:
            ValueError: it is no number in [0, 1].
        """
        return _checked(raw)

    def to_json(self) -> dict[str, Any]:
        """Return what `read_calibrator` reads."""
        return {"kind": "identity"}


@dataclass(frozen=True, slots=True)
class Temperature:
    """Divides the log-odds: sigmoid(logit(p) / T); 0 stays 0 and 1 stays 1.

    Temperature scaling (Guo and others, On Calibration of Modern Neural Networks, 2017), of a
    single probability.

    Attributes:
        temperature: above 0; above 1 it makes less of a confidence, below 1 more.

    Raises:
        ValueError: it is no finite number above 0.
    """

    temperature: float

    def __post_init__(self) -> None:
        value = _finite(self.temperature, "`temperature`")
        if value <= 0:
            raise ValueError(f"`temperature` is above 0, this one is {value}")
        object.__setattr__(self, "temperature", value)

    def apply(self, raw: float) -> float:
        """Return the calibrated confidence.

        Raises:
            ValueError: `raw` is no number in [0, 1].
        """
        return _sigmoid(_logit(_checked(raw)) / self.temperature)

    def to_json(self) -> dict[str, Any]:
        """Return what `read_calibrator` reads."""
        return {"kind": "temperature", "temperature": self.temperature}


@dataclass(frozen=True, slots=True)
class Platt:
    """A logistic curve over the log-odds: sigmoid(a · logit(p) + b).

    Platt scaling (Platt, Probabilistic Outputs for Support Vector Machines, 1999) with the
    log-odds of the confidence in the place of the margin, and `a` without Platt's minus sign.

    Attributes:
        a: slope, at least 0: a confidence never counts against a call. 0 gives every call the
            same.
        b: intercept.

    Raises:
        ValueError: a parameter is no finite number, or `a` is below 0.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        a, b = _finite(self.a, "`a`"), _finite(self.b, "`b`")
        if a < 0:
            raise ValueError(f"`a` is at least 0, this one is {a}")
        object.__setattr__(self, "a", a)
        object.__setattr__(self, "b", b)

    def apply(self, raw: float) -> float:
        """Return the calibrated confidence.

        Raises:
            ValueError: `raw` is no number in [0, 1].
        """
        logit = _logit(_checked(raw))
        # 0 times infinity is NaN
        return _sigmoid((self.a * logit if self.a else 0.0) + self.b)

    def to_json(self) -> dict[str, Any]:
        """Return what `read_calibrator` reads."""
        return {"kind": "platt", "a": self.a, "b": self.b}


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Straight lines through knots, level beyond the first and the last.

    Attributes:
        knots: pairs in [0, 1]: raw confidence, strictly increasing, and what it is worth, never
            decreasing; 1 to `MAX_KNOTS` of them.

    Raises:
        ValueError: the knots are none of this.
    """

    knots: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not isinstance(self.knots, tuple | list) or not 0 < len(self.knots) <= MAX_KNOTS:
            raise ValueError(f"`knots` is a list of 1 to {MAX_KNOTS:,} pairs of numbers")
        knots = tuple(_knot(one) for one in self.knots)
        for (x, y), (next_x, next_y) in pairwise(knots):
            if not x < next_x:
                raise ValueError(f"the first numbers of `knots` increase; {next_x} follows {x}")
            if not y <= next_y:
                raise ValueError(
                    f"the second numbers of `knots` never decrease; {next_y} follows {y}"
                )
        object.__setattr__(self, "knots", knots)

    def apply(self, raw: float) -> float:
        """Return the calibrated confidence.

        Raises:
            ValueError: `raw` is no number in [0, 1].
        """
        raw = _checked(raw)
        after = bisect_right(self.knots, raw, key=lambda knot: knot[0])
        if after == 0 or after == len(self.knots):
            return self.knots[max(after - 1, 0)][1]
        (x, y), (next_x, next_y) = self.knots[after - 1], self.knots[after]
        return min(next_y, y + (next_y - y) * ((raw - x) / (next_x - x)))

    def to_json(self) -> dict[str, Any]:
        """Return what `read_calibrator` reads."""
        return {"kind": "isotonic", "knots": [list(knot) for knot in self.knots]}


Calibrator: TypeAlias = Identity | Temperature | Platt | Isotonic

_KINDS: Mapping[str, tuple[type[Calibrator], tuple[str, ...]]] = {
    "identity": (Identity, ()),
    "temperature": (Temperature, ("temperature",)),
    "platt": (Platt, ("a", "b")),
    "isotonic": (Isotonic, ("knots",)),
}


def read_calibrator(data: Mapping[str, Any]) -> Calibrator:
    """Return the calibrator that `to_json` wrote, or a person in its form.

    Raises:
        ValueError: the kind is unknown, a parameter is missing, unknown or out of range.
    """
    if not isinstance(data, Mapping):
        raise ValueError("a calibrator is a mapping with a `kind`")  # noqa: TRY004
    kinds = ", ".join(f"`{kind}`" for kind in _KINDS)
    if "kind" not in data:
        raise ValueError(f"`kind` of a calibrator is missing; write one of {kinds}")
    kind = data["kind"]
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"`kind` of a calibrator is {_show(kind)}; write one of {kinds}")
    made, names = _KINDS[kind]
    wanted = " and ".join(f"`{name}`" for name in names) or "nothing else"
    for key in data:
        if key != "kind" and key not in names:
            raise ValueError(f"unknown key {_show(key)}; a calibrator `{kind}` has {wanted}")
    for name in names:
        if name not in data:
            raise ValueError(f"`{name}` is missing; a calibrator `{kind}` has {wanted}")
    return made(**{name: data[name] for name in names})


def _knot(pair: object) -> tuple[float, float]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:  # noqa: PLR2004  a pair
        raise ValueError("each of `knots` is a pair of numbers from 0 to 1")
    x, y = (_finite(one, "a number of `knots`") for one in pair)
    if not 0 <= x <= 1 or not 0 <= y <= 1:
        raise ValueError(f"each of `knots` is a pair of numbers from 0 to 1, not {x} and {y}")
    return x, y


def _checked(raw: float) -> float:
    value = _finite(raw, "a confidence")
    if not 0 <= value <= 1:
        raise ValueError(f"a confidence is a number from 0 to 1, not {value}")
    return value


def _finite(value: object, what: str) -> float:
    if not isinstance(value, bool) and isinstance(value, Real):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"{what} is a finite number, not {_show(value)}")


def _logit(p: float) -> float:
    if p in (0, 1):
        return math.copysign(math.inf, p - 0.5)
    return math.log(p) - math.log1p(-p)


def _sigmoid(x: float) -> float:
    # one formula for all that can be: two that meet could differ there in the last digit
    return math.exp(x) if x < _LOWEST else 1 / (1 + math.exp(-x))


def _show(value: object) -> str:
    """Return text or a number in backticks, of anything else its kind."""
    if isinstance(value, str):
        text = repr(value[:_MAX_SHOWN])[1:-1] + ("…" if len(value) > _MAX_SHOWN else "")
        return f"`{text}`"
    return f"`{value}`" if isinstance(value, float) else f"a `{type(value).__name__}`"
