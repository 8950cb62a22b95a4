"""One choice of cells, and everything about its configurations that does not depend on which of them are shown:
worked out once per state of the database, however often a reader narrows the view.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.frames import Frames
from harness.ranking.cells.retention import guess_levels, with_retention
from harness.ranking.cells.settings import variants
from harness.ranking.cells.unscored import lost_in_words, lost_students

TEACHERS = ("prepared", "shipped")
FAMILIES = ("OD", "HS", "MHA", "composite", "control", "external", "teacher")
"""In the order in which they are shown."""
NOT_DISTILLED = ("control", "external", "teacher")
NAMES = ["method", "student", "teacher", "language"]
SCORES = (
    "config_id",
    "n",
    "mean",
    "std",
    "degrees_of_freedom",
    "low",
    "high",
    "students",
    "complete",
    "missing",
    "interval",
    "constant",
)
"""Columns of `statistics.scores_table` and `constant`, which a table without rows has, too."""
MEASURES = (
    "parameters",
    "parameters_without_embeddings",
    "flops",
    "latency_ms",
    "throughput",
    "masked_accuracy",
    "teacher_masked_accuracy",
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
    one_setting: bool = False
    """Whether of settings of one method and student only the one that is best by dev scores is a row."""
    latency_protocol: str | None = None
    fingerprint: str | None = None

    def without_names(self) -> Filters:
        """The same cells, of every model; each row with a variance of its own."""
        return replace(self, student=(), teacher=(), language=(), family=(), pooled=False, one_setting=False)


@dataclass(frozen=True, eq=False)
class Scope:
    """Cells of one fine-tuning protocol a task, and their configurations, whatever names a reader asks for."""

    cells: pd.DataFrame
    other_protocols: dict[str, int]
    """As in `harness.ranking.cells.table.Ranking`."""
    required: dict[str, tuple[str, ...]]
    """Task -> languages that a complete score is the mean over."""
    students: pd.DataFrame
    """config_id, distil_seed, model_key, role, task, value, dev_value: one row per model and complete task."""
    padded: pd.DataFrame
    """`students`, and one row without a value for each model that has not one complete task."""
    scores: pd.DataFrame
    """`statistics.scores_table` of all that can be ranked, each row with a variance of its own, and `constant`: whether
    a row is the same student for every seed, and so counts as one."""
    references: pd.DataFrame
    """The same of the teachers, which are not ranked."""
    guessing: pd.DataFrame
    """`statistics.better_than_guessing` of the cells."""
    guess: pd.Series
    """Task -> the best score without a look at the inputs, for tasks where that is known: those that retention is over."""
    about: pd.DataFrame
    """By config_id: names, settings that tell it apart, retention, gaps in words, where it is no better than
    guessing in words, flags and measures."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order of their names."""
        return tuple(sorted(self.required))

    @cached_property
    def dev_means(self) -> pd.Series:
        """By config_id: mean dev score over students and complete tasks."""
        return self.students.groupby("config_id", observed=True)["dev_value"].mean()


def build_scope(
    frames: Frames,
    cells: pd.DataFrame,
    waiting: pd.DataFrame,
    other: dict[str, int],
    required: dict[str, tuple[str, ...]],
    measured: pd.DataFrame,
) -> Scope:
    """Everything about the configurations of `cells`; `other` and `cells` as from `cells_of_one_protocol`,
    `required` as from `languages_required`, `measured` by row_id."""
    keyed = _task_values(cells, required).join(
        frames.models[["row_id", "role", "distil_seed"]], on="model_key"
    )
    students = keyed.assign(config_id=keyed["row_id"], distil_seed=keyed["distil_seed"])
    students = students[["config_id", "distil_seed", "model_key", "role", "task", "value", "dev_value"]]
    students = students[~students["model_key"].isin(frames.repeated)]
    constant = frozenset(frames.models.loc[frames.repeated, "row_id"])
    tasks = tuple(sorted(required))
    present = scored(frames.models, cells)
    lost = _lost(frames, cells, waiting, present)
    whole = _padded(students, present.drop(frames.repeated, errors="ignore"), tasks)
    present = frames.models.loc[present.index.union(pd.Index(lost["model_key"]), sort=False)]
    padded = _padded(students, present.drop(frames.repeated, errors="ignore"), tasks)
    teachers = padded["role"].isin(TEACHERS)
    scores, references = (
        with_constant(_scores(padded[kind], whole, lost, tasks), constant) for kind in (~teachers, teachers)
    )
    about = pd.concat([scores, references], ignore_index=True)[["config_id", "missing"]]
    about = _with_names(about, frames, present)
    about["stratum"] = about["config_id"].map(frames.strata["stratum"])
    planned = present.groupby("row_id").size()
    about["lost"] = about["config_id"].map(lost_in_words(lost, planned)).fillna("")
    guessing = statistics.better_than_guessing(cells)
    guess = guess_levels(cells, required)
    about = with_retention(about, students, frames, guess, guessing)
    about = _with_guessing(_with_gaps(about, cells, required), guessing).set_index("config_id")
    about = about.join(measured)
    absent = [column for column in MEASURES if column not in about]
    return Scope(
        cells=cells,
        other_protocols=other,
        required=required,
        students=students,
        padded=padded,
        scores=scores,
        references=references,
        guessing=guessing,
        guess=guess,
        about=about.assign(**dict.fromkeys(absent, np.nan)),
    )


def _lost(frames: Frames, cells: pd.DataFrame, waiting: pd.DataFrame, present: pd.DataFrame) -> pd.DataFrame:
    """Students that failed or are not done, of the rows that have begun."""
    keys = ["model_key", "task", "protocol"]
    here, everywhere = (frame[keys].drop_duplicates() for frame in (cells, frames.cells))
    lost = lost_students(waiting, here, everywhere, set(present["row_id"]))
    return lost[lost["model_key"].isin(frames.models.index)]


def _scores(
    padded: pd.DataFrame, whole: pd.DataFrame, lost: pd.DataFrame, tasks: tuple[str, ...]
) -> pd.DataFrame:
    """The scores of the rows of `padded`; a student that was lost is no reason to say that its row lacks a task."""
    scores = scores_of(padded, tasks)
    survivors = whole[whole["config_id"].isin(lost["row_id"]) & ~whole["model_key"].isin(lost["model_key"])]
    gaps = scores_of(survivors, tasks).set_index("config_id")["missing"]
    own = scores["config_id"].isin(lost["row_id"])
    scores.loc[own, "missing"] = pd.Series(
        [gaps.get(row, ()) for row in scores.loc[own, "config_id"]], index=scores.index[own], dtype=object
    )
    return scores


def scores_of(students: pd.DataFrame, tasks: tuple[str, ...], pooled: bool = False) -> pd.DataFrame:
    """`statistics.scores_table`, without rows where there are no students."""
    if students.empty or not tasks:
        return pd.DataFrame(columns=[*SCORES])
    return statistics.scores_table(students, tasks, pooled=pooled)


def with_constant(scores: pd.DataFrame, rows: Collection[str]) -> pd.DataFrame:
    """With `constant`, whether a row is one of `rows`, which are the same student for every seed."""
    constant = scores["config_id"].isin(rows)
    said = scores["interval"].mask(constant & (scores["n"] == 1), "none: the same student for every seed")
    return scores.assign(constant=constant, interval=said)


def matching(models: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    keep = pd.Series(True, index=models.index)
    for column in ("student", "teacher", "language", "family"):
        wanted = getattr(filters, column)
        if wanted:
            keep &= models[column].isin(wanted)
    return models[keep]


def cells_of_one_protocol(cells: pd.DataFrame, filters: Filters) -> tuple[pd.DataFrame, dict[str, int]]:
    """The cells that `filters` let through whatever the model, of one fine-tuning protocol for each task, and
    how many models have scores of each task under others."""
    return _one_protocol(_in_scope(cells, filters), filters.protocols)


def languages_required(
    cells: pd.DataFrame, models: pd.DataFrame, filters: Filters
) -> dict[str, tuple[str, ...]]:
    """Task -> languages in which any model that `filters` let through was scored; teachers count only where
    there are no others."""
    chosen = matching(models, filters)
    pairs = cells[["model_key", "task", "language"]]
    ranked = pairs[pairs["model_key"].isin(chosen.index[~chosen["role"].isin(TEACHERS)])]
    return _required(ranked if len(ranked) else pairs[pairs["model_key"].isin(chosen.index)])


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
    """One fine-tuning protocol for each task (one that is asked for, else the most widely used, else the latest), and
    how many models have scores under others."""
    counted = (
        cells.groupby(["task", "protocol"], observed=True)
        .agg(models=("model_key", "nunique"), latest=("finished_at", "max"))
        .reset_index()
    )
    counted["wanted"] = counted["protocol"].isin(tuple(wanted))
    ordered = counted.sort_values(
        ["task", "wanted", "models", "latest", "protocol"], ascending=[True, False, False, False, True]
    )
    chosen = ordered.drop_duplicates("task")[["task", "protocol"]]
    if len(chosen) == len(counted):
        return cells, {}
    keep = cells.set_index(["task", "protocol"]).index.isin(pd.MultiIndex.from_frame(chosen))
    return cells[keep], _counted(cells[~keep])


def _counted(cells: pd.DataFrame) -> dict[str, int]:
    """Task -> number of models that have a cell of it."""
    models = cells.groupby("task", observed=True)["model_key"].nunique()
    return {str(task): int(count) for task, count in models.items()}


def scored(models: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The models that have a cell at all."""
    return models[models.index.isin(cells["model_key"].unique())]


def _required(cells: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Task -> every language that any ranked model was scored in."""
    pairs = cells[["task", "language"]].drop_duplicates()
    by_task: dict[str, list[str]] = {}
    for task, language in pairs.astype(str).sort_values(["task", "language"]).itertuples(index=False):
        by_task.setdefault(task, []).append(language)
    return {task: tuple(languages) for task, languages in by_task.items()}


def _task_values(cells: pd.DataFrame, required: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """model_key, task, value (mean over the task's languages; none where a language is missing), dev_value."""
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


def _padded(students: pd.DataFrame, present: pd.DataFrame, tasks: tuple[str, ...]) -> pd.DataFrame:
    """With a row for each model that has none of the required cells whole: it must still show, as incomplete."""
    absent = present.loc[present.index.difference(pd.Index(students["model_key"].unique()), sort=False)]
    if absent.empty or not tasks:
        return students
    added = pd.DataFrame(
        {
            "config_id": absent["row_id"],
            "distil_seed": absent["distil_seed"],
            "model_key": absent.index,
            "role": absent["role"],
            "task": tasks[0],
            "value": np.nan,
        }
    )
    return pd.concat([students, added], ignore_index=True)


def _with_names(about: pd.DataFrame, frames: Frames, present: pd.DataFrame) -> pd.DataFrame:
    first = present.drop_duplicates("row_id").set_index("row_id")
    named = about.join(
        first[["role", "family", *NAMES, "milestone", "teacher_key", "tokens"]], on="config_id"
    )
    names = {str(row["config_id"]): tuple(row[name] for name in NAMES) for row in named.to_dict("records")}
    shared = named.loc[~named["family"].isin(NOT_DISTILLED) & named["milestone"].isna(), "config_id"]
    variant = variants(
        names, frames.varied, {row: frames.recipes[row] for row in shared if row in frames.recipes}
    )
    named["variant"] = named["config_id"].map(variant).astype(object)
    return named


def _with_gaps(
    about: pd.DataFrame, cells: pd.DataFrame, required: dict[str, tuple[str, ...]]
) -> pd.DataFrame:
    """What is missing in words, e.g. `rte` or `xnli (sw, th)`, and the flags of the scores."""
    if "missing" not in about:
        return about.assign(missing="", flags="")
    gappy = about.loc[about["missing"].map(len) > 0, "config_id"]
    present = (
        cells[cells["row_id"].isin(gappy)]
        .groupby(["row_id", "task", "language"], observed=True)["model_key"]
        .nunique()
    )
    about["missing"] = [
        ", ".join(_gap(config, task, present, required[task]) for task in gaps) if gaps else ""
        for config, gaps in zip(about["config_id"], about["missing"], strict=True)
    ]
    flagged = cells[cells["flags"].map(len) > 0]
    by_row = flagged.groupby("row_id")["flags"].agg(
        lambda lists: ", ".join(sorted({flag for flags in lists for flag in flags}))
    )
    about["flags"] = about["config_id"].map(by_row).fillna("")
    return about


def _with_guessing(about: pd.DataFrame, guessing: pd.DataFrame) -> pd.DataFrame:
    """What is no better than guessing in words, e.g. `rte` or `xnli (3 of 15 languages)`."""
    counted = (
        guessing.groupby(["row_id", "task"], observed=True)["better"]
        .agg(languages="size", better="sum")
        .reset_index()
    )
    counted = counted[counted["better"] < counted["languages"]].astype({"row_id": str, "task": str})
    parts_of: dict[str, list[str]] = {}
    for row, task, languages, better in counted.itertuples(index=False):
        part = f"{task} ({languages - better} of {languages} languages)" if languages > 1 else task
        parts_of.setdefault(row, []).append(part)
    return about.assign(at_guessing=[", ".join(parts_of.get(row, ())) for row in about["config_id"]])


def _gap(config: str, task: str, present: pd.Series, languages: tuple[str, ...]) -> str:
    counts = [int(present.get((config, task, code), 0)) for code in languages]
    lacking = [code for code, count in zip(languages, counts, strict=True) if count < max(counts)]
    return f"{task} ({', '.join(lacking)})" if lacking else task
