"""Scores against guessing: is a score better, or suspiciously worse?

Two levels, both reached without looking at the inputs: `chance`, of guessing at random, below which only a fault
explains a score; and `no_information`, of the best such guess, which a model that has learnt something exceeds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from harness.kinds.metrics import METRICS

SUSPICIOUS = 1e-4
"""One-sided p below which a score under chance is flagged; a broken label map, not bad luck, is then the likely cause."""

_FEWEST = 10
"""Fewest examples on which a correlation is judged."""


def no_information(metric: str, labels: NDArray[np.generic]) -> float | None:
    """The best score reachable without looking at the inputs, as the metric states it: the share of the commonest class
    for accuracy (the no-information rate), 1/n for the retrieval of one among the n candidates, 0 for a correlation;
    None where it depends on more than that (F1), or where there are no labels."""
    best = METRICS[metric].no_information
    return best(labels) if best is not None and len(labels) else None


def p_above(value: ArrayLike, n: ArrayLike, level: ArrayLike) -> NDArray[np.float64]:
    """One-sided p-value of a score of at least `value` on `n` examples where guessing scores `level`; elementwise.

    A level above 0 belongs to a share of right answers: the exact binomial tail at the whole number of right answers
    nearest to n · value. A level of 0 belongs to a correlation: for unrelated variables (r + 1) / 2 follows
    Beta(n/2 - 1, n/2 - 1), exact for Pearson on normal data, else an approximation. Examples are assumed independent.
    1 for a correlation of fewer than ten examples; NaN where `value` or `level` is NaN.
    """
    score, examples, guess = np.broadcast_arrays(
        np.asarray(value, np.float64), np.asarray(n, np.float64), np.asarray(level, np.float64)
    )
    if np.any((guess < 0) | (guess > 1)):
        raise ValueError("a level of guessing is a share between 0 and 1")
    p = np.full(score.shape, np.nan)
    share, related = (guess > 0) & ~np.isnan(score), (guess == 0) & ~np.isnan(score)
    right = np.rint(examples[share] * score[share])
    p[share] = np.where(
        right == 0, 1.0, special.betainc(np.maximum(right, 1), examples[share] - right + 1, guess[share])
    )
    half = np.maximum(examples[related], _FEWEST) / 2 - 1
    tail = special.betaincc(half, half, (score[related] + 1) / 2)
    p[related] = np.where(examples[related] < _FEWEST, 1.0, tail)
    return p


def far_below_chance(metric: str, value: float, n: int, classes: int) -> bool:
    """Whether a score lies below that of guessing at random with a one-sided p under 1e-4: an accuracy over
    `classes` classes below 1/classes (exact binomial), a correlation of ten examples or more below 0. Never for
    NaN, and for metrics that state no such level (F1, retrieval)."""
    chance = METRICS[metric].chance
    level = None if chance is None else chance(classes)
    if level is None or level >= 1 or math.isnan(value):
        return False
    if level > 0:
        return bool(special.bdtr(round(n * value), n, level) < SUSPICIOUS)
    return n >= _FEWEST and bool(special.betainc(n / 2 - 1, n / 2 - 1, (value + 1) / 2) < SUSPICIOUS)
