"""Size of a task's data on this machine, estimated without reading all of it: row counts, and the length of some
training rows. For estimates; loads no torch and no `datasets`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.assets.fetch import fetch
from harness.assets.folder import AssetFolder
from harness.assets.sources import Sources
from harness.errors import AssetError, InputError
from harness.formats.documents import declaration_rows
from harness.formats.rows import UNTYPED, iterate_rows
from harness.plan.row_counts import Part, TaskSize
from harness.spec.entries import Split, Task
from harness.tasks.labels import LabelMap
from harness.tasks.layout import as_laid_out, languages_of, layout_of, pattern_of

SAMPLE = 1_000
"""Rows sampled from the first file of a split and language."""

Row = Mapping[str, Any]


def task_sizes(tasks: Iterable[Task], sources: Sources) -> dict[str, TaskSize]:
    """Task -> its size, for tasks whose data is on this machine; nothing is fetched."""
    here = dataclasses.replace(sources, offline=True)
    sizes: dict[str, TaskSize] = {}
    for task in tasks:
        try:
            sizes[task.name] = _size(task, {name: fetch(asset, here) for name, asset in task.assets.items()})
        except (AssetError, InputError, OSError, ValueError, AttributeError):
            continue  # not here, or not what the task file says: reported when the rows are read
    return sizes


def _size(task: Task, folders: Mapping[str, AssetFolder]) -> TaskSize:
    rows: dict[Part, int] = {}
    characters: list[int] = []
    for name, split in task.splits.items():
        laid_out = as_laid_out(task, split)
        for language in languages_of(task, name, task.languages):
            pattern = pattern_of(split, language)
            paths = folders[split.asset].matching(pattern) if pattern else ()
            if not paths:
                continue
            sample = list(
                itertools.islice(iterate_rows(paths[0], layout_of(laid_out), _columns(laid_out)), SAMPLE)
            )
            if name in task.rows and task.assets[split.asset].sha256:
                rows[name, language] = task.rows[name]  # stated for exactly these files
            else:
                counted = sum(_count(path, laid_out) for path in paths)
                rows[name, language] = round(counted * _kept(sample, laid_out, split))
            if name == "train":
                characters += [_characters(row, laid_out) for row in sample]
    return TaskSize(rows, tuple(characters))


def _count(path: Path, task: Task) -> int:
    """Rows of a file, counted by lines except in parquet, udhr and files of sentences."""
    if task.format == "parquet":
        import pyarrow.parquet

        return int(pyarrow.parquet.read_metadata(path).num_rows)
    if task.format == "udhr":
        return sum(1 for _ in declaration_rows(path))
    if task.kind.reads_words and task.format != "jsonl":
        return sum(1 for _ in iterate_rows(path, layout_of(task), ()))
    with path.open("rb") as file:
        lines = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    return lines - (task.format in ("csv", "tsv") and task.header is None)


def _columns(task: Task) -> tuple[str, ...]:
    columns = task.columns
    return tuple(name for name in (columns.text, columns.text_pair, columns.label) if name is not None)


def _characters(row: Row, task: Task) -> int:
    values = (row.get(name) or "" for name in (task.columns.text, task.columns.text_pair) if name)
    return sum(len(value) if isinstance(value, str) else len(" ".join(map(str, value))) for value in values)


def _kept(sample: Sequence[Row], task: Task, split: Split) -> float:
    """Share of the rows that `hash_range` and the labels keep."""
    low, high = split.hash_range or (0.0, 1.0)
    label = task.columns.label
    if label is None or not task.kind.has_labels or not sample:
        return high - low
    try:
        reader = LabelMap(task, untyped=task.format in UNTYPED)
        mapped = task.kind.read_labels(reader, [row.get(label) for row in sample], task.name)
    except InputError:
        return high - low
    return (high - low) * sum(value is not None for value in mapped) / len(mapped)
