"""How far a run is and how long it will take: counts by kind, and the plan's estimate, corrected by what this run shows.

The time left is that of the trials still to end, played through on the run's machines. Each counts what the plan
estimates, times how much longer than estimated trials of its kind take here: those that ended, and those under way by
their own pace. It is a number from the first moment on.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from harness.errors import InputError
from harness.plan.cohorts import cohorts
from harness.plan.cost import Estimate, Speed
from harness.plan.phases import Parts
from harness.records.result import Progress, Result
from harness.records.trial import KINDS, Kind, Trial
from harness.schedule.dispatch.rehearsal import RUN_START, Job, Machines, Rehearsal, clock_seconds
from harness.schedule.dispatch.workload import Workload

DOUBT = 20.0
"""Seconds of estimated work for which the estimate counts beside what was measured: one short trial says little."""
LEAST_LEFT = 0.02
"""Share of a trial's estimate that is left at least until it ends."""
REHEARSAL_SHARE = 0.01
"""Largest share of the time that goes into working out the time left."""


@dataclass
class Running:
    """One running trial."""

    trial: Trial
    since: float
    """When a worker started it, seconds since the epoch."""
    first: Progress | None = None
    """Its first line since then; an interrupted trial's file has lines of before."""
    last: Progress | None = None

    def update(self, progress: Progress) -> None:
        """Take in a line of progress."""
        if self.first is None and progress.at >= self.since:
            self.first = progress
        self.last = progress

    @property
    def done_before(self) -> float:
        """Share of its steps that an earlier run has left done, 0..1, until a line of its own tells."""
        return self.last.step / self.last.steps if self.last is not None and self.first is None else 0.0

    @property
    def seconds_left(self) -> float | None:
        """What its steps still take at its own pace; None before a second line of progress."""
        return (
            None if self.pace is None or self.last is None else self.pace * (self.last.steps - self.last.step)
        )

    @property
    def pace(self) -> float | None:
        """Seconds a step since its first line of progress; None before a second one."""
        if self.first is None or self.last is None or self.last.step <= self.first.step:
            return None
        return (self.last.at - self.first.at) / (self.last.step - self.first.step)


@dataclass
class _Group:
    """Trials that a worker runs together."""

    trials: tuple[Trial, ...]
    since: float
    under_way: dict[str, Running] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    """Members whose start was reported."""


@dataclass(frozen=True)
class Count:
    """Where the trials of one kind stand in this run."""

    kind: Kind
    done: int
    failed: int
    running: int
    left: int


@dataclass(frozen=True)
class _Tally:
    """Seconds of work, estimated and measured."""

    estimated: float = 0.0
    measured: float = 0.0

    def __add__(self, other: _Tally) -> _Tally:
        return _Tally(self.estimated + other.estimated, self.measured + other.measured)

    def factor(self, expected: float) -> float:
        """How many times as long as estimated, where `expected` times were expected before."""
        return (self.measured + DOUBT * expected) / (self.estimated + DOUBT)


class Outlook:
    """Where a run stands; a listener keeps it up to date."""

    def __init__(
        self,
        left: Sequence[Trial],
        now: float,
        machines: Machines | None = None,
        estimate: Estimate | None = None,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`left` are the trials to run, parents first; `machines` what they run on (unknown: one that is just large
        enough); `estimate` the plan's (default: for an assumed machine); `stopwatch` times the estimate itself."""
        self._lock = threading.RLock()
        """A live view draws in a thread of its own."""
        self._trials = {trial.id: trial for trial in left}
        self._kinds = Counter[Kind](trial.kind for trial in left)
        self._done: Counter[Kind] = Counter()
        self._failed: Counter[Kind] = Counter()
        self._ended: dict[str, bool] = {}
        """Id -> whether it ended well."""
        self._estimate = estimate or Estimate(self._trials, Speed())
        self._tallies: defaultdict[Kind, _Tally] = defaultdict(_Tally)
        self._groups: dict[str, _Group] = {}
        """By trial, also of those that have ended."""
        self._began = now
        self._stopwatch = stopwatch
        self._worked_out: tuple[float, float, float] | None = None
        """(seconds left, when that was, seconds that it took to work out)."""
        self.running: dict[str, Running] = {}
        self.machines: Machines | None = None
        """What the run uses, where that is known."""
        self._rehearsal = self._on(Machines.least(left))
        if machines is not None:
            self.set_machines(machines)

    def set_machines(self, machines: Machines) -> None:
        """What the run may use, from now on; ignored where it lacks room for some trial, which the dispatcher reports."""
        with self._lock, suppress(InputError):
            self._rehearsal = self._on(machines)
            self.machines, self._worked_out = machines, None

    def _on(self, machines: Machines) -> Rehearsal:
        trials = list(self._trials.values())
        outside = frozenset(parent for trial in trials for parent in trial.parents) - self._trials.keys()
        students = cohorts(trial for trial in trials if trial.kind == "distil")
        return Rehearsal(Workload(trials, outside, cohorts=students, shared=machines.shared), machines)

    def started(self, trial: Trial, now: float, beside: Sequence[Trial] = ()) -> None:
        """A worker started the trial, with those `beside` it."""
        with self._lock:
            group = self._groups.get(trial.id)
            together = {trial.id, *(other.id for other in beside)}
            if group is None or {one.id for one in group.trials} != together or trial.id in group.told:
                group = _Group((trial, *beside), now)
                for one in group.trials:
                    self._leave(one.id)
                    self._groups[one.id] = group
                    self.running[one.id] = group.under_way[one.id] = Running(one, now)
            group.told.add(trial.id)

    def update(self, trial_id: str, progress: Progress) -> None:
        """Take in a running trial's line of progress."""
        with self._lock:
            if trial_id in self.running:
                self.running[trial_id].update(progress)

    def ended(self, result: Result) -> None:
        """A trial ended, well or not."""
        with self._lock:
            self._leave(result.trial_id)
            well = result.status != "failed"
            (self._done if well else self._failed)[result.kind] += 1
            self._ended[result.trial_id] = well
            trial = self._trials.get(result.trial_id)
            if trial is not None and result.status == "ok":
                self._tallies[result.kind] += _Tally(self._parts(trial).total, result.seconds)

    @property
    def unfinished(self) -> bool:
        """Whether trials are left to run or running."""
        return any(count.left or count.running for count in self.counts())

    def counts(self) -> list[Count]:
        """Counts of each kind that has trials to run, in the order of `KINDS`."""
        running = Counter(item.trial.kind for item in self.running.values())
        return [
            Count(
                kind,
                self._done[kind],
                self._failed[kind],
                running[kind],
                self._kinds[kind] - self._done[kind] - self._failed[kind] - running[kind],
            )
            for kind in KINDS
            if self._kinds[kind]
        ]

    def seconds_left(self, now: float) -> float:
        """Until the run ends. Worked out anew now and then, and counted down in between."""
        with self._lock:
            if not self.unfinished:
                return 0.0
            if self._worked_out is not None:
                seconds, at, cost = self._worked_out
                if now - at < cost / REHEARSAL_SHARE:
                    return max(0.0, seconds - max(0.0, now - at))
            began = self._stopwatch()
            seconds = clock_seconds(self._play(now))
            self._worked_out = (seconds, now, self._stopwatch() - began)
            return seconds

    def trial_seconds_left(self, running: Running, now: float) -> float:
        """Until the worker of a running trial has done with it."""
        own = running.seconds_left
        if own is not None:
            return own
        with self._lock:
            return self._group_left(self._groups[running.trial.id], self._factors(), now)

    def _play(self, now: float) -> list[Job]:
        factors = self._factors()

        def seconds(trials: Sequence[Trial]) -> float:
            work = sum(self._estimate.parts(trial, len(trials)).total for trial in trials)
            return work * factors[trials[0].kind]

        groups = {id(group): group for group in self._groups.values() if group.under_way}.values()
        under_way = [
            Job(
                tuple(one.trial for one in group.under_way.values()),
                0.0,
                self._group_left(group, factors, now),
            )
            for group in groups
        ]
        ray = self.machines is None or not self.machines.one_at_a_time
        idle_yet = ray and not self._groups
        return self._rehearsal.play(
            seconds,
            done=[one for one, well in self._ended.items() if well],
            failed=[one for one, well in self._ended.items() if not well],
            under_way=under_way,
            starting=max(0.0, RUN_START - max(0.0, now - self._began)) if idle_yet else 0.0,
        )

    def _factors(self) -> dict[Kind, float]:
        """How many times as long as estimated trials of each kind take in this run."""
        tallies = defaultdict(_Tally, self._tallies)
        for trial_id, running in self.running.items():
            group = self._groups[trial_id]
            if running.pace is not None and running.last is not None:
                alone = self._parts(running.trial).steps
                share = alone / max(1e-9, sum(self._parts(trial).steps for trial in group.trials))
                tallies[running.trial.kind] += _Tally(alone, running.pace * running.last.steps * share)
        every = sum(tallies.values(), _Tally()).factor(1.0)
        return {kind: tallies[kind].factor(every) for kind in KINDS}

    def _group_left(self, group: _Group, factors: dict[Kind, float], now: float) -> float:
        """Seconds until a worker has done with the trials that it still runs."""
        members = list(group.under_way.values())
        factor = factors[members[0].trial.kind]
        parts = [self._parts(one.trial) for one in members]
        whole = factor * sum(part.total for part in parts)
        paced = [
            (one.seconds_left, one.last.at) for one in members if one.last and one.seconds_left is not None
        ]
        if paced:
            steps_left = max(left for left, _ in paced if left is not None)
            since_then = max(0.0, now - max(at for _, at in paced))
            left = steps_left + factor * sum(part.after for part in parts) - since_then
        else:
            done = sum(part.steps * one.done_before for part, one in zip(parts, members, strict=True))
            left = whole - factor * done - max(0.0, now - group.since)
        return max(left, LEAST_LEFT * whole)

    def _parts(self, trial: Trial) -> Parts:
        group = self._groups.get(trial.id)
        return self._estimate.parts(trial, len(group.trials) if group else 1)

    def _leave(self, trial_id: str) -> None:
        self.running.pop(trial_id, None)
        if trial_id in self._groups:
            self._groups[trial_id].under_way.pop(trial_id, None)
