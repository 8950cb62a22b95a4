"""What a model predicted, and the scores that follow from it."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.kinds.chance import far_below_chance, no_information
from harness.kinds.metrics import compute
from harness.records.result import Score
from harness.spec.entries import Task


@dataclass(frozen=True)
class Predicted:
    """Predictions on one split in one language, in the order of its rows."""

    split: str
    language: str
    rows: NDArray[np.int64]
    """Position of each row in the file read."""
    labels: NDArray[Any]
    """(rows,) class index, number, index of the right candidate, or a list where a row has several."""
    predictions: NDArray[Any]
    """(rows,) of the same form as `labels`."""
    scores: Sequence[NDArray[np.float32]] | NDArray[np.float32]
    """What each prediction was based on: the row's logits, the number, or the cosines of the chosen and
    the right candidate."""


def score(
    task: Task,
    predicted: Predicted,
    data_id: str,
    selected_on: str | None,
    partial: bool = False,
    shared: int = 0,
) -> list[Score]:
    """One record per metric of the task. `selected_on` is the split on which the best epoch was chosen; `partial`:
    only some rows of the split were predicted; `shared`: rows of the whole split whose texts were trained on, which
    the flag `rows_in_train:N` counts."""
    flags: list[str] = ["part_of_split"] if partial else []
    if shared:
        flags.append(f"rows_in_train:{shared}")
    flags += task.kind.flags(predicted.predictions)
    if predicted.split == task.report == "dev":
        flags.append("dev_as_test")
        if selected_on == "dev":
            flags.append("selected_on_reported_rows")
    scores = []
    for metric in task.metrics:
        value = compute(metric, predicted.predictions, predicted.labels)
        n = len(predicted.rows)
        odd = ["far_below_chance"] if far_below_chance(metric, value, n, len(task.labels)) else []
        scores.append(
            Score(
                suite=task.suite,
                task=task.name,
                language=predicted.language,
                split=predicted.split,
                metric=metric,
                value=None if math.isnan(value) else value,
                n=n,
                no_information=no_information(metric, predicted.labels),
                data_id=data_id,
                flags=(*flags, *odd),
            )
        )
    return scores


def selection_value(task: Task, parts: Sequence[Predicted]) -> float | None:
    """Mean over languages of the mean of the task's metrics; None where one is undefined."""
    values = [compute(metric, part.predictions, part.labels) for part in parts for metric in task.metrics]
    mean = sum(values) / len(values)
    return None if math.isnan(mean) else mean


def write_predictions(path: Path, task: Task, parts: Sequence[Predicted]) -> None:
    """predictions.parquet: split, language, row, label, prediction, scores, and in its metadata the names of the labels
    in their order; written to a temporary file and renamed."""
    columns: Mapping[str, pa.Array] = {
        "split": pa.array([part.split for part in parts for _ in part.rows]).dictionary_encode(),
        "language": pa.array([part.language for part in parts for _ in part.rows]).dictionary_encode(),
        "row": pa.array(np.concatenate([part.rows for part in parts])),
        "label": _column([part.labels for part in parts]),
        "prediction": _column([part.predictions for part in parts]),
        "scores": pa.array(
            [row.ravel() for part in parts for row in part.scores], type=pa.list_(pa.float32())
        ),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        pq.write_table(pa.table(dict(columns), metadata={"labels": json.dumps(list(task.labels))}), temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _column(parts: Sequence[NDArray[Any]]) -> pa.Array:
    """Numbers, or lists of whole numbers, of all parts."""
    values = np.concatenate(parts)
    return pa.array(values, type=pa.list_(pa.int64()) if values.dtype == object else None)
