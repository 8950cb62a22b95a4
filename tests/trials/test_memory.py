"""What is done where memory runs out, and that what is no longer needed is given back."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch

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
