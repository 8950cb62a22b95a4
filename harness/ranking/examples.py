"""Two rows by the examples that their trained students answer right: these students, other examples like these.

It says nothing of other seeds, and so nothing of methods; `compare` does.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import InputError
from harness.ranking import statistics
from harness.ranking.cells.table import Ranking
from harness.results import predictions
from harness.results.store import Store

COLUMNS = ["a", "b", "task", "examples", "difference", "low", "high"]


def accuracy_trials(store: Store, models: pd.DataFrame) -> pd.DataFrame:
    """Trials at the chosen settings of tasks scored by accuracy alone: trial_id, model_key, task, report, row_id.
    `models`: as in `Frames`."""
    trials = store.frame(
        "SELECT trial_id, model_key, task, config FROM evaluations WHERE selected AND status = 'ok'"
    )
    trials = trials[trials["model_key"].isin(models.index)]
    jobs = [json.loads(config)["task"] for config in trials["config"]]
    trials["report"] = [job["report"] for job in jobs]
    plain = [set(job["metrics"]) <= {"accuracy", "accuracy@1"} for job in jobs]
    return trials[plain].join(models["row_id"], on="model_key")


def differences_by_row(
    ranking: Ranking, rows: Sequence[str], selected: pd.DataFrame, runs_dir: Path
) -> dict[tuple[str, str, str], np.ndarray]:
    """(a, b, task) -> one number per row of the task, whose mean is the difference in accuracy, where predictions of
    all students of both are kept.

    A row is the same sentence in every language, so that its languages are one unit: what is hard in one is
    hard in the others. `selected`: the trials at the chosen settings (row_id, task, trial_id, report), of
    accuracy tasks only.
    """
    right: dict[tuple[str, str], pd.Series] = {}
    mine = selected[selected["row_id"].isin(rows)]
    for (row, task), trials in mine.groupby(["row_id", "task"], observed=True):
        shares = [
            _right(runs_dir / str(trial.trial_id) / "predictions.parquet", str(trial.report))
            for trial in trials.itertuples()
        ]
        if all(share is not None for share in shares):
            right[str(row), str(task)] = pd.concat(shares, axis=1, join="outer").mean(axis=1, skipna=False)
    differences = {}
    for (a, b), task in itertools.product(itertools.combinations(rows, 2), ranking.tasks):
        if (a, task) in right and (b, task) in right:
            first, second = right[a, task].align(right[b, task], join="outer")
            difference = first - second
            if len(difference) and not difference.isna().any():
                differences[a, b, task] = by_row(difference)
    return differences


def by_row(difference: pd.Series) -> np.ndarray:
    """One number per row of a task from differences by (language, row). Their mean is the mean over languages
    of the mean over the rows of each, whether or not every row is there in every language."""
    languages = difference.index.get_level_values("language")
    share = difference / difference.groupby(languages).transform("size") / languages.nunique()
    rows = share.groupby(level="row").sum()
    return np.asarray(rows * len(rows), dtype=np.float64)


def over_examples(units: Mapping[tuple[str, str, str], np.ndarray], confidence: float = 0.95) -> pd.DataFrame:
    """Bootstrap intervals over rows of tasks, expanded for few rows, which hold all at once (Bonferroni): the columns
    `COLUMNS`."""
    level = 1 - (1 - confidence) / max(1, len(units))
    intervals = []
    for (a, b, task), values in units.items():
        confidence = statistics.expanded(level, len(values))
        resamples = min(10_000, max(statistics.bootstrap.RESAMPLES, math.ceil(40 / (1 - confidence))))
        indices = statistics.resample_indices(len(values), resamples)
        interval = statistics.paired_bootstrap(values, indices, confidence=confidence)
        intervals.append((a, b, task, len(values), float(values.mean()), interval.low, interval.high))
    return pd.DataFrame(intervals, columns=COLUMNS)


def _right(path: Path, split: str) -> pd.Series | None:
    """1 where the prediction is right, by (language, row); None where there are none to read."""
    if not path.is_file():
        return None
    try:
        predicted = predictions.read(path)
    except InputError:
        return None
    predicted = predicted[predicted["split"] == split].set_index(["language", "row"])
    return (
        (predicted["label"] == predicted["prediction"]).astype(float) if predicted.index.is_unique else None
    )
