"""`on_nan: fp32`: what is no longer finite in bf16 is run once more in fp32, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.attempts.attempt import Attempt
from harness.errors import TrialError
from harness.families.family import EncoderFamily
from harness.methods.losses.hidden_states import HiddenStatesLoss
from harness.records.result import Result
from harness.records.trial import Trial
from harness.tasks.encoded import PaddedRows
from harness.training import steplog
from harness.trials.finetune import _FineTuning
from harness.trials.run import run_trials

from .world import FLAT_STUDENT, World, distil_trial, finetune_trial, stop_after, verb_task

FAILS_AT = 3
"""0-based step at which bf16 goes wrong here."""


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses that are NaN in bf16 from a certain step on."""
    seen = 0
    term, outputs = HiddenStatesLoss.forward, _FineTuning._outputs

    def hidden_states(self: HiddenStatesLoss, *given: object) -> torch.Tensor:
        nonlocal seen
        value = term(self, *given)  # type: ignore[arg-type]
        if not torch.is_autocast_enabled("cpu") or not value.requires_grad:
            return value
        seen += 1
        return value * float("nan") if seen > FAILS_AT else value

    def logits(self: _FineTuning, batch: PaddedRows) -> torch.Tensor:
        value = outputs(self, batch)
        breaks = self.attempt.precision == "bf16" and self.state.step >= FAILS_AT and value.requires_grad
        return value * float("nan") if breaks else value

    monkeypatch.setattr(HiddenStatesLoss, "forward", hidden_states)
    monkeypatch.setattr(_FineTuning, "_outputs", logits)


def trials(world: World, kind: str, folder: Path, **changes: object) -> Trial:
    """A trial of this kind."""
    if kind == "distil":
        return distil_trial(world, "hs-last", **changes)
    return finetune_trial(world, verb_task(folder / "task"), epochs=1, **changes)


def answer(result: Result) -> tuple[object, ...]:
    """What equal runs agree on."""
    return result.weights_sha256, result.scores, result.dev_value, result.tokens


@pytest.mark.parametrize("kind", ["distil", "finetune"])
def test_a_trial_that_is_not_finite_in_bf16_gives_what_fp32_gives_and_says_so(
    kind: str, world: World, tmp_path: Path, fragile: None
) -> None:
    asked = trials(world, kind, tmp_path, precision="bf16", on_nan="fp32")
    [retried] = run_trials([asked], world.site(str(tmp_path / "retried")))
    assert retried.status == "ok", retried.error
    assert retried.flags == (f"fp32_after_nan:{FAILS_AT}",)
    assert retried.provenance.precision == "fp32"
    wide = asked.model_copy(
        update={
            "job": asked.job.model_copy(
                update={"recipe": asked.job.recipe.model_copy(update={"precision": "fp32"})}
            )
        }
    )
    [expected] = run_trials([wide], world.site(str(tmp_path / "fp32")))
    assert expected.flags == ()
    assert answer(retried) == answer(expected)


def test_interrupted_in_fp32_it_goes_on_in_fp32_and_still_says_so(
    world: World, tmp_path: Path, fragile: None
) -> None:
    trial = distil_trial(world, "hs-last", precision="bf16", on_nan="fp32")
    with pytest.raises(TrialError, match="stopped after step 5"):
        run_trials([trial], world.site(str(tmp_path / "runs"), stop=stop_after(FAILS_AT + 1 + 5)))
    [resumed] = run_trials([trial], world.site(str(tmp_path / "runs")))
    assert resumed.flags == (f"fp32_after_nan:{FAILS_AT}",)
    assert resumed.resumed == 1
    [straight] = run_trials(
        [distil_trial(world, "hs-last", precision="fp32")], world.site(str(tmp_path / "fp32"))
    )
    assert answer(resumed) == answer(straight)


def test_without_on_nan_the_trial_fails_with_the_step(world: World, tmp_path: Path, fragile: None) -> None:
    [failed] = run_trials([distil_trial(world, "hs-last", precision="bf16")], world.site(str(tmp_path)))
    assert failed.error is not None
    assert (failed.error.reason, failed.error.step, failed.error.term) == ("nan", FAILS_AT, "hidden_states")


def test_what_becomes_of_nan_is_no_part_of_the_question(world: World) -> None:
    assert distil_trial(world, "hs-last", on_nan="fp32").id == distil_trial(world, "hs-last").id


@pytest.mark.parametrize("name", ["hs-emd", "hs-greedy"])
def test_states_that_are_not_finite_are_nan_for_a_mapping_that_follows_them_too(
    name: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_layer = EncoderFamily.run_layer

    def overflown(self: EncoderFamily, *given: object) -> torch.Tensor:
        state = run_layer(self, *given)  # type: ignore[arg-type]
        return state * float("nan") if state.requires_grad and torch.is_autocast_enabled("cpu") else state

    monkeypatch.setattr(EncoderFamily, "run_layer", overflown)
    trial = distil_trial(world, name, student=FLAT_STUDENT, precision="bf16", on_nan="fp32", steps=2)
    [result] = run_trials([trial], world.site(str(tmp_path)))
    assert result.status == "ok", result.error
    assert "fp32_after_nan:0" in result.flags


def test_an_error_that_comes_of_a_loss_nobody_has_looked_at_yet_is_called_nan(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses may wait on a card; here they wait on the processor."""
    monkeypatch.setitem(steplog._UNSEEN_STEPS, "cpu", 50)
    monkeypatch.setattr(Attempt, "line_due", property(lambda self: False))
    forward = HiddenStatesLoss.forward
    seen = []

    def breaks(self: HiddenStatesLoss, *given: object) -> torch.Tensor:
        value = forward(self, *given)  # type: ignore[arg-type]
        seen.append(value.requires_grad)
        if sum(seen) > FAILS_AT + 1:
            raise RuntimeError("this cannot be decomposed")
        return value * float("nan") if sum(seen) > FAILS_AT else value

    monkeypatch.setattr(HiddenStatesLoss, "forward", breaks)
    [result] = run_trials([distil_trial(world, "hs-last")], world.site(str(tmp_path)))
    assert result.error is not None
    assert (result.error.reason, result.error.step) == ("nan", FAILS_AT)
