"""The calls between slots, workers and the dispatcher, which is an actor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.util import get_node_ip_address

from harness.records.trial import Trial
from harness.schedule.dispatch.dispatcher import Lease, Order
from harness.schedule.dispatch.slot_shapes import SlotShape
from harness.schedule.worker import Begin

STOP_CHECK_SECONDS = 0.5
"""How often a running job is checked for a request to stop."""
WAIT_SECONDS = 0.2
"""How often a slot without a job asks for one."""


def ask(dispatcher: Any, method: str, *arguments: Any) -> Any:
    """Call a method of the dispatcher and wait for the result."""
    return ray.get(getattr(dispatcher, method).remote(*arguments))


def lease_jobs(dispatcher: Any, slot_id: str, shape: SlotShape, run: Callable[[Lease], None]) -> None:
    """The life of a slot that holds its resources: lease jobs and `run` them until the dispatcher says to leave."""
    ask(dispatcher, "open_slot", slot_id, shape, get_node_ip_address())
    while (lease := ask(dispatcher, "lease", slot_id)) is not Order.LEAVE:
        if lease is Order.WAIT:
            time.sleep(WAIT_SECONDS)
        else:
            run(lease)
    ask(dispatcher, "close_slot", slot_id)


def begin_by(dispatcher: Any, slot_id: str, lease: Lease) -> Begin:
    """How a worker starts trials of a lease. The worker asks and not its slot, which may have passed the job to a
    worker that is already dead and has started nothing."""

    def begin(trials: Sequence[Trial]) -> bool:
        return bool(ask(dispatcher, "begin", slot_id, lease.number, trials))

    return begin
