"""The matrices that bring student states to the teacher's width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


def initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    """Draw every matrix below `module` from N(0, 1/fan-in), which keeps the states' scale; biases 0.

    Matrices are (..., out, in). Parameters are visited in a fixed order, so the generator fixes them all.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                parameter.normal_(0, parameter.shape[-1] ** -0.5, generator=generator)
