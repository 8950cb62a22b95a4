"""Who runs what next. Knows the plan minus what is recorded; no Ray, no files, no clock but the one it is
given.

A *slot* is a worker of one shape. It leases *jobs* (a cohort of distil trials, or one trial of another kind)
in dependency order, reports their results, and leases again until nothing of its shape is to come."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from harness.records.result import Failure, Result
from harness.records.trial import Kind, Trial
from harness.schedule.dispatch.effort import longest_way, members_that_fit
from harness.schedule.dispatch.events import Blocked, Ended, Event, GivenUp, HandedBack, Started
from harness.schedule.dispatch.graph import Graph
from harness.schedule.dispatch.queue import Place, ReadyQueue, limits
from harness.schedule.dispatch.slot_shapes import Shape

LOSSES_ALONE = 3
"""A trial whose worker died this often while it ran by itself has failed. Losing a cohort's worker is no
proof against any member: the cohort goes on in halves."""
BARREN_SLOTS = 5
"""So many workers in a row that died before beginning any work are a fault of the machine, not of a trial."""
IDLE_SECONDS = 60.0
"""How long a slot without work keeps its place, warm, while trials of its shape are still to come."""
YIELD_SECONDS = 5.0
"""How long a slot of a shape with more urgent work waits for its place before others make room."""


class Order(Enum):
    """What a slot without work does."""

    WAIT = "wait"
    LEAVE = "leave"


@dataclass(frozen=True)
class Lease:
    """Trials that one slot is to run together now."""

    number: int
    """Tells it from every other lease of the run."""
    trials: tuple[Trial, ...]


@dataclass
class _Slot:
    shape: Shape
    since: float
    """Last time it had work or was hired."""
    node: str = ""
    arrived: bool = False
    lease: int = 0
    """Number of the last one."""
    leased: tuple[Trial, ...] = ()
    begun: bool = False
    """Whether a worker is known to be at what is leased."""
    started_at: float = 0.0


class Dispatcher:
    """Thread-safe. Every call costs the same however large the plan is (but for the descendants of a
    failure)."""

    def __init__(
        self,
        trials: Sequence[Trial],
        recorded: Iterable[str] = (),
        failed: Mapping[str, str] | None = None,
        *,
        cohorts: Sequence[Sequence[Trial]] = (),
        capacity: Mapping[Shape, int] | None = None,
        memory: Mapping[Shape, float] | None = None,
        shared: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`trials`: the whole plan, parents first. `recorded`: ids that ended well before. `failed`: id ->
        reason of those that failed before and are not to be tried again. `cohorts`: groups that may share a
        worker. `capacity`: shape -> slots that fit at once. `memory`: shape -> bytes a slot may use.
        `shared`: as of `Shape.of`."""
        self._lock = threading.RLock()
        self._clock = clock
        self._capacity = dict(capacity or {})
        self._memory = dict(memory or {})
        self._slots: dict[str, _Slot] = {}
        self._events: list[Event] = []
        self._losses: Counter[str] = Counter()
        self._running: Counter[Kind] = Counter()
        self._shared = shared
        self._stopping = False
        self._barren = 0
        self._leases = 0
        self._trouble = ""
        done = set(recorded)
        self._limits = limits(trials)
        self._trials = {trial.id: trial for trial in trials}
        self._queue = ReadyQueue(trials, longest_way(trials), cohorts, self._fitting, shared)
        self._graph = Graph(trials, done, failed or {})
        self._training = 0
        """Open trials that are not `measure`."""
        self._coming: Counter[Shape] = Counter()
        """Open trials that are not leased."""
        for trial_id in self._graph.open:
            trial = self._trials[trial_id]
            self._training += trial.kind != "measure"
            self._coming[self._shape_of(trial)] += 1
        for trial_id, reason in (failed or {}).items():
            self._block_below(trial_id, reason)
        for trial_id in self._graph.strangers:
            self._block_below(trial_id, "it is not part of the plan and has no result")
        for trial_id in self._graph.ready:
            self._queue.add(trial_id)

    # --- what slots call ---------------------------------------------------------------

    def hire(self, slot_id: str) -> Shape | Order:
        """The shape of one more slot that would have work now; WAIT where none would, LEAVE when the run is
        over."""
        with self._lock:
            if self.finished:
                return Order.LEAVE
            if self._stopping:
                return Order.WAIT
            for shape in self._shapes_by_urgency():
                if self._short_of_slots(shape) and not self._should_yield(shape):
                    self._slots[slot_id] = _Slot(shape, since=self._clock())
                    return shape
            return Order.WAIT

    def open_slot(self, slot_id: str, shape: Shape, node: str = "") -> None:
        """A slot is at work (hired before or not). One that comes back under its name has lost what it
        held."""
        with self._lock:
            slot = self._slots.setdefault(slot_id, _Slot(shape, since=self._clock()))
            if slot.leased:
                self._lose_lease(slot, Failure(reason="killed", message="its worker was restarted"))
            slot.node, slot.arrived, slot.since = node, True, self._clock()

    def lease(self, slot_id: str) -> Lease | Order:
        """The next job for an open slot, or what to do without one."""
        with self._lock:
            slot = self._slots[slot_id]
            assert not slot.leased, f"slot {slot_id} still holds {[trial.id for trial in slot.leased]}"
            if self._stopping or self.finished or self._should_yield(slot.shape):
                return Order.LEAVE
            place = self._next_place(slot)
            if place is not None:
                return self._grant(slot, place)
            return Order.WAIT if self._stays_warm(slot) else Order.LEAVE

    def begin(self, slot_id: str, lease: int, trials: Iterable[Trial]) -> bool:
        """The worker of a slot asks before it takes up these members of the lease of that number: only now
        are they started, and losing the worker counts. False where the slot has that lease no longer (it was
        taken for dead, the trials went to others): then it must leave them alone."""
        with self._lock:
            slot = self._slots.get(slot_id)
            if slot is None or not slot.leased or slot.lease != lease:
                return False
            slot.begun, self._barren = True, 0
            self._events.append(Started(tuple(trial.id for trial in trials), slot_id, slot.node))
            return True

    def settle(self, slot_id: str, results: Iterable[Result]) -> None:
        """The job of a slot ended. Members without a result go back into the queue."""
        with self._lock:
            slot = self._slots[slot_id]
            self._barren = 0
            missing = self._record(slot, results)
            if missing and self._stopping:
                self._requeue(missing, "")
            elif missing:
                self._lose(
                    missing, Failure(reason="error", message="its worker returned no result for it"), slot
                )

    def lose(self, slot_id: str, failure: Failure, results: Iterable[Result] = ()) -> None:
        """The process behind a slot died. `results`: what its members had recorded by then."""
        with self._lock:
            self._lose_lease(self._slots[slot_id], failure, results)

    def close_slot(self, slot_id: str, reason: str = "") -> None:
        """The slot is gone, in good order or not; what it still held goes back."""
        with self._lock:
            slot = self._slots.pop(slot_id, None)
            if slot is None:
                return
            if slot.leased:
                self._lose_lease(slot, Failure(reason="killed", message=reason or "its worker is gone"))
            elif reason:
                self._count_barren(reason)

    # --- what the driver calls ---------------------------------------------------------

    def drain(self) -> list[Event]:
        """What happened since the last call, in order."""
        with self._lock:
            events, self._events = self._events, []
            return events

    def stop(self) -> None:
        """Hand out nothing more; jobs under way are told to stop at their next step."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether slots should end their work."""
        return self._stopping

    @property
    def trouble(self) -> str:
        """Why the run cannot go on, where it stopped by itself."""
        return self._trouble

    @property
    def finished(self) -> bool:
        """Nothing is left to hand out and nothing is being worked on."""
        with self._lock:
            busy = any(slot.leased for slot in self._slots.values())
            return not busy and (self._stopping or not self._graph.open)

    def set_room(self, capacity: Mapping[Shape, int], memory: Mapping[Shape, float]) -> None:
        """Machines came or went."""
        with self._lock:
            self._capacity, self._memory = dict(capacity), dict(memory)

    # --- choosing ----------------------------------------------------------------------

    def _grant(self, slot: _Slot, place: Place) -> Lease:
        job = self._queue.take(place, self._slots_per_entry(place))
        self._leases += 1
        slot.lease, slot.leased, slot.begun = self._leases, job, False
        slot.started_at = self._clock()
        self._running[place[1]] += 1
        self._coming[slot.shape] -= len(job)
        return Lease(slot.lease, job)

    def _next_place(self, slot: _Slot) -> Place | None:
        open_ = [
            place for place in self._queue.places() if place[0] == slot.shape and self._within_limits(place)
        ]
        return min(open_, key=self._queue.first, default=None)

    def _within_limits(self, place: Place) -> bool:
        """Measuring comes when all else is done, one at a time: nothing of this run is ever beside it."""
        kind = place[1]
        if kind == "measure" and self._training:
            return False
        return self._running[kind] < self._limits.get(kind, len(self._trials))

    def _shape_of(self, trial: Trial) -> Shape:
        return Shape.of(trial, self._shared)

    def _slots_per_entry(self, place: Place) -> int:
        """How many free slots each ready cohort may be divided over."""
        shape, kind = place
        busy = sum(bool(slot.leased) for slot in self._slots.values() if slot.shape == shape)
        free = min(
            self._capacity.get(shape, 1) - busy,
            self._limits.get(kind, len(self._trials)) - self._running[kind],
        )
        return max(1, free // max(1, self._queue.entries(place)))

    def _fitting(self, members: Sequence[Trial], shape: Shape) -> int:
        return members_that_fit(members, self._memory.get(shape, float("inf")))

    def _leasable(self, shape: Shape) -> int:
        """Jobs that slots of a shape could take now; a cohort counts as many as it can be divided into."""
        return sum(
            min(
                self._queue.size(place),
                self._limits.get(place[1], len(self._trials)) - self._running[place[1]],
            )
            for place in self._queue.places()
            if place[0] == shape and self._within_limits(place)
        )

    def _urgency(self, shape: Shape) -> tuple[float, int]:
        return min(self._queue.first(place) for place in self._queue.places() if place[0] == shape)

    def _shapes_by_urgency(self) -> list[Shape]:
        return sorted({shape for shape, _ in self._queue.places()}, key=self._urgency)

    def _short_of_slots(self, shape: Shape) -> bool:
        mine = [slot for slot in self._slots.values() if slot.shape == shape]
        idle = sum(not slot.leased for slot in mine)
        return len(mine) < self._capacity.get(shape, 1) and self._leasable(shape) > idle

    def _stays_warm(self, slot: _Slot) -> bool:
        """Whether an idle slot keeps its place; not when only measuring is left, which wants quiet."""
        idle = self._clock() - slot.since
        more = self._training > 0 and self._coming[slot.shape] > 0
        return more and idle < IDLE_SECONDS and not self._wanted_elsewhere(slot.shape)

    def _wanted_elsewhere(self, shape: Shape) -> bool:
        """Whether slots of another shape are short, so that this one had better free its place."""
        ready = {other for other, _ in self._queue.places() if other != shape}
        return any(self._leasable(other) and not self._has_idle(other) for other in ready)

    def _has_idle(self, shape: Shape) -> bool:
        return any(slot.arrived and not slot.leased for slot in self._slots.values() if slot.shape == shape)

    def _should_yield(self, shape: Shape) -> bool:
        """Whether a shape with more urgent work has no slot in place and has waited for one: small slots that
        follow one another would otherwise keep a large one out for ever."""
        now = self._clock()
        waiting = {s.shape for s in self._slots.values() if not s.arrived and now - s.since > YIELD_SECONDS}
        placed = {s.shape for s in self._slots.values() if s.arrived}
        rivals = [other for other in waiting - placed - {shape} if self._leasable(other)]
        if not rivals:
            return False
        ready = any(place[0] == shape for place in self._queue.places())
        return not ready or min(map(self._urgency, rivals)) < self._urgency(shape)

    # --- settling ----------------------------------------------------------------------

    def _record(self, slot: _Slot, results: Iterable[Result]) -> list[Trial]:
        """Settle what has a result; return the members that have none, no longer leased."""
        held = {trial.id: trial for trial in slot.leased}
        if held:
            self._running[slot.leased[0].kind] -= 1
        slot.leased, slot.since = (), self._clock()
        for result in results:
            if held.pop(result.trial_id, None) is not None:
                self._events.append(Ended(result))
                self._close(
                    result.trial_id,
                    result.error.reason if result.status == "failed" and result.error else None,
                )
        return list(held.values())

    def _lose_lease(self, slot: _Slot, failure: Failure, results: Iterable[Result] = ()) -> None:
        """What a slot held goes back. Where its worker was dead before it could begin, nothing was started:
        that is no proof against any trial."""
        missing = self._record(slot, results)
        if self._stopping:
            self._requeue(missing, "")
        elif slot.begun:
            self._lose(missing, failure, slot)
        else:
            self._requeue(missing, f"{failure.message}, before it could begin", jobs=1)
            self._count_barren(failure.message)

    def _count_barren(self, reason: str) -> None:
        self._barren += 1
        if self._barren >= BARREN_SLOTS:
            self._trouble = f"{self._barren} workers in a row died before they began any work: {reason}"
            self._stopping = True

    def _lose(self, members: list[Trial], failure: Failure, slot: _Slot) -> None:
        if len(members) == 1:
            (trial,) = members
            self._losses[trial.id] += 1
            if self._losses[trial.id] >= LOSSES_ALONE:
                text = f"{failure.message} ({self._losses[trial.id]} times)"
                given_up = failure.model_copy(update={"message": text})
                self._events.append(GivenUp(trial.id, given_up, slot.started_at))
                self._close(trial.id, failure.reason)
                return
        self._requeue(members, failure.message)

    def _requeue(self, members: list[Trial], reason: str, jobs: int = 2) -> None:
        """`members` queue again, divided over so many jobs."""
        if not members:
            return
        for trial in members:
            self._coming[self._shape_of(trial)] += 1
        ids = [trial.id for trial in members]
        for first in range(jobs):
            self._queue.add_together(ids[first::jobs])
        self._events.append(HandedBack(tuple(ids), reason))

    def _close(self, trial_id: str, failed: str | None) -> None:
        """A leased trial is settled; `failed` is the reason where it did not end well."""
        self._training -= self._trials[trial_id].kind != "measure"
        if failed is not None:
            self._block_below(trial_id, failed)
        else:
            for child in self._graph.succeed(trial_id):
                self._queue.add(child)

    def _block_below(self, failed: str, reason: str) -> None:
        """Everything that descends from a failed trial will not run."""
        for child in self._graph.fail(failed):
            trial = self._trials[child]
            self._events.append(Blocked(child, failed, reason))
            self._training -= trial.kind != "measure"
            self._coming[self._shape_of(trial)] -= 1
