"""Cleaning the documents of a corpus: repeated and evaluated sentences are removed and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from harness.files import text_hash
from harness.sentences import normalise, sentences

Hashes = NDArray[np.uint64]

_PIECE = 256
"""Documents cleaned per batch."""


def hashes_of(normalised: Iterable[str]) -> Hashes:
    """Sorted 64-bit hashes of normalised sentences; an unrelated sentence collides with one of n with
    probability n / 2^64."""
    return np.unique(np.fromiter((text_hash(key) for key in normalised), dtype=np.uint64))


@dataclass
class CleaningCounts:
    """Counts of what was kept and dropped."""

    documents: int = 0
    """Documents with text left after cleaning."""
    sentences: int = 0
    """Sentences kept."""
    characters: int = 0
    """Characters kept."""
    duplicates: int = 0
    """Sentences dropped because the corpus had them already."""
    excluded: Counter[str] = field(default_factory=Counter)
    """Task -> sentences dropped because one of its evaluation splits holds them."""
    remaining: Counter[str] = field(default_factory=Counter)
    """Task -> sentences kept although one of its evaluation splits holds them (tasks that are only watched)."""


class SeenHashes:
    """A set of 64-bit hashes, 8 bytes each: sorted runs, merged as they double in size."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def first(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Mask of the entries that are new, both to the set and within `hashes`; adds all of them."""
        new = np.zeros(len(hashes), dtype=bool)
        unique, where = np.unique(hashes, return_index=True)
        fresh = np.ones(len(unique), dtype=bool)
        for run in self._runs:
            fresh &= ~contains(run, unique)
        new[where[fresh]] = True
        run = unique[fresh]
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.union1d(self._runs.pop(), run)
        self._runs.append(run)
        return new


def contains(sorted_hashes: Hashes, hashes: Hashes) -> NDArray[np.bool_]:
    """Mask of the entries of `hashes` that are in `sorted_hashes`."""
    if len(sorted_hashes) == 0:
        return np.zeros(len(hashes), dtype=bool)
    at = np.minimum(np.searchsorted(sorted_hashes, hashes), len(sorted_hashes) - 1)
    return np.asarray(sorted_hashes[at] == hashes)


def clean(
    documents: Iterable[str],
    excluded: Mapping[str, Hashes],
    watched: Mapping[str, Hashes],
    counts: CleaningCounts,
) -> Iterator[str]:
    """The documents without repeated sentences and without those that tasks in `excluded` evaluate on.

    Adds to `counts`. Documents without words left are dropped.
    """
    seen = SeenHashes()
    stream = iter(documents)
    while piece := [sentences(document) for document in islice(stream, _PIECE)]:
        normalised = [normalise(sentence) for document in piece for sentence in document]
        hashes = np.fromiter(map(text_hash, normalised), dtype=np.uint64, count=len(normalised))
        keep = np.fromiter(map(bool, normalised), dtype=bool, count=len(normalised))
        for task, evaluated in excluded.items():
            hit = keep & contains(evaluated, hashes)
            counts.excluded[task] += int(hit.sum())
            keep &= ~hit
        repeated = keep & ~seen.first(hashes)
        counts.duplicates += int(repeated.sum())
        keep &= ~repeated
        for task, evaluated in watched.items():
            counts.remaining[task] += int((keep & contains(evaluated, hashes)).sum())
        counts.sentences += int(keep.sum())
        verdicts = iter(keep)
        for document in piece:
            cleaned = "".join(sentence for sentence in document if next(verdicts)).strip()
            if cleaned:
                counts.documents += 1
                counts.characters += len(cleaned)
                yield cleaned
