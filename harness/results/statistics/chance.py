"""Is a score better than chance, and is one suspiciously worse?"""

from __future__ import annotations

import math

import pandas as pd
from scipy import special

from harness.results.statistics.holm import holm

SUSPICIOUS = 0.001
"""One-sided p below which a score under chance is flagged; a broken label map, not bad luck, is then the
likely cause.
"""


def above_chance(counts: pd.DataFrame, chance: float, alpha: float = 0.05) -> pd.DataFrame:
    """Exact one-sided binomial test of accuracy > `chance` for each row, Holm-corrected over all rows.

    `counts`: one row a language (or task) with `correct` and `n` examples. Returns it with accuracy, p,
    p_holm, above_chance. Assumes examples independent of each other; languages may depend on each other in
    any way.
    """
    result = counts.copy()
    result["accuracy"] = result["correct"] / result["n"]
    result["p"] = [
        _tail(c, n, chance, "greater") for c, n in zip(result["correct"], result["n"], strict=True)
    ]
    result["p_holm"] = holm(result["p"])
    result["above_chance"] = result["p_holm"] < alpha
    return result


def far_below_chance(correct: int, n: int, chance: float) -> bool:
    """Whether an accuracy of `correct` / `n` lies below `chance` with an exact one-sided binomial p under
    0.001.
    """
    return _tail(correct, n, chance, "less") < SUSPICIOUS


def correlation_far_below_zero(value: float, n: int) -> bool:
    """The same for a correlation (Matthews, Pearson, Spearman) of `n` examples: below 0 with a one-sided p
    under 0.001.

    Without any relation (r + 1) / 2 follows Beta(n/2 - 1, n/2 - 1): exact for Pearson on normal data, else an
    approximation good enough to flag by. NaN, and fewer than ten examples, are never flagged.
    """
    if math.isnan(value) or n < 10:
        return False
    return bool(special.betainc(n / 2 - 1, n / 2 - 1, (value + 1) / 2) < SUSPICIOUS)


def _tail(correct: int, n: int, chance: float, alternative: str) -> float:
    from scipy import stats  # slow to import, and few need it

    if not 0 < chance < 1:
        raise ValueError(f"chance is a share between 0 and 1, got {chance}")
    return float(stats.binomtest(int(correct), int(n), chance, alternative=alternative).pvalue)
