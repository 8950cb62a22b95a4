"""Hidden states: student layer i against the teacher layers that its mapping names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from harness.methods.base import Activations, Batch, Needs, Term
from harness.methods.layer_pairs import LayerPairTerm, layer_normed, mean_square
from harness.methods.precision import wide, without_autocast
from harness.methods.projection import Projection
from harness.methods.squared_error import squared_error
from harness.spec.base import Shape
from harness.spec.terms.states import Cosine, Embeddings, HiddenStates, ProjectionKind


class HiddenStatesTerm(LayerPairTerm):
    """mean((H^S_i W − H^T_j)²) over real tokens and width (HS)."""

    params: HiddenStates

    def rows(self, state: Tensor) -> Tensor:
        """All positions, or each example's first."""
        return state[:, :1] if self.params.tokens == "cls" else state

    def mask(self, batch: Batch) -> Tensor | None:
        """First positions are always real."""
        return None if self.params.tokens == "cls" else super().mask(batch)

    def count(self, batch: Batch) -> int:
        """Real tokens, or examples where only first positions are compared."""
        return batch.examples if self.params.tokens == "cls" else batch.tokens

    def read(self, state: Tensor) -> Tensor:
        """The state, normalised as asked."""
        if self.params.normalize == "none":
            return state
        state = wide(state)
        return functional.normalize(state, dim=-1) if self.params.normalize == "l2" else layer_normed(state)

    def distance(
        self, x: Tensor, targets: Sequence[Tensor], weights: Sequence[float], mask: Tensor | None
    ) -> Tensor:
        """Squared error, mean over width."""
        return squared_error(x, targets, weights, mask) / x.shape[-1]

    def comparable(self, state: Tensor) -> Tensor:
        """Divided by √d_T."""
        return mean_square(state)


class CosineTerm(LayerPairTerm):
    """1 − cos(H^S_i W, H^T_j), mean over real tokens (DistilBERT, Sanh et al., 2019)."""

    params: Cosine

    def distance(
        self, x: Tensor, targets: Sequence[Tensor], weights: Sequence[float], mask: Tensor | None
    ) -> Tensor:
        """One minus the cosine."""
        with without_autocast(x):
            losses = []
            for target, weight in zip(targets, weights, strict=True):
                loss = 1 - functional.cosine_similarity(wide(x), wide(target), dim=-1)
                losses.append((loss if mask is None else loss.masked_fill(~mask, 0)).sum() * weight)
            return torch.stack(losses).sum()

    def comparable(self, state: Tensor) -> Tensor:
        """Unit vectors over √2: ‖x − t‖² = 2(1 − cos) for unit vectors."""
        return functional.normalize(state, dim=-1) / math.sqrt(2)


class EmbeddingsTerm(Term):
    """mean((H^S_0 W − H^T_0)²) over real tokens and width (TinyBERT, Jiao et al., 2020, L_embd)."""

    params: Embeddings

    def __init__(self, params: Embeddings, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        kind: ProjectionKind = "shared_linear" if params.projection == "linear" else "none"
        self.projection = Projection(kind, [(0, 0)], student.width, teacher.width, params.bias)

    def teacher_needs(self) -> Needs:
        """The embedding output."""
        return Needs(hidden=frozenset({0}))

    def student_needs(self) -> Needs:
        """The embedding output."""
        return Needs(hidden=frozenset({0}))

    def count(self, batch: Batch) -> int:
        """Real tokens."""
        return batch.tokens

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over real tokens of the squared error, mean over width."""
        target = teacher.hidden[0]
        mask = batch.attention_mask if batch.padded else None
        return squared_error(self.projection(student.hidden[0], 0), [target], [1.0], mask) / target.shape[-1]
