"""Models with the same encoder are evaluated by the same trials, whatever else of their specs differs; others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.plan import Plan
from harness.records.encoder import encoder_of
from harness.records.trial import FinetuneJob, ModelSource, Start, Trial

from .questions import Edit, Tree, edited, put

HEAD = {"steps": 5, "warmup_steps": 1, "train": "head"}
COPIED = {"from": "teacher"}
"""Narrower students, with their layers projected."""
EMBEDDINGS = {"from": "teacher", "layers": "random"}
CHECKPOINT = {"from": "checkpoint", "checkpoint": {"sources": [{"path": "begin"}]}}
CORPUS: dict[str, Any] = {
    "name": "vocabulary",
    "texts": [{"language": "en", "asset": {"sources": [{"path": "english"}]}}],
}


def together(*edits: Edit) -> Edit:
    def edit(spec: Tree) -> None:
        for one in edits:
            one(spec)

    return edit


def without(key: str) -> Edit:
    return lambda spec: spec.pop(key) and None


def starting(init: object) -> Edit:
    return put("grid/init", [init])


def assistant(method: int) -> Edit:
    def edit(spec: Tree) -> None:
        student = {**spec["grid"]["student"][0], "name": "between", "layers": 3, "width": 48}
        chosen = spec["grid"]["method"][method]
        spec["grid"]["teacher"] = [{"name": "half-way", "method": chosen, "student": student}]

    return edit


def students(plan: Plan, method: str) -> list[Trial]:
    """Without assistants."""
    return [t for t in plan.of_kind("distil") if (t.labels["method"], t.labels["student"]) == (method, "s2")]


def evaluations(plan: Plan, *models: Trial) -> set[str]:
    """Trials that evaluate the encoders of these models."""
    encoders = [encoder_of(model, plan.by_id) for model in models]
    found = {
        trial.id
        for trial in plan.trials
        if isinstance(trial.job, FinetuneJob) and trial.job.model in encoders
    }
    assert found
    return found


def of_control(plan: Plan) -> set[str]:
    return evaluations(plan, *students(plan, "none"))


SAME: dict[str, tuple[Edit, Edit]] = {
    "how others are distilled": (
        lambda spec: None,
        put(
            "distil",
            {
                "steps": 7,
                "warmup_steps": 1,
                "learning_rate": 1e-4,
                "batch_size": 4,
                "length": 16,
                "precision": "bf16",
            },
        ),
    ),
    "a preparation of the head": (without("prepare"), put("prepare", HEAD)),
    "a preparation of everything, nothing copied": (without("prepare"), lambda spec: None),
    "how everything is prepared, nothing copied": (lambda spec: None, put("prepare/learning_rate", 1e-4)),
    "a preparation of the head, embeddings copied": (
        together(starting(EMBEDDINGS), without("prepare")),
        together(starting(EMBEDDINGS), put("prepare", HEAD)),
    ),
    "how the head is prepared, layers copied": (
        together(starting(COPIED), put("prepare", HEAD)),
        together(starting(COPIED), put("prepare", {**HEAD, "steps": 6, "precision": "bf16", "seed": 9})),
    ),
    "the text, nothing copied": (
        lambda spec: None,
        put("corpus/texts/0/asset/sources", [{"path": "elsewhere"}]),
    ),
    "an assistant, nothing copied": (lambda spec: None, assistant(1)),
    "the name of the control": (lambda spec: None, put("grid/method/0/name", "none")),
    "a seed that draws nothing": (
        together(starting(COPIED), put("grid/seed", [1])),
        together(starting(COPIED), put("grid/seed", [2])),
    ),
    "a checkpoint and a seed": (
        together(starting(CHECKPOINT), put("grid/seed", [1])),
        together(starting(CHECKPOINT), put("grid/seed", [2]), put("prepare/steps", 6)),
    ),
    "an inner width by default": (put("grid/student/0/ffn", None), put("grid/student/0/ffn", 128)),
    "no steps, whatever the objective": (
        put("grid/method/0", {"name": "none", "family": "control"}),
        together(
            put("grid/method/0", {"name": "none", "family": "OD", "objective": [{"term": "logits"}]}),
            put("distil", {"steps": 0, "warmup_steps": 0}),
        ),
    ),
}
"""What leaves the control's evaluations the same trials: two specs."""

APART: dict[str, tuple[Edit, Edit]] = {
    "a seed": (put("grid/seed", [1]), put("grid/seed", [2])),
    "a start": (lambda spec: None, starting(EMBEDDINGS)),
    "which layers are copied": (starting(COPIED), starting({**COPIED, "layers": "last"})),
    "a seed of the layers that are not copied": (
        together(starting(EMBEDDINGS), put("grid/seed", [1])),
        together(starting(EMBEDDINGS), put("grid/seed", [2])),
    ),
    "a checkpoint": (
        starting(CHECKPOINT),
        starting({**CHECKPOINT, "checkpoint": {"sources": [{"path": "another"}]}}),
    ),
    "a preparation of everything, embeddings copied": (
        together(starting(EMBEDDINGS), without("prepare")),
        starting(EMBEDDINGS),
    ),
    "how everything is prepared, layers copied": (
        starting(COPIED),
        together(starting(COPIED), put("prepare/precision", "fp32")),
    ),
    "an assistant, embeddings copied": (starting(EMBEDDINGS), together(starting(EMBEDDINGS), assistant(1))),
    "depth": (lambda spec: None, put("grid/student/0/layers", 1)),
    "width": (lambda spec: None, put("grid/student/0/width", 16)),
    "heads": (lambda spec: None, put("grid/student/0/heads", 2)),
    "inner width": (lambda spec: None, put("grid/student/0/ffn", 96)),
    "the teacher's files": (lambda spec: None, put("teacher/asset/sources", [{"path": "x"}])),
    "the tokenizer": (lambda spec: None, put("teacher/tokenizer", {"sources": [{"path": "pieces"}]})),
    "a trimmed vocabulary": (lambda spec: None, put("teacher/trim_vocabulary", CORPUS)),
    "the text that a vocabulary is trimmed to": (
        put("teacher/trim_vocabulary", CORPUS),
        put("teacher/trim_vocabulary", {**CORPUS, "texts": [{**CORPUS["texts"][0], "files": "b*"}]}),
    ),
    "the precision of fine-tuning": (lambda spec: None, put("finetune/precision", "fp32")),
    "a step of a method": (
        lambda spec: None,
        put("grid/method/0", {"name": "none", "family": "OD", "objective": [{"term": "logits"}]}),
    ),
}
"""What makes the control another encoder, or its evaluation another question."""


@pytest.mark.parametrize("what", SAME)
def test_controls_with_the_same_encoder_are_evaluated_by_the_same_trials(what: str, tmp_path: Path) -> None:
    one, other = (edited(tmp_path / str(number), edit) for number, edit in enumerate(SAME[what]))
    assert of_control(one) == of_control(other)


@pytest.mark.parametrize("what", APART)
def test_no_trial_evaluates_two_encoders(what: str, tmp_path: Path) -> None:
    one, other = (edited(tmp_path / str(number), edit) for number, edit in enumerate(APART[what]))
    assert not of_control(one) & of_control(other)


def test_a_teacher_whose_head_alone_was_prepared_is_evaluated_as_shipped(tmp_path: Path) -> None:
    whole = edited(tmp_path / "whole", lambda spec: None)
    head = edited(tmp_path / "head", put("prepare", HEAD))
    (prepared,) = head.of_kind("prepare")
    of_teachers = {trial.id for trial in head.of_kind("finetune") if trial.labels["family"] == "teacher"}
    assert evaluations(head, prepared) == of_teachers
    assert of_teachers < {trial.id for trial in whole.of_kind("finetune")}
    (prepared,) = whole.of_kind("prepare")
    assert not evaluations(whole, prepared) & of_teachers


def test_two_language_sets_share_the_control_and_each_has_its_row(tmp_path: Path) -> None:
    def languages(spec: Tree) -> None:
        spec["grid"]["language"] = [["en", "de"], ["en"]]
        spec["tasks"][0]["languages"] = ["en"]

    plan = edited(tmp_path, languages)
    both = students(plan, "none")
    assert len({trial.config_id for trial in both}) == 2
    assert len({encoder_of(trial, plan.by_id).model_dump_json() for trial in both}) == 2  # seeds
    trained = students(plan, "od")
    assert 2 * len(of_control(plan)) == len(evaluations(plan, *trained))


def test_controls_wait_for_nothing_but_what_they_copy_and_ids_do_not_say_so(tmp_path: Path) -> None:
    for name, edit in {
        "plain": lambda spec: None,
        "copied": starting(COPIED),
        "head": together(starting(COPIED), put("prepare", HEAD)),
        "assistant": assistant(1),
    }.items():
        plan = edited(tmp_path / name, edit)
        (prepared,) = plan.of_kind("prepare")
        for trial in students(plan, "none"):
            assert trial.parents
            assert trial.waits_for == ((prepared.id,) if name == "copied" else ())
            assert trial.start == encoder_of(trial, plan.by_id)
            assert trial.expected_id() == trial.id
            assert (trial.resources.cpus, trial.resources.gpus, trial.resources.workers) == (1, 0, 1)
        for trial in students(plan, "od"):
            assert trial.waits_for == trial.parents
            assert encoder_of(trial, plan.by_id) == ModelSource(trial=trial.id)


def test_a_trial_of_a_start_survives_its_file(tmp_path: Path) -> None:
    plan = edited(tmp_path, starting(COPIED))
    starts = [
        t
        for t in plan.of_kind("finetune")
        if isinstance(t.job, FinetuneJob) and isinstance(t.job.model, Start)
    ]
    assert starts
    for trial in [*starts, *students(plan, "none")]:
        again = Trial.model_validate_json(trial.model_dump_json(by_alias=True))
        assert again.expected_id() == trial.id
        assert again.start == trial.start
