"""Bootstrap intervals of a mean paired difference: two given models, other examples like these.

Source: Efron & Tibshirani 1993, chapters 13 and 16; for few units Hesterberg 2015, section
4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from harness.ranking.statistics.intervals import t_quantile

RESAMPLES = 2000
WIDEST = 0.9999
"""As far out as 10,000 resamples tell."""
SLACK = 1e-12
"""Resampled means this near to a bound count as on it, so that rounding decides nothing."""


@dataclass(frozen=True)
class PairedBootstrap:
    """What resampling says of a mean difference a - b, in the unit of the scores."""

    low: float
    high: float
    """Bounds of the interval; NaN with one unit, which no resampling can vary."""
    p_two_sided_centred: float
    """(1 + number of resamples at least as far from the mean as the mean is from 0) / (resamples + 1). Too
    small with few units: for a claim over tasks use `wilcoxon_pairs`.
    """


def resample_indices(units: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """Indices in [0, units), shape (resamples, units), drawn with replacement by NumPy's PCG64(seed)."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, units, size=(resamples, units))


def bootstrap_means(values: ArrayLike, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of each resample of `values`, shape (..., units): (..., resamples); every row is resampled by
    the same `indices`."""
    return np.asarray(values, dtype=np.float64)[..., indices].mean(axis=-1)


def percentile_interval(
    resampled: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentiles of the last axis that leave (1 - confidence) / 2 on either side, interpolated linearly."""
    tail = 50 * (1 - confidence)
    values = np.asarray(resampled, dtype=np.float64)
    low, high = np.percentile(values, [tail, 100 - tail], axis=-1, method="linear")
    return low, high


def expanded(confidence: float, units: int) -> float:
    """The confidence at which the percentile interval of a mean of `units` numbers is about as wide as their t interval
    of `confidence` (Hesterberg 2015): the percentile interval itself is too narrow for few units. At most WIDEST."""
    if units < 2:
        return confidence
    bound = np.sqrt(units / (units - 1)) * t_quantile(confidence, np.array([units - 1]))
    return min(WIDEST, float(1 - 2 * special.ndtr(-bound[0])))


def paired_bootstrap(
    differences: ArrayLike, indices: NDArray[np.int64], *, confidence: float = 0.95
) -> PairedBootstrap:
    """Bootstrap of the mean of `differences`, shape (units,).

    The percentile interval is too narrow for few units: 74 % instead of 95 % at 3, 89 % at 10.
    """
    d = np.asarray(differences, dtype=np.float64)
    mean, resampled = float(d.mean()), bootstrap_means(d, indices)
    low, high = (float(bound) for bound in percentile_interval(resampled, confidence))
    if len(d) < 2:
        low = high = float("nan")
    as_far = np.abs(resampled - mean) >= abs(mean) - SLACK
    return PairedBootstrap(
        low=low,
        high=high,
        p_two_sided_centred=(1 + int(as_far.sum())) / (len(resampled) + 1),
    )
