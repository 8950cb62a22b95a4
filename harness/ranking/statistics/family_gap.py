"""One family of methods against another, as numbers and as a sentence that claims no more than they do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from harness.ranking.statistics.intervals import has_no_spread, pooled_std, t_p_value, t_quantile

By = Literal["best", "mean"]


_NAN = float("nan")


@dataclass(frozen=True)
class WelchDifference:
    """A difference of means with its interval, difference -+ half_width."""

    difference: float
    half_width: float
    p: float
    """Two-sided."""
    no_interval_because: str
    """Empty, or why half_width and p are NaN."""


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
    candidates_a: int
    candidates_b: int
    """How many complete configurations the best was chosen from."""
    seeds_a: int
    seeds_b: int
    """Fewest students of a configuration compared."""
    corrected_for: int
    """Number of pairs of candidates the interval holds for at once; 1 where nothing was chosen on these scores."""
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
    table: pd.DataFrame,
    family_of: Mapping[str, str],
    a: str,
    b: str,
    *,
    by: By = "best",
    chosen: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> FamilyComparison:
    """Difference between families `a` and `b` on a mean over fixed tasks; replicates are distilled students.

    `table`: as from `scores_table`; `family_of`: config_id to family. Only configurations all of whose
    students are complete take part. by="mean": the unweighted mean over the family's configurations, which
    count as given. by="best": the family's best configuration. `chosen` (family to config_id) names one that
    was picked without these scores, on dev say. Otherwise it is picked by the very scores compared, and the
    interval is Bonferroni-corrected over all pairs of candidates, which makes it hold whichever is picked: at
    least `confidence`, usually more. The interval is that of `welch_difference`."""
    family = table["config_id"].map(family_of)
    mine = family.isin([a, b])
    left_out = tuple(table.loc[mine & ~table["complete"], "config_id"])
    sides = [table[table["complete"] & (family == side)] for side in (a, b)]
    candidates = (len(sides[0]), len(sides[1]))
    for name, side in zip((a, b), sides, strict=True):
        if side.empty:
            why = f"{name} has no configuration with every task"
            return _nothing(a, b, by, candidates, left_out, confidence, why)
    pairs = 1
    if by == "best":
        if chosen is None:
            pairs = candidates[0] * candidates[1]
            sides = [side.nlargest(1, "mean") for side in sides]
        else:
            sides = [_named(side, chosen, name) for name, side in zip((a, b), sides, strict=True)]
    welch = welch_difference(sides[0], sides[1], 1 - (1 - confidence) / pairs)
    return FamilyComparison(
        a=a,
        b=b,
        by=by,
        difference=welch.difference,
        low=welch.difference - welch.half_width,
        high=welch.difference + welch.half_width,
        p=welch.p if math.isnan(welch.p) else min(1.0, welch.p * pairs),
        candidates_a=candidates[0],
        candidates_b=candidates[1],
        seeds_a=int(sides[0]["n"].min()),
        seeds_b=int(sides[1]["n"].min()),
        corrected_for=pairs,
        left_out=left_out,
        confidence=confidence,
        no_interval_because=welch.no_interval_because,
    )


def welch_difference(a: pd.DataFrame, b: pd.DataFrame, confidence: float = 0.95) -> WelchDifference:
    """Mean of the means of the rows of `a` minus that of `b`; both are rows of a scores table (n, mean, std).

    Rows are independent and count as given. The rows of one side share a variance, pooled over them; the two sides
    do not (Welch 1947): squared standard error v = s^2 sum(1 / n) / rows^2 of each side, degrees of freedom (v_a +
    v_b)^2 / (v_a^2 / df_a + v_b^2 / df_b) with df = sum(n - 1). One row against one is Welch's t interval.
    """
    difference = float(a["mean"].mean() - b["mean"].mean())
    variances, degrees, flat = [], [], []
    for side in (a, b):
        n, std = side["n"].to_numpy(), side["std"].to_numpy(dtype=float)
        if (n < 2).any():
            return WelchDifference(difference, _NAN, _NAN, "one seed")
        spread, freedom = pooled_std(std, n)
        variances.append(spread**2 * (1 / n).sum() / len(n) ** 2)
        degrees.append(freedom)
        flat.append(bool(has_no_spread(std, side["mean"]).all()))
    if all(flat):
        return WelchDifference(difference, _NAN, _NAN, "students that all score the same")
    error = math.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / sum(v**2 / df for v, df in zip(variances, degrees, strict=True))
    p = float(t_p_value(difference / error, freedom))
    return WelchDifference(difference, float(t_quantile(confidence, freedom)) * error, p, "")


def family_sentence(comparison: FamilyComparison, suite: str) -> str:
    """`comparison` in one sentence, in points (hundredths of the score), claiming no more than the interval does."""
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
    """What was compared, where a family has more than one configuration or an incomplete one."""
    notes = []
    if (c.candidates_a, c.candidates_b) != (1, 1):
        verb = "mean" if c.by == "mean" else "best"
        notes.append(f"{verb} of {c.candidates_a} {c.a} against {verb} of {c.candidates_b} {c.b}")
    if c.left_out:
        notes.append(f"{len(c.left_out)} incomplete left out")
    return f" ({'; '.join(notes)})" if notes else ""


def _named(side: pd.DataFrame, chosen: Mapping[str, str], family: str) -> pd.DataFrame:
    row = side[side["config_id"] == chosen.get(family)]
    if row.empty:
        raise ValueError(
            f"the configuration chosen for {family}, {chosen.get(family)}, is not among its complete ones"
        )
    return row


def _nothing(
    a: str,
    b: str,
    by: By,
    candidates: tuple[int, int],
    left_out: tuple[str, ...],
    confidence: float,
    why: str,
) -> FamilyComparison:
    return FamilyComparison(a, b, by, _NAN, _NAN, _NAN, _NAN, *candidates, 0, 0, 1, left_out, confidence, why)
