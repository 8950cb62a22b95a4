"""The ranking: one row per configuration, with its uncertainty, what it keeps of its teacher, and what it
costs.

    snapshot = load(store)                                  # once per state of the database
    board = ranking(snapshot, Filters(suite="GLUE"))        # as often as a reader turns a knob
    board.table

Scores are averaged over metrics, then fine-tuning seeds, then languages inside one task, then tasks inside
one student, then students inside one configuration; never across configurations. What is compared, and how
surely, is `harness.results.statistics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from harness.results import statistics
from harness.results.scope import (
    FAMILIES,
    TEACHERS,
    Filters,
    Scope,
    matching,
    scoped,
    scored,
    scores_of,
)
from harness.results.snapshot import Snapshot

EVERYTHING = Filters()


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A ranking and what it was made of."""

    table: pd.DataFrame
    """One row per configuration, best first, teachers after the ranked rows; columns in
    `docs/statistics.md` and `COLUMNS`.
    """
    tasks: tuple[str, ...]
    """The tasks every mean is over."""
    languages: dict[str, tuple[str, ...]]
    """Task -> languages its score is the mean over."""
    students: pd.DataFrame
    """row_id as config_id, distil_seed, task, value: one row per student (or teacher) and complete task."""
    cells: pd.DataFrame
    """The scores behind it, one row per model, task and language."""
    rank_test: str
    above: pd.DataFrame
    """Square, by config_id: whether the row is definitely above the column."""
    groups: tuple[tuple[str, ...], ...]
    """Runs of neighbours that cannot be told apart."""
    other_protocols: dict[str, int]
    """Task -> models left out because they were scored under another fine-tuning protocol."""

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Rows that take part in the ranking (incomplete ones without a rank)."""
        return self.table[~self.table["role"].isin(TEACHERS)]

    @cached_property
    def references(self) -> pd.DataFrame:
        """The teachers, as prepared and as shipped."""
        return self.table[self.table["role"].isin(TEACHERS)]

    @cached_property
    def per_task(self) -> pd.DataFrame:
        """config_id × task: n, mean, low, high (long form)."""
        if self.students.empty:
            return pd.DataFrame(columns=["config_id", "task", "mean"])
        return statistics.cell_summary(self.students)


def ranking(snapshot: Snapshot, filters: Filters = EVERYTHING) -> Leaderboard:
    """Rank the configurations that `filters` let through."""
    scope = scoped(snapshot, filters)
    models = matching(snapshot.models, filters)
    wanted = set(models.index) | _teachers_of(snapshot.models, models)
    padded = scope.padded[scope.padded["model_key"].isin(wanted)]
    table, ranked = _table(scope, padded, filters)
    table = table.drop(columns="missing").join(scope.about, on="config_id")
    return Leaderboard(
        table=_with_family_ranks(table),
        tasks=scope.tasks,
        languages=scope.required,
        students=scope.students[scope.students["model_key"].isin(wanted)],
        cells=scope.cells[scope.cells["model_key"].isin(wanted)],
        rank_test=ranked.test if ranked else "",
        above=_square(ranked),
        groups=ranked.groups if ranked else (),
        other_protocols=scope.other_protocols,
    )


def _teachers_of(everything: pd.DataFrame, models: pd.DataFrame) -> set[str]:
    """Keys of the teachers of these models, and of theirs."""
    parent = everything["teacher_key"].dropna()
    found: set[str] = set()
    level = set(models["teacher_key"].dropna())
    while level - found:
        found |= level
        level = {parent[key] for key in level if key in parent.index}
    return found


def _table(
    scope: Scope, students: pd.DataFrame, filters: Filters
) -> tuple[pd.DataFrame, statistics.Ranking | None]:
    """Means, intervals and ranks of `students`; teachers are summarised but not ranked."""
    teaching = students["role"].isin(TEACHERS)
    references = scores_of(students[teaching], scope.tasks)
    competing = students[~teaching]
    if competing.empty or not scope.tasks:
        return references, None
    if filters.pooled:
        scores = scores_of(competing, scope.tasks, pooled=True)
    else:
        scores = scope.scores[scope.scores["config_id"].isin(competing["config_id"])]
    ranked = statistics.rank(scores, pooled=filters.pooled)
    return pd.concat([ranked.table, references], ignore_index=True), ranked


def _with_family_ranks(table: pd.DataFrame) -> pd.DataFrame:
    ranked = ~table["role"].isin(TEACHERS) & table["mean"].notna()
    means = table.loc[ranked, "mean"].astype(float).round(9)
    within = (-means).groupby(table.loc[ranked, "family"]).rank(method="min")
    return table.assign(family_rank=within.reindex(table.index).astype("Int64"))


def _square(ranked: statistics.Ranking | None) -> pd.DataFrame:
    if ranked is None:
        return pd.DataFrame()
    names = ranked.table["config_id"]
    return pd.DataFrame(ranked.above, index=names, columns=names)


def choices(snapshot: Snapshot) -> dict[str, list[str]]:
    """What each filter can be set to: suite, task, evaluation, student, teacher, language, family."""
    seen = scored(snapshot.models, snapshot.cells)
    found = {column: sorted(seen[column].dropna().unique()) for column in ("student", "teacher", "language")}
    families = set(seen["family"].dropna())
    found["family"] = [family for family in FAMILIES if family in families]
    # suites with more ranked models first: the first is the default
    students = snapshot.cells[~snapshot.cells["role"].isin(TEACHERS)]
    source = students if len(students) else snapshot.cells
    found["suite"] = list(
        source.groupby("suite", observed=True)["model_key"]
        .nunique()
        .sort_values(ascending=False, kind="stable")
        .index
    )
    found["task"] = sorted(snapshot.cells["task"].astype(str).unique())
    found["evaluation"] = sorted(snapshot.cells["language"].astype(str).unique())
    return found
