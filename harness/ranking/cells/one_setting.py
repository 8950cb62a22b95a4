"""One row a method and student: of the settings that were tried, the one with the best dev scores.

Unlike `harness.ranking.cells.selected` this drops nothing from the board: every setting is tested and corrected for, and a
page shows one of them.
"""

from __future__ import annotations

import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.scope import NAMES, Scope


def one_setting_each(scope: Scope) -> pd.DataFrame:
    """By config_id, the row of each method and student whose setting was chosen: settings (how many rows it was chosen
    from) and tried (with those that a spec's `select:` chose these from).

    Settings compete within a stratum, where they differ in the method's own recipe alone. Those with as many whole students
    as the best-covered one do, so that a lost seed gains nothing; ties go to the lower id. Where no setting has dev scores
    nothing is chosen, and every row stays, as one of one.
    """
    rows = scope.scores[["config_id", "n"]].join(scope.about[[*NAMES, "stratum", "tried"]], on="config_id")
    rows["dev"] = rows["config_id"].map(_dev_means(scope))
    group = rows.groupby([*NAMES, "stratum"], dropna=False, sort=False).ngroup()
    undecided = rows["dev"].isna().groupby(group).transform("all")
    rows["group"] = group.where(~undecided, -1 - rows.index.to_series())
    order = rows.sort_values(["n", "dev", "config_id"], ascending=[False, False, True], na_position="last")
    counts = rows.groupby("group").agg(settings=("config_id", "size"), tried=("tried", "sum"))
    first = order.drop_duplicates("group").set_index("config_id")
    return first[["group"]].join(counts, on="group").drop(columns="group")


def _dev_means(scope: Scope) -> pd.Series:
    """By config_id: mean dev score over tasks, then over students that have every task."""
    if scope.students.empty:
        return pd.Series(dtype=float)
    scores = statistics.student_scores(scope.students.assign(value=scope.students["dev_value"]), scope.tasks)
    return scores.groupby("config_id", observed=True)["score"].mean()
