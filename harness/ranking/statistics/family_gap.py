"""One family of methods against another: the difference of the configurations that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harness.ranking.statistics.differences import (
    Difference,
    corrected_bounds,
    paired_difference,
    unpaired_error,
)
from harness.ranking.statistics.intervals import has_no_spread, pooled_std

_NAN = float("nan")


@dataclass(frozen=True)
class Representative:
    """The configuration that stands for a family; numbers, or arrays with one element a board."""

    mean: ArrayLike
    std: ArrayLike
    """Over its own students."""
    n: ArrayLike
    """Its students."""
    pooled_std: ArrayLike
    """Over the students of all of its family's configurations."""
    degrees: ArrayLike
    """Degrees of freedom of `pooled_std`."""
    candidates: ArrayLike
    """Configurations it was chosen from."""

    @property
    def variance(self) -> NDArray[np.float64]:
        """Squared standard error of the mean: that of the family, never below its own, so that an unstable
        configuration cannot hide behind stable ones.
        """
        larger = np.maximum(np.asarray(self.std, dtype=float), np.asarray(self.pooled_std, dtype=float))
        return np.asarray(larger**2 / np.asarray(self.n))


def family_interval(
    a: Representative, b: Representative, *, sentences: ArrayLike = 1, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(low, high, p) of the difference a - b of two chosen configurations, which holds for so many `sentences`
    at once and whether the choice was made by the compared scores or by others of the same students.

    The bound against which a is ahead is Bonferroni-corrected for a's candidates, the other for b's. Choosing
    among b's candidates the one that scores best only raises b, and so cannot make a seem ahead. For choices
    by dev scores this needs that a student's dev score does not fall as its reported one rises.
    """
    count = np.asarray(sentences, dtype=float)
    error, degrees = unpaired_error(a.variance, a.degrees, b.variance, b.degrees)
    return corrected_bounds(
        np.asarray(a.mean, dtype=float) - np.asarray(b.mean, dtype=float),
        error,
        degrees,
        questions_low=count * np.asarray(a.candidates),
        questions_high=count * np.asarray(b.candidates),
        confidence=confidence,
    )


@dataclass(frozen=True)
class FamilyComparison:
    """Difference a - b of two families, in the unit of the scores."""

    a: str
    b: str
    candidates: tuple[int, int]
    """Complete configurations of a and of b, from which those compared were chosen; those that a selection by
    dev scores dropped before count, too."""
    left_out: int
    """Incomplete configurations of either family, which take no part."""
    sentences: int
    """Comparisons of families that the interval holds for at once."""
    confidence: float
    no_interval_because: str = ""
    """Empty where there is an interval."""
    configurations: tuple[str, str] = ("", "")
    """Those that stand for a and b; empty where a family has no complete one."""
    seeds: tuple[int, int] = (0, 0)
    """Their students; without them the most of any complete configuration."""
    difference: float = _NAN
    """NaN where a family has no complete configuration."""
    low: float = _NAN
    high: float = _NAN
    """Bounds of the interval (see `family_interval`); NaN where there is none."""
    p: float = _NAN
    """Two-sided, corrected like the interval."""
    paired: Difference | None = None
    """The same two configurations by the seeds they share, corrected for all pairs of candidates; None where
    their students are not known one by one."""

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
    chosen: Mapping[str, str] | None = None,
    sentences: int = 1,
    students: Mapping[str, pd.Series] | None = None,
    confidence: float = 0.95,
) -> FamilyComparison:
    """Difference between the best configurations of families `a` and `b` on a mean over fixed tasks;
    replicates are distilled students.

    `table`: as from `scores_table`, with a column `tried` where a row was the best of so many by dev scores;
    `family_of`: config_id to family. Only rows that are `complete` take part.
    `chosen`: family to the config_id that dev scores picked; default: the best by the scores compared. Either
    way the choice is corrected for, since dev and reported scores are of the same students. `students`:
    config_id to its students' scores by seed.
    """
    family = table["config_id"].map(family_of)
    sides = [table[table["complete"] & (family == name)] for name in (a, b)]
    left_out = int((family.isin([a, b]) & ~table["complete"]).sum())
    comparison = FamilyComparison(
        a,
        b,
        (_tried(sides[0]), _tried(sides[1])),
        left_out,
        sentences,
        confidence,
        seeds=(_most_seeds(sides[0]), _most_seeds(sides[1])),
    )
    for name, side in zip((a, b), sides, strict=True):
        if side.empty:
            return replace(comparison, no_interval_because=f"{name} has no complete configuration")
    picked = [_picked(side, name, chosen) for name, side in zip((a, b), sides, strict=True)]
    comparison = replace(
        comparison,
        configurations=(str(picked[0]["config_id"]), str(picked[1]["config_id"])),
        seeds=(int(picked[0]["n"]), int(picked[1]["n"])),
        difference=float(picked[0]["mean"] - picked[1]["mean"]),
        no_interval_because=_no_interval(sides, picked),
    )
    return _paired(_with_interval(comparison, sides, picked), students or {})


def _tried(side: pd.DataFrame) -> int:
    return int(side["tried"].sum()) if "tried" in side else len(side)


def _most_seeds(side: pd.DataFrame) -> int:
    return 0 if side.empty else int(side["n"].max())


def _picked(side: pd.DataFrame, family: str, chosen: Mapping[str, str] | None) -> pd.Series:
    """The row that stands for `family`."""
    if chosen is None:
        return side.nlargest(1, "mean").iloc[0]
    named = side[side["config_id"] == chosen.get(family)]
    if named.empty:
        raise ValueError(
            f"the configuration chosen for {family}, {chosen.get(family)}, is not among its complete ones"
        )
    return named.iloc[0]


def _no_interval(sides: list[pd.DataFrame], picked: list[pd.Series]) -> str:
    if min(int(row["n"]) for row in picked) < 2:
        return "one seed"
    several = [side[side["n"] > 1] for side in sides]
    flat = [has_no_spread(side["std"], side["mean"]).all() for side in several]
    return "students that all score the same" if all(flat) else ""


def _with_interval(
    comparison: FamilyComparison, sides: list[pd.DataFrame], picked: list[pd.Series]
) -> FamilyComparison:
    if comparison.no_interval_because:
        return comparison
    a, b = (_representative(row, side) for row, side in zip(picked, sides, strict=True))
    bounds = family_interval(a, b, sentences=comparison.sentences, confidence=comparison.confidence)
    low, high, p = (float(value) for value in bounds)
    return replace(comparison, low=low, high=high, p=p)


def _representative(row: pd.Series, side: pd.DataFrame) -> Representative:
    pooled, degrees = pooled_std(side["std"].to_numpy(dtype=float), side["n"].to_numpy())
    return Representative(row["mean"], row["std"], row["n"], pooled, degrees, _tried(side))


def _paired(comparison: FamilyComparison, students: Mapping[str, pd.Series]) -> FamilyComparison:
    if not all(name in students for name in comparison.configurations):
        return comparison
    first, second = (students[name] for name in comparison.configurations)
    questions = comparison.sentences * comparison.candidates[0] * comparison.candidates[1]
    paired = paired_difference(first, second, confidence=comparison.confidence, questions=questions)
    return replace(comparison, paired=paired)
