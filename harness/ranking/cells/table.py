"""One choice of configurations in order: each with its uncertainty, what it keeps of its teacher, and what it costs.

Scores are averaged over metrics, then fine-tuning seeds, then languages inside one task, then tasks inside
one student, then students inside one configuration; never across configurations. What is compared, and how
surely, is `harness.ranking.statistics`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.frames import Frames
from harness.ranking.cells.one_setting import one_setting_each
from harness.ranking.cells.scope import TEACHERS, Filters, Scope, matching, scores_of, with_constant

RANKS = ("rank", "best_rank", "worst_rank")


@dataclass(frozen=True, eq=False)
class Ranking:
    """A ranking and what it was made of."""

    table: pd.DataFrame
    """One row per configuration, best first, teachers after the ranked rows; columns in
    `docs/statistics.md` and `COLUMNS`.
    """
    ranks: statistics.Ranks | None
    """The tests behind the order; None without a row to rank."""
    scope: Scope
    """What it was made of, of all models in reach."""
    models: frozenset[str]
    """Keys of the models that are shown, teachers among them."""

    @property
    def rank_test(self) -> str:
        """The test of ranks, in words."""
        return self.ranks.test if self.ranks else ""

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Runs of neighbours that cannot be told apart."""
        return self.ranks.groups if self.ranks else ()

    def level(self, rows: Collection[str]) -> tuple[str, ...]:
        """Of these ranked rows those that the first of them is not definitely above, in order."""
        if self.ranks is None or not len(rows):
            return ()
        ranks = statistics.among(self.ranks, rows)
        others = ranks.table["rank"].notna().to_numpy() & ~ranks.above[0]
        return tuple(ranks.table["config_id"][others].astype(str)[1:])

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks every mean is over."""
        return self.scope.tasks

    @property
    def languages(self) -> dict[str, tuple[str, ...]]:
        """Task -> languages its score is the mean over."""
        return self.scope.required

    @property
    def other_protocols(self) -> dict[str, int]:
        """Task -> models that have scores under another fine-tuning protocol, which are not shown."""
        return self.scope.other_protocols

    @cached_property
    def students(self) -> pd.DataFrame:
        """row_id as config_id, distil_seed, task, value: one row per student (or teacher) and complete task."""
        return self.scope.students[self.scope.students["model_key"].isin(self.models)]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The scores behind it, one row per model, task and language."""
        return self.scope.cells[self.scope.cells["model_key"].isin(self.models)]

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


def rank_rows(frames: Frames, scope: Scope, filters: Filters) -> Ranking:
    """Rank the configurations that `filters` let through, of those in `scope`."""
    models = matching(frames.models, filters)
    shown = frozenset(models.index) | _teachers_of(frames.models, models)
    rows = frames.models.loc[frames.models.index.isin(shown), "row_id"]
    chosen = one_setting_each(scope) if filters.one_setting else None
    table, ranked = _table(scope, rows, filters, None if chosen is None else chosen.index)
    table = table.drop(columns="missing").join(scope.about, on="config_id")
    if chosen is not None:
        table = _with_best_of(table, chosen)
    return Ranking(
        table=_with_family_ranks(table),
        ranks=ranked,
        scope=scope,
        models=shown if chosen is None else shown & _of_rows(frames.models, table["config_id"]),
    )


def _of_rows(models: pd.DataFrame, rows: pd.Series) -> frozenset[str]:
    """Keys of the models of these rows."""
    return frozenset(models.index[models["row_id"].isin(rows)])


def _teachers_of(everything: pd.DataFrame, models: pd.DataFrame) -> frozenset[str]:
    """Keys of the teachers of these models, and of theirs."""
    parent = everything["teacher_key"].dropna()
    teachers: set[str] = set()
    level = set(models["teacher_key"].dropna())
    while level - teachers:
        teachers |= level
        level = {parent[key] for key in level if key in parent.index}
    return frozenset(teachers)


def _table(
    scope: Scope, rows: pd.Series, filters: Filters, shown: pd.Index | None
) -> tuple[pd.DataFrame, statistics.Ranks | None]:
    """Means, intervals and ranks of these rows; teachers are summarised but not ranked. `shown`: those of them that are
    left once all have been tested; None for all."""
    references = scope.references[scope.references["config_id"].isin(rows)]
    scores = scope.scores[scope.scores["config_id"].isin(rows)]
    if scores.empty:
        unranked = dict.fromkeys(RANKS, pd.Series(pd.NA, index=references.index, dtype="Int64"))
        return references.assign(**unranked, not_separable_because=""), None
    if filters.pooled:
        competing = scope.padded["config_id"].isin(scores["config_id"])
        constant = scores.loc[scores["constant"], "config_id"]
        scores = with_constant(scores_of(scope.padded[competing], scope.tasks, pooled=True), constant)
    ranked = statistics.rank(scores, pooled=filters.pooled)
    if shown is not None:
        ranked = statistics.among(ranked, shown)
    return pd.concat([ranked.table, references], ignore_index=True), ranked


def _with_best_of(table: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """With how many settings a row was chosen from, and that it was."""
    counts = table[["config_id"]].join(chosen, on="config_id")
    best = " best of " + counts["tried"].astype("Int64").astype(str) + " settings by dev"
    said = table["variant"].str.replace(r",? ?best of \d+ by dev", "", regex=True)
    several = counts["settings"] > 1
    variant = table["variant"].where(~several, (said + ",").where(said != "", "") + best).str.strip()
    return table.assign(variant=variant, tried=counts["tried"].fillna(table["tried"]).astype(int))


def _with_family_ranks(table: pd.DataFrame) -> pd.DataFrame:
    ranked = ~table["role"].isin(TEACHERS) & table["mean"].notna()
    means = table.loc[ranked, "mean"].astype(float).round(9)
    within = (-means).groupby(table.loc[ranked, "family"]).rank(method="min")
    return table.assign(family_rank=within.reindex(table.index).astype("Int64"))
