"""Which distil trials may share one teacher pass. Imports no torch: trials are grouped before anything
is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records import DistilJob, Trial
from harness.spec.base import digest

_SHARED_SETTINGS = ("batch_size", "length", "mlm_probability", "input", "precision")
"""Settings that fix what the teacher sees and computes."""


def cohort_key(trial: Trial) -> str | None:
    """Trials of equal key see the same teacher activations; None for a trial that always runs alone.

    The teacher with the very weights used, the corpus with its content, the input stream with its seed,
    precision and thread count must agree. Number of steps, method, student and optimiser may differ.
    """
    job = trial.job
    if not isinstance(job, DistilJob) or job.recipe.cohort == "off":
        return None
    settings = [getattr(job.recipe, name) for name in _SHARED_SETTINGS]
    seen = {name: sha256 for name, sha256 in trial.data.items() if name.startswith(("teacher", "corpus"))}
    return digest([job.teacher, job.corpus, settings, job.seed, seen, list(trial.parents), trial.resources])


def largest_cohort(trial: Trial) -> int | None:
    """The most members that the spec allows beside each other; None for as many as memory holds."""
    job = trial.job
    if isinstance(job, DistilJob) and isinstance(job.recipe.cohort, int):
        return job.recipe.cohort
    return None


def are_one_cohort(trials: Iterable[Trial]) -> bool:
    """Whether these trials may run in one call: a single trial always, several where their keys agree."""
    several = list(trials)
    keys = {cohort_key(trial) for trial in several}
    return len(several) == 1 or (len(keys) == 1 and None not in keys)
