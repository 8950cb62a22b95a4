"""Run a plan: skip what is recorded, place the rest on workers, and report to a listener."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.assets.sources import Sources
from harness.counted import counted
from harness.errors import HarnessError, InputError
from harness.plan import Plan, cohorts
from harness.records.result import Result
from harness.records.trial import Trial
from harness.schedule.backend import ExecutionBackend
from harness.schedule.claim import claimed
from harness.schedule.dispatch.dispatcher import Dispatcher
from harness.schedule.dispatch.events import Blocked, Ended, Event, GivenUp, HandedBack, Started
from harness.schedule.dispatch.rehearsal import Machines
from harness.schedule.dispatch.slot_shapes import Capacity, Node
from harness.schedule.dispatch.workload import Workload
from harness.schedule.interrupts import Interrupts
from harness.schedule.listener import Listener, RunSummary
from harness.schedule.local import LocalBackend, this_machine
from harness.schedule.recorded import PlanRecord
from harness.schedule.tail import Tails
from harness.schedule.worker import RunJob, WorkerSetup, record_failure
from harness.spec.recipes import Resources

POLL_SECONDS = 0.4
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class RunOptions:
    """Where and how a plan is run. Nothing here changes a result."""

    backend: Literal["ray", "local"] = "ray"
    address: str | None = None
    """Ray cluster to join (`auto`, `ray://host:10001`); None starts one on this machine."""
    gpus: float | None = None
    """GPUs for each trial whose spec asks for none (`measure` excepted); fractions share a GPU."""
    cpus: int | None = None
    """Cores of this machine to use; None for all. Has no effect on a cluster that is joined."""
    retry_failed: bool = True
    """Run trials again that failed in an earlier run."""
    checkpoint_seconds: float = 15.0
    """Shortest time between two checkpoints of a trial."""
    run_job: RunJob | None = None
    """What a worker does with a job; None for `harness.trials.run.run_trials`."""


def run_plan(
    plan: Plan | Sequence[Trial],
    runs_dir: Path,
    sources: Sources,
    options: RunOptions,
    listener: Listener,
) -> RunSummary:
    """Run the trials that have no result yet. Without any, return at once and import neither Ray nor torch.

    The first Ctrl-C or SIGTERM makes workers save and stop (the summary is `interrupted`); a second raises
    KeyboardInterrupt. Raises InputError if another driver holds `runs_dir`, some trial fits on no node, or no
    cluster answers at the address.
    """
    began = time.monotonic()
    trials = _with_gpus(plan.trials if isinstance(plan, Plan) else plan, options.gpus)
    recorded = PlanRecord.of(trials, runs_dir)
    if recorded.left(trials, options.retry_failed):
        with claimed(runs_dir):
            # Another driver may have finished between the first look and the claim, so look again.
            run = _Run(trials, runs_dir, PlanRecord.of(trials, runs_dir), options, listener)
            return run.run_on(run.backend(sources), began)
    return _Run(trials, runs_dir, recorded, options, listener).nothing_left(began)


@dataclass
class _Counts:
    """Counts that become the summary."""

    total: int
    skipped: int
    done: int = 0
    failed: int = 0
    blocked: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def summary(self, began: float, interrupted: bool = False) -> RunSummary:
        seconds = time.monotonic() - began
        return RunSummary(
            self.total, self.done, self.skipped, self.failed, self.blocked, seconds, interrupted, self.reasons
        )


class _Run:
    """The driver of one run."""

    def __init__(
        self,
        trials: Sequence[Trial],
        runs_dir: Path,
        recorded: PlanRecord,
        options: RunOptions,
        listener: Listener,
    ) -> None:
        self._trials = {trial.id: trial for trial in trials}
        self._runs_dir, self._recorded = runs_dir, recorded
        self._options, self._listener = options, listener
        self._failed_before = (
            {}
            if options.retry_failed
            else {i: reason for i, reason in recorded.failed.items() if i in self._trials}
        )
        self._todo = [t for t in trials if t.id not in recorded.done and t.id not in self._failed_before]
        self._counts = _Counts(len(trials), skipped=sum(trial.id in recorded.done for trial in trials))
        self._counts.failed = len(self._failed_before)
        self._counts.reasons = {
            i: f"{reason} (in an earlier run)" for i, reason in self._failed_before.items()
        }
        self._tails = Tails(runs_dir)
        self._blocked_by: dict[str, int] = {}
        self._machines: Machines | None = None
        """What the backend last asked about; None before it has started."""

    def nothing_left(self, began: float) -> RunSummary:
        """Report a run that has nothing to do."""
        self._listener.on_start(self._counts.total, self._counts.skipped, self._todo)
        summary = self._counts.summary(began)
        self._listener.on_end(summary)
        return summary

    def backend(self, sources: Sources) -> ExecutionBackend:
        """The backend that the options name, with the plan in it, not started."""
        options = self._options
        setup = WorkerSetup(self._runs_dir.resolve(), sources, options.checkpoint_seconds, options.run_job)
        if options.backend == "local":
            return self._local_backend(setup)
        from harness.schedule.ray.tune import RayBackend

        return RayBackend(self._workload(), self._capacity, setup, address=options.address, cpus=options.cpus)

    def _local_backend(self, setup: WorkerSetup) -> LocalBackend:
        if any(trial.resources.workers > 1 for trial in self._todo):
            raise InputError(
                "resources.distil.workers: several workers need Ray; leave `--backend local` out, "
                "or train in this process with `--set resources.distil.workers=1`"
            )
        machine = this_machine(self._options.cpus, any(trial.resources.gpus for trial in self._todo))
        capacity = self._capacity([machine]).one_of_each()
        return LocalBackend(Dispatcher(self._workload(), capacity, time.time), setup)

    def _workload(self) -> Workload:
        return Workload(
            list(self._trials.values()),
            recorded=self._recorded.done,
            failed=self._failed_before,
            cohorts=cohorts(trial for trial in self._todo if trial.kind == "distil"),
            shared=self._shared,
        )

    def _capacity(self, nodes: Sequence[Node]) -> Capacity:
        one_at_a_time = self._options.backend == "local"
        self._machines = Machines(tuple(nodes), shared=self._shared, one_at_a_time=one_at_a_time)
        return Capacity.of(self._todo, nodes, self._shared)

    @property
    def _shared(self) -> bool:
        """Whether other people's work may run on the same machines: only on a cluster that is joined."""
        return self._options.address is not None

    def run_on(self, backend: ExecutionBackend, began: float) -> RunSummary:
        """Run to the end, however it ends; the listener's `on_end` is the last call."""
        interrupted = False
        with ExitStack() as stack:
            stack.callback(lambda: self._listener.on_end(self._counts.summary(began, interrupted)))
            stack.callback(backend.close)
            interrupts = stack.enter_context(Interrupts())
            if not self._shared:
                self._listener.on_machines(self._machines or Machines((this_machine(self._options.cpus),)))
            self._listener.on_start(self._counts.total, self._counts.skipped, self._todo)
            try:
                backend.start()
                interrupts.install()
                interrupted = self._watch(backend, interrupts)
            except KeyboardInterrupt:
                interrupted = True
                raise
        return self._counts.summary(began, interrupted)

    def _watch(self, backend: ExecutionBackend, interrupts: Interrupts) -> bool:
        """Report what happens until the backend has finished; whether the run was interrupted."""
        stopping, next_progress, trouble, told = False, 0.0, "", None
        while True:
            if interrupts.asked and not stopping:
                stopping = True
                backend.stop()
                self._listener.on_message(
                    "stopping: running trials save their state, and the next run continues from there "
                    "(Ctrl-C again stops at once)"
                )
            state = backend.poll()
            for event in state.events:
                self._handle(event)
            for text in state.messages:
                self._listener.on_message(text)
            self._report_blocked()
            if self._machines is not None and self._machines != told:
                self._listener.on_machines(told := self._machines)
            self._listener.on_pause()
            trouble = trouble or state.trouble
            if state.finished:
                break
            if time.monotonic() >= next_progress:
                next_progress = time.monotonic() + PROGRESS_SECONDS
                self._report_progress()
            time.sleep(POLL_SECONDS)
        if trouble:
            raise HarnessError(trouble)
        return stopping

    def _handle(self, event: Event) -> None:
        match event:
            case Started(trial_ids=ids):
                for trial_id in ids:
                    self._tails.follow(trial_id)
                    beside = [self._trials[other] for other in ids if other != trial_id]
                    self._listener.on_trial_started(self._trials[trial_id], beside)
            case Ended(result=result):
                self._end(result.trial_id, result)
            case GivenUp(trial_id=trial_id, failure=failure, started_at=started_at):
                trial = self._trials[trial_id]
                self._end(trial_id, record_failure(self._runs_dir, trial, failure, started_at))
            case HandedBack(trial_ids=ids, reason=reason):
                self._take_back(ids, reason)
            case Blocked(trial_id=trial_id, because=because, reason=reason):
                self._counts.blocked += 1
                self._counts.reasons[trial_id] = f"blocked: {self._name(because)} failed ({reason})"
                self._blocked_by[because] = self._blocked_by.get(because, 0) + 1

    def _take_back(self, ids: Sequence[str], reason: str) -> None:
        for trial_id in ids:
            self._tails.drop(trial_id)
        if reason:
            more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
            title = self._trials[ids[0]].title
            self._listener.on_message(f"{ids[0]} {title}{more}: {reason}; tried again")

    def _end(self, trial_id: str, result: Result) -> None:
        self._tails.drop(trial_id)
        if result.status == "failed":
            self._counts.failed += 1
            error = result.error
            self._counts.reasons[trial_id] = f"{error.reason}: {error.message}" if error else "error"
        else:
            self._counts.done += 1
        self._listener.on_result(result)

    def _report_progress(self) -> None:
        for trial_id, progress in self._tails.read():
            self._listener.on_progress(trial_id, progress)

    def _report_blocked(self) -> None:
        """One line for each failure, however many trials depend on it."""
        for because, count in self._blocked_by.items():
            trials = counted(count, "trial is", "trials are")
            self._listener.on_message(f"{trials} not run, because {self._name(because)} failed")
        self._blocked_by.clear()

    def _name(self, trial_id: str) -> str:
        trial = self._trials.get(trial_id)
        return f"{trial_id} {trial.title}" if trial else f"{trial_id} (not of this plan)"


def _with_gpus(trials: Sequence[Trial], gpus: float | None) -> Sequence[Trial]:
    """Give GPUs to trials whose spec asks for none. Resources are no part of a trial's identity."""
    if gpus is None:
        return trials
    return [
        trial.model_copy(update={"resources": _with_gpu(trial.resources, gpus)})
        if trial.resources.gpus == 0 and trial.kind != "measure" and not trial.is_control
        else trial
        for trial in trials
    ]


def _with_gpu(resources: Resources, gpus: float) -> Resources:
    """Several workers get a whole GPU each."""
    return resources.model_copy(update={"gpus": 1.0 if resources.workers > 1 else gpus})
