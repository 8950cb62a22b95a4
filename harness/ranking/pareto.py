"""Which rows are worth their cost."""

from __future__ import annotations

import pandas as pd


def pareto_front(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows with a higher `mean` than every row of lower or equal `cost`, cheapest first.

    Of rows that tie in both, all but the first are left out. Rows without a mean or a cost take no part.
    """
    known = rows.dropna(subset=["mean", cost]).sort_values(
        [cost, "mean"], ascending=[True, False], kind="stable"
    )
    best_before = known["mean"].cummax().shift(fill_value=float("-inf"))
    return known[known["mean"] > best_before]


def best_within(rows: pd.DataFrame, cost: str, budget: float) -> pd.DataFrame:
    """The rows that cost at most `budget`, best mean first."""
    return (
        rows[rows[cost] <= budget].dropna(subset="mean").sort_values("mean", ascending=False, kind="stable")
    )
