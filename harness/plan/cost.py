"""Estimated cost of a plan: what each trial computes, priced by the machine's measured matmul peak, else by an assumed
one, times how much longer trials of the kind took that were recorded earlier. It never affects a result. Reads no files:
callers pass what is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.plan.cohorts import cohorts
from harness.plan.phases import Device, Gpu, Parts, Processor, parts_of
from harness.plan.plan import Plan
from harness.plan.row_counts import AssumedRows, RowCounts, TaskSize, rows_read
from harness.plan.work import Work
from harness.records.machine import MachineProfile
from harness.records.result import RecordedTrials, Result
from harness.records.trial import KINDS, FinetuneJob, Kind, Trial

ASSUMED_PEAK: Mapping[str, float] = {"cpu": 130e9, "cuda": 200e12}
"""Matmul peak of one processor core (fp32) and of one GPU (bf16) in operations a second, where nothing was measured: a
core with AVX-512 as in benchmarks/RESULTS.md (133 GFLOP/s), and two thirds of an A100's nominal 312 TFLOP/s."""

Resource = tuple[Kind, str]
"""Kind and device, `cpu` or `cuda`."""


@dataclass(frozen=True)
class Speed:
    """How fast trials run on this machine."""

    measured: Mapping[Resource, float] = field(default_factory=dict)
    """How many times as long as priced the trials took that were recorded earlier."""
    profiles: Mapping[int, MachineProfile] = field(default_factory=dict)
    """Threads -> this machine's profile."""
    tasks: RowCounts = field(default_factory=RowCounts)
    """What is known of the tasks' rows."""

    def parts(self, trial: Trial, work: Work, sharing: int = 1) -> Parts:
        """Seconds of a trial whose teacher pass is shared by `sharing` students, on what it asks for."""
        device, _ = _occupied(trial)
        priced = parts_of(trial, work, _device(trial, self.peak(trial, device)), sharing)
        return priced.times(self.measured.get((trial.kind, device), 1.0))

    @property
    def basis(self) -> str:
        """Where the speed comes from, in words."""
        peaks = [
            peak / count for count, profile in self.profiles.items() if (peak := profile.peak("cpu", "auto"))
        ]
        core, gpu = ASSUMED_PEAK["cpu"], ASSUMED_PEAK["cuda"]
        basis = f"by an assumed matmul peak, {core / 1e9:.0f} GFLOP/s a core, {gpu / 1e12:.0f} TFLOP/s a GPU"
        if peaks:
            basis = f"by this machine's matmul peak, {max(peaks) / 1e9:,.0f} GFLOP/s a core"
        if not self.measured:
            return basis
        factors = ", ".join(
            f"{kind} {factor:.2f}" + (" on GPU" if device == "cuda" else "")
            for (kind, device), factor in sorted(self.measured.items())
        )
        return f"{basis}, times what trials recorded here took of it: {factors}"

    def peak(self, trial: Trial, device: str) -> float | None:
        """Operations a second on the cores, or on one GPU, of one of its workers; None where it was not measured."""
        profile = self.profiles.get(trial.resources.cpus)
        precision = getattr(getattr(trial.job, "recipe", None), "precision", "auto")
        return profile.peak(device, precision) if profile else None


class Estimate:
    """Seconds of the trials of a plan."""

    def __init__(self, trials: Mapping[str, Trial], speed: Speed) -> None:
        """`trials` by id: those to estimate, and those whose models they start from."""
        self._speed = speed
        self._work = Work(trials, speed.tasks)
        self._known: dict[tuple[str, int], Parts] = {}

    def parts(self, trial: Trial, sharing: int = 1) -> Parts:
        """Seconds by phase of one trial that shares its teacher pass with `sharing` - 1 others, on what it asks for."""
        key = (trial.id, sharing)
        if key not in self._known:
            self._known[key] = self._speed.parts(trial, self._work, sharing)
        return self._known[key]


def estimate(plan: Plan, speed: Speed) -> dict[str, float]:
    """Trial id -> seconds it takes on the resources it asks for, in cohorts as large as possible."""
    sizes = {trial.id: len(group) for group in cohorts(plan.trials) for trial in group}
    priced = Estimate(plan.by_id, speed)
    return {trial.id: priced.parts(trial, sizes.get(trial.id, 1)).total for trial in plan.trials}


def assumed_rows(plan: Plan, speed: Speed) -> tuple[AssumedRows, ...]:
    """Row counts assumed by the estimate for tasks whose data has not been seen."""
    jobs = {trial.job.task.name: trial.job for trial in plan.trials if isinstance(trial.job, FinetuneJob)}
    return tuple(rows for job in jobs.values() if (rows := speed.tasks.assumption(job)))


def speed_of(
    recorded: RecordedTrials,
    profiles: Mapping[int, MachineProfile] | None = None,
    at_hand: Mapping[str, TaskSize] | None = None,
) -> Speed:
    """Speed as these trials show it (their seconds over what they are priced at, by kind and device), with the machine's
    profiles, and the tasks' data for rows that no trial has read."""
    speed = Speed({}, profiles or {}, RowCounts(rows_read(recorded.ended), at_hand or {}))
    work = Work(recorded.known, speed.tasks)
    priced: dict[Resource, float] = defaultdict(float)
    seconds: dict[Resource, float] = defaultdict(float)
    for trial, result in recorded.ended:
        whole = all(
            maker in recorded.known for maker in trial.makers
        )  # else the size of its model is not known
        if whole and result.seconds > 0:
            device, _ = _occupied(trial)
            on = _device(trial, _peak_behind(trial, result, speed))
            priced[trial.kind, device] += parts_of(trial, work, on, sharing(result)).total
            seconds[trial.kind, device] += result.seconds
    measured = {key: seconds[key] / priced[key] for key in priced if priced[key] > 0}
    return Speed(measured, speed.profiles, speed.tasks)


def _peak_behind(trial: Trial, result: Result, speed: Speed) -> float | None:
    """The matmul peak that a recorded trial is priced by: on this machine that by which new ones are, so that a wrong
    one cancels out, elsewhere the one that it recorded."""
    profile = speed.profiles.get(trial.resources.cpus)
    if profile is not None and profile.fingerprint == result.provenance.fingerprint:
        return speed.peak(trial, _occupied(trial)[0])
    return result.provenance.matmul_peak


def hindsight(estimated: Mapping[str, float], results: Iterable[Result]) -> str | None:
    """One line on how far off the estimate was for the trials that succeeded; None where there are none."""
    expected: dict[Kind, float] = defaultdict(float)
    measured: dict[Kind, float] = defaultdict(float)
    for result in results:
        if result.status == "ok" and result.trial_id in estimated:
            expected[result.kind] += estimated[result.trial_id]
            measured[result.kind] += result.seconds
    kinds = [kind for kind in KINDS if expected[kind] > 0]
    if not kinds:
        return None
    total, real = sum(expected[kind] for kind in kinds), sum(measured[kind] for kind in kinds)
    each = ", ".join(f"{kind} {_off(expected[kind], measured[kind])}" for kind in kinds)
    return f"work took {real:,.0f} s; the estimate was {total:,.0f} s: {_off(total, real)} ({each})"


def _off(expected: float, measured: float) -> str:
    share = measured / expected - 1
    return f"{abs(share):.0%} {'more' if share >= 0 else 'less'}"


def _device(trial: Trial, peak: float | None) -> Device:
    """What a trial occupies; `peak` of one of its workers, or an assumed one."""
    device, count = _occupied(trial)
    workers = trial.resources.workers
    if device == "cuda":
        return Gpu((peak or ASSUMED_PEAK[device]) * count)
    return Processor(peak * workers if peak else ASSUMED_PEAK[device] * count, round(count))


def _occupied(trial: Trial) -> tuple[str, float]:
    """(device, number of cores or GPUs)."""
    resources = trial.resources
    device, each = ("cuda", resources.gpus) if resources.gpus else ("cpu", float(resources.cpus))
    return device, each * resources.workers


def sharing(result: Result) -> int:
    """Students that shared a teacher pass."""
    return max(1, int(result.facts.get("cohort", 1)))
