"""The embedding outputs (TinyBERT)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.methods.numerics.least_squares import LinearFit
from harness.methods.numerics.projection import Projection
from harness.methods.numerics.squared_error import squared_error
from harness.methods.terms.embeddings import Embeddings
from harness.methods.terms.layer_pairs import ProjectionKind
from harness.shapes import Shape


class EmbeddingsLoss(TermLoss):
    """mean((H^S_0 W − H^T_0)²) over real tokens and width (TinyBERT, Jiao et al., 2020, L_embd)."""

    params: Embeddings

    def __init__(self, params: Embeddings, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        kind: ProjectionKind = "shared_linear" if params.projection == "linear" else "none"
        self.projection = Projection(kind, [(0, 0)], student.width, teacher.width, params.bias)

    def teacher_needs(self) -> Needs:
        return Needs(hidden=frozenset({0}))

    def student_needs(self) -> Needs:
        return Needs(hidden=frozenset({0}))

    def count(self, batch: Batch) -> int:
        """Real tokens."""
        return batch.tokens

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over real tokens of the squared error, mean over width."""
        target = teacher.hidden[0]
        mask = batch.attention_mask if batch.padded else None
        return squared_error(self.projection(student.hidden[0], 0), [target], [1.0], mask) / target.shape[-1]

    def regressions(self, teacher: Activations, student: Activations, batch: Batch) -> Iterator[LinearFit]:
        """Student embeddings to the teacher's."""
        real = batch.attention_mask
        yield from self.projection.regressions(0, 0, student.hidden[0][real], teacher.hidden[0][real])
