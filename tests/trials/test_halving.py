"""Successive halving with real trainings: short ones decide, on dev rows alone, and only full ones count."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.attempts.faults import NotFiniteError
from harness.plan import Plan, build_plan
from harness.records.result import Result
from harness.records.trial import FinetuneJob, Rung, Trial
from harness.results.store import Store
from harness.spec.entries import Task
from harness.spec.resolve import load_spec
from harness.trials import finetune
from harness.trials.run import run_trials

from .world import World, finetune_trial, verb_task

SPEC = """\
schema: 1
name: halved
teacher: {name: tiny, asset: {sources: [{path: FOLDER/teacher}]}}
corpus: {name: text, texts: [{language: en, asset: {sources: [{path: FOLDER/corpus}]}}], floor_characters: 0}
grid:
  method: [{name: od, family: OD, objective: [{term: logits}]}]
  student: [{name: s, layers: 2, width: 16, heads: 2}]
distil: {steps: 5, warmup_steps: 1, batch_size: 8, length: 16, precision: fp32}
tasks:
  - task:
      name: verbs
      suite: S
      assets: {data: {sources: [{path: FOLDER/halved}]}}
      splits: {train: {files: train.jsonl}, dev: {files: dev.jsonl}, test: {files: test.jsonl}}
      columns: {text: text, label: label}
      format: jsonl
      labels: {other: other, senses: senses}
      metrics: [accuracy]
finetune:
  {learning_rate: [1e-2, 1e-6, 3e-3], epochs: [4, 1], batch_size: 16, length: 24, precision: fp32, HALVING}
measure: {enabled: false}
"""
HALVING = "halving: {factor: 3}"


@pytest.fixture(scope="module")
def task(world: World) -> Task:
    return verb_task(world.folder / "halved")


def plan_of(world: World, folder: Path, halving: str) -> Plan:
    """The tiny teacher and one student on six settings."""
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.replace("FOLDER", str(world.folder)).replace("HALVING", halving), encoding="utf-8")
    return build_plan(load_spec(spec), lambda asset: "content", "here")


def on_rung(world: World, task: Task, rung: Rung, **changes: object) -> Trial:
    trial = finetune_trial(world, task, **changes)
    assert isinstance(trial.job, FinetuneJob)
    return trial.model_copy(update={"job": trial.job.model_copy(update={"rung": rung})})


def test_of_six_settings_two_are_trained_in_full_and_their_scores_are_as_ever(
    world: World, task: Task, tmp_path: Path
) -> None:
    plan, whole = plan_of(world, tmp_path, HALVING), plan_of(world, tmp_path, "halving: null")

    def results_of(made: Plan, folder: str) -> dict[str, Result]:
        results = {t.id: run_trials([t], world.site(str(tmp_path / folder)))[0] for t in made.trials}
        assert [one.error for one in results.values() if one.status == "failed"] == []
        return results

    results, results_in_full = results_of(plan, "halved"), results_of(whole, "whole")
    in_full = {
        (trial.job.model, trial.job.recipe): results[trial.id]
        for trial in plan.of_kind("finetune")
        if isinstance(trial.job, FinetuneJob) and trial.job.counts
    }
    kept = {key: result for key, result in in_full.items() if result.status == "ok"}
    assert {result.status for result in in_full.values()} == {"ok", "pruned"}
    assert (len(in_full), len(kept)) == (12, 4)
    straight = {
        (t.job.model, t.job.recipe): results_in_full[t.id]
        for t in whole.trials
        if isinstance(t.job, FinetuneJob)
    }
    for key, result in kept.items():
        assert result.scores == straight[key].scores
        assert result.facts["halving"]["of"] == 6

    store = Store(tmp_path / "results.duckdb")
    store.ingest(tmp_path / "halved")
    shown = store.frame("SELECT DISTINCT trial_id FROM scores WHERE selected")["trial_id"]
    assert len(shown) == 2  # one setting of each model, of those that were trained in full
    assert set(shown) <= {result.trial_id for result in kept.values()}


def test_short_trainings_read_no_reported_row(world: World, task: Task, tmp_path: Path) -> None:
    [result] = run_trials([on_rung(world, task, Rung(share=0.25), epochs=1)], world.site(str(tmp_path)))
    assert result.facts["train_rows"] == 192 / 4
    assert {one.split for one in result.scores} == {"dev"}


@pytest.mark.parametrize(("share", "status"), [(0.25, "pruned"), (1, "failed")])
def test_a_setting_that_diverges_is_given_up_while_others_may_go_on(
    share: float, status: str, world: World, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: object) -> None:
        raise NotFiniteError(3, "cross_entropy", float("nan"))

    monkeypatch.setattr(finetune._FineTuning, "train", diverge)
    [result] = run_trials([on_rung(world, task, Rung(share=share))], world.site(str(tmp_path)))
    assert result.status == status


def test_a_rung_without_the_results_below_fails_by_name(world: World, task: Task, tmp_path: Path) -> None:
    rung = Rung(share=1, below=(("0" * 16,), ("1" * 16,)))
    [result] = run_trials([on_rung(world, task, rung)], world.site(str(tmp_path)))
    assert result.error is not None
    assert result.error.reason == "lost_input"


def test_a_capped_evaluation_says_so(world: World, task: Task, tmp_path: Path) -> None:
    [result] = run_trials([finetune_trial(world, task, epochs=1, eval_rows=20)], world.site(str(tmp_path)))
    assert {(one.split, one.n, one.flags) for one in result.scores} == {
        (split, 20, ("part_of_split",)) for split in ("dev", "test")
    }
