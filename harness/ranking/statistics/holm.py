"""Correction for several tests at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
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
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p.flat[tested], kind="stable")]
    corrected = np.full(p.shape, np.nan)
    factors = np.arange(len(order), 0, -1) + larger
    corrected.flat[order] = np.minimum(np.maximum.accumulate(factors * p.flat[order]), 1.0)
    return corrected


def holm_within(p_values: pd.Series, families: list[pd.Series]) -> pd.Series:
    """`holm` of the tests that share a value in every one of `families`, index as given."""
    ordered = p_values.sort_values(kind="stable")
    names = [family.reindex(ordered.index) for family in families]
    by_family = ordered.groupby(names, observed=True, sort=False)
    left = by_family.transform("count") - by_family.cumcount()
    stepped = (ordered * left).groupby(names, observed=True, sort=False).cummax()
    return stepped.clip(upper=1.0).reindex(p_values.index)
