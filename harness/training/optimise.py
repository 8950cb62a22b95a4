"""AdamW with linear warm-up and linear decay: the one optimiser of every trial that trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.spec.recipes import Optimisation

STATE_TENSORS = ("step", "exp_avg", "exp_avg_sq")
"""Names of what AdamW keeps of a parameter: the number of its updates, (), and two moments of its shape."""


@dataclass(frozen=True)
class LinearSchedule:
    """Learning rate as a pure function of the step, so that there is no schedule state to save.

    Rises linearly over `warmup` steps to `peak`, then falls linearly; the first step already learns, and a step after
    the last would have rate zero.
    """

    peak: float
    warmup: int
    steps: int

    def __call__(self, step: int) -> float:
        """Rate of 0-based step `step`, in [0, peak]."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return self.peak * max(0, self.steps - step) / max(1, self.steps - self.warmup)


def optimiser_for(model: nn.Module, objective: nn.Module, recipe: Optimisation) -> Optimiser:
    """The optimiser of a model and of its objective's projections."""
    named = [(f"model.{name}", p) for name, p in model.named_parameters()]
    named += [(f"objective.{name}", p) for name, p in objective.named_parameters()]
    return Optimiser(
        named,
        schedule=LinearSchedule(recipe.learning_rate, recipe.warmup_steps, recipe.steps),
        betas=recipe.betas,
        epsilon=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        clip_norm=recipe.clip_norm,
    )


class Optimiser:
    """Fused AdamW (Loshchilov & Hutter, 2019) over named parameters, clipped by global norm.

    Biases and normalisation parameters (everything 1-dimensional) are not decayed, as BERT trains. A parameter that
    received no gradient is left exactly as it is, neither updated nor decayed.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        schedule: LinearSchedule,
        betas: tuple[float, float],
        epsilon: float,
        weight_decay: float,
        clip_norm: float | None,
    ) -> None:
        self.parameters = {name: parameter for name, parameter in parameters if parameter.requires_grad}
        self.schedule = schedule
        self.clip_norm = clip_norm
        matrices = [p for p in self.parameters.values() if p.dim() > 1]
        vectors = [p for p in self.parameters.values() if p.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=schedule.peak,
            betas=betas,
            eps=epsilon,
            fused=True,
        )

    def step(self, step: int) -> Tensor:
        """Clip, update at the rate of 0-based `step`, drop the gradients; their norm before clipping, ()."""
        gradients = [p for p in self.parameters.values() if p.grad is not None]
        largest = float("inf") if self.clip_norm is None else self.clip_norm
        norm = nn.utils.clip_grad_norm_(gradients, largest)
        for group in self._adamw.param_groups:
            group["lr"] = self.schedule(step)
        self._adamw.step()
        self.forget()
        return norm

    def forget(self) -> None:
        """Drop the gradients."""
        self._adamw.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """`<parameter>/<step | exp_avg | exp_avg_sq>` -> tensor, for the parameters updated so far."""
        states = self._adamw.state
        return {
            f"{name}/{key}": states[parameter][key]
            for name, parameter in self.parameters.items()
            if parameter in states
            for key in STATE_TENSORS
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state()` returned."""
        for name, parameter in self.parameters.items():
            if f"{name}/step" in state:
                self._adamw.state[parameter] = {
                    key: state[f"{name}/{key}"].to(parameter.device, copy=True) for key in STATE_TENSORS
                }
