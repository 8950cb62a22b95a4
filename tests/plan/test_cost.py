"""Rough costs: they grow with what is asked, and follow the speed that was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.folders import TrialFolder
from harness.plan import Plan, build_plan
from harness.plan.cost import CPU_FLOPS, Size, Speed, estimate, measured_speed
from harness.records import Provenance, Result
from harness.spec.resolve import load_spec
from tests.spec.writing import write_spec


def small(folder: Path, *changes: tuple[str, str]) -> Plan:
    return build_plan(load_spec(write_spec(folder, *changes)), lambda asset: "x", "m")


def test_a_forward_pass_takes_two_operations_for_each_weight_and_token() -> None:
    size = Size(layers=12, width=768, ffn=3072, vocabulary=30_522)
    weights = 12 * 12 * 768**2
    assert size.forward(1, length=0) == 2 * weights
    # attention adds the products with every other token: QKᵀ and its product with V
    assert size.forward(1, length=128) == 2 * weights + 12 * 2 * 2 * 128 * 768


def test_twice_the_steps_take_twice_the_time(tmp_path: Path) -> None:
    one, two = small(tmp_path), small(tmp_path, ("steps: 10,", "steps: 20,"))
    first, second = estimate(one, Speed()), estimate(two, Speed())
    for a, b in zip(one.of_kind("distil"), two.of_kind("distil"), strict=True):
        assert second[b.id] == pytest.approx(2 * first[a.id])


def test_sharing_a_teacher_pass_saves_time(tmp_path: Path) -> None:
    shared, alone = small(tmp_path), small(tmp_path, ("steps: 10,", "steps: 10, cohort: off,"))
    assert sum(estimate(shared, Speed()).values()) < sum(estimate(alone, Speed()).values())


def test_the_speed_of_recorded_trials_replaces_the_assumption(tmp_path: Path) -> None:
    plan = small(tmp_path, ("steps: 10,", "steps: 10, cohort: off,"))
    assumed = estimate(plan, Speed())
    behind = Provenance(harness="0", versions={}, device="cpu", fingerprint="m", precision="fp32", threads=1)
    for trial in plan.of_kind("distil"):
        folder = TrialFolder.of(tmp_path / "runs", trial.id)
        folder.write_trial(trial)
        seconds = 4 * assumed[trial.id]  # this machine is four times as slow
        folder.write_result(
            Result(
                trial_id=trial.id,
                kind="distil",
                status="ok",
                started_at=0,
                finished_at=0,
                seconds=seconds,
                provenance=behind,
            )
        )
    speed = measured_speed(tmp_path / "runs")
    assert speed.measured["distil"] == pytest.approx(CPU_FLOPS / 4)
    assert set(speed.measured) == {"distil"}


def test_no_recorded_trials_no_measured_speed(tmp_path: Path) -> None:
    assert measured_speed(tmp_path / "none").measured == {}


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
