"""Linear centred kernel alignment of every layer of one model with every layer of another (Kornblith et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 2048
"""Rows that are widened to float64 at a time."""


class CkaSums:
    """Sums over blocks of rows, float64: memory grows with widths and depths, not with the amount of text."""

    def __init__(self) -> None:
        self.rows = 0
        self._sums: _Sums | None = None

    def add(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
        """Add the same rows of all layers of both models, each (rows, width)."""
        for start in range(0, first[0].shape[0], BLOCK):
            part = slice(start, start + BLOCK)
            x, y = ([state[part].double() for state in states] for states in (first, second))
            self._sums = self._sums or _Sums.about(x, y)
            self._sums.add(torch.cat(x, dim=1), torch.cat(y, dim=1))
            self.rows += x[0].shape[0]

    def result(self) -> list[list[float | None]]:
        """‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred states, the biased estimator, in 0..1: a row for each layer of the first
        model, a column for each of the second; None where a layer does not vary, or no row was added."""
        return self._sums.similarities(self.rows) if self._sums else []


@dataclass(frozen=True)
class _Sums:
    """Sums of all layers side by side, about a point near their means, so that no digits are lost in centring."""

    widths: tuple[list[int], list[int]]
    shift: tuple[Tensor, Tensor]
    means: tuple[Tensor, Tensor]
    """Sums of rows."""
    cross: Tensor
    """XᵀY of all layers."""
    own: tuple[list[Tensor], list[Tensor]]
    """XᵀX and YᵀY layer by layer."""

    @classmethod
    def about(cls, x: Sequence[Tensor], y: Sequence[Tensor]) -> _Sums:
        """Zero sums about the means of these rows."""
        shift = tuple(torch.cat(tuple(states), dim=1).mean(dim=0) for states in (x, y))
        return cls(
            ([state.shape[1] for state in x], [state.shape[1] for state in y]),
            (shift[0], shift[1]),
            (torch.zeros_like(shift[0]), torch.zeros_like(shift[1])),
            x[0].new_zeros(len(shift[0]), len(shift[1])),
            (
                [state.new_zeros(state.shape[1], state.shape[1]) for state in x],
                [state.new_zeros(state.shape[1], state.shape[1]) for state in y],
            ),
        )

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add rows of all layers."""
        x, y = x - self.shift[0], y - self.shift[1]
        self.cross.addmm_(x.mT, y)
        for side, states in enumerate((x, y)):
            self.means[side].add_(states.sum(dim=0))
            layers = states.split(self.widths[side], dim=1)
            for layer, total in zip(layers, self.own[side], strict=True):
                total.addmm_(layer.mT, layer)

    def similarities(self, rows: int) -> list[list[float | None]]:
        """The alignment of every pair of layers."""
        norms = [self._norms(side, rows) for side in (0, 1)]
        centred = self.cross - torch.outer(*self.means) / rows
        return [
            [
                _ratio(float(block.square().sum()), norms[0][i] * norms[1][j])
                for j, block in enumerate(row.split(self.widths[1], dim=1))
            ]
            for i, row in enumerate(centred.split(self.widths[0]))
        ]

    def _norms(self, side: int, rows: int) -> list[float]:
        means = self.means[side].split(self.widths[side])
        return [
            float(torch.linalg.matrix_norm(total - torch.outer(mean, mean) / rows))
            for total, mean in zip(self.own[side], means, strict=True)
        ]


def _ratio(above: float, below: float) -> float | None:
    return min(1.0, above / below) if below > 0 else None
