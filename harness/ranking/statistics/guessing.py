"""Which scores show that anything was learnt?"""

from __future__ import annotations

import pandas as pd

from harness.kinds.chance import p_above
from harness.ranking.statistics.holm import holm_within

ALPHA = 0.01
"""Chance of calling even one of a row's scores on a task better than guessing where none is."""

AT_GUESSING = (
    "no better than the best guess without a look at the inputs "
    f"(one-sided, {100 * ALPHA:g} % after Holm's correction over the languages of a task)"
)
"""How such a score is described to readers."""


def better_than_guessing(cells: pd.DataFrame) -> pd.DataFrame:
    """Of each row, task and language whether its score is above what the best guess without a look at the inputs
    comes to, at 1 % after Holm's correction over the languages of one row's task.

    `cells`: one row a model, task and language with row_id, task, language, value, n, no_information. Returns
    row_id, task, language, value, p, p_holm, better; without those whose level of guessing is not known (F1). The
    mean of several models is tested as if it were one model's score, which is the cautious side. Examples are
    taken to be independent; languages may depend on each other in any way.
    """
    known = cells[cells["no_information"].notna() & cells["value"].notna()]
    scores = known.groupby(["row_id", "task", "language"], observed=True, sort=False, as_index=False).agg(
        value=("value", "mean"), n=("n", "min"), no_information=("no_information", "max")
    )
    scores["p"] = p_above(scores["value"], scores["n"], scores["no_information"])
    scores["p_holm"] = holm_within(scores["p"], [scores["row_id"], scores["task"]])
    return scores.assign(better=scores["p_holm"] < ALPHA).drop(columns=["n", "no_information"])
