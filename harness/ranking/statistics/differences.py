"""The difference of two configurations: its t interval over students, unpaired or paired by seed.

The functions on variances take numbers or arrays of one shape, so that what is simulated is what is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harness.ranking.statistics.intervals import has_no_spread, t_p_value, t_quantile

FEWEST_PAIRS = 2
"""Seeds that two configurations must share before they are paired."""
_NAN = float("nan")


@dataclass(frozen=True)
class Difference:
    """Mean of a minus mean of b, in the unit of the scores, with an interval for several questions at once."""

    difference: float
    low: float
    high: float
    """Bounds of the interval; NaN where there is none."""
    p: float
    """Two-sided, corrected like the interval: below 1 - confidence where the interval excludes 0."""
    seeds: tuple[int, int]
    """Students of a and of b."""
    test: str
    """`unpaired` (Welch's t) or `paired` (t on differences of the same seed)."""
    no_interval_because: str = ""
    """Empty where there is an interval."""

    @property
    def separable(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def unpaired_difference(
    a: pd.Series, b: pd.Series, *, confidence: float = 0.95, questions: float = 1
) -> Difference:
    """Welch's t interval between two rows of a scores table (n, mean, std), Bonferroni-corrected for so many
    `questions`. See `unpaired_error` for the degrees of freedom.
    """
    seeds = (int(a["n"]), int(b["n"]))
    difference = float(a["mean"] - b["mean"])
    because = _no_interval(a, b)
    if because:
        return Difference(difference, _NAN, _NAN, _NAN, seeds, "unpaired", because)
    variances = [float(side["std"]) ** 2 / n for side, n in zip((a, b), seeds, strict=True)]
    error, freedom = unpaired_error(variances[0], seeds[0] - 1, variances[1], seeds[1] - 1)
    return _interval(difference, float(error), float(freedom), seeds, "unpaired", confidence, questions)


def paired_difference(
    a: pd.Series, b: pd.Series, *, confidence: float = 0.95, questions: float = 1
) -> Difference:
    """t interval of the mean of a - b over the seeds that both have (Student 1908), Bonferroni-corrected for
    so many `questions`. `a`, `b`: one score a seed, indexed by seed; missing and undefined ones are dropped.
    """
    apart = (a - b).dropna().to_numpy(dtype=float)
    n = len(apart)
    mean = float(apart.mean()) if n else _NAN
    if n < FEWEST_PAIRS:
        because = "one seed in common" if n else "no seed in common"
        return Difference(mean, _NAN, _NAN, _NAN, (n, n), "paired", because)
    std = float(apart.std(ddof=1))
    if has_no_spread(std, max(np.abs(a).max(), np.abs(b).max())):
        because = "students that all differ by the same"
        return Difference(mean, _NAN, _NAN, _NAN, (n, n), "paired", because)
    return _interval(mean, std / math.sqrt(n), n - 1, (n, n), "paired", confidence, questions)


def unpaired_error(
    variance_a: ArrayLike, degrees_a: ArrayLike, variance_b: ArrayLike, degrees_b: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard error of a difference of two independent means, and its degrees of freedom.

    `variance_*`: squared standard error of each mean, estimated with `degrees_*`. The degrees are one fewer than
    Welch's and Satterthwaite's (Welch 1947), but no fewer than the smaller of the two given: theirs are too
    many far out in the tails, where corrected intervals end, if one of the means varies much more than the
    other.
    """
    a, b = np.asarray(variance_a, dtype=float), np.asarray(variance_b, dtype=float)
    of_a, of_b = np.asarray(degrees_a, dtype=float), np.asarray(degrees_b, dtype=float)
    welch = (a + b) ** 2 / (a**2 / of_a + b**2 / of_b)
    return np.sqrt(a + b), np.maximum(np.minimum(of_a, of_b), welch - 1)


def corrected_bounds(
    difference: ArrayLike,
    error: ArrayLike,
    degrees: ArrayLike,
    *,
    questions_low: ArrayLike = 1,
    questions_high: ArrayLike = 1,
    confidence: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(low, high, p) of a t interval whose bounds are each corrected (Bonferroni) for so many questions.

    `p` is two-sided and corrected for the questions of the bound that lies towards 0, so that it is below
    1 - confidence just where the interval excludes 0.
    """
    d, s = np.asarray(difference, dtype=float), np.asarray(error, dtype=float)
    below, above = np.asarray(questions_low, dtype=float), np.asarray(questions_high, dtype=float)
    low = d - t_quantile(1 - (1 - confidence) / below, degrees) * s
    high = d + t_quantile(1 - (1 - confidence) / above, degrees) * s
    p = np.minimum(1.0, t_p_value(d / s, degrees) * np.where(d > 0, below, above))
    return low, high, p


def _no_interval(a: Any, b: Any) -> str:
    if math.isnan(a["mean"] - b["mean"]):
        return "no complete student"
    if min(a["n"], b["n"]) < 2:
        return "one seed"
    if has_no_spread(a["std"], a["mean"]) and has_no_spread(b["std"], b["mean"]):
        return "students that all score the same"
    return ""


def _interval(
    difference: float,
    error: float,
    freedom: float,
    seeds: tuple[int, int],
    test: str,
    confidence: float,
    questions: float,
) -> Difference:
    low, high, p = corrected_bounds(
        difference, error, freedom, questions_low=questions, questions_high=questions, confidence=confidence
    )
    return Difference(difference, float(low), float(high), float(p), seeds, test)
