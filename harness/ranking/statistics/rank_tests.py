"""Rank tests over tasks: tasks are the blocks, configurations the treatments (Demsar 2006).

Input everywhere: `means`, frame (configurations, tasks) as from `task_means`, without NaN. Higher is better;
rank 1 is the best. Scores nearer than 1e-9 are tied, so that the order of a sum decides nothing.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.ranking.statistics.holm import holm

TIE_DECIMALS = 9


@dataclass(frozen=True)
class Friedman:
    """Whether any configuration differs from the others in its ranks over the tasks."""

    statistic: float
    """Chi-square with the correction for ties; NaN with fewer than three configurations, or if all are tied
    on every task.
    """
    p: float
    average_ranks: pd.Series
    """Per configuration, the mean over tasks of its rank in [1, configurations]."""
    critical_difference: float
    """Nemenyi's: average ranks farther apart than this differ at `alpha`."""
    alpha: float


def average_ranks(means: pd.DataFrame) -> pd.DataFrame:
    """Rank of each configuration on each task; ties share the average of their ranks."""
    return pd.DataFrame(_ranks(means), index=means.index, columns=means.columns)


def friedman(means: pd.DataFrame, alpha: float = 0.05) -> Friedman:
    """Friedman's test over tasks (chi-square approximation) and Nemenyi's critical difference q(alpha, M,
    inf) / sqrt(2) * sqrt(M (M + 1) / (6 K)) for M configurations and K tasks (Demsar 2006, section 3.2.2).
    """
    from scipy import stats  # slow to import, and few need it

    ranks = _ranks(means)
    configurations, tasks = ranks.shape
    if configurations >= 3 and (ranks != ranks[0]).any():
        statistic, p = (float(x) for x in stats.friedmanchisquare(*-ranks))
    else:
        statistic = p = float("nan")
    critical = float("nan")
    if configurations >= 2:
        q = stats.studentized_range.ppf(1 - alpha, configurations, np.inf)
        critical = float(q / np.sqrt(2) * np.sqrt(configurations * (configurations + 1) / (6 * tasks)))
    return Friedman(statistic, p, pd.Series(ranks.mean(axis=1), index=means.index), critical, alpha)


def wilcoxon_pairs(means: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Wilcoxon's signed-rank test over tasks for every pair of configurations, two-sided, Holm-corrected over all pairs.

    Exact without zeros and ties; with them zeros are dropped and p is the normal approximation with tie
    correction and without continuity correction. Returns a, b, mean_difference (a - b), W (the smaller rank
    sum), n_nonzero, p, p_holm, reject. Six tasks are the fewest at which one pair can reach 5 % at all,
    whatever the scores.
    """
    rows = []
    for a, b in itertools.combinations(means.index, 2):
        difference = (means.loc[a] - means.loc[b]).to_numpy(dtype=float)
        w, p, nonzero = _signed_rank(np.round(difference, TIE_DECIMALS))
        rows.append((a, b, float(difference.mean()), w, nonzero, p))
    pairs = pd.DataFrame(rows, columns=["a", "b", "mean_difference", "W", "n_nonzero", "p"])
    pairs["p_holm"] = holm(pairs["p"])
    pairs["reject"] = pairs["p_holm"] < alpha
    return pairs


def _signed_rank(difference: NDArray[np.float64]) -> tuple[float, float, int]:
    """(W, p, differences that are not 0); all zero is W = 0, p = 1."""
    from scipy import stats  # slow to import, and few need it

    sizes = np.abs(difference[difference != 0])
    if not len(sizes):
        return 0.0, 1.0, 0
    exact = len(sizes) == len(difference) and len(np.unique(sizes)) == len(sizes)
    test = stats.wilcoxon(
        difference, zero_method="wilcox", correction=False, method="exact" if exact else "asymptotic"
    )
    return float(test.statistic), float(test.pvalue), len(sizes)


def _ranks(means: pd.DataFrame) -> NDArray[np.float64]:
    values = np.round(means.to_numpy(dtype=float), TIE_DECIMALS)
    if np.isnan(values).any():
        raise ValueError("ranks need a score of every configuration on every task")
    return pd.DataFrame(-values).rank().to_numpy()
