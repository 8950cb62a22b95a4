"""Another id is another question: whole specs, edited, and the content of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.assets.asset import Asset, LocalSource
from harness.assets.fetch import fetch, identify
from harness.assets.sources import Sources
from harness.plan import Plan
from harness.records.trial import FinetuneJob, Start, Trial
from tests.plan.questions import LAST_TERM, Edit, Tree, edited, ids, put, task

Which = Callable[[Trial], bool]


def descends(plan: Plan, which: Which) -> set[str]:
    """The trials that `which` names and all that read their models."""
    found: set[str] = set()
    for trial in plan.trials:
        if which(trial) or found & set(trial.makers):
            found.add(trial.id)
    return found


def of_task(name: str) -> Which:
    return lambda trial: trial.labels.get("task") == name


def of_method(name: str) -> Which:
    return lambda trial: trial.kind == "distil" and trial.labels["method"] == name


def of_kind(*kinds: str) -> Which:
    return lambda trial: trial.kind in kinds


def of_a_start(trial: Trial) -> bool:
    return isinstance(trial.job, FinetuneJob) and isinstance(trial.job.model, Start)


def trained(trial: Trial) -> bool:
    return trial.kind == "distil" and trial.labels["method"] != "none"


def all_of_teacher(trial: Trial) -> bool:
    return trial.labels.get("teacher") == "tiny"


def reverse_labels(spec: Tree) -> None:
    task(spec)["labels"] = dict(reversed(task(spec)["labels"].items()))


ASKED: dict[str, tuple[Edit, Which]] = {
    "the reported split": (put("tasks/0/task/report", "dev"), of_task("pairs")),
    "the order of labels": (reverse_labels, of_task("pairs")),
    "what a label is in the data": (put("tasks/0/task/labels/maybe", 3), of_task("pairs")),
    "the files of a split": (put("tasks/0/task/splits/dev/files", "other-{language}"), of_task("pairs")),
    "the data of a task": (put("tasks/1/task/assets/data/sources", [{"path": "x"}]), of_task("closeness")),
    "a metric": (put("tasks/1/task/metrics", ["spearman"]), of_task("closeness")),
    "a setting of one task": (put("tasks/1/finetune", {"length": 64}), of_task("closeness")),
    "a setting of all tasks": (put("finetune/batch_size", 8), of_kind("finetune")),
    "the order of terms": (lambda spec: spec["grid"]["method"][1]["objective"].reverse(), of_method("od")),
    "a weight of a term": (put("grid/method/1/objective/0/weight", 2), of_method("od")),
    "weights of the wrong pairs": (put(f"{LAST_TERM}/weights", [0.75, 0.25]), of_method("rel")),
    "a layer": (put(f"{LAST_TERM}/teacher_layer", {"from_end": 1}), of_method("rel")),
    "a weight of a pair of layers": (put("grid/method/3/objective/0/pair_weights", [1, 2]), of_method("hs")),
    "layers that start at random": (
        put("grid/init", [{"from": "teacher", "layers": "random"}]),
        lambda trial: trial.kind == "distil" or of_a_start(trial),
    ),
    "where weights start": (
        put("grid/method/3/init", {"from": "random", "checkpoint": None}),
        lambda t: False,
    ),
    "a setting of distillation": (put("distil/learning_rate", 2e-3), trained),
    "the declared precision": (put("distil/precision", "fp32"), trained),
    "a setting of preparation": (put("prepare/steps", 6), of_kind("prepare")),
    "the text": (put("corpus/texts/0/asset/sources", [{"path": "x"}]), of_kind("prepare", "distil")),
    "files of the text": (put("corpus/texts/1/files", "c*"), of_kind("prepare", "distil")),
    "sentences that are taken out": (
        put("corpus/exclude/0/splits/dev/files", "x.jsonl"),
        of_kind("prepare", "distil"),
    ),
    "rows that are taken out": (
        put("corpus/exclude/0/labels", {"b": 0, "a": 2}),
        of_kind("prepare", "distil"),
    ),
    "the teacher": (put("teacher/asset/sources", [{"path": "x"}]), all_of_teacher),
    "an external model": (
        put("models/0/asset/sources", [{"path": "x"}]),
        lambda trial: trial.labels.get("teacher") == "outside",
    ),
    "how latency is taken": (put("measure/repeats", 30), of_kind("measure")),
}


@pytest.mark.parametrize("what", ASKED)
def test_another_question_changes_the_ids_of_its_trials_and_what_reads_their_models_and_no_other(
    what: str, plain: Plan, tmp_path: Path
) -> None:
    edit, which = ASKED[what]
    assert ids(plain) - ids(edited(tmp_path, edit)) == descends(plain, which)


def test_a_copy_of_the_files_is_the_same_content_pinned_or_not(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "cache", offline=True)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("text")
    one, two = (Asset(sources=(LocalSource(path=str(tmp_path / name)),)) for name in ("one", "two"))
    pinned = one.model_copy(update={"sha256": fetch(one, sources).sha256})
    assert identify(one, sources) == identify(two, sources) == identify(pinned, sources)
