"""Run a plan: what is recorded is skipped, the rest is placed on workers, and everybody who listens is
told."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.assets.sources import Sources
from harness.errors import HarnessError, InputError
from harness.plan import Plan, cohorts
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import Trial
from harness.schedule.claim import claimed
from harness.schedule.dispatch.dispatcher import Dispatcher
from harness.schedule.dispatch.events import (
    Blocked,
    Ended,
    Event,
    GivenUp,
    HandedBack,
    Listener,
    RunSummary,
    Started,
)
from harness.schedule.dispatch.slot_shapes import Node, Shape, capacity, require_room
from harness.schedule.interrupts import Interrupts
from harness.schedule.local import LocalBackend, State, this_machine
from harness.schedule.tail import Tails
from harness.schedule.worker import Site, Work, record_failure
from harness.spec.recipes import Resources

POLL_SECONDS = 0.4
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class RunOptions:
    """Where and how a plan is run. Nothing here changes a number."""

    backend: Literal["ray", "local"] = "ray"
    address: str | None = None
    """Ray cluster to join (`auto`, `ray://host:10001`); None starts one on this machine."""
    gpus: float | None = None
    """GPUs for each trial whose spec asks for none (`measure` apart); fractions share a card."""
    cpus: int | None = None
    """Cores of this machine to use; None for all. Says nothing about a cluster that is joined."""
    retry_failed: bool = True
    """Run trials again that failed in an earlier run."""
    checkpoint_seconds: float = 15.0
    """Shortest time between two checkpoints of a trial."""
    work: Work | None = None
    """What a worker does with a job; None for `harness.trials.run.run_trials`."""


class Backend(Protocol):
    """Where jobs run."""

    def start(self) -> None:
        """Begin; returns when jobs are being handed out."""

    def poll(self) -> State:
        """What happened since the last call."""

    def stop(self) -> None:
        """Hand out nothing more and let workers save what they are at."""

    def close(self) -> None:
        """Release everything, whatever state it is in."""


def run_plan(
    plan: Plan | Sequence[Trial],
    runs_dir: Path,
    sources: Sources,
    options: RunOptions,
    listener: Listener,
) -> RunSummary:
    """Do what is missing and nothing else. Where nothing is, this returns at once and imports neither Ray nor
    torch.

    The first Ctrl-C or SIGTERM makes workers save and stop (the summary is `interrupted`); a second raises
    KeyboardInterrupt. Raises InputError where another driver holds `runs_dir`, no node can hold some kind of
    trial, or no cluster answers at the address.
    """
    began = time.monotonic()
    trials = _with_gpus(plan.trials if isinstance(plan, Plan) else plan, options.gpus)
    record = Record.of(trials, runs_dir)
    if record.left(trials, options.retry_failed):
        with claimed(runs_dir):  # another driver may have ended between our looking and our claim: look again
            run = _Run(trials, runs_dir, Record.of(trials, runs_dir), options, listener)
            return run.go(run.backend(sources), began)
    run = _Run(trials, runs_dir, record, options, listener)
    return run.nothing_left(began)


@dataclass(frozen=True)
class Record:
    """What the folders say about a plan."""

    done: frozenset[str]
    """Ended well, with parents that are not of the plan among them."""
    failed: Mapping[str, str]
    """Failed -> reason."""

    @classmethod
    def of(cls, trials: Sequence[Trial], runs_dir: Path) -> Record:
        """Read the results that are there."""
        wanted = {trial.id for trial in trials} | {parent for trial in trials for parent in trial.parents}
        try:
            present = wanted & {entry.name for entry in os.scandir(runs_dir)}
        except OSError:
            present = set()
        results = [TrialFolder.of(runs_dir, trial_id).read_result() for trial_id in present]
        known = [result for result in results if result is not None]
        return cls(
            frozenset(result.trial_id for result in known if result.status != "failed"),
            {r.trial_id: r.error.reason if r.error else "error" for r in known if r.status == "failed"},
        )

    def left(self, trials: Sequence[Trial], retry_failed: bool) -> bool:
        """Whether any trial is to be run (or reported as blocked)."""
        return any(t.id not in self.done and (retry_failed or t.id not in self.failed) for t in trials)


@dataclass
class _Tally:
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
        record: Record,
        options: RunOptions,
        listener: Listener,
    ) -> None:
        self._trials = {trial.id: trial for trial in trials}
        self._runs_dir, self._record = runs_dir, record
        self._options, self._listener = options, listener
        self._kept = (
            {} if options.retry_failed else {i: r for i, r in record.failed.items() if i in self._trials}
        )
        self._todo = [t for t in trials if t.id not in record.done and t.id not in self._kept]
        self._tally = _Tally(len(trials), skipped=sum(trial.id in record.done for trial in trials))
        self._tally.failed = len(self._kept)
        self._tally.reasons = {i: f"{reason} (in an earlier run)" for i, reason in self._kept.items()}
        self._tails = Tails(runs_dir)
        self._blocked_by: dict[str, int] = {}

    def nothing_left(self, began: float) -> RunSummary:
        """Tell the listener so."""
        self._listener.on_start(self._tally.total, self._tally.skipped, self._todo)
        summary = self._tally.summary(began)
        self._listener.on_end(summary)
        return summary

    def backend(self, sources: Sources) -> Backend:
        """The backend of the options, with the plan in it, not started."""
        plan: dict[str, Any] = {
            "trials": list(self._trials.values()),
            "recorded": self._record.done,
            "failed": self._kept,
            "cohorts": cohorts(trial for trial in self._todo if trial.kind == "distil"),
            "shared": self._shared,
        }
        options = self._options
        site = Site(self._runs_dir.resolve(), sources, options.checkpoint_seconds, options.work)
        if options.backend == "local":
            if any(trial.resources.workers > 1 for trial in self._todo):
                raise InputError(
                    "resources.distil.workers: several workers need Ray; leave `--backend local` out, "
                    "or train in this process with `--set resources.distil.workers=1`"
                )
            room = self._room([this_machine(options.cpus, any(trial.resources.gpus for trial in self._todo))])
            room["capacity"] = dict.fromkeys(room["capacity"], 1)  # one job after another
            return LocalBackend(Dispatcher(**plan, **room), site)
        from harness.schedule.ray.tune import RayBackend

        return RayBackend(self._room, plan, site, address=options.address, cpus=options.cpus)

    def go(self, backend: Backend, began: float) -> RunSummary:
        """Run to the end, however it ends; the listener's `on_end` is the last call."""
        interrupted = False
        with ExitStack() as stack:
            stack.callback(lambda: self._listener.on_end(self._tally.summary(began, interrupted)))
            stack.callback(backend.close)
            interrupts = stack.enter_context(Interrupts())
            self._listener.on_start(self._tally.total, self._tally.skipped, self._todo)
            try:
                backend.start()
                interrupts.install()
                interrupted = self._watch(backend, interrupts)
            except KeyboardInterrupt:
                interrupted = True
                raise
        return self._tally.summary(began, interrupted)

    def _watch(self, backend: Backend, interrupts: Interrupts) -> bool:
        """Pass on what happens until all is over; whether it was interrupted."""
        told, next_progress, trouble = False, 0.0, ""
        while True:
            if interrupts.asked and not told:
                told = True
                backend.stop()
                self._listener.on_message(
                    "stopping: running trials save their state, a further run goes on from there "
                    "(again Ctrl-C: at once)"
                )
            state = backend.poll()
            for event in state.events:
                self._handle(event)
            for text in state.messages:
                self._listener.on_message(text)
            self._tell_blocked()
            self._listener.on_pause()
            trouble = trouble or state.trouble
            if state.finished:
                break
            if time.monotonic() >= next_progress:
                next_progress = time.monotonic() + PROGRESS_SECONDS
                self._tell_progress()
            time.sleep(POLL_SECONDS)
        if trouble:
            raise HarnessError(trouble)
        return told

    def _handle(self, event: Event) -> None:
        match event:
            case Started(trial_ids=ids):
                for trial_id in ids:
                    self._tails.follow(trial_id)
                    self._listener.on_trial_started(self._trials[trial_id])
            case Ended(result=result):
                self._end(result.trial_id, result)
            case GivenUp(trial_id=trial_id, failure=failure, started_at=started_at):
                trial = self._trials[trial_id]
                self._end(trial_id, record_failure(self._runs_dir, trial, failure, started_at))
            case HandedBack(trial_ids=ids, reason=reason):
                for trial_id in ids:
                    self._tails.drop(trial_id)
                if reason:
                    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
                    title = self._trials[ids[0]].title
                    self._listener.on_message(f"{ids[0]} {title}{more}: {reason}; tried again")
            case Blocked(trial_id=trial_id, because=because, reason=reason):
                self._tally.blocked += 1
                self._tally.reasons[trial_id] = f"blocked: {self._name(because)} failed ({reason})"
                self._blocked_by[because] = self._blocked_by.get(because, 0) + 1

    def _end(self, trial_id: str, result: Result) -> None:
        self._tails.drop(trial_id)
        if result.status == "failed":
            self._tally.failed += 1
            error = result.error
            self._tally.reasons[trial_id] = f"{error.reason}: {error.message}" if error else "error"
        else:
            self._tally.done += 1
        self._listener.on_result(result)

    def _tell_progress(self) -> None:
        for trial_id, progress in self._tails.read():
            self._listener.on_progress(trial_id, progress)

    def _tell_blocked(self) -> None:
        """One line for each failure that others waited for, however many they are."""
        for because, count in self._blocked_by.items():
            trials = "1 trial is" if count == 1 else f"{count} trials are"
            self._listener.on_message(f"{trials} not run, because {self._name(because)} failed")
        self._blocked_by.clear()

    def _name(self, trial_id: str) -> str:
        trial = self._trials.get(trial_id)
        return f"{trial_id} {trial.title}" if trial else f"{trial_id} (not of this plan)"

    @property
    def _shared(self) -> bool:
        """Whether others may use the machines too."""
        return self._options.address is not None

    def _room(self, nodes: Sequence[Node]) -> dict[str, Any]:
        """What the dispatcher must know of the machines."""
        require_room(self._todo, nodes)
        shapes = {Shape.of(trial, self._shared) for trial in self._todo}
        fitting = {shape: [node for node in nodes if node.slots(shape)] for shape in shapes}
        return {
            "capacity": capacity(shapes, nodes),
            "memory": {shape: min(node.memory_of(shape) for node in some) for shape, some in fitting.items()},
        }


def _with_gpus(trials: Sequence[Trial], gpus: float | None) -> Sequence[Trial]:
    """Give a GPU to trials whose spec leaves that to the run, a whole one to each of several workers. Resources are
    no part of a trial's identity."""
    if gpus is None:
        return trials
    return [
        trial.model_copy(update={"resources": _with_gpu(trial.resources, gpus)})
        if trial.resources.gpus == 0 and trial.kind != "measure"
        else trial
        for trial in trials
    ]


def _with_gpu(resources: Resources, gpus: float) -> Resources:
    return resources.model_copy(update={"gpus": 1.0 if resources.workers > 1 else gpus})
