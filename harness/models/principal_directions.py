"""Principal directions of the rows of an embedding, by falling variance.

After GUIDE (Trinh et al., 2025, arXiv 2510.06502), which starts a narrower student's embeddings as its teacher's on their
first principal directions. Computed in float64 on one thread, so that the number of threads changes no bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class PrincipalDirections:
    """The eigenvectors of a covariance."""

    vectors: Tensor
    """(width, width) float64, orthonormal columns by falling variance. Of each, the first of the entries of largest
    magnitude is positive."""
    variances: Tensor
    """(width,) float64, non-negative and falling."""

    def first(self, count: int) -> Tensor:
        """(width, count): the directions of largest variance."""
        return self.vectors[:, :count]

    def kept(self, count: int) -> float:
        """Share of the variance along the first `count` directions, 0..1; 1 where there is no variance to lose."""
        whole = float(self.variances.sum())
        return float(self.variances[:count].sum()) / whole if whole > 0 else 1.0


def principal_directions(rows: Tensor) -> PrincipalDirections:
    """Of (n, width) rows on CPU, each counted once, around their mean."""
    with one_thread(), torch.no_grad():
        variances, vectors = torch.linalg.eigh(_covariance(rows))
        vectors = vectors.flip(1)
        return PrincipalDirections(vectors * signs(vectors), variances.flip(0).clamp(min=0))


def signs(columns: Tensor) -> Tensor:
    """(count,): 1 or -1, which makes the first of the entries of largest magnitude of each column positive."""
    largest = columns.abs().argmax(dim=0, keepdim=True)
    return torch.where(columns.gather(0, largest)[0] < 0, -1.0, 1.0).to(columns.dtype)


@contextmanager
def one_thread() -> Iterator[None]:
    """While open, torch computes on one thread: sums are then added up in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _covariance(rows: Tensor) -> Tensor:
    """(width, width), divided by the number of rows."""
    parts = rows.split(_ROWS_AT_ONCE)
    mean = torch.stack([part.double().sum(0) for part in parts]).sum(0) / len(rows)
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for part in parts:
        centred = part.double() - mean
        total += centred.T @ centred
    return total / len(rows)
