"""Attention of paired layers, rebuilt from Q and K: its distributions (MiniLM), its scores (TinyBERT)."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

import torch
from torch import Tensor

from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.methods.numerics.pairwise import kl_rows, score_loss, squared_pairs
from harness.methods.terms.attention import AttentionParams
from harness.shapes import Shape


class _AttentionLoss(TermLoss):
    """Student layer i against each teacher layer of φ(i); both models have the same number of heads."""

    params: AttentionParams

    def __init__(self, params: AttentionParams, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        self.heads = teacher.heads
        self.pairs = params.pairs(teacher, student)
        self.windows = {
            (i, j): params.window(teacher, student, i, j) for i, layers in self.pairs.items() for j in layers
        }

    def teacher_needs(self) -> Needs:
        return Needs(qkv=frozenset(j for layers in self.pairs.values() for j in layers))

    def student_needs(self) -> Needs:
        return Needs(qkv=frozenset(self.pairs))

    @abstractmethod
    def distance(
        self,
        student: tuple[Tensor, Tensor],
        teacher: tuple[Tensor, Tensor],
        mask: Tensor | None,
        window: int | None,
    ) -> Tensor:
        """Sum for one pair of layers, given (Q, K) of each and how far both see."""

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over the batch: mean over φ(i), then mean or sum over student layers."""
        mask = batch.attention_mask if batch.padded else None
        over_layers = len(self.pairs) if self.params.reduce == "mean" else 1
        losses = []
        for i, layers in self.pairs.items():
            mine = student.attended(i)
            for j in layers:
                loss = self.distance(mine, teacher.attended(j), mask, self.windows[i, j])
                losses.append(loss / (len(layers) * over_layers))
        return torch.stack(losses).sum()


class AttentionProbsLoss(_AttentionLoss):
    """KL(P_T ‖ P_S), P = softmax(Q Kᵀ/√d_h), mean over rows and heads (MiniLM, Wang et al., 2020, L_AT)."""

    def count(self, batch: Batch) -> int:
        """Examples."""
        return batch.examples

    def distance(
        self,
        student: tuple[Tensor, Tensor],
        teacher: tuple[Tensor, Tensor],
        mask: Tensor | None,
        window: int | None,
    ) -> Tensor:
        """Sum over examples."""
        return score_loss(student, teacher, self.heads, mask, partial(kl_rows, window=window))


class AttentionScoresLoss(_AttentionLoss):
    """(A_S − A_T)², A = Q Kᵀ/√d_h, mean over heads and real pairs (TinyBERT, Jiao et al., 2020, L_attn).

    Pairs outside a window count as equal."""

    def count(self, batch: Batch) -> int:
        """Pairs of real positions: Σ n_x²."""
        return int(batch.attention_mask.sum(dim=1).square().sum())

    def distance(
        self,
        student: tuple[Tensor, Tensor],
        teacher: tuple[Tensor, Tensor],
        mask: Tensor | None,
        window: int | None,
    ) -> Tensor:
        """Sum over pairs of positions, mean over heads."""
        return score_loss(student, teacher, self.heads, mask, partial(squared_pairs, window=window))
