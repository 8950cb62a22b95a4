"""Rough costs: they grow with what is asked, and follow the speed that was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan import Plan, build_plan
from harness.plan.cost import ASSUMED_PEAK, Estimate, Speed, assumed_rows, estimate, hindsight, speed_of
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


def test_each_step_costs_the_same_beside_what_a_trial_costs_in_any_case(tmp_path: Path) -> None:
    plans = [small(tmp_path, ("steps: 10,", f"steps: {steps},")) for steps in (10, 20, 30)]
    for trials in zip(*(plan.of_kind("distil") for plan in plans), strict=True):
        one, two, three = (
            Estimate(plan.by_id, Speed()).parts(trial) for plan, trial in zip(plans, trials, strict=True)
        )
        assert two.steps == pytest.approx(2 * one.steps)
        assert two.total - one.total == pytest.approx(three.total - two.total)
        assert (one.before, one.after) == (three.before, three.after)
        assert one.before > 0


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
    assert speed.measured["distil", "cpu"] == pytest.approx(4)
    again = estimate(plan, speed)
    for trial in plan.of_kind("distil"):
        assert again[trial.id] == pytest.approx(4 * assumed[trial.id])
    assert set(speed.measured) == {("distil", "cpu")}


def test_without_recorded_trials_the_matmul_peak_of_the_machine_counts(tmp_path: Path) -> None:
    plan = small(tmp_path)
    profile = MachineProfile("here", matmul_peak={"cpu fp32": 40e9, "cpu bf16": 80e9})
    expected, assumed = Estimate(plan.by_id, Speed(profiles={1: profile})), Estimate(plan.by_id, Speed())
    trial = plan.of_kind("distil")[-1]
    products = Work(plan.by_id).operations(trial)
    # `precision: auto` takes the faster one; only matrix products go by it
    slower = expected.parts(trial).steps - assumed.parts(trial).steps
    assert slower == pytest.approx(products / 80e9 - products / ASSUMED_PEAK["cpu"])


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
        """Of what grows with the rows."""
        priced = Estimate(plan.by_id, speed)
        return sum(priced.parts(trial).steps for trial in plan.of_kind("finetune"))

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
    known = [RowCounts(at_hand={"pairs": TaskSize(rows, (characters,))}) for characters in (40, 400, 4_000)]
    costs = [Work(plan.by_id, tasks).operations(trial) for tasks in known]
    assert 5 < costs[1] / costs[0] < 10
    assert 1 < costs[2] / costs[1] < 2  # cut at 128 tokens
    seconds = [Estimate(plan.by_id, Speed(tasks=tasks)).parts(trial).total for tasks in known]
    assert seconds == sorted(set(seconds))


def test_a_task_that_selects_on_a_holdout_trains_on_the_rest(tmp_path: Path) -> None:
    plan = small(tmp_path, ("finetune: {", "finetune: {train_rows: 1000, select_on: train_holdout, "))
    job = plan.of_kind("finetune")[0].job
    assert isinstance(job, FinetuneJob)
    rows = RowCounts().of(job)
    assert rows.train_rows == 900
    assert rows.scored["train_holdout", "en"] == 100


def test_trials_of_another_machine_are_priced_by_the_peak_that_they_recorded(tmp_path: Path) -> None:
    plan = small(tmp_path, ("steps: 10,", "steps: 10, cohort: off,"))
    students = plan.of_kind("distil")
    there = Estimate(plan.by_id, Speed(profiles={1: MachineProfile("there", matmul_peak={"cpu fp32": 10e9})}))
    for trial in students:
        result = result_of(trial, 3 * there.parts(trial).total)
        behind = result.provenance.model_copy(update={"fingerprint": "there", "matmul_peak": 10e9})
        record(tmp_path / "runs", trial, result.model_copy(update={"provenance": behind}))
    here = {1: MachineProfile("here", matmul_peak={"cpu fp32": 100e9})}
    assert speed_of(latest_trials(tmp_path / "runs"), here).measured["distil", "cpu"] == pytest.approx(3)
    same = {1: MachineProfile("there", matmul_peak={"cpu fp32": 20e9})}  # since measured to be faster
    factor = speed_of(latest_trials(tmp_path / "runs"), same).measured["distil", "cpu"]
    assert factor > 3
    again = Estimate(plan.by_id, Speed({("distil", "cpu"): factor}, same))
    assert sum(again.parts(one).total for one in students) == pytest.approx(
        sum(3 * there.parts(one).total for one in students)
    )
