"""One model under training: a student of a cohort, or a teacher being prepared.

A member owns everything that its training changes (`harness.training.state`), so that it computes the same alone
and in a cohort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.attempts.attempt import Attempt
from harness.attempts.faults import NotFiniteError
from harness.devices.device import free_cached
from harness.methods.loss import Activations, Batch, Needs
from harness.methods.objective import Objective
from harness.models.taps import Tapped
from harness.training.held_out import HeldOutSums
from harness.training.micro_batches import MicroBatches, in_parts
from harness.training.optimise import Optimiser
from harness.training.state import TrainingState
from harness.training.term_shares import dead_terms, measured_rows, measured_steps, term_shares


class Member:
    """One model, its objective and its optimiser."""

    def __init__(
        self,
        attempt: Attempt,
        model: PreTrainedModel,
        objective: Objective,
        optimiser: Optimiser,
        *,
        steps: int,
        seed: int,
        milestones: Sequence[int] = (),
        export: Callable[[Member, Path], object] | None = None,
    ) -> None:
        """`export` writes the model to a folder; it is called after each of the `milestones`, steps done."""
        self.attempt = attempt
        self.model = model
        self.objective = objective
        self.steps = steps
        self.state = TrainingState(
            attempt, model, optimiser, seed=seed, objective=objective, group=attempt.site.workers
        )
        self._tapped = Tapped(model, objective.student_needs)
        self._held_out_batches = MicroBatches()
        self._milestones = frozenset(milestones)
        self._export = export
        self._measured_steps = measured_steps(steps, len(objective.terms))

    @property
    def step(self) -> int:
        """Optimiser steps done; also the position in the input stream."""
        return self.state.step

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def is_done(self) -> bool:
        """Whether every step has been taken."""
        return self.step >= self.steps

    @property
    def learns_from_teacher(self) -> bool:
        """Whether any term reads the teacher."""
        return self.objective.teacher_needs != Needs()

    @property
    def flags(self) -> tuple[str, ...]:
        """Fallbacks that were taken, and terms that did nothing."""
        return (*self.state.flags, *dead_terms(self.state.shares.values()))

    @property
    def untrained(self) -> tuple[str, ...]:
        """Parameters of the model that no step has touched, a tied one under each of its names."""
        touched = {name.rpartition("/")[0] for name in self.state.optimiser.state()}
        left = {
            id(parameter)
            for name, parameter in self.model.named_parameters()
            if f"model.{name}" not in touched
        }
        named = self.model.named_parameters(remove_duplicate=False)
        return tuple(name for name, parameter in named if id(parameter) in left)

    def advance(self, teacher: Activations, batch: Batch, counts: Mapping[str, int], tokens: int) -> None:
        """Take one optimiser step on `batch`, in micro-batches where memory runs out.

        `batch` holds this worker's rows; `counts` are the objective's and `tokens` the real tokens of all workers'
        rows, both taken before these were moved to the device. Raises NotFiniteError where a loss or the gradient
        is NaN or infinite.
        """

        def learn(rows: int | None) -> Tensor:
            with self.state.group.together():
                return self._learn(in_parts(teacher, batch, rows), counts)

        self.state.advance(batch.examples, learn, list(counts), tokens=tokens)

    def pass_milestone(self) -> None:
        """Export the model where this step is one at which an intermediate one is wanted."""
        if self.step in self._milestones and self._export is not None:
            self.state.log.check()
            self._export(self, self.attempt.folder.milestone(self.step))

    @torch.no_grad()
    def add_held_out(self, sums: HeldOutSums, teacher: Activations, batch: Batch) -> HeldOutSums:
        """`sums` and what the model makes of one held-out batch, in micro-batches where memory runs out."""

        def add(rows: int | None) -> HeldOutSums:
            more = sums.copy()
            for seen, part in in_parts(teacher, batch, rows):
                with self.state.autocast():
                    more.add(seen, self._tapped(part), part)
            return more

        self.model.eval()
        return self._held_out_batches.run(batch.examples, add, lambda: free_cached(self.device))

    def _learn(self, parts: Sequence[tuple[Activations, Batch]], counts: Mapping[str, int]) -> Tensor:
        """Forward and backward; (terms + 1,) losses by term and weighted loss."""
        self.model.train()
        if self.step in self._measured_steps:
            self._measure_shares(*parts[0])
        summed: Tensor | None = None
        with self.state.drawing():
            due = self.objective.due(self.step)
            if due and (len(parts) > 1 or self.state.group.size > 1):
                self._refresh_from(parts, due, counts)
                due = []
            for seen, part in parts:
                with self.state.autocast():
                    student = self._tapped(part)
                # Contexts of their own: autocast keeps the casts of weights until it is left, and one made
                # without gradient while observing would cut the projections off from the loss.
                if due:
                    with self.state.autocast():
                        observed = self.objective.observe(due, seen, student, part)
                    self._refresh(due, observed, counts)
                with self.state.autocast():
                    loss, terms = self.objective.loss(self.objective(seen, student, part), counts)
                loss.backward()
                values = torch.stack([*terms.values(), loss.detach()]).float()
                summed = values if summed is None else summed + values
        assert summed is not None
        return summed

    def _measure_shares(self, teacher: Activations, batch: Batch) -> None:
        """Take each term's share on some rows, with the generators and the mappings left as they are."""
        seen, part = in_parts(teacher, batch, measured_rows(batch.examples))[0]
        with self.state.drawing(advance=False), self.state.autocast():
            sums = self.objective(seen, self._tapped(part), part)
            weighted = self.objective.weighted(sums, self.objective.counts(part))
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        shares = term_shares(self.step, weighted, learning)
        if shares is not None:
            self.state.shares[self.step] = shares

    @torch.no_grad()
    def _refresh_from(
        self, parts: Sequence[tuple[Activations, Batch]], due: Sequence[str], counts: Mapping[str, int]
    ) -> None:
        """Refresh moving mappings from a whole batch that is seen in parts, here or by several workers, before
        any is learnt from."""
        observed: dict[str, Tensor] = {}
        with self.state.group.together():
            for seen, part in parts if self.objective.observes(due) else ():
                with self.state.autocast():
                    for name, value in self.objective.observe(due, seen, self._tapped(part), part).items():
                        observed[name] = observed[name] + value if name in observed else value
        self.state.group.sum_up(observed)
        self._refresh(due, observed, counts)

    def _refresh(self, due: Sequence[str], observed: Mapping[str, Tensor], counts: Mapping[str, int]) -> None:
        """Raises NotFiniteError where what a mapping would follow is NaN or infinite: it would come to no pairs, or to
        any."""
        here = {name: value.cpu() for name, value in observed.items()}
        for name, value in here.items():
            if not bool(value.isfinite().all()):
                raise NotFiniteError(self.step, name, float(value.sum()))
        self.objective.refresh(due, here, counts, self.state.mapping_draws)
