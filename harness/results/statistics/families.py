"""One family of methods against another, as numbers and as an honest sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from harness.results.statistics.intervals import has_no_spread, t_quantile
from harness.results.statistics.scores import scores_table

By = Literal["best", "mean"]


@dataclass(frozen=True)
class FamilyComparison:
    """Difference a - b of two families, in the unit of the scores."""

    a: str
    b: str
    by: By
    difference: float
    """NaN where a family has no complete configuration."""
    low: float
    high: float
    """Bounds of the interval, NaN where there is none (see `no_interval_because`)."""
    p: float
    """Two-sided, corrected like the interval."""
    configurations_a: tuple[str, ...]
    configurations_b: tuple[str, ...]
    """The configurations compared: the best one, or all of the family."""
    candidates_a: int
    candidates_b: int
    """How many complete configurations the best was chosen from."""
    seeds_a: int
    seeds_b: int
    """Fewest students of a configuration compared."""
    corrected_for: int
    """Number of pairs of candidates the interval holds for at once; 1 where nothing was chosen on these
    scores.
    """
    left_out: tuple[str, ...]
    """Configurations of either family with a student that lacks a task."""
    confidence: float
    no_interval_because: str
    """Empty where there is an interval."""

    @property
    def half_width(self) -> float:
        """Half the interval's width; NaN without an interval."""
        return (self.high - self.low) / 2

    @property
    def separable(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def compare_families(
    students: pd.DataFrame,
    family_of: Mapping[str, str],
    a: str,
    b: str,
    tasks: Sequence[str] | None = None,
    *,
    by: By = "best",
    chosen: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> FamilyComparison:
    """Difference between families `a` and `b` on a mean over fixed tasks; replicates are distilled students.

    `students`: as from `student_means`; `family_of`: config_id to family. Only configurations all of whose
    students are complete take part. by="mean": the unweighted mean over the family's configurations, which
    count as given. by="best": the family's best configuration. `chosen` (family to config_id) names one that
    was picked without these scores, on dev say. Otherwise it is picked by the very scores compared, and the
    interval is Bonferroni-corrected over all pairs of candidates, which makes it hold whichever is picked: at
    least `confidence`, usually more. The interval is Welch's: variances of the configurations estimated
    separately, degrees of freedom by Satterthwaite.
    """
    board = sorted(students["task"].unique()) if tasks is None else tasks
    mine = students[students["config_id"].map(family_of).isin([a, b])]
    if mine.empty:
        return _nothing(a, b, by, (0, 0), (), confidence, f"neither {a} nor {b} has scores")
    table = scores_table(mine, board)
    left_out = tuple(table.loc[~table["complete"], "config_id"])
    complete = table[table["complete"]]
    sides = [complete[complete["config_id"].map(family_of) == family] for family in (a, b)]
    candidates = (len(sides[0]), len(sides[1]))
    for family, side in zip((a, b), sides, strict=True):
        if side.empty:
            return _nothing(
                a, b, by, candidates, left_out, confidence, f"{family} has no configuration with every task"
            )
    pairs = 1
    if by == "best":
        if chosen is None:
            pairs = candidates[0] * candidates[1]
            sides = [side.head(1) for side in sides]  # the table is sorted, best first
        else:
            sides = [_named(side, chosen, family) for family, side in zip((a, b), sides, strict=True)]
    difference, half, p, reason = _welch(sides[0], sides[1], 1 - (1 - confidence) / pairs)
    return FamilyComparison(
        a,
        b,
        by,
        difference,
        difference - half,
        difference + half,
        min(1.0, p * pairs) if not math.isnan(p) else p,
        tuple(sides[0]["config_id"]),
        tuple(sides[1]["config_id"]),
        *candidates,
        int(sides[0]["n"].min()),
        int(sides[1]["n"].min()),
        pairs,
        left_out,
        confidence,
        reason,
    )


def family_sentence(comparison: FamilyComparison, suite: str) -> str:
    """`comparison` in one sentence, in points (hundredths of the score), claiming no more than the interval
    does.
    """
    c = comparison
    if math.isnan(c.difference):
        return f"{c.a} and {c.b} cannot be compared on {suite}: {c.no_interval_because}."
    ahead, behind = (c.a, c.b) if c.difference >= 0 else (c.b, c.a)
    what = _selection(c)
    if math.isnan(c.half_width):
        size = f"{100 * abs(c.difference):.1f}"
        start = (
            f"{ahead} scores {size} points above {behind}"
            if float(size)
            else f"{c.a} and {c.b} score the same"
        )
        return f"{start} on {suite}{what}; {c.no_interval_because}: no interval."
    decimals = 1 if 100 * c.half_width >= 0.1 else 2
    size, width = (f"{100 * abs(x):.{decimals}f}" for x in (c.difference, c.half_width))
    seeds = f"{c.seeds_a} seeds" if c.seeds_a == c.seeds_b else f"{c.seeds_a} and {c.seeds_b} seeds"
    if c.separable:
        return f"{ahead} is ahead of {behind} by {size} ± {width} points on {suite}, {seeds}{what}."
    apart = f"{c.a} and {c.b} cannot be told apart on {suite}"
    return f"{apart}: {ahead} {size} ± {width} points above {behind}, {seeds}{what}."


def _selection(c: FamilyComparison) -> str:
    """What was compared, where a family has more than one configuration."""
    if c.candidates_a == c.candidates_b == 1:
        return ""
    if c.by == "mean":
        return f" (mean of {c.candidates_a} configurations against mean of {c.candidates_b})"
    return f" (best of {c.candidates_a} against best of {c.candidates_b})"


def _named(side: pd.DataFrame, chosen: Mapping[str, str], family: str) -> pd.DataFrame:
    row = side[side["config_id"] == chosen.get(family)]
    if row.empty:
        raise ValueError(
            f"the configuration chosen for {family}, {chosen.get(family)}, is not among its complete ones"
        )
    return row


def _welch(a: pd.DataFrame, b: pd.DataFrame, confidence: float) -> tuple[float, float, float, str]:
    """(difference of mean of means, half-width, p, why there is no interval)."""
    difference = float(a["mean"].mean() - b["mean"].mean())
    nan = float("nan")
    both = pd.concat([a, b])
    if (both["n"] < 2).any():
        return difference, nan, nan, "one seed"
    if has_no_spread(both["std"], both["mean"]).all():
        return difference, nan, nan, "students that all score the same"
    weights = np.concatenate([np.full(len(side), len(side) ** -2.0) for side in (a, b)])
    parts = weights * both["std"].to_numpy() ** 2 / both["n"].to_numpy()
    degrees = parts.sum() ** 2 / (parts**2 / (both["n"].to_numpy() - 1)).sum()
    error = math.sqrt(parts.sum())
    return (
        difference,
        float(t_quantile(confidence, degrees)) * error,
        float(2 * stats.t.sf(abs(difference) / error, degrees)),
        "",
    )


def _nothing(
    a: str,
    b: str,
    by: By,
    candidates: tuple[int, int],
    left_out: tuple[str, ...],
    confidence: float,
    reason: str,
) -> FamilyComparison:
    nan = float("nan")
    return FamilyComparison(
        a, b, by, nan, nan, nan, nan, (), (), *candidates, 0, 0, 1, left_out, confidence, reason
    )
