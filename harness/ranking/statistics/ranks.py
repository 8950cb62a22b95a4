"""Ranks that say how far the data can tell configurations apart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from harness.counted import counted
from harness.ranking.statistics.holm import holm
from harness.ranking.statistics.intervals import has_no_spread, pooled_std, t_p_value

TIE_DECIMALS = 9


@dataclass(frozen=True, eq=False)
class Ranks:
    """Configurations in order, with everything the order is worth."""

    table: pd.DataFrame
    """The scores table, best mean first, with `rank`, `best_rank`, `worst_rank` (nullable integers, none
    without a mean) and `not_separable_because` (empty, or why this row cannot be told from any other).
    """
    above: NDArray[np.bool_]
    """(rows, rows) in the order of `table`: whether the row is definitely above the column."""
    groups: tuple[tuple[str, ...], ...]
    """Configurations that cannot be told apart: each maximal run of neighbours in the ranking in which no
    two are separable."""
    test: str
    """The test, in words, with the number of pairs that could be tested and were corrected for."""


def rank(table: pd.DataFrame, *, alpha: float = 0.05, pooled: bool = False) -> Ranks:
    """Rank ranges from a table as `scores_table` makes it (config_id, n, mean, std and what else it holds).

    i is *definitely above* j if its mean is higher and the difference is significant at `alpha` after Holm's
    correction over all pairs tested: Welch's t test on student scores, or with one variance common to all
    rows if `pooled`. Then best_rank = 1 + number definitely above, worst_rank = ranked rows - number
    definitely below, and the family-wise error of all the statements together is at most `alpha`. `rank` is
    by mean, equal means (to 1e-9) sharing the best of their ranks. Rows that are not `complete` come after
    those that are and are definitely above nothing: the students that are left may be the lucky ones. Not
    separable from anything: a row with one student, and, without pooling, one of two whose students all score
    the same, since such a row shows no variance to test with. A row that is `constant` (a column that may be
    absent: the same student for every seed) counts as a known number, so that it is told from others by a
    one-sample t over their students, and from another such row never.
    """
    ordered = table.sort_values(
        ["complete", "mean", "config_id"],
        ascending=[False, False, True],
        na_position="last",
        ignore_index=True,
    )
    mean, std, n = (ordered[column].to_numpy() for column in ("mean", "std", "n"))
    constant = (
        ordered["constant"].to_numpy(dtype=bool) if "constant" in ordered else np.zeros(len(n), dtype=bool)
    )
    above, tested = definitely_above(
        mean.astype(float), std.astype(float), n.astype(int), alpha, pooled, constant
    )
    above[~ordered["complete"].to_numpy(dtype=bool)] = False
    why_not = np.select(
        [
            n == 0,
            (n == 1) & ~constant,
            has_no_spread(std, mean) if not pooled else np.zeros(len(n), dtype=bool),
        ],
        ["no complete student", "one student: its spread is unknown", "its students all score the same"],
        default="",
    )
    test = (
        "pooled-variance t" if pooled else "Welch's t"
    ) + f" on student scores, two-sided, Holm over {counted(tested, 'pair')}, {alpha:.0%}"
    return _ranged(ordered.assign(not_separable_because=why_not), above, test)


def among(ranks: Ranks, rows: Collection[str]) -> Ranks:
    """Only `rows`, with ranks and ranges among themselves. What is definitely above what stays as tested, and as corrected
    for all pairs of `ranks`, so that it holds however `rows` were chosen."""
    kept = ranks.table["config_id"].isin(rows).to_numpy()
    return _ranged(ranks.table[kept].reset_index(drop=True), ranks.above[np.ix_(kept, kept)], ranks.test)


def _ranged(ordered: pd.DataFrame, above: NDArray[np.bool_], test: str) -> Ranks:
    """With ranks and their ranges; rows in order, `above` as in `Ranks`."""
    table = ordered.copy()
    ranked = int(table["mean"].notna().sum())
    whole = table["complete"].to_numpy(dtype=bool)
    place = _places(table["mean"].to_numpy(dtype=float)[:ranked], whole[:ranked], len(table))
    has_rank = np.arange(len(table)) < ranked
    for column, value in (
        ("rank", place),
        ("best_rank", 1 + above.sum(axis=0)),
        ("worst_rank", ranked - above.sum(axis=1)),
    ):
        table[column] = pd.array(np.where(has_rank, value, np.nan), dtype="Float64").astype("Int64")
    return Ranks(table, above, _groups(table["config_id"].tolist()[:ranked], above), test)


def _places(mean: NDArray[np.float64], whole: NDArray[np.bool_], rows: int) -> NDArray[np.float64]:
    """Place of each ranked row: by mean among the complete ones, then among the others; NaN for `rows` beyond."""
    place = np.full(rows, np.nan)
    scores = -np.round(mean, TIE_DECIMALS)
    for group, before in ((whole, 0), (~whole, int(whole.sum()))):
        place[: len(mean)][group] = before + pd.Series(scores[group]).rank(method="min").to_numpy()
    return place


def definitely_above(
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    n: NDArray[np.int64],
    alpha: float = 0.05,
    pooled: bool = False,
    constant: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], int]:
    """Whether the row is definitely above the column (see `rank`), and how many pairs could be tested.

    `mean`, `std`, `n`, `constant`: shape (rows,), over students; returns shape (rows, rows).
    """
    above = np.zeros((len(mean), len(mean)), dtype=bool)
    known = np.zeros(len(mean), dtype=bool) if constant is None else constant & (n > 0)
    rows = np.flatnonzero((n > 1) | known)
    if len(rows) < 2:
        return above, 0
    first, second = (rows[index] for index in np.triu_indices(len(rows), k=1))
    degrees: NDArray[np.float64]
    weight = np.where(known, np.inf, n)  # a known number has no error
    if pooled:
        spread, common = pooled_std(std, n)
        estimated = not has_no_spread(spread, np.abs(mean[rows]).max())
        testable = ~(known[first] & known[second]) & estimated
        i, j = first[testable], second[testable]
        error, degrees = spread * np.sqrt(1 / weight[i] + 1 / weight[j]), np.full(len(i), float(common))
    else:
        spreads = np.where(known, 0.0, std)
        flat = has_no_spread(spreads, mean)
        testable = ~(flat[first] & flat[second])
        i, j = first[testable], second[testable]
        error, degrees = welch_error(spreads[i], weight[i], spreads[j], weight[j])
    t = np.abs(mean[i] - mean[j]) / error
    # below the normal quantile no t is significant, corrected or not: those p values, all larger, need not be known
    far = t > special.ndtri(1 - alpha / 2)
    i, j = i[far], j[far]
    significant = holm(t_p_value(t[far], degrees[far]), larger=len(t) - len(i)) < alpha
    i, j = i[significant], j[significant]
    swap = mean[i] < mean[j]
    above[np.where(swap, j, i), np.where(swap, i, j)] = True
    return above, int(testable.sum())


def welch_error(
    std_a: NDArray[np.float64],
    n_a: NDArray[np.float64],
    std_b: NDArray[np.float64],
    n_b: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard error of a difference of two means with variances of their own, and Welch and Satterthwaite's
    degrees of freedom (Welch 1947), element by element.
    """
    a, b = std_a**2 / n_a, std_b**2 / n_b
    return np.sqrt(a + b), (a + b) ** 2 / (a**2 / (n_a - 1) + b**2 / (n_b - 1))


def _groups(names: list[str], above: NDArray[np.bool_]) -> tuple[tuple[str, ...], ...]:
    """Maximal runs of `names` (best first) in which no two are separable."""
    count = len(names)
    if not count:
        return ()
    apart = np.triu((above | above.T)[:count, :count], k=1)
    first_apart = np.where(apart.any(axis=1), apart.argmax(axis=1), count)
    # a run that starts at i ends before the first row separable from any of its members
    end = np.minimum.accumulate(first_apart[::-1])[::-1]
    starts = [i for i in range(count) if i == 0 or end[i] > end[i - 1]]
    return tuple(tuple(names[i : end[i]]) for i in starts)
