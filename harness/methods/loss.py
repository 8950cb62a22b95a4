"""The contract between the training loop and a distillation term.

The loop runs teacher and student on a batch, each tapped for what the objective `Needs`, and asks every
term for the *sum* of its loss over what it counts. The loop divides by the count of the *global* batch
(all micro-batches, all workers), so splitting a batch never changes loss or gradient beyond rounding.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.methods.numerics.least_squares import LinearFit
from harness.methods.terms import TermParams
from harness.shapes import Shape


@dataclass(frozen=True)
class Needs:
    """What must be tapped from one model. Layers are 1-based; 0 is the embedding output."""

    hidden: frozenset[int] = frozenset()
    """Layers whose output is read."""
    qkv: frozenset[int] = frozenset()
    """Layers whose query, key and value projections are read."""
    mlm: bool = False
    """Whether the masked-LM head is read (needs the last layer's output too)."""

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.hidden | other.hidden, self.qkv | other.qkv, self.mlm or other.mlm)


@dataclass(frozen=True)
class QKV:
    """Projections of one attention layer, with bias, before the head split and before any rotation (RoPE);
    (batch, tokens, width) each."""

    query: Tensor
    key: Tensor
    value: Tensor


class MlmHead(Protocol):
    """A masked-LM head split at its last matrix, so that logits need never be held whole."""

    weight: Tensor
    """(vocabulary, width) decoder matrix, usually tied to the word embedding."""
    bias: Tensor
    """(vocabulary,)"""

    def transform(self, hidden: Tensor) -> Tensor:
        """(n, width) last-layer states -> (n, width) inputs of the decoder matrix."""


@dataclass(frozen=True)
class Activations:
    """What one model produced on a batch, for the layers that were asked for."""

    hidden: Mapping[int, Tensor] = field(default_factory=dict)
    """Layer -> (batch, tokens, width). Of the last layer, what heads read: after the final norm of a pre-norm model."""
    qkv: Mapping[int, QKV] = field(default_factory=dict)
    """Layer -> projections."""
    mlm: MlmHead | None = None
    """The head; its input is `hidden[layers]`."""
    heads: int = 1
    """A_h, the model's own attention heads."""
    layers: int = 0
    """L of the model."""
    rotate: Callable[[int, Tensor], Tensor] | None = None
    """(layer, its queries or keys) -> the same after their rotary position embedding; None where a model has none."""

    def attended(self, layer: int) -> tuple[Tensor, Tensor]:
        """Queries and keys as the layer's attention multiplies them, (batch, tokens, width) each."""
        query, key = self.qkv[layer].query, self.qkv[layer].key
        return (query, key) if self.rotate is None else (self.rotate(layer, query), self.rotate(layer, key))


@dataclass(frozen=True)
class Batch:
    """Token blocks as the models see them. Padding is on the right and never counts in any loss."""

    input_ids: Tensor
    """(batch, tokens) int64, after corruption where the recipe says `input: masked`."""
    attention_mask: Tensor
    """(batch, tokens) bool, True at real tokens."""
    labels: Tensor
    """(batch, tokens) int64: the true token at corrupted positions, -100 elsewhere."""
    padded: bool = True
    """False promises that every position is real, so that masking work can be skipped."""

    @property
    def masked_positions(self) -> Tensor:
        """(batch, tokens) bool, True at corrupted positions."""
        return self.labels != -100

    @property
    def tokens(self) -> int:
        """Real tokens of the batch."""
        return int(self.attention_mask.sum())

    @property
    def examples(self) -> int:
        """Rows of the batch."""
        return int(self.input_ids.shape[0])

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(
            self.input_ids.to(device, non_blocking=True),
            self.attention_mask.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.padded,
        )

    def split(self, rows: int) -> list[Batch]:
        """Micro-batches of at most `rows` rows, in order."""
        parts = zip(
            self.input_ids.split(rows), self.attention_mask.split(rows), self.labels.split(rows), strict=True
        )
        return [Batch(*part, self.padded) for part in parts]


class TermLoss(nn.Module):
    """One unit of an objective. Owns its projections, if any, as trainable parameters (student side only)."""

    def __init__(self, params: TermParams, teacher: Shape, student: Shape) -> None:
        super().__init__()
        self.params = params

    @abstractmethod
    def teacher_needs(self) -> Needs:
        """What this term reads of the teacher."""

    @abstractmethod
    def student_needs(self) -> Needs:
        """What this term reads of the student."""

    @abstractmethod
    def count(self, batch: Batch) -> int:
        """What the sum is divided by: real tokens, chosen positions or examples (additive over splits)."""

    @abstractmethod
    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """The term's sum over `batch`, 0-d, differentiable in the student. `sum / count` is the loss."""

    def regressions(self, teacher: Activations, student: Activations, batch: Batch) -> Iterator[LinearFit]:
        """What a closed-form fit of its own matrices to `batch` takes, for measuring a student that they were not
        trained with. None for a term that cannot be fitted so."""
        yield from ()

    # Terms with a dynamic mapping refresh it from the whole batch before the loss is taken.

    def due(self, step: int) -> bool:
        """Whether the mapping must be refreshed before step `step` (0-based)."""
        return False

    @property
    def observes(self) -> bool:
        """Whether `refresh` needs what `observe` gathers."""
        return False

    def observe(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Statistics for the refresh, additive over splits of a batch; no gradient."""
        return torch.zeros(())

    def refresh(self, observed: Tensor, count: int, generator: torch.Generator) -> None:
        """Re-compute the mapping from the summed observations and count of the global batch."""
