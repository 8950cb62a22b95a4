"""An accelerator that no longer answers ends its process: what is asked of it next would fail too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import DeviceLostError
from harness.records.folder import TrialFolder
from harness.records.trial import Trial
from harness.training.member import Member
from harness.trials.finetune import _FineTuning
from harness.trials.run import run_trials

from .world import World, distil_trial, finetune_trial, verb_task


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step fails as on a card after a failed assertion."""

    def fails(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(Member, "_learn", fails)
    monkeypatch.setattr(_FineTuning, "_outputs", fails)


def trials(world: World, kind: str, folder: Path) -> list[Trial]:
    """A cohort, or one fine-tuning."""
    if kind == "finetune":
        return [finetune_trial(world, verb_task(folder / "task"), epochs=1)]
    return [distil_trial(world, "hs-last", seed=1), distil_trial(world, "hs-uniform", seed=1)]


@pytest.mark.parametrize("kind", ["distil", "finetune"])
def test_a_device_that_no_longer_answers_ends_the_job_and_blames_no_trial(
    kind: str, world: World, tmp_path: Path, broken: None
) -> None:
    asked = trials(world, kind, tmp_path)
    with pytest.raises(
        DeviceLostError, match="no longer answers its process: CUDA error: device-side assert"
    ):
        run_trials(asked, world.site(str(tmp_path)))
    assert [TrialFolder.of(tmp_path, trial.id).read_result() for trial in asked] == [None] * len(asked)


def test_a_device_that_answers_after_an_error_goes_on(
    world: World, tmp_path: Path, broken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: None)
    results = run_trials(trials(world, "distil", tmp_path), world.site(str(tmp_path)))
    assert [result.error.reason for result in results if result.error] == ["error", "error"]


def test_memory_that_ran_out_outside_the_allocator_is_no_lost_device(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Member._learn

    def full(self: Member, parts: list[object], counts: dict[str, int]) -> torch.Tensor:
        if len(parts) == 1:
            raise torch.AcceleratorError("CUDA error: out of memory")
        return learn(self, parts, counts)  # type: ignore[arg-type]

    monkeypatch.setattr(Member, "_learn", full)
    [result] = run_trials([distil_trial(world, "hs-last", steps=2)], world.site(str(tmp_path)))
    assert result.flags == ("micro_batches:4",)
