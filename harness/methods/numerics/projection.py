"""The matrices that bring student states to the teacher's width."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from harness.methods.numerics.least_squares import LinearFit
from harness.methods.terms.layer_pairs import ProjectionKind


class Projection(nn.Module):
    """H^S_i W: one matrix a student layer (`linear`), one for all, one a pair of layers, or none."""

    def __init__(
        self, kind: ProjectionKind, pairs: list[tuple[int, int]], student: int, teacher: int, bias: bool
    ) -> None:
        super().__init__()
        self.kind = kind
        keys = {self._key(i, j) for i, j in pairs} if kind != "none" else set()
        self.matrices = nn.ModuleDict({key: nn.Linear(student, teacher, bias=bias) for key in sorted(keys)})

    def _key(self, student_layer: int, teacher_layer: int) -> str:
        return {
            "linear": f"layer_{student_layer}",
            "shared_linear": "shared",
            "per_pair": f"layer_{student_layer}_{teacher_layer}",
            "none": "",
        }[self.kind]

    def forward(self, state: Tensor, student_layer: int, teacher_layer: int = 0) -> Tensor:
        """(..., student width) -> (..., teacher width)."""
        if self.kind == "none":
            return state
        projected: Tensor = self.matrices[self._key(student_layer, teacher_layer)](state)
        return projected

    def regressions(
        self, student_layer: int, teacher_layer: int, inputs: Tensor, targets: Tensor, weight: float = 1.0
    ) -> Iterator[LinearFit]:
        """For a least-squares fit of the pair's matrix: inputs (rows, in), targets (rows, out)."""
        if self.kind != "none":
            linear = self.matrices[self._key(student_layer, teacher_layer)]
            assert isinstance(linear, nn.Linear)
            yield LinearFit(linear.weight, linear.bias, inputs, targets, weight)


def initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    """Start the matrices (..., out, in) below `module`; biases are 0.

    A square matrix of a `Projection` is the identity, so that a student whose layers were copied from the
    teacher starts where the copy stands. All others are drawn from N(0, 1/in), which keeps the scale of the
    states. Parameters are visited in a fixed order, so the generator fixes them all.
    """
    square = {id(matrix) for matrix in _square_matrices(module)}
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            elif id(parameter) in square:
                nn.init.eye_(parameter)
            else:
                parameter.normal_(0, parameter.shape[-1] ** -0.5, generator=generator)


def _square_matrices(module: nn.Module) -> Iterator[nn.Parameter]:
    """Weights of the projections below `module` between states of equal width."""
    for projection in module.modules():
        if isinstance(projection, Projection):
            weights = [parameter for parameter in projection.parameters() if parameter.ndim == 2]
            yield from (weight for weight in weights if weight.shape[0] == weight.shape[1])
