"""DirectMiniLM: queries, keys and values themselves, aligned through matrices; no relations, no softmax."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from harness.methods.layer import PROJECTIONS
from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.methods.numerics.least_squares import LinearFit
from harness.methods.numerics.squared_error import squared_error
from harness.methods.terms.qkv import Qkv
from harness.shapes import Shape


class QkvLoss(TermLoss):
    """⅓ Σ_{α∈Q,K,V} mean((α_S W_α − α_T)²), no bias (Udagawa et al., 2023)."""

    params: Qkv

    def __init__(self, params: Qkv, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        self.student_layer, self.teacher_layer = params.pair(teacher, student)
        self.heads = 1 if params.heads == "whole" else params.heads
        self.weight = nn.Parameter(
            torch.empty(
                len(PROJECTIONS), self.heads, teacher.width // self.heads, student.width // self.heads
            )
        )
        """(3 for Q, K, V; A_r; d_T/A_r; d_S/A_r)."""

    def teacher_needs(self) -> Needs:
        return Needs(qkv=frozenset({self.teacher_layer}))

    def student_needs(self) -> Needs:
        return Needs(qkv=frozenset({self.student_layer}))

    def count(self, batch: Batch) -> int:
        """Real tokens."""
        return batch.tokens

    def projected(self, x: Tensor, matrices: Tensor) -> Tensor:
        """(batch, tokens, d_S) through (A_r, d_T/A_r, d_S/A_r), head by head -> (batch, tokens, d_T)."""
        heads = x.unflatten(-1, (self.heads, -1)).flatten(0, 1).transpose(0, 1)
        return torch.bmm(heads, matrices.mT).transpose(0, 1).flatten(1).unflatten(0, x.shape[:2])

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over real tokens of the squared error, mean over width and over Q, K, V."""
        mask = batch.attention_mask if batch.padded else None
        mine, theirs = student.qkv[self.student_layer], teacher.qkv[self.teacher_layer]
        losses = []
        for index, name in enumerate(PROJECTIONS.values()):
            target: Tensor = getattr(theirs, name)
            x = self.projected(getattr(mine, name), self.weight[index])
            losses.append(squared_error(x, [target], [1 / len(PROJECTIONS)], mask) / target.shape[-1])
        return torch.stack(losses).sum()

    def regressions(self, teacher: Activations, student: Activations, batch: Batch) -> Iterator[LinearFit]:
        """Each re-split head of the student's projections to the teacher's."""
        real = batch.attention_mask
        mine, theirs = student.qkv[self.student_layer], teacher.qkv[self.teacher_layer]
        for index, name in enumerate(PROJECTIONS.values()):
            x, t = (
                getattr(maps, name)[real].unflatten(-1, (self.heads, -1)).unbind(1) for maps in (mine, theirs)
            )
            for head in range(self.heads):
                yield LinearFit(self.weight[index, head], None, x[head], t[head])
