"""The size of a task's data is known without reading it whole, and is what reading it gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import catalog_task, packaged

from harness.assets.sources import Sources
from harness.plan.row_counts import CHARACTERS_PER_TOKEN, SPECIAL_TOKENS, TaskSize
from harness.spec.entries import Task
from harness.tasks.sizes import task_sizes
from harness.tasks.task_data import load_task

ROWS = [{"text": f"Row {n:03}" + " and more" * (n % 4), "label": n % 3} for n in range(300)]


def task(folder: Path, **fields: Any) -> Task:
    """Two classes; the third label is dropped."""
    declared: dict[str, Any] = {
        "name": "rows",
        "suite": "own",
        "assets": {"data": {"sources": [{"path": str(folder)}]}},
        "splits": {"train": {"files": "train.*"}, "dev": {"files": "dev.*"}},
        "columns": {"text": "text", "label": "label"},
        "labels": {"no": 0, "yes": 1},
        "drop_labels": [2],
        "metrics": ["accuracy"],
        "report": "dev",
    }
    return Task.model_validate(declared | fields)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv", "tsv"])
def test_rows_are_counted_in_every_format_without_those_that_labels_drop(
    kind: str, tmp_path: Path, sources: Sources
) -> None:
    for name, rows in (("train", ROWS), ("dev", ROWS[:30])):
        frame, path = pd.DataFrame(rows), tmp_path / f"{name}.{kind}"
        if kind == "parquet":
            frame.to_parquet(path)
        elif kind == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",", header=kind == "csv")
    made = task(tmp_path, format=kind, header=["text", "label"] if kind == "tsv" else None)
    if kind in ("csv", "tsv"):
        made = made.model_copy(update={"labels": {"no": "0", "yes": "1"}, "drop_labels": ("2",)})
    size = task_sizes([made], sources)["rows"]
    assert size.rows == {("train", "en"): 200, ("dev", "en"): 20}
    assert size.characters == tuple(len(str(row["text"])) for row in ROWS)


def test_a_split_cut_by_hash_is_counted_by_its_range(tmp_path: Path, sources: Sources) -> None:
    pd.DataFrame(ROWS).to_parquet(tmp_path / "train.parquet")
    splits = {
        "train": {"files": "train.parquet", "hash_range": [0.1, 1]},
        "dev": {"files": "train.parquet", "hash_range": [0, 0.1]},
    }
    assert task_sizes([task(tmp_path, splits=splits)], sources)["rows"].rows == {
        ("train", "en"): 180,
        ("dev", "en"): 20,
    }


def test_data_that_is_not_here_or_not_what_it_should_be_has_no_size(tmp_path: Path, sources: Sources) -> None:
    assert task_sizes([task(tmp_path)], sources) == {}
    for name in ("train", "dev"):
        (tmp_path / f"{name}.parquet").write_bytes(b"no parquet")
    assert task_sizes([task(tmp_path)], sources) == {}


def test_a_long_row_counts_no_more_than_it_is_cut_to() -> None:
    whole = 42 / CHARACTERS_PER_TOKEN + SPECIAL_TOKENS
    assert TaskSize({}, (42, 42)).tokens(128) == pytest.approx(whole)
    assert TaskSize({}, (42, 100_000)).tokens(128) == pytest.approx((whole + 128) / 2)
    assert TaskSize({}).tokens(128) is None


def test_no_torch_is_loaded() -> None:
    code = "import sys, harness.tasks.sizes; sys.exit(bool({'torch', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("name", "tokens"), [("sst2", 23.3), ("rte", 58.9), ("stsb", 18.8)])
def test_real_tasks_are_counted_as_they_are_read(
    name: str, tokens: float, harness_data: Path, sources: Sources
) -> None:
    """`tokens`: what all-MiniLM's tokenizer makes of the first 500 training rows, on average."""
    local = Sources(sources.cache_dir, data_dir=harness_data)
    made = catalog_task(name)
    size = task_sizes([made], local)[name]
    frames = load_task(made, ("en",), local).frames
    assert size.rows == {part: len(frame) for part, frame in frames.items()}
    assert size.tokens(128) == pytest.approx(tokens, rel=0.25)


def test_what_a_task_states_of_pinned_content_is_what_it_holds(shared_sources: Sources) -> None:
    made = [catalog_task(name) for name in ("snli", "vader-movies", "udhr-retrieval")]
    for one in made:
        packaged(one.assets["data"], shared_sources)
    sizes = task_sizes(made, shared_sources)
    for one in made:
        frames = load_task(one, one.languages, shared_sources).frames
        assert sizes[one.name].rows == {part: len(frame) for part, frame in frames.items()}
