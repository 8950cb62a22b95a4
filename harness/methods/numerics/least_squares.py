"""Matrices fitted in closed form: ridge regression from normal equations, float64."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 1e-6
"""Added to the diagonal of XᵀX, times its mean: inputs that do not span their width have a solution too."""


@dataclass(frozen=True)
class LinearFit:
    """Inputs and targets of one matrix on one batch."""

    matrix: Tensor
    """(out, in), written in place once it is fitted; a view of a parameter."""
    bias: Tensor | None
    """(out,)"""
    inputs: Tensor
    """(rows, in)"""
    targets: Tensor
    """(rows, out)"""
    weight: float = 1.0
    """Of these rows beside others of the same matrix."""


class NormalEquations:
    """Sums for the matrices of one objective, added batch by batch."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[Tensor, Tensor | None, Tensor, Tensor]] = {}

    def add(self, regressions: Iterable[LinearFit]) -> None:
        """Add one batch; a matrix is known by where its values lie."""
        for one in regressions:
            x, t = one.inputs.double(), one.targets.double()
            if one.bias is not None:
                x = torch.cat([x, x.new_ones(x.shape[0], 1)], dim=1)
            gram, product = one.weight * (x.mT @ x), one.weight * (x.mT @ t)
            key = one.matrix.data_ptr()
            if key in self._sums:
                _, _, gram_before, product_before = self._sums[key]
                gram, product = gram_before + gram, product_before + product
            self._sums[key] = (one.matrix, one.bias, gram, product)

    @torch.no_grad()
    def solve(self) -> None:
        """Write every matrix, and its bias, and start anew."""
        for matrix, bias, gram, product in self._sums.values():
            ridge = RIDGE * gram.diagonal().mean().clamp_min(torch.finfo(gram.dtype).tiny)
            gram = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
            solution = torch.linalg.solve(gram, product).mT
            if bias is not None:
                bias.copy_(solution[:, -1])
                solution = solution[:, :-1]
            matrix.copy_(solution)
        self._sums.clear()
