"""The one training state under distillation, preparation and fine-tuning: what one model's training changes, with one
save and one restore, so that a trial goes on bit for bit wherever it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.attempts.attempt import Attempt
from harness.attempts.figures import HeldOut, TermShares
from harness.attempts.process_group import Alone
from harness.attempts.saved import Saved, TrainingFacts
from harness.devices.device import free_cached
from harness.training.micro_batches import MicroBatches
from harness.training.optimise import STATE_TENSORS, Optimiser
from harness.training.randomness import Randomness, derived_seed
from harness.training.steplog import StepLog

_MAPPING_DRAWS = "mapping_draws"


class TrainingState:
    """Model, optimiser, generators, position and accounts of one trial under way."""

    def __init__(
        self,
        attempt: Attempt,
        model: nn.Module,
        optimiser: Optimiser,
        *,
        seed: int,
        objective: nn.Module | None = None,
        group: Alone | None = None,
    ) -> None:
        """`objective` holds further modules that are trained or that remember something; `group` are the processes
        that each learn from a part of the rows, by default this one alone."""
        self.attempt = attempt
        self.modules = {"model": model} if objective is None else {"model": model, "objective": objective}
        self.optimiser = optimiser
        self.group = group or Alone()
        self.device = attempt.site.torch_device
        self.step = 0
        """Optimiser steps done; also the position in the input."""
        self.tokens = 0
        """Real tokens learnt from."""
        self.flops = 0
        """Operations of the steps so far, where they differ from step to step."""
        self.micro_batches = MicroBatches()
        self.workers = {self.group.size}
        """By how many workers its steps were taken."""
        self.devices = {self.device.type}
        """On what kinds of device."""
        self.before: HeldOut | None = None
        """Held-out loss and accuracy before the first step."""
        self.shares: dict[int, TermShares] = {}
        """Step -> shares of the objective's terms, where they were measured."""
        self.dev_by_epoch: list[float | None] = []
        """Selection value after each epoch; None where it is undefined."""
        self.best: dict[str, Tensor] = {}
        """Weights of the best epoch so far, on the CPU; empty without epochs."""
        self._seed = seed
        self.mapping_draws = torch.Generator().manual_seed(derived_seed(seed, "mapping"))
        self.log = StepLog(attempt, optimiser.schedule, clip_norm=optimiser.clip_norm)
        self._randomness = Randomness.seeded(derived_seed(seed, "dropout"), self.device)

    def advance(
        self,
        rows: int,
        learn: Callable[[int | None], Tensor],
        terms: Sequence[str],
        *,
        tokens: int,
        flops: int = 0,
    ) -> None:
        """Take one optimiser step on `rows` rows, in micro-batches where memory runs out.

        `learn(size)` goes forward and backward in parts of at most `size` rows and returns (terms + 1,): the losses by
        term and their weighted sum. `tokens` counts the real tokens of all workers' rows. Raises NotFiniteError where
        a loss or the gradient is NaN or infinite.
        """
        losses = self._learnt(rows, learn)
        losses = self.group.combine(list(self.optimiser.parameters.values()), losses)
        norm = self.optimiser.step(self.step).detach().float()
        self.tokens += tokens
        self.flops += flops
        self.log.add(self.step, terms, torch.cat([losses, norm.reshape(1)]), self.tokens)
        self.step += 1

    @property
    def flags(self) -> tuple[str, ...]:
        """For the result: fallbacks that were taken, and that a part of the steps was taken on another kind of device."""
        moved = (f"devices:{'+'.join(sorted(self.devices))}",) if len(self.devices) > 1 else ()
        return (*self.micro_batches.flags, *moved)

    @contextmanager
    def drawing(self, advance: bool = True) -> Iterator[None]:
        """Inside, torch draws from this trial's own generators. They stay where they were without `advance`, or if
        something is raised."""
        with self._randomness.in_force() as reached:
            yield
            if advance:
                self._randomness = reached()

    def autocast(self) -> torch.autocast:
        """The context of a forward pass in the trial's precision."""
        bf16 = self.attempt.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16)

    def save(self) -> None:
        """Write a checkpoint; NotFiniteError where the loss of a step not checked yet is not finite."""
        self.log.check()
        facts = TrainingFacts.model_validate(
            {
                "precision": self.attempt.precision,
                "tokens": self.tokens,
                "flops": self.flops,
                "micro_rows": self.micro_batches.rows,
                "workers": sorted(self.workers),
                "devices": sorted(self.devices),
                "before": self.before,
                "term_shares": tuple(self.shares.values()),
                "dev_by_epoch": self.dev_by_epoch,
            }
        )
        self.attempt.save(self.step, self._tensors(), facts)

    def restore(self, saved: Saved | None) -> None:
        """Go on from a checkpoint; start afresh where there is none or its tensors do not fit."""
        if saved is None:
            return
        if not self._fits(saved):
            self.attempt.drop(saved)
            return
        for part, module in self.modules.items():
            module.load_state_dict(saved.below(part))
        self.optimiser.restore(saved.below("optimiser"))
        elsewhere = derived_seed(self._seed, f"dropout from step {saved.step}")
        self._randomness = Randomness(saved.below("randomness")).on(self.device, elsewhere)
        self.mapping_draws.set_state(saved.checkpoint.tensors[_MAPPING_DRAWS])
        self.best = saved.below("best")
        facts = saved.facts.training
        self.step, self.tokens, self.flops = saved.step, facts.tokens, facts.flops
        self.micro_batches = MicroBatches(facts.micro_rows)
        self.workers |= set(facts.workers)
        self.devices |= set(facts.devices)
        self.shares = {share.step: share for share in facts.term_shares}
        self.before, self.dev_by_epoch = facts.before, list(facts.dev_by_epoch)
        self.log = StepLog(self.attempt, self.optimiser.schedule, self.tokens, self.optimiser.clip_norm)

    def _learnt(self, rows: int, learn: Callable[[int | None], Tensor]) -> Tensor:
        """What `learn` returns. An error in it may come of an earlier step whose losses are not checked yet: then
        NotFiniteError."""
        try:
            return self.micro_batches.run(rows, learn, self._undo())
        except Exception:
            self.log.check()
            raise

    def _undo(self) -> Callable[[], None]:
        """A function that drops the gradients, resets the generators to their present states and frees memory."""
        randomness, draws = self._randomness, self.mapping_draws.get_state()

        def undo() -> None:
            self.optimiser.forget()
            self._randomness = randomness
            self.mapping_draws.set_state(draws)
            free_cached(self.device)

        return undo

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {_MAPPING_DRAWS: self.mapping_draws.get_state()}
        for part, module in self.modules.items():
            tensors |= _named(part, module.state_dict())
        tensors |= _named("best", self.best)
        tensors |= _named("optimiser", self.optimiser.state())
        return tensors | _named("randomness", self._randomness.states)

    def _fits(self, saved: Saved) -> bool:
        """Whether every tensor has its place here, and every place its tensor."""
        model = {f"best/{name}": tensor for name, tensor in self.modules["model"].state_dict().items()}
        moments = {
            f"optimiser/{name}/{key}": torch.zeros(()) if key == "step" else parameter
            for name, parameter in self.optimiser.parameters.items()
            for key in STATE_TENSORS
        }
        states = {
            name: t for name, t in self._tensors().items() if not name.startswith(("best/", "optimiser/"))
        }
        needed = {name: t for name, t in states.items() if name not in _accelerators(states)}
        best = model if saved.below("best") else {}
        places = {**states, **best, **moments}
        away = _accelerators(saved.checkpoint.tensors) - places.keys()
        tensors = {name: t for name, t in saved.checkpoint.tensors.items() if name not in away}
        return (
            needed.keys() | best.keys() <= tensors.keys() <= places.keys()
            and _whole(saved.below("optimiser"))
            and all(_alike(tensor, places[name]) for name, tensor in tensors.items())
            and _is_generator_state(tensors[_MAPPING_DRAWS])
            and _is_generator_state(tensors["randomness/cpu"])
        )


def _accelerators(tensors: Mapping[str, Tensor]) -> set[str]:
    """Names of the states of generators that only trials on one kind of accelerator have: those that go on elsewhere do
    without."""
    return {name for name in tensors if name.startswith("randomness/")} - {"randomness/cpu"}


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _alike(first: Tensor, other: Tensor) -> bool:
    return first.shape == other.shape and first.dtype == other.dtype


def _whole(moments: Mapping[str, Tensor]) -> bool:
    """Whether each parameter in an optimiser's state has all of its tensors."""
    parameters = {name.rpartition("/")[0] for name in moments}
    return len(moments) == len(STATE_TENSORS) * len(parameters)


def _is_generator_state(state: Tensor) -> bool:
    try:
        torch.Generator().set_state(state)
    except RuntimeError:
        return False
    return True
