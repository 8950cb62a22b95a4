"""Values of untyped files stay text until a label map reads them; what is missing has a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.assets.sources import Sources
from harness.errors import InputError
from harness.spec.entries import Task
from harness.tasks.task_data import load_task


def labels(folder: Path, sources: Sources, values: list[Any], format: str, **fields: Any) -> list[Any]:
    """What the rows' labels become."""
    rows = [{"text": f"Row {n}.", "label": value} for n, value in enumerate(values)]
    if format == "parquet":
        import pandas as pd

        pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    elif format == "jsonl":
        (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        mark = "," if format == "csv" else "\t"
        lines = [f"{row['text']}{mark}{'' if row['label'] is None else row['label']}" for row in rows]
        (folder / f"rows.{format}").write_text("\n".join([f"text{mark}label", *lines]) + "\n")
    files = {"files": f"rows.{format}"}
    declared: dict[str, Any] = {
        "name": "own",
        "suite": "own",
        "assets": {"data": {"sources": [{"path": str(folder)}]}},
        "splits": {"train": files, "test": files},
        "columns": {"text": "text", "label": "label"},
        "format": format,
        "labels": {"no": 0, "yes": 1},
        "metrics": ["accuracy"],
    }
    task = Task.model_validate(declared | fields)
    return load_task(task, ("en",), sources).frames["train", "en"]["label"].tolist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("format", ["parquet", "jsonl", "csv", "tsv"])
@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_a_missing_label_is_dropped_by_null_and_by_nothing_else(
    missing: Any, format: str, folder: Path, sources: Sources
) -> None:
    if missing == "" and format in ("parquet", "jsonl"):
        values: list[Any] = ["0", "1", "", "1"]
        named = {"labels": {"no": "0", "yes": "1"}}
    else:
        missing = None if format in ("csv", "tsv") else missing
        values, named = [0, 1, missing, 1], {}
    if format == "jsonl" and missing is None:
        values[2] = None
    assert labels(folder, sources, values, format, drop_labels=[None], **named) == [0, 1, 1]
    with pytest.raises(InputError, match=r"label values null \(1 row\)"):
        labels(folder, sources, values, format, drop_labels=["None", "nan", -1], **named)


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_numbers_of_a_task_file_match_text_and_nothing_that_only_resembles_them(
    format: str, folder: Path, sources: Sources
) -> None:
    assert labels(folder, sources, ["1", "0", "1.0"], format) == [1, 0, 1]
    named = {"labels": {"a": "01", "b": 1, "c": "1e3", "d": "NA", "e": "true"}}
    assert labels(folder, sources, ["01", "1", "1e3", "NA", "true"], format, **named) == [0, 1, 2, 3, 4]
    for odd in ("01", "1e0", "true", "None", "1_0", "one"):
        with pytest.raises(InputError, match=rf"label values '{odd}' \(1 row\) are not among 0, 1"):
            labels(folder, sources, ["1", odd], format)


def test_a_task_of_numbers_needs_a_number_in_every_row(folder: Path, sources: Sources) -> None:
    fields = {"type": "regression", "labels": {}, "metrics": ["pearson"]}
    with pytest.raises(InputError, match=r"rows without a number; `drop_labels: \[null\]`"):
        labels(folder, sources, [0.5, None, 2], "jsonl", **fields)
    assert labels(folder, sources, [0.5, None, 2], "jsonl", drop_labels=[None], **fields) == [0.5, 2.0]
    assert labels(folder, sources, ["0.5", "NA", "2"], "csv", drop_labels=["NA"], **fields) == [0.5, 2.0]


def test_a_class_of_the_data_is_dropped_by_its_name(folder: Path, sources: Sources) -> None:
    import datasets

    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes", "unclear"])
    )
    rows = [{"text": f"Row {n}.", "label": n % 3} for n in range(9)]
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "rows.parquet")
    task = {
        "name": "own",
        "suite": "own",
        "assets": {"data": {"sources": [{"path": str(folder)}]}},
        "splits": {"train": {"files": "rows.parquet"}, "test": {"files": "rows.parquet"}},
        "columns": {"text": "text", "label": "label"},
        "labels": {"no": "no", "yes": "yes"},
        "drop_labels": ["unclear"],
        "metrics": ["accuracy"],
    }
    found = load_task(Task.model_validate(task), ("en",), sources).frames["train", "en"]["label"].tolist()
    assert found == [0, 1] * 3


def test_a_null_text_is_an_error_with_file_and_row(folder: Path, sources: Sources) -> None:
    (folder / "texts.jsonl").write_text('{"text": "a", "label": 0}\n{"text": null, "label": 1}\n')
    files = {"files": "texts.jsonl"}
    with pytest.raises(InputError, match=r"texts\.jsonl: column 'text' holds no text in row 1: None"):
        labels(folder, sources, [0], "jsonl", splits={"train": files, "test": files})
