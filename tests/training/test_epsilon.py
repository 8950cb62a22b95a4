"""Adam's ε is small beside the gradients of the method that has the smallest: it is not what shortens its steps."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from harness.records.folder import TrialFolder
from harness.records.trial import Trial
from harness.spec.entries import Method
from harness.spec.recipes import Distil
from harness.trials.run import run_trials
from tests.trials.test_distil import with_heads
from tests.trials.world import FLAT_STUDENT, World, distil_trial, method

DEFAULT = Distil(steps=1, warmup_steps=0).epsilon
STEPS = 10
AS_WIDE_MODELS = 1 / 1000
"""Brings the gradients of MiniLMv2 on the tiny models down to where ε = 1e-6 costs a third of the step, as it does on
models of published width."""


def inner_matrices(world: World, trial: Trial) -> torch.Tensor:
    """Of the student of a trial that was run, as one vector."""
    weights = load_file(TrialFolder.of(world.site().runs_dir, trial.id).model / "model.safetensors")
    inner = [weight for name, weight in sorted(weights.items()) if ".layer." in name and weight.ndim == 2]
    return torch.cat([weight.flatten() for weight in inner])


def lost_of_the_way(world: World, chosen: Method, epsilon: float) -> float:
    """How far from where it would be without ε a student ends, as a share of the way that it would have gone."""
    trials = [
        distil_trial(world, one, student=FLAT_STUDENT, steps=STEPS, warmup_steps=0, epsilon=value)
        for one, value in ((method("scratch"), DEFAULT), (chosen, epsilon), (chosen, 1e-15))
    ]
    for result in run_trials(trials, world.site()):
        assert result.status == "ok", result
    begun, moved, undamped = (inner_matrices(world, one) for one in trials)
    return float((moved - undamped).norm() / (undamped - begun).norm())


def test_minilmv2_keeps_its_step_with_the_default_and_would_not_with_what_is_usual(world: World) -> None:
    relations = with_heads("minilmv2", 4)
    [term] = relations.objective
    weight = term.weight * AS_WIDE_MODELS
    small = relations.model_copy(update={"objective": (term.model_copy(update={"weight": weight}),)})
    assert lost_of_the_way(world, small, DEFAULT) < 0.05
    assert lost_of_the_way(world, small, 1e-6) > 0.2
