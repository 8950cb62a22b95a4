"""Weights of the dynamic layer mappings, re-computed during training. Needs torch and POT.

A term with a dynamic mapping holds one of these objects. `PairWeights` weigh pairs of layers for the whole
batch and are refreshed every so many steps; `BlendWeights` weigh teacher layers anew for each example
inside the loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import ot
import torch
from torch import Tensor

from harness.methods.mappings.dynamic import Attention, Emd, Greedy, Random
from harness.methods.mappings.mapping import DynamicMapping
from harness.methods.mappings.static import Uniform

Costs = Literal["loss", "layer_norm", "none"]
"""What a refresh looks at: the pairs' own losses, distances of layer-normalised states, or nothing."""


class PairWeights(ABC):
    """A weight for each pair (student layer, teacher layer), the same for every example; they sum to 1."""

    costs: ClassVar[Costs] = "loss"

    def __init__(self, params: DynamicMapping, teacher_layers: int, student_layers: int) -> None:
        self.every: int = getattr(params, "every", 1)
        self.weights = self.initial(teacher_layers, student_layers)
        """(L_S, L_T) float64 on the CPU, row i − 1 for student layer i, column j − 1 for teacher layer j."""

    def initial(self, teacher_layers: int, student_layers: int) -> Tensor:
        """Weights before the first refresh: those of the static mapping `uniform`."""
        return assignment(
            [j for (j,) in Uniform().layers(teacher_layers, student_layers).values()], teacher_layers
        )

    def due(self, step: int) -> bool:
        """Whether the weights are re-computed before step `step` (0-based)."""
        return step % self.every == 0

    @abstractmethod
    def refresh(self, costs: Tensor, generator: torch.Generator) -> Tensor:
        """New weights, (L_S, L_T) float64, from the mean costs of a batch, (L_S, L_T) float64 on the CPU."""

    def pairs(self) -> dict[tuple[int, int], float]:
        """(student layer, teacher layer) -> weight, for pairs whose weight is not 0."""
        return {
            (i, j): weight
            for i, row in enumerate(self.weights.tolist(), start=1)
            for j, weight in enumerate(row, start=1)
            if weight
        }


def assignment(layers: list[int], teacher_layers: int) -> Tensor:
    """Weights of a one-to-one map: 1/L_S at (i, layers[i − 1])."""
    weights = torch.zeros(len(layers), teacher_layers, dtype=torch.float64)
    weights[torch.arange(len(layers)), torch.tensor(layers) - 1] = 1 / len(layers)
    return weights


class EmdWeights(PairWeights):
    """The exact optimal-transport flow under uniform marginals (BERT-EMD, Li et al., 2020)."""

    def __init__(self, params: Emd, teacher_layers: int, student_layers: int) -> None:
        super().__init__(params, teacher_layers, student_layers)

    def initial(self, teacher_layers: int, student_layers: int) -> Tensor:
        """The flow when all costs are equal: everything to everything."""
        return torch.full(
            (student_layers, teacher_layers), 1 / (student_layers * teacher_layers), dtype=torch.float64
        )

    def refresh(self, costs: Tensor, generator: torch.Generator) -> Tensor:
        return torch.from_numpy(ot.emd([], [], costs.numpy())).contiguous()


class GreedyWeights(PairWeights):
    """The non-decreasing assignment φ(1) ≤ … ≤ φ(L_S) of least total cost, by dynamic programming."""

    costs = "layer_norm"

    def __init__(self, params: Greedy, teacher_layers: int, student_layers: int) -> None:
        super().__init__(params, teacher_layers, student_layers)

    def refresh(self, costs: Tensor, generator: torch.Generator) -> Tensor:
        """The assignment; among equals, the lowest teacher layers."""
        return assignment(monotone_assignment(costs.tolist()), costs.shape[1])


def monotone_assignment(costs: list[list[float]]) -> list[int]:
    """Non-decreasing 1-based columns, one a row, of least total cost; among equals, the lowest."""
    best = [0.0] * len(costs[0])
    chosen: list[list[int]] = []
    for row in costs:
        totals: list[float] = []
        choices: list[int] = []
        low = 0
        for j, cost in enumerate(row):
            low = j if best[j] < best[low] else low
            totals.append(best[low] + cost)
            choices.append(low)
        best = totals
        chosen.append(choices)
    column = min(range(len(best)), key=best.__getitem__)
    columns = [column]
    for choices in reversed(chosen[1:]):
        column = choices[column]
        columns.append(column)
    return [j + 1 for j in reversed(columns)]


class RandomWeights(PairWeights):
    """A sorted choice of L_S distinct teacher layers, drawn anew (RAIL-KD, Haidar et al., 2022)."""

    costs = "none"

    def __init__(self, params: Random, teacher_layers: int, student_layers: int) -> None:
        super().__init__(params, teacher_layers, student_layers)

    def refresh(self, costs: Tensor, generator: torch.Generator) -> Tensor:
        student_layers, teacher_layers = self.weights.shape
        drawn = torch.randperm(teacher_layers, generator=generator, device=generator.device)[:student_layers]
        return assignment([j + 1 for j in sorted(drawn.tolist())], teacher_layers)


class BlendWeights(ABC):
    """Weights over all teacher layers for each example and student layer."""

    @abstractmethod
    def blend(self, student: Tensor, teacher: Tensor) -> Tensor:
        """First-token states (batch, width), (L_T, batch, width) -> weights (batch, L_T); rows sum to 1."""


class AttentionWeights(BlendWeights):
    """Softmax of the dot products of first-token states (ALP-KD, Passban et al., 2021)."""

    def __init__(self, params: Attention, teacher_layers: int, student_layers: int) -> None:
        """Holds no state: the weights are made anew for every batch."""

    def blend(self, student: Tensor, teacher: Tensor) -> Tensor:
        return torch.einsum("bd,lbd->bl", student, teacher).softmax(dim=-1)
