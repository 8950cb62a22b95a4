"""What an `analyse` trial records: one student beside its teacher on held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from harness.base import Frozen

Measure = Literal["cka", "qq", "kk", "vv"]
"""`cka`: similarity of hidden states, 0..1; the others: KL divergence of relations, nats, 0 or more."""

Matrix = tuple[tuple[float | None, ...], ...]
"""A row for each student layer, a column for each teacher layer; null where a value is undefined or not finite."""


class Transfer(Frozen):
    """The student measured by one method's objective."""

    objective: str
    """Name of the method whose objective it is."""
    loss: float | None
    """Weighted sum of the terms, as in distillation; null where it cannot be measured."""
    terms: dict[str, float | None] = {}
    """Loss by term, unweighted."""
    fitted: tuple[str, ...] = ()
    """Terms with matrices of their own, fitted in closed form on the half of each batch that is not measured."""
    missing: str = ""
    """Why it cannot be measured."""


class Analysis(Frozen):
    """Comparisons of one student with its teacher."""

    blocks: int
    """Held-out blocks read."""
    tokens: int
    """Positions in the similarity: real ones whose true token is not a special one."""
    relation_heads: int
    layers: dict[Measure, Matrix]
    """`cka` from layer 0, the embedding output, in both models; relations from layer 1."""
    transfers: tuple[Transfer, ...]

    def problems(self) -> Iterator[str]:
        """Values that no student can have."""
        cka = self.layers.get("cka", ())
        if set(self.layers) != {"cka", "qq", "kk", "vv"} or not cka:
            yield "its analysis lacks a comparison of layers"
            return
        depth = len(cka) - 1, len(cka[0]) - 1
        for measure, matrix in self.layers.items():
            rows, columns = (n + (measure == "cka") for n in depth)
            if len(matrix) != rows or any(len(row) != columns for row in matrix):
                yield f"its {measure} is not a value for each of {rows} by {columns} layers"
            most = 1 + 1e-9 if measure == "cka" else math.inf
            if any(value is not None and not -1e-6 <= value <= most for row in matrix for value in row):
                yield f"its {measure} has values out of range"
