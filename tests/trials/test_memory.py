"""What is done where memory runs out, and that what is no longer needed is given back."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from same_student import assert_same_student

from harness.methods.loss import Activations, Batch
from harness.models.taps import Tapped
from harness.records.folder import TrialFolder
from harness.training.member import Member
from harness.trials.run import run_trials

from .test_distil import FAMILIES
from .world import World, distil_trial


def test_a_member_that_has_ended_holds_no_memory_while_the_others_go_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Member.advance
    held: list[weakref.ref[torch.nn.Parameter]] = []
    left: list[int] = []

    def fragile(self: Member, *given: object) -> None:
        if "hidden_states" in self.objective.terms and self.step == 2:
            held.extend(weakref.ref(parameter) for parameter in self.model.parameters())
            raise ValueError("does not work here")
        if self.step > 2:
            left.append(sum(parameter() is not None for parameter in held))
        advance(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Member, "advance", fragile)
    gc.collect()
    gc.disable()
    try:
        failed, well = run_trials(
            [distil_trial(world, FAMILIES[name], steps=5) for name in ("hs-uniform", "od")],
            world.site(str(tmp_path)),
        )
    finally:
        gc.enable()
    assert failed.error is not None
    assert well.status == "ok"
    assert len(held) > 10
    assert left == [0, 0]


@pytest.fixture
def whole(world: World) -> dict[str, Path]:
    """Method -> the student that it makes where memory does not run out."""
    place = world.site("with room")
    trials = {name: distil_trial(world, FAMILIES[name], steps=3) for name in METHODS}
    run_trials(list(trials.values()), place)
    return {name: TrialFolder.of(place.runs_dir, trial.id).path for name, trial in trials.items()}


METHODS = ("od", "minilmv2")
"""Of a teacher one reads the states of its last layer and its head, the other projections."""


def no_room_for(monkeypatch: pytest.MonkeyPatch, too_large: Callable[[Tapped, Batch], bool]) -> None:
    """A forward pass runs out of memory where it is too large."""
    call = Tapped.__call__

    def fragile(self: Tapped, batch: Batch) -> Activations:
        if too_large(self, batch):
            raise torch.OutOfMemoryError("does not fit")
        return call(self, batch)

    monkeypatch.setattr(Tapped, "__call__", fragile)


def figures(folder: Path) -> list[float]:
    """Of the held-out text, before and after."""
    result = json.loads((folder / "result.json").read_text())
    both = [result["facts"]["held_out_before"], result["facts"]["held_out_after"]]
    return [one["loss"] for one in both] + [one["masked_accuracy"] or 0 for one in both]


@pytest.mark.parametrize("name", METHODS)
def test_a_teacher_that_has_no_room_for_a_batch_sees_it_in_parts(
    name: str, world: World, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_for(monkeypatch, lambda model, batch: model.frozen and batch.examples > 3)
    [result] = run_trials([distil_trial(world, FAMILIES[name], steps=3)], world.site(str(tmp_path)))
    assert result.flags == ("teacher_micro_batches:2",)
    folder = TrialFolder.of(tmp_path, result.trial_id).path
    assert_same_student(folder / "model", whole[name] / "model")
    assert figures(folder) == pytest.approx(figures(whole[name]), rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_student_that_has_no_room_for_held_out_text_sees_it_in_parts(
    name: str, world: World, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_for(
        monkeypatch,
        lambda model, batch: not torch.is_grad_enabled() and not model.frozen and batch.examples > 3,
    )
    [result] = run_trials([distil_trial(world, FAMILIES[name], steps=3)], world.site(str(tmp_path)))
    assert result.flags == ()
    folder = TrialFolder.of(tmp_path, result.trial_id).path
    assert figures(folder) == pytest.approx(figures(whole[name]), rel=1e-4)
