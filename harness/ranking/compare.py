"""Two or more configurations against each other, task by task: differences with intervals, corrected for
how many are looked at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import InputError
from harness.ranking import statistics
from harness.ranking.settings import Settings, differing
from harness.ranking.table import Ranking
from harness.results import predictions

SUITE = "all tasks"
"""Name of the row that compares means over all tasks."""


def differences(
    ranking: Ranking,
    rows: Sequence[str],
    *,
    confidence: float = 0.95,
    paired: Mapping[tuple[str, str, str], np.ndarray] | None = None,
) -> pd.DataFrame:
    """Difference a - b of every pair of `rows`, per task and on the mean over tasks.

    Columns: a, b, task, mean_a, mean_b, difference, low, high, p, p_holm, separable, interval (what it is, in
    words). Intervals hold all at once (Bonferroni over every comparison shown); p values are corrected by
    Holm. Where `paired` has differences per example (see `paired_examples`), the interval is a paired
    bootstrap over examples: these students, other examples like these. Elsewhere it is Welch's t over
    students: other students like these, on these tasks.
    """
    cells = ranking.per_task.set_index(["config_id", "task"])
    means = ranking.table.set_index("config_id")
    pairs = list(itertools.combinations(rows, 2))
    wanted = [*ranking.tasks, SUITE] if len(ranking.tasks) > 1 else list(ranking.tasks)
    level = 1 - (1 - confidence) / max(1, len(pairs) * len(wanted))
    comparisons = []
    for (a, b), task in itertools.product(pairs, wanted):
        sides = [means.loc[[one]] if task == SUITE else cells.reindex([(one, task)]) for one in (a, b)]
        welch = statistics.welch_difference(sides[0], sides[1], confidence=level)
        row = {
            "a": a,
            "b": b,
            "task": task,
            "mean_a": sides[0]["mean"].iloc[0],
            "mean_b": sides[1]["mean"].iloc[0],
            "difference": welch.difference,
            "low": welch.difference - welch.half_width,
            "high": welch.difference + welch.half_width,
            "p": welch.p,
            "interval": welch.no_interval_because or "Welch's t over students",
        }
        if paired and (a, b, task) in paired:
            row |= _bootstrapped(paired[a, b, task], level)
        comparisons.append(row)
    frame = pd.DataFrame(comparisons)
    if frame.empty:
        return frame
    frame["p_holm"] = statistics.holm(frame["p"])
    frame["separable"] = (frame["low"] > 0) | (frame["high"] < 0)
    return frame


def _bootstrapped(examples: np.ndarray, level: float) -> dict[str, object]:
    resamples = max(statistics.bootstrap.RESAMPLES, math.ceil(40 / (1 - level)))
    interval = statistics.paired_bootstrap(
        examples, statistics.resample_indices(len(examples), min(resamples, 10_000)), confidence=level
    )
    return {
        "low": interval.low,
        "high": interval.high,
        "p": interval.p_two_sided_centred,
        "interval": f"paired bootstrap over {len(examples):,} examples",
    }


def paired_examples(
    ranking: Ranking, rows: Sequence[str], selected: pd.DataFrame, runs_dir: Path
) -> dict[tuple[str, str, str], np.ndarray]:
    """(a, b, task) -> difference per example of the share of students that are right, where predictions of
    both are kept.

    `selected`: the trials at the chosen settings (row_id, task, trial_id, report, metrics), of accuracy tasks only.
    """
    right: dict[tuple[str, str], pd.Series] = {}
    for (row, task), trials in selected[selected["row_id"].isin(rows)].groupby(
        ["row_id", "task"], observed=True
    ):
        shares = [
            _right(runs_dir / str(one.trial_id) / "predictions.parquet", str(one.report))
            for one in trials.itertuples()
        ]
        if all(share is not None for share in shares):
            right[str(row), str(task)] = pd.concat(shares, axis=1, join="outer").mean(axis=1, skipna=False)
    pairs = {}
    for (a, b), task in itertools.product(itertools.combinations(rows, 2), ranking.tasks):
        if (a, task) in right and (b, task) in right:
            first, second = right[a, task].align(right[b, task], join="outer")
            difference = first - second
            if len(difference) and not difference.isna().any():
                pairs[a, b, task] = difference.to_numpy()
    return pairs


def _right(path: Path, split: str) -> pd.Series | None:
    """1 where the prediction is right, by (language, row); None where there are none to read."""
    if not path.is_file():
        return None
    try:
        answers = predictions.read(path)
    except InputError:
        return None
    answers = answers[answers["split"] == split].set_index(["language", "row"])
    return (answers["label"] == answers["prediction"]).astype(float) if answers.index.is_unique else None


def settings_apart(settings: Mapping[str, Settings], rows: Sequence[str]) -> pd.DataFrame:
    """Setting × row, for the settings that differ."""
    return pd.DataFrame(differing({row: settings.get(row, {}) for row in rows})).T.reindex(columns=list(rows))
