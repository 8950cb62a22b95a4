"""Correction for several tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike, larger: int = 0) -> NDArray[np.float64]:
    """Holm-corrected p values, shape as given: step-down, monotone, at most 1.

    Rejecting where the result is below alpha keeps the chance of even one false rejection below alpha,
    however the tests depend on each other (Holm 1979). A NaN is a test that could not be made: it stays NaN
    and is not counted, which is safe as it is never rejected. `larger`: so many tests were made besides, whose p
    values are known to be no smaller than any of these.
    """
    # statsmodels gives the same numbers (a test compares them), but runs the garbage collector at every call
    p = np.asarray(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p.flat[made], kind="stable")]
    corrected = np.full(p.shape, np.nan)
    factors = np.arange(len(order), 0, -1) + larger
    corrected.flat[order] = np.minimum(np.maximum.accumulate(factors * p.flat[order]), 1.0)
    return corrected
