"""One form in ids for catalog entries that are written differently and ask the same question.

Each function takes the identity of an entry's fields (`harness.base.identity`) and returns what is hashed. What an entry
*is* belongs to `harness.spec.entries`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.base import identity, in_order

if TYPE_CHECKING:
    from harness.spec.entries import Corpus, Split, Task

LAYOUT = ("format", "columns", "labels", "drop_labels")
"""What a split may state differently from its task."""


def hashed_task(task: Task, fields: dict[str, Any]) -> dict[str, Any]:
    """A task as it is trained and scored.

    The reported split counts where there are two to choose from; the first language where it is the pivot of a
    retrieval without English; a split's layout where it differs from the task's."""
    splits = {name: _own_layout(split, fields) for name, split in fields["splits"].items()}
    report = {"report": task.report} if {"dev", "test"} <= task.splits.keys() else {}
    pivot = not task.kind.trains and "en" not in task.languages
    return {**fields, "splits": splits, **report, **({"pivot": task.languages[0]} if pivot else {})}


def _own_layout(split: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """A split's fields, null where it repeats what the task says."""
    return {name: None if name in LAYOUT and value == task[name] else value for name, value in split.items()}


def hashed_corpus(corpus: Corpus, fields: dict[str, Any]) -> dict[str, Any]:
    """A corpus as the text that it yields: languages are read separately, so only the order within each counts, and an
    excluded task counts as the sentences that it removes."""
    texts = sorted(fields["texts"], key=lambda text: str(text["language"]))
    excluded = [task if isinstance(task, str) else evaluated_text(task) for task in corpus.exclude]
    return {**fields, "texts": texts, "exclude": in_order(excluded, repeats=False)}


def evaluated_text(task: Task) -> dict[str, Any]:
    """What decides the sentences of a task's dev and test splits: where they are read and which rows count, regardless
    of names and metrics."""
    splits = [
        {
            "files": split.files,
            "asset": identity(task.assets[split.asset]),
            "hash_range": split.hash_range,
            "format": split.format or task.format,
            "columns": split.columns or task.columns,
            "labels": in_order(
                identity(list((task.labels if split.labels is None else split.labels).values()))
            ),
            "drop_labels": in_order(
                task.drop_labels if split.drop_labels is None else split.drop_labels, repeats=False
            ),
        }
        for split in evaluated_splits(task)
    ]
    return {
        "type": task.kind.name,
        "header": task.header,
        "encoding": task.encoding,
        "languages": sorted(set(task.languages)),
        "splits": in_order([identity(split) for split in splits], repeats=False),
    }


def evaluated_splits(task: Task) -> list[Split]:
    """Splits whose sentences a corpus must not hold."""
    return [split for name, split in task.splits.items() if name != "train"]
