"""Starts as an axis, from YAML to the board: random, embeddings of the teacher, its layers projected; and their control."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from harness.models.loading import load_folder
from harness.models.principal_directions import principal_directions
from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Result
from harness.records.trial import DistilJob, Trial
from harness.spec.initialisation import Initialisation
from harness.trials.run import run_trials
from tests.faults.injection.tiny import write_spec

from .test_resumption import answer, interrupt
from .world import TINY_STUDENT, World, distil_trial

INITS = [
    {"from": "random"},
    {"from": "teacher", "layers": "random"},
    {"from": "teacher", "layers": "alternate"},
]


def harness(folder: Path, *arguments: str) -> str:
    """What a command prints, in a process of its own."""
    surroundings = {
        **os.environ,
        "HARNESS_OFFLINE": "1",
        "HARNESS_CACHE": str(folder / "cache"),
        "COLUMNS": "400",
    }
    command = [sys.executable, "-m", "harness.cli", *arguments]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of three starts, with a method and with none, from a prepared teacher."""
    folder = tmp_path_factory.mktemp("starts")
    student = {"name": "2l-16", "layers": 2, "width": 16, "heads": 2, "ffn": 32}
    short = {"warmup_steps": 2, "batch_size": 8, "length": 16}
    spec = write_spec(
        folder,
        grid={"method": ["initialised-only", "od"], "student": [student], "init": INITS},
        prepare={"steps": 10, **short},
        distil={"steps": 10, **short},
        finetune={"learning_rate": 3e-3, "epochs": 1, "batch_size": 16, "length": 24, "select_on": "dev"},
        measure={"enabled": False},
    )
    harness(folder, "run", str(spec), "--runs-dir", str(folder / "runs"), "--backend", "local")
    return folder / "runs"


def students(runs: Path) -> dict[tuple[str, str, str], tuple[Trial, Result]]:
    """(method, from, layers) -> the student's trial and result."""
    found = {}
    for folder in trial_folders(runs):
        trial, result = folder.read_trial(), folder.read_result()
        if trial is not None and result is not None and isinstance(trial.job, DistilJob):
            init = trial.job.init
            found[trial.job.method.name, init.source, str(init.layers)] = (trial, result)
    return found


def test_every_start_has_its_own_control_and_a_row_on_the_board(runs: Path) -> None:
    made = students(runs)
    starts = {(source, layers) for _, source, layers in made}
    assert starts == {("random", "alternate"), ("teacher", "random"), ("teacher", "alternate")}
    assert {name for name, *_ in made} == {"initialised-only", "od"}
    assert len(made) == 6
    board = harness(runs.parent, "report", "--runs-dir", str(runs))
    for name in ("from random", "from teacher, layers random", "from teacher, layers alternate"):
        rows = [line for line in board.splitlines() if name in line]
        assert {method for method in ("initialised-only", "od") for row in rows if method in row} == {
            "initialised-only",
            "od",
        }, board


def test_the_share_kept_is_that_of_the_prepared_teacher_and_is_shown(runs: Path) -> None:
    for (_, source, layers), (trial, result) in students(runs).items():
        assert isinstance(trial.job, DistilJob)
        assert trial.job.teacher.trial is not None
        teacher = load_folder(TrialFolder.of(runs, trial.job.teacher.trial).model)
        card = (TrialFolder.of(runs, trial.id).model / "README.md").read_text()
        if source == "random":
            assert "embedding_variance_kept" not in result.facts
            assert "| initialised from | random weights |" in card
            continue
        kept = principal_directions(teacher.model.get_input_embeddings().weight).kept(16)
        assert result.facts["embedding_variance_kept"] == kept
        assert 0 < kept < 1
        what = "random layers" if layers == "random" else "its layers 1, 3"
        assert f"16 of 32 principal directions ({100 * kept:.1f} % of the variance), {what} |" in card
    trial, result = students(runs)["od", "teacher", "random"]
    shown = harness(runs.parent, "show", trial.id, "--runs-dir", str(runs))
    assert re.search(rf"embedding_variance_kept +{result.facts['embedding_variance_kept']}", shown)


def test_a_start_that_nothing_trained_is_exported_as_projected_and_loads_with_transformers(
    runs: Path,
) -> None:
    trial, _ = students(runs)["initialised-only", "teacher", "alternate"]
    assert isinstance(trial.job, DistilJob)
    assert trial.job.teacher.trial is not None
    teacher = load_folder(TrialFolder.of(runs, trial.job.teacher.trial).model)
    rows = teacher.model.get_input_embeddings().weight
    folder = TrialFolder.of(runs, trial.id).model
    model, report = AutoModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
    assert not report["missing_keys"]
    wanted = (rows.double() @ principal_directions(rows).first(16)).float()
    assert torch.equal(model.get_input_embeddings().weight, wanted)


def test_a_projected_start_resumes_to_the_same_bits(world: World, tmp_path: Path) -> None:
    plain = distil_trial(world, "od", student=TINY_STUDENT, steps=6)
    assert isinstance(plain.job, DistilJob)
    init = Initialisation.model_validate({"from": "teacher"})
    trial = plain.model_copy(update={"job": plain.job.model_copy(update={"init": init})})
    [straight] = run_trials([trial], world.site("projected"))
    interrupt(world, trial, tmp_path, 3)
    [resumed] = run_trials([trial], world.site(str(tmp_path)))
    assert answer(resumed, tmp_path) == answer(straight, world.site("projected").runs_dir)
    assert resumed.resumed == 1
