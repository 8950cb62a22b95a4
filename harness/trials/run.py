"""Run trials in their folders: return recorded successes, go on from checkpoints, record failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch

from harness.attempts.attempt import Attempt, Outcome
from harness.attempts.faults import TrialInterruptedError
from harness.attempts.process_group import ProcessGroup
from harness.attempts.site import Site
from harness.devices.device import part_of_memory
from harness.devices.matmul import matmul_peak
from harness.devices.memory import freed_memory_kept
from harness.devices.placement import resolve_precision
from harness.plan.cohorts import cohorts
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import AnalyseJob, DistilJob, FinetuneJob, MeasureJob, PrepareJob, Trial

__all__ = ["Site", "TrialInterruptedError", "follow", "run_trials"]


def run_trials(trials: Sequence[Trial], site: Site) -> list[Result]:
    """Run distil trials cohort by cohort, trials of other kinds one after the other.

    Returns one result for each trial, in order; each is written to its folder as soon as the trial ends, a failure too.
    A recorded success is not run again. Raises TrialInterruptedError, everything saved, where the site says stop.
    """
    trials = [TrialFolder.of(site.runs_dir, trial.id).with_recorded_milestones(trial) for trial in trials]
    results: dict[str, Result] = {}
    for trial in trials:
        recorded = TrialFolder.of(site.runs_dir, trial.id).answer(trial)
        if recorded is not None:
            results[trial.id] = recorded
    for group in _groups([trial for trial in trials if trial.id not in results]):
        ended = _run(group, site)
        if len(group) > 1:  # a trial that ran out of memory in a cohort may fit alone
            too_large = [trial for trial in group if _ran_out_of_memory(ended[trial.id])]
            for trial in too_large:
                ended |= _run((trial,), site)
        for trial in group:
            step = _left_bf16(trial, ended[trial.id])
            if step is not None:
                ended |= _run((trial,), site, nan_at=step)
        results |= ended
    return [results[trial.id] for trial in trials]


def _groups(trials: Sequence[Trial]) -> Iterator[tuple[Trial, ...]]:
    yield from cohorts(trials)
    for trial in trials:
        if not isinstance(trial.job, DistilJob):
            yield (trial,)


def _run(trials: Sequence[Trial], site: Site, nan_at: int | None = None) -> dict[str, Result]:
    """Run one cohort or one trial. An error raised here, unless it is a stop, fails every trial that has not ended.
    `nan_at` is the step at which bf16 was no longer finite; the trial then runs in fp32."""
    workers = site.workers
    attempts = [Attempt(trial, site) for trial in trials]
    for attempt in attempts:
        attempt.reach_milestones()
        if nan_at is not None:
            attempt.avoid_bf16(nan_at)
    if workers.leads:
        workers.call((trials, nan_at))
    torch.set_num_threads(trials[0].resources.cpus)
    try:
        with workers.together():
            _measure_machine(trials[0], site)
        with freed_memory_kept(), part_of_memory(site.torch_device, trials[0].resources.gpus):
            _work(attempts, site)
    except TrialInterruptedError:
        raise
    except Exception as error:
        workers.release(error)
        for attempt in attempts:
            if attempt.result is None:
                attempt.fail(error)
    return {attempt.trial.id: attempt.result for attempt in attempts if attempt.result is not None}


def follow(site: Site) -> None:
    """Take part in the jobs that the leader of a process group runs by `run_trials`, until it stops the followers."""
    workers = site.workers
    assert isinstance(workers, ProcessGroup)
    while (job := workers.listen()) is not None:
        trials, nan_at = job
        with suppress(TrialInterruptedError):
            _run(trials, site, nan_at)


def _measure_machine(trial: Trial, site: Site) -> None:
    """Measure the machine's rate of matrix products before the first trial of a precision and number of threads in this
    process."""
    if isinstance(trial.job, PrepareJob | DistilJob | FinetuneJob) and not trial.is_control:
        precision = resolve_precision(trial.job.recipe.precision, site.torch_device)
        threads = trial.resources.cpus
        matmul_peak(site.sources.cache_dir, site.device, precision, threads)


def _work(attempts: Sequence[Attempt], site: Site) -> None:
    first = attempts[0]
    match first.trial.job:
        case PrepareJob():
            from harness.trials.prepare import prepare

            prepare(first, site)
        case DistilJob() if first.trial.is_control:
            from harness.trials.start import start

            start(first, site)
        case DistilJob():
            from harness.trials.distil import distil

            distil(attempts, site)
        case FinetuneJob():
            from harness.trials.finetune import finetune

            finetune(first, site)
        case AnalyseJob():
            from harness.trials.analyse import analyse

            analyse(first, site)
        case MeasureJob() as job:
            _measure(first, job, site)


def _measure(attempt: Attempt, job: MeasureJob, site: Site) -> None:
    from harness.trials.measure import measure

    with attempt.working():
        attempt.begin()
        measurements = tuple(measure(job, site.sources, device=site.torch_device))
        invalid = tuple(
            f"unsteady:{measurement.metric}" for measurement in measurements if not measurement.valid
        )
        attempt.succeed(Outcome(precision=job.protocol.precision, measurements=measurements, flags=invalid))


def _ran_out_of_memory(result: Result) -> bool:
    return result.error is not None and result.error.reason == "out_of_memory"


def _left_bf16(trial: Trial, result: Result) -> int | None:
    """The step at which bf16 was no longer finite, where the recipe wants fp32 then."""
    if isinstance(trial.job, AnalyseJob | MeasureJob) or trial.job.recipe.on_nan != "fp32":
        return None
    if result.error is None or result.error.reason != "nan" or result.provenance.precision != "bf16":
        return None
    return result.error.step
