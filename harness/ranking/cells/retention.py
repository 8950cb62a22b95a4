"""What a student keeps of what its teacher learnt: of the teacher's score, the part above guessing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.frames import Frames


def guess_levels(cells: pd.DataFrame, required: Mapping[str, tuple[str, ...]]) -> pd.Series:
    """Task -> the best score that can be had without a look at its inputs, mean over its languages; without the tasks of
    which that is not known in a language (F1, say)."""
    known = cells["no_information"].groupby([cells["task"], cells["language"]], observed=True)
    levels = known.max().where(known.count() == known.size())
    by_task = {
        task: levels.get(task, pd.Series(dtype=float)).reindex(list(languages)).mean(skipna=False)
        for task, languages in required.items()
    }
    return pd.Series(by_task, dtype=float).dropna().sort_index()


def with_retention(
    about: pd.DataFrame, students: pd.DataFrame, frames: Frames, guess: pd.Series, guessing: pd.DataFrame
) -> pd.DataFrame:
    """With the share that is kept of the teacher a row learnt from, and of that as shipped; none for a row that is at
    guessing on every task. `students`, `guess` and `guessing`: as in `Scope`."""
    students = students[students["task"].isin(guess.index)]
    reference = students[["model_key", "task", "value"]].rename(columns={"model_key": "teacher_key"})
    reference = reference.astype({"teacher_key": object})
    for column, teacher_of in (
        ("retention", frames.models["teacher_key"]),
        ("retention_of_shipped", frames.shipped_teacher),
    ):
        keys = (
            students["model_key"].map(teacher_of).astype(object)
        )  # all null, it would be a column of numbers
        own = students.assign(teacher_key=keys).dropna(subset="teacher_key")
        pairs = own[["config_id", "teacher_key"]].drop_duplicates("config_id")
        teacher = pairs.merge(reference, on="teacher_key")[["config_id", "task", "value"]]
        names = [column, f"{column}_low", f"{column}_high"]
        if teacher.empty:
            about[names] = np.nan
            continue
        kept = statistics.retention(own, teacher, guess)
        shares = statistics.scores_table(kept, list(guess.index)).set_index("config_id")
        about = about.join(shares[["mean", "low", "high"]].set_axis(names, axis="columns"), on="config_id")
        about.loc[about["config_id"].isin(_at_guessing(guessing)), names] = np.nan
    about.loc[about["role"] == "prepared", "retention"] = np.nan  # it is the measure, not the measured
    return about


def _at_guessing(guessing: pd.DataFrame) -> set[str]:
    """Rows that are better than guessing nowhere."""
    better = guessing.groupby("row_id", observed=True)["better"].any()
    return set(better[~better].index.astype(str))
