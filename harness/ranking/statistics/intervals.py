"""Mean, spread and t interval of replicates."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

NO_SPREAD = 1e-9
"""A standard deviation up to this share of the values' size is rounding, not spread."""


def summarise(replicates: ArrayLike, *, confidence: float = 0.95, pooled: bool = False) -> pd.DataFrame:
    """Summary of each row of `replicates`, shape (rows, replicates); NaN is a missing replicate and is dropped.

    Columns: `n` (replicates present), `mean`, `std` (sample, ddof 1), `degrees_of_freedom`, `low` and `high`:
    mean -+ t(df) * s / sqrt(n). `s` is the row's own std with df = n - 1, or, if `pooled`, the square root of
    sum((n_i - 1) s_i^2) / sum(n_i - 1) over all rows with df = sum(n_i - 1), which assumes one common
    variance. With one replicate std and bounds are NaN (also if `pooled`: nothing then tells whether the row
    shares the variance), with none the mean too.
    """
    values = np.asarray(replicates, dtype=np.float64)
    n = (~np.isnan(values)).sum(axis=1)
    sums = np.nansum(values, axis=1)
    mean = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    squares = np.nansum((values - mean[:, None]) ** 2, axis=1)
    variance = np.divide(squares, n - 1, out=np.full(len(n), np.nan), where=n > 1)
    std = np.sqrt(variance)
    spread, degrees = pooled_std(std, n) if pooled else (std, n - 1)
    degrees = np.where(n > 1, degrees, 0)
    half = np.full(len(n), np.nan)
    known = n > 1
    half[known] = (
        t_quantile(confidence, degrees[known]) * np.broadcast_to(spread, n.shape)[known] / np.sqrt(n[known])
    )
    return pd.DataFrame(
        {
            "n": n,
            "mean": mean,
            "std": std,
            "degrees_of_freedom": degrees,
            "low": mean - half,
            "high": mean + half,
        }
    )


def pooled_std(std: NDArray[np.float64], n: NDArray[np.int64]) -> tuple[float, int]:
    """Common standard deviation of rows and its degrees of freedom; rows with fewer than two replicates add
    nothing. (NaN, 0) if none adds.
    """
    degrees = np.where(n > 1, n - 1, 0)
    total = int(degrees.sum())
    squares = np.where(n > 1, degrees * std**2, 0.0).sum()
    return (float(np.sqrt(squares / total)) if total else float("nan")), total


def t_quantile(confidence: ArrayLike, degrees: ArrayLike) -> NDArray[np.float64]:
    """Two-sided t quantile: `confidence` of the t distribution lies within -+ of it."""
    # what scipy.stats calls, too; importing all of that takes longer than a ranking
    quantile: NDArray[np.float64] = special.stdtrit(
        np.asarray(degrees, dtype=float), (1 + np.asarray(confidence)) / 2
    )
    return quantile


def t_p_value(t: ArrayLike, degrees: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p value of a t statistic."""
    p: NDArray[np.float64] = 2 * special.stdtr(np.asarray(degrees, dtype=float), -np.abs(t))
    return p


def has_no_spread(std: ArrayLike, mean: ArrayLike) -> NDArray[np.bool_]:
    """Whether replicates are all equal but for rounding, so that their std tells nothing of the variance."""
    with np.errstate(invalid="ignore"):  # an unknown std is no reason to warn, on processors that do
        return np.asarray(std) <= NO_SPREAD * np.maximum(np.abs(mean), 1e-3)
