"""Rows that are scored and trained on: a dev or test row whose texts also occur in the training rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.base import digest
from harness.errors import InputError
from harness.files import text_hash, write_atomically
from harness.sentences import normalise
from harness.spec.entries import Task

COUNTING_VERSION = 1
"""Raised when a change of code changes which rows count as the same."""

Part = tuple[str, str]
"""(split, language)."""
Keys = NDArray[np.uint64]


def row_keys(frame: pd.DataFrame) -> Keys:
    """(rows,) hashes of each row's texts, both together, as sentences of a corpus are compared: without case,
    punctuation and extra space."""
    pairs = zip(frame["text"], frame["text_pair"], strict=True)
    hashes = (text_hash(normalise(str(text)), normalise(str(pair or ""))) for text, pair in pairs)
    return np.fromiter(hashes, dtype=np.uint64, count=len(frame))


def shared_with_train(keys: Mapping[Part, Keys]) -> dict[Part, int]:
    """(dev or test, language) -> rows also in the training rows of some language; parts without any are left out."""
    train = [part for (split, _), part in keys.items() if split == "train"]
    if not train:
        return {}
    trained = np.concatenate(train)
    counts = {
        part: int(np.isin(hashes, trained).sum())
        for part, hashes in keys.items()
        if part[0] in ("dev", "test")
    }
    return {part: count for part, count in counts.items() if count}


def refuse_same_rows(task: Task, keys: Mapping[Part, Keys]) -> None:
    """InputError where a dev or test split is the training split."""
    sets = {part: np.unique(found) for part, found in keys.items()}
    for (split, language), scored in sets.items():
        for (other, trained_on), trained in sets.items():
            if split in ("dev", "test") and other == "train" and np.array_equal(scored, trained):
                raise InputError(
                    f"task {task.name}: split {split} ({language}) has the same rows as split train ({trained_on}), so its "
                    "scores would be memorised; name other files, or separate the rows with `hash_range`"
                )


def counted_shared(
    frames: Mapping[Part, pd.DataFrame], data_ids: Mapping[Part, str], cache_dir: Path
) -> dict[Part, int]:
    """`shared_with_train` of the rows in `frames`, whose content `data_ids` are hashes of; counted once, then cached."""
    parts = sorted(part for part in frames if part[0] in ("train", "dev", "test"))
    key = digest([COUNTING_VERSION, [[*part, data_ids[part]] for part in parts]], 32)
    memory = cache_dir / "shared_rows" / f"{key}.json"
    if memory.is_file():
        return {(split, code): count for split, code, count in json.loads(memory.read_text("utf-8"))}
    counts = shared_with_train({part: row_keys(frames[part]) for part in parts})
    write_atomically(memory, json.dumps([[*part, count] for part, count in counts.items()]))
    return counts
