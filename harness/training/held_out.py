"""A model on text that it was not trained on: loss by term, masked-LM accuracy and perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from harness.attempts.figures import HeldOut
from harness.methods.loss import Activations, Batch
from harness.methods.objective import Objective

_CHUNK = 128
"""Positions whose logits over the whole vocabulary are held at once."""


def uncorrupted(batch: Batch) -> Batch:
    """The batch with its true tokens, for trials that read clean text."""
    ids = torch.where(batch.masked_positions, batch.labels, batch.input_ids)
    return replace(batch, input_ids=ids, labels=torch.full_like(batch.labels, -100))


class TermSums:
    """Sums of an objective's terms over held-out batches, added one after the other."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @torch.no_grad()
    def add(self, teacher: Activations, student: Activations, batch: Batch) -> None:
        """Add one batch."""
        for name, value in self.objective(teacher, student, batch).items():
            self._sums[name] = self._sums.get(name, 0) + value
        for name, count in self.objective.counts(batch).items():
            self._counts[name] = self._counts.get(name, 0) + count

    def copy(self) -> TermSums:
        """These sums, to be added to without changing them."""
        other = TermSums(self.objective)
        other._sums, other._counts = dict(self._sums), dict(self._counts)
        return other

    def merged(self, other: TermSums) -> TermSums:
        """Both sums together."""
        both = TermSums(self.objective)
        for part in (self, other):
            for name, value in part._sums.items():
                both._sums[name] = both._sums.get(name, 0) + value
                both._counts[name] = both._counts.get(name, 0) + part._counts[name]
        return both

    def result(self) -> tuple[float | None, dict[str, float]]:
        """(Weighted loss, loss by term); None without a term."""
        if not self._sums:
            return None, {}
        total, by_name = self.objective.loss(self._sums, self._counts)
        return float(total), {name: float(value) for name, value in by_name.items()}


class HeldOutSums:
    """Sums of what one model makes of held-out batches, added one after the other."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._terms = TermSums(objective)
        self._right = 0
        self._teacher_right = 0
        self._reads_teacher = objective.teacher_needs.mlm
        self._cross_entropy = 0.0
        self._positions = 0

    def copy(self) -> HeldOutSums:
        """These sums, to be added to without changing them."""
        other = copy(self)
        other._terms = self._terms.copy()
        return other

    @torch.no_grad()
    def add(self, teacher: Activations, student: Activations, batch: Batch) -> None:
        """Add one batch."""
        self._terms.add(teacher, student, batch)
        if student.mlm is not None:
            self._add_masked(student, batch)
        if self._reads_teacher:
            self._teacher_right += sum(
                int((logits.argmax(dim=-1) == wanted).sum()) for logits, wanted in _masked(teacher, batch)
            )

    @torch.no_grad()
    def result(self) -> HeldOut:
        """The averages so far."""
        loss, terms = self._terms.result()
        if not self._positions:
            return HeldOut(loss, terms)
        mean = self._cross_entropy / self._positions
        perplexity = math.exp(mean) if mean < 700 else math.inf
        return HeldOut(
            loss,
            terms,
            self._right / self._positions,
            perplexity,
            self._positions,
            self._teacher_right / self._positions if self._reads_teacher else None,
        )

    def _add_masked(self, student: Activations, batch: Batch) -> None:
        for logits, wanted in _masked(student, batch):
            self._right += int((logits.argmax(dim=-1) == wanted).sum())
            self._cross_entropy += float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
            self._positions += len(wanted)


def _masked(model: Activations, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """(logits (positions, vocabulary) float32, true tokens) at the corrupted positions, a chunk at a time."""
    head = model.mlm
    assert head is not None
    chosen = batch.masked_positions
    states = model.hidden[model.layers][chosen].split(_CHUNK)
    for hidden, wanted in zip(states, batch.labels[chosen].split(_CHUNK), strict=True):
        yield torch.nn.functional.linear(head.transform(hidden), head.weight, head.bias).float(), wanted
