"""Which distil trials may share one teacher pass. It never changes a result, only how trials are run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from harness.records.trial import DistilJob, Trial
from harness.spec.recipes import TokenBatches


def cohorts(trials: Iterable[Trial]) -> list[tuple[Trial, ...]]:
    """The distil trials of `trials` in groups with one teacher, corpus, token stream, input, precision, seed and length.

    `distil.cohort: off` makes every group one trial, a number bounds its size; with `auto` a group is as large as
    possible, and the scheduler divides it by memory and free workers. Trials that train nothing stay alone. Groups and
    members keep the order of `trials`."""
    groups: dict[tuple[object, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        if isinstance(trial.job, DistilJob):
            groups[_shared(trial, trial.job)].append(trial)
    return [part for members in groups.values() for part in _bounded(members)]


def _shared(trial: Trial, job: DistilJob) -> tuple[object, ...]:
    recipe = job.recipe
    if not job.trains:
        return (trial.id,)
    teacher = job.teacher.trial or trial.data.get("teacher"), job.teacher.milestone
    corpus = tuple(item for item in trial.data.items() if item[0] != "init")
    stream = tuple(getattr(recipe, name) for name in TokenBatches.model_fields)
    resources = (trial.resources.cpus, trial.resources.gpus, trial.resources.workers)
    settings = (recipe.input, recipe.precision, recipe.steps, recipe.cohort, job.seed)
    return (*teacher, job.corpus.name, job.corpus.languages, corpus, stream, resources, settings)


def _bounded(members: Sequence[Trial]) -> Iterator[tuple[Trial, ...]]:
    job = members[0].job
    assert isinstance(job, DistilJob)
    bound = job.recipe.cohort
    largest = 1 if bound == "off" else len(members) if bound == "auto" else bound
    parts = math.ceil(len(members) / largest)
    for part in range(parts):  # of even size, rather than full ones and a rest
        yield tuple(members[part * len(members) // parts : (part + 1) * len(members) // parts])
