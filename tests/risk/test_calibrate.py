from __future__ import annotations

import json
import math
import re
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hitl_agent.risk import MAX_KNOTS, Identity, Isotonic, Platt, Temperature, read_calibrator

RAW = st.floats(0, 1)


@st.composite
def isotonic(draw):
    xs = sorted(draw(st.lists(RAW, min_size=1, max_size=8, unique=True)))
    ys = sorted(draw(st.lists(RAW, min_size=len(xs), max_size=len(xs))))
    return Isotonic(tuple(zip(xs, ys, strict=True)))


positive = st.floats(0, exclude_min=True, allow_nan=False, allow_infinity=False)
finite = st.floats(allow_nan=False, allow_infinity=False)
calibrators = st.one_of(
    st.just(Identity()),
    st.builds(Temperature, positive | st.floats(0.1, 10)),
    st.builds(Platt, st.just(0) | positive | st.floats(0.1, 10), finite | st.floats(-5, 5)),
    isotonic(),
)


@given(calibrators, RAW, RAW)
def test_every_calibrator_gives_a_confidence_and_keeps_the_order(calibrator, one, other):
    low, high = sorted((one, other))
    assert 0 <= calibrator.apply(low) <= calibrator.apply(high) <= 1


@given(calibrators, RAW)
def test_neighbours_are_kept_in_order_too(calibrator, raw):
    after = min(math.nextafter(raw, 2), 1)
    assert calibrator.apply(raw) <= calibrator.apply(after)


@given(calibrators)
def test_a_calibrator_is_stored_as_json_and_read_again(calibrator):
    assert read_calibrator(json.loads(json.dumps(calibrator.to_json()))) == calibrator
    assert hash(read_calibrator(calibrator.to_json())) == hash(calibrator)


@given(calibrators, st.sampled_from([math.nan, math.inf, -0.1, 1.1, True, "0.5", None, 10**400]))
def test_what_is_no_confidence_is_refused(calibrator, bad):
    with pytest.raises(ValueError, match="a confidence is a"):
        calibrator.apply(bad)


def test_identity_changes_nothing():
    assert Identity().apply(0.3) == 0.3


@given(positive)
def test_a_temperature_leaves_what_is_certain(temperature):
    calibrator = Temperature(temperature)
    assert calibrator.apply(0) == 0
    assert calibrator.apply(1) == 1
    assert calibrator.apply(0.5) == 0.5


@given(st.floats(0.01, 0.99), st.floats(1, 20))
def test_a_temperature_above_one_brings_confidence_nearer_to_the_middle(raw, temperature):
    calibrated = Temperature(temperature).apply(raw)
    assert abs(calibrated - 0.5) <= abs(raw - 0.5) + 1e-12
    assert Temperature(1 / temperature).apply(calibrated) == pytest.approx(raw)


def test_temperature_and_platt_by_hand():
    # the odds of 0.8 are 4; the root of it is 2, and 2 to 1 is two thirds
    assert Temperature(2).apply(0.8) == pytest.approx(2 / 3)
    assert Platt(0.5, 0).apply(0.8) == pytest.approx(2 / 3)
    assert Platt(1, math.log(3)).apply(0.5) == pytest.approx(0.75)
    assert Platt(0, 0).apply(0) == Platt(0, 0).apply(1) == 0.5
    assert (Platt(1, 5).apply(0), Platt(1, -5).apply(1)) == (0, 1)


def test_isotonic_runs_straight_between_knots_and_level_beyond_them():
    calibrator = Isotonic(((0.2, 0.1), (0.4, 0.3), (0.8, 0.3), (0.9, 1)))
    expected = {0: 0.1, 0.2: 0.1, 0.3: 0.2, 0.4: 0.3, 0.6: 0.3, 0.8: 0.3, 0.85: 0.65, 0.9: 1, 1: 1}
    for raw, value in expected.items():
        assert calibrator.apply(raw) == pytest.approx(value)
    assert Isotonic(((0.5, 0.7),)).apply(0) == Isotonic(((0.5, 0.7),)).apply(1) == 0.7


@given(isotonic())
def test_isotonic_goes_through_its_knots(calibrator):
    for x, y in calibrator.knots:
        assert calibrator.apply(x) == y


@given(isotonic(), RAW, RAW)
def test_isotonic_never_leaves_the_two_knots_around(calibrator, share, raw):
    assume(len(calibrator.knots) > 1)
    ys = [y for _, y in calibrator.knots]
    assert ys[0] <= calibrator.apply(raw) <= ys[-1]


def test_a_list_of_lists_becomes_what_cannot_be_changed():
    knots = [[0, 0], [Fraction(1, 2), 1]]
    calibrator = Isotonic(knots)
    knots[1][1] = 5
    assert calibrator.knots == ((0.0, 0.0), (0.5, 1.0))


T, P, I = "temperature", "platt", "isotonic"  # noqa: E741


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a calibrator is a mapping with a `kind`"),
        ({}, "`kind` of a calibrator is missing; write one of `identity`, `temperature`, `platt`"),
        ({"kind": "beta"}, "`kind` of a calibrator is `beta`; write one of `identity`"),
        ({"kind": None}, "`kind` of a calibrator is a `NoneType`; write one of"),
        ({"kind": ["platt"]}, "`kind` of a calibrator is a `list`; write one of"),
        ({"kind": "x" * 99}, f"`kind` of a calibrator is `{'x' * 60}…`; write"),
        ({"kind": "a\x1b\u202eb"}, r"is `a\x1b\u202eb`; write"),
        ({"kind": "identity", "a": 1}, "unknown key `a`; a calibrator `identity` has nothing else"),
        ({"kind": T}, "`temperature` is missing; a calibrator `temperature` has `temperature`"),
        ({"kind": P, "a": 1}, "`b` is missing; a calibrator `platt` has `a` and `b`"),
        ({"kind": P, "a": 1, "b": 1, "B": 1}, "unknown key `B`; a calibrator `platt` has"),
        ({"kind": P, "a": 1, "b": 1, 5: 1}, "unknown key a `int`; a calibrator `platt` has"),
        ({"kind": T, "temperature": 0}, "`temperature` is above 0, this one is 0.0"),
        ({"kind": T, "temperature": -1}, "`temperature` is above 0, this one is -1.0"),
        ({"kind": T, "temperature": True}, "`temperature` is a finite number, not a `bool`"),
        ({"kind": T, "temperature": "1"}, "`temperature` is a finite number, not `1`"),
        ({"kind": T, "temperature": 10**400}, "`temperature` is a finite number, not a `int`"),
        ({"kind": T, "temperature": math.nan}, "`temperature` is a finite number, not `nan`"),
        ({"kind": P, "a": -0.1, "b": 0}, "`a` is at least 0, this one is -0.1"),
        ({"kind": P, "a": 1, "b": math.inf}, "`b` is a finite number, not `inf`"),
        ({"kind": P, "a": None, "b": 0}, "`a` is a finite number, not a `NoneType`"),
        ({"kind": I, "knots": []}, "`knots` is a list of 1 to 10,000 pairs of numbers"),
        ({"kind": I, "knots": "ab"}, "`knots` is a list of 1 to 10,000 pairs of numbers"),
        ({"kind": I, "knots": [[0, 0]] * (MAX_KNOTS + 1)}, "`knots` is a list of 1 to 10,000"),
        ({"kind": I, "knots": [[0, 0, 0]]}, "each of `knots` is a pair of numbers from 0 to 1"),
        ({"kind": I, "knots": ["01"]}, "each of `knots` is a pair of numbers from 0 to 1"),
        ({"kind": I, "knots": [[0, True]]}, "a number of `knots` is a finite number, not a `bool`"),
        ({"kind": I, "knots": [[0, 1.5]]}, "from 0 to 1, not 0.0 and 1.5"),
        ({"kind": I, "knots": [[-1, 0]]}, "from 0 to 1, not -1.0 and 0.0"),
        (
            {"kind": I, "knots": [[0.5, 0], [0.5, 1]]},
            "the first numbers of `knots` increase; 0.5 follows 0.5",
        ),
        (
            {"kind": I, "knots": [[0, 0.5], [1, 0.4]]},
            "the second numbers of `knots` never decrease; 0.4 follows 0.5",
        ),
    ],
)
def test_what_is_no_calibrator_is_refused_with_what_to_write(data, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_calibrator(data)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_whatever_a_parameter_is_nothing_but_a_refusal_comes_of_it(value):
    for kind, names in (("temperature", ["temperature"]), ("platt", "ab"), ("isotonic", ["knots"])):
        try:
            calibrator = read_calibrator({"kind": kind, **dict.fromkeys(names, value)})
        except ValueError:
            continue
        assert 0 <= calibrator.apply(0.7) <= 1
