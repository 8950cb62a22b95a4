"""Rungs of successive halving: as many settings a rung as published, tied together by the plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (makes the next import work)
from sklearn.model_selection import HalvingGridSearchCV

from harness.plan import Plan, build_plan
from harness.plan.rungs import ladder
from harness.records.trial import FinetuneJob, Trial, trial_id
from harness.spec.recipes import Halving
from harness.spec.resolve import load_spec
from tests.spec.writing import write_spec

HALVED = ("epochs: 2}", "epochs: [3, 2], seeds: [0, 1], halving: {factor: 2, rungs: 2}}")


def plan_of(folder: Path, *changes: tuple[str, str]) -> Plan:
    return build_plan(load_spec(write_spec(folder, *changes)), lambda asset: asset.sha256, "this machine")


def of_one_model(plan: Plan) -> list[tuple[Trial, FinetuneJob]]:
    chosen = plan.of_kind("distil")[-1].id
    return [(t, t.job) for t in plan.trials if isinstance(t.job, FinetuneJob) and t.makers == (chosen,)]


@pytest.mark.parametrize(
    ("settings", "factor", "rungs"), [(15, 3, 2), (15, 2, 3), (4, 3, 1), (9, 3, 2), (10, 4, 1)]
)
def test_rungs_are_those_of_scikit_learn(settings: int, factor: int, rungs: int) -> None:
    rows = factor**rungs * 20
    search = HalvingGridSearchCV(
        DummyClassifier(), {"random_state": list(range(settings))}, factor=factor, min_resources=20,
        max_resources=rows, cv=2, random_state=0,
    )  # fmt: skip
    search.fit(np.zeros((rows, 1)), np.tile([0, 1], rows // 2))
    ours = ladder(Halving(factor=factor, rungs=rungs), settings)
    assert [step.keep for step in ours[: len(search.n_candidates_)]] == search.n_candidates_
    assert [round(step.share * rows) for step in ours[: len(search.n_resources_)]] == search.n_resources_
    assert (ours[-1].share, len(ours)) == (1, rungs + 1)


@pytest.mark.parametrize(("halving", "settings"), [(None, 15), (Halving(), 1)])
def test_without_anything_to_choose_there_are_no_rungs(halving: Halving | None, settings: int) -> None:
    assert ladder(halving, settings) == ()


def test_every_trial_waits_for_the_whole_rung_below(tmp_path: Path) -> None:
    found = of_one_model(plan_of(tmp_path, HALVED))
    assert len(found) == 4 * 2 * 3  # settings, seeds, rungs
    rungs = {
        share: [t for t, job in found if job.rung and job.rung.share == share] for share in (0.25, 0.5, 1)
    }
    for lower, upper in ((0.25, 0.5), (0.5, 1)):
        below = {trial.id for trial in rungs[lower]}
        for trial in rungs[upper]:
            assert set(trial.parents) == below | set(trial.makers)
    assert {len(trial.makers) for trial, _ in found} == {1}


def test_a_trial_knows_which_of_the_trials_below_are_its_own_setting(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, HALVED)
    for _, job in of_one_model(plan):
        assert job.rung is not None
        if job.rung.below:
            own = [plan.by_id[name].job for name in job.rung.below[job.rung.own]]
            assert [one.seed for one in own if isinstance(one, FinetuneJob)] == [0, 1]
            assert {one.recipe for one in own if isinstance(one, FinetuneJob)} == {job.recipe}


def test_how_the_grid_is_listed_changes_no_id(tmp_path: Path) -> None:
    plain = plan_of(tmp_path, HALVED)
    listed = plan_of(tmp_path, HALVED, ("[1e-5, 2e-5]", "[2e-5, 1e-5]"))
    assert {trial.id for trial in plain.trials} == {trial.id for trial in listed.trials}


def test_ids_of_halved_trials_are_hashes_of_what_they_are(tmp_path: Path) -> None:
    for trial, job in of_one_model(plan_of(tmp_path, HALVED)):
        assert trial.id == trial_id("finetune", job, trial.data, trial.makers)


def test_a_grid_of_one_setting_is_not_halved(tmp_path: Path) -> None:
    one = ("[1e-5, 2e-5], epochs: 2}", "1e-5, epochs: 2, halving: {}}")
    without = ("[1e-5, 2e-5], epochs: 2}", "1e-5, epochs: 2}")
    ids = [{trial.id for trial in plan_of(tmp_path, change).trials} for change in (one, without)]
    assert ids[0] == ids[1]


def test_another_factor_is_another_question_where_it_decides_and_not_where_all_rows_train(
    tmp_path: Path,
) -> None:
    plans = [
        plan_of(tmp_path, ("epochs: 2}", f"epochs: [2, 3], halving: {{factor: {factor}}}}}"))
        for factor in (2, 3)
    ]
    two, three = ({trial.id for trial in plan.of_kind("finetune")} for plan in plans)
    last = {t.id for t in plans[0].of_kind("finetune") if t.rung and t.rung.is_last}
    assert two & three == last


def test_a_setting_added_to_a_halved_grid_leaves_every_trial_its_id(tmp_path: Path) -> None:
    plain = plan_of(tmp_path, HALVED)
    more = plan_of(tmp_path, HALVED, ("[1e-5, 2e-5]", "[1e-5, 1.5e-5, 2e-5]"))
    added = {trial.id for trial in more.trials} - {trial.id for trial in plain.trials}
    assert {trial.id for trial in plain.trials} < {trial.id for trial in more.trials}
    assert {more.by_id[name].labels["learning_rate"] for name in added} == {"1.5e-05"}


def test_a_trial_trained_on_all_rows_is_the_one_without_halving(tmp_path: Path) -> None:
    halved = plan_of(tmp_path, HALVED)
    whole = plan_of(tmp_path, ("epochs: 2}", "epochs: [3, 2], seeds: [0, 1]}"))
    last = {t.id for t in halved.of_kind("finetune") if t.rung and t.rung.is_last}
    assert {trial.id for trial in whole.of_kind("finetune")} == last
