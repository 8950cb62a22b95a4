"""MiniLMv2: relations among the positions of a text, inside one attention layer of each model."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.methods.layer import PROJECTIONS
from harness.methods.loss import QKV, Activations, Batch, Needs, TermLoss
from harness.methods.numerics.pairwise import kl_rows, score_loss
from harness.methods.terms.relations import Relations
from harness.shapes import Shape


class RelationsLoss(TermLoss):
    """Σ w · KL(softmax(X_T Y_Tᵀ/√d_r) ‖ softmax(X_S Y_Sᵀ/√d_r)) over relation heads (Wang et al., 2021)."""

    params: Relations

    def __init__(self, params: Relations, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        self.student_layer, self.teacher_layer = params.pair(teacher, student)

    def teacher_needs(self) -> Needs:
        return Needs(qkv=frozenset({self.teacher_layer}))

    def student_needs(self) -> Needs:
        return Needs(qkv=frozenset({self.student_layer}))

    def count(self, batch: Batch) -> int:
        """Examples."""
        return batch.examples

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over examples of the weighted mean KL."""
        mask = batch.attention_mask if batch.padded else None
        student_qkv, teacher_qkv = student.qkv[self.student_layer], teacher.qkv[self.teacher_layer]
        losses = [
            weight
            * score_loss(named(student_qkv, pair), named(teacher_qkv, pair), self.params.heads, mask, kl_rows)
            for pair, weight in zip(self.params.pairs, self.params.weights, strict=True)
        ]
        return torch.stack(losses).sum()


def named(qkv: QKV, pair: str) -> tuple[Tensor, Tensor]:
    """The two projections that a pair such as `qk` names."""
    return getattr(qkv, PROJECTIONS[pair[0]]), getattr(qkv, PROJECTIONS[pair[1]])
