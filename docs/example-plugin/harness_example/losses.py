"""What the term computes: imported only where it trains."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.shapes import Shape
from harness_example.params import StateNorm


class StateNormLoss(TermLoss):
    """(‖H^S_L‖ − ‖H^T_L‖)², summed over real tokens."""

    params: StateNorm

    def __init__(self, params: StateNorm, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        self._teacher, self._student = teacher, student

    def teacher_needs(self) -> Needs:
        """The last layer's output."""
        return Needs(hidden=frozenset({self._teacher.layers}))

    def student_needs(self) -> Needs:
        """The last layer's output."""
        return Needs(hidden=frozenset({self._student.layers}))

    def count(self, batch: Batch) -> int:
        """Real tokens: padding counts in no loss."""
        return batch.tokens

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """The sum over real tokens; the loop divides by the count of the global batch."""
        difference = self._length(student.hidden[self._student.layers]) - self._length(
            teacher.hidden[self._teacher.layers]
        )
        return torch.where(batch.attention_mask, difference, 0.0).square().sum()

    def _length(self, states: Tensor) -> Tensor:
        """(batch, tokens, width) -> (batch, tokens)"""
        scale = states.shape[-1] ** 0.5 if self.params.root else 1.0
        return states.float().norm(dim=-1) / scale
