"""A dispatcher to try, and what its workers would tell it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.devices import provenance
from harness.plan import cohorts
from harness.records.result import Failure, Result
from harness.records.trial import Trial
from harness.schedule.dispatch.dispatcher import Dispatcher, Lease, Order
from harness.schedule.dispatch.events import Started
from harness.schedule.dispatch.slot_shapes import Capacity, SlotShape
from harness.schedule.dispatch.workload import Workload

ONE = SlotShape(1)
ALONE = SlotShape(1, exclusive=True)
KILLED = Failure(reason="killed", message="its worker died")


def result(trial: Trial, reason: str | None = None) -> Result:
    """How a trial ended."""
    return Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="failed" if reason else "ok",
        error=Failure(reason=reason, message=reason) if reason else None,
        started_at=0.0,
        finished_at=1.0,
        seconds=1.0,
        provenance=provenance.collect(device="cpu", precision="fp32", threads=1),
    )


def dispatcher(
    trials: list[Trial],
    slots: int = 2,
    memory: dict[SlotShape, float] | None = None,
    clock: Callable[[], float] = time.time,
    **known: Any,
) -> Dispatcher:
    """A dispatcher for machines with room for `slots` slots of any shape."""
    shapes = {SlotShape.of(trial) for trial in trials}
    groups = cohorts([trial for trial in trials if trial.kind == "distil"])
    capacity = Capacity(dict.fromkeys(shapes, slots), memory or {})
    return Dispatcher(Workload(trials, cohorts=groups, **known), capacity, clock)


def opened(manager: Dispatcher, shape: SlotShape = ONE, name: str = "a", node: str = "n") -> str:
    """An open slot."""
    manager.open_slot(name, shape, node)
    return name


def taken_up(manager: Dispatcher, slot: str) -> Lease | Order:
    """The slot's next job, begun by its worker."""
    order = manager.lease(slot)
    if isinstance(order, Lease):
        assert manager.begin(slot, order.number, order.trials)
    return order


def starts(manager: Dispatcher) -> list[str]:
    """Trials that were started since it was last asked."""
    return [trial for event in manager.drain() if isinstance(event, Started) for trial in event.trial_ids]


def ids(order: Lease | Order) -> set[str]:
    """Trials of a lease."""
    assert isinstance(order, Lease), order
    return {trial.id for trial in order.trials}
