"""Trials that are ready to run, the one with the longest way to the end first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.records.trial import Kind, Trial
from harness.schedule.dispatch.slot_shapes import SlotShape

Place = tuple[SlotShape, Kind]
"""A queue of its own: trials that fit the same slots and count against the same limit."""


def limits(trials: Iterable[Trial]) -> dict[Kind, int]:
    """How many jobs of a kind may run at once, if limited; the smallest where trials differ."""
    limits_: dict[Kind, int] = {"measure": 1}
    for trial in trials:
        if trial.resources.concurrency is not None:
            limits_[trial.kind] = min(
                trial.resources.concurrency, limits_.get(trial.kind, trial.resources.concurrency)
            )
    return limits_


@dataclass(order=True)
class _Entry:
    """One trial, or the ready members of one cohort, longest first."""

    sort_key: tuple[float, int]
    members: list[str] = field(compare=False)
    cohort: int | None = field(compare=False, default=None)
    """Number of the cohort, whose later members join the entry; None if nobody may join."""


class ReadyQueue:
    """Ready trials by shape and kind. Adding and taking cost O(log n) plus the size of the cohort."""

    def __init__(
        self,
        trials: Sequence[Trial],
        ranks: Mapping[str, float],
        cohorts: Sequence[Sequence[Trial]],
        fits: Callable[[Sequence[Trial], SlotShape], int],
        shared: bool = False,
    ) -> None:
        """`ranks`: id -> length of the longest way from the trial's start to the end of the plan.
        `fits`: how many members of a cohort one slot holds. `shared`: see `SlotShape.of`."""
        self._trials = {trial.id: trial for trial in trials}
        self._sort_keys = {trial.id: (-ranks[trial.id], order) for order, trial in enumerate(trials)}
        self._cohort_of = {
            trial.id: number for number, cohort in enumerate(cohorts) if len(cohort) > 1 for trial in cohort
        }
        self._fits = fits
        self._shared = shared
        self._heaps: dict[Place, list[_Entry]] = {}
        self._open: dict[tuple[Place, int], _Entry] = {}
        self._counts: dict[Place, int] = {}

    def place_of(self, trial_id: str) -> Place:
        """The queue of a trial."""
        trial = self._trials[trial_id]
        return SlotShape.of(trial, self._shared), trial.kind

    def add(self, trial_id: str) -> None:
        """Queue a ready trial, with the others of its cohort."""
        place = self.place_of(trial_id)
        self._counts[place] = self._counts.get(place, 0) + 1
        cohort = self._cohort_of.get(trial_id)
        if cohort is None:
            self._push(place, [trial_id], None)
        elif (entry := self._open.get((place, cohort))) is not None:
            entry.members.append(trial_id)
        else:
            self._push(place, [trial_id], cohort)

    def add_together(self, trial_ids: Iterable[str]) -> None:
        """Queue trials as one job that nobody joins, such as half of a cohort that lost its worker."""
        members = list(trial_ids)
        if members:
            place = self.place_of(members[0])
            self._counts[place] = self._counts.get(place, 0) + len(members)
            self._push(place, members, None)

    def size(self, place: Place) -> int:
        """How many trials are ready at a place."""
        return self._counts.get(place, 0)

    def entries(self, place: Place) -> int:
        """How many single trials and cohorts are ready at a place."""
        return len(self._heaps.get(place, ()))

    def first(self, place: Place) -> tuple[float, int]:
        """Sort key of the next entry at a place that is not empty; the smallest goes first."""
        return self._heaps[place][0].sort_key

    def places(self) -> list[Place]:
        """Places that are not empty."""
        return [place for place, count in self._counts.items() if count]

    def take(self, place: Place, slots: int = 1) -> tuple[Trial, ...]:
        """Remove and return the next trial, or one share of the next cohort divided over `slots` workers."""
        entry = heapq.heappop(self._heaps[place])
        if entry.cohort is not None:
            del self._open[place, entry.cohort]
        members = sorted(entry.members, key=self._sort_keys.__getitem__)
        shares = self._shares([self._trials[member] for member in members], place[0], slots)
        share, left = members[::shares], [member for i, member in enumerate(members) if i % shares]
        if left:
            self._push(place, left, entry.cohort)
        self._counts[place] -= len(share)
        return tuple(self._trials[member] for member in share)

    def _shares(self, members: Sequence[Trial], shape: SlotShape, slots: int) -> int:
        if len(members) == 1:
            return 1
        largest = math.ceil(len(members) / max(1, slots))
        largest = max(1, min(largest, self._fits(members, shape)))
        return math.ceil(len(members) / largest)

    def _push(self, place: Place, members: list[str], cohort: int | None) -> None:
        entry = _Entry(min(self._sort_keys[member] for member in members), members, cohort)
        heapq.heappush(self._heaps.setdefault(place, []), entry)
        if cohort is not None:
            self._open[place, cohort] = entry
