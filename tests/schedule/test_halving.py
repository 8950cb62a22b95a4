"""Successive halving: the same settings survive whoever runs them and in whatever order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.assets.sources import Sources
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import FinetuneJob, Trial
from harness.schedule import RunOptions, run_plan
from tests.schedule.listening import Recorder
from tests.schedule.test_ray import drive, output
from tests.schedule.trials import climb, climbing_plan, dev_value


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return climbing_plan(tmp_path_factory.mktemp("spec"))


def run(trials: Sequence[Trial], runs_dir: Path) -> None:
    settings = RunOptions(backend="local", run_job=climb)
    summary = run_plan(trials, runs_dir, Sources(runs_dir / "cache"), settings, Recorder())
    assert (summary.done + summary.skipped, summary.exit_code) == (len(trials), 0)


def outcome(trials: Sequence[Trial], runs_dir: Path) -> dict[str, tuple[str, float | None, object]]:
    """Trial -> (status, dev score, place among its rivals)."""
    results: dict[str, Result] = {}
    for trial in trials:
        result = TrialFolder.of(runs_dir, trial.id).read_result()
        assert result is not None
        results[trial.id] = result
    return {name: (one.status, one.dev_value, one.facts) for name, one in results.items()}


def in_another_order(trials: Sequence[Trial], seed: int) -> list[Trial]:
    """At random, parents first."""
    left = {trial.id: trial for trial in trials}
    chance, order = random.Random(seed), []
    while left:
        ready = [trial for trial in left.values() if not left.keys() & set(trial.parents)]
        order.append(left.pop(chance.choice(ready).id))
    return order


def expected_survivors(trials: Sequence[Trial]) -> set[str]:
    """Survivors by a plain loop over dev scores: the best ⌈7/3⌉ of a third of a third, then the best of
    those; the lower learning rate among equals."""
    by_model: dict[str, dict[float, dict[float, Trial]]] = defaultdict(lambda: defaultdict(dict))
    for trial in trials:
        if isinstance(job := trial.job, FinetuneJob):
            assert job.rung is not None
            by_model[str(job.model)][round(job.rung.share, 3)][job.recipe.learning_rate] = trial
    found: set[str] = set()
    for rungs in by_model.values():
        rates = sorted(rungs[0.111])
        for share, keep in ((0.111, 3), (0.333, 1)):
            rates = sorted(rates, key=lambda rate: (-dev_value(rungs[share][rate].job), rate))[:keep]
        found |= {rungs[1.0][rate].id for rate in rates}
    return found


def test_the_best_settings_survive_and_the_rest_is_pruned(plan: list[Trial], tmp_path: Path) -> None:
    run(plan, tmp_path)
    ended = outcome(plan, tmp_path)
    last = {t.id for t in plan if isinstance(t.job, FinetuneJob) and t.job.rung and t.job.rung.is_last}
    assert {name for name in last if ended[name][0] == "ok"} == expected_survivors(plan)
    assert len(last) == 7 * 7
    assert {ended[name][0] for name in last} == {"ok", "pruned"}


def test_order_does_not_matter(plan: list[Trial], tmp_path: Path) -> None:
    run(plan, tmp_path / "planned")
    for seed in range(3):
        shuffled = in_another_order(plan, seed)
        assert [trial.id for trial in shuffled] != [trial.id for trial in plan]
        run(shuffled, tmp_path / str(seed))
        assert outcome(plan, tmp_path / str(seed)) == outcome(plan, tmp_path / "planned")


def test_a_pruned_trial_is_done(plan: list[Trial], tmp_path: Path) -> None:
    run(plan, tmp_path)
    listener = Recorder()
    run_plan(
        plan, tmp_path, Sources(tmp_path / "cache"), RunOptions(backend="local", run_job=climb), listener
    )
    assert not listener.started


@pytest.mark.some(2)
@pytest.mark.parametrize("cores", [2, 1])
def test_ray_workers_come_to_the_same_survivors(cores: int, plan: list[Trial], tmp_path: Path) -> None:
    run(plan, tmp_path / "here")
    runs_dir = tmp_path / "ray"
    runs_dir.mkdir()
    (tmp_path / "spec").mkdir()
    made = f"trials.climbing_plan(Path({str(tmp_path / 'spec')!r}))"
    driver = drive(runs_dir, made, "climb", f"{{'cpus': {cores}}}")
    said = output(driver)
    assert driver.returncode == 0, said
    assert outcome(plan, runs_dir) == outcome(plan, tmp_path / "here")
