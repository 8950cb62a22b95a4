"""Several workers of one cohort through Ray Train, and what a spec may ask of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from same_student import assert_same_student

from harness.assets.sources import Sources
from harness.errors import InputError, SpecError
from harness.plan import build_plan
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import Trial
from harness.schedule import RunOptions, run_plan
from harness.schedule.dispatch.slot_shapes import Node, SlotShape, require_capacity, slots_that_fit
from harness.schedule.live_view import view
from harness.spec.checks import check_cells
from harness.spec.recipes import Resources
from harness.spec.resolve import load_spec
from harness.trials.run import run_trials
from tests.spec.writing import write_spec
from tests.trials.test_distil import FAMILIES
from tests.trials.world import World, distil_trial, make_world

from .trials import distil

pytestmark = pytest.mark.timeout(900)  # Ray Train starts two processes that import torch for each run


DRIVER = """
import sys
from pathlib import Path
from harness.assets.sources import Sources
from harness.records.trial import Trial
from harness.schedule import RunOptions, run_plan
from harness.schedule.live_view import view

folder = Path(sys.argv[1])
trials = [Trial.model_validate_json(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
options = RunOptions(cpus=2, checkpoint_seconds=0.5)
summary = run_plan(trials, folder / "runs", Sources(folder / "cache"), options, view(sys.stdout))
print("reasons", summary.reasons)
sys.exit(summary.exit_code)
"""
TWO = Resources(cpus=1, workers=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One teacher and one corpus."""
    return make_world(tmp_path_factory.mktemp("world"))


def drive(folder: Path, trials: list[Trial]) -> subprocess.Popen[str]:
    """Run the trials on Ray, two workers each, in a process of its own."""
    together = [trial.model_copy(update={"resources": TWO}) for trial in trials]
    (folder / "trials.jsonl").write_text("\n".join(trial.model_dump_json() for trial in together))
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def output(driver: subprocess.Popen[str]) -> str:
    """All it said, once it has ended."""
    try:
        return driver.communicate(timeout=900)[0]
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)


def result_of(runs_dir: Path, trial: Trial) -> Result:
    """Of a trial that ended well."""
    result = TrialFolder.of(runs_dir, trial.id).read_result()
    assert result is not None
    assert result.status == "ok", result.error
    return result


def test_two_workers_under_ray_train_learn_what_one_process_learns(world: World) -> None:
    trials = [distil_trial(world, FAMILIES[name], dropout=0.0) for name in ("od", "hs-uniform", "minilmv2")]
    alone = world.site("alone")
    run_trials(trials, alone)
    driver = drive(world.folder, trials)
    said = output(driver)
    assert driver.returncode == 0, said
    for trial in trials:
        one, two = result_of(alone.runs_dir, trial), result_of(world.folder / "runs", trial)
        assert (one.facts["workers"], two.facts["workers"]) == ([1], [2])
        assert two.facts["cohort"] == len(trials)
        assert two.facts["held_out_after"]["loss"] == pytest.approx(
            one.facts["held_out_after"]["loss"], rel=1e-4
        )
        assert_same_student(
            *(TrialFolder.of(path, trial.id).model for path in (alone.runs_dir, world.folder / "runs"))
        )
    assert not list((world.folder / "runs").rglob(".*")), "nothing is left of the run's own files"


def test_a_worker_that_is_killed_takes_its_group_along_and_another_goes_on(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    trial = distil_trial(world, FAMILIES["hs-uniform"], dropout=0.0, steps=400)
    driver = drive(world.folder, [trial])
    checkpoints = world.folder / "runs" / trial.id / "checkpoint"
    until = time.monotonic() + 900
    while not (checkpoints.is_dir() and any(path.name.isdigit() for path in checkpoints.iterdir())):
        assert time.monotonic() < until
        assert driver.poll() is None, output(driver)
        time.sleep(0.05)
    workers = [
        process
        for process in psutil.Process(driver.pid).children(recursive=True)
        if "RayTrainWorker" in " ".join(process.cmdline())
    ]
    assert len(workers) == 2
    workers[1].kill()
    said = output(driver)
    assert driver.returncode == 0, said
    assert "one of its 2 workers died" in said
    assert result_of(world.folder / "runs", trial).resumed == 1


def test_without_ray_several_workers_are_refused(tmp_path: Path) -> None:
    options = RunOptions(backend="local")
    with pytest.raises(InputError, match=r"several workers need Ray; .*resources\.distil\.workers=1"):
        run_plan([distil("one", resources=TWO)], tmp_path, Sources(tmp_path), options, view(sys.stdout))


def test_workers_of_one_slot_may_be_on_several_nodes() -> None:
    shape = SlotShape(cpus=2, workers=3)
    assert slots_that_fit([shape], [Node("a", 4), Node("b", 4)]) == {shape: 1}
    assert slots_that_fit([shape], [Node("a", 4), Node("b", 3)]) == {shape: 1}
    assert slots_that_fit([shape], [Node("a", 4)]) == {shape: 0}
    with pytest.raises(InputError, match=r"room for 2 of these 3 workers; .*workers to at most 2"):
        require_capacity([distil("one", resources=Resources(cpus=2, workers=3))], [Node("a", 4)])


@pytest.mark.parametrize(
    ("resources", "dropout", "message"),
    [
        ("{distil: {workers: 5}}", 0, "5 workers cannot share batches of 32 evenly"),
        ("{finetune: {workers: 2}}", 0, "only `distil` trials can take several workers"),
        ("{distil: {workers: 2, gpus: 0.5}}", 0, "each of 2 workers takes one GPU or none"),
        ("{distil: {workers: 2}}", 0.1, "each worker would draw its own `distil.dropout`"),
    ],
)
def test_what_several_workers_cannot_do_is_refused_in_the_spec(
    tmp_path: Path, resources: str, dropout: float, message: str
) -> None:
    recipe = f"distil: {{dropout: {dropout}, steps: 10, warmup_steps: 1}}\nresources: {resources}"
    path = write_spec(tmp_path, ("distil: {steps: 10, warmup_steps: 1}", recipe))
    with pytest.raises(SpecError, match=message) as refused:
        check_cells(load_spec(path))
    assert str(refused.value).startswith(f"{path}:")


def test_the_number_of_workers_is_no_part_of_an_id(tmp_path: Path) -> None:
    two = ("distil: {steps", "resources: {distil: {workers: 2}}\ndistil: {steps")
    specs = [write_spec(tmp_path, name="one.yaml"), write_spec(tmp_path, two, name="two.yaml")]
    one, several = (build_plan(load_spec(path), lambda asset: asset.sha256, "here") for path in specs)
    trained = [trial for trial in several.of_kind("distil") if trial.start is None]
    assert {trial.resources.workers for trial in trained} == {2}
    assert [trial.id for trial in one.trials] == [trial.id for trial in several.trials]
