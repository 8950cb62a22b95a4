"""A method's objective: the weighted sum of its terms, on one student.

objective = build_objective(method.objective, teacher_shape, student_shape, generator)
sums = objective(teacher_activations, student_activations, batch)     # one micro-batch
loss, values = objective.loss(sums, counts)                           # counts of the global batch
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

import torch
from torch import Tensor, nn

from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.methods.numerics.projection import initialise
from harness.methods.terms import TermParams
from harness.shapes import Shape


class Objective(nn.Module):
    """Terms under their names; a term that is used again is `name#2`, `name#3`.

    Its parameters are the terms' projections, which are trained with the student and dropped afterwards.
    """

    def __init__(self, terms: Mapping[str, TermLoss]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)

    def _items(self) -> Iterator[tuple[str, TermLoss]]:
        for name, term in self.terms.items():
            assert isinstance(term, TermLoss)
            yield name, term

    @property
    def teacher_needs(self) -> Needs:
        return union(term.teacher_needs() for _, term in self._items())

    @property
    def student_needs(self) -> Needs:
        return union(term.student_needs() for _, term in self._items())

    def counts(self, batch: Batch) -> dict[str, int]:
        """What each term's sum is divided by. Waits for the batch's device: count before it is moved."""
        return {name: term.count(batch) for name, term in self._items()}

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, Tensor]:
        """Each term's sum over `batch`, 0-d."""
        return {name: term(teacher, student, batch) for name, term in self._items()}

    def weighted(self, sums: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
        """{term: weight · sum / count}, which add up to the loss; a count of 0 gives 0."""
        return {
            name: term.params.weight * (sums[name] / max(counts[name], 1)) for name, term in self._items()
        }

    def loss(self, sums: Mapping[str, Tensor], counts: Mapping[str, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """(Σ weight · sum / count, {term: sum / count without weight or gradient}).

        `counts` are those of the global batch; losses of its micro-batches then add up to the batch's. A
        count of 0 (a batch without corrupted positions) gives 0.
        """
        means = {name: total / max(counts[name], 1) for name, total in sums.items()}
        weighted = [term.params.weight * means[name] for name, term in self._items()]
        return torch.stack(weighted).sum(), {name: mean.detach() for name, mean in means.items()}

    def due(self, step: int) -> list[str]:
        """Names of the terms whose mapping is refreshed before step `step` (0-based)."""
        return [name for name, term in self._items() if term.due(step)]

    def observes(self, due: Sequence[str]) -> bool:
        """Whether these refreshes must see the batch first; where not, `observe` may be skipped."""
        return any(term.observes for name, term in self._items() if name in due)

    def observe(
        self, due: Sequence[str], teacher: Activations, student: Activations, batch: Batch
    ) -> dict[str, Tensor]:
        """What the refreshes need, summed over `batch`; add up over micro-batches. No gradient."""
        return {name: term.observe(teacher, student, batch) for name, term in self._items() if name in due}

    def refresh(
        self,
        due: Sequence[str],
        observed: Mapping[str, Tensor],
        counts: Mapping[str, int],
        generator: torch.Generator,
    ) -> None:
        """Re-compute the mappings that are due from the global batch's observations ({} where not needed)."""
        for name, term in self._items():
            if name in due:
                term.refresh(observed.get(name, torch.zeros(())), counts[name], generator)


def union(needs: Iterator[Needs]) -> Needs:
    """Everything needed by any."""
    total = Needs()
    for need in needs:
        total |= need
    return total


def build_objective(
    params: Sequence[TermParams], teacher: Shape, student: Shape, generator: torch.Generator | None = None
) -> Objective:
    """The objective of these terms; projections are drawn from `generator` (CPU), the member's own."""
    terms: dict[str, TermLoss] = {}
    for term in params:
        terms[_free_name(term.term, terms)] = _implementation(term)(term, teacher, student)
    objective = Objective(terms)
    initialise(objective, generator)
    return objective


def _free_name(name: str, terms: Mapping[str, TermLoss]) -> str:
    uses = 1 + sum(1 for other in terms if other.partition("#")[0] == name)
    return name if uses == 1 else f"{name}#{uses}"


def _implementation(params: TermParams) -> type[TermLoss]:
    module, _, name = params.implementation.partition(":")
    term: type[TermLoss] = getattr(import_module(module), name)
    return term
