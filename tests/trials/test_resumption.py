"""One training state under distillation, preparation and fine-tuning: interrupted anywhere, each ends with the same bits."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import TrialError
from harness.files import sha256_of
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import Trial
from harness.trials.run import run_trials

from .world import World, distil_trial, finetune_trial, prepare_trial, stop_after, verb_task

KINDS = ("distil", "prepare", "finetune")
STEPS = {"distil": 20, "prepare": 30, "finetune": 36}


@pytest.fixture(scope="module")
def trials(world: World) -> dict[str, Trial]:
    """One trial of each kind that trains, with dropout, so that generators matter."""
    task = verb_task(world.folder / "verbs to resume")
    return {
        "distil": distil_trial(world, "hs-random"),
        "prepare": prepare_trial(world, dropout=0.1),
        "finetune": finetune_trial(world, task, epochs=3),
    }


@pytest.fixture(scope="module")
def straight(world: World, trials: dict[str, Trial]) -> dict[str, Result]:
    """Each without an interruption."""
    place = world.site("straight")
    return {kind: run_trials([trial], place)[0] for kind, trial in trials.items()}


def answer(result: Result, runs_dir: Path) -> tuple[object, ...]:
    """What two runs of one trial must agree on to the last bit."""
    assert result.status == "ok", result.error
    predictions = TrialFolder.of(runs_dir, result.trial_id).predictions
    rows = pd.read_parquet(predictions).to_json() if predictions.exists() else None
    facts = {name: value for name, value in result.facts.items() if name != "cohort"}
    return result.weights_sha256, rows, result.scores, result.tokens, result.flops, facts


def interrupt(world: World, trial: Trial, runs_dir: Path, steps: int) -> Path:
    """Run a trial until it has taken `steps` steps; its newest checkpoint."""
    with pytest.raises(TrialError) as stopped:
        run_trials([trial], world.site(str(runs_dir), stop=stop_after(steps)))
    assert stopped.value.reason == "interrupted"
    return max(TrialFolder.of(runs_dir, trial.id).checkpoint.iterdir())


@pytest.mark.parametrize("steps", [(1, 4), (7, 12), "the last"], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_trial_of_any_kind_ends_with_the_same_bits(
    kind: str,
    steps: tuple[int, int] | str,
    world: World,
    trials: dict[str, Trial],
    straight: dict[str, Result],
    tmp_path: Path,
) -> None:
    stops = (STEPS[kind],) if isinstance(steps, str) else steps
    for number in stops:
        interrupt(world, trials[kind], tmp_path, number)
    [resumed] = run_trials([trials[kind]], world.site(str(tmp_path)))
    assert answer(resumed, tmp_path) == answer(straight[kind], world.site("straight").runs_dir)
    assert (resumed.resumed, resumed.flags) == (len(stops), ())
    assert not TrialFolder.of(tmp_path, resumed.trial_id).checkpoint.exists()


def rewrite(checkpoint: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """Change facts and tensors of a checkpoint and make its hashes agree, as whoever forges one would."""
    content = json.loads((checkpoint / "facts.json").read_text())
    tensors = load_file(checkpoint / "tensors.safetensors")
    change(content["facts"], tensors)
    (checkpoint / "facts.json").write_text(json.dumps(content))
    save_file(tensors, checkpoint / "tensors.safetensors")
    names = ("tensors.safetensors", "facts.json")
    manifest = {name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in names}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    assert manifest["facts.json"] == sha256_of(checkpoint / "facts.json")


def of_another_trial(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    facts["trial"] = "f" * 16


def as_written_before_there_was_one_state(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    training = facts.pop("training")
    del facts["trial"]
    facts.update(
        {name: training[name] for name in ("tokens", "micro_rows", "precision", "workers", "before")}
    )


def of_more_facts(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    facts["training"]["more"] = 1


def of_an_unknown_precision(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    facts["training"]["precision"] = "fp8"


def without_a_weight(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del tensors[next(name for name in tensors if name.startswith("model/") and name.endswith("query.bias"))]


def with_a_weight_of_another_shape(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    name = next(name for name in tensors if name.endswith("query.bias"))
    tensors[name] = torch.zeros(3)


def with_a_tensor_too_many(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["model/another"] = torch.zeros(3)


def with_half_an_optimiser(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del tensors[next(name for name in tensors if name.endswith("/exp_avg"))]


def without_generators(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del tensors["randomness/cpu"]


def with_a_generator_that_cannot_be(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["randomness/cpu"] = torch.full_like(tensors["randomness/cpu"], 255)


FORGERIES = (
    of_another_trial, as_written_before_there_was_one_state, of_more_facts, of_an_unknown_precision, without_a_weight,
    with_a_weight_of_another_shape, with_a_tensor_too_many, with_half_an_optimiser, without_generators,
    with_a_generator_that_cannot_be,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "forge"), [(KINDS[n % len(KINDS)], forge) for n, forge in enumerate(FORGERIES)]
)
def test_a_checkpoint_that_is_not_this_trainings_is_dropped_and_changes_nothing(
    kind: str,
    forge: Callable[[dict[str, Any], dict[str, torch.Tensor]], None],
    world: World,
    trials: dict[str, Trial],
    straight: dict[str, Result],
    tmp_path: Path,
) -> None:
    saved = world.folder / f"{kind} to forge"
    if not saved.exists():
        interrupt(world, trials[kind], saved, 13)
    shutil.copytree(saved, tmp_path / "runs")
    [checkpoint] = TrialFolder.of(tmp_path / "runs", trials[kind].id).checkpoint.iterdir()
    rewrite(checkpoint, forge)
    [result] = run_trials([trials[kind]], world.site(str(tmp_path / "runs")))
    assert answer(result, tmp_path / "runs") == answer(straight[kind], world.site("straight").runs_dir)
    assert result.resumed == 0
    assert len(result.flags) == 1
    assert result.flags[0].startswith("corrupt_checkpoint:")


def of_a_trial_on_a_card(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    facts["training"]["devices"] = ["cuda"]
    tensors["randomness/cuda"] = torch.zeros(16, dtype=torch.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_what_began_on_a_card_goes_on_elsewhere_and_says_so(
    kind: str, world: World, trials: dict[str, Trial], straight: dict[str, Result], tmp_path: Path
) -> None:
    rewrite(interrupt(world, trials[kind], tmp_path, 4), of_a_trial_on_a_card)
    interrupt(world, trials[kind], tmp_path, 2)
    [resumed] = run_trials([trials[kind]], world.site(str(tmp_path)))
    assert answer(resumed, tmp_path) == answer(straight[kind], world.site("straight").runs_dir)
    assert (resumed.resumed, resumed.flags) == (2, ("devices:cpu+cuda",))
