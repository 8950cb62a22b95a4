"""Planning: 100,000 trials from a spec, with ids, dependencies and estimated costs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.conditions import Conditions, main
from benchmarks.noop import large_plan
from benchmarks.rows import Row
from harness.plan.cost import Speed, estimate
from harness.schedule.dispatch.dispatcher import Dispatcher
from harness.schedule.dispatch.slot_shapes import Capacity
from harness.schedule.dispatch.workload import Workload

SIZES = (1_000, 10_000, 100_000)


def run(conditions: Conditions) -> Iterator[Row]:
    """Seconds from the YAML file to the plan, and from there to the first lease."""
    for wanted in SIZES[:1] if conditions.quick else SIZES:
        began = time.perf_counter()
        plan = large_plan(conditions.folder, wanted)
        planned = time.perf_counter()
        estimate(plan, Speed())
        estimated = time.perf_counter()
        Dispatcher(Workload(plan.trials), Capacity(), time.time)
        ready = time.perf_counter()
        yield Row(
            f"planning {len(plan.trials):,} trials",
            planned - began,
            unit="s",
            target=10.0 if wanted == SIZES[-1] else None,
            sense="at most",
            sides={
                "plan": planned - began,
                "estimate of costs": estimated - planned,
                "ready to schedule": ready - estimated,
            },
            side_unit="s",
        )


if __name__ == "__main__":
    main("planning", run)
