"""Trials of every kind on the pretended device, and what each step waits for and copies; JSON on the standard output."""

from __future__ import annotations

from tests.devices.pretended.device import PretendedCuda, pretended  # isort: skip - before torch is imported

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.records.result import Result
from harness.records.trial import DistilJob, MeasureJob, Trial
from harness.spec.recipes import Measure
from harness.training.member import Member
from harness.trials.finetune import _FineTuning
from harness.trials.run import TrialInterruptedError, run_trials
from tests.trials.test_distil import with_heads
from tests.trials.test_every_method import HEADS
from tests.trials.world import (
    FLAT_STUDENT,
    World,
    distil_trial,
    finetune_trial,
    make_world,
    method,
    prepare_trial,
    stop_after,
    verb_task,
)

SELDOM = 1e9
"""Seconds between checkpoints: what is pretended is slow."""


def weightless(_model: object, _tokenizer: object, folder: Path, **_: object) -> str:
    """In the place of an export: there are no values to write."""
    folder.mkdir(parents=True, exist_ok=True)
    return "0" * 64


def errors(results: Sequence[Result]) -> list[str]:
    """Why trials failed."""
    return [f"{one.kind}: {one.error.message}" for one in results if one.error is not None]


class Steps:
    """What each step waits for and copies to the device, by place."""

    def __init__(self, device: PretendedCuda) -> None:
        self.by_name: dict[str, dict[str, Counter[str]]] = {}
        self._device = device

    @contextmanager
    def of(self, owner: type, called: str, name: Callable[[Any], str]) -> Iterator[None]:
        """While open, each call of this method is a step of what `name` says of its object."""
        step = getattr(owner, called)

        def watched(it: Any, *arguments: Any) -> None:
            waits, copies = Counter(self._device.waits), Counter(self._device.copies)
            step(it, *arguments)
            self.by_name[name(it)] = {
                "waits": self._device.waits - waits,
                "copies": self._device.copies - copies,
            }

        with patch.object(owner, called, watched):
            yield


def method_of(member: Member) -> str:
    """The name of the method that a student learns by."""
    job = member.attempt.trial.job
    return job.method.name if isinstance(job, DistilJob) else "prepare"


def then_elsewhere(world: World, trial: Trial, name: str, devices: Sequence[str]) -> list[Result]:
    """A trial that is stopped after a step on each of the `devices` in turn, and ends on the processor."""
    for device in devices:
        site = world.site(name, device=device, stop=stop_after(1), checkpoint_seconds=SELDOM)
        try:
            if device == "cuda":
                with pretended():
                    run_trials([trial], site)
            else:
                run_trials([trial], site)
        except TrialInterruptedError:
            continue
        raise AssertionError(f"{name} was not stopped on {device}")
    return run_trials([trial], world.site(name))


def trained(world: World, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Students by these methods, a teacher prepared, one fine-tuned, one measured, each for a step or two."""
    methods = [with_heads(name, HEADS[name]) if name in HEADS else method(name) for name in names]
    students = [
        distil_trial(world, one, student=FLAT_STUDENT, steps=1, warmup_steps=0, precision="bf16")
        for one in methods
    ]
    measuring = MeasureJob(
        teacher=world.teacher,
        protocol=Measure(repeats=5, warmup=1, length=16, batch_sizes=(1,)),
        fingerprint="here",
    )
    trials = [
        *students,
        prepare_trial(world, steps=1, warmup_steps=0),
        finetune_trial(world, verb_task(folder / "verbs"), epochs=1, train_rows=32, precision="bf16"),
        Trial(id="f" * 16, kind="measure", recipe_version=1, job=measuring, data={}),
    ]
    with pretended() as device:
        steps = Steps(device)
        with (
            steps.of(Member, "advance", method_of),
            steps.of(_FineTuning, "_take_step", lambda _: "finetune"),
            patch(
                "harness.training.member.measured_steps", lambda *_: range(0)
            ),  # taken in few steps of a run
        ):
            results = run_trials(trials, world.site("card", device="cuda", checkpoint_seconds=SELDOM))
    return {"errors": errors(results), "steps": steps.by_name}


def moved(world: World) -> dict[str, Any]:
    """A trial that changes device twice; what it says of that."""
    trial = distil_trial(world, "hs-emd", student=FLAT_STUDENT, steps=4, precision="fp32")
    results = then_elsewhere(world, trial, "moved", ("cuda", "cpu", "cuda"))
    return {"errors": errors(results), "flags": results[0].flags, "resumed": results[0].resumed}


def main() -> None:
    """Arguments: a folder, names of methods."""
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
    world = make_world(folder / "bert")
    with (
        patch("harness.trials.distil.export_model", weightless),
        patch("harness.trials.prepare.export_model", weightless),
        patch("harness.trials.distil.HELD_OUT_BLOCKS", 0),
        patch("harness.trials.prepare.HELD_OUT_BLOCKS", 8),
    ):
        json.dump({**trained(world, folder, sys.argv[2:]), "moved": moved(world)}, sys.stdout)


if __name__ == "__main__":
    main()
