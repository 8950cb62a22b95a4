"""Rough costs: they grow with what is asked, and follow the speed that was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan import Plan, build_plan
from harness.plan.cost import ASSUMED_PEAK, SHARE_OF_PEAK, Speed, assumed_rows, estimate, hindsight, speed_of
from harness.plan.row_counts import TRAIN_ROWS, AssumedRows, RowCounts, TaskSize
from harness.plan.work import BERT_BASE, Work
from harness.records.folder import TrialFolder
from harness.records.latest import latest_trials
from harness.records.machine import MachineProfile
from harness.records.result import Provenance, Result, Score
from harness.records.trial import FinetuneJob, Trial
from harness.spec.resolve import load_spec
from tests.spec.writing import write_spec


def small(folder: Path, *changes: tuple[str, str]) -> Plan:
    return build_plan(load_spec(write_spec(folder, *changes)), lambda asset: "x", "m")


def result_of(trial: Trial, seconds: float, **fields: object) -> Result:
    behind = Provenance(harness="0", versions={}, device="cpu", fingerprint="m", precision="fp32", threads=1)
    return Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="ok",
        started_at=0,
        finished_at=0,
        seconds=seconds,
        provenance=behind,
        **fields,  # type: ignore[arg-type]
    )


def record(runs: Path, trial: Trial, result: Result) -> None:
    folder = TrialFolder.of(runs, trial.id)
    folder.write_trial(trial)
    folder.write_result(result)


def test_twice_the_steps_take_twice_the_time(tmp_path: Path) -> None:
    one, two = small(tmp_path), small(tmp_path, ("steps: 10,", "steps: 20,"))
    first, second = estimate(one, Speed()), estimate(two, Speed())
    for a, b in zip(one.of_kind("distil"), two.of_kind("distil"), strict=True):
        assert second[b.id] == pytest.approx(2 * first[a.id])


def test_sharing_a_teacher_pass_saves_time(tmp_path: Path) -> None:
    shared, alone = small(tmp_path), small(tmp_path, ("steps: 10,", "steps: 10, cohort: off,"))
    assert sum(estimate(shared, Speed()).values()) < sum(estimate(alone, Speed()).values())


def test_a_fine_tuning_trial_pays_for_the_rows_that_it_is_scored_on(tmp_path: Path) -> None:
    plan = small(tmp_path, ("finetune: {", "finetune: {train_rows: 300, length: 30, "))
    trial = next(one for one in plan.of_kind("finetune") if one.parents)
    job = trial.job
    assert isinstance(job, FinetuneJob)
    # 2 epochs of 300 rows, three times a forward pass; 2 · 2,500 dev rows that choose and are kept; then test
    passes = 3 * 2 * 300 + 2 * 2_500 + 2_500
    width, ffn, layers, tokens = 32, 128, 2, 10
    whole = 2 * tokens * (4 * width**2 + 2 * width * ffn) + 4 * tokens**2 * width
    # of the last layer keys and values of every token, the rest of the first
    last = 2 * tokens * 2 * width**2 + 2 * (2 * width**2 + 2 * width * ffn) + 4 * tokens * width
    row = (layers - 1) * whole + last
    assert Work(plan.by_id).operations(trial) == passes * row


def test_rows_seen_in_an_earlier_trial_replace_the_assumption(tmp_path: Path) -> None:
    plan = small(tmp_path)
    first, other = [one for one in plan.of_kind("finetune") if one.parents][:2]
    score = {
        "suite": "S",
        "task": "pairs",
        "language": "en",
        "metric": "accuracy",
        "value": 0.5,
        "data_id": "x",
    }
    scores = tuple(Score(split=split, n=50, **score) for split in ("dev", "test"))  # type: ignore[arg-type]
    facts = {"train_rows": 640, "steps": 40}
    TrialFolder.of(tmp_path / "runs", first.parents[0]).write_trial(plan.by_id[first.parents[0]])
    record(tmp_path / "runs", first, result_of(first, 1.0, tokens=2 * 640 * 9, scores=scores, facts=facts))
    speed = speed_of(latest_trials(tmp_path / "runs"))
    (seen,) = speed.tasks.seen.values()
    assert (seen.train_rows, seen.scored["dev", "en"], seen.tokens) == (640, 50, pytest.approx(9))
    assert estimate(plan, speed)[other.id] == pytest.approx(1.0)  # the same question with another rate


def test_the_speed_of_recorded_trials_replaces_the_assumption(tmp_path: Path) -> None:
    plan = small(tmp_path, ("steps: 10,", "steps: 10, cohort: off,"))
    assumed = estimate(plan, Speed())
    for trial in plan.of_kind("distil"):
        record(tmp_path / "runs", trial, result_of(trial, 4 * assumed[trial.id]))
    speed = speed_of(latest_trials(tmp_path / "runs"))
    assert speed.measured["distil", "cpu"] == pytest.approx(
        ASSUMED_PEAK["cpu"] * SHARE_OF_PEAK["cpu"]["distil"] / 4
    )
    assert set(speed.measured) == {("distil", "cpu")}


def test_without_recorded_trials_the_matmul_peak_of_the_machine_counts(tmp_path: Path) -> None:
    plan = small(tmp_path)
    profile = MachineProfile("here", matmul_peak={"cpu fp32": 40e9, "cpu bf16": 80e9})
    expected, assumed = estimate(plan, Speed(profiles={1: profile})), estimate(plan, Speed())
    trial = plan.of_kind("distil")[-1]
    # `precision: auto` takes the faster one
    assert expected[trial.id] == pytest.approx(assumed[trial.id] * ASSUMED_PEAK["cpu"] / 80e9)


def test_without_a_measured_peak_each_kind_takes_its_share_of_an_assumed_one(tmp_path: Path) -> None:
    plan = small(tmp_path)
    work = Work(plan.by_id)
    for trial, seconds in (
        (one, estimate(plan, Speed())[one.id]) for one in plan.trials if one.kind != "distil"
    ):
        rate = ASSUMED_PEAK["cpu"] * SHARE_OF_PEAK["cpu"][trial.kind] * trial.resources.cpus
        assert seconds == pytest.approx(work.operations(trial) / rate)


def test_no_recorded_trials_no_measured_speed(tmp_path: Path) -> None:
    assert speed_of(latest_trials(tmp_path / "none")).measured == {}


def test_halving_saves_and_a_capped_evaluation_saves(tmp_path: Path) -> None:
    grid = ("[1e-5, 2e-5]", "[1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5]")

    def cost(extra: str) -> float:
        plan = small(tmp_path, grid, ("epochs: 2}", f"epochs: 2{extra}}}"))
        seconds = estimate(plan, Speed())
        return sum(seconds[trial.id] for trial in plan.of_kind("finetune"))

    assert 0.3 < cost(", halving: {factor: 3, rungs: 1}") / cost("") < 0.7  # 6/3 + 2 of 6, and evaluation
    assert cost(", eval_rows: 100") < cost("")


def test_retrieval_costs_no_training(tmp_path: Path) -> None:
    task = ("      columns: {text: a, label: y}", "      type: retrieval\n      columns: {text: a, label: y}")
    trained, retrieved = small(tmp_path), small(tmp_path, task)
    costs = [max(estimate(p, Speed())[t.id] for t in p.of_kind("finetune")) for p in (trained, retrieved)]
    assert 0 < costs[1] < costs[0] / 100


def test_a_run_says_how_far_off_the_estimate_was(tmp_path: Path) -> None:
    plan = small(tmp_path)
    one, other = plan.of_kind("distil")[0], plan.of_kind("finetune")[0]
    results = [result_of(one, 15.0), result_of(other, 5.0)]
    sentence = hindsight({one.id: 10.0, other.id: 10.0}, results)
    assert sentence == "work took 20 s; the estimate was 20 s: 0% more (distil 50% more, finetune 50% less)"
    assert hindsight({}, results) is None


def test_a_size_that_is_not_known_is_that_of_bert_base(tmp_path: Path) -> None:
    shape = "shape: {model_type: bert, layers: 4, width: 64, heads: 4, ffn: 256, vocabulary: 1000, mlm_head: true}"
    plan = small(tmp_path, (f"  {shape}\n", ""))
    assert BERT_BASE.width == 768
    alone = next(one for one in plan.of_kind("finetune") if not one.parents)
    assert Work(plan.by_id).operations(alone) > 1e15


def test_rows_at_hand_count_before_published_ones_and_those_before_a_guess(tmp_path: Path) -> None:
    stated = (
        "      metrics: [accuracy]",
        "      metrics: [accuracy]\n      rows: {train: 1000, dev: 10, test: 10}",
    )
    guessed, published = small(tmp_path), small(tmp_path, stated)
    size = TaskSize({("train", "en"): 100, ("dev", "en"): 10, ("test", "en"): 10})
    at_hand = Speed(tasks=RowCounts(at_hand={"pairs": size}))

    def cost(plan: Plan, speed: Speed) -> float:
        return sum(estimate(plan, speed)[trial.id] for trial in plan.of_kind("finetune"))

    assert 80 < cost(guessed, Speed()) / cost(published, Speed()) < 120
    assert 8 < cost(published, Speed()) / cost(published, at_hand) < 12
    assert assumed_rows(guessed, Speed()) == (AssumedRows("pairs", TRAIN_ROWS, published=False),)
    assert assumed_rows(published, Speed()) == (AssumedRows("pairs", 1000, published=True),)
    assert assumed_rows(published, at_hand) == ()
    assert [trial.id for trial in guessed.trials] == [trial.id for trial in published.trials]


def test_short_rows_cost_less_than_long_ones(tmp_path: Path) -> None:
    plan = small(tmp_path)
    trial = plan.of_kind("finetune")[0]
    rows = {("train", "en"): 100, ("dev", "en"): 10, ("test", "en"): 10}
    costs = [
        estimate(plan, Speed(tasks=RowCounts(at_hand={"pairs": TaskSize(rows, (characters,))})))[trial.id]
        for characters in (40, 400, 4_000)
    ]
    assert 5 < costs[1] / costs[0] < 10
    assert 1 < costs[2] / costs[1] < 2  # cut at 128 tokens


def test_a_task_that_selects_on_a_holdout_trains_on_the_rest(tmp_path: Path) -> None:
    plan = small(tmp_path, ("finetune: {", "finetune: {train_rows: 1000, select_on: train_holdout, "))
    job = plan.of_kind("finetune")[0].job
    assert isinstance(job, FinetuneJob)
    rows = RowCounts().of(job)
    assert rows.train_rows == 900
    assert rows.scored["train_holdout", "en"] == 100
