"""Which trials come first, and how many students fit beside one teacher.

These are estimates: they order and group the work and never change a result.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.plan.work import Work
from harness.records.trial import DistilJob, Trial

TYPICAL_VOCABULARY = 50_000
BYTES_PER_WEIGHT = 16
"""fp32 weight, gradient and AdamW's two moments."""
ACTIVATION_BYTES = 68
"""Bytes kept for the backward pass per token, layer and unit of width, in fp32 (Korthikanti et al., 2022, eq. 1,
without the part quadratic in length: 34 in 16 bits)."""
TEACHER_SHARE = 0.5
"""Share of a slot's memory for the students of a cohort; the rest holds teacher, activations and losses."""


def longest_way(trials: Sequence[Trial]) -> dict[str, float]:
    """Id -> operations per core from the trial's start to the end of the longest chain of its descendants.

    This is a trial's rank on the critical path. `trials` come in dependency order, parents first.
    """
    work = Work({trial.id: trial for trial in trials})
    below: dict[str, float] = {}
    ranks: dict[str, float] = {}
    for trial in reversed(trials):
        occupied = trial.resources.cpus * trial.resources.workers
        rank = work.operations(trial) / occupied + below.get(trial.id, 0.0)
        ranks[trial.id] = rank
        for parent in trial.waits_for:
            below[parent] = max(below.get(parent, 0.0), rank)
    return ranks


def student_bytes(trial: Trial) -> float:
    """Bytes that one student adds to a cohort while it trains, in each of its workers."""
    job = trial.job
    assert isinstance(job, DistilJob)
    student, recipe = job.student, job.recipe
    teacher = job.teacher.teacher
    vocabulary = teacher.shape.vocabulary if teacher and teacher.shape else TYPICAL_VOCABULARY
    weights = 12 * student.layers * student.width**2 + vocabulary * student.width
    rows = recipe.batch_size / trial.resources.workers
    activations = ACTIVATION_BYTES * student.layers * student.width * rows * recipe.length
    return float(weights * BYTES_PER_WEIGHT + activations)


def members_that_fit(members: Sequence[Trial], memory: float) -> int:
    """How many of these students, largest first, can train in one slot of `memory` bytes; at least one.

    A number in `distil.cohort` is the user's own bound and overrides the estimate; `off` means one.
    """
    job = members[0].job
    assert isinstance(job, DistilJob)
    bound = job.recipe.cohort
    if bound == "off":
        return 1
    if isinstance(bound, int):
        return min(bound, len(members))
    room = memory * TEACHER_SHARE
    count = 0
    for size in sorted(map(student_bytes, members), reverse=True):
        room -= size
        if room < 0:
            break
        count += 1
    return max(1, count)
