"""Which rows are worth their cost, and how far the data tell the best from the next."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.counted import counted
from harness.ranking import statistics


@dataclass(frozen=True, eq=False)
class Best:
    """The best row within a budget."""

    row: pd.Series
    """Best by mean of the complete rows; of all rows where none is complete."""
    ties: pd.DataFrame
    """The other rows that cannot be told from it, best mean first."""
    incomplete: int
    """Rows within the budget that lost seeds or lack a task; they take no part where there are complete ones."""


def pareto_front(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows with a higher `mean` than every row of lower or equal `cost`, cheapest first.

    Of rows that tie in both, all but the first are left out. Rows without a mean or a cost take no part, nor
    do incomplete ones.
    """
    known = rows[rows["complete"].astype(bool)].dropna(subset=["mean", cost])
    known = known.sort_values([cost, "mean"], ascending=[True, False], kind="stable")
    best_before = known["mean"].cummax().shift(fill_value=float("-inf"))
    return known[known["mean"] > best_before]


def best_within(
    rows: pd.DataFrame, cost: str, budget: float, *, tested: pd.DataFrame | None = None
) -> Best | None:
    """The best of the rows that cost at most `budget`, with those that cannot be told from it; None where nothing
    fits.

    Two rows are told apart as in `statistics.rank`, corrected over all pairs of rows within the budget. A row with
    one student is told from nothing. `tested`: the rows that are corrected for, where `rows` were chosen among them.
    """
    fitting = rows[rows[cost] <= budget].dropna(subset="mean")
    if fitting.empty:
        return None
    whole = fitting["complete"].astype(bool)
    shown = fitting[whole] if whole.any() else fitting
    others = _competing(rows if tested is None else tested, cost, budget)
    ranks = statistics.among(
        statistics.rank(pd.concat([shown, others]).drop_duplicates("config_id")), shown["config_id"]
    )
    apart = ranks.above[0]
    return Best(ranks.table.iloc[0], ranks.table[1:][~apart[1:]], int((~whole).sum()))


def _competing(rows: pd.DataFrame, cost: str, budget: float) -> pd.DataFrame:
    """The complete rows within the budget."""
    return rows[(rows[cost] <= budget) & rows["complete"].astype(bool)].dropna(subset="mean")


def answer_in_words(best: Best, label: str, tied: list[str]) -> str:
    """`**od · 6L-384**, 81.2 ± 1.1 points, 3 seeds; not told apart from it: ...`. `tied`: labels of the ties."""
    row = best.row
    span = f" ± {50 * (row['high'] - row['low']):.1f}" if pd.notna(row["low"]) else ""
    seeds = counted(row["n"], "seed")
    parts = [f"**{label}**, {100 * row['mean']:.1f}{span} points, {seeds}"]
    if row["constant"]:
        parts.append("the same student for every seed")
    elif row["n"] == 1:
        parts.append("one trained student: another seed may reverse it")
    if tied:
        more = f" and {len(tied) - MOST_TIES} more" if len(tied) > MOST_TIES else ""
        parts.append(f"not told apart from it: {', '.join(tied[:MOST_TIES])}{more}")
    if not row["complete"]:
        parts.append(f"incomplete ({row['lost'] or row['missing']})")
    if best.incomplete and row["complete"]:
        parts.append(f"{best.incomplete} incomplete left out")
    return "; ".join(parts)


MOST_TIES = 5
"""Ties that are named."""
