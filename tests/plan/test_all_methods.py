"""The spec of all methods really holds all of them, on the students that it promises."""

from __future__ import annotations

import pytest

from harness.plan import Plan
from harness.records.encoder import encoder_of
from harness.records.trial import DistilJob, FinetuneJob
from harness.spec.catalog import Catalog, shipped_specs
from harness.spec.entries import Method

from .test_build import plan_of

METHODS = {method.name: method for method in Catalog().entries("methods", Method)}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(shipped_specs() / "all-methods.yaml")


def on(plan: Plan, student: str) -> set[str]:
    """Methods distilled into `student`."""
    return {trial.labels["method"] for trial in plan.of_kind("distil") if trial.labels["student"] == student}


def test_every_method_is_on_a_student_of_the_teachers_width_and_heads(plan: Plan) -> None:
    [prepared] = plan.of_kind("prepare")
    teacher = prepared.job.teacher.shape
    wide = {
        trial.job.student.name
        for trial in plan.of_kind("distil")
        if isinstance(trial.job, DistilJob)
        and (trial.job.student.width, trial.job.student.heads) == (teacher.width, teacher.heads)
    }
    assert wide == {"3l-384"}
    same_as_scratch = {"initialised-only"}  # with random weights
    assert on(plan, "3l-384") == set(METHODS) - same_as_scratch


def test_hidden_state_and_attention_methods_are_on_a_narrower_student_too(plan: Plan) -> None:
    wanted = {name for name, method in METHODS.items() if method.family in ("HS", "MHA")}
    assert on(plan, "3l-192") == wanted | {"scratch"}


def test_every_student_is_evaluated_and_measured(plan: Plan) -> None:
    evaluated = [trial.job.model for trial in plan.of_kind("finetune") if isinstance(trial.job, FinetuneJob)]
    for trial in plan.of_kind("distil"):
        assert encoder_of(trial, plan.by_id) in evaluated
    assert len(plan.of_kind("measure")) == 3  # the teacher and two shapes


def test_the_teacher_is_the_one_that_the_quickstart_prepares(plan: Plan) -> None:
    quickstart = plan_of(shipped_specs() / "quickstart.yaml")
    assert [trial.id for trial in plan.of_kind("prepare")] == [
        trial.id for trial in quickstart.of_kind("prepare")
    ]
