"""From a trial and its result to the rows of each table: pure functions, no files, no database."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter

from harness.base import digest, identity
from harness.records.encoder import encoder_of, root_trial, shipped_teacher, teacher_content
from harness.records.result import Progress, Result
from harness.records.trial import (
    RECIPE_VERSIONS,
    AnalyseJob,
    DistilJob,
    FinetuneJob,
    Job,
    MeasureJob,
    ModelSource,
    PrepareJob,
    Start,
    Trial,
)
from harness.spec.entries import Student, Teacher

Row = dict[str, Any]
T = TypeVar("T")
_JOB: TypeAdapter[Job] = TypeAdapter(Job)

PROGRESS_POINTS = 200
"""Points of a learning curve stored per trial, at most."""

_SETTING = ("learning_rate", "epochs")
"""Fields of a fine-tuning recipe that are selected by dev score; all others belong to the protocol."""


def model_key(source: ModelSource | Start, data: Mapping[str, str]) -> str:
    """Key of a model: the trial that made it (`@step` for a milestone), or the content of a teacher as shipped, taken
    from the trial's `data`; of a start, all that it is built from."""
    if isinstance(source, Start):
        return digest(source)
    if source.trial is None:
        assert source.teacher is not None
        return shipped_key(source.teacher, data)
    return source.trial if source.milestone is None else f"{source.trial}@{source.milestone}"


def shipped_key(teacher: Teacher, data: Mapping[str, str]) -> str:
    """Key of a checkpoint as shipped: its content according to a trial's `data`."""
    return digest([teacher, teacher_content(data)])


def encoder_key(trial: Trial, ancestors: Mapping[str, Trial]) -> str:
    """Key of the encoder of the model that a trial makes or scores: equal where encoders are the same to the last bit."""
    if isinstance(trial.job, FinetuneJob):
        source = trial.job.model
        whole = isinstance(source, ModelSource) and source.milestone is None
        maker = ancestors.get(source.makers[0]) if whole and source.makers else None
        return encoder_key(maker, ancestors) if maker else model_key(source, trial.data)
    return model_key(encoder_of(trial, ancestors), trial.data)


def arch_key(teacher: Teacher, student: Student | None) -> str:
    """Key of an architecture: the identities of a teacher and of a student built from it.

    A new field of `Student` becomes part of it automatically. Only the initialisation of the weights is left out, as no
    measurement depends on it.
    """
    if student is None:
        return digest([teacher, None])
    return digest([teacher, student.built])


def measured_key(teacher: Teacher, student: Student | None, data: Mapping[str, str]) -> str:
    """Key shared by trials that one measurement serves: an architecture with the content of its teacher, which alone
    states its size."""
    return digest([arch_key(teacher, student), teacher_content(data)])


def protocol_of(job: FinetuneJob, data: Mapping[str, str], precision: str | None = None) -> str:
    """Key (8 hex digits) of everything, besides the model, that must be equal for two scores of a task to be compared.
    `precision`: the one that `auto` resolved to, once known."""
    recipe = {name: value for name, value in identity(job.recipe).items() if name not in _SETTING}
    if precision is not None:
        recipe["precision"] = precision
    task_data = {key: value for key, value in data.items() if key.startswith("task")}
    return digest([recipe, job.task, task_data], length=8)


def trial_row(
    trial: Trial, result: Result | None, *, parents: Mapping[str, Trial], status: str | None = None
) -> Row:
    """The row of `trials`. `parents` holds its ancestors, as far as they are known."""
    labels = trial.labels
    row: Row = {
        "trial_id": trial.id,
        "kind": trial.kind,
        "status": status or (result.status if result else "running"),
        "title": trial.title,
        "spec": trial.spec,
        "config_id": trial.config_id,
        "parents": list(trial.parents),
        "method": labels.get("method"),
        "family": labels.get("family"),
        "teacher": labels.get("teacher"),
        "student": labels.get("student"),
        "language": labels.get("language"),
        "labels": _json(labels),
        "config": trial.job.model_dump_json(by_alias=True),
        "data": _json(trial.data),
        "selected": False,
    }
    row |= job_columns(trial, parents, result.started_in if result else None)
    row |= _result_columns(result) if result else {}
    return row


def job_columns(trial: Trial, parents: Mapping[str, Trial], precision: str | None) -> Row:
    """The columns that follow from the trial's definition; `precision` as for `protocol_of`."""
    job = trial.job
    if isinstance(job, PrepareJob):
        return {
            "role": "prepared",
            "model_key": trial.id,
            "encoder_key": encoder_key(trial, parents),
            "teacher_key": shipped_key(job.teacher, trial.data),
            "arch_key": measured_key(job.teacher, None, trial.data),
            "teacher": job.teacher.name,
            "family": "teacher",
            "method": "prepared",
        }
    if isinstance(job, DistilJob):
        maker = root_trial(trial, parents)
        root = maker and shipped_teacher(maker)
        return {
            "role": "student",
            "model_key": trial.id,
            "encoder_key": encoder_key(trial, parents),
            "teacher_key": model_key(job.teacher, trial.data),
            "arch_key": measured_key(root, job.student, maker.data) if maker and root else None,
            "method": job.method.name,
            "family": job.method.family,
            "student": job.student.name,
            "distil_seed": job.seed,
        } | ({"teacher": root.name} if root and not trial.labels.get("teacher") else {})
    if isinstance(job, MeasureJob):
        return {
            "role": "student" if job.student else "shipped",
            "arch_key": measured_key(job.teacher, job.student, trial.data),
            "fingerprint": job.fingerprint,
            "teacher": job.teacher.name,
            "student": job.student.name if job.student else None,
        }
    if isinstance(job, AnalyseJob):
        maker = parents.get(job.student.trial or "")
        return _of_maker(maker, parents) | {
            "role": "student",
            "model_key": model_key(job.student, trial.data),
        }
    return _finetune_columns(trial, job, parents, precision)


def _of_maker(maker: Trial | None, parents: Mapping[str, Trial]) -> Row:
    """What a trial that reads a model has in common with the trial that made it."""
    if maker is None:
        return {}
    model = job_columns(maker, parents, None)
    wanted = ("role", "family", "method", "student", "teacher", "teacher_key", "arch_key", "distil_seed")
    return {key: model[key] for key in wanted if key in model} | {"language": maker.labels.get("language")}


def _finetune_columns(
    trial: Trial, job: FinetuneJob, parents: Mapping[str, Trial], precision: str | None
) -> Row:
    row: Row = {
        "encoder_key": encoder_key(trial, parents),
        "suite": job.task.suite,
        "task": job.task.name,
        # a rung's score may be compared with nothing but its neighbours'
        "protocol": protocol_of(job, trial.data, precision) if job.counts else None,
        "learning_rate": job.recipe.learning_rate,
        "epochs": job.recipe.epochs,
        "finetune_seed": job.seed,
    }
    if isinstance(job.model, Start):  # of no model in particular
        return row | {"role": "student", "distil_seed": job.model.seed}
    row |= {"model_key": model_key(job.model, trial.data), "milestone": job.model.milestone}
    if job.model.teacher is not None:
        family = "external" if trial.labels.get("family") == "external" else "teacher"
        return row | {
            "role": "shipped",
            "family": family,
            "method": "as shipped",
            "teacher": job.model.teacher.name,
            "student": None,
            "arch_key": measured_key(job.model.teacher, None, trial.data),
        }
    maker = parents.get(job.model.trial or "")
    if maker is None:
        return row | {"role": "student" if trial.labels.get("student") else "prepared"}
    return row | _of_maker(maker, parents)


def measured_as(trial: Trial, parents: Mapping[str, Trial]) -> str | None:
    """`arch_key` of the model that a trial makes, scores or measures; None if its teacher is not known."""
    key: str | None = job_columns(trial, parents, None).get("arch_key")
    return key


def _result_columns(result: Result) -> Row:
    error, behind = result.error, result.provenance
    return {
        "error": error.reason if error else None,
        "error_message": error.message if error else None,
        "error_step": error.step if error else None,
        "error_term": error.term if error else None,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "seconds": result.seconds,
        "resumed": result.resumed,
        "device": behind.device,
        "fingerprint": behind.fingerprint,
        "precision": behind.precision,
        "threads": behind.threads,
        "tokens": result.tokens,
        "tokens_per_second": result.tokens_per_second,
        "flops_per_second": result.flops_per_second,
        "utilisation": result.utilisation,
        "weights_sha256": result.weights_sha256,
        "dev_value": finite(result.dev_value),
        "flags": list(result.flags),
        "facts": _json(result.facts),
        "provenance": behind.model_dump_json(),
        "result_sha256": record_sha256(result),
    }


def record_sha256(record: Trial | Result) -> str:
    """SHA-256 of a record's canonical JSON, independent of its file's layout."""
    content = record.model_dump(mode="json", by_alias=True)
    for name in ("analysis", "rarity"):
        if not content.get(name):
            content.pop(name, None)  # results from before the field existed keep their hashes
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def score_rows(trial: Trial, result: Result) -> list[Row]:
    """The rows of `scores`; `selected` is set later, by the dev scores of the trial's group."""
    job = trial.job if isinstance(trial.job, FinetuneJob) else None
    return [
        {
            "trial_id": trial.id,
            **score.model_dump(
                include={"suite", "task", "language", "split", "metric", "n", "no_information", "data_id"}
            ),
            "value": finite(score.value),
            "dev_value": finite(result.dev_value),
            "reported": job is not None
            and job.counts
            and score.split == job.task.report
            and score.metric in job.task.metrics,
            "selected": False,
            "flags": list(score.flags),
        }
        for score in result.scores
    ]


def measurement_rows(trial: Trial, result: Result, row: Row) -> list[Row]:
    """The rows of `measurements`; `row` is the trial's own."""
    return [
        {
            "trial_id": trial.id,
            "arch_key": row.get("arch_key"),
            "model_key": row.get("model_key"),
            "fingerprint": row.get("fingerprint"),
            "device": result.provenance.device,
            **measurement.model_dump(),
        }
        for measurement in result.measurements
    ]


def rarity_rows(trial: Trial, result: Result) -> list[Row]:
    """The rows of `rarity`."""
    return [{"trial_id": trial.id, **one.model_dump(), "value": finite(one.value)} for one in result.rarity]


def layer_rows(trial: Trial, result: Result) -> list[Row]:
    """The rows of `layer_pairs`."""
    if result.analysis is None:
        return []
    return [
        {
            "trial_id": trial.id,
            "measure": measure,
            "student_layer": i,
            "teacher_layer": j,
            "value": value,
        }
        for measure, matrix in result.analysis.layers.items()
        for i, row in enumerate(matrix, start=measure != "cka")
        for j, value in enumerate(row, start=measure != "cka")
    ]


def transfer_rows(trial: Trial, result: Result) -> list[Row]:
    """The rows of `transfers`."""
    transfers = result.analysis.transfers if result.analysis else ()
    return [
        {
            "trial_id": trial.id,
            "objective": one.objective,
            "loss": finite(one.loss),
            "fitted": list(one.fitted),
            "missing": one.missing,
        }
        for one in transfers
    ]


def progress_rows(trial_id: str, lines: Iterable[Progress]) -> list[Row]:
    """The rows of `progress`: the last line of each step, thinned evenly to `PROGRESS_POINTS`, first and last kept."""
    by_step = {line.step: line for line in lines}
    return [
        {
            "trial_id": trial_id,
            **line.model_dump(exclude={"terms", "loss", "gradient_norm", "clipped"}),
            "loss": finite(line.loss),
            "gradient_norm": finite(line.gradient_norm),
            "clipped": finite(line.clipped),
            "terms": _json({name: finite(value) for name, value in line.terms.items()}),
        }
        for line in thinned([by_step[step] for step in sorted(by_step)], PROGRESS_POINTS)
    ]


def thinned(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of `items`, evenly spaced, including the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def finite(value: float | None) -> float | None:
    """The number, or None unless it is finite: one NaN would make every average NaN."""
    return value if value is not None and math.isfinite(value) else None


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def trial_of(
    trial_id: str, kind: Any, parents: list[str], config_id: str | None, labels: str, config: str, data: str
) -> Trial:
    """A trial rebuilt from its row, as far as its descendants need it; not validated again."""
    job = _JOB.validate_json(config)
    return Trial.model_construct(
        id=trial_id,
        kind=kind,
        recipe_version=RECIPE_VERSIONS[kind],
        parents=tuple(parents),
        config_id=config_id,
        labels=json.loads(labels),
        job=job,
        data=json.loads(data),
    )
