"""A plan on the local backend: recorded trials are skipped, failed ones run again, every end is reported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.assets.sources import Sources
from harness.attempts.site import Site
from harness.errors import DeviceLostError, HarnessError, InputError, TrialError
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import Trial
from harness.schedule import RunOptions, RunSummary, run_plan
from harness.schedule.worker import RunJob, hold
from harness.spec.recipes import Resources
from tests.schedule.listening import Recorder
from tests.schedule.trials import distil, finetune, notes, prepare, small_plan, succeed


def run(
    trials: Sequence[Trial], runs_dir: Path, run_job: RunJob = succeed, **options: object
) -> tuple[RunSummary, Recorder]:
    """Run in this process."""
    recorder = Recorder()
    settings = RunOptions(backend="local", run_job=run_job, **options)
    return run_plan(trials, runs_dir, Sources(runs_dir / "cache"), settings, recorder), recorder


def fail_students(trials: Sequence[Trial], place: Site) -> list[Result]:
    """Distil trials raise what nobody expected."""
    if trials[0].kind == "distil":
        raise ValueError("boom")
    return succeed(trials, place)


def test_a_whole_plan_ends_with_a_result_in_every_folder(tmp_path: Path) -> None:
    trials = small_plan()
    summary, recorder = run(trials, tmp_path)
    assert (summary.done, summary.failed, summary.exit_code) == (len(trials), 0, 0)
    assert {result.trial_id for result in recorder.results} == {trial.id for trial in trials}
    assert all(TrialFolder.of(tmp_path, trial.id).read_result() for trial in trials)
    assert recorder.calls == ["start", "end"]


def test_students_of_one_teacher_run_as_one_cohort(tmp_path: Path) -> None:
    run(small_plan(), tmp_path)
    assert [len(note["ids"]) for note in notes(tmp_path) if note["kind"] == "distil"] == [4]


def test_a_second_run_does_nothing_and_a_wider_plan_only_what_is_new(tmp_path: Path) -> None:
    trials = small_plan()
    run(trials, tmp_path)
    before = len(notes(tmp_path))
    summary, recorder = run(trials, tmp_path)
    assert (summary.done, summary.skipped) == (0, len(trials))
    assert not recorder.started
    new = finetune("new", trials[1])
    summary, recorder = run([*trials, new], tmp_path)
    assert recorder.started == [new.id]
    assert len(notes(tmp_path)) == before + 1


def test_a_finished_plan_is_recognised_without_importing_ray_or_torch(tmp_path: Path) -> None:
    run([prepare()], tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from harness.records.folder import TrialFolder\n"
        "from harness.assets.sources import Sources\n"
        "from harness.schedule import Listener, RunOptions, run_plan\n"
        "folder = Path(sys.argv[1]); trial = TrialFolder.of(folder, sys.argv[2]).read_trial()\n"
        "summary = run_plan([trial], folder, Sources(folder), RunOptions(), Listener())\n"
        "assert summary.skipped == 1; assert not {'ray', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), prepare().id], check=True, timeout=60)


def test_an_unexpected_error_is_a_named_failure_and_blocks_its_descendants(tmp_path: Path) -> None:
    trials = small_plan()
    summary, recorder = run(trials, tmp_path, fail_students)
    assert (summary.failed, summary.blocked, summary.exit_code) == (4, 8, 1)
    student, task = trials[1], trials[5]
    assert summary.reasons[student.id] == "error: ValueError: boom"
    assert student.id in summary.reasons[task.id]
    assert TrialFolder.of(tmp_path, task.id).read_result() is None
    assert any("2 trials are not run" in text for text in recorder.messages)


def test_failures_run_again_unless_told_otherwise(tmp_path: Path) -> None:
    trials = small_plan()
    run(trials, tmp_path, fail_students)
    kept, recorder = run(trials, tmp_path, retry_failed=False)
    assert (kept.done, kept.failed, kept.blocked) == (0, 4, 8)
    assert not recorder.started
    again, _ = run(trials, tmp_path)
    assert (again.done, again.failed, again.blocked, again.skipped) == (12, 0, 0, 3)


def test_a_kind_that_no_machine_can_hold_is_refused_by_name(tmp_path: Path) -> None:
    trials = [prepare(resources=Resources(cpus=4096))]
    with pytest.raises(
        InputError, match=r"a prepare trial asks for 4,096 CPU cores.*resources\.prepare\.cpus"
    ):
        run(trials, tmp_path)
    assert not (tmp_path / "driver.json").exists()


def test_a_card_that_is_not_there_is_missed_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 CPU core and 65 GPU, but .* set resources\.distil\.gpus"):
        run([distil("s")], tmp_path, gpus=65)


def test_a_folder_that_cannot_be_written_is_a_failure_with_that_name(tmp_path: Path) -> None:
    trial, other = prepare(), finetune("f")
    (tmp_path / trial.id).write_text("not a folder")
    summary, _ = run([trial, other], tmp_path)
    assert (summary.done, summary.failed) == (1, 1)
    assert "File exists" in summary.reasons[trial.id]


def test_a_trial_that_another_process_works_on_is_not_run_twice(tmp_path: Path) -> None:
    folder = TrialFolder.of(tmp_path, prepare().id)
    with (
        hold(folder),
        pytest.raises(TrialError, match=r"another process \(pid \d+ on .*\) still works"),
        hold(folder, 0.1),
    ):
        pytest.fail("two holders")
    with hold(folder, 0.1):
        assert (folder.path / ".running").exists()
    assert not (folder.path / ".running").exists()


def test_a_device_that_is_lost_ends_the_run_with_its_error(tmp_path: Path) -> None:
    """The trials of the local backend share their process with the driver."""

    def lose(trials: Sequence[Trial], place: Site) -> list[Result]:
        raise DeviceLostError("the card broke")

    with pytest.raises(HarnessError, match=r"^the card broke; a further run goes on$"):
        run([finetune("f")], tmp_path, lose)
    summary, _ = run([finetune("f")], tmp_path)
    assert summary.done == 1
