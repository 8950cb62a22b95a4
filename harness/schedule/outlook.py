"""How far a run is and how long it will take: counts by kind, and estimates from the trials that have ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.records.result import Progress, Result
from harness.records.trial import KINDS, Kind, Trial


@dataclass
class Running:
    """One running trial."""

    trial: Trial
    since: float
    """When a worker started it, seconds since the epoch."""
    first: Progress | None = None
    last: Progress | None = None

    def update(self, progress: Progress) -> None:
        """Take in a line of progress."""
        self.first = self.first or progress
        self.last = progress

    @property
    def share(self) -> float:
        """Fraction of its steps that is done, 0 to 1."""
        return self.last.step / self.last.steps if self.last and self.last.steps else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the pace since its first line of progress; None before a second one."""
        if self.first is None or self.last is None or self.last.step <= self.first.step:
            return None
        pace = (self.last.at - self.first.at) / (self.last.step - self.first.step)
        return pace * (self.last.steps - self.last.step)


@dataclass(frozen=True)
class Count:
    """Where the trials of one kind stand in this run."""

    kind: Kind
    done: int
    failed: int
    running: int
    left: int


class Outlook:
    """Where a run stands; a listener keeps it up to date."""

    def __init__(self, left: Sequence[Trial], now: float) -> None:
        self._left = Counter[Kind](trial.kind for trial in left)
        self._done: Counter[Kind] = Counter()
        self._failed: Counter[Kind] = Counter()
        self._seconds: defaultdict[Kind, float] = defaultdict(float)
        self._began = now
        self.running: dict[str, Running] = {}

    def started(self, trial: Trial, now: float) -> None:
        """A worker started the trial."""
        self.running[trial.id] = Running(trial, now)

    def update(self, trial_id: str, progress: Progress) -> None:
        """Take in a running trial's line of progress."""
        if trial_id in self.running:
            self.running[trial_id].update(progress)

    def ended(self, result: Result) -> None:
        """A trial ended, well or not."""
        self.running.pop(result.trial_id, None)
        if result.status == "failed":
            self._failed[result.kind] += 1
        else:
            self._done[result.kind] += 1
            self._seconds[result.kind] += result.seconds

    def counts(self) -> list[Count]:
        """Counts of each kind that has trials to run, in the order of `KINDS`."""
        running = Counter(item.trial.kind for item in self.running.values())
        return [
            Count(
                kind,
                self._done[kind],
                self._failed[kind],
                running[kind],
                self._left[kind] - self._done[kind] - self._failed[kind] - running[kind],
            )
            for kind in KINDS
            if self._left[kind]
        ]

    def seconds_left(self, now: float) -> float | None:
        """Estimate for the whole run: the work left (from the mean seconds of ended trials of the same kind), divided
        by the work done per second so far. None until a trial of every kind that is left has ended."""
        worked = sum(self._seconds.values())
        if not worked or now <= self._began:
            return None
        work = 0.0
        for count in self.counts():
            shares = [r.share for r in self.running.values() if r.trial.kind == count.kind]
            units = count.left + sum(1 - share for share in shares)
            if units and not count.done:
                return None
            work += units * self._seconds[count.kind] / count.done if count.done else 0.0
        return work * (now - self._began) / worked
