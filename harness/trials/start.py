"""A student that no method trains, exported as it starts: no text is read and no teacher is run."""

from __future__ import annotations

from harness.attempts.attempt import Attempt, Outcome
from harness.attempts.site import Site
from harness.models.export import export_model, model_card
from harness.models.loaded import LoadedModel
from harness.records.trial import DistilJob, Start
from harness.trials.card import start_row, variance_kept
from harness.trials.load import load_source, load_start, parents_sha256

UNTRAINED = "the whole model"
"""What no step has changed, as `harness.trials.untrained` names it."""


def start(attempt: Attempt, site: Site) -> None:
    """Run the `distil` trial of a student without a method to its result."""
    trial = attempt.trial
    job = trial.job
    assert isinstance(job, DistilJob)
    with attempt.working():
        attempt.begin()
        attempt.settle_precision(job.recipe.precision, None)
        begins = trial.start or Start(teacher=job.teacher, student=job.student, init=job.init, seed=job.seed)
        teacher = load_source(begins.teacher, site)
        student = load_start(begins, teacher, site.sources)
        kept = variance_kept(job.init, job.student, teacher)
        sha256 = export_model(
            student.model,
            student.tokenizer,
            attempt.folder.model,
            mlm_head=False,
            card=_card(attempt, job, teacher, kept),
        )
        attempt.succeed(
            Outcome(
                precision=attempt.precision,
                weights_sha256=sha256,
                facts={
                    "steps": 0,
                    **({} if kept is None else {"embedding_variance_kept": kept}),
                    "untrained": [UNTRAINED],
                    "unseen": [],
                },
                parents_sha256=parents_sha256(begins.teacher, teacher),
            )
        )


def _card(attempt: Attempt, job: DistilJob, teacher: LoadedModel, kept: float | None) -> str:
    size = f"{job.student.layers}-layer, {job.student.width}-wide {teacher.shape.model_type}"
    return model_card(
        f"{job.method.name} {job.student.name}",
        summary=f"A {size} encoder that was not distilled (`{job.method.name}`): {job.method.summary}",
        recipe={
            "objective": "none (control)",
            "initialised from": start_row(job.init, teacher.shape, job.student, kept),
            "seed": job.seed,
        },
        provenance={"trial": attempt.trial.id, "teacher weights (SHA-256)": teacher.sha256},
        untrained=[UNTRAINED],
        mlm_head=False,
        languages=job.corpus.languages,
    )
