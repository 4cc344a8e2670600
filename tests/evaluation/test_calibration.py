"""Thousands of recorded answers of language models: what their stated confidence is worth."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import random
import sys
from collections import defaultdict
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import fmean

import pytest

from hitl_agent.risk import Isotonic, Platt, Temperature, read_calibrator

DATA = Path(os.environ.get("HITL_EVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
ANSWERS = DATA / "llm_confidence_dev.csv.gz"
BINS = 10
SEEDS = range(5)
SOURCES = ("stated_confidence", "chosen_token_confidence")

pytestmark = [
    pytest.mark.skipif(
        not ANSWERS.is_file(),
        reason=f"no evaluation data: `{ANSWERS}` is not there; set HITL_EVAL_DATA",
    ),
    pytest.mark.slow,
]


@cache
def answers(source):
    """Confidence and whether the answer was right, for each model, where there is a confidence."""
    found = defaultdict(list)
    with gzip.open(ANSWERS, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row[source]:
                found[row["llm"]].append((float(row[source]), int(row["correct"])))
    return dict(found)


def halves(pairs, seed):
    """Two halves, drawn by lot: in one of the sets right and wrong answers take turns."""
    mixed = random.Random(seed).sample(pairs, len(pairs))
    return mixed[::2], mixed[1::2]


def error(pairs):
    """Expected calibration error: how far confidence is from the share that is right.

    Over bins of equal width, weighted by how many answers are in them.
    """
    bins = defaultdict(list)
    for confidence, correct in pairs:
        bins[min(int(confidence * BINS), BINS - 1)].append(confidence - correct)
    return sum(abs(math.fsum(inside)) for inside in bins.values()) / len(pairs)


def log_loss(calibrator, counted):
    total = 0.0
    for confidence, (wrong, right) in counted.items():
        p = min(max(calibrator.apply(confidence), 1e-9), 1 - 1e-9)
        total -= right * math.log(p) + wrong * math.log1p(-p)
    return total


def counts(pairs):
    """How many were wrong and right at each confidence; 0 and 1 are drawn in by a hair.

    A temperature cannot move what is certain, and one wrong answer would say all.
    """
    counted = defaultdict(lambda: [0, 0])
    for confidence, correct in pairs:
        counted[round(min(max(confidence, 0.001), 0.999), 3)][correct] += 1
    return counted


def fitted_temperature(pairs):
    counted = counts(pairs)
    return min(
        (Temperature(1.15**power) for power in range(-15, 31)), key=lambda c: log_loss(c, counted)
    )


def fitted_platt(pairs):
    """Search a grid, then a finer one around the best."""
    counted = counts(pairs)
    a, b, step = 1.0, 0.0, 1.0
    for _ in range(7):
        a, b = min(
            (
                (max(a + i * step / 2, 0.0), b + j * step)
                for i in range(-3, 4)
                for j in range(-3, 4)
            ),
            key=lambda ab: log_loss(Platt(*ab), counted),
        )
        step /= 2
    return Platt(a, b)


def fitted_isotonic(pairs):
    """Pool adjacent violators: neighbours that are out of order share their mean."""
    pools = []  # of one confidence or more: the confidences, how many are right, how many
    for confidence, same in groupby(sorted(pairs), key=lambda pair: pair[0]):
        right = [correct for _, correct in same]
        pools.append(([confidence], sum(right), len(right)))
        while len(pools) > 1 and pools[-2][1] * pools[-1][2] >= pools[-1][1] * pools[-2][2]:
            (x, r, n), (y, s, m) = pools[-2:]
            pools[-2:] = [(x + y, r + s, n + m)]
    knots = {}
    for confidences, right, count in pools:
        knots |= dict.fromkeys((confidences[0], confidences[-1]), right / count)
    return Isotonic(tuple(sorted(knots.items())))


FITTED = {
    "temperature": fitted_temperature,
    "platt": fitted_platt,
    "isotonic": fitted_isotonic,
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", FITTED)
def test_a_calibrator_fitted_on_one_half_lowers_the_error_on_the_other(
    source, kind, record_property, capsys
):
    lines = []
    for model, pairs in sorted(answers(source).items()):
        errors = []
        for seed in SEEDS:
            fit_on, rest = halves(pairs, seed)
            stored = json.dumps(FITTED[kind](fit_on).to_json())
            calibrator = read_calibrator(json.loads(stored))
            before = error(rest)
            after = error([(calibrator.apply(one), correct) for one, correct in rest])
            errors.append((before, after))
        assert all(after < before for before, after in errors), (model, errors)
        told = " to ".join(f"{fmean(each):.3f}" for each in zip(*errors, strict=True))
        record_property(f"{source} {kind} {model}", told)
        lines.append(f"{model} {told} ({len(pairs)} answers)")
    with capsys.disabled():
        sys.stdout.write(f"\ncalibration error, {source}, {kind}: {'; '.join(lines)}\n")


def test_the_error_by_hand():
    assert error([(1.0, 1), (0.0, 0)]) == 0
    assert error([(1.0, 0)]) == 1
    # 0.85 where 1 of 2 is right, 0.25 where none is
    assert error([(0.85, 1), (0.85, 0), (0.25, 0)]) == pytest.approx((2 * 0.35 + 0.25) / 3)
