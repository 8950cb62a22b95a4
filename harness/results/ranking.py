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

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd

from harness.results import statistics
from harness.results.settings import variants
from harness.results.snapshot import Snapshot, measures

TEACHERS = ("prepared", "shipped")
FAMILIES = ("OD", "HS", "MHA", "composite", "control", "external", "teacher")
"""In the order in which they are shown."""
NAMES = ["method", "student", "teacher", "language"]
MEASURES = (
    "parameters",
    "parameters_without_embeddings",
    "flops",
    "latency_ms",
    "throughput",
    "masked_accuracy",
)


@dataclass(frozen=True)
class Filters:
    """Which part of the results is ranked; None or an empty tuple lets everything through."""

    suite: str | None = None
    tasks: tuple[str, ...] = ()
    """Of these tasks only."""
    evaluation: tuple[str, ...] = ()
    """Scores in these languages only."""
    student: tuple[str, ...] = ()
    teacher: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    """Language sets of the distillation corpus."""
    family: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    """Fine-tuning protocols; for a task with none of these, the one that most models were scored under."""
    milestones: bool = False
    """Whether intermediate students are rows, too."""
    pooled: bool = False
    """Whether intervals and tests use one variance common to all configurations."""
    latency_protocol: str | None = None
    fingerprint: str | None = None

    def without_names(self) -> Filters:
        """The same cells, of every model."""
        return replace(self, student=(), teacher=(), language=(), family=())


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
    per_task: pd.DataFrame
    """config_id × task: n, mean, low, high (long form)."""
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


def ranking(snapshot: Snapshot, filters: Filters = Filters()) -> Leaderboard:
    """Rank the configurations that `filters` let through."""
    cells, other = _one_protocol(_in_scope(snapshot.cells, filters), filters.protocols)
    models = _matching(snapshot.models, filters)
    mine = cells[cells["model_key"].isin(models.index[~models["role"].isin(TEACHERS)])]
    required = _required(mine if len(mine) else cells[cells["model_key"].isin(models.index)])
    wanted = set(models.index) | _teachers_of(snapshot.models, models)
    shown = cells[cells["model_key"].isin(wanted)]
    task_values = _task_values(shown, required)
    keyed = task_values.join(snapshot.models[["row_id", "role", "distil_seed"]], on="model_key")
    students = keyed.assign(config_id=keyed["row_id"], distil_seed=keyed["distil_seed"].fillna(0))
    students = students[["config_id", "distil_seed", "model_key", "role", "task", "value", "dev_value"]]
    present = _scored(snapshot.models, shown)
    tasks = tuple(sorted(required))
    table, ranked = _table(students, present, tasks, filters)
    table = _with_names(table, snapshot, present)
    table = _with_retention(table, students, snapshot, tasks)
    table = _with_gaps(table, shown, required)
    table = table.join(measures(snapshot, filters.latency_protocol, filters.fingerprint), on="config_id")
    for column in MEASURES:
        if column not in table:
            table[column] = np.nan
    return Leaderboard(
        table=table,
        tasks=tasks,
        languages=required,
        students=students,
        per_task=statistics.cell_summary(students)
        if len(students)
        else pd.DataFrame(columns=["config_id", "task", "mean"]),
        cells=shown,
        rank_test=ranked.test if ranked else "",
        above=_square(ranked),
        groups=ranked.groups if ranked else (),
        other_protocols=other,
    )


def _in_scope(cells: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    keep = pd.Series(True, index=cells.index)
    if filters.suite:
        keep &= cells["suite"].eq(filters.suite)
    for column, wanted in (("task", filters.tasks), ("language", filters.evaluation)):
        if wanted:
            keep &= cells[column].isin(wanted)
    if not filters.milestones:
        keep &= cells["milestone"].isna()
    return cells[keep]


def _one_protocol(cells: pd.DataFrame, wanted: Iterable[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """One fine-tuning protocol for each task, and how many models that leaves out."""
    counted = (
        cells.groupby(["task", "protocol"], observed=True)["model_key"]
        .nunique()
        .rename("models")
        .reset_index()
    )
    counted["wanted"] = counted["protocol"].isin(tuple(wanted))
    ordered = counted.sort_values(
        ["task", "wanted", "models", "protocol"], ascending=[True, False, False, True]
    )
    chosen = ordered.drop_duplicates("task")[["task", "protocol"]]
    if len(chosen) == len(counted):
        return cells, {}
    keep = cells.set_index(["task", "protocol"]).index.isin(pd.MultiIndex.from_frame(chosen))
    left = cells[~keep]
    left = left[~left["model_key"].isin(cells[keep]["model_key"])]
    return cells[keep], _counted(left)


def _counted(cells: pd.DataFrame) -> dict[str, int]:
    """Task -> models."""
    models = cells.groupby("task", observed=True)["model_key"].nunique()
    return {str(task): int(count) for task, count in models.items()}


def _matching(models: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    keep = pd.Series(True, index=models.index)
    for column in ("student", "teacher", "language", "family"):
        wanted = getattr(filters, column)
        if wanted:
            keep &= models[column].isin(wanted)
    return models[keep]


def _scored(models: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The models that have a cell at all."""
    keys = set(cells["model_key"].unique())
    return models[[key in keys for key in models.index]]


def _teachers_of(everything: pd.DataFrame, models: pd.DataFrame) -> set[str]:
    """Keys of the teachers of these models, and of theirs."""
    parent = everything["teacher_key"].dropna()
    found: set[str] = set()
    level = set(models["teacher_key"].dropna())
    while level - found:
        found |= level
        level = {parent[key] for key in level if key in parent.index}
    return found


def _required(cells: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Task -> every language that any ranked model was scored in."""
    pairs = cells[["task", "language"]].drop_duplicates()
    found: dict[str, list[str]] = {}
    for task, language in pairs.astype(str).sort_values(["task", "language"]).itertuples(index=False):
        found.setdefault(task, []).append(language)
    return {task: tuple(languages) for task, languages in found.items()}


def _task_values(cells: pd.DataFrame, required: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """model_key, task, value (mean over the task's languages; none where a language is missing),
    dev_value.
    """
    grouped = cells.groupby(["model_key", "task"], observed=True, sort=False)
    values = grouped.agg(
        total=("value", "sum"),
        defined=("value", "count"),
        found=("language", "size"),
        dev_value=("dev_value", "mean"),
    )
    values = values.reset_index()
    values["task"] = values["task"].astype(str)
    values["value"] = (values["total"] / values["found"]).where(values["defined"] == values["found"])
    enough = values["found"] == values["task"].map({task: len(codes) for task, codes in required.items()})
    return values.loc[enough, ["model_key", "task", "value", "dev_value"]].reset_index(drop=True)


def _table(
    students: pd.DataFrame, present: pd.DataFrame, tasks: tuple[str, ...], filters: Filters
) -> tuple[pd.DataFrame, statistics.Ranking | None]:
    """Means, intervals and ranks; teachers are summarised but not ranked."""
    if not tasks or students.empty:
        return pd.DataFrame(
            columns=["config_id", "n", "mean", "std", "low", "high", "rank", "best_rank", "worst_rank"]
        ), None
    # a model with none of the required cells whole must still show as incomplete
    absent = present.loc[present.index.difference(students["model_key"].unique(), sort=False)]
    padded = pd.concat(
        [
            students,
            pd.DataFrame(
                {
                    "config_id": absent["row_id"],
                    "distil_seed": absent["distil_seed"].fillna(0),
                    "role": absent["role"],
                    "task": tasks[0],
                    "value": np.nan,
                }
            ),
        ],
        ignore_index=True,
    )
    teaching = padded["role"].isin(TEACHERS)
    parts, ranked = [], None
    if (~teaching).any():
        competing = statistics.scores_table(padded[~teaching], tasks, pooled=filters.pooled)
        ranked = statistics.rank(competing, pooled=filters.pooled)
        parts.append(ranked.table)
    if teaching.any():
        parts.append(statistics.scores_table(padded[teaching], tasks))
    return pd.concat(parts, ignore_index=True), ranked


def _with_names(table: pd.DataFrame, snapshot: Snapshot, present: pd.DataFrame) -> pd.DataFrame:
    first = present.drop_duplicates("row_id").set_index("row_id")
    named = table.join(
        first[["role", "family", *NAMES, "milestone", "teacher_key", "tokens"]], on="config_id"
    )
    names = {str(row["config_id"]): tuple(row[name] for name in NAMES) for row in named.to_dict("records")}
    named["variant"] = named["config_id"].map(variants(names, snapshot.varied)).astype(object)
    ranked = ~named["role"].isin(TEACHERS) & named["mean"].notna()
    within = (
        named[ranked].groupby("family")["mean"].transform(lambda means: (-means.round(9)).rank(method="min"))
    )
    named["family_rank"] = within.reindex(named.index).astype("Int64")
    return named


def _with_retention(
    table: pd.DataFrame, students: pd.DataFrame, snapshot: Snapshot, tasks: tuple[str, ...]
) -> pd.DataFrame:
    """The share of the teacher's score that is kept, per task and student first; of the teacher it learnt
    from, and as shipped.
    """
    reference = students[["model_key", "task", "value"]].rename(columns={"model_key": "teacher_key"})
    for column, teacher_of in (
        ("retention", snapshot.models["teacher_key"]),
        ("retention_of_shipped", snapshot.shipped_teacher),
    ):
        own = students.assign(teacher_key=students["model_key"].map(teacher_of)).dropna(subset="teacher_key")
        pairs = own[["config_id", "teacher_key"]].drop_duplicates("config_id")
        teacher = pairs.merge(reference, on="teacher_key")[["config_id", "task", "value"]]
        names = [column, f"{column}_low", f"{column}_high"]
        if teacher.empty:
            table[names] = np.nan
            continue
        kept = statistics.scores_table(statistics.retention(own, teacher), tasks).set_index("config_id")
        table = table.join(kept[["mean", "low", "high"]].set_axis(names, axis="columns"), on="config_id")
    table.loc[table["role"] == "prepared", "retention"] = np.nan  # it is the measure, not the measured
    return table


def _with_gaps(
    table: pd.DataFrame, cells: pd.DataFrame, required: dict[str, tuple[str, ...]]
) -> pd.DataFrame:
    """What is missing in words, e.g. `rte` or `xnli (sw, th)`, and the flags of the scores."""
    if "missing" not in table:
        return table.assign(missing="", flags="")
    gappy = table.loc[table["missing"].map(len) > 0, "config_id"]
    found = (
        cells[cells["row_id"].isin(gappy)]
        .groupby(["row_id", "task", "language"], observed=True)["model_key"]
        .nunique()
    )
    table["missing"] = [
        ", ".join(_gap(config, task, found, required[task]) for task in gaps) if gaps else ""
        for config, gaps in zip(table["config_id"], table["missing"], strict=True)
    ]
    flagged = cells[cells["flags"].map(len) > 0]
    by_row = flagged.groupby("row_id")["flags"].agg(
        lambda lists: ", ".join(sorted({flag for flags in lists for flag in flags}))
    )
    table["flags"] = table["config_id"].map(by_row).fillna("")
    return table


def _gap(config: str, task: str, found: pd.Series, languages: tuple[str, ...]) -> str:
    counts = [int(found.get((config, task, code), 0)) for code in languages]
    lacking = [code for code, count in zip(languages, counts, strict=True) if count < max(counts)]
    return f"{task} ({', '.join(lacking)})" if lacking else task


def _square(ranked: statistics.Ranking | None) -> pd.DataFrame:
    if ranked is None:
        return pd.DataFrame()
    names = ranked.table["config_id"]
    return pd.DataFrame(ranked.above, index=names, columns=names)


def choices(snapshot: Snapshot) -> dict[str, list[str]]:
    """What each filter can be set to: suite, task, evaluation, student, teacher, language, family."""
    scored = _scored(snapshot.models, snapshot.cells)
    found = {
        column: sorted(scored[column].dropna().unique()) for column in ("student", "teacher", "language")
    }
    families = set(scored["family"].dropna())
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


FILTER_NAMES = tuple(field.name for field in fields(Filters))
