"""Random access to shuffled orders: entry k of a permutation of any size, in constant time and memory."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_ROUNDS = 6


def key_of(*parts: object) -> int:
    """A 128-bit key from names and numbers; the same on every machine."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def generator(*parts: object) -> np.random.Generator:
    """A counter-based generator (Philox) that depends on `parts` alone."""
    return np.random.Generator(np.random.Philox(key=key_of(*parts)))


def permuted(positions: NDArray[np.int64], size: int, key: int) -> NDArray[np.int64]:
    """Entries at `positions` (0 .. size-1) of a pseudo-random permutation of 0 .. size-1 that `key` chooses.

    A balanced Feistel network on the next even number of bits, walked until the value is below `size`
    (Black & Rogaway, 2002, "Ciphers with arbitrary finite domains").
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        values[outside] = _feistel(values[outside], np.uint64(half), key)
        outside = values >= size
    return values.astype(np.int64)


def _feistel(values: Words, half: np.uint64, key: int) -> Words:
    """One pass of the network over values of 2 * half bits; a bijection."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for number in range(_ROUNDS):
        round_key = np.uint64((key >> (16 * number)) & 0xFFFFFFFFFFFFFFFF ^ number)
        left, right = right, left ^ (_mix(right ^ round_key) & mask)
    return (left << half) | right


def _mix(values: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, 2014)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
