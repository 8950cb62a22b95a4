"""Which encoder a model has: the one rule by which models whose encoders are the same to the last bit are evaluated once.

    a teacher whose masked-LM head alone was prepared    the teacher as shipped
    a student that nothing trains                        its start: shape, initialisation, seed where anything is drawn,
                                                         and of the teacher what it copies, else what it was made from
    any other model                                      its own

It follows from a trial and its ancestors. Heads may differ where encoders do not, so what reads heads (distillation,
`analyse`) names the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.records.trial import (
    DistilJob,
    ModelSource,
    PrepareJob,
    Start,
    Trial,
)
from harness.spec.entries import Teacher

Ancestors = Mapping[str, Trial]
"""Trial id -> trial."""


def encoder_of(trial: Trial, ancestors: Ancestors) -> ModelSource | Start:
    """What stands for the encoder of the model that a `prepare` or `distil` trial makes; the model itself where an
    ancestor is not known."""
    own = ModelSource(trial=trial.id)
    match trial.job:
        case PrepareJob(teacher=teacher, recipe=recipe) if recipe.train == "head" or not recipe.steps:
            return ModelSource(teacher=teacher)
        case DistilJob() as job if not job.trains:
            return start_of(job, trial.data, ancestors) or trial.start or own
    return own


def start_of(job: DistilJob, data: Mapping[str, str], ancestors: Ancestors) -> Start | None:
    """Where a student begins; None where an ancestor is not known. `data`: of its trial."""
    copies = job.init.source == "teacher"
    teacher = _encoder(job.teacher, ancestors) if copies else _root(job.teacher, ancestors)
    if teacher is None:
        return None
    content = {name: data[name] for name in ("init",) if name in data}
    if isinstance(teacher, ModelSource) and teacher.teacher is not None:
        maker = ancestors.get(job.teacher.trial or "")
        root = root_trial(maker, ancestors) if maker else None
        content |= teacher_content(root.data if root else data)
    seed = job.seed if job.init.draws else None
    return Start(teacher=teacher, student=job.student.built, init=job.init, seed=seed, content=content)


def teacher_content(data: Mapping[str, str]) -> dict[str, str]:
    """What identifies a teacher's files among all that a trial reads."""
    return {
        name: content
        for name, content in data.items()
        if name in ("teacher", "tokenizer") or name.startswith("vocabulary/")
    }


def _encoder(source: ModelSource, ancestors: Ancestors) -> ModelSource | Start | None:
    """The encoder of a model by its source."""
    if source.trial is None or source.milestone is not None:
        return source
    maker = ancestors.get(source.trial)
    return None if maker is None else encoder_of(maker, ancestors)


def _root(source: ModelSource, ancestors: Ancestors) -> ModelSource | None:
    """The checkpoint as shipped that it descends from: it has the same family, tokenizer and positions."""
    if source.trial is None:
        return source
    maker = ancestors.get(source.trial)
    root = root_trial(maker, ancestors) if maker else None
    return ModelSource(teacher=shipped_teacher(root)) if root else None


def root_trial(trial: Trial, ancestors: Ancestors) -> Trial | None:
    """The root of a chain of prepared teachers and assistants: the trial that reads a checkpoint as shipped; None if
    unknown."""
    job = trial.job
    if not isinstance(job, DistilJob) or job.teacher.teacher is not None:
        return trial
    maker = ancestors.get(job.teacher.trial or "")
    return root_trial(maker, ancestors) if maker else None


def shipped_teacher(root: Trial) -> Teacher | None:
    """The checkpoint as shipped that a root reads."""
    match root.job:
        case PrepareJob() as job:
            return job.teacher
        case DistilJob() as job:
            return job.teacher.teacher
    return None
