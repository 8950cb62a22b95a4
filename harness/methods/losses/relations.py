"""MiniLMv2: relations among the positions of a text, inside one attention layer of each model."""

from __future__ import annotations

from functools import partial

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
        self.window = teacher.window_of(self.teacher_layer) if params.window else None

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
        mine, theirs = self.read(student, self.student_layer), self.read(teacher, self.teacher_layer)
        compare = partial(kl_rows, window=self.window)
        losses = [
            weight * score_loss(named(mine, pair), named(theirs, pair), self.params.heads, mask, compare)
            for pair, weight in zip(self.params.pairs, self.params.weights, strict=True)
        ]
        return torch.stack(losses).sum()

    def read(self, model: Activations, layer: int) -> QKV:
        """Projections of a layer, queries and keys after RoPE where the term says so."""
        if self.params.rope == "before":
            return model.qkv[layer]
        return QKV(*model.attended(layer), model.qkv[layer].value)


def named(qkv: QKV, pair: str) -> tuple[Tensor, Tensor]:
    """The two projections that a pair such as `qk` names."""
    return getattr(qkv, PROJECTIONS[pair[0]]), getattr(qkv, PROJECTIONS[pair[1]])
