"""Output distribution: the teacher's masked-LM predictions (OD), or the true tokens (MLM)."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.methods.numerics.linear_loss import distribution_kl, linear_loss
from harness.methods.terms.logits import Logits
from harness.shapes import Shape


class LogitsLoss(TermLoss):
    """t² · KL(softmax(z_T/t) ‖ softmax(z_S/t)) at chosen positions (Hinton et al., 2015).

    Positions are chosen before the masked-LM head, and logits exist for a chunk of them at a time.
    """

    params: Logits

    def __init__(self, params: Logits, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        self._teacher_needs = Needs(hidden=frozenset({teacher.layers}), mlm=True)
        self._student_needs = Needs(hidden=frozenset({student.layers}), mlm=True)

    def teacher_needs(self) -> Needs:
        return self._teacher_needs

    def student_needs(self) -> Needs:
        return self._student_needs

    def _positions(self, batch: Batch) -> Tensor:
        return batch.attention_mask if self.params.positions == "all" else batch.masked_positions

    def count(self, batch: Batch) -> int:
        """Chosen positions."""
        return int(self._positions(batch).sum())

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over chosen positions."""
        positions = self._positions(batch).flatten().nonzero().squeeze(1)
        t = self.params.temperature
        assert teacher.mlm is not None
        with torch.no_grad():
            features = head_features(teacher, positions)
        kl = distribution_kl(
            features,
            teacher.mlm.weight,
            teacher.mlm.bias,
            temperature=t,
            scale=t * t if self.params.scale_t2 else 1.0,
        )
        assert student.mlm is not None
        return linear_loss(head_features(student, positions), student.mlm.weight, student.mlm.bias, kl)


def head_features(model: Activations, positions: Tensor) -> Tensor:
    """(rows, width) inputs of the decoder matrix at flat positions of (batch, tokens)."""
    assert model.mlm is not None
    return model.mlm.transform(model.hidden[model.layers].flatten(0, 1).index_select(0, positions))
