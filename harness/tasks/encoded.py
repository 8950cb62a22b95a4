"""Task rows as token ids: tokenised once for each (rows, tokenizer, length), shared by all trials, batched by length."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from harness.base import digest
from harness.records.reading import VERSIONS
from harness.shuffle import generator

_POOL = 50
"""Batches whose rows are sorted by length together: saves most of the padding and keeps most of the random order."""


@dataclass(frozen=True)
class PaddedRows:
    """One padded batch."""

    input_ids: Tensor
    """(rows, tokens) int64."""
    attention_mask: Tensor
    """(rows, tokens) int64, 1 at real tokens."""
    token_type_ids: Tensor
    """(rows, tokens) int64, 1 in the second text of a pair."""
    tokens: int
    """Tokens that are not padding."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of many rows, one after the other."""

    ids: NDArray[np.int32]
    """(all tokens,)"""
    segments: NDArray[np.uint8]
    """(all tokens,) 1 in the second text of a pair."""
    offsets: NDArray[np.int64]
    """(rows + 1,) where each row begins."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,) tokens of each row."""
        return np.diff(self.offsets)

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """The rows of all parts, one after the other."""
        starts = np.cumsum([0, *(len(part.ids) for part in parts)])
        offsets = [part.offsets[1:] + start for part, start in zip(parts, starts[:-1], strict=True)]
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.segments for part in parts]),
            np.concatenate([np.zeros(1, dtype=np.int64), *offsets]),
        )

    def padded_length(self, rows: NDArray[np.int64]) -> int:
        """Tokens that each of these rows has in a batch: as many as the longest."""
        return int(self.lengths[rows].max())

    def batch(self, rows: NDArray[np.int64], padding: int, device: torch.device) -> PaddedRows:
        """The rows padded to the longest of them with the token id `padding`."""
        lengths = self.lengths[rows]
        width = self.padded_length(rows)
        ids = np.full((len(rows), width), padding, dtype=np.int64)
        segments = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.arange(width) < lengths[:, None]
        where = np.concatenate([np.arange(self.offsets[row], self.offsets[row + 1]) for row in rows])
        ids[mask], segments[mask] = self.ids[where], self.segments[where]
        return PaddedRows(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask.astype(np.int64)).to(device),
            token_type_ids=torch.from_numpy(segments).to(device),
            tokens=int(lengths.sum()),
        )


def encode_rows(
    frame: pd.DataFrame,
    data_id: str,
    tokenizer: PreTrainedTokenizerBase,
    tokenizer_sha256: str,
    length: int,
    cache_dir: Path,
) -> Encoded:
    """The rows of a split (columns text, text_pair) as ids of at most `length` tokens, the longer text cut first.

    `data_id` and `tokenizer_sha256` identify what is tokenised and with what; the result is cached below `cache_dir`.
    """
    key = digest([VERSIONS["encoding"], data_id, tokenizer_sha256, length], 32)
    path = cache_dir / "encoded" / f"{key}.safetensors"
    try:
        return Encoded(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        pass  # missing or damaged: encoded again
    encoded = _encode(frame, tokenizer, length)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    os.close(handle)
    try:
        save_file({"ids": encoded.ids, "segments": encoded.segments, "offsets": encoded.offsets}, temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return encoded


def _encode(frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, length: int) -> Encoded:
    pairs = None if frame["text_pair"].isna().all() else frame["text_pair"].tolist()
    encoding = tokenizer(
        frame["text"].tolist(),
        pairs,
        truncation="longest_first",
        max_length=length,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=True,
        verbose=False,
    )
    lengths = [len(row) for row in encoding["input_ids"]]
    total = sum(lengths)
    return Encoded(
        np.fromiter((i for row in encoding["input_ids"] for i in row), dtype=np.int32, count=total),
        np.fromiter((i for row in encoding["token_type_ids"] for i in row), dtype=np.uint8, count=total),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def training_batches(
    lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Row numbers of each batch of an epoch: every row once, rows of like length together, all in random order.

    A function of its arguments alone; ⌈rows / batch_size⌉ batches, of which one may be smaller.
    """
    random = generator("finetune", seed, epoch)
    order = random.permutation(len(lengths))
    pools = np.split(order, range(_POOL * batch_size, len(order), _POOL * batch_size))
    sorted_pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    batches = [batch for pool in sorted_pools for batch in _cut(pool, batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def evaluation_batches(lengths: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of each batch, longest rows first: always the same rows together, so scores never depend on order."""
    yield from _cut(np.argsort(-lengths, kind="stable"), batch_size)


def _cut(rows: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]
