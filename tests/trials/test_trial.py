"""Trials and their folders: what is recorded when all goes well, and under which name when it does not."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from harness.attempts.attempt import Attempt
from harness.attempts.faults import NotFiniteError, failure_of
from harness.errors import REASONS, AssetError, TrialError
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import MeasureJob, ModelSource, Trial
from harness.spec.recipes import Measure
from harness.trials.run import run_trials

from .world import World, distil_trial, finetune_trial, make_world, prepare_trial, stop_after, verb_task


def folder_of(world: World, place: Path, trial: Trial) -> TrialFolder:
    return TrialFolder.of(world.site(str(place)).runs_dir, trial.id)


def test_a_folder_says_what_the_trial_is_and_what_came_of_it(world: World, tmp_path: Path) -> None:
    trial = distil_trial(world, "hs-last")
    [result] = run_trials([trial], world.site(str(tmp_path)))
    folder = folder_of(world, tmp_path, trial)
    assert folder.read_trial() == trial
    assert folder.read_result() == result
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "model", "progress.jsonl", "result.json", "trial.json",
    ]  # fmt: skip
    assert result.provenance.precision == "fp32"
    assert result.provenance.threads == torch.get_num_threads() == 1
    assert result.provenance.versions["torch"] == torch.__version__


def test_an_interrupted_trial_leaves_a_checkpoint_and_no_result(world: World, tmp_path: Path) -> None:
    trial = distil_trial(world, "hs-last")
    with pytest.raises(TrialError, match="stopped after step 4"):
        run_trials([trial], world.site(str(tmp_path), stop=stop_after(4)))
    folder = folder_of(world, tmp_path, trial)
    assert folder.read_result() is None
    assert [path.name for path in folder.checkpoint.iterdir()] == ["00000004"]


def test_a_damaged_checkpoint_costs_steps_and_not_the_result(world: World, tmp_path: Path) -> None:
    trial = distil_trial(world, "hs-random")
    [straight] = run_trials([trial], world.site(str(tmp_path / "straight")))
    for steps in (4, 5):
        with pytest.raises(TrialError):
            run_trials([trial], world.site(str(tmp_path / "broken"), stop=stop_after(steps)))
    folder = folder_of(world, tmp_path / "broken", trial)
    newest = folder.checkpoint / "00000009" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    [result] = run_trials([trial], world.site(str(tmp_path / "broken")))
    assert result.weights_sha256 == straight.weights_sha256
    assert result.flags == ("corrupt_checkpoint:9",)


def test_a_prepared_teacher_teaches_and_its_weights_are_recorded(world: World, tmp_path: Path) -> None:
    place = world.site(str(tmp_path))
    teacher = prepare_trial(world)
    [prepared] = run_trials([teacher], place)
    trial = taught_by(teacher, distil_trial(world, "od"))
    [student] = run_trials([trial], place)
    assert student.provenance.parents_sha256 == {teacher.id: prepared.weights_sha256}
    [scored] = run_trials([finetuned(trial, world, tmp_path)], place)
    assert scored.provenance.parents_sha256 == {trial.id: student.weights_sha256}


def taught_by(teacher: Trial, trial: Trial) -> Trial:
    """The trial with a trained teacher in place of the one that ships."""
    job = trial.job.model_copy(update={"teacher": ModelSource(trial=teacher.id)})
    return trial.model_copy(update={"id": "1" * 16, "job": job, "parents": (teacher.id,)})


def finetuned(student: Trial, world: World, folder: Path) -> Trial:
    """One epoch of fine-tuning of a student."""
    trial = finetune_trial(world, verb_task(folder / "task"), epochs=1)
    job = trial.job.model_copy(update={"model": ModelSource(trial=student.id)})
    return trial.model_copy(update={"id": "2" * 16, "job": job, "parents": (student.id,)})


def test_a_parent_that_is_gone_or_another_is_lost_input(world: World, tmp_path: Path) -> None:
    place = world.site(str(tmp_path))
    teacher = prepare_trial(world, steps=1, warmup_steps=1)
    run_trials([teacher], place)
    trial = taught_by(teacher, distil_trial(world, "hs-last"))
    model = folder_of(world, tmp_path, teacher).model / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert reason(run_trials([trial], place)[0]) == "lost_input"
    shutil.rmtree(model.parent)
    assert reason(run_trials([trial], place)[0]) == "lost_input"


def reason(result: Result) -> str:
    assert result.status == "failed"
    assert result.error is not None
    return result.error.reason


def test_a_failed_trial_is_run_again_and_its_failure_forgotten(world: World, tmp_path: Path) -> None:
    other = make_world(tmp_path / "world")
    trial = distil_trial(other, "hs-last")
    away = tmp_path / "away"
    (other.folder / "corpus").rename(away)
    [failed] = run_trials([trial], other.site())
    assert reason(failed) == "lost_input"
    folder = TrialFolder.of(other.site().runs_dir, trial.id)
    assert (folder.path / "traceback.txt").exists()
    away.rename(other.folder / "corpus")
    [well] = run_trials([trial], other.site())
    assert well.status == "ok"
    assert folder.read_result() == well
    assert not (folder.path / "traceback.txt").exists()


def test_a_full_disk_is_named_and_does_not_take_the_cohort_along(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [distil_trial(world, name) for name in ("hs-last", "hs-uniform")]
    full = folder_of(world, tmp_path, trials[0]).progress_file
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    first, second = run_trials(trials, world.site(str(tmp_path)))
    assert reason(first) == "disk_full"
    assert second.status == "ok"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission"),
        (OSError(errno.EROFS, "Read-only file system"), "permission"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "lost_input"),
        (AssetError("roberta-base: not here"), "lost_input"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (NotFiniteError(12, "logits", float("nan")), "nan"),
        (TrialError("killed", "its worker died"), "killed"),
        (ValueError("anything else"), "error"),
    ],
)
def test_every_fault_has_a_name(error: Exception, expected: str) -> None:
    failure = failure_of(error)
    assert failure.reason == expected
    assert failure.reason in REASONS
    assert failure.message
    assert "\n" not in failure.message


def test_an_allocation_that_really_fails_on_the_cpu_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert failure_of(raised.value).reason == "out_of_memory"


def test_a_measure_trial_records_what_was_measured(world: World, tmp_path: Path) -> None:
    protocol = Measure(batch_sizes=(1,), length=16, repeats=5, warmup=1)
    job = MeasureJob(teacher=world.teacher, protocol=protocol, fingerprint="here")
    trial = Trial(id="3" * 16, kind="measure", recipe_version=1, job=job, data={})
    [result] = run_trials([trial], world.site(str(tmp_path)))
    assert result.status == "ok", result.error
    assert {"parameters", "latency_ms"} <= {one.metric for one in result.measurements}


def test_seconds_are_added_up_over_resumptions(world: World, tmp_path: Path) -> None:
    trial = distil_trial(world, "hs-last")
    with pytest.raises(TrialError):
        run_trials([trial], world.site(str(tmp_path), stop=stop_after(10)))
    facts = json.loads((folder_of(world, tmp_path, trial).checkpoint / "00000010" / "facts.json").read_text())
    earlier = facts["facts"]["accounts"]["seconds"]
    [result] = run_trials([trial], world.site(str(tmp_path)))
    assert 0 < earlier < result.seconds


def test_a_place_that_may_not_be_written_is_named(world: World, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "runs").write_text("a file where a folder should be")
        expected = "error"
    else:
        (tmp_path / "runs").mkdir(mode=0o500)
        expected = "permission"
    [result] = run_trials([distil_trial(world, "hs-last")], world.site(str(tmp_path / "runs")))
    assert reason(result) == expected


def test_an_attempt_without_training_has_no_rate(world: World, tmp_path: Path) -> None:
    attempt = Attempt(distil_trial(world, "scratch"), world.site(str(tmp_path)))
    with attempt.working(share=2.0):
        pass
    assert attempt.seconds >= 2.0
    assert attempt.training_seconds == 0.0
