"""One model under training: a student of a cohort, or a teacher being prepared.

A member owns everything that its training changes (model, objective, optimiser, generators), so that it
computes the same alone and in company, and can be saved and taken up again bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.devices.placement import Resolved
from harness.methods.loss import QKV, Activations, Batch, Needs
from harness.methods.objective import Objective
from harness.models.taps import Tapped
from harness.training.attempt import Attempt
from harness.training.checkpoints import Checkpoint
from harness.training.held_out import HeldOut, Tally
from harness.training.micro_batches import MicroBatches
from harness.training.optimise import Optimiser
from harness.training.randomness import Randomness, derived_seed
from harness.training.steplog import StepLog
from harness.training.term_shares import TermShares, dead_terms, measured_rows, measured_steps, term_shares


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
        precision: Resolved,
        seed: int,
        milestones: Sequence[int] = (),
        export: Callable[[Member, Path], object] | None = None,
    ) -> None:
        self.attempt = attempt
        self.model = model
        self.objective = objective
        self.optimiser = optimiser
        self.steps = steps
        self.precision = precision
        self.device = model.device
        self.step = 0
        """Optimiser steps done; also the position in the input stream."""
        self.tokens = 0
        """Real tokens learnt from."""
        self.before: HeldOut | None = None
        """Held-out loss before the first step."""
        self.shares: dict[int, TermShares] = {}
        """Step -> shares of the terms, where they were measured."""
        self.workers = {attempt.workplace.workers.size}
        """By how many workers its steps were taken."""
        self._workers = attempt.workplace.workers
        self._tapped = Tapped(model, objective.student_needs)
        self._micro_batches = MicroBatches()
        self._milestones = frozenset(milestones)
        self._export = export
        self._mapping_draws = torch.Generator().manual_seed(derived_seed(seed, "mapping"))
        self._randomness = Randomness.seeded(derived_seed(seed, "dropout"), self.device)
        self._measured_steps = measured_steps(steps, len(objective.terms))
        self._log = StepLog(attempt, optimiser.schedule, clip_norm=optimiser.clip_norm)

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
        return (*self._micro_batches.flags, *dead_terms(self.shares.values()))

    @property
    def untrained(self) -> tuple[str, ...]:
        """Parameters of the model that no step has touched, a tied one under each of its names."""
        touched = {name.rpartition("/")[0] for name in self.optimiser.state()}
        left = {id(one) for name, one in self.model.named_parameters() if f"model.{name}" not in touched}
        named = self.model.named_parameters(remove_duplicate=False)
        return tuple(name for name, one in named if id(one) in left)

    def advance(self, teacher: Activations, batch: Batch, counts: Mapping[str, int], tokens: int) -> None:
        """Take one optimiser step on `batch`, in micro-batches where memory runs out.

        `batch` holds this worker's rows; `counts` are the objective's and `tokens` the real tokens of all workers'
        rows, both taken before these were moved to the device.
        Raises NotFiniteError where a loss or the gradient is NaN or infinite.
        """
        randomness, draws = self._randomness, self._mapping_draws.get_state()

        def undo() -> None:
            self.optimiser.forget()
            self._randomness = randomness
            self._mapping_draws.set_state(draws)

        def step(rows: int | None) -> Tensor:
            with self._workers.together():
                return self._learn(_parts(teacher, batch, rows), counts)

        losses = self._micro_batches.run(batch.examples, step, undo)
        losses = self._workers.combine(list(self.optimiser.parameters.values()), losses)
        norm = self.optimiser.step(self.step).detach().float()
        self.tokens += tokens
        self._log.add(self.step, list(counts), torch.cat([losses, norm.reshape(1)]), self.tokens)
        self.step += 1

    def pass_milestone(self) -> None:
        """Export the model where this step is one at which an intermediate one is wanted."""
        if self.step in self._milestones and self._export is not None:
            self._log.look()
            self._export(self, self.attempt.folder.milestone(self.step))

    def tally(self) -> Tally:
        """A fresh account of held-out batches."""
        return Tally(self.objective)

    @torch.no_grad()
    def tell(self, tally: Tally, teacher: Activations, batch: Batch) -> None:
        """Add one held-out batch to `tally`."""
        self.model.eval()
        with self._autocast():
            tally.add(teacher, self._tapped(batch), batch)

    def save(self) -> None:
        """Write a checkpoint, never of a step whose loss has not been looked at."""
        self._log.look()
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"objective/{name}": tensor for name, tensor in self.objective.state_dict().items()}
        tensors |= {f"optimiser/{name}": tensor for name, tensor in self.optimiser.state().items()}
        tensors |= {f"randomness/{name}": tensor for name, tensor in self._randomness.states.items()}
        tensors["mapping_draws"] = self._mapping_draws.get_state()
        facts: dict[str, Any] = {
            "tokens": self.tokens,
            "micro_rows": self._micro_batches.rows,
            "precision": self.precision,
            "workers": sorted(self.workers),
            "before": None if self.before is None else self.before.as_json(),
            "term_shares": [one.as_json() for one in self.shares.values()],
        }
        self.attempt.save(self.step, tensors, facts)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(checkpoint.below("model"))
        self.objective.load_state_dict(checkpoint.below("objective"))
        self.optimiser.restore(checkpoint.below("optimiser"))
        self._randomness = Randomness(checkpoint.below("randomness"))
        self._mapping_draws.set_state(checkpoint.tensors["mapping_draws"])
        self.step = checkpoint.step
        self.tokens = checkpoint.facts["tokens"]
        self.workers |= set(checkpoint.facts.get("workers", ()))
        self._micro_batches = MicroBatches(checkpoint.facts["micro_rows"])
        before = checkpoint.facts["before"]
        self.before = None if before is None else HeldOut(**before)
        self.shares = {one["step"]: TermShares(**one) for one in checkpoint.facts.get("term_shares", ())}
        self._log = StepLog(self.attempt, self.optimiser.schedule, self.tokens, self.optimiser.clip_norm)

    def _learn(self, parts: Sequence[tuple[Activations, Batch]], counts: Mapping[str, int]) -> Tensor:
        """Forward and backward; (terms + 1,) losses by term and weighted loss."""
        self.model.train()
        if self.step in self._measured_steps:
            self._measure_shares(*parts[0])
        summed: Tensor | None = None
        with self._randomness.in_force() as reached:
            due = self.objective.due(self.step)
            if due and (len(parts) > 1 or self._workers.size > 1):
                self._refresh_from(parts, due, counts)
                due = []
            for seen, part in parts:
                with self._autocast():
                    student = self._tapped(part)
                # Contexts of their own: autocast keeps the casts of weights until it is left, and one made
                # without gradient while observing would cut the projections off from the loss.
                if due:
                    with self._autocast():
                        observed = self.objective.observe(due, seen, student, part)
                    self.objective.refresh(due, observed, counts, self._mapping_draws)
                with self._autocast():
                    loss, terms = self.objective.loss(self.objective(seen, student, part), counts)
                loss.backward()
                values = torch.stack([*terms.values(), loss.detach()]).float()
                summed = values if summed is None else summed + values
            self._randomness = reached()
        assert summed is not None
        return summed

    def _measure_shares(self, teacher: Activations, batch: Batch) -> None:
        """Take each term's share on some rows, with the generators and the mappings left as they are."""
        seen, part = _parts(teacher, batch, measured_rows(batch.examples))[0]
        with self._randomness.in_force(), self._autocast():
            sums = self.objective(seen, self._tapped(part), part)
            weighted = self.objective.weighted(sums, self.objective.counts(part))
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        shares = term_shares(self.step, weighted, learning)
        if shares is not None:
            self.shares[self.step] = shares

    @torch.no_grad()
    def _refresh_from(
        self, parts: Sequence[tuple[Activations, Batch]], due: Sequence[str], counts: Mapping[str, int]
    ) -> None:
        """Refresh moving mappings from a whole batch that is seen in parts, here or by several workers, before
        any is learnt from."""
        observed: dict[str, Tensor] = {}
        with self._workers.together():
            for seen, part in parts if self.objective.observes(due) else ():
                with self._autocast():
                    for name, value in self.objective.observe(due, seen, self._tapped(part), part).items():
                        observed[name] = observed[name] + value if name in observed else value
        self._workers.add_up(observed)
        self.objective.refresh(due, observed, counts, self._mapping_draws)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def _parts(teacher: Activations, batch: Batch, rows: int | None) -> list[tuple[Activations, Batch]]:
    """The batch with the teacher's activations on it, in parts of at most `rows` rows."""
    if rows is None or rows >= batch.examples:
        return [(teacher, batch)]
    starts = range(0, batch.examples, rows)
    return [
        (_rows(teacher, start, start + rows), part)
        for start, part in zip(starts, batch.split(rows), strict=True)
    ]


def _rows(seen: Activations, start: int, stop: int) -> Activations:
    """The activations of examples start..stop."""
    return replace(
        seen,
        hidden={layer: state[start:stop] for layer, state in seen.hidden.items()},
        qkv={
            layer: QKV(maps.query[start:stop], maps.key[start:stop], maps.value[start:stop])
            for layer, maps in seen.qkv.items()
        },
    )
