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
from harness.tasks.words import first_pieces

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
    first_pieces: tuple[NDArray[np.int64], ...] = ()
    """Of each row of words, (words,) where the first token of each word stands, -1 for a word without one."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of many rows, one after the other."""

    ids: NDArray[np.int32]
    """(all tokens,)"""
    segments: NDArray[np.uint8]
    """(all tokens,) 1 in the second text of a pair."""
    offsets: NDArray[np.int64]
    """(rows + 1,) where each row begins."""
    pieces: NDArray[np.int64] | None = None
    """Of rows of words: (all words,) where in its row the first token of each word stands, -1 for a word without one."""
    words: NDArray[np.int64] | None = None
    """(rows + 1,) where the words of each row begin in `pieces`."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,) tokens of each row."""
        return np.diff(self.offsets)

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """The rows of all parts, one after the other."""
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.segments for part in parts]),
            _boundaries([part.lengths for part in parts]),
            *_joined_words([(part.pieces, part.words) for part in parts]),
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
            first_pieces=tuple(self.pieces_of(row) for row in rows) if self.pieces is not None else (),
        )

    def pieces_of(self, row: int) -> NDArray[np.int64]:
        """(words,) of one row, as in `pieces`."""
        assert self.pieces is not None
        assert self.words is not None
        return self.pieces[self.words[row] : self.words[row + 1]]


def _boundaries(lengths: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Where each row begins and the last one ends, from the lengths of the rows of several parts."""
    return np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)


def _joined_words(
    parts: Sequence[tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | tuple[()]:
    """`pieces` and `words` of all parts; nothing for rows that are not of words."""
    pieces, words = ([one for one in column if one is not None] for column in zip(*parts, strict=True))
    return (np.concatenate(pieces), _boundaries([np.diff(one) for one in words])) if pieces else ()


def encode_rows(
    frame: pd.DataFrame,
    data_id: str,
    tokenizer: PreTrainedTokenizerBase,
    tokenizer_sha256: str,
    length: int,
    cache_dir: Path,
    by_word: bool = False,
) -> Encoded:
    """The rows of a split (columns text, text_pair) as ids of at most `length` tokens, the longer text cut first; with
    the first token of each word if `by_word` (`harness.tasks.words`).

    `data_id` and `tokenizer_sha256` identify what is tokenised and with what; the result is cached below `cache_dir`.
    """
    key = digest([VERSIONS["encoding"], data_id, tokenizer_sha256, length, *["by word"] * by_word], 32)
    path = cache_dir / "encoded" / f"{key}.safetensors"
    try:
        return Encoded(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        pass  # missing or damaged: encoded again
    encoded = _encode(frame, tokenizer, length, by_word)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    os.close(handle)
    try:
        save_file({name: value for name, value in vars(encoded).items() if value is not None}, temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return encoded


def _encode(frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, length: int, by_word: bool) -> Encoded:
    pairs = None if frame["text_pair"].isna().all() else frame["text_pair"].tolist()
    encoding = tokenizer(
        frame["text"].tolist(),
        pairs,
        truncation="longest_first",
        max_length=length,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=True,
        return_offsets_mapping=by_word,
        verbose=False,
    )
    lengths = [len(row) for row in encoding["input_ids"]]
    total = sum(lengths)
    words: list[list[int]] = []
    if by_word:
        spans = zip(frame["text"], encoding["offset_mapping"], strict=True)
        words = [first_pieces(text, offsets) for text, offsets in spans]
    return Encoded(
        np.fromiter((i for row in encoding["input_ids"] for i in row), dtype=np.int32, count=total),
        np.fromiter((i for row in encoding["token_type_ids"] for i in row), dtype=np.uint8, count=total),
        _boundaries([np.array(lengths)]),
        *((np.concatenate(words), _boundaries([np.array([len(row) for row in words])])) if by_word else ()),
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
