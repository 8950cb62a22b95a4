"""Who runs what next.

A *slot* is a worker of one shape. It leases *jobs* (a cohort of distil trials, or one trial of another kind) in
dependency order, reports their results, and leases again until no trial of its shape is left.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from harness.counted import counted
from harness.records.result import Failure, Result
from harness.records.trial import Kind, Trial
from harness.schedule.dispatch.effort import longest_way, members_that_fit
from harness.schedule.dispatch.events import Blocked, Ended, Event, GivenUp, HandedBack, Started
from harness.schedule.dispatch.graph import Graph
from harness.schedule.dispatch.queue import Place, ReadyQueue, limits
from harness.schedule.dispatch.slot_shapes import Capacity, SlotShape
from harness.schedule.dispatch.workload import Workload

MAX_LOSSES = 3
"""A trial whose worker died this often while the trial ran by itself has failed. The loss of a cohort's worker does
not say which member is at fault: the cohort goes on in halves."""
MAX_FAILED_STARTS = 5
"""This many workers in a row that died before they began any work are a fault of the machine, not of a trial."""
IDLE_SECONDS = 60.0
"""How long an idle slot keeps its resources while trials of its shape are still to become ready."""
YIELD_SECONDS = 5.0
"""How long a slot with more urgent work waits for its resources before slots of other shapes make room."""


class Order(Enum):
    """What a slot without a job does."""

    WAIT = "wait"
    LEAVE = "leave"


@dataclass(frozen=True)
class Lease:
    """Trials that one slot is to run together now."""

    number: int
    """Unique within the run."""
    trials: tuple[Trial, ...]


@dataclass
class _Slot:
    shape: SlotShape
    since: float
    """When it was requested or last had work, by the dispatcher's clock."""
    node: str = ""
    arrived: bool = False
    """Whether it holds its resources."""
    lease: int = 0
    """Number of its latest lease."""
    leased: tuple[Trial, ...] = ()
    begun: bool = False
    """Whether a worker has confirmed that it runs what is leased."""
    started_at: float = 0.0


class Dispatcher:
    """Thread-safe. A call costs the same however large the plan is, except for the descendants of a failure."""

    def __init__(self, workload: Workload, capacity: Capacity, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since the epoch."""
        self._lock = threading.RLock()
        self._clock = clock
        self._capacity = capacity
        self._slots: dict[str, _Slot] = {}
        self._events: list[Event] = []
        self._losses: Counter[str] = Counter()
        self._running: Counter[Kind] = Counter()
        self._shared = workload.shared
        self._stopping = False
        self._failed_starts = 0
        self._leases = 0
        self._trouble = ""
        trials = workload.trials
        self._limits = limits(trials)
        self._trials = {trial.id: trial for trial in trials}
        self._queue = ReadyQueue(
            trials, longest_way(trials), workload.cohorts, self._fitting, workload.shared
        )
        self._graph = Graph(trials, workload.recorded, workload.failed)
        self._training = 0
        """Open trials that are not `measure`."""
        self._coming: Counter[SlotShape] = Counter()
        """Open trials that are not leased."""
        self._fill(workload)

    def _fill(self, workload: Workload) -> None:
        for trial_id in self._graph.open:
            trial = self._trials[trial_id]
            self._training += trial.kind != "measure"
            self._coming[self._shape_of(trial)] += 1
        for trial_id, reason in workload.failed.items():
            self._block_below(trial_id, reason)
        for trial_id in self._graph.missing_parents:
            self._block_below(trial_id, "it is not part of the plan and has no result")
        for trial_id in self._graph.ready:
            self._queue.add(trial_id)

    # --- what slots call ---------------------------------------------------------------

    def request_slot(self, slot_id: str) -> SlotShape | Order:
        """The shape of one more slot that would have work now; WAIT if there is none, LEAVE when the run is over."""
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

    def open_slot(self, slot_id: str, shape: SlotShape, node: str = "") -> None:
        """A slot holds its resources, whether it was requested or not. One that opens again has lost its job."""
        with self._lock:
            slot = self._slots.setdefault(slot_id, _Slot(shape, since=self._clock()))
            if slot.leased:
                self._lose_lease(slot, Failure(reason="killed", message="its worker was restarted"))
            slot.node, slot.arrived, slot.since = node, True, self._clock()

    def lease(self, slot_id: str) -> Lease | Order:
        """The next job for an open slot, or what the slot does without one."""
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
        """Ask, as the worker of a slot, to start these members of a lease.

        From here on they count as started, and the loss of the worker counts against them. False if the slot no
        longer holds that lease (it was taken for dead and the trials went to others): the worker must not run them.
        """
        with self._lock:
            slot = self._slots.get(slot_id)
            if slot is None or not slot.leased or slot.lease != lease:
                return False
            slot.begun, self._failed_starts = True, 0
            self._events.append(Started(tuple(trial.id for trial in trials), slot_id, slot.node))
            return True

    def settle(self, slot_id: str, results: Iterable[Result]) -> None:
        """Record the results of a slot's job. Members without a result go back into the queue."""
        with self._lock:
            slot = self._slots[slot_id]
            self._failed_starts = 0
            missing = self._record(slot, results)
            if missing and self._stopping:
                self._requeue(missing, "")
            elif missing:
                self._lose(
                    missing, Failure(reason="error", message="its worker returned no result for it"), slot
                )

    def lose(self, slot_id: str, failure: Failure, results: Iterable[Result] = ()) -> None:
        """Record that the process behind a slot died. `results`: those its members had written by then."""
        with self._lock:
            self._lose_lease(self._slots[slot_id], failure, results)

    def close_slot(self, slot_id: str, reason: str = "") -> None:
        """Record that a slot is gone; a job that it still held goes back into the queue."""
        with self._lock:
            slot = self._slots.pop(slot_id, None)
            if slot is None:
                return
            if slot.leased:
                self._lose_lease(slot, Failure(reason="killed", message=reason or "its worker ended"))
            elif reason:
                self._count_failed_start(reason)

    # --- what the driver calls ---------------------------------------------------------

    def drain(self) -> list[Event]:
        """The events since the last call, in order."""
        with self._lock:
            events, self._events = self._events, []
            return events

    def stop(self) -> None:
        """Lease nothing more; running jobs see `stopping` and end after their current step."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether running jobs should save their state and end."""
        return self._stopping

    @property
    def trouble(self) -> str:
        """Why the dispatcher stopped the run by itself; empty if it did not."""
        return self._trouble

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing is left to lease."""
        with self._lock:
            busy = any(slot.leased for slot in self._slots.values())
            return not busy and (self._stopping or not self._graph.open)

    def set_capacity(self, capacity: Capacity) -> None:
        """Machines joined or left."""
        with self._lock:
            self._capacity = capacity

    # --- choosing ----------------------------------------------------------------------

    def _grant(self, slot: _Slot, place: Place) -> Lease:
        job = self._queue.take(place, self._slots_per_entry(place))
        self._leases += 1
        slot.lease, slot.leased, slot.begun = self._leases, job, False
        slot.started_at = self._clock()
        self._running[place[1]] += bool(slot.shape.cpus)
        self._coming[slot.shape] -= len(job)
        return Lease(slot.lease, job)

    def _next_place(self, slot: _Slot) -> Place | None:
        open_ = [
            place for place in self._queue.places() if place[0] == slot.shape and self._within_limits(place)
        ]
        return min(open_, key=self._queue.first, default=None)

    def _within_limits(self, place: Place) -> bool:
        """Measuring waits until all training has ended, and measures one model at a time."""
        kind = place[1]
        if kind == "measure" and self._training:
            return False
        return self._room(place) > 0

    def _room(self, place: Place) -> int:
        """How many more jobs of a place may run. Those without cores take no part in the limit of their kind."""
        shape, kind = place
        most = len(self._trials)
        return self._limits.get(kind, most) - self._running[kind] if shape.cpus else most

    def _shape_of(self, trial: Trial) -> SlotShape:
        return SlotShape.of(trial, self._shared)

    def _slots_per_entry(self, place: Place) -> int:
        """How many free slots there are for each ready job; a cohort may be divided over them."""
        shape = place[0]
        busy = sum(bool(slot.leased) for slot in self._slots.values() if slot.shape == shape)
        free = min(self._capacity.slots.get(shape, 1) - busy, self._room(place))
        return max(1, free // max(1, self._queue.entries(place)))

    def _fitting(self, members: Sequence[Trial], shape: SlotShape) -> int:
        return members_that_fit(members, self._capacity.memory.get(shape, float("inf")))

    def _leasable(self, shape: SlotShape) -> int:
        """How many jobs slots of a shape could take now; a cohort counts as often as it can be divided."""
        return sum(
            min(self._queue.size(place), self._room(place))
            for place in self._queue.places()
            if place[0] == shape and self._within_limits(place)
        )

    def _urgency(self, shape: SlotShape) -> tuple[float, int]:
        return min(self._queue.first(place) for place in self._queue.places() if place[0] == shape)

    def _shapes_by_urgency(self) -> list[SlotShape]:
        return sorted({shape for shape, _ in self._queue.places()}, key=self._urgency)

    def _short_of_slots(self, shape: SlotShape) -> bool:
        mine = [slot for slot in self._slots.values() if slot.shape == shape]
        idle = sum(not slot.leased for slot in mine)
        return len(mine) < self._capacity.slots.get(shape, 1) and self._leasable(shape) > idle

    def _stays_warm(self, slot: _Slot) -> bool:
        """Whether an idle slot keeps its resources; not when only measuring is left, which needs an idle machine."""
        idle = self._clock() - slot.since
        more = self._training > 0 and self._coming[slot.shape] > 0
        return more and idle < IDLE_SECONDS and not self._wanted_elsewhere(slot.shape)

    def _wanted_elsewhere(self, shape: SlotShape) -> bool:
        """Whether another shape lacks slots, so that this slot should free its resources."""
        ready = {other for other, _ in self._queue.places() if other != shape and other.cpus}
        return any(self._leasable(other) and not self._has_idle(other) for other in ready)

    def _has_idle(self, shape: SlotShape) -> bool:
        return any(slot.arrived and not slot.leased for slot in self._slots.values() if slot.shape == shape)

    def _should_yield(self, shape: SlotShape) -> bool:
        """Whether a shape with more urgent work has waited for its first slot: small slots that follow one another
        would otherwise keep a large one out for ever."""
        if not shape.cpus:
            return False
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
        """End the slot's lease; returns the members without a result."""
        held = {trial.id: trial for trial in slot.leased}
        if held:
            self._running[slot.leased[0].kind] -= bool(slot.shape.cpus)
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
        """Return a slot's job to the queue. It counts against the trials only if the worker had begun them."""
        missing = self._record(slot, results)
        if self._stopping:
            self._requeue(missing, "")
        elif slot.begun:
            self._lose(missing, failure, slot)
        else:
            self._requeue(missing, f"{failure.message}, before it could begin", jobs=1)
            self._count_failed_start(failure.message)

    def _count_failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            self._trouble = (
                f"{self._failed_starts} workers in a row died before they began any work: {reason}"
            )
            self._stopping = True

    def _lose(self, members: list[Trial], failure: Failure, slot: _Slot) -> None:
        if len(members) == 1:
            (trial,) = members
            self._losses[trial.id] += 1
            if self._losses[trial.id] >= MAX_LOSSES:
                text = f"{failure.message} ({counted(self._losses[trial.id], 'time')})"
                given_up = failure.model_copy(update={"message": text})
                self._events.append(GivenUp(trial.id, given_up, slot.started_at))
                self._close(trial.id, failure.reason)
                return
        self._requeue(members, failure.message)

    def _requeue(self, members: list[Trial], reason: str, jobs: int = 2) -> None:
        """Queue `members` again, divided over this many jobs."""
        if not members:
            return
        for trial in members:
            self._coming[self._shape_of(trial)] += 1
        ids = [trial.id for trial in members]
        for first in range(jobs):
            self._queue.add_together(ids[first::jobs])
        self._events.append(HandedBack(tuple(ids), reason))

    def _close(self, trial_id: str, failed: str | None) -> None:
        """Close a leased trial; `failed` is the reason if it did not end well, else None."""
        self._training -= self._trials[trial_id].kind != "measure"
        if failed is not None:
            self._block_below(trial_id, failed)
        else:
            for child in self._graph.succeed(trial_id):
                self._queue.add(child)

    def _block_below(self, failed: str, reason: str) -> None:
        """Close the descendants of a failed trial: they will not run."""
        for child in self._graph.fail(failed):
            trial = self._trials[child]
            self._events.append(Blocked(child, failed, reason))
            self._training -= trial.kind != "measure"
            self._coming[self._shape_of(trial)] -= 1
