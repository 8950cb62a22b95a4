"""The one input stream: batch `step` as a pure function of (token blocks, recipe, seed, step).

Random access, at a cost independent of the step and of the size of the corpus, so a resumed trial reads exactly what an
uninterrupted one reads. The stream depends on neither method nor student: all methods see the same tokens in the same
order with the same corruption.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from harness.corpora.blocks import TokenBlocks, Vocabulary
from harness.errors import InputError
from harness.methods.loss import Batch
from harness.shuffle import generator, key_of, permuted
from harness.spec.recipes import TokenBatches

_PERIOD = 4096
"""Rows per period; each period meets the languages' shares exactly (to 1/4096)."""


def sampling_shares(tokens: dict[str, int], alpha: float) -> dict[str, float]:
    """Share of each language in the stream, p ∝ n^α over tokens (Conneau & Lample, 2019; XLM-R: α = 0.3)."""
    weights = {language: count**alpha for language, count in tokens.items()}
    total = sum(weights.values())
    return {language: weight / total for language, weight in weights.items()}


class BatchStream:
    """Batches by step. Languages are drawn in shuffled periods that meet their shares; within a language each block
    occurs once per epoch, in a new order each epoch."""

    def __init__(
        self,
        blocks: TokenBlocks,
        recipe: TokenBatches,
        seed: int,
        input: Literal["masked", "clean"] = "masked",
    ) -> None:
        if recipe.length != blocks.length:
            raise InputError(f"the recipe needs blocks of {recipe.length} tokens; these have {blocks.length}")
        self._recipe = recipe
        self._seed = seed
        self._input = input
        self._languages = tuple(blocks.languages)
        self._data = [blocks.training(language) for language in self._languages]
        shares = sampling_shares(
            {name: entry.tokens for name, entry in blocks.languages.items()}, blocks.alpha
        )
        self._quota = _quotas(np.array([shares[name] for name in self._languages]))
        self._corruption = _Corruption(blocks.vocabulary, recipe.mlm_probability)
        self._schedule = lru_cache(maxsize=2)(self._make_schedule)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each language among the rows of every period."""
        return {
            name: float(quota / _PERIOD) for name, quota in zip(self._languages, self._quota, strict=True)
        }

    def at(self, step: int) -> Batch:
        """Batch of step `step` (0-based): (batch_size, length) token ids without padding."""
        ids = self._rows(step)
        if self._input == "clean":
            return _batch(ids, np.full_like(ids, -100))
        return _batch(*self._corruption.apply(ids, generator("corruption", self._seed, step)))

    def _rows(self, step: int) -> NDArray[np.int64]:
        size = self._recipe.batch_size
        rows = np.arange(step * size, (step + 1) * size)
        ids = np.empty((size, self._recipe.length), dtype=np.int64)
        for period in np.unique(rows // _PERIOD):
            inside = np.flatnonzero(rows // _PERIOD == period)
            languages, ranks = self._schedule(int(period))
            slots = rows[inside] % _PERIOD
            for language in np.unique(languages[slots]):
                mine = languages[slots] == language
                draws = int(period) * self._quota[language] + ranks[slots[mine]]
                ids[inside[mine]] = self._blocks(int(language), draws)
        return ids

    def _make_schedule(self, period: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each row of a period, its language and the number of earlier rows of that language."""
        languages = np.repeat(np.arange(len(self._quota)), self._quota)
        ranks = np.concatenate([np.arange(quota) for quota in self._quota])
        if len(self._quota) == 1:
            return languages, ranks
        shuffled = generator("languages", self._seed, period).permutation(_PERIOD)
        order = np.argsort(languages[shuffled], kind="stable")
        ranked = np.empty(_PERIOD, dtype=np.int64)
        ranked[order] = ranks
        return languages[shuffled], ranked

    def _blocks(self, language: int, draws: NDArray[np.int64]) -> NDArray[np.int64]:
        """Block indices of a language by draw number: epoch = draw // blocks, shuffled anew in each epoch."""
        data = self._data[language]
        chosen = np.empty(len(draws), dtype=np.int64)
        for epoch in np.unique(draws // len(data)):
            now = draws // len(data) == epoch
            key = key_of("order", self._seed, self._languages[language], int(epoch))
            chosen[now] = permuted(draws[now] % len(data), len(data), key)
        return np.asarray(data[chosen], dtype=np.int64)


def held_out_batches(
    blocks: TokenBlocks,
    recipe: TokenBatches,
    seed: int = 0,
    max_blocks: int = 512,
    language: str | None = None,
) -> list[Batch]:
    """Corrupted batches of held-out blocks, of one language or of all by share, for masked-LM accuracy.

    Empty where the held-out documents fill no block."""
    names = [language] if language is not None else list(blocks.languages)
    data: list[NDArray[Any]] = [blocks.held_out_blocks(name) for name in names]
    every = np.concatenate([part[_evenly(len(part), max_blocks, sum(map(len, data)))] for part in data])
    corruption = _Corruption(blocks.vocabulary, recipe.mlm_probability)
    batches: list[Batch] = []
    for start in range(0, len(every), recipe.batch_size):
        ids = every[start : start + recipe.batch_size].astype(np.int64)
        batches.append(_batch(*corruption.apply(ids, generator("held_out", seed, start))))
    return batches


def _evenly(count: int, wanted: int, total: int) -> NDArray[np.int64]:
    """Indices of this part's share of `wanted` blocks out of `total`, evenly spaced over its `count`."""
    share = count if total <= wanted else max(1, count * wanted // total) if count else 0
    return (np.arange(share) * count) // max(share, 1)


def _quotas(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows per period for each language: largest remainders, at least one each."""
    exact = shares * _PERIOD
    quota = np.maximum(np.floor(exact).astype(np.int64), 1)
    while (missing := _PERIOD - int(quota.sum())) != 0:
        step = 1 if missing > 0 else -1
        gap = np.where((step > 0) | (quota > 1), step * (exact - quota), -np.inf)
        quota[np.argsort(-gap, kind="stable")[: min(abs(missing), len(quota))]] += step
    return quota


@dataclass(frozen=True)
class _Corruption:
    """BERT's corruption: of the chosen positions 80 % become [MASK], 10 % a random piece, 10 % stay.

    Devlin et al. (2019), section 3.1. Special tokens are neither chosen nor drawn.
    """

    vocabulary: Vocabulary
    probability: float

    def __post_init__(self) -> None:
        special = np.zeros(self.vocabulary.size, dtype=bool)
        special[list(self.vocabulary.special)] = True
        object.__setattr__(self, "_special", special)
        object.__setattr__(self, "_ordinary", np.flatnonzero(~special))

    def apply(
        self, ids: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows, length) token ids -> corrupted ids, true ids at chosen positions (-100 elsewhere)."""
        special: NDArray[np.bool_] = self._special  # type: ignore[attr-defined]
        ordinary: NDArray[np.int64] = self._ordinary  # type: ignore[attr-defined]
        chosen = (random.random(ids.shape, dtype=np.float32) < self.probability) & ~special[ids]
        fate = random.random(ids.shape, dtype=np.float32)
        drawn = ordinary[random.integers(len(ordinary), size=ids.shape)]
        corrupted = np.where(chosen & (fate < 0.8), self.vocabulary.mask, ids)
        corrupted = np.where(chosen & (fate >= 0.8) & (fate < 0.9), drawn, corrupted)
        return corrupted, np.where(chosen, ids, -100)


def _batch(ids: NDArray[np.int64], labels: NDArray[np.int64]) -> Batch:
    mask = torch.ones(ids.shape, dtype=torch.bool)
    return Batch(torch.from_numpy(ids), mask, torch.from_numpy(labels), padded=False)
