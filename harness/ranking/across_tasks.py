"""Are some configurations better on tasks in general? Here tasks are the replicates, not students."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.table import Ranking
from harness.ranking.render import text

FEWEST_CONFIGURATIONS = 3
FEWEST_TASKS = 5


@dataclass(frozen=True, eq=False)
class AcrossTasks:
    """Friedman's test of several configurations over the tasks of a ranking."""

    means: pd.DataFrame
    """(configurations, tasks), as from `statistics.task_means`."""
    friedman: statistics.Friedman

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """`statistics.wilcoxon_pairs` of them."""
        return statistics.wilcoxon_pairs(self.means)

    @property
    def sentence(self) -> str:
        """What the test says, claiming no more than it does."""
        test = self.friedman
        configurations, tasks = self.means.shape
        over = f"the {configurations} configurations over {tasks} tasks"
        if math.isnan(test.p):
            return f"All of {over} score the same, so their ranks cannot differ."
        size = f"Friedman's p {_equals(test.p)}"
        if test.p >= test.alpha:
            return f"Ranks of {over} cannot be told apart ({size})."
        return (
            f"Ranks of {over} differ ({size}); average ranks more than {test.critical_difference:.2f} apart "
            f"differ at {test.alpha:.0%} (Nemenyi's critical difference)."
        )


def _equals(p: float) -> str:
    shown = text.p_value(p)
    return shown if shown.startswith("<") else f"= {shown}"


def across_tasks(ranking: Ranking, rows: Sequence[str] | None = None) -> AcrossTasks | None:
    """The test over `rows`, or over all that are ranked and complete; None for fewer than three configurations or
    five tasks, and where one of `rows` has no student with every task.
    """
    table = ranking.ranked if rows is None else ranking.table
    enough = table["complete"].astype(bool) if rows is None else table["n"] > 0
    complete = table.loc[enough, "config_id"].astype(str).tolist()
    chosen = complete if rows is None else list(rows)
    if not set(chosen) <= set(complete):
        return None
    if len(chosen) < FEWEST_CONFIGURATIONS or len(ranking.tasks) < FEWEST_TASKS:
        return None
    students = ranking.students[ranking.students["config_id"].isin(chosen)]
    means = statistics.task_means(students, ranking.tasks).reindex(chosen)
    return AcrossTasks(means, statistics.friedman(means))
