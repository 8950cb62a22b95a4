"""Correction for several tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.multitest import multipletests


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm-corrected p values, shape as given: step-down, monotone, at most 1.

    Rejecting where the result is below alpha keeps the chance of even one false rejection below alpha,
    however the tests depend on each other (Holm 1979). A NaN is a test that could not be made: it stays NaN
    and is not counted, which is safe as it is never rejected.
    """
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(p.shape, np.nan)
    made = ~np.isnan(p)
    if made.any():
        corrected[made] = multipletests(p[made], method="holm")[1]
    return corrected
