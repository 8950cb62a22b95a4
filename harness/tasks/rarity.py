"""How rare the words of a row are, by the tokenizer: the share of its words that are cut into several pieces.

A word that a corpus seldom holds is no piece of the vocabulary that was learnt from such text. What counts as a word is the
tokenizer's own matter; where a script does not separate words, all shares are near 1 and tell little."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from harness.kinds.metrics import compute
from harness.records.rarity import RarityScore
from harness.spec.entries import Task
from harness.tasks.scoring import Predicted

_PIECE = 1024
"""Texts per call of the tokenizer."""


def split_shares(
    columns: Sequence[Sequence[str | None]], tokenizer: PreTrainedTokenizerBase
) -> NDArray[np.float64]:
    """(rows,) share of words of several pieces, 0..1, over the texts of each row (one sequence a column, None for no
    text); 0 for a row without words."""
    words, split = (np.zeros(len(columns[0]), dtype=np.int64) for _ in range(2))
    for column in columns:
        present = [row for row, text in enumerate(column) if isinstance(text, str)]
        for start in range(0, len(present), _PIECE):
            rows = present[start : start + _PIECE]
            encoded = tokenizer([column[row] for row in rows], add_special_tokens=False, verbose=False)
            for place, row in enumerate(rows):
                pieces = np.bincount([word for word in encoded.word_ids(place) if word is not None])
                words[row] += np.count_nonzero(pieces)
                split[row] += np.count_nonzero(pieces > 1)
    shares: NDArray[np.float64] = split / np.maximum(words, 1)
    return shares


def quarters(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """(rows,) 1 to 4, from few to many split words, by rank; equal shares stay together, in the lowest quarter that any
    of them reaches, so that quarters may differ in size and be empty."""
    lowest_rank = np.searchsorted(np.sort(shares), shares, side="left")
    found: NDArray[np.int64] = 4 * lowest_rank // max(len(shares), 1) + 1
    return found


def rarity_scores(task: Task, predicted: Predicted, shares: NDArray[np.float64]) -> list[RarityScore]:
    """The metrics of a task on each quarter of the rows that is not empty."""
    found = quarters(shares)
    scores = []
    for quarter in np.unique(found).tolist():
        rows = np.flatnonzero(found == quarter)
        for metric in task.metrics:
            value = compute(metric, predicted.predictions[rows], predicted.labels[rows])
            scores.append(
                RarityScore(
                    task=task.name,
                    language=predicted.language,
                    metric=metric,
                    quarter=quarter,
                    low=float(shares[rows].min()),
                    high=float(shares[rows].max()),
                    n=len(rows),
                    value=None if math.isnan(value) else value,
                )
            )
    return scores
