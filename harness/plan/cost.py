"""Estimated cost of a plan: counted operations over the speed of trials recorded earlier, else over a share of the
machine's measured matmul peak, else over a share of an assumed one. It never affects a result. Reads no files:
callers pass what is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.plan.build import Plan
from harness.plan.cohorts import cohorts
from harness.plan.row_counts import AssumedRows, RowCounts, TaskSize, rows_read
from harness.plan.work import Work
from harness.records.machine import MachineProfile
from harness.records.result import RecordedTrials, Result
from harness.records.trial import KINDS, FinetuneJob, Kind, Trial

ASSUMED_PEAK: Mapping[str, float] = {"cpu": 130e9, "cuda": 200e12}
"""Matmul peak of one processor core (fp32) and of one GPU (bf16) in operations a second, where nothing was measured: a
core with AVX-512 as in benchmarks/RESULTS.md (133 GFLOP/s), and two thirds of an A100's nominal 312 TFLOP/s."""
SHARE_OF_PEAK: Mapping[str, Mapping[Kind, float]] = {
    # Whole trials of specs/quickstart.yaml on one core, loading, evaluating and saving included. Its students are 96 and
    # 192 wide and its batches of 512 tokens; larger ones reach more (steps of a cohort: 57 %, benchmarks/RESULTS.md).
    "cpu": {"prepare": 0.5, "distil": 0.28, "finetune": 0.43, "analyse": 0.3, "measure": 0.5},
    # Assumed: with the assumed peak, 60 TFLOP/s.
    "cuda": {"prepare": 0.3, "distil": 0.3, "finetune": 0.3, "analyse": 0.3, "measure": 0.3},
}
"""Share of the matmul peak reached over a whole trial; used where no trial of the kind was recorded."""

Resource = tuple[Kind, str]
"""Kind and device, `cpu` or `cuda`."""


@dataclass(frozen=True)
class Speed:
    """Operations a second that trials reach."""

    measured: Mapping[Resource, float] = field(default_factory=dict)
    """Operations a second per core or GPU, averaged over whole trials recorded earlier."""
    profiles: Mapping[int, MachineProfile] = field(default_factory=dict)
    """Threads -> this machine's profile."""
    tasks: RowCounts = field(default_factory=RowCounts)
    """What is known of the tasks' rows."""

    def seconds(self, trial: Trial, operations: float) -> float:
        """How long `operations` take on what this trial occupies."""
        device, count = _occupied(trial)
        rate = self.measured.get((trial.kind, device)) or self._expected(trial, device)
        return operations / (rate * count)

    @property
    def basis(self) -> str:
        """Where the speed comes from, in words."""
        parts = []
        if self.measured:
            rates = ", ".join(
                f"{kind} {rate / 1e9:,.0f}" + (" on GPU" if device == "cuda" else "")
                for (kind, device), rate in sorted(self.measured.items())
            )
            parts.append(f"GFLOP/s a core or GPU of trials recorded here: {rates}")
        if any(profile.matmul_peak for profile in self.profiles.values()):
            parts.append("by kind a share of this machine's matmul peak")
        else:
            core, gpu = ASSUMED_PEAK["cpu"], ASSUMED_PEAK["cuda"]
            peaks = f"{core / 1e9:.0f} GFLOP/s a core, {gpu / 1e12:.0f} TFLOP/s a GPU"
            parts.append(f"by kind a share of an assumed matmul peak, {peaks}")
        return "; else ".join(parts)

    def _expected(self, trial: Trial, device: str) -> float:
        """Operations a second per core or GPU where no trial of the kind was recorded."""
        cores = trial.resources.cpus
        profile = self.profiles.get(cores)
        precision = getattr(getattr(trial.job, "recipe", None), "precision", "auto")
        measured = profile.peak(device, precision) if profile else None
        shared_by = 1 if device == "cuda" else cores
        peak = measured / shared_by if measured else ASSUMED_PEAK[device]
        return peak * SHARE_OF_PEAK[device][trial.kind]


def estimate(plan: Plan, speed: Speed) -> dict[str, float]:
    """Trial id -> seconds it takes on the resources it asks for."""
    sharing = {trial.id: len(group) for group in cohorts(plan.trials) for trial in group}
    work = Work(plan.by_id, speed.tasks)
    return {
        trial.id: speed.seconds(trial, work.operations(trial, sharing.get(trial.id, 1)))
        for trial in plan.trials
    }


def assumed_rows(plan: Plan, speed: Speed) -> tuple[AssumedRows, ...]:
    """Row counts assumed by the estimate for tasks whose data has not been seen."""
    jobs = {trial.job.task.name: trial.job for trial in plan.trials if isinstance(trial.job, FinetuneJob)}
    return tuple(rows for job in jobs.values() if (rows := speed.tasks.assumption(job)))


def speed_of(
    recorded: RecordedTrials,
    profiles: Mapping[int, MachineProfile] | None = None,
    at_hand: Mapping[str, TaskSize] | None = None,
) -> Speed:
    """Speed as these trials show it (all operations over all seconds, by kind and device), with the machine's profiles
    for kinds that are not among them, and the tasks' data for rows that no trial has read."""
    tasks = RowCounts(rows_read(recorded.ended), at_hand or {})
    work = Work(recorded.known, tasks)
    operations: dict[Resource, float] = defaultdict(float)
    seconds: dict[Resource, float] = defaultdict(float)
    for trial, result in recorded.ended:
        whole = all(
            maker in recorded.known for maker in trial.makers
        )  # else the size of its model is not known
        if trial.kind != "measure" and result.seconds > 0 and whole:
            device, count = _occupied(trial)
            operations[trial.kind, device] += work.operations(trial, _cohort(result.facts))
            seconds[trial.kind, device] += result.seconds * count
    measured = {key: operations[key] / seconds[key] for key in operations if operations[key] > 0}
    return Speed(measured, profiles or {}, tasks)


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


def _occupied(trial: Trial) -> tuple[str, float]:
    """(device, number of cores or GPUs)."""
    resources = trial.resources
    device, each = ("cuda", resources.gpus) if resources.gpus else ("cpu", float(resources.cpus))
    return device, each * resources.workers


def _cohort(facts: Mapping[str, Any]) -> int:
    """Students that shared a teacher pass."""
    return max(1, int(facts.get("cohort", 1)))
