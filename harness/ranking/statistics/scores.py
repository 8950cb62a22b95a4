"""From single scores to one row per configuration.

Order of averaging, everywhere: fine-tuning seeds inside one student and task; then tasks inside one student; then
students inside one configuration. A missing score never shortens an average: it makes the student incomplete.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.counted import counted
from harness.ranking.statistics.intervals import summarise

STUDENT = ["config_id", "distil_seed"]
"""What names one distilled student."""


def student_scores(students: pd.DataFrame, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean over `tasks` (fixed, equally weighted) of each student; NaN where a task has no score.

    `students`: config_id, distil_seed, task, value; one row a student and task, the mean of its fine-tuning
    runs. A NaN value (a correlation of constant predictions, say) is a result, not an absence: it makes the
    student incomplete. `tasks`: those of the board; default: every task found in `students`. Returns
    config_id, distil_seed, score, missing (tuple of task names).
    """
    wide = _wide(students, tasks)
    gaps = wide.isna().to_numpy()
    names = np.asarray(wide.columns, dtype=object)
    rows = wide.index.to_frame(index=False)
    rows["score"] = wide.mean(axis=1, skipna=False).to_numpy(dtype=float)
    rows["missing"] = [tuple(names[gap]) if gap.any() else () for gap in gaps]
    return rows


def scores_table(
    students: pd.DataFrame,
    tasks: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    pooled: bool = False,
) -> pd.DataFrame:
    """One row per configuration, best mean first: its mean over fixed tasks, with an interval whose
    replicates are distilled students.

    Arguments as for `student_scores`. Only students with a score on every task enter; the others are counted
    and named. Columns: config_id; n (students that entered), mean, std, degrees_of_freedom, low, high (see
    `summarise`); students (all of them); complete (every student has every task); missing (tuple: tasks that
    some student lacks); interval (what `low` and `high` are, in words). A configuration without any complete
    student has n = 0 and mean NaN and comes last.
    """
    scored = student_scores(students, tasks)
    groups = scored.groupby("config_id", sort=True, observed=True)
    position = groups.cumcount()
    replicates = scored.assign(position=position).pivot(index="config_id", columns="position", values="score")
    table = summarise(replicates.to_numpy(), confidence=confidence, pooled=pooled)
    table.insert(0, "config_id", replicates.index)
    table["students"] = groups.size().to_numpy()
    table["complete"] = table["n"] == table["students"]
    gaps: dict[str, tuple[str, ...]] = {}
    for config, missing in zip(scored["config_id"], scored["missing"], strict=True):
        gaps[config] = tuple(dict.fromkeys((*gaps.get(config, ()), *missing)))
    table["missing"] = [gaps[config] for config in table["config_id"]]
    several = int((table["n"] > 1).sum())
    kind = f"{confidence:.0%} t" + (
        f", variance pooled over {counted(several, 'configuration')}" if pooled else ""
    )
    table["interval"] = np.where(
        table["n"] > 1, kind, np.where(table["n"] == 1, "none: one student", "none: no complete student")
    )
    return table.sort_values(
        ["mean", "config_id"], ascending=[False, True], na_position="last", ignore_index=True
    )


def cell_summary(students: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Per configuration and task, over students: config_id, task, n, mean, std, degrees_of_freedom, low,
    high (see `summarise`).

    Here a missing score only lowers its own cell's n.
    """
    ordered = students.sort_values(["config_id", "task", "distil_seed"], ignore_index=True)
    key = ["config_id", "task"]
    ordered["position"] = ordered.groupby(key, observed=True).cumcount()
    replicates = ordered.pivot(index=key, columns="position", values="value")
    return pd.concat(
        [replicates.index.to_frame(index=False), summarise(replicates.to_numpy(), confidence=confidence)],
        axis=1,
    )


def task_means(students: pd.DataFrame, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean over the complete students of each configuration, per task: frame (configurations, tasks).

    Raises ValueError naming a configuration without a complete student and its missing tasks: leave it or
    those tasks out, knowingly.
    """
    wide = _wide(students, tasks)
    complete = wide[wide.notna().all(axis=1)]
    means = complete.groupby(level="config_id", observed=True).mean()
    for config in wide.index.unique("config_id"):
        if config not in means.index:
            mine = wide.index.get_level_values("config_id") == config
            missing = wide.columns[wide[mine].isna().to_numpy().any(axis=0)]
            raise ValueError(f"{config} has no student with every task; missing: {', '.join(missing)}")
    return means


def retention(students: pd.DataFrame, teacher: pd.DataFrame, guess: pd.Series) -> pd.DataFrame:
    """`students` with each score as the share of the teacher's on the same task, both counted from guessing:
    (score - guess) / (teacher - guess). 0 is what needs no look at the inputs, 1 the teacher; below 0 is possible.

    Give the result to `scores_table`: the ratio is taken per task and student first, then averaged over
    tasks, then over students. The teacher's score counts as a fixed number, so an interval says nothing about
    the spread of teachers. `teacher`: task, value, and config_id where configurations have different
    teachers; raises ValueError if it has two scores for one. `guess`: by task. Where the teacher has no score, or
    none above guessing, the ratio is NaN and the student thereby incomplete.
    """
    on = [column for column in ("config_id", "task") if column in teacher.columns]
    if teacher.duplicated(on).any():
        raise ValueError("the teacher has more than one score for a task; average its runs first")
    scores = teacher[[*on, "value"]].rename(columns={"value": "teacher_value"})
    joined = students.merge(scores, on=on, how="left")
    level = joined["task"].map(guess)
    learnt = joined.pop("teacher_value") - level
    joined["value"] = (joined["value"] - level) / learnt.where(learnt > 0)
    return joined


def _wide(students: pd.DataFrame, tasks: Sequence[str] | None) -> pd.DataFrame:
    """Frame (students, tasks) of scores, NaN where there is none; index config_id, distil_seed."""
    names = sorted(students["task"].unique()) if tasks is None else list(tasks)
    if not names:
        raise ValueError("there are no tasks to average over")
    if len(set(names)) < len(names):
        raise ValueError("a task is named twice")
    # over all rows, so that a student none of whose tasks is on the board still shows as incomplete
    wide = students.pivot(index=STUDENT, columns="task", values="value")
    return wide.reindex(columns=names).astype(float)
