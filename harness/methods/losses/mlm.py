"""Masked-language modelling: cross-entropy against the true tokens."""

from __future__ import annotations

from torch import Tensor

from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.methods.losses.logits import head_features
from harness.methods.numerics.linear_loss import cross_entropy, linear_loss
from harness.methods.terms.mlm import Mlm
from harness.shapes import Shape


class MlmLoss(TermLoss):
    """Masked-LM cross-entropy against the true tokens; reads nothing of the teacher."""

    params: Mlm

    def __init__(self, params: Mlm, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        self._student_needs = Needs(hidden=frozenset({student.layers}), mlm=True)

    def teacher_needs(self) -> Needs:
        return Needs()

    def student_needs(self) -> Needs:
        return self._student_needs

    def count(self, batch: Batch) -> int:
        """Corrupted positions."""
        return int(batch.masked_positions.sum())

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over corrupted positions."""
        positions = batch.masked_positions.flatten().nonzero().squeeze(1)
        labels = batch.labels.flatten().index_select(0, positions)
        assert student.mlm is not None
        features = head_features(student, positions)
        return linear_loss(features, student.mlm.weight, student.mlm.bias, cross_entropy(labels))
