"""Which students may share a teacher pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan import build_plan, cohorts
from harness.records.trial import Trial
from harness.spec.resolve import load_spec
from tests.spec.writing import write_spec

MORE = (
    "  student:",
    "    - {name: h, family: HS, objective: [{term: hidden_states, mapping: uniform}]}\n  student:",
)


def groups(folder: Path, *changes: tuple[str, str]) -> list[list[str]]:
    plan = build_plan(load_spec(write_spec(folder, MORE, *changes)), lambda asset: "x", "m")
    return [[f"{t.labels['method']}{t.labels['seed']}" for t in group] for group in cohorts(plan.trials)]


def test_students_of_one_teacher_and_token_stream_form_a_group(tmp_path: Path) -> None:
    assert groups(tmp_path) == [["none1"], ["none2"], ["od1", "rel1", "h1"], ["od2", "rel2", "h2"]]


@pytest.mark.parametrize(
    ("cohort", "expected"),
    [("off", [1, 1, 1]), ("2", [1, 2]), ("3", [3]), ("auto", [3])],
)
def test_the_spec_bounds_the_size_of_a_group(tmp_path: Path, cohort: str, expected: list[int]) -> None:
    found = groups(tmp_path, ("steps: 10,", f"steps: 10, cohort: {cohort},"), ("seed: [1, 2]", "seed: [1]"))
    assert sorted(len(group) for group in found if group != ["none1"]) == expected


@pytest.mark.parametrize(
    "axis", ["distil.batch_size: [8, 16]", "distil.length: [32, 64]", "distil.steps: [10, 20]"]
)
def test_another_token_stream_is_another_group(tmp_path: Path, axis: str) -> None:
    found = groups(tmp_path, ("seed: [1, 2]", f"seed: [1]\n  {axis}"))
    assert sorted(map(len, found)) == [1, 3, 3]


def test_settings_of_the_student_alone_do_not_part_a_group(tmp_path: Path) -> None:
    found = groups(tmp_path, ("seed: [1, 2]", "seed: [1]\n  distil.learning_rate: [1e-4, 2e-4]"))
    assert sorted(map(len, found)) == [1, 6]


def test_every_distil_trial_is_in_exactly_one_group(tmp_path: Path) -> None:
    plan = build_plan(load_spec(write_spec(tmp_path, MORE)), lambda asset: "x", "m")
    members: list[Trial] = [trial for group in cohorts(plan.trials) for trial in group]
    assert sorted(trial.id for trial in members) == sorted(trial.id for trial in plan.of_kind("distil"))
